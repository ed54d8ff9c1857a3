/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One HTTP/1.1 server connection over a link: requests in, one at a time, responses out, paced.
 *
 * Pipelined requests wait: what came with one read is kept, further reading is held back until the response is on its way. Every state has
 * an absolute deadline: idle_ms before a request, head_ms for its head, body_ms for its body; the service bounds its own work, the link
 * bounds the reading of responses; what is past large_size must be read at large_rate. A request that is not HTTP gets the status the codec
 * says and the connection is closed. What is held counts in the budget: past it requests, bodies and large answers get 503. Errors are problem details (RFC 9457). No policy, no routes: a service has those.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/doors/door.h"
#include "codecs/buffer.h"
#include "codecs/http1.h"
#include "codecs/http1_write.h"
#include "codecs/span.h"

struct link;
struct link_handler;
struct peer;
struct http_connection;
struct http_server;

/* A complete request. Valid until it is answered or gone() is called. */
struct http_request {
	enum http1_method method;
	struct span path;  /* still percent-encoded */
	struct span query; /* still encoded */
	struct span body;
	const struct http1_fields *fields;
	void *state; /* the service's own; NULL at first */
};

/* What the service of a door implements. */
struct http_service {
	/* Answer ${request} by http_respond or http_problem, now or later, exactly once. */
	void (*request)(struct http_connection *connection, struct http_request *request, void *service);
	/* The connection ended before the answer: nothing may be said on it any more. Only when state is not NULL. */
	void (*gone)(struct http_connection *connection, struct http_request *request, void *service);
	/* The client sends nothing more, or the door stops: a request that only waits for something to happen should be answered. */
	void (*hurry)(struct http_connection *connection, struct http_request *request, void *service);
	/* A response of ${status} begins; for counting and the log. ${why} is NULL when it is no problem. */
	void (*answered)(struct http_connection *connection, int status, const char *why, void *service);
};

struct http_server_options {
	struct door_context context;
	const struct http_service *service;
	void *arg;	   /* the service's ${service} */
	uint64_t body_max; /* of any request, bytes */
};

/* The handler of listeners; their door is a struct http_server. */
extern const struct link_handler http_handler;

int http_server_new(struct http_server **serverp, const struct http_server_options *options)
    __attribute__((warn_unused_result));

/* Use ${config}, which the service holds, from now on, and hurry the requests that wait. */
void http_server_reconfigure(struct http_server *server, const struct config *config);

/* Answer what is being asked, then close every link; ${idle} when none is left (may be NULL). */
void http_server_stop(struct http_server *server, void (*idle)(void *arg), void *arg);
size_t http_server_links(const struct http_server *server);

/* Only when its listener is freed. NULL is harmless. */
void http_server_free(struct http_server *server);

struct peer *http_peer(const struct http_connection *connection);
uint64_t http_link_id(const struct http_connection *connection);

/* Content to send, and who is told when it is needed no more: all sent, or the connection gone. */
struct http_body {
	struct span bytes;
	void (*release)(void *
		arg); /* NULL: the bytes are copied at once if they are few, else must live as long as the connection */
	void *arg;
};

struct http_response {
	int status;
	const char *media; /* NULL: no Content-Type */
	const struct http1_field_out *fields;
	size_t count; /* at most HTTP_FIELDS_MAX */
	struct http_body body;
	bool slotted; /* the service holds a large slot for the content: it is accounted for */
};

#define HTTP_FIELDS_MAX 8u

/* Answer the present request of ${connection}; with 503 when there is no memory to hold content that is not small. */
void http_respond(struct http_connection *connection, const struct http_response *response);

/* What is wrong, for problem details. */
struct http_problem {
	int status;
	const char *name;   /* urn:liaison:problem:NAME, and the member code */
	const char *detail; /* one sentence, nothing of the request or of content */
	unsigned retry_s;   /* Retry-After; 0: none */
	const char *allow;  /* of 405 */
};

void http_problem(struct http_connection *connection, const struct http_problem *problem);

/* Append the problem details of ${problem}. */
void http_problem_write(struct buffer *out, const struct http_problem *problem);

/* The name of the problem that a request is for the codec, which refuses it with ${status}. */
const char *http_problem_name(int status);
