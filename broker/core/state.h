/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the core share: the state that records make, and the decisions that are on their way to the disk.
 *
 * Private to broker/core/. State changes in core_apply_* only, called when a record is on disk and by replay alike.
 */
#pragma once

#include "broker/core/core.h"
#include "broker/core/duplicates.h"
#include "broker/core/queue.h"
#include "codecs/digest.h"

/* Behind the configured destinations stand two queues of the core's own. */
enum {
	QUEUE_PARKED = 0, /* no route wanted it */
	QUEUE_ORPHANED,	  /* addressed to a destination that the configuration has no more */
	QUEUE_OWN_COUNT,
};

/* All messages up to ${seq} are as old as ${time_us} or older. */
struct window_mark {
	uint64_t time_us;
	uint64_t seq;
};

#define WINDOW_MARK_EVERY_US ((uint64_t)60 * 1000000)

/* An outcome that replay met before the message it is about (which retention carried forward). */
struct early_outcome {
	uint64_t ref;
	size_t index;
	enum outcome outcome;
};

struct pending;
struct settle_batch;

struct core {
	const struct config *config;
	struct journal *journal;
	struct workers *workers;
	uint8_t secret[DIGEST_XXH128_SECRET];
	struct duplicates *duplicates;
	struct queue **queues; /* one per destination, then QUEUE_OWN_COUNT */
	size_t queue_count;
	const struct config_destination **by_name; /* the configured ones, in the order of their names */
	size_t *chosen; /* room for one message's destinations, while its routes are chosen */
	struct config_destination
	    own[QUEUE_OWN_COUNT]; /* what the core's own queues are called, and their bounds */
	struct core_watch *watches;

	struct window_mark *marks; /* a ring of the window's minutes */
	size_t mark_first, mark_count, mark_room;

	struct early_outcome *early;
	size_t early_count, early_room;
	struct arena scratch; /* replay's and judge's, reset per record */

	struct pending *pending; /* decided and not on disk, oldest first */
	struct pending **pending_tail;
	struct pending *unapplied; /* on disk, but there was no memory to queue them: tried again */
	size_t in_flight;
	struct settle_batch *settling; /* oldest first */
	struct settle_batch **settling_tail;
	struct metric_series **waiting, **oldest, **delivered, **rejected, **dead;
	struct core_status status;
	bool stopping;
};

/* The queue of ${index}: of a destination, or CORE_PARKED. */
struct queue *core_queue(const struct core *core, size_t index);

/* The destination behind queue ${index}: a configured one or one of the core's own. */
const struct config_destination *core_destination_at(const struct core *core, size_t index);

/* Index of the destination called ${name}, or that of the orphans' queue. */
size_t core_destination(const struct core *core, struct span name);

/* Put message ${head} into the queues ${indexes}; 0 or -ENOMEM (some may have it: pushing again is harmless only at replay). */
int core_apply_accepted(struct core *core, const struct record_head *head, const size_t *indexes,
    size_t count) __attribute__((warn_unused_result));

/* An outcome is on disk. */
void core_apply_outcome(struct core *core, size_t index, uint64_t seq);

/* Note that message ${seq} has journal time ${time_us}; forget what has left the duplicate window. */
void core_mark(struct core *core, uint64_t seq, uint64_t time_us);

/* Tell those who watch destination ${index}. */
void core_wake(struct core *core, size_t index);

/* Queue again what is on disk and found no memory. */
void core_retry_unapplied(struct core *core);

/* Free what never came to an end; only after the journal is closed. */
void core_intake_fini(struct core *core);
void core_settle_fini(struct core *core);
