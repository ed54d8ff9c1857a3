/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The admin door: raw libevent events, one small request a connection, one answer, close. Buffers are bounded by the codec's head limit and by
 * the metrics' own size; no body is taken.
 */
#include "broker/doors/admin.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "broker/base/budget.h"
#include "broker/base/clock.h"
#include "broker/base/log.h"
#include "broker/base/metrics.h"
#include "broker/core/core.h"
#include "broker/doors/http.h"
#include "broker/net/loop.h"
#include "broker/store/journal.h"

#define CONNECTIONS_MAX 16u
#define DEADLINE_MS	5000u
#define ANSWER_MAX	((size_t)16 << 20) /* thousands of peers, tens of series each */
#define READ_SIZE	4096u
#define LISTEN_BACKLOG	16
#define REST_MS		1000u

struct admin_connection {
	struct admin *admin;
	int fd; /* -1: free */
	struct event *event;
	struct loop_timer *deadline; /* of the whole request and its answer */
	struct http1_reader reader;
	struct buffer out;
	size_t sent;
	bool head_only;
};

struct admin {
	struct door_context context;
	int fd;
	uint16_t port;
	struct event *event;
	struct loop_timer *again; /* after EMFILE */
	struct admin_connection connections[CONNECTIONS_MAX];
};

static void
connection_close(struct admin_connection *c)
{
	if (c->event)
		event_free(c->event);
	c->event = NULL;
	loop_timer_free(c->deadline);
	c->deadline = NULL;
	http1_reader_fini(&c->reader);
	buffer_fini(&c->out);
	(void)close(c->fd);
	c->fd = -1;
}

/*
 * Answers
 */
static void
begin_answer(struct admin_connection *c, int status, const char *media, struct span body)
{
	char date[HTTP1_DATE_SIZE];
	const struct http1_field_out fields[] = {
		{ "Date", span_str(http1_date((int64_t)(clock_wall_us() / 1000000), date)) },
		{ "Cache-Control", span_str("no-store") },
		{ "X-Content-Type-Options", span_str("nosniff") },
		{ "Content-Type", span_str(media) },
		{ "Allow", span_str("GET, HEAD") },
	};
	const struct http1_response_head head = {
		.status = status,
		.fields = fields,
		.count = status == 405 ? 5 : 4,
		.content_length = (int64_t)body.len,
		.keep_alive = false,
	};

	if (http1_response_head(&c->out, &head) != HTTP1_WRITE_OK)
		c->out.failed = true;
	if (!c->head_only)
		buffer_append_span(&c->out, body);
}

static void
answer_problem(struct admin_connection *c, int status, const char *name, const char *detail)
{
	struct http_problem problem = { .status = status, .name = name, .detail = detail };
	struct buffer body;

	buffer_init(&body, READ_SIZE);
	http_problem_write(&body, &problem);
	begin_answer(c, status, "application/problem+json", buffer_span(&body));
	buffer_fini(&body);
}

/* What is a state, not a count, is looked up when it is asked for. */
static void
refresh(const struct door_context *context)
{
	uint64_t now_us = journal_now(context->journal);
	struct journal_status status;

	journal_status(context->journal, &status);
	metric_set(metric_series(METRIC_JOURNAL_SEGMENTS, NULL), (int64_t)status.segments);
	metric_set(metric_series(METRIC_DISK_FREE, NULL), (int64_t)status.disk_free);
	metric_set(metric_series(METRIC_DISK_FLOOR, NULL), status.below_floor);
	metric_set(metric_series(METRIC_MEMORY_HELD, NULL), (int64_t)context->budget->used);
	metric_set(
	    metric_series(METRIC_PARKED, NULL), (int64_t)core_waiting_count(context->core, CORE_PARKED));
	/* those that a reload took out as well: their items wait on */
	for (size_t number = 0; number < core_numbers(context->core); number++) {
		const char *name = core_name(context->core, number);
		uint64_t oldest_us = core_oldest_us(context->core, number);

		metric_set(
		    metric_series(METRIC_WAITING, name), (int64_t)core_waiting_count(context->core, number));
		metric_set(metric_series(METRIC_OLDEST, name),
		    oldest_us && now_us > oldest_us ? (int64_t)((now_us - oldest_us) / 1000000) : 0);
	}
}

static void
answer_metrics(struct admin_connection *c)
{
	struct buffer body;

	refresh(&c->admin->context);
	buffer_init(&body, ANSWER_MAX);
	metrics_render(&body);
	if (buffer_failed(&body))
		answer_problem(c, 503, "overload", "There is no memory for the metrics now.");
	else
		begin_answer(c, 200, "text/plain; version=0.0.4; charset=utf-8", buffer_span(&body));
	buffer_fini(&body);
}

static void
answer_ready(struct admin_connection *c)
{
	struct journal_status journal;
	struct core_status core;
	struct buffer body;

	journal_status(c->admin->context.journal, &journal);
	core_status(c->admin->context.core, &core);
	buffer_init(&body, READ_SIZE);
	if (core.stopping)
		buffer_append_str(&body, "stopping\n");
	if (journal.below_floor)
		buffer_append_str(&body, "disk-floor\n");
	if (journal.failed)
		buffer_append_str(&body, "journal-failed\n");
	if (body.len)
		begin_answer(c, 503, "text/plain; charset=utf-8", buffer_span(&body));
	else
		begin_answer(c, 200, "text/plain; charset=utf-8", span_str("ready\n"));
	buffer_fini(&body);
}

/* Names of the loopback, with the port or without: what a browser that was led here by another name does not say. */
static bool
host_is_loopback(struct span host)
{
	static const char *const names[] = { "localhost", "127.0.0.1", "[::1]" };
	const uint8_t *colon = NULL;

	for (size_t i = 0; i < host.len; i++)
		if (host.ptr[i] == ':' && (i == 0 || host.ptr[0] != '[' || host.ptr[i - 1] == ']'))
			colon = &host.ptr[i];
	if (colon)
		host.len = (size_t)(colon - host.ptr);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (http1_equal_nocase(host, span_str(names[i])))
			return true;
	return false;
}

static void
answer(struct admin_connection *c)
{
	const struct http1_request *r = &c->reader.request;

	if (!host_is_loopback(r->host))
		answer_problem(c, 403, "host", "This door answers to the loopback's names only.");
	else if (r->method != HTTP1_GET && r->method != HTTP1_HEAD)
		answer_problem(c, 405, "method", "Everything here is read with GET.");
	else if (span_eq_str(r->path, "/metrics"))
		answer_metrics(c);
	else if (span_eq_str(r->path, "/healthz"))
		begin_answer(c, 200, "text/plain; charset=utf-8", span_str("alive\n"));
	else if (span_eq_str(r->path, "/readyz"))
		answer_ready(c);
	else
		answer_problem(c, 404, "absent", "There is nothing here.");
}

/*
 * Connections
 */
static void
write_on(struct admin_connection *c)
{
	ssize_t n;

	while (c->sent < c->out.len) {
		n = send(c->fd, c->out.data + c->sent, c->out.len - c->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n <= 0) {
			if (n < 0 && (errno == EAGAIN || errno == EINTR))
				return;
			break;
		}
		c->sent += (size_t)n;
	}
	connection_close(c);
}

static void turn(evutil_socket_t fd, short what, void *arg);

static void
begin_writing(struct admin_connection *c)
{
	if (buffer_failed(&c->out) || event_del(c->event) != 0 ||
	    event_assign(
		c->event, loop_base(c->admin->context.loop), c->fd, EV_WRITE | EV_PERSIST, turn, c) != 0 ||
	    event_add(c->event, NULL) != 0) {
		connection_close(c);
		return;
	}
	write_on(c);
}

static void
read_on(struct admin_connection *c)
{
	uint8_t bytes[READ_SIZE];
	struct span input, body;
	ssize_t n = recv(c->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	if (n <= 0) {
		if (n == 0 || (errno != EAGAIN && errno != EINTR))
			connection_close(c);
		return;
	}
	input = span_make(bytes, (size_t)n);
	for (;;) {
		switch (http1_read(&c->reader, &input, &body)) {
		case HTTP1_MORE:
			return;
		case HTTP1_HEAD_DONE:
			c->head_only = c->reader.request.method == HTTP1_HEAD;
			break;
		case HTTP1_BODY:
			break;
		case HTTP1_END:
			answer(c);
			begin_writing(c);
			return;
		case HTTP1_FAULT:
			answer_problem(
			    c, c->reader.status, http_problem_name(c->reader.status), c->reader.reason);
			begin_writing(c);
			return;
		}
	}
}

static void
turn(evutil_socket_t fd, short what, void *arg)
{
	struct admin_connection *c = arg;

	(void)fd;
	if (what & EV_WRITE)
		write_on(c);
	else
		read_on(c);
}

static void
expired(void *arg)
{
	connection_close(arg);
}

static struct admin_connection *
free_place(struct admin *admin)
{
	for (size_t i = 0; i < CONNECTIONS_MAX; i++)
		if (admin->connections[i].fd < 0)
			return &admin->connections[i];
	return NULL;
}

static void
accept_again(void *arg)
{
	struct admin *admin = arg;

	(void)event_add(admin->event, NULL);
}

static void
accepted(evutil_socket_t fd, short what, void *arg)
{
	struct admin *admin = arg;
	struct admin_connection *c;
	int peer = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)what;
	if (peer < 0) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			(void)event_del(admin->event); /* it would be ready again at once */
			loop_timer_arm(admin->again, REST_MS);
		}
		return;
	}
	c = free_place(admin);
	if (!c) {
		(void)close(peer);
		return;
	}
	*c = (struct admin_connection){ .admin = admin, .fd = peer };
	http1_reader_init(&c->reader, 0, 0);
	buffer_init(&c->out, ANSWER_MAX + READ_SIZE);
	c->event = event_new(loop_base(admin->context.loop), peer, EV_READ | EV_PERSIST, turn, c);
	c->deadline = loop_timer_new(admin->context.loop, expired, c);
	if (!c->event || !c->deadline || event_add(c->event, NULL) != 0) {
		connection_close(c);
		return;
	}
	loop_timer_arm(c->deadline, DEADLINE_MS);
}

/*
 * The door
 */

/* 0 and the address, or -EINVAL when it is none, or not the loopback's. */
static int
loopback_address(const char *text, uint16_t port, struct sockaddr_storage *out, socklen_t *len)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)out;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;

	*out = (struct sockaddr_storage){ 0 };
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		*len = sizeof(*v4);
		return ntohl(v4->sin_addr.s_addr) >> 24 == 127 ? 0 : -EINVAL;
	}
	if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
		*len = sizeof(*v6);
		return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr) ? 0 : -EINVAL;
	}
	return -EINVAL;
}

static int
listen_on(struct admin *admin, const struct sockaddr_storage *address, socklen_t len)
{
	struct sockaddr_storage bound = { 0 };
	socklen_t bound_len = sizeof(bound);
	int one = 1;

	admin->fd = socket(address->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (admin->fd < 0)
		return -errno;
	if (setsockopt(admin->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
	    bind(admin->fd, (const struct sockaddr *)address, len) != 0 ||
	    listen(admin->fd, LISTEN_BACKLOG) != 0 ||
	    getsockname(admin->fd, (struct sockaddr *)&bound, &bound_len) != 0)
		return -errno;
	admin->port = ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port
							: ((struct sockaddr_in *)&bound)->sin_port);
	return 0;
}

static void
tell_listening(const struct admin *admin, const char *address)
{
	struct log_line line;

	log_begin(&line, EVENT_LISTENING);
	log_text(&line, "listener", "admin");
	log_text(&line, "protocol", "http");
	log_text(&line, "address", address);
	log_u64(&line, "port", admin->port);
	log_commit(&line);
}

int
admin_new(struct admin **adminp, const struct door_context *context, const char *address_text, uint16_t port)
{
	struct admin *admin = calloc(1, sizeof(*admin));
	struct sockaddr_storage address;
	socklen_t len;
	int error;

	if (!admin)
		return -ENOMEM;
	admin->context = *context;
	config_hold(admin->context.config);
	admin->fd = -1;
	for (size_t i = 0; i < CONNECTIONS_MAX; i++)
		admin->connections[i].fd = -1;
	error = loopback_address(address_text, port, &address, &len);
	if (error)
		goto fail;
	error = listen_on(admin, &address, len);
	if (error)
		goto fail;
	error = -ENOMEM;
	admin->event = event_new(loop_base(context->loop), admin->fd, EV_READ | EV_PERSIST, accepted, admin);
	admin->again = loop_timer_new(context->loop, accept_again, admin);
	if (!admin->event || !admin->again || event_add(admin->event, NULL) != 0)
		goto fail;
	tell_listening(admin, address_text);
	*adminp = admin;
	return 0;
fail:
	admin_free(admin);
	return error;
}

uint16_t
admin_port(const struct admin *admin)
{
	return admin->port;
}

void
admin_reconfigure(struct admin *admin, const struct config *config)
{
	const struct config *before = admin->context.config;

	admin->context.config = config_hold(config);
	config_release(before);
}

void
admin_free(struct admin *admin)
{
	if (!admin)
		return;
	for (size_t i = 0; i < CONNECTIONS_MAX; i++)
		if (admin->connections[i].fd >= 0)
			connection_close(&admin->connections[i]);
	if (admin->event)
		event_free(admin->event);
	loop_timer_free(admin->again);
	if (admin->fd >= 0)
		(void)close(admin->fd);
	config_release(admin->context.config);
	free(admin);
}
