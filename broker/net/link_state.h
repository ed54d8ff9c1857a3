/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of a link, shared by the files that drive it: link.c (life), link_handshake.c, link_input.c, link_output.c and listener.c. Nobody
 * else includes this.
 *
 * Invariants: a link is on its listener's list from link_accept until link_bury frees it; ssl and fd are gone once it is CLOSED; it is
 * freed only by its own event `soon` or by listener_free, hence never under a caller's feet.
 */
#pragma once

#include <sys/socket.h>

#include <event2/event_struct.h>

#include "broker/net/deadline.h"
#include "broker/net/link.h"
#include "broker/net/refusals.h"

enum link_state {
	LINK_HANDSHAKE,
	LINK_OPEN,
	LINK_FLUSHING,
	LINK_LINGERING,
	LINK_CLOSED,
};

/* Output that waits. Bytes [from, to) are still to be sent. */
struct chunk {
	struct chunk *next;
	size_t from, to, cap;
	uint8_t data[];
};

struct link {
	struct link *next, **place; /* the listener's list */
	struct listener *listener;
	enum link_state state;
	enum link_end end;
	int fd;
	SSL *ssl;
	struct peer *peer; /* NULL until known */
	void *arg;	   /* the door's; NULL until opened() */
	uint64_t id, opened_us, bytes_in, bytes_out, bytes_dropped;
	struct event on_read, on_write, soon;
	struct deadline guard; /* the state's own */
	struct deadline door;  /* the door's */

	bool reading;	       /* on_read is added */
	bool paused;	       /* the door wants no input */
	bool ended;	       /* the other side has sent its last byte */
	bool in_turn;	       /* inside a callback after which a flush follows anyway */
	bool read_soon;	       /* `soon` reads, too */
	bool blocked;	       /* the socket takes no more; on_write tells */
	bool read_wants_write; /* TLS: the read goes on once the socket takes bytes */

	struct chunk *first, *last;
	size_t waiting;	     /* bytes in chunks */
	bool above;	     /* waiting was above the low-water mark */
	uint64_t mark;	     /* output up to here (bytes_out + waiting, then)... */
	uint64_t mark_by_us; /* ...must have left by then */
	bool untold;	     /* refused like others before it: no line of its own */
	char address[64];
};

struct listener {
	struct listener_options options;
	int fd;
	uint16_t port;
	struct event on_accept;
	struct loop_timer *again; /* after EMFILE */
	bool short_of_files;	  /* told */
	struct loop_timer *tell;  /* refused connections, once a second */
	bool telling;
	uint64_t refused;
	const char *refused_why;
	struct refusals refusals; /* of certificates and handshakes */
	struct link *links;
	size_t count; /* links that are not CLOSED */
	size_t known; /* of them, those whose peer is known */
	struct metric_series *connections;
};

/* link.c */
/* Take ${fd} over in any case. -errno: it was closed. */
int link_accept(struct listener *listener, int fd, const struct sockaddr *from, socklen_t len)
    __attribute__((warn_unused_result));
/* Free a CLOSED link, closed() before. */
void link_bury(struct link *link);
/* The one place where a state changes. */
void link_enter(struct link *link, enum link_state state);
/* Everything is said: half-close and wait for the other side's end. */
void link_linger(struct link *link);
/* Flush (or bury) after the callbacks that are running now. */
void link_soon(struct link *link);
/* Read and flush in the loop's next turn, after other links. */
void link_next_turn(struct link *link);
void link_read_events(struct link *link, bool wanted);
/* Open links of the process. */
size_t links_open(void);

/* link_handshake.c */
void link_shake(struct link *link);
/* The handshake will not succeed: log, count, close. ${identity} NULL: no certificate is concerned. */
void link_refuse(struct link *link, const char *reason, const struct tls_identity *identity);

/* link_input.c: read what is there, within a bound, and flush. */
void link_read(struct link *link);

/* link_output.c */
void link_flush(struct link *link);
void link_output_free(struct link *link);
