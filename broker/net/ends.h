/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates end, and revocation lists grow old: who is told, and when.
 *
 * A certificate is told of when it comes within 60, 30, 14, 7 and 1 days of its end, and when it has ended: each of them once per certificate, and
 * once after a start the one it is within. Ours, the last seen of each peer that dials us, and of each destination that we dial. A revocation list past
 * its next update is told of at once and every hour. On the loop thread only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/net/tls.h"

struct peers;
struct seen;

/* Ours with so many days left is an error, not a warning: getting a new one takes an authority days. */
#define ENDS_NOW_DAYS 7

/* How often a stale revocation list is told of again. */
#define ENDS_AGAIN_S 3600

/* A partner with several machines, or in the middle of a renewal, shows some certificates in turn. */
#define ENDS_TOLD_KEPT 4

/* What was told of the certificates of one peer. All zero: nothing. */
struct ends_told {
	struct {
		char serial[64];
		int64_t not_after;
		int days; /* the threshold told last */
	} at[ENDS_TOLD_KEPT];
	unsigned next; /* the place of the oldest */
};

#define ENDS_FAR 1000 /* no threshold is reached */

/* The least of 60, 30, 14, 7, 1 days that what ends at ${not_after} is within at ${now_s}; 0: it has ended; ENDS_FAR. */
int ends_threshold(int64_t not_after, int64_t now_s);

/* Whether ${identity} has come within a threshold (*${days}) that was not told yet. It counts as told from then on. */
bool ends_due(struct ends_told *told, const struct tls_identity *identity, int64_t now_s, int *days)
    __attribute__((warn_unused_result));

/* What there is to tell beside what peers and destinations remember themselves. All zero at the start. */
struct ends {
	struct ends_told own, seal;
	struct tls_identity seal_identity; /* not_after 0: there is no seal */
	int64_t stale_told_s;		   /* when the lists were looked at for telling last */
	size_t stale, closed;		   /* lists that were told of then */
};

/* From now on tell of ${seal}, too; NULL: there is none. */
struct seal_key;
void ends_seal(struct ends *ends, const struct seal_key *seal);

/*
 * Tell the log what is due at ${now_s} (Unix seconds), and the metrics how many days are left: our certificate and the lists of ${context}, the last seen of
 * ${peers} and of ${seen} (NULL: nothing is dialled). To be called every second, or less often if lists may be told of later; and after a reload.
 */
void ends_tell(struct ends *ends, const struct tls_context *context, struct peers *peers, struct seen *seen,
    int64_t now_s);
