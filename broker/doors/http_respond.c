/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Responses: a head and content that is in memory, small ones in one piece, others as fast as the link takes them.
 */
#include <errno.h>
#include <stdio.h>

#include "broker/base/clock.h"
#include "broker/doors/http_state.h"
#include "broker/net/link.h"

#define PIECE_SIZE ((size_t)64 << 10)
#define HEAD_SIZE  ((size_t)4 << 10)
#define GRACE_MS   2000u /* before the least rate of large answers counts */

/* Who gave the response's content may have it back. */
void
http_release(struct http_connection *c)
{
	void (*fn)(void *arg) = c->release;

	c->release = NULL;
	c->left = SPAN_EMPTY;
	c->content = 0;
	if (fn)
		fn(c->release_arg);
}

static void
response_done(struct http_connection *c)
{
	http_release(c);
	if (!c->keep || c->ended || c->server->stopping) {
		http_finish(c);
		return;
	}
	http1_reader_next(&c->reader);
	buffer_fini(&c->body);
	c->request = (struct http_request){ 0 };
	http_enter(c, HTTP_IDLE);
}

/* Give the link as much of the response as it takes without hoarding. */
void
http_push(struct http_connection *c)
{
	while (c->link && c->left.len && link_output(c->link) < PIECE_SIZE) {
		struct span piece = span_cut(c->left, 0, PIECE_SIZE);
		int error = link_send(c->link, piece);

		if (error == -ENOBUFS)
			return; /* drained will come */
		if (error) {
			http_drop(c);
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

/* Large content holds a large slot until it is sent: it must be read as fast as a large message must be sent. */
static void
pace(struct http_connection *c, uint64_t size)
{
	const struct config_limits *limits = &c->server->options.context.config->limits;

	if (c->link && size > limits->large_size)
		link_deadline(c->link, GRACE_MS + size / (limits->large_rate / 1000 + 1));
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
	c->content = response->slotted ? 0 : response->body.bytes.len;
	buffer_init(&out, HEAD_SIZE + PIECE_SIZE);
	if (http1_response_head(&out, &head) != HTTP1_WRITE_OK)
		out.failed = true;
	if (small) { /* one write, one TLS record */
		buffer_append_span(&out, c->left);
		c->left = SPAN_EMPTY;
	}
	http_enter(c, HTTP_SENDING);
	pace(c, response->body.bytes.len);
	if (buffer_failed(&out) || link_send(c->link, buffer_span(&out)) != 0)
		http_drop(c);
	buffer_fini(&out);
}

void
http_respond(struct http_connection *c, const struct http_response *response)
{
	const struct http_service *service = c->server->options.service;

	if (response->body.bytes.len > PIECE_SIZE && !response->slotted &&
	    !budget_room(c->server->options.context.budget, BUDGET_DRAIN)) {
		if (response->body.release)
			response->body.release(response->body.arg);
		http_problem(c, &(struct http_problem){ .status = 503,
				    .name = "overload",
				    .detail = "There is no memory for this answer now.",
				    .retry_s = 5 });
		return;
	}
	c->pins++;
	if (service->answered)
		service->answered(c, response->status, NULL, c->server->options.arg);
	start_response(c, response);
	http_push(c);
	http_settle(c);
	http_unpin(c);
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
	http_push(c);
	http_settle(c);
	http_unpin(c);
}
