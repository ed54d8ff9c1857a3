/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificate -> peer: the identity every right hangs on; and what is remembered of each peer at run time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/base/budget.h"
#include "broker/base/config.h"
#include "broker/base/metrics.h"
#include "broker/net/bounces.h"
#include "broker/net/changes.h"
#include "broker/net/ends.h"
#include "broker/net/tls.h"

/* The run-time side of one peer, at one address for the life of the process. On the loop thread only. */
struct peer {
	/* Of the present configuration: another after peers_reconfigure, so nothing of it is kept beyond a callback without holding the
	 * configuration, and no worker looks through it. Never NULL: one that is not configured (any more) may do nothing. */
	const struct config_peer *config;
	char *name; /* as long as the peer */
	unsigned connections;
	unsigned large_held;	    /* the large slots that it has (the doors') */
	struct budget_share memory; /* what its connections to the doors hold */
	unsigned polls;		    /* requests of the pull API that wait for something to list */
	uint64_t last_seen_us;	    /* wall; 0: never */
	struct tls_identity last;   /* see peer_certificate */
	bool shown; /* its newest connection came with that one; false: with none, through a plain listener */
	struct ends_told told; /* of its end; for ends.c */
	uint64_t junk_bytes;   /* refused in the current hour */
	uint64_t junk_hour;
	uint64_t heard_us;	/* monotonic: its last message, or when we began to listen; of presence.c */
	struct bounces bounces; /* its connections, as the log tells them */
	struct changes silence; /* likewise */
	struct metric_series *messages, *message_bytes, *refused, *deferred, *duplicates, *restamped,
	    *same_id, *stray, *certificate_days;
	struct config_peer gone; /* what ${config} is while it is not configured */
};

struct peers;

/* Holds ${config}. */
int peers_new(struct peers **peersp, const struct config *config) __attribute__((warn_unused_result));
void peers_free(struct peers *peers);

/*
 * Go by another configuration, in two steps: the first makes all that the second needs, and may fail with -ENOMEM; the second cannot fail. Peers keep
 * their addresses by name; one that is not in ${config} is no certificate's from then on, and has its rights again with its next appearance.
 * The second takes a hold on ${config} and releases that on the one before.
 */
int peers_prepare(struct peers *peers, const struct config *config) __attribute__((warn_unused_result));
void peers_reconfigure(struct peers *peers, const struct config *config);

/* Whether ${peer} is in the present configuration. */
static inline bool
peer_configured(const struct peer *peer)
{
	return peer->config != &peer->gone;
}

/* The last certificate that ${peer} showed; NULL: none since the start, as of one that comes through a plain listener. */
static inline const struct tls_identity *
peer_certificate(const struct peer *peer)
{
	return peer->last.serial[0] ? &peer->last : NULL;
}

/* Outcomes of peers_match beside 0 and -errno. */
enum {
	PEERS_NONE = 1,
	PEERS_SEVERAL, /* two entries of the configuration claim it: neither is believed */
};

/*
 * The one peer whose identity ${certificate} has: issuer and full subject (RFC 2253 text of both, whole), issuer and one subjectAltName, or the
 * SHA-256 of its public key. Never the CN alone. The certificate was verified before.
 */
int peers_match(struct peers *peers, X509 *certificate, struct peer **peerp)
    __attribute__((warn_unused_result));

/* ${peer} showed ${certificate} just now: remember when and which, and what is left of it. NULL: it came without one, on a plain listener. */
void peer_seen(struct peer *peer, X509 *certificate);

/* Days left from which `status` does not call a certificate good any more: ours, and a partner's (theirs to renew, ours to remind them of). */
#define PEERS_OWN_SOON	   30
#define PEERS_PARTNER_SOON 14

struct peer *peers_at(struct peers *peers, size_t index);	/* index of the configuration */
struct peer *peers_find(struct peers *peers, const char *name); /* NULL: none of that name is configured */
size_t peers_count(const struct peers *peers);

/* Charge ${bytes} of junk; true when the peer's hourly quota is passed. Any clock, always the same. */
bool peer_charge_junk(struct peer *peer, uint64_t bytes, uint64_t now_us);
