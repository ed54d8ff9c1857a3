/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a replay asks of the trace: messages of a span of time in the order of the journal, dead letters, and what is known already of a
 * message at a destination.
 *
 * Sequences and times ascend together, so a time is found by halving; a span is read in windows of sequences, so that an answer that
 * runs out of time says from where to go on.
 */
#include <errno.h>
#include <string.h>

#include <sqlite3.h>

#include "broker/base/clock.h"
#include "broker/store/journal.h"
#include "broker/views/trace_read.h"
#include "broker/views/trace_store.h"

#define WINDOW ((uint64_t)20000) /* sequences looked at between two looks at the clock: ~20 ms */

/* The first message at or behind ${seq}: its sequence and time, *${seqp} 0 when there is none. */
static int
probe(sqlite3_stmt *s, uint64_t seq, uint64_t *seqp, uint64_t *time_us)
{
	int rc;

	*seqp = 0;
	sqlite3_bind_int64(s, 1, (int64_t)seq);
	if ((rc = sqlite3_step(s)) == SQLITE_ROW) {
		*seqp = (uint64_t)sqlite3_column_int64(s, 0);
		*time_us = (uint64_t)sqlite3_column_int64(s, 1);
	}
	sqlite3_reset(s);
	return trace_errno(rc);
}

/* The least sequence whose messages, and all behind it, have a time of at least ${time_us}; ${last} + 1: none up to there. */
static int
find_time(struct trace_reader *reader, uint64_t time_us, uint64_t last, uint64_t *seqp)
{
	uint64_t low = 1, high = last + 1;
	sqlite3_stmt *s = NULL;
	int r = trace_reader_prepare(
	    reader, "SELECT seq, time FROM message WHERE seq >= ? ORDER BY seq LIMIT 1", &s);

	while (!r && low < high) {
		uint64_t middle = low + (high - low) / 2, seq, then;

		if ((r = probe(s, middle, &seq, &then)) != 0)
			break;
		if (!seq || then >= time_us)
			high = middle;
		else
			low = seq + 1;
	}
	sqlite3_finalize(s);
	*seqp = low;
	return r;
}

static void
bind_span(sqlite3_stmt *s, const struct trace_span *span)
{
	const char *type = span->msg_type ? span->msg_type : "", *caret = strchr(type, '^');

	trace_bind_text(s, 3, span->peer);
	sqlite3_bind_text(s, 4, type, caret ? (int)(caret - type) : -1, SQLITE_TRANSIENT);
	trace_bind_text(s, 5, caret ? caret + 1 : "");
	trace_bind_text(s, 6, span->destination);
}

/* Messages of ${span} behind *${atp}, up to and with ${end}; *${atp}: how far they have been looked at. */
static int
scan(struct trace_reader *reader, const struct trace_span *span, uint64_t *atp, uint64_t end,
    struct arena *arena, struct trace_message *messages, size_t max, size_t *countp)
{
	sqlite3_stmt *s = NULL;
	uint64_t began_us = clock_mono_us();
	int r = trace_reader_prepare(reader,
		"SELECT " TRACE_MESSAGE_COLUMNS " FROM message WHERE seq > ?1 AND seq <= ?2 AND type = 1"
		" AND origin = 0 AND (?3 = '' OR peer = ?3) AND (?4 = '' OR msg_type = ?4)"
		" AND (?5 = '' OR msg_event = ?5)"
		" AND (?6 = '' OR instr(',' || destinations || ',', ',' || ?6 || ',') > 0)"
		" ORDER BY seq LIMIT ?7",
		&s),
	    rc = SQLITE_DONE;

	while (!r && *atp < end && *countp < max && clock_mono_us() - began_us < TRACE_READ_MS * 500u) {
		uint64_t to = end - *atp > WINDOW ? *atp + WINDOW : end;

		bind_span(s, span);
		sqlite3_bind_int64(s, 1, (int64_t)*atp);
		sqlite3_bind_int64(s, 2, (int64_t)to);
		sqlite3_bind_int64(s, 7, (int64_t)(max - *countp));
		while (!r && *countp < max && (rc = sqlite3_step(s)) == SQLITE_ROW)
			r = trace_message_read(s, arena, &messages[(*countp)++]);
		if (!r && *countp < max)
			r = trace_errno(rc);
		sqlite3_reset(s);
		*atp = *countp < max ? to : messages[max - 1].seq;
	}
	sqlite3_finalize(s);
	return r;
}

int
trace_reader_pick(struct trace_reader *reader, const struct trace_span *span, struct arena *arena,
    struct trace_message *messages, size_t max, size_t *countp, uint64_t *nextp)
{
	uint64_t at, end = span->last;
	int r;

	*countp = 0;
	if ((r = find_time(reader, span->since_us, end, &at)) != 0)
		return r;
	if (span->until_us) {
		if ((r = find_time(reader, span->until_us, end, &end)) != 0)
			return r;
		end--;
	}
	at--;
	if (at < span->after)
		at = span->after;
	r = scan(reader, span, &at, end, arena, messages, max, countp);
	*nextp = !r && at < end ? at : 0; /* may be ${span}'s own */
	return r;
}

int
trace_reader_dead(struct trace_reader *reader, const char *destination, uint64_t after, uint64_t last,
    struct arena *arena, struct trace_hop *hops, size_t max, size_t *countp)
{
	sqlite3_stmt *s = NULL;
	int r = trace_reader_prepare(reader,
		"SELECT " TRACE_HOP_COLUMNS " FROM hop AS dead WHERE destination = ?1 AND outcome > 1"
		" AND ref > ?2 AND record <= ?3 AND NOT EXISTS (SELECT 1 FROM hop AS again"
		"  WHERE again.ref = coalesce((SELECT nullif(origin, 0) FROM message WHERE seq = dead.ref), "
		"dead.ref)"
		"  AND again.type = 1 AND (?1 = '(parked)' OR (again.record > dead.record"
		"  AND instr(',' || again.destination || ',', ',' || ?1 || ',') > 0)))"
		" ORDER BY ref LIMIT ?4",
		&s),
	    rc = SQLITE_DONE;

	*countp = 0;
	if (r)
		return r;
	trace_bind_text(s, 1, destination);
	sqlite3_bind_int64(s, 2, (int64_t)after);
	sqlite3_bind_int64(s, 3, last ? (int64_t)last : INT64_MAX);
	sqlite3_bind_int64(s, 4, (int64_t)max);
	while (!r && *countp < max && (rc = sqlite3_step(s)) == SQLITE_ROW)
		r = trace_hop_read(s, arena, &hops[(*countp)++]);
	if (!r && *countp < max)
		r = trace_errno(rc);
	sqlite3_finalize(s);
	return r;
}

int
trace_reader_past(struct trace_reader *reader, uint64_t origin, const char *destination, struct arena *arena,
    struct trace_past *past)
{
	sqlite3_stmt *s = NULL;
	int r = trace_reader_prepare(reader,
		"SELECT " TRACE_HOP_COLUMNS " FROM hop WHERE outcome = 1 AND destination = ?2 AND ref IN"
		" (SELECT ?1 UNION ALL SELECT record FROM hop WHERE ref = ?1 AND type = 1)"
		" ORDER BY record DESC LIMIT 1",
		&s),
	    rc = SQLITE_DONE;

	*past = (struct trace_past){ 0 };
	if (!r) {
		sqlite3_bind_int64(s, 1, (int64_t)origin);
		trace_bind_text(s, 2, destination);
		if ((rc = sqlite3_step(s)) == SQLITE_ROW)
			r = trace_hop_read(s, arena, &past->acknowledged);
		else
			r = trace_errno(rc);
	}
	sqlite3_finalize(s);
	s = NULL;
	if (!r)
		r = trace_reader_prepare(reader,
		    "SELECT record FROM hop WHERE ref = ?1 AND type = 1"
		    " AND instr(',' || destination || ',', ',' || ?2 || ',') > 0"
		    " ORDER BY record DESC LIMIT 1",
		    &s);
	if (!r) {
		sqlite3_bind_int64(s, 1, (int64_t)origin);
		trace_bind_text(s, 2, destination);
		if ((rc = sqlite3_step(s)) == SQLITE_ROW)
			past->replay = (uint64_t)sqlite3_column_int64(s, 0);
		else
			r = trace_errno(rc);
	}
	sqlite3_finalize(s);
	return r;
}
