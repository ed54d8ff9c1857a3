/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of records that retention removed go too: every row's sequence is asked of the journal, in memory, a chunk at a time.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/types.h>

#include <sqlite3.h>

#include "broker/views/trace_store.h"

#define CHUNK 4096

/* One table's way: what it lists, what it removes of one sequence. */
struct way {
	const char *list, *remove[2];
};

static const struct way messages = { "SELECT seq FROM message WHERE seq > ? ORDER BY seq LIMIT ?",
	{ "DELETE FROM message WHERE seq = ?", "DELETE FROM document WHERE seq = ?" } };
static const struct way hops = { "SELECT record FROM hop WHERE record > ? ORDER BY record LIMIT ?",
	{ "DELETE FROM hop WHERE record = ?", NULL } };

struct prune {
	sqlite3 *db;
	struct journal *journal;
	const uint32_t *removed;
	size_t count;
	uint64_t seqs[CHUNK];
};

static bool
is_gone(const struct prune *prune, uint64_t seq)
{
	struct journal_place place;

	if (journal_find(prune->journal, seq, &place) != 0)
		return true;
	for (size_t i = 0; i < prune->count; i++)
		if (place.segment == prune->removed[i])
			return true;
	return false;
}

/* The next sequences behind ${after}: how many, or -errno. */
static ssize_t
next_rows(struct prune *prune, sqlite3_stmt *list, uint64_t after)
{
	ssize_t count = 0;
	int rc;

	sqlite3_bind_int64(list, 1, (int64_t)after);
	sqlite3_bind_int64(list, 2, CHUNK);
	while ((rc = sqlite3_step(list)) == SQLITE_ROW && count < CHUNK)
		prune->seqs[count++] = (uint64_t)sqlite3_column_int64(list, 0);
	sqlite3_reset(list);
	return trace_errno(rc) ? trace_errno(rc) : count;
}

static int
remove_row(sqlite3_stmt *const statements[2], uint64_t seq)
{
	for (size_t i = 0; i < 2 && statements[i]; i++) {
		int rc;

		sqlite3_bind_int64(statements[i], 1, (int64_t)seq);
		rc = sqlite3_step(statements[i]);
		sqlite3_reset(statements[i]);
		if (rc != SQLITE_DONE)
			return trace_errno(rc) ? trace_errno(rc) : -EIO;
	}
	return 0;
}

static int
prune_rows(struct prune *prune, sqlite3_stmt *list, sqlite3_stmt *const statements[2])
{
	uint64_t after = 0;
	ssize_t count;

	while ((count = next_rows(prune, list, after)) > 0) {
		for (ssize_t i = 0; i < count; i++) {
			int r = is_gone(prune, prune->seqs[i]) ? remove_row(statements, prune->seqs[i]) : 0;

			if (r)
				return r;
		}
		after = prune->seqs[count - 1];
	}
	return (int)count;
}

static int
prune_table(struct prune *prune, const struct way *way)
{
	sqlite3_stmt *list = NULL, *statements[2] = { NULL, NULL };
	int rc = sqlite3_prepare_v2(prune->db, way->list, -1, &list, NULL), r;

	for (size_t i = 0; i < 2 && way->remove[i] && rc == SQLITE_OK; i++)
		rc = sqlite3_prepare_v2(prune->db, way->remove[i], -1, &statements[i], NULL);
	r = trace_errno(rc);
	if (!r)
		r = prune_rows(prune, list, statements);
	sqlite3_finalize(list);
	sqlite3_finalize(statements[0]);
	sqlite3_finalize(statements[1]);
	return r;
}

int
trace_store_prune(struct trace_store *store, struct journal *journal, const uint32_t *removed, size_t count)
{
	struct prune *prune = malloc(sizeof(*prune));
	int r;

	if (!prune)
		return -ENOMEM;
	prune->db = trace_store_db(store);
	prune->journal = journal;
	prune->removed = removed;
	prune->count = count;
	r = prune_table(prune, &messages);
	if (!r)
		r = prune_table(prune, &hops);
	free(prune);
	return r;
}
