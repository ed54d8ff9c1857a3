/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The latest entries stand plain in ${tail}; each time there are QUEUE_BLOCK_ENTRIES of them they become a packed block. Blocks are found by
 * two binary searches, and freed from the front once all of a block is settled and QUEUE_REMEMBERED blocks stand behind it. What replay
 * meets out of its order waits in ${late} and is merged in when replay ends.
 */
#include "broker/core/queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker/core/queue_block.h"

#define QUEUE_REMEMBERED 16u /* settled blocks kept for repeated acknowledgements: 65,536 entries, 350 KiB */
#define SEQ_MAX		 (((uint64_t)1 << 53) - 1)

struct items {
	struct queue_item *at;
	size_t count, room;
};

struct queue {
	struct queue_block **blocks;
	size_t count; /* blocks */
	size_t room;
	struct items tail;
	uint32_t tail_open; /* entries of the tail that are not settled */
	size_t open;	    /* entries not settled */
	uint64_t kib;	    /* of entries that wait */
	bool replaying;
	struct items late; /* while replaying: what came behind its place, in any order */
};

/* Where an entry stands: block ${block} of the queue, which is queue->count for the tail. */
struct place {
	size_t block;
	uint32_t index;
};

int
queue_new(struct queue **queuep)
{
	*queuep = calloc(1, sizeof(**queuep));
	if (!*queuep)
		return -ENOMEM;
	(*queuep)->replaying = true;
	return 0;
}

static void
fini(struct queue *queue)
{
	for (size_t i = 0; i < queue->count; i++)
		free(queue->blocks[i]);
	free(queue->blocks);
	free(queue->tail.at);
	free(queue->late.at);
}

void
queue_free(struct queue *queue)
{
	if (!queue)
		return;
	fini(queue);
	free(queue);
}

/*
 * Entries by their places.
 */
static uint32_t
count_at(const struct queue *queue, size_t block)
{
	return block < queue->count ? queue->blocks[block]->count : (uint32_t)queue->tail.count;
}

static uint32_t
open_at(const struct queue *queue, size_t block)
{
	return block < queue->count ? queue->blocks[block]->open : queue->tail_open;
}

static uint64_t
seq_at(const struct queue *queue, struct place place)
{
	return place.block < queue->count ? queue_block_seq(queue->blocks[place.block], place.index)
					  : queue->tail.at[place.index].seq;
}

static struct queue_item
get(const struct queue *queue, struct place place)
{
	return place.block < queue->count ? queue_block_get(queue->blocks[place.block], place.index)
					  : queue->tail.at[place.index];
}

static void
set(struct queue *queue, struct place place, enum queue_state state, enum outcome outcome)
{
	if (place.block < queue->count) {
		queue_block_set(queue->blocks[place.block], place.index, state, outcome);
	} else {
		queue->tail.at[place.index].state = state & 3;
		queue->tail.at[place.index].outcome = outcome & 15;
	}
}

/* The first entry whose sequence is at least ${seq}; behind the last one when there is none. */
static struct place
seek(const struct queue *queue, uint64_t seq)
{
	size_t low = 0, high = queue->count;
	struct place place = { 0 };
	uint32_t end;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (queue->blocks[middle]->last < seq)
			low = middle + 1;
		else
			high = middle;
	}
	place.block = low;
	end = count_at(queue, low);
	while (place.index < end) {
		struct place middle = { low, place.index + (end - place.index) / 2 };

		if (seq_at(queue, middle) < seq)
			place.index = middle.index + 1;
		else
			end = middle.index;
	}
	return place;
}

static bool
find(const struct queue *queue, uint64_t seq, struct place *place)
{
	*place = seek(queue, seq);
	return place->index < count_at(queue, place->block) && seq_at(queue, *place) == seq;
}

static uint64_t
last_seq(const struct queue *queue)
{
	if (queue->tail.count)
		return queue->tail.at[queue->tail.count - 1].seq;
	return queue->count ? queue->blocks[queue->count - 1]->last : 0;
}

/*
 * Growing.
 */
static int
items_add(struct items *items, struct queue_item item)
{
	if (items->count == items->room) {
		size_t room = items->room ? items->room * 2 : 64;
		struct queue_item *more = realloc(items->at, room * sizeof(*more));

		if (!more)
			return -ENOMEM;
		items->at = more;
		items->room = room;
	}
	items->at[items->count++] = item;
	return 0;
}

/* Free blocks at the front that hold nothing open, but for the latest ones. Not while replaying: a carried record may still come. */
static void
forget(struct queue *queue)
{
	size_t free_count = 0;

	if (queue->replaying)
		return;
	while (free_count + QUEUE_REMEMBERED < queue->count && queue->blocks[free_count]->open == 0)
		free(queue->blocks[free_count++]);
	if (free_count == 0)
		return;
	queue->count -= free_count;
	memmove(queue->blocks, queue->blocks + free_count, queue->count * sizeof(*queue->blocks));
}

/* Make a block of the tail. */
static int
pack(struct queue *queue)
{
	struct queue_block *block;

	if (queue->count == queue->room) {
		size_t room = queue->room ? queue->room * 2 : 16;
		struct queue_block **blocks = realloc(queue->blocks, room * sizeof(*blocks));

		if (!blocks)
			return -ENOMEM;
		queue->blocks = blocks;
		queue->room = room;
	}
	block = queue_block_new(queue->tail.at, (uint32_t)queue->tail.count);
	if (!block)
		return -ENOMEM;
	queue->blocks[queue->count++] = block;
	queue->tail.count = 0;
	queue->tail_open = 0;
	forget(queue);
	return 0;
}

static int
append(struct queue *queue, struct queue_item item)
{
	int r = queue->tail.count == QUEUE_BLOCK_ENTRIES ? pack(queue) : 0;

	if (r == 0)
		r = items_add(&queue->tail, item);
	if (r || item.state == QUEUE_SETTLED)
		return r;
	queue->tail_open++;
	queue->open++;
	queue->kib += item.state == QUEUE_WAITING ? item.kib : 0;
	return 0;
}

int
queue_push(struct queue *queue, uint64_t seq, uint64_t time_us, uint64_t size)
{
	uint64_t kib = (size + 1023) / 1024;
	struct queue_item item = {
		.seq = seq & SEQ_MAX,
		.state = QUEUE_WAITING,
		.time_s = (uint32_t)(time_us / 1000000),
		.kib = kib > UINT32_MAX ? UINT32_MAX : (uint32_t)kib,
	};
	struct place place;

	if (!queue->replaying || seq > last_seq(queue))
		return append(queue, item);
	/* Carried forward: it is here already, or its first record is gone. */
	return find(queue, seq, &place) ? 0 : items_add(&queue->late, item);
}

/*
 * The end of replay.
 */
static int
compare_items(const void *a, const void *b)
{
	const struct queue_item *x = a, *y = b;

	return (x->seq > y->seq) - (x->seq < y->seq);
}

/* Append to ${fresh} the late ones before ${seq}, each once, from ${next} on. */
static int
append_late(struct queue *fresh, const struct items *late, size_t *next, uint64_t seq)
{
	int r = 0;

	for (; r == 0 && *next < late->count && late->at[*next].seq < seq; ++*next)
		if (late->at[*next].seq != last_seq(fresh))
			r = append(fresh, late->at[*next]);
	return r;
}

/* Put the late ones in their places. Old blocks are freed as they are read, so that there are never two of everything. */
static int
merge(struct queue *queue)
{
	struct queue fresh = { .replaying = true };
	size_t next = 0;
	int r = 0;

	qsort(queue->late.at, queue->late.count, sizeof(*queue->late.at), compare_items);
	for (struct place place = { 0 }; place.block <= queue->count && r == 0; place.block++) {
		uint32_t end = count_at(queue, place.block);

		for (place.index = 0; place.index < end && r == 0; place.index++) {
			struct queue_item item = get(queue, place);

			r = append_late(&fresh, &queue->late, &next, item.seq);
			if (r == 0)
				r = append(&fresh, item);
		}
		if (place.block < queue->count) {
			free(queue->blocks[place.block]);
			queue->blocks[place.block] = NULL;
		}
	}
	if (r == 0)
		r = append_late(&fresh, &queue->late, &next, UINT64_MAX);
	fini(queue);
	*queue = fresh;
	return r;
}

int
queue_order(struct queue *queue)
{
	int r = queue->late.count ? merge(queue) : 0;

	if (r)
		return r;
	queue->replaying = false;
	forget(queue);
	return 0;
}

/*
 * States.
 */
enum queue_state
queue_state(const struct queue *queue, uint64_t seq, enum outcome *outcome)
{
	struct queue_item item;
	struct place place;

	if (!find(queue, seq, &place))
		return QUEUE_ABSENT;
	item = get(queue, place);
	if (outcome)
		*outcome = item.outcome;
	return item.state;
}

/* Find ${seq} in state ${from} and put it in state ${to}; one of them is WAITING. */
static bool
change(struct queue *queue, uint64_t seq, enum queue_state from, enum queue_state to, enum outcome outcome)
{
	struct queue_item item;
	struct place place;

	if (!find(queue, seq, &place))
		return false;
	item = get(queue, place);
	if (item.state != from)
		return false;
	set(queue, place, to, outcome);
	queue->kib += to == QUEUE_WAITING ? item.kib : -(uint64_t)item.kib;
	return true;
}

bool
queue_settling(struct queue *queue, uint64_t seq, enum outcome outcome)
{
	return change(queue, seq, QUEUE_WAITING, QUEUE_SETTLING, outcome);
}

bool
queue_settled(struct queue *queue, uint64_t seq)
{
	struct queue_item item;
	struct place place;

	if (!find(queue, seq, &place))
		return false;
	item = get(queue, place);
	if (item.state != QUEUE_SETTLING)
		return false;
	set(queue, place, QUEUE_SETTLED, item.outcome);
	queue->open--;
	if (place.block == queue->count)
		queue->tail_open--;
	else if (--queue->blocks[place.block]->open == 0)
		forget(queue);
	return true;
}

bool
queue_unsettle(struct queue *queue, uint64_t seq)
{
	return change(queue, seq, QUEUE_SETTLING, QUEUE_WAITING, 0);
}

/*
 * Looking.
 */
static size_t
list(const struct queue *queue, uint64_t from, bool settling, struct queue_entry *entries, size_t max)
{
	struct place place = seek(queue, from);
	size_t n = 0;

	for (; place.block <= queue->count && n < max; place.block++, place.index = 0) {
		uint32_t end = open_at(queue, place.block) ? count_at(queue, place.block) : 0;

		for (; place.index < end && n < max; place.index++) {
			struct queue_item item = get(queue, place);

			if (item.state == QUEUE_WAITING || (settling && item.state == QUEUE_SETTLING))
				entries[n++] =
				    (struct queue_entry){ item.seq, item.time_s, (uint64_t)item.kib * 1024 };
		}
	}
	return n;
}

size_t
queue_list(const struct queue *queue, uint64_t after, struct queue_entry *entries, size_t max)
{
	return after < SEQ_MAX ? list(queue, after + 1, true, entries, max) : 0;
}

bool
queue_first(const struct queue *queue, struct queue_entry *entry)
{
	return list(queue, 0, false, entry, 1) == 1;
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
