/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The trace's database, read: a second connection of its own, one reader at a time (the caller's lock).
 *
 * Every read is bounded: in rows, and in time by TRACE_READ_MS.
 */
#pragma once

#include "broker/views/trace.h"

#define TRACE_READ_MS 1000 /* past it a search answers with what it has */

struct sqlite3;

struct trace_reader {
	struct sqlite3 *db; /* NULL: not open */
	uint64_t deadline_us;
};

/* Open ${path} unless it is open. 0 or -errno (-ENOENT: not made yet). */
int trace_reader_open(struct trace_reader *reader, const char *path) __attribute__((warn_unused_result));
void trace_reader_close(struct trace_reader *reader);

/* The trace's reader, locked: give it back with trace_unlock_reader whatever the answer, which that is told. In trace.c. */
int trace_lock_reader(struct trace *trace, struct trace_reader **readerp) __attribute__((warn_unused_result));
void trace_unlock_reader(struct trace *trace, int result);

/*
 * What the files of the reader share: a statement with its deadline begun, and the rows it gives.
 */
struct sqlite3_stmt;

#define TRACE_MESSAGE_COLUMNS                                                                                \
	"seq, time, type, flags, answer, mode, parked, size, sha256, peer, establishment, listener, "        \
	"msg_type, msg_event, control, version, processing, application, facility, to_application, "         \
	"to_facility, charset, charset_used, charset_reason, destinations, routes, leniencies, fault, "      \
	"fault_path, fault_text, frame_size, frame_offset, documents, origin"
#define TRACE_HOP_COLUMNS "record, ref, time, type, flags, outcome, destination, who, code, text, what"

int trace_reader_prepare(struct trace_reader *reader, const char *sql, struct sqlite3_stmt **statementp)
    __attribute__((warn_unused_result));
void trace_bind_text(struct sqlite3_stmt *statement, int index, const char *text);
int trace_message_read(struct sqlite3_stmt *statement, struct arena *arena, struct trace_message *message)
    __attribute__((warn_unused_result));
int trace_hop_read(struct sqlite3_stmt *statement, struct arena *arena, struct trace_hop *hop)
    __attribute__((warn_unused_result));

/* As the functions of trace.h. */
int trace_reader_show(struct trace_reader *reader, uint64_t seq, struct arena *arena,
    struct trace_message *message, const struct trace_hop **recordp) __attribute__((warn_unused_result));
int trace_reader_list(struct trace_reader *reader, const uint64_t *seqs, size_t count, struct arena *arena,
    struct trace_message *messages) __attribute__((warn_unused_result));
int trace_reader_search(struct trace_reader *reader, const struct trace_query *query, struct arena *arena,
    struct trace_message *messages, size_t max, size_t *countp) __attribute__((warn_unused_result));
int trace_reader_trouble(struct trace_reader *reader, const char *destination, struct arena *arena,
    struct trace_hop *hop) __attribute__((warn_unused_result));
int trace_reader_pick(struct trace_reader *reader, const struct trace_span *span, struct arena *arena,
    struct trace_message *messages, size_t max, size_t *countp, uint64_t *nextp)
    __attribute__((warn_unused_result));
int trace_reader_dead(struct trace_reader *reader, const char *destination, uint64_t after, uint64_t last,
    struct arena *arena, struct trace_hop *hops, size_t max, size_t *countp)
    __attribute__((warn_unused_result));
int trace_reader_past(struct trace_reader *reader, uint64_t origin, const char *destination,
    struct arena *arena, struct trace_past *past) __attribute__((warn_unused_result));
int trace_reader_dump(struct trace_reader *reader, struct buffer *out) __attribute__((warn_unused_result));
