/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks of entries in a growing list of pointers: found by two binary searches, freed from the front once all of a block is settled
 * and QUEUE_REMEMBERED blocks stand behind it. ${unordered} is set while replay has broken the order.
 */
#include "broker/core/queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_ENTRIES	 4096u
#define QUEUE_REMEMBERED 16u /* settled blocks kept for repeated acknowledgements: 65,536 entries, 1 MiB */

#define SEQ_BITS 53
#define SEQ_MASK (((uint64_t)1 << SEQ_BITS) - 1)

struct entry {
	uint64_t word; /* seq, then 2 bits of state, then 2 bits of outcome */
	uint32_t time_s;
	uint32_t kib;
};

struct block {
	uint32_t count;
	uint32_t open; /* entries not settled */
	struct entry entries[BLOCK_ENTRIES];
};

struct queue {
	struct block **blocks;
	size_t count; /* blocks */
	size_t room;
	size_t open;  /* entries not settled */
	uint64_t kib; /* of those */
	bool replaying;
	bool unordered;
};

static uint64_t
entry_seq(const struct entry *entry)
{
	return entry->word & SEQ_MASK;
}

static enum queue_state
entry_state(const struct entry *entry)
{
	return (enum queue_state)(entry->word >> SEQ_BITS & 3);
}

static enum outcome
entry_outcome(const struct entry *entry)
{
	return (enum outcome)(entry->word >> (SEQ_BITS + 2) & 3);
}

static uint64_t
entry_word(uint64_t seq, enum queue_state state, enum outcome outcome)
{
	return (seq & SEQ_MASK) | (uint64_t)state << SEQ_BITS | (uint64_t)outcome << (SEQ_BITS + 2);
}

int
queue_new(struct queue **queuep)
{
	*queuep = calloc(1, sizeof(**queuep));
	if (!*queuep)
		return -ENOMEM;
	(*queuep)->replaying = true;
	return 0;
}

void
queue_free(struct queue *queue)
{
	if (!queue)
		return;
	for (size_t i = 0; i < queue->count; i++)
		free(queue->blocks[i]);
	free(queue->blocks);
	free(queue);
}

/* Index of the first block whose last sequence is at least ${seq}. */
static size_t
find_block(const struct queue *queue, uint64_t seq)
{
	size_t low = 0, high = queue->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct block *block = queue->blocks[middle];

		if (entry_seq(&block->entries[block->count - 1]) < seq)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Index in ${block} of the first entry whose sequence is at least ${seq}. */
static uint32_t
find_entry(const struct block *block, uint64_t seq)
{
	uint32_t low = 0, high = block->count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (entry_seq(&block->entries[middle]) < seq)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct entry *
find(const struct queue *queue, uint64_t seq, struct block **blockp)
{
	size_t b = find_block(queue, seq);
	struct entry *entry;

	if (b == queue->count)
		return NULL;
	entry = &queue->blocks[b]->entries[find_entry(queue->blocks[b], seq)];
	if (entry_seq(entry) != seq)
		return NULL;
	if (blockp)
		*blockp = queue->blocks[b];
	return entry;
}

static int
append(struct queue *queue, struct entry entry)
{
	struct block *last = queue->count ? queue->blocks[queue->count - 1] : NULL;

	if (!last || last->count == BLOCK_ENTRIES) {
		if (queue->count == queue->room) {
			size_t room = queue->room ? queue->room * 2 : 16;
			struct block **blocks = realloc(queue->blocks, room * sizeof(*blocks));

			if (!blocks)
				return -ENOMEM;
			queue->blocks = blocks;
			queue->room = room;
		}
		last = malloc(sizeof(*last));
		if (!last)
			return -ENOMEM;
		last->count = last->open = 0;
		queue->blocks[queue->count++] = last;
	}
	last->entries[last->count++] = entry;
	if (entry_state(&entry) != QUEUE_SETTLED) {
		last->open++;
		queue->open++;
		queue->kib += entry.kib;
	}
	return 0;
}

static uint64_t
last_seq(const struct queue *queue)
{
	const struct block *last;

	if (queue->count == 0)
		return 0;
	last = queue->blocks[queue->count - 1];
	return entry_seq(&last->entries[last->count - 1]);
}

int
queue_push(struct queue *queue, uint64_t seq, uint64_t time_us, uint64_t size)
{
	uint64_t kib = (size + 1023) / 1024;
	struct entry entry = {
		.word = entry_word(seq, QUEUE_WAITING, 0),
		.time_s = (uint32_t)(time_us / 1000000),
		.kib = kib > UINT32_MAX ? UINT32_MAX : (uint32_t)kib,
	};

	if (queue->replaying && seq <= last_seq(queue)) {
		if (!queue->unordered && find(queue, seq, NULL))
			return 0; /* carried forward: it is here already */
		queue->unordered = true;
	}
	return append(queue, entry);
}

/* By sequence; of two of the same the settled one first, which is the one kept. */
static int
compare_entries(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (entry_seq(x) != entry_seq(y))
		return entry_seq(x) < entry_seq(y) ? -1 : 1;
	return (int)entry_state(y) - (int)entry_state(x);
}

/* Take all entries out into one array. */
static struct entry *
flatten(const struct queue *queue, size_t *countp)
{
	struct entry *all;
	size_t count = 0;

	for (size_t i = 0; i < queue->count; i++)
		count += queue->blocks[i]->count;
	all = malloc((count ? count : 1) * sizeof(*all));
	if (!all)
		return NULL;
	count = 0;
	for (size_t i = 0; i < queue->count; i++) {
		memcpy(all + count, queue->blocks[i]->entries, queue->blocks[i]->count * sizeof(*all));
		count += queue->blocks[i]->count;
	}
	*countp = count;
	return all;
}

static int
sort(struct queue *queue)
{
	struct queue fresh = { .replaying = true };
	struct entry *all;
	size_t count;
	int r = 0;

	all = flatten(queue, &count);
	if (!all)
		return -ENOMEM;
	qsort(all, count, sizeof(*all), compare_entries);
	for (size_t i = 0; i < count && r == 0; i++)
		if (i == 0 || entry_seq(&all[i]) != entry_seq(&all[i - 1]))
			r = append(&fresh, all[i]);
	free(all);
	for (size_t i = 0; i < queue->count; i++)
		free(queue->blocks[i]);
	free(queue->blocks);
	*queue = fresh;
	return r;
}

/* Free blocks at the front that hold nothing open, but for the latest ones. Not while replaying: a carried record may still come. */
static void
forget(struct queue *queue)
{
	size_t free_count = 0;

	while (free_count + QUEUE_REMEMBERED < queue->count && queue->blocks[free_count]->open == 0)
		free(queue->blocks[free_count++]);
	if (free_count == 0)
		return;
	queue->count -= free_count;
	memmove(queue->blocks, queue->blocks + free_count, queue->count * sizeof(*queue->blocks));
}

int
queue_order(struct queue *queue)
{
	int r = queue->unordered ? sort(queue) : 0;

	if (r)
		return r;
	queue->unordered = false;
	queue->replaying = false;
	forget(queue);
	return 0;
}

enum queue_state
queue_state(const struct queue *queue, uint64_t seq, enum outcome *outcome)
{
	const struct entry *entry = find(queue, seq, NULL);

	if (!entry)
		return QUEUE_ABSENT;
	if (outcome)
		*outcome = entry_outcome(entry);
	return entry_state(entry);
}

bool
queue_settling(struct queue *queue, uint64_t seq, enum outcome outcome)
{
	struct entry *entry = find(queue, seq, NULL);

	if (!entry || entry_state(entry) != QUEUE_WAITING)
		return false;
	entry->word = entry_word(seq, QUEUE_SETTLING, outcome);
	return true;
}

bool
queue_settled(struct queue *queue, uint64_t seq)
{
	struct block *block;
	struct entry *entry = find(queue, seq, &block);

	if (!entry || entry_state(entry) != QUEUE_SETTLING)
		return false;
	entry->word = entry_word(seq, QUEUE_SETTLED, entry_outcome(entry));
	block->open--;
	queue->open--;
	queue->kib -= entry->kib;
	if (block->open == 0 && !queue->replaying)
		forget(queue);
	return true;
}

bool
queue_unsettle(struct queue *queue, uint64_t seq)
{
	struct entry *entry = find(queue, seq, NULL);

	if (!entry || entry_state(entry) != QUEUE_SETTLING)
		return false;
	entry->word = entry_word(seq, QUEUE_WAITING, 0);
	return true;
}

static void
show(const struct entry *entry, struct queue_entry *shown)
{
	*shown = (struct queue_entry){ entry_seq(entry), entry->time_s, (uint64_t)entry->kib * 1024 };
}

size_t
queue_list(const struct queue *queue, uint64_t after, struct queue_entry *entries, size_t max)
{
	size_t n = 0;

	if (after >= SEQ_MASK)
		return 0;
	for (size_t b = find_block(queue, after + 1); b < queue->count && n < max; b++) {
		const struct block *block = queue->blocks[b];

		if (block->open == 0)
			continue;
		for (uint32_t i = find_entry(block, after + 1); i < block->count && n < max; i++)
			if (entry_state(&block->entries[i]) != QUEUE_SETTLED)
				show(&block->entries[i], &entries[n++]);
	}
	return n;
}

bool
queue_first(const struct queue *queue, struct queue_entry *entry)
{
	for (size_t b = 0; b < queue->count; b++) {
		const struct block *block = queue->blocks[b];

		for (uint32_t i = 0; block->open && i < block->count; i++)
			if (entry_state(&block->entries[i]) == QUEUE_WAITING) {
				show(&block->entries[i], entry);
				return true;
			}
	}
	return false;
}

size_t
queue_count(const struct queue *queue)
{
	return queue->open;
}

uint64_t
queue_bytes(const struct queue *queue)
{
	return queue->kib * 1024;
}
