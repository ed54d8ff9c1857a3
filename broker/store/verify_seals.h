/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verifying signatures: the runs of records that they are about are read first, and kept as their tree's root until the signature comes, which
 * stands behind them. Private to verify.c.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/store/journal_private.h"
#include "broker/store/statement.h"

/* One run as it is read. */
struct verify_run {
	struct statement read; /* segment, from, to, count, chain values, root: those on disk */
	struct tree tree;
	bool begun, whole;
};

/* The runs of one segment; they may not overlap and ascend. */
struct verify_runs {
	struct verify_run *runs;
	size_t count, at;
	uint64_t not_signed; /* records other than signatures in no run */
	bool failed;
};

/* Of the runs of all segments so far, without their trees. */
struct verify_seals {
	struct statement *runs;
	size_t count;
	uint64_t signatures, not_signed;
	struct journal_seal *seals;
	size_t seal_count;
};

/* Under the lock: what memory knows to be signed of ${segment}. 0 or -ENOMEM. */
int verify_runs_take(struct verify_runs *runs, const struct segment *segment)
    __attribute__((warn_unused_result));
void verify_runs_fini(struct verify_runs *runs);

/* A record begins at ${offset}, before it the chain is ${chain}; and ends. 0 or -EIO. */
int verify_runs_before(struct verify_runs *runs, uint64_t offset, const uint8_t *chain)
    __attribute__((warn_unused_result));
int verify_runs_behind(struct verify_runs *runs, uint64_t end, bool signature, struct sha256 *sha,
    const uint8_t *chain) __attribute__((warn_unused_result));

/* The segment is read. 0 or -ENOMEM. */
int verify_seals_runs(struct verify_seals *seals, const struct verify_runs *runs)
    __attribute__((warn_unused_result));

/* A record of a signature in the segment of ${here}: what is wrong with it, or NULL. */
const char *verify_seals_record(
    struct verify_seals *seals, const struct verify_runs *here, struct span facts);

/* Move what was found to ${verified}. */
void verify_seals_give(struct verify_seals *seals, struct journal_verified *verified);
void verify_seals_fini(struct verify_seals *seals);
