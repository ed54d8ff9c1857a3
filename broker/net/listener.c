/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listening and accepting, and saying no politely: a connection past a limit is taken and closed, and counted in at most one line a second.
 *
 * When the process has no descriptor left, accepting rests for a second instead of turning in circles. A plain listener takes connections of
 * this machine only, whatever its address is. Accepting and handshakes have a small part of the loop's time while open links want it
 * (pace.h); who is not accepted yet waits in the system's queue, where no deadline of ours runs.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include <event2/event.h>
#include <openssl/err.h>

#include "broker/base/log.h"
#include "broker/net/link_state.h"
#include "broker/net/resolve.h"

struct listener {
	struct link_owner owner; /* first */
	int fd;
	uint16_t port;
	unsigned max_connections;
	bool plain;		 /* no TLS: whoever connects is... */
	struct peer *plain_peer; /* ...this one; NULL: nobody */
	struct event on_accept;
	struct pace_item turn;	  /* to accept */
	struct loop_timer *again; /* after EMFILE */
	bool short_of_files;	  /* told */
	struct loop_timer *tell;  /* refused connections, once a second */
	bool telling;
	uint64_t refused;
	const char *refused_why;
	struct refusals refusals;
};

#define ACCEPT_BATCH 16	  /* then the links that are open have their turn */
#define BACKLOG	     1024 /* a reconnect of every sender of a region */
#define TELL_MS	     1000
#define REST_MS	     1000

static void
tell_refused(struct listener *listener)
{
	struct log_line line;

	log_begin(&line, EVENT_CONNECTION_REFUSED);
	log_text(&line, "listener", listener->owner.name);
	log_text(&line, "why", listener->refused_why);
	log_u64(&line, "count", listener->refused);
	log_commit(&line);
	listener->refused = 0;
	listener->telling = true;
	loop_timer_arm(listener->tell, TELL_MS);
}

static void
tell_fire(void *arg)
{
	struct listener *listener = arg;

	listener->telling = false;
	if (listener->refused)
		tell_refused(listener);
}

static void
refuse(struct listener *listener, int fd, const char *why)
{
	close(fd);
	listener->refused++;
	listener->refused_why = why;
	if (!listener->telling)
		tell_refused(listener);
}

/* Not to be accepted for now: told once, until an accept succeeds again. */
static void
rest(struct listener *listener, int error)
{
	struct log_line line;

	event_del(&listener->on_accept);
	loop_timer_arm(listener->again, REST_MS);
	if (listener->short_of_files)
		return;
	listener->short_of_files = true;
	log_begin(&line, EVENT_CONNECTION_REFUSED);
	log_text(&line, "listener", listener->owner.name);
	log_text(&line, "why", "the system gives no more descriptors; accepting rests");
	log_errno(&line, -error);
	log_commit(&line);
}

static void
again_fire(void *arg)
{
	struct listener *listener = arg;

	event_add(&listener->on_accept, NULL);
}

/* The loopback, as IPv4 in IPv6 as well. */
static bool
is_here(const struct sockaddr *from)
{
	const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)from;
	const struct sockaddr_in *four = (const struct sockaddr_in *)from;

	if (from->sa_family == AF_INET)
		return ntohl(four->sin_addr.s_addr) >> 24 == 127;
	if (from->sa_family != AF_INET6)
		return false;
	return IN6_IS_ADDR_LOOPBACK(&six->sin6_addr) ||
	       (IN6_IS_ADDR_V4MAPPED(&six->sin6_addr) && six->sin6_addr.s6_addr[12] == 127);
}

static int
admit_tls(struct listener *listener, int fd, const struct sockaddr *from, socklen_t len)
{
	struct link_owner *owner = &listener->owner;
	struct link *link;
	SSL *ssl;
	int rc;

	ERR_clear_error();
	ssl = SSL_new(tls_ssl_ctx(owner->tls));
	if (!ssl) {
		ERR_clear_error();
		close(fd);
		return -ENOMEM;
	}
	SSL_set_accept_state(ssl);
	rc = link_new(&link, owner, fd, ssl, from, len);
	if (rc == 0)
		link_begin(link, link->opened_us + owner->limits.handshake_ms * 1000);
	return rc;
}

static int
admit_plain(struct listener *listener, int fd, const struct sockaddr *from, socklen_t len)
{
	struct link *link;
	int rc;

	rc = link_new(&link, &listener->owner, fd, NULL, from, len);
	if (rc == 0) {
		peer_seen(listener->plain_peer, NULL);
		link_welcome(link, listener->plain_peer);
	}
	return rc;
}

static void
admit(struct listener *listener, int fd, const struct sockaddr *from, socklen_t len)
{
	int rc = 0;

	if (listener->owner.count >= listener->max_connections)
		refuse(listener, fd, "the listener's greatest number of connections");
	else if (links_open() >= listener->owner.limits.connections)
		refuse(listener, fd, "the broker's greatest number of connections");
	else if (listener->plain && !is_here(from))
		refuse(listener, fd, "without TLS, from another machine");
	else if (listener->plain && !listener->plain_peer)
		refuse(listener, fd, "the listener's peer is not configured");
	else if (listener->plain)
		rc = admit_plain(listener, fd, from, len);
	else
		rc = admit_tls(listener, fd, from, len);
	if (rc < 0)
		rest(listener, ENOMEM);
}

static void
turn_come(struct pace_item *item)
{
	struct listener *listener = (struct listener *)((char *)item - offsetof(struct listener, turn));
	struct sockaddr_storage from;
	socklen_t len;
	int one;

	event_add(&listener->on_accept, NULL);
	for (int i = 0; i < ACCEPT_BATCH; i++) {
		len = sizeof(from);
		one = accept4(listener->fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (one >= 0) {
			listener->short_of_files = false;
			admit(listener, one, (struct sockaddr *)&from, len);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
			rest(listener, errno);
		if (errno != ECONNABORTED && errno != EINTR)
			return; /* EAGAIN: all are taken */
	}
}

static void
accept_fire(evutil_socket_t fd, short what, void *arg)
{
	struct listener *listener = arg;

	(void)fd;
	(void)what;
	if (!pace_ask(loop_pace(listener->owner.loop), &listener->turn))
		event_del(&listener->on_accept);
}

static uint16_t
bound_port(int fd)
{
	struct sockaddr_storage at;
	socklen_t len = sizeof(at);

	if (getsockname(fd, (struct sockaddr *)&at, &len) < 0)
		return 0;
	if (at.ss_family == AF_INET6)
		return ntohs(((struct sockaddr_in6 *)&at)->sin6_port);
	return ntohs(((struct sockaddr_in *)&at)->sin_port);
}

/* A listening socket, or -errno. Accepted sockets inherit its options. */
static int
listen_on(const char *address, uint16_t port)
{
	static const int on = 1;
	struct resolved at;
	int fd, rc;

	if (!resolve_numeric(&at, address, port))
		return -EADDRNOTAVAIL;
	fd = socket(at.addresses[0].at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	/* Without TCP_NODELAY two records and a delayed acknowledgement make 40 ms. */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
	    bind(fd, (struct sockaddr *)&at.addresses[0].at, at.addresses[0].len) < 0 ||
	    listen(fd, BACKLOG) < 0) {
		rc = -errno;
		close(fd);
		return rc;
	}
	return fd;
}

void
listener_tell(const struct listener *listener, const struct config_listener *config)
{
	struct log_line line;

	log_begin(&line, EVENT_LISTENING);
	log_text(&line, "listener", config->name);
	log_text(&line, "protocol", config->protocol == PROTOCOL_MLLP ? "mllp" : "https");
	log_text(&line, "address", config->address);
	log_u64(&line, "port", listener->port);
	if (config->plain) {
		log_text(&line, "tls", "none");
		log_text(&line, "peer", config->plain->name);
	}
	log_commit(&line);
}

void
listener_reconfigure(struct listener *listener, const struct config *config,
    const struct config_listener *config_listener, struct tls_context *tls)
{
	const struct config_peer *plain = config_listener->plain;

	listener->owner.limits = config->limits;
	listener->owner.protocol = config_listener->protocol;
	listener->owner.tls = tls;
	listener->max_connections = config_listener->max_connections;
	listener->plain = plain;
	listener->plain_peer = plain ? peers_find(listener->owner.peers, plain->name) : NULL;
}

static int
prepare(struct listener *listener, const struct listener_options *options)
{
	struct link_owner *owner = &listener->owner;
	int rc;

	rc = owner_init(owner, options->loop, options->listener->name);
	if (rc)
		return rc;
	owner->handler = options->handler;
	owner->door = options->door;
	owner->peers = options->peers;
	owner->refusals = &listener->refusals;
	owner->connections = metric_series(METRIC_CONNECTIONS, owner->name);
	listener_reconfigure(listener, options->config, options->listener, options->tls);
	listener->again = loop_timer_new(options->loop, again_fire, listener);
	listener->tell = loop_timer_new(options->loop, tell_fire, listener);
	return listener->again && listener->tell ? 0 : -ENOMEM;
}

int
listener_new(struct listener **listenerp, const struct listener_options *options)
{
	struct listener *listener;
	int rc;

	listener = calloc(1, sizeof(*listener));
	if (!listener)
		return -ENOMEM;
	listener->fd = -1;
	listener->turn.run = turn_come;
	rc = prepare(listener, options);
	if (rc)
		goto fail;
	rc = listen_on(options->listener->address, options->listener->port);
	if (rc < 0)
		goto fail;
	listener->fd = rc;
	listener->port = bound_port(listener->fd);
	event_assign(&listener->on_accept, loop_base(options->loop), listener->fd, EV_READ | EV_PERSIST,
	    accept_fire, listener);
	if (event_add(&listener->on_accept, NULL)) {
		rc = -ENOMEM;
		goto fail;
	}
	*listenerp = listener;
	return 0;
fail:
	if (listener->fd >= 0)
		close(listener->fd);
	loop_timer_free(listener->again);
	loop_timer_free(listener->tell);
	owner_fini(&listener->owner);
	free(listener);
	return rc;
}

void
listener_stop(struct listener *listener)
{
	if (listener->fd < 0)
		return;
	event_del(&listener->on_accept);
	pace_leave(loop_pace(listener->owner.loop), &listener->turn);
	loop_timer_cancel(listener->again);
	close(listener->fd);
	listener->fd = -1;
}

void
listener_free(struct listener *listener)
{
	if (!listener)
		return;
	listener_stop(listener);
	if (listener->refused)
		tell_refused(listener);
	loop_timer_free(listener->again);
	loop_timer_free(listener->tell);
	owner_fini(&listener->owner);
	free(listener);
}

size_t
listener_links(const struct listener *listener)
{
	return listener->owner.known;
}

uint16_t
listener_port(const struct listener *listener)
{
	return listener->port;
}

void
listener_each(struct listener *listener, void (*each)(void *arg, struct link *link), void *arg)
{
	owner_each(&listener->owner, each, arg);
}

struct peer *
listener_plain_peer(const struct listener *listener)
{
	return listener->plain ? listener->plain_peer : NULL;
}

struct link_owner *
listener_owner(struct listener *listener)
{
	return &listener->owner;
}
