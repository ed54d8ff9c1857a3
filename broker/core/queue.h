/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queue of one destination: an index into the journal, in journal order.
 *
 * The latest 4,096 entries take 16 bytes each, all before them about 5 (queue_block.h). Nothing of it is paged out to a file: what waits
 * weighs at least 1 KiB in a queue's greatest size, so that bounds its index too, to less than 2 % of it (mostly a half), and an index in memory is
 * listed and settled on the loop without waiting for a disk.
 *
 * An entry waits, is being settled (its outcome is decided and not yet on disk) or is settled. The latest settled ones are remembered, so
 * that a repeated acknowledgement can be told what stands; older ones are forgotten in blocks. While the journal is replayed entries may come
 * out of order and twice (retention carries records forward); queue_order puts that right.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/core/decision.h"

struct queue;

enum queue_state {
	QUEUE_ABSENT = 0, /* not here, or settled long ago */
	QUEUE_WAITING,
	QUEUE_SETTLING,
	QUEUE_SETTLED,
};

struct queue_entry {
	uint64_t seq;
	uint64_t time_s; /* journal time, seconds */
	uint64_t size;	 /* bytes, rounded up to 1 KiB */
};

int queue_new(struct queue **queuep) __attribute__((warn_unused_result));
void queue_free(struct queue *queue);

/* Append message ${seq} of journal time ${time_us} and ${size} bytes. 0 or -ENOMEM. */
int queue_push(struct queue *queue, uint64_t seq, uint64_t time_us, uint64_t size)
    __attribute__((warn_unused_result));

/* After replay: sort, drop repetitions, forget what is long settled. 0 or -ENOMEM. */
int queue_order(struct queue *queue) __attribute__((warn_unused_result));

/* Where ${seq} stands; ${outcome} (may be NULL) is filled for SETTLING and SETTLED. */
enum queue_state queue_state(const struct queue *queue, uint64_t seq, enum outcome *outcome);

/* WAITING -> SETTLING; SETTLING -> SETTLED; SETTLING -> WAITING. False when ${seq} is not in the state to leave. */
bool queue_settling(struct queue *queue, uint64_t seq, enum outcome outcome);
bool queue_settled(struct queue *queue, uint64_t seq);
bool queue_unsettle(struct queue *queue, uint64_t seq);

/* Up to ${max} entries that wait (or are being settled) behind ${after}; returns how many. */
size_t queue_list(const struct queue *queue, uint64_t after, struct queue_entry *entries, size_t max);

/* The oldest entry that waits and is not being settled; false when there is none. */
bool queue_first(const struct queue *queue, struct queue_entry *entry);

size_t queue_count(const struct queue *queue); /* not settled */

/* Of what waits and is not being settled, each rounded up to 1 KiB. */
uint64_t queue_bytes(const struct queue *queue);
