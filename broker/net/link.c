/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a link: its states, its events, its end.
 *
 * What the states do is elsewhere: link_handshake.c, link_input.c, link_output.c; what is logged of them: link_tell.c. Here are the transitions, lingering, and the one road out:
 * link_drop closes at once, and leaves closed() and the freeing to an event of the link's own.
 */
#include <errno.h>
#include <netdb.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>
#include <openssl/err.h>

#include "broker/net/link_state.h"

static atomic_uint_fast64_t last_id;
static atomic_size_t open_links;

static const char *const state_names[] = {
	[LINK_HANDSHAKE] = "handshake",
	[LINK_OPEN] = "open",
	[LINK_FLUSHING] = "flushing",
	[LINK_LINGERING] = "lingering",
	[LINK_CLOSED] = "closed",
};

const char *
link_end_name(enum link_end end)
{
	static const char *const names[] = {
		[LINK_CLOSED_BY_PEER] = "closed-by-peer",
		[LINK_RESET] = "reset",
		[LINK_DEADLINE] = "deadline",
		[LINK_SLOW_READER] = "slow-reader",
		[LINK_CLOSED_BY_US] = "closed-by-us",
		[LINK_STOPPING] = "stopping",
		[LINK_REVOKED] = "revoked",
	};

	return names[end];
}

size_t
links_open(void)
{
	return atomic_load_explicit(&open_links, memory_order_relaxed);
}

void
link_read_events(struct link *link, bool wanted)
{
	if (wanted == link->reading)
		return;
	link->reading = wanted;
	if (wanted)
		event_add(&link->on_read, NULL);
	else
		event_del(&link->on_read);
}

void
link_soon(struct link *link)
{
	event_active(&link->soon, EV_TIMEOUT, 0);
}

void
link_next_turn(struct link *link)
{
	static const struct timeval now = { 0, 0 };

	link->read_soon = true;
	event_add(&link->soon, &now);
}

void
link_enter(struct link *link, enum link_state state)
{
	link->state = state;
	if (state != LINK_HANDSHAKE)
		pace_leave(loop_pace(link_loop(link)), &link->turn);
	switch (state) {
	case LINK_HANDSHAKE:
		deadline_set(&link->guard, link->shaken_by_us);
		link_read_events(link, true);
		break;
	case LINK_OPEN:
		deadline_cancel(&link->guard);
		link_read_events(link, true);
		break;
	case LINK_FLUSHING:
		deadline_cancel(&link->door);
		link_read_events(link, false);
		break;
	case LINK_LINGERING:
		deadline_cancel(&link->door);
		deadline_set(&link->guard, loop_now_us(link_loop(link)) + LINK_LINGER_MS * 1000);
		event_del(&link->on_write);
		link_read_events(link, true);
		break;
	case LINK_CLOSED:
		link_read_events(link, false);
		event_del(&link->on_write);
		event_del(&link->soon);
		deadline_fini(&link->guard);
		deadline_fini(&link->door);
		link_soon(link);
		break;
	}
}

void
link_linger(struct link *link)
{
	link_farewell(link);
	if (link->ended || shutdown(link->fd, SHUT_WR) < 0)
		link_drop(link, link->end);
	else
		link_enter(link, LINK_LINGERING);
}

/* Throw away what still comes, within the bound; then wait for the guard. */
static void
linger_read(struct link *link)
{
	ssize_t n = recv(link->fd, loop_scratch(link_loop(link)), LOOP_SCRATCH, 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		link_drop(link, link->end);
		return;
	}
	link->bytes_dropped += (uint64_t)n;
	if (link->bytes_dropped >= LINK_LINGER_BYTES)
		link_read_events(link, false);
}

static void
read_fire(evutil_socket_t fd, short what, void *arg)
{
	struct link *link = arg;

	(void)fd;
	(void)what;
	switch (link->state) {
	case LINK_HANDSHAKE:
		link_shake_in_turn(link);
		break;
	case LINK_OPEN:
		link_read(link);
		break;
	case LINK_LINGERING:
		linger_read(link);
		break;
	case LINK_FLUSHING:
	case LINK_CLOSED:
		break;
	}
}

static void
write_fire(evutil_socket_t fd, short what, void *arg)
{
	struct link *link = arg;

	(void)fd;
	(void)what;
	if (link->state == LINK_HANDSHAKE) {
		link_shake_in_turn(link);
		return;
	}
	link->blocked = false;
	if (link->read_wants_write) {
		link->read_wants_write = false;
		link_read(link); /* flushes as well */
	} else {
		link_flush(link);
	}
}

static void
soon_fire(evutil_socket_t fd, short what, void *arg)
{
	struct link *link = arg;

	(void)fd;
	(void)what;
	if (link->state == LINK_CLOSED)
		link_bury(link);
	else if (link->read_soon)
		link_read(link); /* flushes as well */
	else
		link_flush(link);
}

static void
guard_passed(void *arg)
{
	struct link *link = arg;

	if (link->state == LINK_HANDSHAKE)
		link_refuse(link, "timeout", NULL);
	else if (link->state == LINK_LINGERING)
		link_drop(link, link->end);
	else
		link_drop(link, LINK_SLOW_READER);
}

static void
door_passed(void *arg)
{
	struct link *link = arg;
	const struct link_handler *handler = link->owner->handler;

	if (link->state == LINK_OPEN && handler->deadline)
		handler->deadline(link->arg);
	else if (link->state == LINK_OPEN)
		link_drop(link, LINK_DEADLINE);
}

void
link_address_text(char *to, size_t size, const struct sockaddr *address, socklen_t len)
{
	char host[46], port[8];

	if (getnameinfo(
		address, len, host, sizeof(host), port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV))
		snprintf(to, size, "unknown");
	else
		snprintf(to, size, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
}

int
link_new(struct link **linkp, struct link_owner *owner, int fd, SSL *ssl, const struct sockaddr *with,
    socklen_t len)
{
	struct event_base *base = loop_base(owner->loop);
	struct link *link;

	link = calloc(1, sizeof(*link));
	ERR_clear_error();
	if (link) {
		link->fd = fd;
		link->ssl = ssl;
	}
	if (!link || (ssl && link_wire_init(link))) {
		ERR_clear_error();
		SSL_free(ssl);
		free(link);
		close(fd);
		return -ENOMEM;
	}
	link->owner = owner;
	link->id = atomic_fetch_add(&last_id, 1) + 1;
	link->opened_us = loop_now_us(owner->loop);
	link->end = LINK_CLOSED_BY_US;
	link_address_text(link->address, sizeof(link->address), with, len);
	event_assign(&link->on_read, base, fd, EV_READ | EV_PERSIST, read_fire, link);
	event_assign(&link->on_write, base, fd, EV_WRITE, write_fire, link);
	evtimer_assign(&link->soon, base, soon_fire, link);
	deadline_init(&link->guard, owner->loop, guard_passed, link);
	deadline_init(&link->door, owner->loop, door_passed, link);

	link->next = owner->links;
	link->place = &owner->links;
	if (link->next)
		link->next->place = &link->next;
	owner->links = link;
	owner->count++;
	if (!owner->outward)
		atomic_fetch_add(&open_links, 1);
	if (owner->connections)
		metric_set(owner->connections, (int64_t)owner->count);
	*linkp = link;
	return 0;
}

void
link_drop(struct link *link, enum link_end end)
{
	struct link_owner *owner = link->owner;

	if (link->state == LINK_CLOSED)
		return;
	link->end = end;
	link_tell_closed(link);
	if (link->known)
		owner->known--;
	if (link->peer)
		link->peer->connections--;
	link_enter(link, LINK_CLOSED);
	SSL_free(link->ssl);
	link->ssl = NULL;
	ERR_clear_error();
	close(link->fd);
	link->fd = -1;
	link_wire_fini(link);
	link_output_free(link);
	owner->count--;
	if (!owner->outward)
		atomic_fetch_sub(&open_links, 1);
	if (owner->connections)
		metric_set(owner->connections, (int64_t)owner->count);
}

void
link_bury(struct link *link)
{
	struct link_owner *owner = link->owner;

	event_del(&link->soon);
	*link->place = link->next;
	if (link->next)
		link->next->place = link->place;
	if (owner->gone)
		owner->gone(owner, link);
	if (link->arg)
		owner->handler->closed(link->arg, link->end); /* the owner may end here */
	free(link);
}

void
link_close(struct link *link)
{
	if (link->state != LINK_OPEN)
		return;
	link->end = link->ended ? LINK_CLOSED_BY_PEER : LINK_CLOSED_BY_US;
	link_enter(link, LINK_FLUSHING);
	if (!link->in_turn)
		link_soon(link);
}

void
link_pause(struct link *link)
{
	link->paused = true;
	if (link->state == LINK_OPEN)
		link_read_events(link, false);
}

void
link_resume(struct link *link)
{
	if (!link->paused)
		return;
	link->paused = false;
	if (link->state != LINK_OPEN || link->ended)
		return;
	link_read_events(link, true);
	if (link->wire.ahead.len || (!link->in_turn && link_pending(link)))
		link_next_turn(link);
}

void
link_deadline(struct link *link, uint64_t ms)
{
	if (link->state != LINK_OPEN)
		return;
	if (ms)
		deadline_set(&link->door, loop_now_us(link_loop(link)) + ms * 1000);
	else
		deadline_cancel(&link->door);
}

struct peer *
link_peer(const struct link *link)
{
	return link->peer;
}

const char *
link_why(const struct link *link)
{
	return link->why;
}

uint64_t
link_id(const struct link *link)
{
	return link->id;
}

const char *
link_address(const struct link *link)
{
	return link->address;
}

struct loop *
link_loop(const struct link *link)
{
	return link->owner->loop;
}

void
link_stat(const struct link *link, struct link_stat *stat)
{
	*stat = (struct link_stat){
		.id = link->id,
		.opened_us = link->opened_us,
		.bytes_in = link->bytes_in,
		.bytes_out = link->bytes_out,
		.state = state_names[link->state],
		.peer = link->peer ? link->peer->config->name : "",
		.address = link->address,
		.listener = link->owner->name,
	};
}
