/* SPDX-License-Identifier: Apache-2.0 */
/* See trace_part.h. */
#include "broker/views/trace_part.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int
trace_part_new(
    struct trace_part **partp, const struct journal_segment *segment, uint32_t slice, uint64_t begin)
{
	struct trace_part *part = calloc(1, sizeof(*part));

	if (!part)
		return -ENOMEM;
	part->memory = calloc(1, sizeof(*part->memory));
	if (!part->memory) {
		free(part);
		return -ENOMEM;
	}
	atomic_init(&part->users, 1);
	part->number = segment->number;
	memcpy(part->id, segment->id, sizeof(part->id));
	part->slice = slice;
	part->begin = part->end = begin;
	part->fd = -1;
	*partp = part;
	return 0;
}

void
trace_part_ref(struct trace_part *part)
{
	atomic_fetch_add_explicit(&part->users, 1, memory_order_relaxed);
}

void
trace_part_unref(struct trace_part *part)
{
	if (!part || atomic_fetch_sub_explicit(&part->users, 1, memory_order_acq_rel) != 1)
		return;
	if (part->memory)
		for (size_t i = 0; i < sizeof(part->memory->chunks) / sizeof(part->memory->chunks[0]); i++)
			free(part->memory->chunks[i]);
	free(part->memory);
	trace_names_fini(&part->names);
	trace_names_fini(&part->kinds);
	trace_file_close(part);
	free(part->removed);
	free(part->path);
	free(part);
}

static uint32_t
rows_of(const struct trace_brief *brief)
{
	return brief->born + brief->carried;
}

bool
trace_part_full(const struct trace_part *part)
{
	return rows_of(&part->memory->brief) == TRACE_SLICE_ROWS;
}

static uint32_t
ref_head(uint64_t ref)
{
	return (uint32_t)((ref * UINT64_C(0x9e3779b97f4a7c15)) >> 49); /* TRACE_HEADS of them */
}

static void
count_row(struct trace_brief *brief, const struct trace_row *row)
{
	if (row->flags & RECORD_CARRIED) {
		brief->carried++;
	} else {
		if (!brief->born++) {
			brief->first_seq = row->seq;
			brief->first_us = row->time_us;
		}
		brief->last_seq = row->seq;
		brief->last_us = row->time_us;
	}
	if (row->seq > brief->seen)
		brief->seen = row->seq;
	brief->controls += row->control != 0;
	brief->dead += trace_is_dead(row);
	brief->refused += trace_is_message(row->type) && row->type != RECORD_ACCEPTED;
	if (!row->ref)
		return;
	brief->refs++;
	if (!brief->least_ref || row->ref < brief->least_ref)
		brief->least_ref = row->ref;
	if (row->ref > brief->greatest_ref)
		brief->greatest_ref = row->ref;
}

int
trace_part_add(struct trace_part *part, const struct trace_row *row)
{
	struct trace_memory *memory = part->memory;
	uint32_t at = rows_of(&memory->brief);
	struct trace_chunk **chunk = &memory->chunks[at / TRACE_CHUNK_ROWS];

	if (!*chunk && !(*chunk = malloc(sizeof(**chunk))))
		return -ENOMEM;
	(*chunk)->rows[at % TRACE_CHUNK_ROWS] = *row;
	if (row->ref) {
		_Atomic uint32_t *head = &memory->heads[ref_head(row->ref)];

		(*chunk)->links[at % TRACE_CHUNK_ROWS] = atomic_load_explicit(head, memory_order_relaxed);
		atomic_store_explicit(head, at + 1, memory_order_release);
	}
	count_row(&memory->brief, row);
	return 0;
}

int
trace_part_removed(struct trace_part *part, uint32_t number)
{
	if (part->removed_count == part->removed_cap) {
		size_t cap = part->removed_cap ? 2 * part->removed_cap : 16;
		uint32_t *removed = reallocarray(part->removed, cap, sizeof(*removed));

		if (!removed)
			return -ENOMEM;
		part->removed = removed;
		part->removed_cap = cap;
	}
	part->removed[part->removed_count++] = number;
	return 0;
}

void
trace_part_publish(struct trace_part *part)
{
	part->brief = part->memory->brief;
}

const struct trace_row *
trace_memory_row(const struct trace_memory *memory, uint32_t index)
{
	return &memory->chunks[index / TRACE_CHUNK_ROWS]->rows[index % TRACE_CHUNK_ROWS];
}

const struct trace_row *
trace_memory_ref(const struct trace_memory *memory, uint64_t ref, uint32_t count, uint32_t *at)
{
	uint32_t next = *at;

	if (!next)
		next = atomic_load_explicit(&memory->heads[ref_head(ref)], memory_order_acquire);
	else
		next = memory->chunks[(next - 1) / TRACE_CHUNK_ROWS]->links[(next - 1) % TRACE_CHUNK_ROWS];
	for (; next;
	     next = memory->chunks[(next - 1) / TRACE_CHUNK_ROWS]->links[(next - 1) % TRACE_CHUNK_ROWS]) {
		const struct trace_row *row = trace_memory_row(memory, next - 1);

		if (next - 1 < count && row->ref == ref) {
			*at = next;
			return row;
		}
	}
	return NULL;
}
