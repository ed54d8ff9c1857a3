/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Links outwards: one dialler per destination makes one link at a time. Name -> addresses -> TCP -> TLS with a server whose certificate is for
 * the name, within one deadline; then a link like any other (link.h), whose peer is NULL.
 *
 *     IDLE -> RESOLVING -> CONNECTING -> HANDSHAKE -> OPEN -> IDLE
 *
 * A try ends in opened() or in failed(), once, and never inside a call of this module; after dialler_cancel in neither. On the loop thread
 * only. It does not try again by itself, and logs no failure: who dials knows whether it is news. Each is counted by its reason.
 */
#pragma once

#include "broker/net/link.h"

struct dialler;
struct seen;
struct workers;

/* Why a try came to nothing. Texts live as long as the call of failed(). */
struct dial_failure {
	const char *step;		     /* "resolve", "connect", "handshake" */
	const char *why;		     /* one of a closed list of words: a label of a metric */
	int error;			     /* -errno of the system; 0: it is in the words */
	const char *address;		     /* "192.0.2.1:2575": the last one tried; "": none was */
	const struct tls_identity *identity; /* the server's certificate when it is concerned, else NULL */
};

struct dialler_options {
	struct loop *loop;
	/* Where names are resolved. A pool for names alone, 2 threads: a name server that does not answer keeps a thread for 6 s, and must
	 * not keep those that check content. */
	struct workers *workers;
	const char *name; /* the destination's, for the log; copied */
	const struct link_handler *handler;
	void *door;	   /* for opened() and failed() */
	struct seen *seen; /* remembers the certificate that was shown under ${name}; NULL: nobody does */
	void (*failed)(void *door, const struct dial_failure *failure);
};

/* What is in ${options} is outlived by the dialler, but for the name. 0 or -ENOMEM. */
int dialler_new(struct dialler **diallerp, const struct dialler_options *options)
    __attribute__((warn_unused_result));

/*
 * Start one try: ${to}'s host and port, the certificate for ${to}'s server name, within ${to}'s connect_ms from now. Each address of the name is
 * tried in turn, with its share of the time that is left; the first that accepts is shaken hands with. One whose handshake failed comes last from
 * then on. Everything needed of ${config} (its limits), ${to} and ${client} is copied or held: they may go after the call.
 *
 * The link's deadline is the limits' idle_ms until opened() sets another by link_deadline (0: none). What an alert of the server said is link_why
 * in closed(): with TLS 1.3 a server refuses our certificate only after the handshake.
 *
 * 0: opened() or failed() follows. -EBUSY: a try goes on, or its link's closed() was not called yet. -ENOMEM.
 */
int dialler_dial(struct dialler *dialler, const struct config *config, const struct config_dial *to,
    struct tls_context *client) __attribute__((warn_unused_result));

/* Give the try up: no callback follows. An open link is dropped as LINK_CLOSED_BY_US: closed() follows. Harmless when nothing goes on. */
void dialler_cancel(struct dialler *dialler);

/* The link that is open or being closed, NULL: none. */
struct link *dialler_link(const struct dialler *dialler);

/*
 * Cancels; of an open link closed() is called at once (LINK_STOPPING). Never inside a callback of its link; inside failed() it may be. A name
 * that is being resolved on a worker meanwhile does no harm: drain the loop after the workers are stopped. NULL is harmless.
 */
void dialler_free(struct dialler *dialler);
