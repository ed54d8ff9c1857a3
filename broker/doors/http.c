/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1 over a link: the states of a connection.
 *
 *     IDLE -> HEAD -> BODY -> ASKED -> SENDING -> IDLE
 *
 * In ASKED the service has the request; in SENDING its body goes out in pieces, as fast as the link takes them. In both, input is kept
 * unread. All roads end in closed(), where what the service or the sender holds is given back.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker/base/clock.h"
#include "broker/doors/http.h"
#include "broker/net/link.h"

#define REST_MAX   ((size_t)1 << 20) /* a link gives one read at a time: this is never reached */
#define PIECE_SIZE ((size_t)64 << 10)
#define HEAD_SIZE  ((size_t)4 << 10)

enum http_state {
	HTTP_IDLE,    /* no byte of a request */
	HTTP_HEAD,    /* some of its head */
	HTTP_BODY,    /* its head, and some of its body */
	HTTP_ASKED,   /* the service has it */
	HTTP_SENDING, /* its answer goes out */
	HTTP_CLOSING,
};

struct http_connection {
	struct http_connection *prev, *next;
	struct http_server *server;
	struct link *link;
	struct peer *peer;
	enum http_state state;
	struct http1_reader reader;
	struct http_request request;
	struct buffer body; /* of the request */
	struct buffer rest; /* input behind the request */
	struct span left;   /* of the response */
	void (*release)(void *arg);
	void *release_arg;
	unsigned pins;
	bool reading;	/* in read_requests */
	bool keep;	/* the connection may serve another request */
	bool head_only; /* HEAD: no content */
	bool ended;	/* the client sends nothing more */
	bool paused;
	bool told; /* of the stop */
};

struct http_server {
	struct http_server_options options;
	struct http_connection *first;
	size_t links;
	bool stopping, dying;
	void (*idle)(void *arg);
	void *idle_arg;
};

static void
server_check_idle(struct http_server *server)
{
	void (*idle)(void *arg) = server->idle;

	if (server->first)
		return;
	if (server->stopping && idle) {
		server->idle = NULL;
		idle(server->idle_arg);
	} else if (server->dying) {
		free(server);
	}
}

/* Who gave the response's content may have it back. */
static void
release(struct http_connection *c)
{
	void (*fn)(void *arg) = c->release;

	c->release = NULL;
	c->left = SPAN_EMPTY;
	if (fn)
		fn(c->release_arg);
}

static void
unpin(struct http_connection *c)
{
	struct http_server *server = c->server;

	if (--c->pins > 0 || c->link)
		return;
	if (c->prev)
		c->prev->next = c->next;
	else
		server->first = c->next;
	if (c->next)
		c->next->prev = c->prev;
	http1_reader_fini(&c->reader);
	buffer_fini(&c->body);
	buffer_fini(&c->rest);
	free(c);
	server_check_idle(server);
}

static void
drop(struct http_connection *c)
{
	c->state = HTTP_CLOSING;
	if (c->link)
		link_drop(c->link, LINK_RESET);
}

static void
finish(struct http_connection *c)
{
	if (c->state == HTTP_CLOSING)
		return;
	c->state = HTTP_CLOSING;
	if (c->link)
		link_close(c->link);
}

static void
hold_back(struct http_connection *c, bool pause)
{
	if (!c->link || c->paused == pause)
		return;
	c->paused = pause;
	if (pause)
		link_pause(c->link);
	else
		link_resume(c->link);
}

static void
enter(struct http_connection *c, enum http_state state)
{
	const struct config_limits *limits = &c->server->options.context.config->limits;
	uint64_t deadline[] = {
		[HTTP_IDLE] = limits->idle_ms,
		[HTTP_HEAD] = limits->head_ms,
		[HTTP_BODY] = limits->body_ms,
		[HTTP_ASKED] = 0,   /* the service's own bound */
		[HTTP_SENDING] = 0, /* the link's bound on slow readers */
	};

	c->state = state;
	if (c->link)
		link_deadline(c->link, deadline[state]);
}

/*
 * Responses
 */
static void
response_done(struct http_connection *c)
{
	release(c);
	if (!c->keep || c->ended || c->server->stopping) {
		finish(c);
		return;
	}
	http1_reader_next(&c->reader);
	buffer_fini(&c->body);
	c->request = (struct http_request){ 0 };
	enter(c, HTTP_IDLE);
}

/* Give the link as much of the response as it takes without hoarding. */
static void
push(struct http_connection *c)
{
	while (c->link && c->left.len && link_output(c->link) < PIECE_SIZE) {
		struct span piece = span_cut(c->left, 0, PIECE_SIZE);
		int error = link_send(c->link, piece);

		if (error == -ENOBUFS)
			return; /* drained will come */
		if (error) {
			drop(c);
			return;
		}
		c->left = span_cut(c->left, piece.len, c->left.len);
	}
	if (c->link && c->state == HTTP_SENDING && !c->left.len)
		response_done(c);
}

static size_t
common_fields(
    struct http1_field_out *fields, const struct http_response *response, char date[static HTTP1_DATE_SIZE])
{
	size_t n = 0;

	(void)http1_date((int64_t)(clock_wall_us() / 1000000), date);
	fields[n++] = (struct http1_field_out){ "Date", span_str(date) };
	fields[n++] = (struct http1_field_out){ "Cache-Control", span_str("no-store") };
	fields[n++] = (struct http1_field_out){ "X-Content-Type-Options", span_str("nosniff") };
	if (response->media)
		fields[n++] = (struct http1_field_out){ "Content-Type", span_str(response->media) };
	for (size_t i = 0; i < response->count && i < HTTP_FIELDS_MAX; i++)
		fields[n++] = response->fields[i];
	return n;
}

static void
start_response(struct http_connection *c, const struct http_response *response)
{
	struct http1_field_out fields[HTTP_FIELDS_MAX + 4];
	char date[HTTP1_DATE_SIZE];
	struct http1_response_head head = {
		.status = response->status,
		.fields = fields,
		.count = common_fields(fields, response, date),
		.content_length = (int64_t)response->body.bytes.len,
		.keep_alive = c->keep && !c->ended && !c->server->stopping,
	};
	struct buffer out;
	bool small = response->body.bytes.len <= PIECE_SIZE;

	c->release = response->body.release;
	c->release_arg = response->body.arg;
	c->left = c->head_only ? SPAN_EMPTY : response->body.bytes;
	buffer_init(&out, HEAD_SIZE + PIECE_SIZE);
	if (http1_response_head(&out, &head) != HTTP1_WRITE_OK)
		out.failed = true;
	if (small) { /* one write, one TLS record */
		buffer_append_span(&out, c->left);
		c->left = SPAN_EMPTY;
	}
	enter(c, HTTP_SENDING);
	if (buffer_failed(&out) || link_send(c->link, buffer_span(&out)) != 0)
		drop(c);
	buffer_fini(&out);
}

static void settle(struct http_connection *c);

void
http_respond(struct http_connection *c, const struct http_response *response)
{
	const struct http_service *service = c->server->options.service;

	c->pins++;
	if (service->answered)
		service->answered(c, response->status, NULL, c->server->options.arg);
	start_response(c, response);
	push(c);
	settle(c);
	unpin(c);
}

void
http_problem(struct http_connection *c, const struct http_problem *problem)
{
	const struct http_service *service = c->server->options.service;
	struct http1_field_out fields[2];
	struct http_response response = {
		.status = problem->status, .media = "application/problem+json", .fields = fields
	};
	struct buffer text;
	char retry[16];

	c->pins++;
	if (problem->retry_s) {
		(void)snprintf(retry, sizeof(retry), "%u", problem->retry_s);
		fields[response.count++] = (struct http1_field_out){ "Retry-After", span_str(retry) };
	}
	if (problem->allow)
		fields[response.count++] = (struct http1_field_out){ "Allow", span_str(problem->allow) };
	buffer_init(&text, HEAD_SIZE);
	http_problem_write(&text, problem);
	response.body.bytes = buffer_span(&text);
	if (service->answered)
		service->answered(c, problem->status, problem->name, c->server->options.arg);
	start_response(c, &response); /* small: copied */
	buffer_fini(&text);
	push(c);
	settle(c);
	unpin(c);
}

/*
 * Requests
 */
static void
refuse(struct http_connection *c, int status, const char *detail)
{
	struct http_problem problem = { .status = status,
		.name = http_problem_name(status),
		.detail = detail,
		.retry_s = status == 503 ? 5 : 0 };

	c->keep = false;
	c->head_only = false;
	http_problem(c, &problem);
}

/* The head is complete: a client that waits before sending its body is told to go on. */
static void
take_head(struct http_connection *c)
{
	const struct http1_request *r = &c->reader.request;
	struct buffer go_on;

	c->keep = r->keep_alive;
	c->head_only = r->method == HTTP1_HEAD;
	enter(c, HTTP_BODY);
	if (!r->expect_100)
		return;
	if (r->content_length != HTTP1_LENGTH_NONE &&
	    (uint64_t)r->content_length > c->server->options.body_max)
		return; /* the next read answers 413 */
	buffer_init(&go_on, 64);
	http1_write_continue(&go_on);
	if (buffer_failed(&go_on) || link_send(c->link, buffer_span(&go_on)) != 0)
		drop(c);
	buffer_fini(&go_on);
}

static void
ask(struct http_connection *c)
{
	const struct http1_request *r = &c->reader.request;
	const struct http_server_options *options = &c->server->options;

	c->request = (struct http_request){ .method = r->method,
		.path = r->path,
		.query = r->query,
		.body = buffer_span(&c->body),
		.fields = &c->reader.fields };
	enter(c, HTTP_ASKED);
	options->service->request(c, &c->request, options->arg);
}

/* One step of reading. False: nothing more for now. */
static bool
read_step(struct http_connection *c, struct span *input)
{
	struct span bytes;

	if (c->state == HTTP_IDLE && input->len)
		enter(c, HTTP_HEAD);
	switch (http1_read(&c->reader, input, &bytes)) {
	case HTTP1_MORE:
		return false;
	case HTTP1_HEAD_DONE:
		take_head(c);
		return true;
	case HTTP1_BODY:
		buffer_append_span(&c->body, bytes);
		if (!buffer_failed(&c->body))
			return true;
		refuse(c, 503, "There is no memory for this request now.");
		return false;
	case HTTP1_END:
		ask(c);
		return true;
	case HTTP1_FAULT:
		refuse(c, c->reader.status, c->reader.reason);
		return false;
	}
	return false;
}

static bool
may_read(const struct http_connection *c)
{
	return c->link && c->state <= HTTP_BODY;
}

static void
read_requests(struct http_connection *c, struct span *input)
{
	c->reading = true;
	while (may_read(c) && input->len)
		if (!read_step(c, input))
			break;
	/* A body's end is told without further input. */
	while (c->state == HTTP_BODY && may_read(c) && read_step(c, input))
		;
	c->reading = false;
}

/* After anything happened: read what waits, hold back or go on, close when nothing more can come. ${c} is pinned. */
static void
settle(struct http_connection *c)
{
	struct span input;

	if (c->reading)
		return;
	while (c->rest.len && may_read(c)) {
		size_t before = c->rest.len;

		input = buffer_span(&c->rest);
		read_requests(c, &input);
		buffer_drop_front(&c->rest, before - input.len);
	}
	if (c->rest.len == 0 && c->rest.cap)
		buffer_fini(&c->rest);
	if (c->ended && may_read(c))
		finish(c); /* what is open of a request will never be complete */
	if (c->server->stopping && c->state == HTTP_IDLE)
		finish(c);
	if (c->state != HTTP_CLOSING)
		hold_back(c, c->rest.len > 0);
}

/*
 * The link's handler
 */
static void *
opened(struct link *link, struct peer *peer, void *arg)
{
	struct http_server *server = arg;
	struct http_connection *c;

	if (server->stopping)
		return NULL;
	c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->server = server;
	c->link = link;
	c->peer = peer;
	http1_reader_init(&c->reader, server->options.body_max, 0);
	buffer_init(&c->body, server->options.body_max);
	buffer_init(&c->rest, REST_MAX);
	c->next = server->first;
	if (server->first)
		server->first->prev = c;
	server->first = c;
	server->links++;
	enter(c, HTTP_IDLE);
	return c;
}

static void
input(void *arg, struct span bytes)
{
	struct http_connection *c = arg;

	if (c->state == HTTP_CLOSING)
		return;
	c->pins++;
	if (c->rest.len == 0)
		read_requests(c, &bytes);
	if (c->state != HTTP_CLOSING) {
		buffer_append_span(&c->rest, bytes);
		if (buffer_failed(&c->rest))
			drop(c);
	}
	settle(c);
	unpin(c);
}

/* A request that only waits is answered with what there is. */
static void
hurry(struct http_connection *c)
{
	const struct http_server_options *options = &c->server->options;

	if (c->state == HTTP_ASKED && options->service->hurry)
		options->service->hurry(c, &c->request, options->arg);
}

static void
input_ended(void *arg)
{
	struct http_connection *c = arg;

	c->pins++;
	c->ended = true;
	hurry(c);
	settle(c);
	unpin(c);
}

static void
drained(void *arg)
{
	struct http_connection *c = arg;

	c->pins++;
	if (c->state == HTTP_SENDING)
		push(c);
	settle(c);
	unpin(c);
}

static void
deadline(void *arg)
{
	struct http_connection *c = arg;

	c->pins++;
	if (c->state == HTTP_HEAD || c->state == HTTP_BODY) {
		struct http_problem problem = {
			.status = 408, .name = "slow-request", .detail = "The request did not come in time."
		};

		c->keep = false;
		http_problem(c, &problem);
	} else {
		finish(c);
	}
	unpin(c);
}

static void
closed(void *arg, enum link_end end)
{
	struct http_connection *c = arg;
	const struct http_server_options *options = &c->server->options;

	(void)end; /* the link has logged it */
	c->pins++;
	c->link = NULL;
	c->server->links--;
	if (c->request.state && options->service->gone)
		options->service->gone(c, &c->request, options->arg);
	c->request.state = NULL;
	c->state = HTTP_CLOSING;
	release(c);
	unpin(c);
}

const struct link_handler http_handler = {
	.opened = opened,
	.input = input,
	.input_ended = input_ended,
	.drained = drained,
	.deadline = deadline,
	.closed = closed,
};

struct peer *
http_peer(const struct http_connection *c)
{
	return c->peer;
}

uint64_t
http_link_id(const struct http_connection *c)
{
	return c->link ? link_id(c->link) : 0;
}

/*
 * The server
 */
int
http_server_new(struct http_server **serverp, const struct http_server_options *options)
{
	struct http_server *server = calloc(1, sizeof(*server));

	if (!server)
		return -ENOMEM;
	server->options = *options;
	*serverp = server;
	return 0;
}

/* The first connection that has to be told of the stop. */
static struct http_connection *
next_waiting(const struct http_server *server)
{
	struct http_connection *c = server->first;

	while (c && (c->state == HTTP_CLOSING || c->told))
		c = c->next;
	return c;
}

void
http_server_stop(struct http_server *server, void (*idle)(void *arg), void *arg)
{
	struct http_connection *c;

	server->stopping = true;
	server->idle = idle;
	server->idle_arg = arg;
	if (!server->first) {
		server_check_idle(server);
		return;
	}
	while ((c = next_waiting(server))) {
		c->told = true;
		c->pins++;
		if (c->state < HTTP_ASKED)
			finish(c);
		hurry(c);
		settle(c);
		unpin(c);
	}
}

size_t
http_server_links(const struct http_server *server)
{
	return server->links;
}

void
http_server_free(struct http_server *server)
{
	if (!server)
		return;
	server->idle = NULL;
	server->dying = true;
	server_check_idle(server);
}
