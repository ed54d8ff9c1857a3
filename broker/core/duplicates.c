/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open addressing with linear probing. The first byte of the key chooses the table, the next eight are the fingerprint. A dropped
 * entry becomes a tombstone (sequence 0, fingerprint kept); tables are rebuilt when three quarters are used, without what left the window.
 */
#include "broker/core/duplicates.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TABLES	    256u
#define TABLE_FIRST 64u /* entries */

struct entry {
	uint64_t fingerprint; /* 0 with seq 0: free */
	uint64_t seq;
};

struct table {
	struct entry *entries;
	size_t size; /* power of two, or 0 */
	size_t used; /* entries and tombstones */
};

struct duplicates {
	struct table tables[TABLES];
	uint64_t forgotten; /* this sequence and all before it have left the window */
	size_t count;
};

int
duplicates_new(struct duplicates **duplicatesp)
{
	*duplicatesp = calloc(1, sizeof(**duplicatesp));
	return *duplicatesp ? 0 : -ENOMEM;
}

void
duplicates_free(struct duplicates *duplicates)
{
	if (!duplicates)
		return;
	for (size_t i = 0; i < TABLES; i++)
		free(duplicates->tables[i].entries);
	free(duplicates);
}

/* Never 0, so that a free place is told from a tombstone. */
static uint64_t
fingerprint_of(const uint8_t key[16])
{
	uint64_t fingerprint;

	memcpy(&fingerprint, key + 1, sizeof(fingerprint));
	return fingerprint ? fingerprint : 1;
}

/* The entry of ${fingerprint}, or the free place where it would stand; NULL in an empty table. */
static struct entry *
table_slot(const struct table *table, uint64_t fingerprint)
{
	size_t mask = table->size - 1;

	if (table->size == 0)
		return NULL;
	for (size_t i = fingerprint & mask;; i = (i + 1) & mask) {
		struct entry *entry = &table->entries[i];

		if (entry->fingerprint == fingerprint || entry->fingerprint == 0)
			return entry;
	}
}

static int
table_rebuild(struct duplicates *duplicates, struct table *table)
{
	struct table fresh = { 0 };
	size_t live = 0;

	for (size_t i = 0; i < table->size; i++)
		if (table->entries[i].seq > duplicates->forgotten)
			live++;
	fresh.size = TABLE_FIRST;
	while (fresh.size < live * 2 + 1)
		fresh.size *= 2;
	fresh.entries = calloc(fresh.size, sizeof(*fresh.entries));
	if (!fresh.entries)
		return -ENOMEM;
	for (size_t i = 0; i < table->size; i++) {
		const struct entry *old = &table->entries[i];

		if (old->seq > duplicates->forgotten) {
			*table_slot(&fresh, old->fingerprint) = *old;
			fresh.used++;
		} else if (old->seq) {
			duplicates->count--;
		}
	}
	free(table->entries);
	*table = fresh;
	return 0;
}

int
duplicates_put(struct duplicates *duplicates, const uint8_t key[16], uint64_t seq)
{
	struct table *table = &duplicates->tables[key[0]];
	uint64_t fingerprint = fingerprint_of(key);
	struct entry *entry;

	if (seq <= duplicates->forgotten)
		return 0;
	if (table->used + 1 > table->size - table->size / 4) {
		int r = table_rebuild(duplicates, table);

		/* A table that could not grow still serves while it has a free place to end a search. */
		if (r && table->used + 1 >= table->size)
			return r;
	}
	entry = table_slot(table, fingerprint);
	if (entry->fingerprint == 0)
		table->used++;
	if (entry->seq == 0)
		duplicates->count++;
	*entry = (struct entry){ fingerprint, seq };
	return 0;
}

void
duplicates_drop(struct duplicates *duplicates, const uint8_t key[16], uint64_t seq)
{
	struct entry *entry = table_slot(&duplicates->tables[key[0]], fingerprint_of(key));

	if (!entry || entry->seq != seq || seq == 0)
		return;
	entry->seq = 0;
	duplicates->count--;
}

uint64_t
duplicates_get(const struct duplicates *duplicates, const uint8_t key[16])
{
	const struct entry *entry = table_slot(&duplicates->tables[key[0]], fingerprint_of(key));

	return entry && entry->seq > duplicates->forgotten ? entry->seq : 0;
}

void
duplicates_forget(struct duplicates *duplicates, uint64_t seq)
{
	if (seq > duplicates->forgotten)
		duplicates->forgotten = seq;
}

size_t
duplicates_count(const struct duplicates *duplicates)
{
	return duplicates->count;
}
