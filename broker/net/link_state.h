/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of a link, shared by the files that make, drive and judge links: link*.c, listener.c, dial.c, judge.c. Nobody else includes this.
 *
 * Invariants: a link is on its owner's list from link_new until link_bury frees it; ssl and fd are gone once it is CLOSED; it is freed only
 * by its own event `soon` or by owner_fini, hence never under a caller's feet.
 */
#pragma once

#include <sys/socket.h>

#include <event2/event_struct.h>

#include "broker/base/metrics.h"
#include "broker/net/bounces.h"
#include "broker/net/deadline.h"
#include "broker/net/link.h"
#include "broker/net/pace.h"
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

/* What was read off a TLS link's socket before it was asked for. */
struct wire {
	struct span ahead; /* in the loop's memory during a turn of reading, in kept between them */
	uint8_t *kept;
	bool dry;   /* the socket had no more, in this turn */
	bool ended; /* it told its end */
};

/*
 * Whose links they are: what a listener and a dialler have in common, embedded in both. The hooks are a dialler's.
 */
struct link_owner {
	struct loop *loop;
	const struct link_handler *handler;
	void *door;
	char *name;		       /* the listener's or the destination's; its own copy */
	struct config_limits limits;   /* a copy; open links follow it */
	bool outward;		       /* links are dialled: no peer, we are the client */
	struct seen *seen;	       /* where certificates of servers are remembered; may be NULL */
	enum config_protocol protocol; /* what a listener is for */
	struct tls_context *tls;       /* a listener's, of today; open links may come from an earlier one */
	struct peers *peers;	       /* who may be behind accepted ones */
	struct refusals *refusals;     /* of certificates and handshakes; a listener's */
	struct bounces bounces;	       /* a dialler's: its connections, as the log tells them */
	struct link *links;
	size_t count;			   /* links that are not CLOSED */
	size_t known;			   /* of them, those that were opened */
	struct metric_series *connections; /* NULL: not told */
	/* The handshake came to nothing; the link goes its own way from here. */
	void (*refused)(struct link_owner *owner, const char *why, const struct tls_identity *identity);
	/* ${link} leaves the list; closed() comes next. */
	void (*gone)(struct link_owner *owner, const struct link *link);
};

struct link {
	struct link *next, **place; /* the owner's list */
	struct link_owner *owner;
	enum link_state state;
	enum link_end end;
	int fd;
	SSL *ssl; /* NULL: a plain link */
	struct wire wire;
	struct peer *peer; /* NULL until known, and of dialled links */
	void *arg;	   /* the door's; NULL until opened() */
	const char *why;   /* the alert that ended it; NULL: none */
	uint64_t id, opened_us, bytes_in, bytes_out, bytes_dropped;
	uint64_t judged;       /* the round of judge.c that looked at it last */
	uint64_t shaken_by_us; /* when a handshake must have ended */
	struct event on_read, on_write, soon;
	struct deadline guard; /* the state's own */
	struct deadline door;  /* the door's */
	struct pace_item turn; /* an accepted one's, to go on with its handshake */

	bool known;	       /* counted in owner->known: it was OPEN */
	bool reading;	       /* on_read is added */
	bool paused;	       /* the door wants no input */
	bool ended;	       /* the other side has sent its last byte */
	bool in_turn;	       /* inside a callback after which a flush follows anyway */
	bool read_soon;	       /* `soon` reads, too */
	bool blocked;	       /* the socket takes no more; on_write tells */
	bool broken;	       /* writing failed: what had come is read, then it is dropped */
	bool read_wants_write; /* TLS: the read goes on once the socket takes bytes */
	bool write_wants_read; /* TLS: blocked until something was read */

	struct chunk *first, *last;
	size_t waiting;	     /* bytes in chunks */
	bool above;	     /* waiting was above the low-water mark */
	uint64_t mark;	     /* output up to here (bytes_out + waiting, then)... */
	uint64_t mark_by_us; /* ...must have left by then */
	bool untold;	     /* like others before it, refused or opened: no line of its own */
	char address[64];
};

/* link_owner.c */
/* The caller fills the rest. -ENOMEM. */
int owner_init(struct link_owner *owner, struct loop *loop, const char *name)
    __attribute__((warn_unused_result));
/* Drops and frees the links that are left (LINK_STOPPING), closed() included. */
void owner_fini(struct link_owner *owner);
/* Calls ${each} for each link that was opened and is not CLOSED; it may close or drop it. */
void owner_each(struct link_owner *owner, void (*each)(void *arg, struct link *link), void *arg);
struct link_owner *listener_owner(struct listener *listener);
struct peer *listener_plain_peer(
    const struct listener *listener); /* NULL: it is not plain, or nobody may use it */
struct dialler;
struct link_owner *dialler_owner(struct dialler *dialler);

/* link.c */
/*
 * A link of ${owner} in HANDSHAKE over ${fd} and ${ssl} (NULL: plain), whose role is set; both are taken over in any case. Then link_begin, or
 * link_welcome for a plain one. -ENOMEM: both are closed.
 */
int link_new(struct link **linkp, struct link_owner *owner, int fd, SSL *ssl, const struct sockaddr *with,
    socklen_t len) __attribute__((warn_unused_result));
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
/* Accepted links of the process that are not CLOSED. */
size_t links_open(void);
/* "192.0.2.1:2575", "[2001:db8::1]:2575". */
void link_address_text(char *to, size_t size, const struct sockaddr *address, socklen_t len);

/* link_handshake.c */
/* Shake hands until ${by_us} of the loop's clock. */
void link_begin(struct link *link, uint64_t by_us);
void link_shake(struct link *link);
/* The same when its turn comes, as the loop's pace has it. For those that were accepted: nobody asks us to dial. */
void link_shake_in_turn(struct link *link);
/* The handshake will not succeed: log (or tell the owner), count, close. ${identity} NULL: no certificate is concerned. */
void link_refuse(struct link *link, const char *reason, const struct tls_identity *identity);
/* It is ${peer}, as far as we know who it is; unless it has too many connections, the link is the door's from here on. */
void link_welcome(struct link *link, struct peer *peer);

/* link_tell.c: the log lines of a link's life. */
void link_tell_opened(struct link *link);
void link_tell_closed(struct link *link);
void link_tell_refused(struct link *link, const char *reason, const struct tls_identity *identity);
void link_tell_unknown(struct link *link, const struct tls_identity *identity, const char *why);
/* ${identity} NULL: no certificate is concerned. */
void link_tell_judged(struct link *link, const char *why, const struct tls_identity *identity);
void link_tell_crowd(struct link *link, const struct peer *peer);

/* link_transport.c: TLS or not. */
enum link_io {
	LINK_IO_DONE, /* *${n} bytes went */
	LINK_IO_WANTS_READ,
	LINK_IO_WANTS_WRITE,
	LINK_IO_ENDED,	/* the other side has sent its last byte */
	LINK_IO_FAILED, /* link->why: the alert, if it was one */
};
enum link_io link_take(struct link *link, void *to, size_t len, size_t *n);
enum link_io link_give(struct link *link, const void *from, size_t len, size_t *n);
/* Bytes taken off the socket and not yet read: the socket will not tell of them. A piece of a record counts, too. */
bool link_pending(const struct link *link);
/* close_notify, if there is any use in it. */
void link_farewell(struct link *link);

/* link_wire.c: a TLS link's socket. */
/* Let ssl read from and write to fd. -ENOMEM. */
int link_wire_init(struct link *link) __attribute__((warn_unused_result));
/* A turn of reading begins: the socket may be asked anew. */
void link_wire_begin(struct link *link);
/* It ends: what was read ahead must not stay in the loop's memory. -ENOMEM. */
int link_wire_keep(struct link *link) __attribute__((warn_unused_result));
void link_wire_fini(struct link *link);

/* link_input.c: read what is there, within a bound, and flush. */
void link_read(struct link *link);

/* link_output.c */
void link_flush(struct link *link);
void link_output_free(struct link *link);
