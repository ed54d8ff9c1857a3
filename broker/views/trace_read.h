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

/* As the functions of trace.h. */
int trace_reader_show(struct trace_reader *reader, uint64_t seq, struct arena *arena,
    struct trace_message *message, const struct trace_hop **recordp) __attribute__((warn_unused_result));
int trace_reader_list(struct trace_reader *reader, const uint64_t *seqs, size_t count, struct arena *arena,
    struct trace_message *messages) __attribute__((warn_unused_result));
int trace_reader_search(struct trace_reader *reader, const struct trace_query *query, struct arena *arena,
    struct trace_message *messages, size_t max, size_t *countp) __attribute__((warn_unused_result));
int trace_reader_trouble(struct trace_reader *reader, const char *destination, struct arena *arena,
    struct trace_hop *hop) __attribute__((warn_unused_result));
int trace_reader_dump(struct trace_reader *reader, struct buffer *out) __attribute__((warn_unused_result));
