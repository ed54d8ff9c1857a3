/* SPDX-License-Identifier: Apache-2.0 */
/* The trace's database, written: see trace_store.h. */
#include "broker/views/trace_store.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqlite3.h>

#include "broker/core/decision.h"
#include "broker/core/facts.h"
#include "broker/views/trace.h"
#include "codecs/digest.h"
#include "codecs/hl7.h"
#include "codecs/printable.h"

#define TRACE_APPLICATION 0x4c545243 /* "LTRC": a database of somebody else is not written into */
#define TRACE_VERSION	  3	     /* raised with every change of the tables or of what a row is made of */

static const char schema[] =
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE message(seq INTEGER PRIMARY KEY, time INTEGER NOT NULL, type INTEGER NOT NULL,"
    " flags INTEGER NOT NULL, answer INTEGER NOT NULL, mode INTEGER NOT NULL, parked INTEGER NOT NULL,"
    " size INTEGER NOT NULL, sha256 TEXT NOT NULL, peer TEXT NOT NULL, establishment TEXT NOT NULL,"
    " listener TEXT NOT NULL, msg_type TEXT NOT NULL, msg_event TEXT NOT NULL, control TEXT NOT NULL,"
    " version TEXT NOT NULL, processing TEXT NOT NULL, application TEXT NOT NULL, facility TEXT NOT NULL,"
    " to_application TEXT NOT NULL, to_facility TEXT NOT NULL, charset TEXT NOT NULL,"
    " charset_used TEXT NOT NULL, charset_reason TEXT NOT NULL, destinations TEXT NOT NULL,"
    " routes TEXT NOT NULL, leniencies INTEGER NOT NULL, fault INTEGER NOT NULL, fault_path TEXT NOT NULL,"
    " fault_text TEXT NOT NULL, frame_size INTEGER NOT NULL, frame_offset INTEGER NOT NULL,"
    " documents INTEGER NOT NULL, origin INTEGER NOT NULL) STRICT;"
    "CREATE INDEX message_control ON message(control, seq);"
    "CREATE TABLE document(seq INTEGER NOT NULL, n INTEGER NOT NULL, media TEXT NOT NULL, code TEXT NOT NULL,"
    " system TEXT NOT NULL, size INTEGER NOT NULL, PRIMARY KEY(seq, n)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE hop(record INTEGER PRIMARY KEY, ref INTEGER NOT NULL, time INTEGER NOT NULL,"
    " type INTEGER NOT NULL, flags INTEGER NOT NULL, outcome INTEGER NOT NULL, destination TEXT NOT NULL,"
    " who TEXT NOT NULL, code TEXT NOT NULL, text TEXT NOT NULL, what TEXT NOT NULL) STRICT;"
    "CREATE INDEX hop_ref ON hop(ref, record);"
    "CREATE INDEX hop_trouble ON hop(destination, record) WHERE outcome > 1;"
    "CREATE INDEX hop_dead ON hop(destination, ref) WHERE outcome > 1;";

enum statement {
	PUT_MESSAGE,
	PUT_DOCUMENT,
	PUT_HOP,
	DROP_DOCUMENTS,
	PUT_META,
	STATEMENTS,
};

static const char *const statement_texts[STATEMENTS] = {
	[PUT_MESSAGE] = ("INSERT OR REPLACE INTO message "
			 "VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"),
	[PUT_DOCUMENT] = "INSERT OR REPLACE INTO document VALUES(?,?,?,?,?,?)",
	[PUT_HOP] = "INSERT OR REPLACE INTO hop VALUES(?,?,?,?,?,?,?,?,?,?,?)",
	[DROP_DOCUMENTS] = "DELETE FROM document WHERE seq = ?",
	[PUT_META] = "INSERT OR REPLACE INTO meta VALUES(?,?)",
};

struct trace_store {
	sqlite3 *db;
	sqlite3_stmt *statements[STATEMENTS];
	bool in_transaction;
};

int
trace_errno(int code)
{
	switch (code & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return 0;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return -EUCLEAN;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return -EACCES;
	case SQLITE_INTERRUPT:
		return -ETIMEDOUT;
	default:
		return -EIO;
	}
}

/* One integer from ${sql}, e.g. a pragma or a count. */
static int
ask_integer(sqlite3 *db, const char *sql, int64_t *value)
{
	sqlite3_stmt *statement = NULL;
	int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);

	if (rc == SQLITE_OK) {
		rc = sqlite3_step(statement);
		if (rc == SQLITE_ROW)
			*value = sqlite3_column_int64(statement, 0);
	}
	sqlite3_finalize(statement);
	return trace_errno(rc);
}

static int
run(sqlite3 *db, const char *sql)
{
	return trace_errno(sqlite3_exec(db, sql, NULL, NULL, NULL));
}

static int
set_meta(struct trace_store *store, const char *key, const char *value)
{
	sqlite3_stmt *s = store->statements[PUT_META];
	int rc;

	sqlite3_bind_text(s, 1, key, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 2, value, -1, SQLITE_STATIC);
	rc = sqlite3_step(s);
	sqlite3_reset(s);
	return trace_errno(rc);
}

/* ${value} of ${key}, "" when there is none. */
static int
get_meta(sqlite3 *db, const char *key, char *value, size_t size)
{
	sqlite3_stmt *s = NULL;
	int rc = sqlite3_prepare_v2(db, "SELECT value FROM meta WHERE key = ?", -1, &s, NULL);

	value[0] = '\0';
	if (rc == SQLITE_OK) {
		sqlite3_bind_text(s, 1, key, -1, SQLITE_STATIC);
		rc = sqlite3_step(s);
		if (rc == SQLITE_ROW)
			sqlite3_snprintf((int)size, value, "%s", (const char *)sqlite3_column_text(s, 0));
	}
	sqlite3_finalize(s);
	return trace_errno(rc);
}

static int
get_position(sqlite3 *db, struct trace_position *position)
{
	char segment[32], offset[32], seen[32];
	int r;

	if ((r = get_meta(db, "segment", segment, sizeof(segment))) != 0 ||
	    (r = get_meta(db, "offset", offset, sizeof(offset))) != 0 ||
	    (r = get_meta(db, "seen", seen, sizeof(seen))) != 0)
		return r;
	position->cursor.segment = (uint32_t)strtoul(segment, NULL, 10);
	position->cursor.offset = strtoull(offset, NULL, 10);
	position->seen = strtoull(seen, NULL, 10);
	return 0;
}

static int
prepare_all(struct trace_store *store)
{
	for (size_t i = 0; i < STATEMENTS; i++) {
		int rc = sqlite3_prepare_v3(store->db, statement_texts[i], -1, SQLITE_PREPARE_PERSISTENT,
		    &store->statements[i], NULL);

		if (rc != SQLITE_OK)
			return trace_errno(rc);
	}
	return 0;
}

/* A new, empty database becomes ours. */
static int
make_tables(struct trace_store *store)
{
	char mark[128];
	int r = run(store->db, "BEGIN IMMEDIATE");

	if (r)
		return r;
	store->in_transaction = true;
	sqlite3_snprintf(sizeof(mark), mark, "PRAGMA application_id = %d; PRAGMA user_version = %d;",
	    TRACE_APPLICATION, TRACE_VERSION);
	if ((r = run(store->db, schema)) != 0 || (r = run(store->db, mark)) != 0)
		return r;
	return 0;
}

/* Whose database is this? 0: ours, with ${fresh} when it was empty and has tables now. */
static int
recognise(struct trace_store *store, const char *identity, bool *fresh)
{
	int64_t application = 0, version = 0, tables = 0;
	char whose[64];
	int r;

	*fresh = false;
	if ((r = ask_integer(store->db, "PRAGMA application_id", &application)) != 0 ||
	    (r = ask_integer(store->db, "PRAGMA user_version", &version)) != 0 ||
	    (r = ask_integer(store->db, "SELECT count(*) FROM sqlite_master", &tables)) != 0)
		return r;
	if (!application && !version && !tables) {
		*fresh = true;
		return make_tables(store);
	}
	if (application != TRACE_APPLICATION || version != TRACE_VERSION)
		return TRACE_FOREIGN;
	if ((r = get_meta(store->db, "journal", whose, sizeof(whose))) != 0)
		return r;
	return strcmp(whose, identity) ? TRACE_FOREIGN : 0;
}

int
trace_store_open(
    struct trace_store **storep, const char *path, const char *identity, struct trace_position *position)
{
	struct trace_store *store = calloc(1, sizeof(*store));
	bool fresh;
	int r;

	if (!store)
		return -ENOMEM;
	r = trace_errno(sqlite3_open_v2(path, &store->db,
	    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, NULL));
	if (r)
		goto fail;
	sqlite3_busy_timeout(store->db, 2000);
	/* Nothing here must survive a power cut that the journal did not: no sync on commit, only before a checkpoint. */
	r = run(store->db,
	    "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -4096;"
	    "PRAGMA journal_size_limit = 16777216; PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF;");
	if (r)
		goto fail;
	if ((r = recognise(store, identity, &fresh)) != 0 || (r = prepare_all(store)) != 0)
		goto fail;
	*position = (struct trace_position){ 0 };
	if (fresh) {
		if ((r = set_meta(store, "journal", identity)) != 0 ||
		    (r = trace_store_commit(store, position)) != 0)
			goto fail;
	} else if ((r = get_position(store->db, position)) != 0) {
		goto fail;
	}
	*storep = store;
	return 0;
fail:
	trace_store_close(store);
	return r;
}

void
trace_store_close(struct trace_store *store)
{
	if (!store)
		return;
	for (size_t i = 0; i < STATEMENTS; i++)
		sqlite3_finalize(store->statements[i]);
	sqlite3_close(store->db);
	free(store);
}

void
trace_store_remove(const char *path)
{
	static const char *const suffixes[] = { "", "-wal", "-shm" };
	const char *slash = strrchr(path, '/');
	char name[4096];

	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		if ((size_t)snprintf(name, sizeof(name), "%s%s", path, suffixes[i]) < sizeof(name))
			(void)unlink(name);
	}
	if (slash && (size_t)snprintf(name, sizeof(name), "%.*s", (int)(slash - path), path) < sizeof(name))
		(void)mkdir(name, 0700);
}

int
trace_store_begin(struct trace_store *store)
{
	int r = run(store->db, "BEGIN IMMEDIATE");

	store->in_transaction = r == 0;
	return r;
}

int
trace_store_commit(struct trace_store *store, const struct trace_position *position)
{
	char segment[32], offset[32], seen[32];
	int r;

	sqlite3_snprintf(sizeof(segment), segment, "%u", position->cursor.segment);
	sqlite3_snprintf(sizeof(offset), offset, "%llu", (unsigned long long)position->cursor.offset);
	sqlite3_snprintf(sizeof(seen), seen, "%llu", (unsigned long long)position->seen);
	if ((r = set_meta(store, "segment", segment)) != 0 || (r = set_meta(store, "offset", offset)) != 0 ||
	    (r = set_meta(store, "seen", seen)) != 0 || (r = run(store->db, "COMMIT")) != 0)
		return r;
	store->in_transaction = false;
	return 0;
}

void
trace_store_rollback(struct trace_store *store)
{
	if (store->in_transaction)
		(void)run(store->db, "ROLLBACK");
	store->in_transaction = false;
}

/* Columns are bound in order; what goes wrong is kept in the row and told once, by its step. */
struct row {
	sqlite3_stmt *statement;
	int column;
	int code;
	struct buffer text;
};

static void
row_begin(struct row *row, sqlite3_stmt *statement)
{
	row->statement = statement;
	row->column = 0;
	row->code = SQLITE_OK;
	buffer_init(&row->text, (size_t)64 << 10);
}

static void
row_number(struct row *row, uint64_t value)
{
	int rc = sqlite3_bind_int64(row->statement, ++row->column, (int64_t)value);

	if (rc != SQLITE_OK)
		row->code = rc;
}

/* What stands in row->text. */
static void
row_bind(struct row *row)
{
	int rc = sqlite3_bind_text(row->statement, ++row->column,
	    row->text.len ? (const char *)row->text.data : "", (int)row->text.len, SQLITE_TRANSIENT);

	if (rc != SQLITE_OK)
		row->code = rc;
	if (buffer_failed(&row->text))
		row->code = SQLITE_NOMEM;
}

static void
row_text(struct row *row, struct span raw)
{
	buffer_reset(&row->text);
	printable_append(&row->text, raw, TRACE_TEXT_MAX);
	row_bind(row);
}

static int
row_end(struct row *row)
{
	int rc = row->code;

	if (rc == SQLITE_OK)
		rc = sqlite3_step(row->statement);
	sqlite3_reset(row->statement);
	sqlite3_clear_bindings(row->statement);
	buffer_fini(&row->text);
	return trace_errno(rc);
}

static void
row_destinations(struct row *row, const struct decision *decision)
{
	buffer_reset(&row->text);
	for (size_t i = 0; i < decision->to_count; i++) {
		if (i)
			buffer_append_byte(&row->text, ',');
		printable_append(&row->text, decision->to[i], TRACE_TEXT_MAX);
	}
	row_bind(row);
}

static int
put_documents(struct trace_store *store, uint64_t seq, const struct facts *facts)
{
	size_t count =
	    facts->document_count < TRACE_DOCUMENTS_MAX ? facts->document_count : TRACE_DOCUMENTS_MAX;
	struct row row;
	int r;

	row_begin(&row, store->statements[DROP_DOCUMENTS]);
	row_number(&row, seq);
	if ((r = row_end(&row)) != 0)
		return r;
	for (size_t i = 0; i < count; i++) {
		const struct facts_document *document = &facts->documents[i];

		row_begin(&row, store->statements[PUT_DOCUMENT]);
		row_number(&row, seq);
		row_number(&row, i + 1);
		row_text(&row, document->media);
		row_text(&row, document->type_code);
		row_text(&row, document->type_system);
		row_number(&row, document->size);
		if ((r = row_end(&row)) != 0)
			return r;
	}
	return 0;
}

/* A version that is none is a value found at fault: what a sender puts there by mistake may be a name. */
static struct span
version_shown(struct span version)
{
	size_t len = 0;

	while (len < version.len &&
	       ((version.ptr[len] >= '0' && version.ptr[len] <= '9') || version.ptr[len] == '.'))
		len++;
	return hl7_version_known(span_cut(version, 0, len)) &&
		       (len == version.len || !isalnum(version.ptr[len]))
		   ? version
		   : SPAN_EMPTY;
}

static int
put_message(struct trace_store *store, const struct record_head *head, const struct facts *facts,
    const struct decision *decision)
{
	static const uint8_t none[32];
	char hex[DIGEST_HEX_SIZE(32)] = "";
	struct row row;
	int r;

	if (memcmp(head->sha256, none, sizeof(none)) != 0)
		digest_hex(span_make(head->sha256, sizeof(head->sha256)), hex);
	row_begin(&row, store->statements[PUT_MESSAGE]);
	row_number(&row, head->seq);
	row_number(&row, head->time_us);
	row_number(&row, head->type);
	row_number(&row, head->flags);
	row_number(&row, (uint64_t)decision->answer);
	row_number(&row, (uint64_t)decision->mode);
	row_number(&row, decision->parked);
	row_number(&row, head->size);
	row_text(&row, span_str(hex));
	row_text(&row, facts->peer.len ? facts->peer : decision->who);
	row_text(&row, facts->establishment);
	row_text(&row, facts->listener);
	row_text(&row, facts->type);
	row_text(&row, facts->event);
	row_text(&row, facts->control_id);
	row_text(&row, version_shown(facts->version_id));
	row_text(&row, span_cut(facts->processing, 0, 1));
	row_text(&row, facts->sending_application);
	row_text(&row, facts->sending_facility);
	row_text(&row, facts->receiving_application);
	row_text(&row, facts->receiving_facility);
	row_text(&row, facts->charset);
	row_text(&row, facts->charset_used);
	row_text(&row, facts->charset_reason);
	row_destinations(&row, decision);
	row_text(&row, decision->routes);
	row_number(&row, facts->leniencies);
	row_number(&row, (uint64_t)decision->fault.code);
	row_text(&row, span_str(decision->fault.path));
	row_text(&row, span_str(decision->fault.message));
	row_number(&row, decision->frame_size);
	row_number(&row, decision->frame_offset);
	row_number(&row, facts->document_count);
	row_number(&row, head->type == RECORD_ACCEPTED ? head->ref : 0);
	if ((r = row_end(&row)) != 0)
		return r;
	return put_documents(store, head->seq, facts);
}

static int
put_hop(struct trace_store *store, const struct record_head *head, const struct facts *facts,
    const struct decision *decision)
{
	struct row row;

	row_begin(&row, store->statements[PUT_HOP]);
	row_number(&row, head->seq);
	row_number(&row, head->ref);
	row_number(&row, head->time_us);
	row_number(&row, head->type);
	row_number(&row, head->flags);
	row_number(&row, (uint64_t)decision->outcome);
	/* A replay is a message of its own, and a hop of the one it is once more. */
	if (head->type == RECORD_ACCEPTED)
		row_destinations(&row, decision);
	else
		row_text(&row, decision->destination);
	row_text(&row, decision->who.len ? decision->who : facts->peer);
	row_text(&row, decision->code);
	row_text(&row, decision->text);
	row_text(&row, decision->what);
	return row_end(&row);
}

int
trace_store_put(struct trace_store *store, const struct record *record, struct arena *arena)
{
	struct decision decision = { 0 };
	struct facts facts = { 0 };
	int r;

	/* What cannot be read (a newer broker's) leaves a row with what the head says. */
	if (record->facts.len && !record_is_own(record->head.type)) {
		r = facts_decode(record->facts, arena, &facts);
		if (r < 0)
			return r;
		if (r)
			facts = (struct facts){ 0 };
	}
	if (record->decision.len) {
		r = decision_decode(record->decision, arena, &decision);
		if (r < 0)
			return r;
		if (r)
			decision = (struct decision){ 0 };
	}
	switch (record->head.type) {
	case RECORD_ACCEPTED:
		if (record->head.ref && (r = put_hop(store, &record->head, &facts, &decision)) != 0)
			return r;
		return put_message(store, &record->head, &facts, &decision);
	case RECORD_REFUSED:
	case RECORD_FRAME:
	case RECORD_STRAY:
		return put_message(store, &record->head, &facts, &decision);
	default:
		return put_hop(store, &record->head, &facts, &decision);
	}
}

struct sqlite3 *
trace_store_db(struct trace_store *store)
{
	return store->db;
}

int
trace_store_rows(struct trace_store *store, uint64_t *rowsp)
{
	int64_t rows = 0;
	int r = ask_integer(store->db,
	    "SELECT (SELECT count(*) FROM message) + (SELECT count(*) FROM document) + (SELECT count(*) FROM "
	    "hop)",
	    &rows);

	*rowsp = (uint64_t)rows;
	return r;
}
