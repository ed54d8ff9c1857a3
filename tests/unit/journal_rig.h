/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of the journal stand on: a state directory of their own, a poster that the test itself drains, and records whose content
 * follows from their number, so that any record read back can be checked without remembering it.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/base/post.h"
#include "broker/store/journal.h"

/* With this in the environment a poster knows ends of turns: each rig_poster_run is one, and the journal commits there when the disk is quick. */
#define RIG_TURNS "RIG_TURNS"

struct rig_poster {
	struct poster poster; /* first */
	pthread_t thread;
	struct post_item *turn, **turn_tail;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct post_item *head, **tail;
};

void rig_poster_init(struct rig_poster *poster);
void rig_poster_fini(struct rig_poster *poster);

/* Run what was posted; wait at most ${ms} for something when there is nothing. False when nothing came. */
bool rig_poster_run(struct rig_poster *poster, unsigned ms);

struct rig {
	char directory[64];
	struct rig_poster poster;
	struct journal_options options;
	struct journal *journal;
	unsigned state_changes;
};

/* A fresh state directory and options with small segments. */
void rig_init(struct rig *rig);
/* The same on a file system in memory, where there is one: for sweeps of thousands of opens. */
void rig_init_fast(struct rig *rig);
void rig_fini(struct rig *rig);

/* Copy journal/ of ${from} over that of ${to} (closed). */
void rig_copy(const struct rig *from, struct rig *to);

int rig_open(struct rig *rig, journal_replay_fn *replay, void *arg) __attribute__((warn_unused_result));
void rig_close(struct rig *rig);

/* One record under way. */
struct rig_record {
	uint64_t content; /* what its bytes follow from */
	struct record_head head;
	uint8_t *facts, *decision, *body;
	size_t facts_len, decision_len, body_len;
	uint8_t key[16], sha256[32];
	bool pushed, done;
	int error;	/* of done */
	uint64_t order; /* the how-manieth done it was */
};

/* Make the bytes of a record; ${body_len} SIZE_MAX: from the content too. rig_record_fini frees them. */
void rig_record_init(struct rig_record *record, uint64_t content, size_t body_len);
void rig_record_fini(struct rig_record *record);

/* Queue it; the outcome of journal_append. */
int rig_append(struct rig *rig, struct rig_record *record, enum record_type type, bool push)
    __attribute__((warn_unused_result));

/* Run the loop until it is done; its error. */
int rig_wait(struct rig *rig, struct rig_record *record);

/* Queue, wait: 0, JOURNAL_* of the append, or the error of the commit. The head goes to ${head} (may be NULL). */
int rig_put(struct rig *rig, uint64_t content, size_t body_len, enum record_type type, bool push,
    struct record_head *head) __attribute__((warn_unused_result));

/* Whether ${record} (with or without its body) is the one made from ${content}. */
bool rig_matches(const struct record *record, uint64_t content, size_t body_len, bool body);

/* Read record ${seq} and compare it: 0, the outcome of journal_read, or RIG_DIFFERS. */
enum {
	RIG_DIFFERS = 1000,
};
int rig_check(struct rig *rig, uint64_t seq, uint64_t content, size_t body_len)
    __attribute__((warn_unused_result));

/* The path of segment ${number}; a static buffer. */
const char *rig_segment(const struct rig *rig, unsigned number);

/* The whole file; *${len} bytes, to be freed. NULL when it is not there. */
uint8_t *rig_load(const char *path, size_t *len);
void rig_save(const char *path, const uint8_t *bytes, size_t len);

/* Files in quarantine/. */
size_t rig_quarantined(const struct rig *rig);

/* A small generator: the same numbers on every machine. */
uint64_t rig_random(uint64_t *state);

/*
 * The record at ${cursor} and move on, from segment to segment, facts and decision in ${arena}: a follower for one step. 0, JOURNAL_END,
 * -errno.
 */
int rig_next(struct journal *journal, struct journal_cursor *cursor, struct arena *arena,
    struct record *record) __attribute__((warn_unused_result));
