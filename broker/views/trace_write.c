/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A part of the trace, written: what was gathered in memory is sorted and goes out as a file.
 *
 * Not synced: what a power cut leaves of it shows by its checksums, and the journal is there to make it anew.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/store/disk.h"
#include "broker/store/record.h"
#include "broker/views/trace_part.h"

#define BATCH_BLOCKS 64u

/* What is sorted: by ${key}, then as it was. */
struct pair {
	uint64_t key;
	uint32_t row; /* its place in the file */
	uint32_t place;
};

struct writing {
	const struct trace_part *part;
	int fd;
	uint32_t seed;
	int error; /* the first */
	uint8_t *batch;
	uint32_t filled; /* bytes of the block being filled */
	uint32_t number; /* of that block */
	uint32_t *order; /* of file row: its row in memory */
	struct pair *pairs, *spare;
};

/* Stable, byte by byte, leaving out bytes that all keys share. The sorted pairs are in *${pairs}. */
static void
sort_pairs(struct pair **pairs, struct pair **spare, uint32_t count)
{
	uint64_t differ = 0;
	bool ascending = true;

	for (uint32_t i = 1; i < count; i++) {
		differ |= (*pairs)[i].key ^ (*pairs)[0].key;
		ascending = ascending && (*pairs)[i - 1].key <= (*pairs)[i].key;
	}
	for (unsigned shift = 0; shift < 64 && !ascending; shift += 8) {
		uint32_t at[257] = { 0 };
		struct pair *from = *pairs, *to = *spare;

		if (!(differ >> shift & 0xff))
			continue;
		for (uint32_t i = 0; i < count; i++)
			at[(from[i].key >> shift & 0xff) + 1]++;
		for (unsigned i = 1; i < 256; i++)
			at[i] += at[i - 1];
		for (uint32_t i = 0; i < count; i++)
			to[at[from[i].key >> shift & 0xff]++] = from[i];
		*pairs = to;
		*spare = from;
	}
}

static void
flush(struct writing *w)
{
	uint32_t first = w->number / BATCH_BLOCKS * BATCH_BLOCKS;

	if (!w->error && w->number > first)
		w->error = disk_write_bytes(w->fd, (uint64_t)first * TRACE_BLOCK, w->batch,
		    (size_t)(w->number - first) * TRACE_BLOCK);
}

/* The block is full, or its section ends. */
static void
end_block(struct writing *w)
{
	uint8_t *block = w->batch + (size_t)(w->number % BATCH_BLOCKS) * TRACE_BLOCK;

	if (!w->filled)
		return;
	memset(block + w->filled, 0, TRACE_BLOCK_ROOM - w->filled);
	bytes_put32(block + TRACE_BLOCK_ROOM, trace_block_crc(block, w->seed, w->number));
	w->filled = 0;
	if ((w->number + 1) % BATCH_BLOCKS == 0) {
		uint32_t first = w->number + 1 - BATCH_BLOCKS;

		if (!w->error)
			w->error = disk_write_bytes(w->fd, (uint64_t)first * TRACE_BLOCK, w->batch,
			    (size_t)BATCH_BLOCKS * TRACE_BLOCK);
	}
	w->number++;
}

/* Room for the next entry. */
static uint8_t *
next_entry(struct writing *w, uint32_t size)
{
	uint8_t *entry;

	if (w->filled + size > TRACE_BLOCK_ROOM)
		end_block(w);
	entry = w->batch + (size_t)(w->number % BATCH_BLOCKS) * TRACE_BLOCK + w->filled;
	w->filled += size;
	return entry;
}

/* Born rows as they came, by sequence; behind them the carried ones, by sequence. */
static void
order_rows(struct writing *w)
{
	const struct trace_brief *brief = &w->part->memory->brief;
	uint32_t rows = brief->born + brief->carried, born = 0, carried = 0;

	for (uint32_t i = 0; i < rows; i++) {
		const struct trace_row *row = trace_memory_row(w->part->memory, i);

		if (row->flags & RECORD_CARRIED)
			w->pairs[carried++] = (struct pair){ .key = row->seq, .row = i };
		else
			w->order[born++] = i;
	}
	sort_pairs(&w->pairs, &w->spare, carried);
	for (uint32_t i = 0; i < carried; i++)
		w->order[born + i] = w->pairs[i].row;
}

static const struct trace_row *
row_at(const struct writing *w, uint32_t index)
{
	return trace_memory_row(w->part->memory, w->order[index]);
}

static void
put_rows(struct writing *w, uint32_t rows)
{
	for (uint32_t i = 0; i < rows; i++)
		trace_row_encode(row_at(w, i), next_entry(w, TRACE_ROW_SIZE));
	end_block(w);
}

static void
put_controls(struct writing *w, uint32_t rows)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < rows; i++) {
		const struct trace_row *row = row_at(w, i);

		if (row->control)
			w->pairs[count++] = (struct pair){ .key = row->control, .row = i };
	}
	sort_pairs(&w->pairs, &w->spare, count);
	for (uint32_t i = 0; i < count; i++) {
		uint8_t *entry = next_entry(w, trace_section_size(TRACE_CONTROLS));

		bytes_put32(entry, (uint32_t)w->pairs[i].key);
		bytes_put32(entry + 4, w->pairs[i].row);
	}
	end_block(w);
}

static void
put_refs(struct writing *w, uint32_t rows)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < rows; i++) {
		const struct trace_row *row = row_at(w, i);

		if (row->ref)
			w->pairs[count++] = (struct pair){ .key = row->ref, .row = i };
	}
	sort_pairs(&w->pairs, &w->spare, count);
	for (uint32_t i = 0; i < count; i++) {
		uint8_t *entry = next_entry(w, trace_section_size(TRACE_REFS));

		bytes_put64(entry, w->pairs[i].key);
		bytes_put32(entry + 8, w->pairs[i].row);
	}
	end_block(w);
}

/* Sorted twice: by ref, then by place, which keeps the order of refs. */
static void
put_dead(struct writing *w, uint32_t rows)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < rows; i++) {
		const struct trace_row *row = row_at(w, i);

		if (trace_is_dead(row))
			w->pairs[count++] = (struct pair){ .key = row->ref, .row = i, .place = row->places };
	}
	sort_pairs(&w->pairs, &w->spare, count);
	for (uint32_t i = 0; i < count; i++)
		w->pairs[i].key = w->pairs[i].place;
	sort_pairs(&w->pairs, &w->spare, count);
	for (uint32_t i = 0; i < count; i++) {
		uint8_t *entry = next_entry(w, trace_section_size(TRACE_DEAD));

		bytes_put16(entry, (uint16_t)w->pairs[i].place);
		bytes_put16(entry + 2, 0);
		bytes_put64(entry + 4, row_at(w, w->pairs[i].row)->ref);
		bytes_put32(entry + 12, w->pairs[i].row);
	}
	end_block(w);
}

static void
put_removed(struct writing *w)
{
	for (size_t i = 0; i < w->part->removed_count; i++)
		bytes_put32(next_entry(w, trace_section_size(TRACE_REMOVED)), w->part->removed[i]);
	end_block(w);
}

static void
put_texts(struct writing *w, const struct buffer *texts)
{
	for (size_t i = 0; i < texts->len; i += TRACE_BLOCK_ROOM) {
		struct span bytes = span_cut(buffer_span(texts), i, i + TRACE_BLOCK_ROOM);

		memcpy(next_entry(w, (uint32_t)bytes.len), bytes.ptr, bytes.len);
		end_block(w);
	}
}

static void
put_head(struct writing *w, const struct buffer *texts, uint32_t names_size)
{
	const struct trace_part *part = w->part;
	const struct trace_brief *brief = &part->memory->brief;
	const uint32_t counts[TRACE_SECTIONS] = { brief->born + brief->carried, brief->controls, brief->refs,
		brief->dead, (uint32_t)part->removed_count, (uint32_t)texts->len };
	uint8_t *head = next_entry(w, TRACE_BLOCK_ROOM);

	memset(head, 0, TRACE_BLOCK_ROOM);
	memcpy(head, "LIAISONT", 8);
	bytes_put32(head + 8, TRACE_FILE_VERSION);
	bytes_put32(head + 12, part->number);
	memcpy(head + 16, part->id, sizeof(part->id));
	bytes_put32(head + 32, part->slice);
	bytes_put32(head + 36, names_size);
	bytes_put64(head + 40, part->begin);
	bytes_put64(head + 48, part->end);
	for (size_t i = 0; i < TRACE_SECTIONS; i++)
		bytes_put32(head + 56 + 4 * i, counts[i]);
	bytes_put64(head + 80, brief->first_seq);
	bytes_put64(head + 88, brief->last_seq);
	bytes_put64(head + 96, brief->first_us);
	bytes_put64(head + 104, brief->last_us);
	bytes_put64(head + 112, brief->least_ref);
	bytes_put64(head + 120, brief->greatest_ref);
	bytes_put64(head + 128, brief->seen);
	bytes_put32(head + 136, brief->born);
	bytes_put32(head + 140, brief->carried);
	bytes_put32(head + 144, brief->refused);
	end_block(w);
}

static int
put_all(struct writing *w)
{
	const struct trace_brief *brief = &w->part->memory->brief;
	uint32_t rows = brief->born + brief->carried, names_size;
	struct buffer texts;

	buffer_init(&texts, SIZE_MAX / 2);
	trace_names_encode(&w->part->names, &texts);
	names_size = (uint32_t)texts.len;
	trace_names_encode(&w->part->kinds, &texts);
	if (buffer_failed(&texts)) {
		buffer_fini(&texts);
		return -ENOMEM;
	}
	order_rows(w);
	put_head(w, &texts, names_size);
	put_rows(w, rows);
	put_controls(w, rows);
	put_refs(w, rows);
	put_dead(w, rows);
	put_removed(w);
	put_texts(w, &texts);
	flush(w);
	buffer_fini(&texts);
	return w->error;
}

static int
write_to(struct writing *w, const char *path)
{
	uint32_t rows = w->part->memory->brief.born + w->part->memory->brief.carried;
	int r = -ENOMEM;

	w->batch = malloc((size_t)BATCH_BLOCKS * TRACE_BLOCK);
	w->order = calloc(rows + 1, sizeof(*w->order));
	w->pairs = calloc(rows + 1, sizeof(*w->pairs));
	w->spare = calloc(rows + 1, sizeof(*w->spare));
	if (w->batch && w->order && w->pairs && w->spare &&
	    (r = disk_open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, &w->fd)) == 0) {
		r = put_all(w);
		disk_close(w->fd);
	}
	free(w->batch);
	free(w->order);
	free(w->pairs);
	free(w->spare);
	return r;
}

int
trace_file_write(const struct trace_part *part, const char *path)
{
	struct writing w = { .part = part, .seed = record_seed(part->id), .fd = -1 };
	char made[4096];
	int r;

	if ((size_t)snprintf(made, sizeof(made), "%s.tmp", path) >= sizeof(made))
		return -ENAMETOOLONG;
	r = write_to(&w, made);
	if (!r)
		r = disk_rename(made, path);
	if (r)
		disk_discard(made);
	return r;
}
