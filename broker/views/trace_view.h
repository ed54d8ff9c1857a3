/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The trace as one question sees it: its parts as they are now, held until the answer is made.
 *
 * Rows are candidates, the journal has the word: whatever is answered was decoded from the record itself and compared again. One
 * question at a time; the thread that follows the journal is not held up by it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/views/trace.h"
#include "broker/views/trace_part.h"

#define TRACE_READ_MS	    1000		/* past it a search answers with what it has */
#define TRACE_RECORD_MEMORY ((size_t)256 << 20) /* facts of one record, decoded */

struct trace_seen {
	struct trace_part *part;
	struct trace_brief brief; /* as it was when asked */
};

struct trace_view {
	struct journal *journal;
	struct trace_seen *parts; /* ascending */
	size_t count;
	uint32_t *gone; /* segments whose removal is recorded, and which may still lie there */
	size_t gone_count;
	uint64_t seen;
	uint64_t tick;
	uint64_t began_us;
	struct arena scratch; /* for the record being read */
};

/*
 * In trace_view.c. Close it whatever the answer, which that is told. 0, -ENOMEM; where rows are needed (${whole}) -ENOENT while some are
 * being made anew.
 */
int trace_view_open(struct trace *trace, bool whole, struct trace_view *view)
    __attribute__((warn_unused_result));
void trace_view_close(struct trace *trace, struct trace_view *view, int result);

/* Half of the time for an answer is over (${part}: 2), or all of it (1). */
bool trace_view_late(const struct trace_view *view, unsigned part);

/* Entry of a file part, its descriptor opened and an idle one closed as need be; texts of a part to be had. */
int trace_view_entry(struct trace_view *view, const struct trace_seen *seen, enum trace_section section,
    uint32_t index, struct trace_block *block, const uint8_t **entryp) __attribute__((warn_unused_result));
int trace_view_load(struct trace_view *view, const struct trace_seen *seen)
    __attribute__((warn_unused_result));

/* Row ${index} of a file part. */
int trace_view_row(struct trace_view *view, const struct trace_seen *seen, uint32_t index,
    struct trace_block *block, struct trace_row *row) __attribute__((warn_unused_result));

/*
 * trace_find.c: rows by what they are found by, the newest part first. Not 0 from ${visit} ends it and is the answer. A record that was carried
 * may be given twice.
 */
typedef int trace_visit_fn(void *arg, const struct trace_seen *seen, const struct trace_row *row);

int trace_find_control(struct trace_view *view, uint32_t hash, trace_visit_fn *visit, void *arg)
    __attribute__((warn_unused_result));
int trace_find_ref(struct trace_view *view, uint64_t ref, trace_visit_fn *visit, void *arg)
    __attribute__((warn_unused_result));

/*
 * Outcomes other than an acceptance at ${destination} (or of which only the record tells where) about messages from ${ref} on; of a part in
 * the order of the messages, and *${bound} says which is the last of interest, ever. ${newest}: parts that have nothing newer than *${newest} are left out.
 */
int trace_find_dead(struct trace_view *view, const char *destination, uint64_t ref, const uint64_t *bound,
    const uint64_t *newest, trace_visit_fn *visit, void *arg) __attribute__((warn_unused_result));

/* Whether ${row} was routed to, or is of, ${destination}: 1, 0, -errno. Reads the record where only that tells. */
int trace_row_at(struct trace_view *view, const struct trace_seen *seen, const struct trace_row *row,
    const char *destination) __attribute__((warn_unused_result));

/*
 * trace_scan.c: rows in the order of sequences, each sequence once.
 */
struct trace_scan;

enum {
	TRACE_END = 1,
};

/* From behind ${bound} upwards, or, when ${down}, from before it downwards. ${wanted} (may be NULL) says which parts' born rows matter. */
int trace_scan_new(struct trace_scan **scanp, struct trace_view *view, bool down, uint64_t bound,
    bool (*wanted)(const void *arg, const struct trace_brief *brief), const void *arg)
    __attribute__((warn_unused_result));
void trace_scan_free(struct trace_scan *scan);

/* 0, TRACE_END, -errno. */
int trace_scan_next(struct trace_scan *scan, const struct trace_seen **seenp, struct trace_row *row)
    __attribute__((warn_unused_result));

/*
 * trace_record.c: what is shown, from the record. 0, TRACE_ABSENT (removed, damaged, or of the other kind), -errno.
 */
int trace_read_message(struct trace_view *view, uint64_t seq, struct arena *arena,
    struct trace_message *message) __attribute__((warn_unused_result));
int trace_read_hop(struct trace_view *view, uint64_t seq, struct arena *arena, struct trace_hop *hop)
    __attribute__((warn_unused_result));
/* Both at once: a message's documents too, and of a replay its hop. *${is_hop}: it is a record about a message, or about none. */
int trace_read_whole(struct trace_view *view, uint64_t seq, struct arena *arena,
    struct trace_message *message, struct trace_hop *hop, bool *is_hop) __attribute__((warn_unused_result));

/* What the head alone says; every text is "". */
void trace_show_head(const struct record_head *head, struct trace_message *message);

/* The row of ${record}, its texts put into the names of ${part}. 0 or -ENOMEM. */
int trace_row_of(const struct record *record, struct trace_part *part, struct trace_row *row)
    __attribute__((warn_unused_result));

/* Whether a kind (NULL: any), or a message's type, is the one ${asked} for: "ORU^R01", "ORU" or "". */
bool trace_kind_is(const char *kind, const char *asked);
bool trace_type_is(const struct trace_message *message, const char *asked);

/* What a control id is found by: of the text as it is shown. Not 0, but for the empty one. */
uint32_t trace_control_hash(struct span shown);

/* As it is shown, cut to what a column holds. */
#define TRACE_TEXT_MAX 256
void trace_shown(struct span raw, struct buffer *out);
