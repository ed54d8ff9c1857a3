/* SPDX-License-Identifier: Apache-2.0 */
/* Entries in one array, chained twice: by replay and by original. Freed ones are chained for the next. */
#include "broker/core/originals.h"

#include <errno.h>
#include <stdlib.h>

#define NONE	   UINT32_MAX
#define ROOM_FIRST 64u
#define ROOM_MAX   (1u << 30)

struct entry {
	uint64_t replay, original;
	uint32_t next_replay, next_original; /* of the same bucket; next_replay chains the free ones too */
};

struct originals {
	struct entry *entries;
	uint32_t *by_replay, *by_original; /* ${room} buckets each, a power of two */
	uint32_t room, used;		   /* entries, and how many of them were ever taken */
	uint32_t spare;			   /* the first freed one */
	size_t count;
};

int
originals_new(struct originals **originalsp)
{
	*originalsp = calloc(1, sizeof(**originalsp));
	if (!*originalsp)
		return -ENOMEM;
	(*originalsp)->spare = NONE;
	return 0;
}

void
originals_free(struct originals *originals)
{
	if (!originals)
		return;
	free(originals->entries);
	free(originals->by_replay);
	free(originals->by_original);
	free(originals);
}

/* Sequences come one behind the other: their low bits spread well enough once the rest is mixed in. */
static uint32_t
bucket(const struct originals *originals, uint64_t seq)
{
	return (uint32_t)((seq * 0x9e3779b97f4a7c15u) >> 32) & (originals->room - 1);
}

static void
chain(struct originals *originals, uint32_t at)
{
	struct entry *entry = &originals->entries[at];
	uint32_t *replay = &originals->by_replay[bucket(originals, entry->replay)];
	uint32_t *original = &originals->by_original[bucket(originals, entry->original)];

	entry->next_replay = *replay;
	*replay = at;
	entry->next_original = *original;
	*original = at;
}

static int
grow(struct originals *originals)
{
	uint32_t room = originals->room ? originals->room * 2 : ROOM_FIRST;
	uint32_t *by_replay, *by_original;
	struct entry *entries;

	if (room > ROOM_MAX)
		return -ENOMEM;
	by_replay = malloc(room * sizeof(*by_replay));
	by_original = malloc(room * sizeof(*by_original));
	entries = by_replay && by_original ? realloc(originals->entries, room * sizeof(*entries)) : NULL;
	if (!entries) {
		free(by_replay);
		free(by_original);
		return -ENOMEM;
	}
	free(originals->by_replay);
	free(originals->by_original);
	originals->entries = entries;
	originals->by_replay = by_replay;
	originals->by_original = by_original;
	originals->room = room;
	for (uint32_t i = 0; i < room; i++)
		by_replay[i] = by_original[i] = NONE;
	/* No freed one is among them: it would have been taken before. */
	for (uint32_t i = 0; i < originals->used; i++)
		chain(originals, i);
	return 0;
}

int
originals_reserve(struct originals *originals)
{
	return originals->spare != NONE || originals->used < originals->room ? 0 : grow(originals);
}

void
originals_put(struct originals *originals, uint64_t replay, uint64_t original)
{
	uint32_t at = originals->spare;

	if (at != NONE)
		originals->spare = originals->entries[at].next_replay;
	else
		at = originals->used++;
	originals->entries[at] = (struct entry){ .replay = replay, .original = original };
	chain(originals, at);
	originals->count++;
}

static uint32_t
find(const struct originals *originals, uint64_t replay)
{
	uint32_t at = originals->count ? originals->by_replay[bucket(originals, replay)] : NONE;

	while (at != NONE && originals->entries[at].replay != replay)
		at = originals->entries[at].next_replay;
	return at;
}

void
originals_drop(struct originals *originals, uint64_t replay)
{
	uint32_t at = find(originals, replay), *link;

	if (at == NONE)
		return;
	link = &originals->by_replay[bucket(originals, replay)];
	while (*link != at)
		link = &originals->entries[*link].next_replay;
	*link = originals->entries[at].next_replay;
	link = &originals->by_original[bucket(originals, originals->entries[at].original)];
	while (*link != at)
		link = &originals->entries[*link].next_original;
	*link = originals->entries[at].next_original;
	originals->entries[at].next_replay = originals->spare;
	originals->spare = at;
	originals->count--;
}

uint64_t
originals_of(const struct originals *originals, uint64_t replay)
{
	uint32_t at = find(originals, replay);

	return at == NONE ? 0 : originals->entries[at].original;
}

uint64_t
originals_next(const struct originals *originals, uint64_t original, uint64_t replay)
{
	uint32_t at = replay ? find(originals, replay) : NONE;

	if (at != NONE)
		at = originals->entries[at].next_original;
	else if (!replay && originals->count)
		at = originals->by_original[bucket(originals, original)];
	while (at != NONE && originals->entries[at].original != original)
		at = originals->entries[at].next_original;
	return at == NONE ? 0 : originals->entries[at].replay;
}

size_t
originals_count(const struct originals *originals)
{
	return originals->count;
}
