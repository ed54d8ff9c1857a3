/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A full block of a queue's entries, packed: what never changes again stands as differences from the block's least sequence and time, in
 * the narrowest of 1, 2, 4 or 8 bytes that holds the largest, and what changes, the state, in 4 bits beside it. So an entry takes about 5
 * bytes rather than 16, is reached by its index without unpacking, and changes state without memory being asked for.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "broker/core/queue.h"

#define QUEUE_BLOCK_ENTRIES 4096u

/* An entry as it comes. */
struct queue_item {
	uint64_t seq : 56;
	uint64_t state : 4;   /* enum queue_state */
	uint64_t outcome : 4; /* enum outcome, of one that is settled or being settled */
	uint32_t time_s;
	uint32_t kib;
};

/* An outcome in two bits and back: 4 stands as 0. */
static inline enum outcome
queue_outcome(unsigned bits)
{
	return bits & 3 ? (enum outcome)(bits & 3) : OUTCOME_DROPPED;
}

struct queue_block {
	uint32_t count;
	uint32_t open; /* entries not settled: the queue's to keep */
	uint64_t last; /* the greatest sequence */
	uint64_t base_seq;
	uint32_t base_time_s;
	uint8_t seq_width, time_width, kib_width; /* bytes */
	uint32_t time_at, kib_at, state_at;	  /* columns in ${bytes}; that of sequences is the first */
	uint8_t bytes[];
};

/* Pack ${count} (> 0) items that stand in order of sequence. The block is the caller's, from malloc; NULL: no memory. */
struct queue_block *queue_block_new(const struct queue_item *items, uint32_t count)
    __attribute__((warn_unused_result));

/* ${index} < block->count. */
uint64_t queue_block_seq(const struct queue_block *block, uint32_t index);
struct queue_item queue_block_get(const struct queue_block *block, uint32_t index);
void queue_block_set(struct queue_block *block, uint32_t index, enum queue_state state, enum outcome outcome);
