/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection explained to an operator: each step and each certificate in a sentence, what is wrong, and what to do.
 *
 * Nothing of a message passes and nothing secret is told: names, numbers, dates. The report is text in lines; its last line is the verdict.
 */
#pragma once

#include <stdint.h>

#include "broker/base/config.h"
#include "broker/net/peers.h"
#include "broker/net/tls.h"
#include "codecs/buffer.h"

/* Outcome of both beside 0 and -errno. */
enum {
	EXPLAIN_BAD = 1, /* it would not work; the report says why */
};

/* Whom to dial. */
struct explain_target {
	const char *host; /* a name or a numeric address */
	uint16_t port;
	const char *server_name;      /* what the certificate must be for */
	const struct config_tls *tls; /* ours: certificate, key, authorities, revocation lists. Read anew */
	uint64_t ms;		      /* for all of it */
};

/*
 * Dial as the broker would: resolve, connect (each address), shake hands, then look at each certificate of the chain (subject, issuer, serial,
 * dates, days left, usage), its name and revocation, and at whether our own certificate was taken. All that is wrong is told, not the first only.
 * Blocks up to ${target}->ms, or RESOLVE_LONGEST_S when no name server answers: on a worker. 0: the broker would send there. EXPLAIN_BAD. -ENOMEM.
 */
int explain_dial(const struct explain_target *target, struct buffer *report)
    __attribute__((warn_unused_result));

/* A peer that dials us: the last certificate seen of it against its entry and the context of today, from memory alone. */
struct explain_peer {
	const struct config_peer *peer;
	const struct tls_identity *last; /* NULL: never seen since the start */
	uint64_t last_seen_us;		 /* wall */
	unsigned connections;
	const struct tls_context *context; /* NULL: revocation is not told of */
	int64_t now_s;
};

/* 0: nothing stands in its way. EXPLAIN_BAD: it could not connect now. -ENOMEM. Does not block. */
int explain_peer(const struct explain_peer *about, struct buffer *report) __attribute__((warn_unused_result));
