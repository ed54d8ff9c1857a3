/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One try at a time: see dial.h.
 *
 * Invariants: the SSL is made when a try begins and is the dialler's until a link has it; the descriptor is the dialler's while CONNECTING;
 * a failure is told by an event of its own, as the last thing that event does. A name's lookup may outlive the try that began it: the next
 * try for the same name waits for it instead of beginning another, so that a silent name server keeps one thread for each destination at most.
 */
#include "broker/net/dial.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "broker/net/link_state.h"
#include "broker/net/resolve.h"
#include "broker/store/workers.h"

/* A partner that vanished without a word is noticed in KEEP_IDLE_S + KEEP_COUNT * KEEP_EACH_S. */
#define KEEP_IDLE_S 60
#define KEEP_EACH_S 15
#define KEEP_COUNT  4

enum dial_state {
	DIAL_IDLE,
	DIAL_RESOLVING,
	DIAL_CONNECTING,
	DIAL_LINKED, /* in the handshake, open or being closed */
	DIAL_FAILED, /* and not yet told */
};

struct dialler {
	struct link_owner owner; /* first */
	struct workers *workers;
	void (*failed)(void *door, const struct dial_failure *failure);
	enum dial_state state;
	struct deadline deadline; /* of RESOLVING and of each address */
	uint64_t by_us;		  /* of the whole try */
	SSL *ssl;
	struct resolve *resolve; /* perhaps of a try given up */
	struct resolved to;
	size_t at;		     /* the address being tried */
	struct resolve_address shun; /* where a handshake failed last */
	int fd;
	struct event on_connect;
	struct event soon; /* tells a failure */
	struct link *link;
	struct dial_failure failure;
	struct tls_identity identity; /* of failure */
	char address[64];	      /* of failure */
};

static void
let_go(struct dialler *dialler)
{
	deadline_cancel(&dialler->deadline);
	if (dialler->fd >= 0) {
		event_del(&dialler->on_connect);
		close(dialler->fd);
		dialler->fd = -1;
	}
	SSL_free(dialler->ssl);
	dialler->ssl = NULL;
}

static void
fail(struct dialler *dialler, const char *step, const char *why, int error)
{
	let_go(dialler);
	dialler->state = DIAL_FAILED;
	dialler->failure = (struct dial_failure){ .step = step, .why = why, .error = error };
	metric_add(metric_series(METRIC_DIALS_FAILED, why), 1);
	event_active(&dialler->soon, EV_TIMEOUT, 0);
}

static void
soon_fire(evutil_socket_t fd, short what, void *arg)
{
	struct dialler *dialler = arg;
	struct dial_failure failure = dialler->failure;
	struct tls_identity identity = dialler->identity;
	char address[sizeof(dialler->address)];

	(void)fd;
	(void)what;
	memcpy(address, dialler->address, sizeof(address));
	failure.address = address;
	if (failure.identity)
		failure.identity = &identity;
	dialler->state = DIAL_IDLE;
	dialler->failed(dialler->owner.door, &failure); /* it may free the dialler */
}

static const char *
connect_words(int error)
{
	switch (error) {
	case ECONNREFUSED:
		return "connection refused";
	case ETIMEDOUT:
		return "timeout";
	case ENETUNREACH:
	case EHOSTUNREACH:
	case ENETDOWN:
	case EHOSTDOWN:
	case EADDRNOTAVAIL:
		return "no route";
	case EMFILE:
	case ENFILE:
		return "no descriptor";
	case ENOMEM:
	case ENOBUFS:
		return "no memory";
	case EACCES:
	case EPERM:
		return "forbidden here";
	default:
		return "connection failed";
	}
}

/* The link's way ended before it was open. */
static void
refused(struct link_owner *owner, const char *why, const struct tls_identity *identity)
{
	struct dialler *dialler = (struct dialler *)owner;

	dialler->link = NULL;
	dialler->shun = dialler->to.addresses[dialler->at];
	fail(dialler, "handshake", why, 0);
	if (identity) {
		dialler->identity = *identity;
		dialler->failure.identity = &dialler->identity;
	}
}

static void
gone(struct link_owner *owner, const struct link *link)
{
	struct dialler *dialler = (struct dialler *)owner;

	if (link != dialler->link)
		return; /* refused before, and only now at its end */
	dialler->link = NULL;
	dialler->state = DIAL_IDLE;
}

static void
shake(struct dialler *dialler)
{
	const struct resolve_address *with = &dialler->to.addresses[dialler->at];
	SSL *ssl = dialler->ssl;
	struct link *link;
	int fd = dialler->fd, rc;

	event_del(&dialler->on_connect);
	dialler->fd = -1;
	dialler->ssl = NULL;
	SSL_set_connect_state(ssl);
	rc = link_new(&link, &dialler->owner, fd, ssl, (const struct sockaddr *)&with->at, with->len);
	if (rc) {
		fail(dialler, "handshake", "no memory", rc);
		return;
	}
	deadline_cancel(&dialler->deadline);
	dialler->state = DIAL_LINKED;
	dialler->link = link;
	link_begin(link, dialler->by_us);
}

/* A socket on its way to ${to}, or -errno. */
static int
connect_to(const struct resolve_address *to)
{
	static const int on = 1, idle = KEEP_IDLE_S, each = KEEP_EACH_S, count = KEEP_COUNT;
	int fd = socket(to->at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), rc;

	if (fd < 0)
		return -errno;
	/* Without TCP_NODELAY two records and a delayed acknowledgement make 40 ms. */
	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle)) < 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &each, sizeof(each)) < 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count)) < 0 ||
	    (connect(fd, (const struct sockaddr *)&to->at, to->len) < 0 && errno != EINPROGRESS &&
		errno != EINTR)) {
		rc = -errno;
		close(fd);
		return rc;
	}
	return fd;
}

static void connect_fire(evutil_socket_t fd, short what, void *arg);

/* Try the addresses from the present one on; each has its share of the time left. ${error}: what the one before failed with, 0 if there was none. */
static void
connect_next(struct dialler *dialler, int error)
{
	uint64_t now_us = loop_now_us(dialler->owner.loop);

	dialler->state = DIAL_CONNECTING;
	for (; dialler->at < dialler->to.count && now_us < dialler->by_us; dialler->at++) {
		const struct resolve_address *to = &dialler->to.addresses[dialler->at];
		uint64_t share_us = (dialler->by_us - now_us) / (dialler->to.count - dialler->at);
		int fd = connect_to(to);

		link_address_text(
		    dialler->address, sizeof(dialler->address), (const struct sockaddr *)&to->at, to->len);
		if (fd < 0) {
			error = -fd;
			continue;
		}
		dialler->fd = fd;
		event_assign(&dialler->on_connect, loop_base(dialler->owner.loop), fd, EV_WRITE, connect_fire,
		    dialler);
		event_add(&dialler->on_connect, NULL);
		deadline_set(&dialler->deadline, now_us + share_us);
		return;
	}
	if (error == 0)
		error = ETIMEDOUT;
	fail(dialler, "connect", connect_words(error), -error);
}

/* The present address is none: the next. */
static void
give_up_address(struct dialler *dialler, int error)
{
	event_del(&dialler->on_connect);
	close(dialler->fd);
	dialler->fd = -1;
	dialler->at++;
	connect_next(dialler, error);
}

static void
connect_fire(evutil_socket_t fd, short what, void *arg)
{
	struct dialler *dialler = arg;
	int error = 0;
	socklen_t len = sizeof(error);

	(void)what;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (error)
		give_up_address(dialler, error);
	else
		shake(dialler);
}

static void
deadline_passed(void *arg)
{
	struct dialler *dialler = arg;

	if (dialler->state == DIAL_RESOLVING)
		fail(dialler, "resolve", "timeout", -ETIMEDOUT);
	else if (dialler->state == DIAL_CONNECTING)
		give_up_address(dialler, ETIMEDOUT);
}

/* The address where the last handshake failed comes last: another may be better off. */
static void
put_last(struct resolved *to, const struct resolve_address *shun)
{
	struct resolve_address moved;

	for (size_t i = 0; i < to->count; i++) {
		if (to->addresses[i].len != shun->len ||
		    memcmp(&to->addresses[i].at, &shun->at, shun->len) != 0)
			continue;
		moved = to->addresses[i];
		memmove(&to->addresses[i], &to->addresses[i + 1], (to->count - i - 1) * sizeof(moved));
		to->addresses[to->count - 1] = moved;
		return;
	}
}

static void
resolved(void *arg, const struct resolved *found)
{
	struct dialler *dialler = arg;

	dialler->resolve = NULL;
	if (dialler->state != DIAL_RESOLVING)
		return;
	if (found->why) {
		fail(dialler, "resolve", found->why, 0);
		return;
	}
	dialler->to = *found;
	put_last(&dialler->to, &dialler->shun);
	connect_next(dialler, 0);
}

/* 0, also when it failed and that will be told; -ENOMEM. */
static int
find_addresses(struct dialler *dialler, const char *host, uint16_t port)
{
	int rc;

	if (resolve_numeric(&dialler->to, host, port)) {
		connect_next(dialler, 0);
		return 0;
	}
	dialler->state = DIAL_RESOLVING;
	if (dialler->resolve && resolve_is(dialler->resolve, host, port)) {
		deadline_set(&dialler->deadline, dialler->by_us);
		return 0;
	}
	resolve_abandon(dialler->resolve);
	dialler->resolve = NULL;
	rc = resolve_start(&dialler->resolve, dialler->workers, host, port, resolved, dialler);
	if (rc == 0)
		deadline_set(&dialler->deadline, dialler->by_us);
	else if (rc == WORKERS_FULL)
		fail(dialler, "resolve", "too many names are being resolved", 0);
	return rc < 0 ? rc : 0;
}

int
dialler_dial(struct dialler *dialler, const struct config *config, const struct config_dial *to,
    struct tls_context *client)
{
	int rc;

	if (dialler->state != DIAL_IDLE)
		return -EBUSY;
	dialler->owner.limits = config->limits;
	dialler->by_us = loop_now_us(dialler->owner.loop) + to->connect_ms * 1000;
	dialler->at = 0;
	dialler->address[0] = '\0';
	rc = tls_client_ssl(client, to->server_name, &dialler->ssl);
	if (rc == -EINVAL) {
		fail(dialler, "handshake", "not a server's name", rc);
		return 0;
	}
	if (rc)
		return rc;
	rc = find_addresses(dialler, to->host, to->port);
	if (rc) {
		let_go(dialler);
		dialler->state = DIAL_IDLE;
	}
	return rc;
}

int
dialler_new(struct dialler **diallerp, const struct dialler_options *options)
{
	struct dialler *dialler = calloc(1, sizeof(*dialler));
	int rc;

	if (!dialler)
		return -ENOMEM;
	rc = owner_init(&dialler->owner, options->loop, options->name);
	if (rc) {
		free(dialler);
		return rc;
	}
	dialler->owner.outward = true;
	dialler->owner.handler = options->handler;
	dialler->owner.door = options->door;
	dialler->owner.refused = refused;
	dialler->owner.gone = gone;
	dialler->owner.seen = options->seen;
	dialler->workers = options->workers;
	dialler->failed = options->failed;
	dialler->fd = -1;
	deadline_init(&dialler->deadline, options->loop, deadline_passed, dialler);
	evtimer_assign(&dialler->soon, loop_base(options->loop), soon_fire, dialler);
	*diallerp = dialler;
	return 0;
}

void
dialler_cancel(struct dialler *dialler)
{
	struct link *link = dialler->link;

	switch (dialler->state) {
	case DIAL_IDLE:
		return;
	case DIAL_FAILED:
		event_del(&dialler->soon);
		break;
	case DIAL_RESOLVING: /* the lookup itself goes on */
	case DIAL_CONNECTING:
		break;
	case DIAL_LINKED:
		if (link->known) {
			link_drop(link, LINK_CLOSED_BY_US); /* gone() tells when it is */
			return;
		}
		dialler->link = NULL;
		link_drop(link, LINK_CLOSED_BY_US);
		break;
	}
	let_go(dialler);
	dialler->state = DIAL_IDLE;
}

struct link *
dialler_link(const struct dialler *dialler)
{
	return dialler->link && dialler->link->known ? dialler->link : NULL;
}

struct link_owner *
dialler_owner(struct dialler *dialler)
{
	return &dialler->owner;
}

void
dialler_free(struct dialler *dialler)
{
	if (!dialler)
		return;
	if (!dialler->link || !dialler->link->known)
		dialler_cancel(dialler);
	resolve_abandon(dialler->resolve);
	owner_fini(&dialler->owner);
	deadline_fini(&dialler->deadline);
	free(dialler);
}
