/* SPDX-License-Identifier: Apache-2.0 */
/* The trace's database, read: see trace_read.h. */
#include "broker/views/trace_read.h"

#include <errno.h>
#include <string.h>

#include <sqlite3.h>

#include "broker/base/clock.h"
#include "broker/views/trace_store.h"
#include "codecs/printable.h"

#define PROGRESS_STEPS 4000 /* virtual machine steps between two looks at the clock */

#define DOCUMENT_COLUMNS "n, media, code, system, size"

static int
past_deadline(void *arg)
{
	const struct trace_reader *reader = arg;

	return reader->deadline_us && clock_mono_us() > reader->deadline_us;
}

int
trace_reader_open(struct trace_reader *reader, const char *path)
{
	int rc;

	if (reader->db)
		return 0;
	rc = sqlite3_open_v2(
	    path, &reader->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, NULL);
	if (rc != SQLITE_OK) {
		trace_reader_close(reader);
		return rc == SQLITE_CANTOPEN ? -ENOENT : trace_errno(rc);
	}
	sqlite3_busy_timeout(reader->db, TRACE_READ_MS);
	sqlite3_progress_handler(reader->db, PROGRESS_STEPS, past_deadline, reader);
	return 0;
}

void
trace_reader_close(struct trace_reader *reader)
{
	sqlite3_close(reader->db);
	reader->db = NULL;
}

int
trace_reader_prepare(struct trace_reader *reader, const char *sql, sqlite3_stmt **statementp)
{
	reader->deadline_us = clock_mono_us() + (uint64_t)TRACE_READ_MS * 1000;
	return trace_errno(sqlite3_prepare_v2(reader->db, sql, -1, statementp, NULL));
}

/* Columns are read in order; no room in the arena shows at the end. */
struct columns {
	sqlite3_stmt *statement;
	struct arena *arena;
	int next;
	bool no_room;
};

static uint64_t
next_number(struct columns *columns)
{
	return (uint64_t)sqlite3_column_int64(columns->statement, columns->next++);
}

static const char *
next_text(struct columns *columns)
{
	const void *text = sqlite3_column_text(columns->statement, columns->next);
	int len = sqlite3_column_bytes(columns->statement, columns->next++);
	const char *copy;

	if (!text || len <= 0)
		return "";
	copy = arena_str(columns->arena, span_make(text, (size_t)len));
	if (!copy)
		columns->no_room = true;
	return copy ? copy : "";
}

int
trace_message_read(sqlite3_stmt *statement, struct arena *arena, struct trace_message *m)
{
	struct columns columns = { .statement = statement, .arena = arena };

	*m = (struct trace_message){ .seq = next_number(&columns) };
	m->time_us = next_number(&columns);
	m->type = (unsigned)next_number(&columns);
	m->flags = (unsigned)next_number(&columns);
	m->answer = (unsigned)next_number(&columns);
	m->mode = (unsigned)next_number(&columns);
	m->parked = next_number(&columns) != 0;
	m->size = next_number(&columns);
	sqlite3_snprintf(sizeof(m->sha256), m->sha256, "%s", next_text(&columns));
	m->peer = next_text(&columns);
	m->establishment = next_text(&columns);
	m->listener = next_text(&columns);
	m->msg_type = next_text(&columns);
	m->msg_event = next_text(&columns);
	m->control = next_text(&columns);
	m->version = next_text(&columns);
	m->processing = next_text(&columns);
	m->application = next_text(&columns);
	m->facility = next_text(&columns);
	m->to_application = next_text(&columns);
	m->to_facility = next_text(&columns);
	m->charset = next_text(&columns);
	m->charset_used = next_text(&columns);
	m->charset_reason = next_text(&columns);
	m->destinations = next_text(&columns);
	m->routes = next_text(&columns);
	m->leniencies = (unsigned)next_number(&columns);
	m->fault = (unsigned)next_number(&columns);
	m->fault_path = next_text(&columns);
	m->fault_text = next_text(&columns);
	m->frame_size = next_number(&columns);
	m->frame_offset = next_number(&columns);
	m->document_count = next_number(&columns);
	m->origin = next_number(&columns);
	return columns.no_room ? -ENOMEM : 0;
}

int
trace_hop_read(sqlite3_stmt *statement, struct arena *arena, struct trace_hop *hop)
{
	struct columns columns = { .statement = statement, .arena = arena };

	*hop = (struct trace_hop){ .record = next_number(&columns) };
	hop->ref = next_number(&columns);
	hop->time_us = next_number(&columns);
	hop->type = (unsigned)next_number(&columns);
	(void)next_number(&columns);
	hop->outcome = (unsigned)next_number(&columns);
	hop->destination = next_text(&columns);
	hop->who = next_text(&columns);
	hop->code = next_text(&columns);
	hop->text = next_text(&columns);
	hop->what = next_text(&columns);
	return columns.no_room ? -ENOMEM : 0;
}

/* The row of message ${seq}: 0, TRACE_ABSENT, -errno. */
static int
find_message(struct trace_reader *reader, uint64_t seq, struct arena *arena, struct trace_message *message)
{
	sqlite3_stmt *s = NULL;
	int r = trace_reader_prepare(
		reader, "SELECT " TRACE_MESSAGE_COLUMNS " FROM message WHERE seq = ?", &s),
	    rc;

	if (r)
		return r;
	sqlite3_bind_int64(s, 1, (int64_t)seq);
	rc = sqlite3_step(s);
	if (rc == SQLITE_ROW)
		r = trace_message_read(s, arena, message);
	else
		r = rc == SQLITE_DONE ? TRACE_ABSENT : trace_errno(rc);
	sqlite3_finalize(s);
	return r;
}

static int
find_hop(struct trace_reader *reader, uint64_t record, struct arena *arena, const struct trace_hop **hopp)
{
	struct trace_hop *hop = arena_calloc(arena, 1, sizeof(*hop));
	sqlite3_stmt *s = NULL;
	int r = trace_reader_prepare(reader, "SELECT " TRACE_HOP_COLUMNS " FROM hop WHERE record = ?", &s),
	    rc;

	if (r)
		return r;
	sqlite3_bind_int64(s, 1, (int64_t)record);
	rc = sqlite3_step(s);
	if (rc == SQLITE_ROW)
		r = hop ? trace_hop_read(s, arena, hop) : -ENOMEM;
	else
		r = rc == SQLITE_DONE ? TRACE_ABSENT : trace_errno(rc);
	sqlite3_finalize(s);
	*hopp = hop;
	return r;
}

static int
read_hops(struct trace_reader *reader, struct arena *arena, struct trace_message *message)
{
	struct trace_hop *hops = arena_calloc(arena, TRACE_HOPS_MAX, sizeof(*hops));
	sqlite3_stmt *s = NULL;
	size_t count = 0;
	int r, rc;

	if (!hops)
		return -ENOMEM;
	r = trace_reader_prepare(reader,
	    "SELECT * FROM (SELECT " TRACE_HOP_COLUMNS
	    " FROM hop WHERE ref = ? ORDER BY record DESC LIMIT ?) ORDER BY record",
	    &s);
	if (r)
		return r;
	sqlite3_bind_int64(s, 1, (int64_t)message->seq);
	sqlite3_bind_int64(s, 2, TRACE_HOPS_MAX);
	while (!r && (rc = sqlite3_step(s)) == SQLITE_ROW && count < TRACE_HOPS_MAX)
		r = trace_hop_read(s, arena, &hops[count++]);
	if (!r)
		r = trace_errno(rc);
	sqlite3_finalize(s);
	message->hops = hops;
	message->hop_count = count;
	return r;
}

static int
read_documents(struct trace_reader *reader, struct arena *arena, struct trace_message *message)
{
	size_t room = message->document_count < TRACE_DOCUMENTS_MAX ? (size_t)message->document_count
								    : TRACE_DOCUMENTS_MAX;
	struct trace_document *documents = arena_calloc(arena, room, sizeof(*documents));
	struct columns columns = { .arena = arena };
	size_t count = 0;
	int r, rc;

	if (!documents)
		return -ENOMEM;
	r = trace_reader_prepare(
	    reader, "SELECT " DOCUMENT_COLUMNS " FROM document WHERE seq = ? ORDER BY n", &columns.statement);
	if (r)
		return r;
	sqlite3_bind_int64(columns.statement, 1, (int64_t)message->seq);
	while ((rc = sqlite3_step(columns.statement)) == SQLITE_ROW && count < room) {
		struct trace_document *document = &documents[count++];

		columns.next = 0;
		document->number = (unsigned)next_number(&columns);
		document->media = next_text(&columns);
		document->code = next_text(&columns);
		document->system = next_text(&columns);
		document->size = next_number(&columns);
	}
	r = columns.no_room ? -ENOMEM : trace_errno(rc);
	sqlite3_finalize(columns.statement);
	message->documents = documents;
	message->documents_given = count;
	return r;
}

int
trace_reader_show(struct trace_reader *reader, uint64_t seq, struct arena *arena,
    struct trace_message *message, const struct trace_hop **recordp)
{
	int r = find_message(reader, seq, arena, message);

	*recordp = NULL;
	if (r == TRACE_ABSENT) {
		if ((r = find_hop(reader, seq, arena, recordp)) != 0)
			return r;
		*message = (struct trace_message){ 0 };
		if (!(*recordp)->ref)
			return 0;
		r = find_message(reader, (*recordp)->ref, arena, message);
		if (r == TRACE_ABSENT) { /* retention took the message, not yet the record about it */
			*message = (struct trace_message){ 0 };
			return 0;
		}
	}
	if (r)
		return r;
	if (message->origin && (r = find_hop(reader, message->seq, arena, &message->replay)) < 0)
		return r;
	if ((r = read_documents(reader, arena, message)) != 0)
		return r;
	return read_hops(reader, arena, message);
}

int
trace_reader_list(struct trace_reader *reader, const uint64_t *seqs, size_t count, struct arena *arena,
    struct trace_message *messages)
{
	sqlite3_stmt *s = NULL;
	int r =
	    trace_reader_prepare(reader, "SELECT " TRACE_MESSAGE_COLUMNS " FROM message WHERE seq = ?", &s);

	for (size_t i = 0; !r && i < count; i++) {
		int rc;

		messages[i] = (struct trace_message){ 0 };
		sqlite3_bind_int64(s, 1, (int64_t)seqs[i]);
		rc = sqlite3_step(s);
		r = rc == SQLITE_ROW ? trace_message_read(s, arena, &messages[i]) : trace_errno(rc);
		sqlite3_reset(s);
	}
	sqlite3_finalize(s);
	return r;
}

static void
bind_span(sqlite3_stmt *s, int index, struct span text)
{
	sqlite3_bind_text(s, index, text.ptr ? (const char *)text.ptr : "", (int)text.len, SQLITE_TRANSIENT);
}

void
trace_bind_text(sqlite3_stmt *s, int index, const char *text)
{
	bind_span(s, index, span_str(text));
}

/* "ORU^R01" is asked as two columns. Either form of a control id finds it: as it is shown, or as it was received. */
static void
bind_query(sqlite3_stmt *s, const struct trace_query *query)
{
	struct span type = span_str(query->msg_type);
	const char *caret = query->msg_type ? strchr(query->msg_type, '^') : NULL;
	struct buffer shown;

	buffer_init(&shown, 4096);
	printable_append(&shown, span_str(query->control), TRACE_TEXT_MAX);
	bind_span(s, 1, buffer_span(&shown));
	buffer_fini(&shown);
	bind_span(s, 2, span_str(query->control));
	bind_span(s, 3, span_str(query->peer));
	bind_span(s, 4, caret ? span_cut(type, 0, (size_t)(caret - query->msg_type)) : type);
	bind_span(s, 5, caret ? span_str(caret + 1) : SPAN_EMPTY);
	sqlite3_bind_int64(s, 6, (int64_t)query->since_us);
	sqlite3_bind_int64(s, 7, query->before_seq ? (int64_t)query->before_seq : INT64_MAX);
	sqlite3_bind_int(s, 8, query->refused);
}

int
trace_reader_search(struct trace_reader *reader, const struct trace_query *query, struct arena *arena,
    struct trace_message *messages, size_t max, size_t *countp)
{
	/* Two texts, so that a control id is looked for by its index and everything else in order from the newest. */
	static const char by_control[] = "SELECT " TRACE_MESSAGE_COLUMNS
					 " FROM message WHERE control IN (?1, ?2) AND (?3 = '' OR peer = ?3)"
					 " AND (?4 = '' OR msg_type = ?4) AND (?5 = '' OR msg_event = ?5)"
					 " AND time >= ?6 AND seq < ?7 AND (?8 = 0 OR type <> 1)"
					 " ORDER BY seq DESC LIMIT ?9";
	static const char newest[] =
	    "SELECT " TRACE_MESSAGE_COLUMNS " FROM message WHERE seq < ?7 AND (?3 = '' OR peer = ?3)"
	    " AND (?4 = '' OR msg_type = ?4) AND (?5 = '' OR msg_event = ?5)"
	    " AND time >= ?6 AND (?8 = 0 OR type <> 1)"
	    " ORDER BY seq DESC LIMIT ?9";
	bool has_control = query->control && query->control[0];
	sqlite3_stmt *s = NULL;
	size_t count = 0;
	int r = trace_reader_prepare(reader, has_control ? by_control : newest, &s), rc = SQLITE_DONE;

	*countp = 0;
	if (r)
		return r;
	bind_query(s, query);
	sqlite3_bind_int64(s, 9, (int64_t)max);
	while (!r && count < max && (rc = sqlite3_step(s)) == SQLITE_ROW)
		r = trace_message_read(s, arena, &messages[count++]);
	if (!r && rc != SQLITE_INTERRUPT) /* out of time: what was found so far */
		r = trace_errno(rc);
	sqlite3_finalize(s);
	*countp = count;
	return r;
}

int
trace_reader_trouble(
    struct trace_reader *reader, const char *destination, struct arena *arena, struct trace_hop *hop)
{
	sqlite3_stmt *s = NULL;
	int r = trace_reader_prepare(reader,
		"SELECT " TRACE_HOP_COLUMNS " FROM hop WHERE destination = ? AND outcome > 1 AND outcome < 4 "
		"ORDER BY record DESC LIMIT 1",
		&s),
	    rc;

	if (r)
		return r;
	bind_span(s, 1, span_str(destination));
	rc = sqlite3_step(s);
	if (rc == SQLITE_ROW)
		r = trace_hop_read(s, arena, hop);
	else
		r = rc == SQLITE_DONE ? TRACE_ABSENT : trace_errno(rc);
	sqlite3_finalize(s);
	return r;
}

static int
dump_table(struct trace_reader *reader, const char *name, const char *sql, struct buffer *out)
{
	sqlite3_stmt *s = NULL;
	int r = trace_reader_prepare(reader, sql, &s), rc = SQLITE_DONE;

	reader->deadline_us = 0; /* a dump is asked for by tests and by hand: whole or not at all */
	while (!r && (rc = sqlite3_step(s)) == SQLITE_ROW) {
		buffer_append_str(out, name);
		for (int i = 0; i < sqlite3_column_count(s); i++) {
			buffer_append_byte(out, '\t');
			buffer_append_str(out, (const char *)sqlite3_column_text(s, i));
		}
		buffer_append_byte(out, '\n');
		if (buffer_failed(out))
			r = -ENOSPC;
	}
	sqlite3_finalize(s);
	return r ? r : trace_errno(rc);
}

int
trace_reader_dump(struct trace_reader *reader, struct buffer *out)
{
	int r =
	    dump_table(reader, "message", "SELECT " TRACE_MESSAGE_COLUMNS " FROM message ORDER BY seq", out);

	if (!r)
		r = dump_table(reader, "document",
		    "SELECT seq, " DOCUMENT_COLUMNS " FROM document ORDER BY seq, n", out);
	if (!r)
		r = dump_table(reader, "hop", "SELECT " TRACE_HOP_COLUMNS " FROM hop ORDER BY record", out);
	return r;
}
