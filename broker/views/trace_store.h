/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The trace's database: its tables, and one record made into its row. Used by the projector's thread alone.
 *
 * Statements are prepared once. Any failure leaves the transaction to be rolled back by trace_store_close or trace_store_rollback.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/store/journal.h"
#include "codecs/arena.h"

struct sqlite3;
struct trace_store;

/* A text column's greatest length: facts of a message are its sender's to choose. */
#define TRACE_TEXT_MAX 256

/* Where the projection stands; kept in the same transaction as the rows. */
struct trace_position {
	struct journal_cursor cursor;
	uint64_t seen; /* the newest sequence seen */
};

enum {
	TRACE_FOREIGN =
	    1, /* another version, another journal, or no database at all: delete and rebuild it */
};

/* The -errno of an SQLite result code; 0 for SQLITE_OK, SQLITE_ROW, SQLITE_DONE. Damage is -EUCLEAN. */
int trace_errno(int code);

/* Open or make ${path} for the journal known by ${identity} (32 hexadecimal digits). 0, TRACE_FOREIGN, -errno. */
int trace_store_open(struct trace_store **storep, const char *path, const char *identity,
    struct trace_position *position) __attribute__((warn_unused_result));
void trace_store_close(struct trace_store *store);

/* Remove the database of ${path}, and see that its directory is there for a new one. Failures show when that one is opened. */
void trace_store_remove(const char *path);

int trace_store_begin(struct trace_store *store) __attribute__((warn_unused_result));
int trace_store_commit(struct trace_store *store, const struct trace_position *position)
    __attribute__((warn_unused_result));
void trace_store_rollback(struct trace_store *store);

/* Make the row of ${record}, in place of one of the same sequence. ${arena} for the work. */
int trace_store_put(struct trace_store *store, const struct record *record, struct arena *arena)
    __attribute__((warn_unused_result));

/*
 * Remove the rows of records that ${journal} no longer has, or has only in the ${count} segments of ${removed}: their removal is recorded
 * before they go. In trace_prune.c.
 */
int trace_store_prune(struct trace_store *store, struct journal *journal, const uint32_t *removed,
    size_t count) __attribute__((warn_unused_result));

/* Rows of all tables. */
int trace_store_rows(struct trace_store *store, uint64_t *rowsp) __attribute__((warn_unused_result));

/* The connection, for statements that are not needed at every record. */
struct sqlite3 *trace_store_db(struct trace_store *store);
