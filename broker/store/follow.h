/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Following the journal segment by segment: for a view, which looks at every record once and must cost next to nothing.
 *
 * Committed records come as they lie: a carried one (RECORD_CARRIED) again, behind younger ones, also behind its outcomes. Checksums of header,
 * facts and decision are checked, what is damaged is passed over. A follower holds its segment and reads through a window: a record of a
 * few hundred bytes costs no system call and no lock. Large bodies are jumped over. One thread at a time; all of it blocks.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "broker/store/journal.h"

struct journal_segment {
	uint32_t number;
	uint8_t id[16];
	uint64_t end; /* of its committed records */
	bool done;    /* no record will be added */
};

/* The first segment whose number is at least ${from}. False: there is none (yet). In memory; thread-safe. */
bool journal_segment(struct journal *journal, uint32_t from, struct journal_segment *segment)
    __attribute__((warn_unused_result));

/* Where the records of a segment begin. */
#define JOURNAL_SEGMENT_BEGIN 4096

struct journal_follower;

/* 0 or -ENOMEM. Free it before journal_close; NULL is harmless. */
int journal_follower_new(struct journal_follower **followerp, struct journal *journal)
    __attribute__((warn_unused_result));
void journal_follower_free(struct journal_follower *follower);

/*
 * Go to the record at ${offset} of segment ${number} and hold that segment: removed meanwhile, it can still be read to its end. 0,
 * JOURNAL_ABSENT (there is none of that number), -errno.
 */
int journal_follower_seek(struct journal_follower *follower, uint32_t number, uint64_t offset)
    __attribute__((warn_unused_result));

/* Let go of the segment. */
void journal_follower_leave(struct journal_follower *follower);

/* The next record of this segment without its body; its spans live until the next call. 0; JOURNAL_END: no more for now; -errno. */
int journal_follower_next(struct journal_follower *follower, struct record *record)
    __attribute__((warn_unused_result));

/* Behind the last record given. */
struct journal_cursor journal_follower_place(const struct journal_follower *follower);
