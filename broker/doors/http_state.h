/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of an HTTP connection. For doors/http*.c only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "broker/base/budget.h"
#include "broker/doors/http.h"

/* The service's longest wait is a minute; past this its answer is not coming. */
#define HTTP_ASKED_MS 90000u

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
	uint64_t content;   /* bytes of the response held until it is sent */
	struct budget_seat seat;
	void (*release)(void *arg);
	void *release_arg;
	unsigned pins;
	bool reading;	/* in read_requests */
	bool keep;	/* the connection may serve another request */
	bool head_only; /* HEAD: no content */
	bool ended;	/* the client sends nothing more */
	bool paused;
	bool told; /* of the stop, or of another configuration */
};

struct http_server {
	struct http_server_options options;
	struct http_connection *first;
	size_t links;
	bool stopping, dying;
	void (*idle)(void *arg);
	void *idle_arg;
};

/* Below: http.c. All take the connection pinned: counted in pins by who still uses it afterwards. */

/* Drop the count; the last one frees a connection whose link is gone. */
void http_unpin(struct http_connection *c);

/* Be in ${state}, with its deadline. */
void http_enter(struct http_connection *c, enum http_state state);

/* Close when what is queued is sent; close now. */
void http_finish(struct http_connection *c);
void http_drop(struct http_connection *c);

/* After anything happened: read what waits, hold back or go on, close when nothing more can come. */
void http_settle(struct http_connection *c);

/* Below: http_respond.c */

/* Give the link as much of the response as it takes without hoarding. */
void http_push(struct http_connection *c);

/* Who gave the response's content may have it back. */
void http_release(struct http_connection *c);
