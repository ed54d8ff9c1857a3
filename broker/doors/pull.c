/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pull API: routes, rights, and the life of a request.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker/base/metrics.h"
#include "broker/doors/json_budget.h"
#include "broker/doors/pull_request.h"
#include "broker/net/link.h"
#include "broker/net/peers.h"
#include "codecs/http1_target.h"

#define BODY_MAX ((uint64_t)1 << 20) /* an acknowledgement of a hundred thousand items */

static const struct pull_route *const routes[] = {
	&pull_route_inboxes,
	&pull_route_items,
	&pull_route_message,
	&pull_route_document,
	&pull_route_ack,
};

#define ROUTE_COUNT (sizeof(routes) / sizeof(routes[0]))

/* What any request can get: from the codec, the deadlines, the rights. */
static const int any_statuses[] = { 400, 403, 408, 413, 414, 417, 431, 501, 503, 505 };

/* And a request that no route takes. */
static const int no_route_statuses[] = { 404, 405 };

/*
 * Life
 */
void
pull_hold(struct pull_request *request)
{
	request->holds++;
}

/* Once nobody is left who needs it. */
static void
door_check_end(struct pull_door *door)
{
	if (!door->dying || door->requests)
		return;
	config_release(door->context.config);
	free(door->listener);
	free(door);
}

static void
check_end(struct pull_request *request)
{
	struct pull_door *door = request->door;

	if (request->connection || request->holds)
		return;
	if (request->route->fini)
		request->route->fini(request);
	config_release(request->config);
	free(request);
	door->requests--;
	door_check_end(door);
}

void
pull_let_go(struct pull_request *request)
{
	request->holds--;
	check_end(request);
}

/* The connection has its answer from now on. */
static struct http_connection *
detach(struct pull_request *request)
{
	struct http_connection *connection = request->connection;

	request->connection = NULL;
	request->http->state = NULL;
	request->http = NULL;
	return connection;
}

void
pull_answer(struct pull_request *request, const struct http_response *response)
{
	pull_hold(request);
	http_respond(detach(request), response);
	pull_let_go(request);
}

static void
json_sent(void *arg)
{
	free(arg);
}

void
pull_answer_json(struct pull_request *request, int status, struct buffer *json)
{
	struct http_response response = { .status = status,
		.media = "application/json",
		.body = { .bytes = buffer_span(json), .release = json_sent, .arg = json->data } };

	buffer_init(json, json->ceiling);
	pull_answer(request, &response);
}

void
pull_problem(struct pull_request *request, const struct http_problem *problem)
{
	pull_hold(request);
	http_problem(detach(request), problem);
	pull_let_go(request);
}

void
pull_absent(struct pull_request *request)
{
	pull_problem(request,
	    &(struct http_problem){
		.status = 404, .name = "absent", .detail = "There is nothing here that you may read." });
}

void
pull_bad_request(struct pull_request *request, const char *detail)
{
	pull_problem(
	    request, &(struct http_problem){ .status = 400, .name = "bad-request", .detail = detail });
}

void
pull_later(struct pull_request *request, const char *name, const char *detail)
{
	pull_problem(
	    request, &(struct http_problem){ .status = 503, .name = name, .detail = detail, .retry_s = 5 });
}

/*
 * Rights
 */
bool
pull_reads(const struct config_peer *peer, const struct config_destination *inbox)
{
	if (inbox->kind != DESTINATION_INBOX)
		return false;
	for (size_t i = 0; i < inbox->reader_count; i++)
		if (inbox->readers[i] == peer)
			return true;
	return false;
}

const struct config_destination *
pull_inbox(const struct pull_request *request)
{
	const struct config_destination *inbox = config_destination(request->config, request->params[0]);

	return inbox && pull_reads(request->reader, inbox) ? inbox : NULL;
}

void
pull_log(const struct pull_request *request, struct log_line *line, enum log_event event)
{
	log_begin(line, event);
	log_u64(line, "link", request->link_id);
	log_text(line, "peer", request->peer->name);
}

bool
pull_number(const char *text, uint64_t *number)
{
	size_t len = strlen(text);

	if (len == 0 || len > 16 || (text[0] == '0' && len > 1))
		return false;
	*number = 0;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		*number = *number * 10 + (uint64_t)(*text - '0');
	}
	return true;
}

/*
 * Routing
 */

/* Whether ${path} has the form of ${pattern}; its parameters go to ${params}. */
static bool
match(const char *pattern, struct span path, char params[PULL_PARAMS_MAX][PULL_PARAM_SIZE])
{
	struct span want = span_str(pattern), want_segment, segment;
	size_t n = 0;

	while (http1_path_next(&want, &want_segment)) {
		if (!http1_path_next(&path, &segment))
			return false;
		if (want_segment.ptr[0] == '{') {
			if (http1_percent_decode(segment, false, params[n++], PULL_PARAM_SIZE, NULL) !=
			    HTTP1_PARAM_OK)
				return false;
		} else if (!span_eq(segment, want_segment)) {
			return false;
		}
	}
	return !http1_path_next(&path, &segment);
}

/* Whether each parameter of ${query} is among ${names} (blank between). */
static bool
query_known(struct span query, const char *names)
{
	struct http1_param param;

	while (http1_param_next(&query, &param)) {
		struct span rest = span_str(names);
		bool known = false;

		while (rest.len && !known) {
			const uint8_t *blank = memchr(rest.ptr, ' ', rest.len);
			size_t len = blank ? (size_t)(blank - rest.ptr) : rest.len;

			known = span_eq(param.name, span_cut(rest, 0, len));
			rest = span_cut(rest, len + 1, rest.len);
		}
		if (!known)
			return false;
	}
	return true;
}

static void
start(struct http_connection *connection, struct http_request *http, struct pull_door *door,
    const struct pull_route *route, char params[PULL_PARAMS_MAX][PULL_PARAM_SIZE])
{
	struct pull_request *request = calloc(1, route->size);

	if (!request) {
		http_problem(connection, &(struct http_problem){ .status = 503,
					     .name = "overload",
					     .detail = "There is no memory now.",
					     .retry_s = 5 });
		return;
	}
	request->door = door;
	door->requests++;
	request->route = route;
	request->connection = connection;
	request->http = http;
	request->peer = http_peer(connection);
	request->config = config_hold(door->context.config);
	request->reader = request->peer->config;
	request->link_id = http_link_id(connection);
	memcpy(request->params, params, sizeof(request->params));
	http->state = request;
	if (!query_known(http->query, route->query))
		pull_bad_request(request, "A query parameter is not one of this resource.");
	else
		route->start(request);
}

static void
no_route(struct http_connection *connection, const char *allow)
{
	struct http_problem problem = {
		.status = 404, .name = "absent", .detail = "There is nothing here that you may read."
	};

	if (allow)
		problem = (struct http_problem){ .status = 405,
			.name = "method",
			.detail = "This resource has other methods.",
			.allow = allow };
	http_problem(connection, &problem);
}

static void
request(struct http_connection *connection, struct http_request *http, void *service)
{
	enum http1_method method = http->method == HTTP1_HEAD ? HTTP1_GET : http->method;
	char params[PULL_PARAMS_MAX][PULL_PARAM_SIZE] = { { 0 } };
	const char *allow = NULL;

	if (!http_peer(connection)->config->may_read) {
		http_problem(connection, &(struct http_problem){ .status = 403,
					     .name = "not-a-reader",
					     .detail = "This peer may not use the pull API." });
		return;
	}
	for (size_t i = 0; i < ROUTE_COUNT; i++) {
		if (!match(routes[i]->pattern, http->path, params))
			continue;
		if (routes[i]->method == method) {
			start(connection, http, service, routes[i], params);
			return;
		}
		allow = routes[i]->method == HTTP1_GET ? "GET, HEAD" : http1_method_name(routes[i]->method);
	}
	no_route(connection, allow);
}

static void
gone(struct http_connection *connection, struct http_request *http, void *service)
{
	struct pull_request *request = http->state;

	(void)connection;
	(void)service;
	pull_hold(request);
	(void)detach(request);
	if (request->route->stop)
		request->route->stop(request);
	pull_let_go(request);
}

static void
hurry(struct http_connection *connection, struct http_request *http, void *service)
{
	struct pull_request *request = http->state;

	(void)connection;
	(void)service;
	if (request && request->route->hurry)
		request->route->hurry(request);
}

static void
answered(struct http_connection *connection, int status, const char *why, void *service)
{
	char label[16];
	struct log_line line;

	(void)service;
	(void)snprintf(label, sizeof(label), "%d", status);
	metric_add(metric_series(METRIC_HTTP_REQUESTS, label), 1);
	if (!why)
		return;
	log_begin(&line, EVENT_REQUEST_REFUSED);
	log_u64(&line, "link", http_link_id(connection));
	log_text(&line, "peer", http_peer(connection)->config->name);
	log_i64(&line, "status", status);
	log_text(&line, "why", why);
	log_commit(&line);
}

static const struct http_service service = {
	.request = request,
	.gone = gone,
	.hurry = hurry,
	.answered = answered,
};

/*
 * The door. Its links are those of an HTTP server; the handler only finds it.
 */
static void *
opened(struct link *link, struct peer *peer, void *arg)
{
	struct pull_door *door = arg;

	return http_handler.opened(link, peer, door->server);
}

static void
input(void *arg, struct span bytes)
{
	http_handler.input(arg, bytes);
}

static void
input_ended(void *arg)
{
	http_handler.input_ended(arg);
}

static void
drained(void *arg)
{
	http_handler.drained(arg);
}

static void
deadline(void *arg)
{
	http_handler.deadline(arg);
}

static void
closed(void *arg, enum link_end end)
{
	http_handler.closed(arg, end);
}

const struct link_handler pull_handler = {
	.opened = opened,
	.input = input,
	.input_ended = input_ended,
	.drained = drained,
	.deadline = deadline,
	.closed = closed,
};

int
pull_door_new(struct pull_door **doorp, const struct door_context *context, const char *listener)
{
	struct pull_door *door = calloc(1, sizeof(*door));
	struct http_server_options options = {
		.context = *context, .service = &service, .arg = door, .body_max = BODY_MAX
	};
	int error = -ENOMEM;

	if (!door)
		return -ENOMEM;
	json_budget_install();
	door->context = *context;
	config_hold(door->context.config);
	door->listener = strdup(listener);
	if (door->listener)
		error = http_server_new(&door->server, &options);
	if (error) {
		pull_door_free(door);
		return error;
	}
	*doorp = door;
	return 0;
}

void
pull_door_stop(struct pull_door *door, void (*idle)(void *arg), void *arg)
{
	door->stopping = true;
	http_server_stop(door->server, idle, arg);
}

void
pull_door_reconfigure(struct pull_door *door, const struct config *config)
{
	const struct config *before = door->context.config;

	door->context.config = config_hold(config);
	http_server_reconfigure(door->server, config);
	config_release(before);
}

size_t
pull_door_links(const struct pull_door *door)
{
	return http_server_links(door->server);
}

void
pull_door_free(struct pull_door *door)
{
	if (!door)
		return;
	http_server_free(door->server);
	door->dying = true;
	door_check_end(door);
}

static void
print_statuses(struct buffer *out, const int *statuses, size_t max)
{
	for (size_t i = 0; i < max && statuses[i]; i++)
		buffer_printf(out, " %d", statuses[i]);
	buffer_append_byte(out, '\n');
}

void
pull_routes_print(struct buffer *out)
{
	buffer_append_str(out, "ANY *");
	print_statuses(out, any_statuses, sizeof(any_statuses) / sizeof(any_statuses[0]));
	buffer_append_str(out, "NONE *");
	print_statuses(out, no_route_statuses, sizeof(no_route_statuses) / sizeof(no_route_statuses[0]));
	for (size_t i = 0; i < ROUTE_COUNT; i++) {
		buffer_printf(out, "%s %s", http1_method_name(routes[i]->method), routes[i]->pattern);
		print_statuses(out, routes[i]->statuses, PULL_STATUSES_MAX);
		if (routes[i]->method != HTTP1_GET)
			continue;
		buffer_printf(out, "HEAD %s", routes[i]->pattern);
		print_statuses(out, routes[i]->statuses, PULL_STATUSES_MAX);
	}
}
