/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Four columns: sequences, times, sizes, states. Numbers are in the machine's own byte order: nothing here is ever stored.
 */
#include "broker/core/queue_block.h"

#include <stdlib.h>
#include <string.h>

static uint8_t
width_of(uint64_t largest)
{
	return largest <= UINT8_MAX ? 1 : largest <= UINT16_MAX ? 2 : largest <= UINT32_MAX ? 4 : 8;
}

static void
put(uint8_t *column, uint8_t width, uint32_t index, uint64_t value)
{
	uint16_t half = (uint16_t)value;
	uint32_t word = (uint32_t)value;

	switch (width) {
	case 1:
		column[index] = (uint8_t)value;
		break;
	case 2:
		memcpy(column + (size_t)index * 2, &half, 2);
		break;
	case 4:
		memcpy(column + (size_t)index * 4, &word, 4);
		break;
	default:
		memcpy(column + (size_t)index * 8, &value, 8);
	}
}

static uint64_t
get(const uint8_t *column, uint8_t width, uint32_t index)
{
	uint16_t half;
	uint32_t word;
	uint64_t value;

	switch (width) {
	case 1:
		return column[index];
	case 2:
		memcpy(&half, column + (size_t)index * 2, 2);
		return half;
	case 4:
		memcpy(&word, column + (size_t)index * 4, 4);
		return word;
	default:
		memcpy(&value, column + (size_t)index * 8, 8);
		return value;
	}
}

/* What the columns must hold; the head of a block of these ${items}. */
static struct queue_block
measure(const struct queue_item *items, uint32_t count)
{
	uint32_t least_time = UINT32_MAX, most_time = 0, most_kib = 0;
	struct queue_block head = { .count = count };

	for (uint32_t i = 0; i < count; i++) {
		least_time = items[i].time_s < least_time ? items[i].time_s : least_time;
		most_time = items[i].time_s > most_time ? items[i].time_s : most_time;
		most_kib = items[i].kib > most_kib ? items[i].kib : most_kib;
		head.open += items[i].state != QUEUE_SETTLED;
	}
	head.base_seq = items[0].seq;
	head.last = items[count - 1].seq;
	head.base_time_s = least_time;
	head.seq_width = width_of(head.last - head.base_seq);
	head.time_width = width_of(most_time - least_time);
	head.kib_width = width_of(most_kib);
	head.time_at = count * head.seq_width;
	head.kib_at = head.time_at + count * head.time_width;
	head.state_at = head.kib_at + count * head.kib_width;
	return head;
}

struct queue_block *
queue_block_new(const struct queue_item *items, uint32_t count)
{
	struct queue_block head = measure(items, count);
	struct queue_block *block = calloc(1, sizeof(*block) + head.state_at + (count + 1) / 2);

	if (!block)
		return NULL;
	*block = head;
	for (uint32_t i = 0; i < count; i++) {
		put(block->bytes, head.seq_width, i, items[i].seq - head.base_seq);
		put(block->bytes + head.time_at, head.time_width, i, items[i].time_s - head.base_time_s);
		put(block->bytes + head.kib_at, head.kib_width, i, items[i].kib);
		queue_block_set(block, i, items[i].state, items[i].outcome);
	}
	return block;
}

uint64_t
queue_block_seq(const struct queue_block *block, uint32_t index)
{
	return block->base_seq + get(block->bytes, block->seq_width, index);
}

struct queue_item
queue_block_get(const struct queue_block *block, uint32_t index)
{
	unsigned pair = block->bytes[block->state_at + index / 2], state = pair >> (index % 2 * 4);

	return (struct queue_item){
		.seq = queue_block_seq(block, index) & (((uint64_t)1 << 56) - 1),
		.state = state & 3,
		.outcome = queue_outcome(state >> 2),
		.time_s = block->base_time_s +
			  (uint32_t)get(block->bytes + block->time_at, block->time_width, index),
		.kib = (uint32_t)get(block->bytes + block->kib_at, block->kib_width, index),
	};
}

void
queue_block_set(struct queue_block *block, uint32_t index, enum queue_state state, enum outcome outcome)
{
	uint8_t *pair = &block->bytes[block->state_at + index / 2];
	unsigned shift = index % 2 * 4;
	unsigned bits = ((unsigned)state & 3) | ((unsigned)outcome & 3) << 2;

	*pair = (uint8_t)((*pair & ~(0xfu << shift)) | bits << shift);
}
