/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal's inside, shared by the files that make it up and by nobody else.
 *
 * Threads: appenders (any), the one that commits (the commit thread, or the loop at the end of its turn), the keeper (space, zero-filling ahead,
 * sealed segments), retention, readers. `lock` guards everything but what is marked otherwise; no I/O happens under it.
 * Invariant: segments[] is ascending by number and holds only what was committed; a segment's end, chain and index are those of
 * its committed records.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/base/clock.h"
#include "broker/base/pool.h"
#include "broker/base/post.h"
#include "broker/store/index.h"
#include "broker/store/journal.h"
#include "broker/store/reader.h"
#include "broker/store/record.h"
#include "broker/store/segment.h"
#include "broker/store/sign.h"

#define JOURNAL_PATH_MAX     4096
#define JOURNAL_OPEN_MAX     64 /* descriptors of old segments kept open for readers */
#define JOURNAL_SYNC_RING    128
#define JOURNAL_DAMAGED_TOLD 16 /* damaged records remembered, so that each is told once */
#define QUARANTINE_BYTES                                                                                     \
	((uint64_t)16 << 20)  /* copied of one damaged region: beyond it the segment itself is the copy */
#define QUARANTINE_FILES 1000 /* made by one process */

struct segment {
	uint32_t number;
	uint32_t prev_number;
	uint32_t seed;
	uint8_t id[SEGMENT_ID_LEN];
	uint64_t created_us;
	uint64_t first_seq_hint; /* of its head */
	uint64_t size;		 /* of the file */
	uint64_t end;		 /* of the committed records */
	uint64_t last_us;	 /* newest time of records born here; created_us when there are none */
	uint64_t records;
	uint8_t chain[DIGEST_SHA256_LEN]; /* behind the last record */
	struct index index;
	int fd; /* -1: not open now */
	unsigned users;
	uint64_t used; /* tick of the last use, for closing the idlest */
	bool sealed;   /* no record will be added */
	bool indexed;  /* an index and a foot stand in the file */
	bool voided;   /* a file between two segments: nothing in it counts */
	bool keep;     /* damaged where something live may lie: never removed by retention */
	bool gone;     /* unlinked: freed with its last user */
	bool finish;   /* the keeper is to sync and cut it */
	bool finished; /* index and foot are synced and the foot is the file's end */
	/* signatures over its records (sign.c): ascending, and the chain behind the last of them */
	struct segment_signature *signatures;
	size_t signature_count;
	uint8_t signed_chain[DIGEST_SHA256_LEN];
	struct tree *tree; /* over the records from ${tree_from} on; NULL: made from them when it is wanted */
	uint64_t tree_from;
	uint64_t cuts; /* how often the tree was taken */
	bool news;     /* records other than signatures stand behind the last signature */
};

struct pending {
	struct pending *next;
	struct record_header header;
	struct span facts, decision, body;
	journal_done_fn *done; /* NULL: one of our own, whose waiter looks at `finished` */
	void *arg;
	struct ticket *ticket;
	int error;
	bool push;
};

/* Somebody of ours waiting for records to be on disk. */
struct ticket {
	size_t left;
	int error; /* the first one */
};

struct pending_list {
	struct pending *head;
	struct pending **tail;
};

/* A post_item that may outlive the journal: it frees itself when it runs after the close. */
struct courier {
	struct post_item item; /* first */
	struct journal *journal;
	void (*run)(struct journal *journal); /* never changes */
	bool posted;
};

enum ahead_state {
	AHEAD_WANTED = 0, /* or being made */
	AHEAD_READY,
	AHEAD_REFUSED, /* the disk refused; tried again every second */
};

struct ahead {
	enum ahead_state state;
	int error; /* of AHEAD_REFUSED */
	int fd;
	uint32_t number;
	uint64_t size;
};

struct committer; /* what only the commit thread knows: commit.c */

struct journal {
	struct journal_options options;
	char directory[JOURNAL_PATH_MAX];
	char quarantine[JOURNAL_PATH_MAX];
	uint8_t secret[SEGMENT_ID_LEN]; /* fixed after the open */

	pthread_mutex_t lock;
	pthread_cond_t commit_wake, keeper_wake, ahead_changed, committed_changed, retention_wake, sign_wake;
	pthread_t commit_thread, keeper_thread, retention_thread, sign_thread;
	bool commit_started, keeper_started, retention_started, sign_started;
	bool stopping;	      /* journal_close runs: commit what is queued, then end */
	bool keeper_stopping; /* and then the keeper */
	atomic_bool hurried;  /* journal_hurry was called */

	struct segment **segments;
	size_t segment_count, segment_cap;
	size_t open_count;
	uint64_t tick;
	uint32_t next_number;

	struct journal_clock clock;
	uint64_t next_seq;
	uint64_t committed_seq;
	struct pool pendings;	       /* of journal_append's, which have a callback */
	struct pending_list queue;     /* appended, not yet taken by who commits */
	size_t queued;		       /* records in it */
	uint64_t queued_bytes;	       /* as they will lie on disk */
	bool committing;	       /* somebody commits: the commit thread or the loop */
	bool on_turn;		       /* and it is the loop */
	unsigned quick;		       /* quick batches since the last slow one, up to as many as count */
	uint64_t held_until;	       /* monotonic: the loop, held by a slow disk, commits nothing before */
	struct pending_list completed; /* waiting for the loop thread */
	struct courier *done_courier, *state_courier, *turn_courier;
	struct committer *committer;

	struct ahead ahead;
	bool reserve_ready;
	bool below_floor;
	bool failed;
	uint64_t disk_free, disk_total;

	uint64_t quarantined;
	uint64_t damaged;			     /* records that a reader found damaged */
	uint64_t damaged_told[JOURNAL_DAMAGED_TOLD]; /* the last of them, a ring */
	bool check_failed;			     /* the last journal_verify had findings */
	uint64_t sync_us[JOURNAL_SYNC_RING];
	size_t syncs;

	journal_judge_fn *judge;
	void *judge_arg;

	atomic_bool signs;	    /* there is a seal key, or will be with the signer's next turn */
	struct seal_key *seal;	    /* the signer's own */
	struct seal_key *seal_next; /* when ${seal_changed} */
	bool seal_changed, sign_asked, sign_stopping;
	bool sign_failed;   /* told already */
	uint64_t signed_us; /* of the newest signature; 0: none */

	struct segment *retiring; /* what retention carries from just now */
	bool purging;
};

/* segments.c: the list, descriptors, names */
int journal_path(const struct journal *journal, uint32_t number, char *path, size_t size)
    __attribute__((warn_unused_result));
struct segment *segment_new(void);

/* What the index on disk says of the record at ${offset}. */
void segment_entry_of(
    const struct record_header *header, uint64_t offset, uint8_t entry[static SEGMENT_ENTRY_SIZE]);

/* A record of ${segment} was found at ${offset}: put it in the index in memory, where index_reserve made room, and its entry for the index on
 * disk into ${entry}. */
void segment_note(struct segment *segment, const struct record_header *header, uint64_t offset,
    uint8_t entry[static SEGMENT_ENTRY_SIZE]);
void segment_free(struct segment *segment);
/* Under the lock: make room for one more in the list. 0 or -ENOMEM. */
int segments_reserve(struct journal *journal) __attribute__((warn_unused_result));
void segments_add(struct journal *journal, struct segment *segment);
void segments_remove(struct journal *journal, struct segment *segment);
/* Under the lock: the first whose number is at least ${number}, or NULL. */
struct segment *segments_from(struct journal *journal, uint32_t number);
/* Use the file of a segment whose users was raised under the lock: 0 with *${fdp}, or -errno. Without the lock. */
int segment_use(struct journal *journal, struct segment *segment, int *fdp)
    __attribute__((warn_unused_result));
/* Let go of a raised segment; without the lock. NULL is harmless. */
void segment_release(struct journal *journal, struct segment *segment);

/* quarantine.c: copy bytes [from, to) of ${fd} to quarantine/ (not when all are zero), count and log. */
void quarantine_region(
    struct journal *journal, int fd, uint32_t number, uint64_t from, uint64_t to, const char *why);
/* Log a finding that has no bytes of its own to copy. */
void quarantine_tell(struct journal *journal, uint32_t number, uint64_t offset, const char *why);

/* recovery.c: read what is there; fills segments, secret, next_seq, next_number, clock, ahead. Single-threaded. */
int recovery_run(struct journal *journal, journal_replay_fn *replay, void *arg)
    __attribute__((warn_unused_result));
/* recovery_replay.c */
int recovery_replay(struct journal *journal, journal_replay_fn *replay, void *arg)
    __attribute__((warn_unused_result));

/* commit.c */
int committer_new(struct journal *journal) __attribute__((warn_unused_result));
void committer_free(struct journal *journal);
void *committer_main(void *journal);

/* At the end of the loop's turn: commit what it queued, or have it committed. */
void commit_turn(struct journal *journal);
/* Under the lock: a batch took ${took_us} to write and sync. */
void commit_timed(struct journal *journal, uint64_t took_us);
/* Queue a record whose header is ready but for what order gives. Under the lock. */
void journal_enqueue(struct journal *journal, struct pending *pending);

/* completion.c */
/* What every courier's item runs. */
void courier_run(struct post_item *item);
void pending_push(struct pending_list *list, struct pending *pending);
/* Under the lock: [first, behind) has its outcome; callbacks are posted, tickets of our own are told. */
void completion_add(struct journal *journal, struct pending *first, const struct pending *behind);
/* The same with ${error} for all; without the lock. */
void completion_fail(struct journal *journal, struct pending *first, const struct pending *behind, int error);
/* Run the callbacks of what is complete: on the loop thread, or in journal_close. */
void completed_run(struct journal *journal);
/* Tell the journal's owner; on the loop thread. */
void state_changed_run(struct journal *journal);
/* Under the lock. */
void state_changed_post(struct journal *journal);

/* seal.c: write index and foot behind the records of ${segment}; the keeper syncs and cuts. Best effort. */
void segment_seal(struct journal *journal, struct segment *segment, int fd, const uint8_t *entries,
    size_t count, uint64_t next_seq);

/* keeper.c */
void *keeper_main(void *journal);
/* One round of the keeper's work: space, finishing, reserve, zero-filling ahead. Without the lock. 0 or the disk's refusal. */
int keeper_round(struct journal *journal);
/* Make the reserve the segment numbered ${taken}->number (commit thread, without the lock). 0 or -errno. */
int keeper_take_reserve(struct journal *journal, struct ahead *taken) __attribute__((warn_unused_result));

/* purge.c: finish what a purge began to write; before any segment is read, or by the one purge there is. 0 or -errno. */
int purge_recover(const struct journal *journal) __attribute__((warn_unused_result));

/* retention.c */
void *retention_main(void *journal);

/* read.c: header, facts and decision (and body) of the record at ${offset}, into ${arena}. */
int journal_read_at(int fd, uint32_t seed, uint64_t offset, uint64_t limit, bool body, struct arena *arena,
    struct record *record, struct record_header *header) __attribute__((warn_unused_result));

/* Whether a whole copy of record ${seq} lies in a segment numbered above ${number}: 0, JOURNAL_ABSENT, JOURNAL_DAMAGED (only damaged ones), -errno.
 * Reads it into ${arena}. */
int journal_read_above(struct journal *journal, uint64_t seq, uint32_t number, struct arena *arena)
    __attribute__((warn_unused_result));
