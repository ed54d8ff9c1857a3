/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the core share: the state that records make, and the decisions that are on their way to the disk.
 *
 * Private to broker/core/. State changes in core_apply_* only, called when a record is on disk and by replay alike.
 */
#pragma once

#include "broker/base/pool.h"
#include "broker/core/core.h"
#include "broker/core/duplicates.h"
#include "broker/core/encoded.h"
#include "broker/core/originals.h"
#include "broker/core/queue.h"
#include "codecs/buffer.h"
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
#define PURGE_WHAT   "purge"

/* A message whose record is on disk, on its way into its queues. Embedded by whoever journalled it. */
struct arrival {
	struct arrival *next;
	struct record_head head;
	struct destination **to;
	size_t to_count;
	void (*arrived)(struct core *core, struct arrival *arrival); /* it is in all of them; may free it */
	void (*dropped)(struct arrival *arrival);		     /* the core ends before: free it */
};

struct pending;
struct replaying;
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
	struct route_index *routes;	 /* of the configuration */
	const struct config_destination *
	    *chosen; /* room for one message's destinations, while its routes are chosen */

	struct window_mark *marks; /* a ring of the window's minutes */
	size_t mark_first, mark_count, mark_room;

	struct early_outcome *early;
	size_t early_count, early_room;
	struct arena scratch; /* replay's and judge's, reset per record */

	struct pool pendings; /* intake's */
	struct encoder encoder;
	struct buffer rows;	 /* names of routes, while one message's are chosen */
	struct pending *pending; /* decided and not on disk, oldest first */
	struct pending **pending_tail;
	struct arrival *unqueued; /* on disk, but there was no memory to queue them: tried again */
	size_t in_flight;

	struct originals *originals; /* whose bytes replays still need */
	struct replaying *replaying; /* under way */
	uint64_t *purges; /* messages that former runs purged, until the start has looked after them */
	size_t purge_count;
	struct journal_place judged; /* the last record that retention asked about */

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

/* Put ${arrival} into its queues, now or as soon as there is memory; queues keep the order of the journal. */
void core_arrive(struct core *core, struct arrival *arrival);

/* Message ${seq} was settled somewhere: when it was a replay and waits nowhere else, it needs no bytes any more. */
void core_settled(struct core *core, uint64_t seq);

/* Whether ${seq}, or the bytes of it, are wanted by anything that waits or is on its way into a queue. */
bool core_is_live(const struct core *core, uint64_t seq);

/* Message ${seq} was purged by an act of a former run: remember it; and, at the start, see that it is. 0 or -errno. */
int core_purge_replayed(struct core *core, uint64_t seq) __attribute__((warn_unused_result));
int core_purges_resume(struct core *core) __attribute__((warn_unused_result));

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
void core_retry_unqueued(struct core *core);

/* What intake keeps between messages. The end comes behind all that is under way. */
void core_intake_init(struct core *core);
void core_intake_fini(struct core *core);

/* Free what never came to an end; only after the journal is closed. */
void core_unqueued_fini(struct core *core);
void core_settle_fini(struct core *core);
void core_replay_fini(struct core *core);
