/* SPDX-License-Identifier: Apache-2.0 */
/* See index.h. */
#include "broker/store/index.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define INDEX_FIRST 64 /* entries of the first allocation */

void
index_fini(struct index *index)
{
	free(index->born.entries);
	free(index->carried.entries);
	memset(index, 0, sizeof *index);
}

static int
list_reserve(struct index_list *list, size_t more)
{
	size_t cap = list->cap ? list->cap : INDEX_FIRST;
	struct index_entry *entries;

	if (more == 0 || list->count + more <= list->cap)
		return 0;
	while (cap < list->count + more)
		cap *= 2;
	entries = reallocarray(list->entries, cap, sizeof *entries);
	if (!entries)
		return -ENOMEM;
	list->entries = entries;
	list->cap = cap;
	return 0;
}

int
index_reserve(struct index *index, size_t born, size_t carried)
{
	int r = list_reserve(&index->born, born);

	return r ? r : list_reserve(&index->carried, carried);
}

/* The first entry not before ${seq}. */
static size_t
list_place(const struct index_list *list, uint64_t seq)
{
	size_t low = 0, high = list->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (list->entries[middle].seq < seq)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

void
index_add(struct index *index, uint64_t seq, uint64_t offset, bool carried)
{
	struct index_list *list = carried ? &index->carried : &index->born;
	size_t at = list->count;

	if (at > 0 && list->entries[at - 1].seq >= seq)
		at = list_place(list, seq);
	if (at < list->count && list->entries[at].seq == seq) {
		list->entries[at].offset = offset;
		return;
	}
	memmove(list->entries + at + 1, list->entries + at, (list->count - at) * sizeof *list->entries);
	list->entries[at] = (struct index_entry){ seq, offset };
	list->count++;
}

void
index_prepare(struct index *index, size_t nth, uint64_t seq, uint64_t offset)
{
	index->born.entries[index->born.count + nth] = (struct index_entry){ seq, offset };
}

void
index_publish(struct index *index, size_t count)
{
	index->born.count += count;
}

static bool
list_find(const struct index_list *list, uint64_t seq, uint64_t *offset)
{
	size_t at;

	if (list->count == 0 || seq < list->entries[0].seq || seq > list->entries[list->count - 1].seq)
		return false;
	at = list_place(list, seq);
	if (list->entries[at].seq != seq)
		return false;
	*offset = list->entries[at].offset;
	return true;
}

bool
index_find(const struct index *index, uint64_t seq, uint64_t *offset)
{
	return list_find(&index->born, seq, offset) || list_find(&index->carried, seq, offset);
}
