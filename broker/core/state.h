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

/*
 * What the core keeps of a destination, of every one it ever heard of: made when the configuration or a record first names it, and never removed, so that
 * its number stays its own and what waits for it is found again when it is configured again.
 */
struct destination {
	char *name;
	size_t number;
	const struct config_destination *configured; /* NULL: not now */
	struct queue *queue;
	struct core_watch *watches;
	struct metric_series *waiting, *oldest, *delivered, *rejected, *dead, *dropped;
	uint64_t hold_seq; /* the newest record that held or released it */
	bool held;
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
	struct destination *destination;
	enum outcome outcome;
};

/* Operators' acts that replay heeds: decision.what of RECORD_OPERATOR. */
#define HOLD_WHAT    "hold"
#define RELEASE_WHAT "release"

struct pending;
struct settle_batch;

struct core {
	const struct config *config;
	struct journal *journal;
	struct workers *workers;
	uint8_t secret[DIGEST_XXH128_SECRET];
	struct duplicates *duplicates;
	struct destination **destinations; /* by their numbers */
	struct destination **by_name;	   /* the same, in the order of their names */
	size_t destination_count, destination_room;
	struct destination *parked;	 /* what no route wanted */
	struct destination **configured; /* by their places in the configuration */
	const struct config_destination *
	    *chosen; /* room for one message's destinations, while its routes are chosen */

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
	struct core_status status;
	bool stopping;
};

/* The destination of ${number}, or what is parked; NULL for CORE_NONE. */
struct destination *core_at(const struct core *core, size_t number);

/* The destination called ${name}, made when it was never heard of; NULL: no memory. */
struct destination *core_destination(struct core *core, struct span name);

/* Make core->parked. 0 or -ENOMEM. */
int core_destinations_init(struct core *core) __attribute__((warn_unused_result));
void core_destinations_fini(struct core *core);

/* What waits for destinations that are not configured; and tell the log of it, when it is something. */
uint64_t core_orphaned(const struct core *core);
void core_tell_orphans(const struct core *core);

/* Put message ${head} into the queues of ${to}; 0 or -ENOMEM (some may have it: pushing again is harmless only at replay). */
int core_apply_accepted(const struct record_head *head, struct destination *const *to, size_t count)
    __attribute__((warn_unused_result));

/* Record ${seq} held or released ${destination}. */
void core_apply_hold(struct destination *destination, uint64_t seq, bool held);

/* Marks for the window of ${config}, *${roomp} of them: NULL, no memory; and go on with them. */
struct window_mark *core_window_new(const struct config *config, size_t *roomp);
void core_window_take(struct core *core, struct window_mark *marks, size_t room);

/* Note that message ${seq} has journal time ${time_us}; forget what has left the duplicate window. */
void core_mark(struct core *core, uint64_t seq, uint64_t time_us);

/* Tell those who watch ${destination}. */
void core_wake(struct destination *destination);

/* Queue again what is on disk and found no memory. */
void core_retry_unapplied(struct core *core);

/* Free what never came to an end; only after the journal is closed. */
void core_intake_fini(struct core *core);
void core_settle_fini(struct core *core);
