/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The core: the one place that decides, journals, routes and queues. It knows no socket and no format.
 *
 * All calls are made on the loop thread, which is the sequencer: decisions are taken in journal order against the state plus what is
 * decided and not yet on disk. State (queues, duplicates) changes only when a record is on disk, by the same code at run time and at
 * replay, so that a restart gives the state that was.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/base/config.h"
#include "broker/core/decision.h"
#include "broker/core/facts.h"
#include "broker/store/journal.h"
#include "broker/store/workers.h"
#include "codecs/fault.h"
#include "codecs/span.h"

struct core;

/* Holds ${config}. Feed the journal's replay to core_replay, then give the journal with core_start. */
int core_new(struct core **corep, const struct config *config) __attribute__((warn_unused_result));
void core_free(struct core *core);

/* A journal_replay_fn; ${core} as arg. */
int core_replay(void *core, const struct record *record);

/* Replay is over: decisions may be taken. Journals RECORD_STARTED. ${workers} confirm duplicates by reading records back. */
int core_start(struct core *core, struct journal *journal, struct workers *workers)
    __attribute__((warn_unused_result));

/*
 * From now on decide by ${config}: routes, bounds, the duplicate window. Takes a hold of its own on it and releases the one before. What is decided
 * stays so, and every number stays that of its name. 0 or -ENOMEM: then nothing has changed.
 */
int core_reconfigure(struct core *core, const struct config *config) __attribute__((warn_unused_result));

/* From now on submissions are answered AR (FAULT_STOPPING). */
void core_stop(struct core *core);

/* Decisions whose records are not on disk yet. */
size_t core_in_flight(const struct core *core);

/*
 * Intake.
 */
enum submission_kind {
	SUBMIT_MESSAGE, /* judged by content; fault (or none) in ${fault} */
	SUBMIT_STRAY,	/* an acknowledgement nobody asked for */
	SUBMIT_FRAME, /* rejected at the frame: ${fault}, ${frame_size}, ${frame_offset}, ${bytes} = its first bytes */
};

/* What a door hands in. It stays the caller's, bytes included, unchanged until done is called. */
struct submission {
	enum submission_kind kind;
	const struct config_peer *peer;
	struct span bytes;	   /* exactly as received */
	uint64_t size;		   /* of what was received (for a cut-off frame more than bytes holds) */
	const uint8_t *sha256;	   /* of the received bytes; NULL for frames */
	const struct facts *facts; /* NULL when nothing could be extracted */
	const struct fault *fault; /* what content found, NULL: nothing wrong */
	uint64_t frame_size, frame_offset;
};

/* The answer to one submission. Pointers are valid during the call. */
struct verdict {
	enum answer answer;
	uint64_t seq; /* of the record; of the first one for a duplicate; 0 when it could not be journalled */
	uint64_t time_us; /* of that record */
	bool duplicate;
	const struct fault *fault; /* NULL when accepted */
	uint64_t first;		   /* FAULT_SAME_ID: the accepted message that has the control id; else 0 */
};

typedef void core_done_fn(void *arg, const struct verdict *verdict);

/*
 * Decide on ${submission}: duplicates, disk floor, routes; journal; then ${done}, once: after the record is on disk, or at once when it is a
 * refusal that cannot be journalled. A positive answer never comes before fdatasync. Answers of one caller come in the order submitted.
 */
void core_submit(struct core *core, const struct submission *submission, core_done_fn *done, void *arg);

/*
 * Queues. Order is that of the journal. They say what waits; whether a reader may see a message at all is said by the message's
 * journalled decision: it may when decision.to names an inbox it reads (also after it was settled).
 */
#define CORE_PARKED SIZE_MAX	   /* the queue of messages that no route wanted */
#define CORE_NONE   (SIZE_MAX - 1) /* no destination: nothing waits there */

/*
 * Destinations are known by number here. A number belongs to a name, for as long as the process lives: a destination that leaves the configuration
 * keeps its number and what waits in it ("orphaned"), and has both again when it comes back.
 */

/* The number of the destination called ${name}, when it is configured; else CORE_NONE. */
size_t core_number(const struct core *core, const char *name);

/* Numbers run from 0 to below this, those of destinations that are not configured (any more) included. */
size_t core_numbers(const struct core *core);
const char *core_name(const struct core *core, size_t number); /* lives as long as the core */
bool core_configured(const struct core *core, size_t number);

/* Up to ${max} sequences waiting in destination ${number} that are greater than ${after}; returns how many. */
size_t core_waiting(const struct core *core, size_t number, uint64_t after, uint64_t *seqs, size_t max);
size_t core_waiting_count(const struct core *core, size_t number);
uint64_t core_oldest_us(const struct core *core, size_t number); /* journal time; 0: empty */

/* Call ${woken} (on the loop thread) when something new waits in ${number}, or it is no longer held. */
struct core_watch {
	struct core_watch *prev, *next;
	size_t number;
	void (*woken)(struct core_watch *watch);
};
void core_watch(struct core *core, struct core_watch *watch);
void core_unwatch(struct core *core, struct core_watch *watch);

/* One item of an acknowledgement. */
struct settlement {
	uint64_t seq;
	enum outcome outcome; /* ACCEPTED or REJECTED, or DROPPED by an operator */
	struct span code, text;
	/* Filled before done. SETTLED_ABSENT: it neither waits there nor is it among the latest that were settled there. */
	enum { SETTLED_NOW = 1, SETTLED_BEFORE, SETTLED_ABSENT } result;
	enum outcome standing; /* what holds now: the first acknowledgement counts */
};

/* ${error}: 0, or the journal could not take it (nothing is settled; say 503). */
typedef void core_settled_fn(void *arg, int error);

/*
 * Journal and apply outcomes for destination ${number}, CORE_PARKED included, by ${who}: a reader, a sender's destination, an operator. ${items} stay
 * the caller's until done.
 */
void core_settle(struct core *core, size_t number, const char *who, struct settlement *items, size_t count,
    core_settled_fn *done, void *arg);

/* Where message ${seq} stands in ${number}: the latest are known, of what was settled long ago the trace tells. */
enum core_standing {
	STANDING_ABSENT = 0,
	STANDING_WAITING, /* or its outcome is on its way to the disk */
	STANDING_SETTLED, /* *${outcome} (may be NULL) is filled */
};
enum core_standing core_standing(const struct core *core, size_t number, uint64_t seq, enum outcome *outcome);

/* Whether an operator holds destination ${number}: nothing is to be sent there. It survives a restart. */
bool core_held(const struct core *core, size_t number);

/* The record of the present hold (who, when, why); 0: it is not held. */
uint64_t core_hold_record(const struct core *core, size_t number);

/* Journal that ${who} holds or (${held} false) releases destination ${number}, and do so once that is on disk. */
void core_hold(struct core *core, size_t number, bool held, const char *who, const char *reason,
    core_settled_fn *done, void *arg);

/*
 * Replay: one message put again into the queue of a destination, behind all that waits there, as a message of its own whose bytes are those of the
 * first. A replay of a replay is one of the first message.
 */
enum replay_result {
	REPLAY_UNDONE = 0, /* the journal could not take it: see ${error} */
	REPLAY_DONE,
	REPLAY_ABSENT,	 /* no accepted message of that sequence, or its bytes are being removed just now */
	REPLAY_BODILESS, /* its bytes are not kept any more, or damaged */
	REPLAY_WAITING,	 /* it (or a replay of it) waits there still: nothing to do */
	REPLAY_MODE,	 /* the other mode: test into production, or the reverse */
	REPLAY_UNROUTED, /* no route wants it now */
};

struct replay {
	uint64_t seq;
	size_t number; /* where to; CORE_NONE: where the present routes lead */
	/* Filled before done: */
	uint64_t new_seq;
	enum replay_result result;
};

/*
 * Replay ${items} in their order for ${who}. What was parked is then taken off there (OUTCOME_DROPPED, "replayed as N"). Subject to the disk
 * floor as intake is: ${error} is then JOURNAL_FLOOR; -ECANCELED: the broker stops. The items before one with REPLAY_UNDONE are done all the
 * same. ${items} stay the caller's until done; ${who} and ${reason} are copied.
 */
void core_replay_message(struct core *core, struct replay *items, size_t count, const char *who,
    const char *reason, core_settled_fn *done, void *arg);

/* Journal that ${who} reads ${what} of ${seq} for ${reason}; the content may be given only in done with error 0. */
void core_access(struct core *core, uint64_t seq, const char *who, const char *what, const char *reason,
    core_settled_fn *done, void *arg);

/*
 * Journal that ${who} purges message ${seq}, then do it: its bytes, and what its facts tell of a patient, are overwritten. ${done} once: 0; -EBUSY: it, or
 * a replay of it, still waits somewhere, or retention is at work on it; -ENOENT: there is no such message; -errno. An act that is on disk and not
 * finished is finished by the next start.
 */
void core_purge(
    struct core *core, uint64_t seq, const char *who, const char *reason, core_settled_fn *done, void *arg);

/* Journal an operator's act. */
void core_operator(struct core *core, const char *who, const char *what, const char *reason,
    core_settled_fn *done, void *arg);

/* Dead-letter what is past greatest age or size. Call it about once a second; does bounded work per call. */
void core_expire(struct core *core);

/* For the journal's retention, on the loop thread: the fate of each record. */
void core_judge(struct core *core, const struct record_head *heads, size_t count, enum journal_fate *fates);

struct core_status {
	uint64_t accepted, refused, deferred, duplicates, stray, frames; /* since start */
	uint64_t parked;
	uint64_t orphaned; /* wait for destinations that are not configured */
	size_t remembered; /* messages in the duplicate window */
	bool stopping;
};
void core_status(const struct core *core, struct core_status *status);
