/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A link: one connection, accepted or dialled (dial.h), until its close, carrying MLLP and HTTP alike. Doors and senders see bytes of whom
 * they know and nothing of sockets, TLS or libevent.
 *
 *     HANDSHAKE -> OPEN -> FLUSHING -> LINGERING -> CLOSED
 *
 * Nothing reaches the handler before the peer is known. Every state has a deadline of the link's own but OPEN, whose deadline is the door's
 * (link_deadline). On the loop thread only; all roads end in one link_drop. Handlers may close or drop the link inside any callback, and
 * outside of them: closed() never runs inside another call of the link, but for listener_free.
 *
 * LINGERING is what lets a last answer arrive: after it at most LINK_LINGER_BYTES are read and thrown away, for at most
 * LINK_LINGER_MS, so that the system does not answer bytes on their way with a reset.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/base/config.h"
#include "broker/net/loop.h"
#include "broker/net/peers.h"
#include "broker/net/tls.h"
#include "codecs/span.h"

struct link;
struct listener;

#define LINK_LINGER_BYTES ((size_t)64 * 1024)
#define LINK_LINGER_MS	  1000u

/* Output below this wakes a door that stopped producing. */
#define LINK_LOW_WATER ((size_t)64 * 1024)

enum link_end {
	LINK_CLOSED_BY_PEER, /* orderly, or between messages */
	LINK_RESET,	     /* the transport failed */
	LINK_DEADLINE,	     /* the deadline the door set passed */
	LINK_SLOW_READER,    /* answers were not read in time */
	LINK_CLOSED_BY_US,   /* link_close or link_drop by the door */
	LINK_STOPPING,
	LINK_REVOKED, /* its certificate or its peer is no longer good */
};

/* As it stands in the log: "closed-by-peer" and so on. */
const char *link_end_name(enum link_end end);

/* What a door implements. ${arg} is what opened() returned. */
struct link_handler {
	/* The peer is known; it is NULL for a link that was dialled. Return the door's own state for the link, or NULL to refuse it (it is
	 * dropped, closed() is not called). The door sets a deadline here: until then it is the limits' idle_ms. */
	void *(*opened)(struct link *link, struct peer *peer, void *door);
	/* Bytes are about to be read: the last moment to pause. May be NULL. */
	void (*before_input)(void *arg);
	/* Bytes arrived, at most LOOP_SCRATCH: valid during the call. The door takes all of them. Not called once paused or closed. */
	void (*input)(void *arg, struct span bytes);
	/* The other side has sent its last byte (close_notify or FIN); we may still answer. Default behaviour if NULL: link_close. */
	void (*input_ended)(void *arg);
	/* Output fell below the low-water mark after having been above it, or became empty. May be NULL. */
	void (*drained)(void *arg);
	/* The deadline set by link_deadline passed. Default behaviour if NULL: drop. */
	void (*deadline)(void *arg);
	/* The link is gone; free the state. Called exactly once after opened() returned non-NULL. */
	void (*closed)(void *arg, enum link_end end);
};

struct listener_options {
	struct loop *loop;
	const struct config *config;
	const struct config_listener *listener;
	struct tls_context *tls;
	struct peers *peers;
	const struct link_handler *handler;
	void *door;
};

/*
 * Bind and listen on a numeric address; what came of it is the caller's to tell (listener_tell). Everything in ${options} is outlived by the
 * listener, but for ${options} itself.
 */
int listener_new(struct listener **listenerp, const struct listener_options *options)
    __attribute__((warn_unused_result));
/* Log `listening`, as ${config_listener} names it. */
void listener_tell(const struct listener *listener, const struct config_listener *config_listener);
void listener_stop(struct listener *listener); /* no new connections; open links go on */
/* Drops the links that are left (LINK_STOPPING); closed() is called at once. Never inside a callback of one of them. NULL is harmless. */
void listener_free(struct listener *listener);
/* Links whose peer is known and that are not closed yet: what a stopping daemon waits for. */
size_t listener_links(const struct listener *listener);
uint16_t listener_port(const struct listener *listener); /* the one bound, when the configuration says 0 */

/*
 * Connections from now on are made with ${tls} and what ${config} and ${config_listener} (which has the same name) say; links that are open keep
 * their SSL, and follow ${config}'s limits from now on. The socket stays: its address is not looked at. Copies what it needs: neither
 * ${config} nor the former context is used any more. After peers_reconfigure: a plain listener's peer is looked up here.
 */
void listener_reconfigure(struct listener *listener, const struct config *config,
    const struct config_listener *config_listener, struct tls_context *tls);

/* Calls ${each} for each link whose peer is known; it may close or drop it. */
void listener_each(struct listener *listener, void (*each)(void *arg, struct link *link), void *arg);

/*
 * Queue a copy of ${bytes} for sending. What one callback queues leaves together. 0; or, with nothing queued, -ENOBUFS when the configured
 * output buffer is full already (the door should have paced itself by link_output and drained), -ENOMEM, or -EPIPE when the link is
 * being closed.
 */
int link_send(struct link *link, struct span bytes) __attribute__((warn_unused_result));
/* Send what is queued now, not after this turn's callbacks: for who queued all there is. Harmless at any time; drained may be called within. */
void link_push(struct link *link);
size_t link_output(const struct link *link); /* bytes not yet given to the socket */

/* Stop and resume reading (back-pressure: the peer's TCP window fills). */
void link_pause(struct link *link);
void link_resume(struct link *link);

/* Call deadline() in ${ms} unless set anew; 0 cancels. The link's own handshake and answer deadlines are its own. */
void link_deadline(struct link *link, uint64_t ms);

/* Send what is queued, close_notify, close. No callback but closed() follows. */
void link_close(struct link *link);
/* Close now, ${end} for the log. No callback but closed() follows. Harmless on a link that is closed already. */
void link_drop(struct link *link, enum link_end end);

struct peer *link_peer(const struct link *link);   /* NULL for a dialled one */
uint64_t link_id(const struct link *link);	   /* a number for log lines, unique in the process */
const char *link_address(const struct link *link); /* "192.0.2.1:4711" */
struct loop *link_loop(const struct link *link);

/*
 * What the other side's alert said when it ended the link ("our certificate was refused: expired"), in closed(); NULL: there was none. One of
 * a closed list of words.
 */
const char *link_why(const struct link *link);

struct link_stat {
	uint64_t id, opened_us, bytes_in, bytes_out;
	const char *state;
	const char *peer;
	const char *address;
	const char *listener; /* or destination */
};
void link_stat(const struct link *link, struct link_stat *stat);
