/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control door's connections: lines in, answers out, deadlines, and who is there.
 *
 * A connection is idle (reading, CONTROL_IDLE_S), working (its request is with a command; nothing is read), or answering
 * (writing, CONTROL_ANSWER_S). One request at a time; what else was sent waits in the socket. Every road ends in drop().
 */
#include "broker/doors/control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "broker/base/clock.h"
#include "broker/base/log.h"
#include "broker/doors/control_request.h"
#include "broker/doors/control_socket.h"
#include "broker/doors/json_budget.h"

#define CONNECTIONS_MAX	 16
#define CONTROL_IDLE_S	 60
#define CONTROL_ANSWER_S 30
#define CONTROL_STOP_S	 1 /* an answer that nobody reads does not keep a stopping daemon */
#define ACCEPT_AGAIN_MS	 1000
#define READ_CHUNK	 16384

struct control_connection {
	struct control_connection *prev, *next;
	struct control *control;
	int fd;
	struct event *readable, *writable;
	struct control_caller caller;
	struct buffer in;
	struct control_request *request; /* under way, or being answered */
	size_t sent;			 /* of request->out */
	bool input_ended, last;		 /* no more to read; close after this answer */
};

struct control {
	struct control_options options;
	struct control_socket sock;
	struct event *acceptable;
	struct loop_timer *again;
	struct control_connection *connections;
	struct control_request *requests;
	size_t connection_count, busy;
	uint64_t since_us;
	bool stopping;
};

static void take_lines(struct control_connection *c);

static void
free_request(struct control *control, struct control_request *request)
{
	if (request->prev)
		request->prev->next = request->next;
	else
		control->requests = request->next;
	if (request->next)
		request->next->prev = request->prev;
	control->busy--;
	control_content_free(request->content);
	json_decref(request->row);
	control_line_fini(&request->line);
	arena_fini(&request->arena);
	buffer_fini(&request->out);
	config_release(request->options.config);
	tls_free(request->options.tls);
	free(request);
}

static void
drop(struct control_connection *c)
{
	struct control *control = c->control;
	struct control_request *request = c->request;

	if (c->prev)
		c->prev->next = c->next;
	else
		control->connections = c->next;
	if (c->next)
		c->next->prev = c->prev;
	control->connection_count--;
	if (c->readable)
		event_free(c->readable);
	if (c->writable)
		event_free(c->writable);
	close(c->fd);
	buffer_fini(&c->in);
	free(c);
	if (request) {
		/* A step still under way finds nobody to tell, and control_deliver frees it. */
		request->connection = NULL;
		if (request->ended || request->waiting_to_go_on)
			free_request(control, request);
	}
}

static void
expect_input(struct control_connection *c)
{
	const struct timeval idle = { .tv_sec = CONTROL_IDLE_S };

	if (c->input_ended || event_add(c->readable, &idle) != 0)
		drop(c);
}

static void
expect_room(struct control_connection *c)
{
	const struct timeval answer = { .tv_sec = c->control->stopping ? CONTROL_STOP_S : CONTROL_ANSWER_S };

	if (event_add(c->writable, &answer) != 0)
		drop(c);
}

void
control_deliver(struct control_request *request)
{
	struct control *control = request->control;

	if (!request->connection) {
		free_request(control, request);
		return;
	}
	request->waiting_to_go_on = true;
	request->connection->sent = 0;
	expect_room(request->connection);
}

/* The answer has gone out: the rest of it, the next request, or the end. */
static void
answered(struct control_connection *c)
{
	struct control_request *request = c->request;

	buffer_reset(&request->out);
	if (!request->ended) {
		request->waiting_to_go_on = false;
		request->more(request);
		return;
	}
	c->request = NULL;
	free_request(c->control, request);
	if (c->last || c->control->stopping)
		drop(c);
	else
		take_lines(c);
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct control_connection *c = arg;
	struct buffer *out = &c->request->out;
	ssize_t n;

	if (what & EV_TIMEOUT) {
		drop(c);
		return;
	}
	while (c->sent < out->len) {
		n = send(fd, out->data + c->sent, out->len - c->sent, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			expect_room(c);
			return;
		}
		if (n < 0) {
			drop(c);
			return;
		}
		c->sent += (size_t)n;
	}
	answered(c);
}

static void
log_refusal(const struct control_caller *caller, const char *why)
{
	struct log_line line;

	log_begin(&line, EVENT_CONTROL_REFUSED);
	log_u64(&line, "uid", caller->uid);
	log_u64(&line, "pid", (uint64_t)caller->pid);
	log_text(&line, "why", why);
	log_commit(&line);
}

/* A request for ${c}; NULL (dropped) without memory. */
static struct control_request *
new_request(struct control_connection *c)
{
	struct control *control = c->control;
	struct control_request *request = calloc(1, sizeof(*request));

	if (!request) {
		drop(c);
		return NULL;
	}
	request->control = control;
	request->options = control->options;
	config_hold(request->options.config);
	if (request->options.tls)
		tls_hold(request->options.tls);
	request->with = &request->options;
	request->connection = c;
	request->uid = c->caller.uid;
	snprintf(request->who, sizeof(request->who), "uid:%u", (unsigned)request->uid);
	arena_init(&request->arena, CONTROL_MEMORY_MAX);
	buffer_init(&request->out, CONTROL_OUT_MAX);
	request->next = control->requests;
	if (request->next)
		request->next->prev = request;
	control->requests = request;
	control->busy++;
	c->request = request;
	return request;
}

static void
take_line(struct control_connection *c, struct span text)
{
	struct control_request *request = new_request(c);
	char problem[CONTROL_PROBLEM_MAX];

	if (!request)
		return;
	if (!control_line_parse(&request->line, text, problem)) {
		log_refusal(&c->caller, problem);
		control_fail(request, "request", "%s", problem);
		return;
	}
	control_steps[request->line.verb](request);
}

/* Begin the next request there is, if any: called only while none is under way. */
static void
take_lines(struct control_connection *c)
{
	const uint8_t *end = c->in.len ? memchr(c->in.data, '\n', c->in.len) : NULL;
	struct control_request *request;
	struct buffer line;

	if (!end && c->in.len < CONTROL_LINE_MAX) {
		expect_input(c);
		return;
	}
	if (!end) {
		c->last = true;
		log_refusal(&c->caller, "a line without end");
		if ((request = new_request(c)) != NULL)
			control_fail(request, "request", "a line has at most %d bytes", CONTROL_LINE_MAX);
		return;
	}
	/* The step may drop the connection and its input with it. */
	buffer_init(&line, CONTROL_LINE_MAX);
	buffer_append(&line, c->in.data, (size_t)(end - c->in.data));
	buffer_drop_front(&c->in, (size_t)(end - c->in.data) + 1);
	take_line(c, buffer_span(&line));
	buffer_fini(&line);
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct control_connection *c = arg;
	size_t room = CONTROL_LINE_MAX - c->in.len;
	uint8_t *place;
	ssize_t n;

	if ((what & EV_TIMEOUT) || c->control->stopping ||
	    !(place = buffer_reserve(&c->in, room < READ_CHUNK ? room : READ_CHUNK))) {
		drop(c);
		return;
	}
	n = recv(fd, place, room < READ_CHUNK ? room : READ_CHUNK, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		expect_input(c);
		return;
	}
	if (n < 0) {
		drop(c);
		return;
	}
	if (n == 0)
		c->input_ended = true; /* its answers may still be wanted */
	buffer_commit(&c->in, (size_t)n);
	take_lines(c);
}

/* One line to somebody who gets no more than that; whether it arrives is not our care. */
static void
turn_away(int fd, const char *code, const char *message)
{
	char line[256];
	int len =
	    snprintf(line, sizeof(line), "{\"error\":{\"code\":\"%s\",\"message\":\"%s\"}}\n", code, message);

	(void)!send(fd, line, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT);
	close(fd);
}

static void
admit(struct control *control, int fd, const struct control_caller *caller)
{
	struct control_connection *c = calloc(1, sizeof(*c));
	struct event_base *base = loop_base(control->options.loop);

	if (!c) {
		close(fd);
		return;
	}
	c->control = control;
	c->fd = fd;
	c->caller = *caller;
	buffer_init(&c->in, CONTROL_LINE_MAX + 1);
	c->next = control->connections;
	if (c->next)
		c->next->prev = c;
	control->connections = c;
	control->connection_count++;
	c->readable = event_new(base, fd, EV_READ, on_readable, c);
	c->writable = event_new(base, fd, EV_WRITE, on_writable, c);
	if (!c->readable || !c->writable)
		drop(c);
	else
		expect_input(c);
}

static void
accept_again(void *arg)
{
	struct control *control = arg;

	if (!control->stopping)
		(void)event_add(control->acceptable, NULL);
}

static void
on_acceptable(evutil_socket_t listening, short what, void *arg)
{
	struct control *control = arg;
	struct control_caller caller;
	int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)what;
	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
			event_del(control->acceptable); /* it would be ready again at once */
			loop_timer_arm(control->again, ACCEPT_AGAIN_MS);
		}
		return;
	}
	if (!control_socket_caller(&control->sock, fd, &caller)) {
		log_refusal(&caller, "not root, not our user, not in the socket's group");
		turn_away(fd, "refused", "you may not control this broker");
		return;
	}
	if (control->connection_count >= CONNECTIONS_MAX) {
		log_refusal(&caller, "too many connections");
		turn_away(fd, "busy", "too many connections to the control socket");
		return;
	}
	admit(control, fd, &caller);
}

static void
log_listening(const struct control *control, int error)
{
	struct log_line line;

	log_begin(&line, error ? EVENT_FATAL : EVENT_LISTENING);
	log_text(&line, "listener", "control");
	log_text(&line, "address", control->options.config->socket);
	if (error == -EEXIST)
		log_text(&line, "why", "there is a file of that name that is no socket");
	else if (error == -EADDRINUSE)
		log_text(&line, "why", "another daemon answers there");
	else if (error)
		log_errno(&line, error);
	else
		log_u64(&line, "gid", control->sock.group);
	log_commit(&line);
}

int
control_new(struct control **controlp, const struct control_options *options)
{
	struct control *control = calloc(1, sizeof(*control));
	int r;

	if (!control)
		return -ENOMEM;
	control->options = *options;
	control->since_us = clock_mono_us();
	json_budget_install();
	r = control_socket_open(&control->sock, options->config->socket, options->config->socket_group);
	log_listening(control, r);
	if (r) {
		free(control);
		return r;
	}
	config_hold(control->options.config);
	control->again = loop_timer_new(options->loop, accept_again, control);
	control->acceptable = event_new(
	    loop_base(options->loop), control->sock.fd, EV_READ | EV_PERSIST, on_acceptable, control);
	if (!control->again || !control->acceptable || event_add(control->acceptable, NULL) != 0) {
		control_free(control);
		return -ENOMEM;
	}
	*controlp = control;
	return 0;
}

void
control_reconfigure(struct control *control, const struct config *config, struct tls_context *tls,
    struct listener *const *listeners, size_t count)
{
	const struct config *before = control->options.config;

	control->options.config = config_hold(config);
	control->options.tls = tls;
	control->options.listeners = listeners;
	control->options.listener_count = count;
	config_release(before);
}

void
control_stop(struct control *control)
{
	struct control_connection *c, *next;

	control->stopping = true;
	event_del(control->acceptable);
	for (c = control->connections; c; c = next) {
		next = c->next;
		if (!c->request)
			drop(c);
		else if (c->request->ended || c->request->waiting_to_go_on)
			expect_room(c);
	}
}

uint64_t
control_since_us(const struct control *control)
{
	return control->since_us;
}

size_t
control_content_readers(const struct control *control)
{
	size_t count = 0;

	for (const struct control_request *r = control->requests; r; r = r->next)
		count += r->content != NULL;
	return count;
}

bool
control_stopping(const struct control *control)
{
	return control->stopping;
}

size_t
control_busy(const struct control *control)
{
	return control->busy;
}

void
control_free(struct control *control)
{
	if (!control)
		return;
	while (control->connections)
		drop(control->connections);
	while (control->requests)
		free_request(control, control->requests);
	if (control->acceptable)
		event_free(control->acceptable);
	if (control->again)
		loop_timer_free(control->again);
	control_socket_close(&control->sock);
	config_release(control->options.config);
	free(control);
}
