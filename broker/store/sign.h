/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signing what stands in the journal: at each seal of a segment, every five minutes, and when a proof is asked for.
 *
 * Private to the journal. A thread of its own signs (OpenSSL's time is nobody else's); the commit thread only adds a hash a record to the tree of
 * the segment it writes. Where that tree is not at hand (after a start, or when a batch was under way while the tree was taken) it is made again
 * from the records. A signature is a record like others: it stands in the journal's order and never delays a commit.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "broker/store/tree.h"

struct journal;
struct record;
struct record_header;
struct segment;

/* The tree as a batch would leave it. */
struct sign_batch {
	struct tree tree;
	uint64_t cuts; /* of the segment when the batch was begun */
	bool kept;
};

/* A signature over records [from, to) of a segment. */
struct segment_signature {
	uint64_t from, to;
	uint64_t seq; /* of its record */
};

/* Commit thread: ${segment} is begun. */
void sign_segment_begin(struct journal *journal, struct segment *segment);
/* Commit thread, without the lock: a batch begins that goes on where ${segment} ends. */
void sign_batch_begin(struct journal *journal, struct segment *segment, struct sign_batch *batch);
/* One record of it, behind which the chain is ${chain}. */
static inline void
sign_batch_add(struct sign_batch *batch, struct sha256 *sha, const uint8_t chain[static DIGEST_SHA256_LEN])
{
	if (batch->kept && tree_add(&batch->tree, sha, chain))
		batch->kept = false;
}
/* Under the lock: the batch is on disk. */
void sign_batch_done(struct segment *segment, const struct sign_batch *batch);

/* Under the lock: ${segment} takes no more records. A signature that is its last record is signed too, so that each of its records is. */
void sign_sealed(struct segment *segment);

/* Recovery, single-threaded: one record of the replay; and the replay is over. 0 or -ENOMEM. */
int sign_replayed(struct journal *journal, const struct record *record) __attribute__((warn_unused_result));
void sign_recovered(struct journal *journal);

/* Under the lock: where the signed records of ${segment} end. */
uint64_t sign_end(const struct segment *segment);

void *sign_main(void *journal);

/* Wait until the record at ${offset} of segment ${number} is signed. False: it is not, in ${ms}, or nothing signs. Blocks. */
bool sign_wait(struct journal *journal, uint32_t number, uint64_t offset, unsigned ms);
