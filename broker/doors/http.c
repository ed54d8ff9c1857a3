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

#include "broker/doors/http_state.h"
#include "broker/net/link.h"

#define REST_MAX ((size_t)1 << 20) /* a link gives one read at a time: this is never reached */

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

void
http_unpin(struct http_connection *c)
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
	budget_leave(&c->seat);
	free(c);
	server_check_idle(server);
}

void
http_drop(struct http_connection *c)
{
	c->state = HTTP_CLOSING;
	if (c->link)
		link_drop(c->link, LINK_RESET);
}

void
http_finish(struct http_connection *c)
{
	if (c->state == HTTP_CLOSING)
		return;
	c->state = HTTP_CLOSING;
	if (c->link)
		link_close(c->link);
}

/* Tell the budget what ${c} holds. */
static void
account(struct http_connection *c)
{
	uint64_t held = c->body.cap + c->rest.cap + c->content;

	budget_hold(&c->seat, held + (c->link ? link_output(c->link) : 0));
}

static bool
has_memory(const struct http_connection *c)
{
	return budget_room(c->server->options.context.budget, BUDGET_DRAIN);
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

void
http_enter(struct http_connection *c, enum http_state state)
{
	const struct config_limits *limits = &c->server->options.context.config->limits;
	uint64_t deadline[] = {
		[HTTP_IDLE] = limits->idle_ms,
		[HTTP_HEAD] = limits->head_ms,
		[HTTP_BODY] = limits->body_ms,
		[HTTP_ASKED] = HTTP_ASKED_MS,
		[HTTP_SENDING] = 0, /* the link's bound on slow readers; pace() */
	};

	c->state = state;
	if (c->link)
		link_deadline(c->link, deadline[state]);
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
	http_enter(c, HTTP_BODY);
	if (!r->expect_100)
		return;
	if (r->content_length != HTTP1_LENGTH_NONE &&
	    (uint64_t)r->content_length > c->server->options.body_max)
		return; /* the next read answers 413 */
	buffer_init(&go_on, 64);
	http1_write_continue(&go_on);
	if (buffer_failed(&go_on) || link_send(c->link, buffer_span(&go_on)) != 0)
		http_drop(c);
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
	http_enter(c, HTTP_ASKED);
	if (!has_memory(c)) { /* the connection may go on: all of the request was read */
		http_problem(c, &(struct http_problem){ .status = 503,
				    .name = "overload",
				    .detail = "There is no memory for this request now.",
				    .retry_s = 5 });
		return;
	}
	options->service->request(c, &c->request, options->arg);
}

static bool
take_body(struct http_connection *c, struct span bytes)
{
	if (!has_memory(c))
		return false;
	buffer_append_span(&c->body, bytes);
	account(c);
	return !buffer_failed(&c->body);
}

/* One step of reading. False: nothing more for now. */
static bool
read_step(struct http_connection *c, struct span *input)
{
	struct span bytes;

	if (c->state == HTTP_IDLE && input->len)
		http_enter(c, HTTP_HEAD);
	switch (http1_read(&c->reader, input, &bytes)) {
	case HTTP1_MORE:
		return false;
	case HTTP1_HEAD_DONE:
		take_head(c);
		return true;
	case HTTP1_BODY:
		if (take_body(c, bytes))
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

/* Answers to pipelined requests wait for their reader, not in memory. */
static bool
has_room(const struct http_connection *c)
{
	return c->state != HTTP_IDLE || link_output(c->link) < LINK_LOW_WATER;
}

static void
read_requests(struct http_connection *c, struct span *input)
{
	c->reading = true;
	while (may_read(c) && has_room(c) && input->len)
		if (!read_step(c, input))
			break;
	/* A body's end is told without further input. */
	while (c->state == HTTP_BODY && may_read(c) && read_step(c, input))
		;
	c->reading = false;
}

/* After anything happened: read what waits, hold back or go on, close when nothing more can come. ${c} is pinned. */
void
http_settle(struct http_connection *c)
{
	struct span input;

	account(c);
	if (c->reading)
		return;
	while (c->rest.len && may_read(c) && has_room(c)) {
		size_t before = c->rest.len;

		input = buffer_span(&c->rest);
		read_requests(c, &input);
		buffer_drop_front(&c->rest, before - input.len);
	}
	if (c->rest.len == 0 && c->rest.cap)
		buffer_fini(&c->rest);
	if (c->ended && may_read(c) && c->rest.len == 0)
		http_finish(c); /* what is open of a request will never be complete */
	if (c->server->stopping && c->state == HTTP_IDLE)
		http_finish(c);
	if (c->state != HTTP_CLOSING)
		hold_back(c, c->rest.len > 0);
	account(c);
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
	budget_sit(&c->seat, server->options.context.budget, NULL);
	budget_join(&c->seat, &peer->memory);
	c->next = server->first;
	if (server->first)
		server->first->prev = c;
	server->first = c;
	server->links++;
	http_enter(c, HTTP_IDLE);
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
			http_drop(c);
	}
	http_settle(c);
	http_unpin(c);
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
	http_settle(c);
	http_unpin(c);
}

static void
drained(void *arg)
{
	struct http_connection *c = arg;

	c->pins++;
	if (c->state == HTTP_SENDING)
		http_push(c);
	http_settle(c);
	http_unpin(c);
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
	} else if (c->state == HTTP_SENDING) {
		c->state = HTTP_CLOSING;
		link_drop(c->link, LINK_SLOW_READER);
	} else if (c->state == HTTP_ASKED) {
		link_drop(c->link, LINK_DEADLINE); /* our own disk did not answer in time */
	} else {
		http_finish(c);
	}
	http_unpin(c);
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
	http_release(c);
	account(c);
	http_unpin(c);
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
			http_finish(c);
		hurry(c);
		http_settle(c);
		http_unpin(c);
	}
}

/* The first connection that was not told yet, which is told now. */
static struct http_connection *
next_untold(const struct http_server *server)
{
	struct http_connection *c = server->first;

	while (c && c->told)
		c = c->next;
	return c;
}

void
http_server_reconfigure(struct http_server *server, const struct config *config)
{
	struct http_connection *c;

	server->options.context.config = config;
	for (c = server->first; c; c = c->next)
		c->told = c->state != HTTP_ASKED && c->state != HTTP_IDLE;
	/* From the beginning each time: an answer may end its connection, and others. */
	while ((c = next_untold(server))) {
		c->told = true;
		c->pins++;
		if (c->state == HTTP_IDLE)
			http_enter(c, HTTP_IDLE);
		hurry(c);
		http_settle(c);
		http_unpin(c);
	}
	for (c = server->first; c; c = c->next)
		c->told = server->stopping;
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
