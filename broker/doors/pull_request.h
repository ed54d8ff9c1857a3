/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of the pull API: its door, its routes, and what every request of it has. For doors/pull*.c only.
 *
 * A request lives while it is unanswered, or something runs for it (a job, a record being written, an answer going out). Each of the
 * latter is counted by pull_hold and pull_let_go; when the client goes away meanwhile, what runs finds no connection and ends.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/base/config.h"
#include "broker/base/log.h"
#include "broker/core/core.h"
#include "broker/doors/http.h"
#include "broker/doors/pull.h"
#include "broker/net/peers.h"

#define PULL_POLLS_MAX	  64u  /* long polls of one peer that wait at a time */
#define PULL_PARAM_SIZE	  130u /* a name, or a number, with its NUL */
#define PULL_PARAMS_MAX	  2u
#define PULL_STATUSES_MAX 20u

struct pull_door {
	struct door_context context;
	char *listener;
	struct http_server *server;
	size_t requests; /* alive, answered or not */
	bool stopping, dying;
};

struct pull_request;

struct pull_route {
	enum http1_method method; /* HEAD too where it is GET */
	const char *pattern;	  /* segments in braces are parameters */
	size_t size;		  /* of the request, which begins with struct pull_request */
	const char *query;	  /* names it takes, blank between */
	void (*start)(struct pull_request *request);
	void (*hurry)(struct pull_request *request); /* may be NULL */
	void (*stop)(
	    struct pull_request *request); /* the client is gone: wait for nothing more; may be NULL */
	void (*fini)(struct pull_request *request);
	int statuses[PULL_STATUSES_MAX]; /* what it can answer beside pull_statuses; 0 ends */
};

struct pull_request {
	struct pull_door *door;
	const struct pull_route *route;
	struct http_connection *connection; /* NULL: answered, or the client is gone */
	struct http_request *http;
	struct peer *peer;
	const struct config *config;	  /* held: that of its beginning, by which it ends... */
	const struct config_peer *reader; /* ...and the peer in it */
	uint64_t link_id;
	unsigned holds;
	char params[PULL_PARAMS_MAX][PULL_PARAM_SIZE];
};

void pull_hold(struct pull_request *request);
void pull_let_go(struct pull_request *request);

/* Answer. The content of ${response} is given back by its release; without one it lives until the request's fini. */
void pull_answer(struct pull_request *request, const struct http_response *response);

/* Answer with the JSON in ${json}, whose memory is taken: it is empty afterwards. */
void pull_answer_json(struct pull_request *request, int status, struct buffer *json);

/* Problems more than one route has. pull_absent is the one answer for what is not there and for what is another's. */
void pull_problem(struct pull_request *request, const struct http_problem *problem);
void pull_absent(struct pull_request *request);
void pull_bad_request(struct pull_request *request, const char *detail);
void pull_later(struct pull_request *request, const char *name, const char *detail);

/* The inbox called as the first parameter, when the peer reads it; else NULL. */
const struct config_destination *pull_inbox(const struct pull_request *request);
bool pull_reads(const struct config_peer *peer, const struct config_destination *inbox);

/* Begin a log line with the link and the peer of ${request}. */
void pull_log(const struct pull_request *request, struct log_line *line, enum log_event event);

/* A decimal number of at most 16 digits without sign or leading zero; false else. */
bool pull_number(const char *text, uint64_t *number) __attribute__((warn_unused_result));

/* The routes' own. */
extern const struct pull_route pull_route_inboxes, pull_route_items, pull_route_message, pull_route_document,
    pull_route_ack;
