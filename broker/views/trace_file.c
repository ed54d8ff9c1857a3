/* SPDX-License-Identifier: Apache-2.0 */
/* A part of the trace as a file, read: see trace_part.h; the layout is conf/doc/trace.md's. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "broker/store/disk.h"
#include "broker/store/record.h"
#include "broker/views/trace_part.h"
#include "codecs/digest.h"

#define TEXTS_MAX (2 * (TRACE_NAMES_SIZE + (size_t)2 * TRACE_NAMES_MAX))

uint32_t
trace_section_size(enum trace_section section)
{
	static const uint32_t sizes[TRACE_SECTIONS] = {
		[TRACE_ROWS] = TRACE_ROW_SIZE,
		[TRACE_CONTROLS] = 8,
		[TRACE_REFS] = 12,
		[TRACE_DEAD] = 16,
		[TRACE_REMOVED] = 4,
		[TRACE_TEXTS] = 1,
	};

	return sizes[section];
}

uint32_t
trace_section_blocks(enum trace_section section, uint32_t count)
{
	uint32_t per_block = TRACE_BLOCK_ROOM / trace_section_size(section);

	return count / per_block + (count % per_block != 0);
}

uint32_t
trace_block_crc(const uint8_t *block, uint32_t seed, uint32_t number)
{
	uint8_t place[4];

	bytes_put32(place, number);
	seed = digest_crc32c(seed, span_make(place, sizeof(place)));
	return digest_crc32c(seed, span_make(block, TRACE_BLOCK_ROOM));
}

void
trace_file_close(struct trace_part *part)
{
	disk_close(part->fd);
	part->fd = -1;
}

static int
open_again(struct trace_part *part)
{
	int r = part->fd >= 0 ? 0 : disk_open(part->path, O_RDONLY | O_NOFOLLOW, &part->fd);

	if (r)
		part->fd = -1;
	return r;
}

/* Block ${number}, checked. What is not there or cannot be read is as good as damaged: it can be made anew. */
static int
read_block(struct trace_part *part, uint32_t number, uint8_t bytes[static TRACE_BLOCK])
{
	size_t got = 0;
	int r = open_again(part);

	if (!r)
		r = disk_read(part->fd, (uint64_t)number * TRACE_BLOCK, bytes, TRACE_BLOCK, &got);
	if (!r && got == TRACE_BLOCK &&
	    bytes_get32(bytes + TRACE_BLOCK_ROOM) == trace_block_crc(bytes, part->seed, number))
		return 0;
	return r == -EMFILE || r == -ENFILE || r == -ENOMEM ? r : -EUCLEAN;
}

static int
decode_head(struct trace_part *part, const uint8_t *head, uint64_t size)
{
	struct trace_brief *brief = &part->brief;
	uint32_t blocks = 1;

	part->names_size = bytes_get32(head + 36);
	part->begin = bytes_get64(head + 40);
	part->end = bytes_get64(head + 48);
	for (unsigned i = 0; i < TRACE_SECTIONS; i++) {
		part->counts[i] = bytes_get32(head + 56 + 4 * i);
		if (part->counts[i] > (i == TRACE_TEXTS ? TEXTS_MAX : TRACE_SLICE_ROWS))
			return -EUCLEAN;
		part->first[i] = blocks;
		blocks += trace_section_blocks(i, part->counts[i]);
	}
	*brief = (struct trace_brief){ .first_seq = bytes_get64(head + 80),
		.last_seq = bytes_get64(head + 88),
		.first_us = bytes_get64(head + 96),
		.last_us = bytes_get64(head + 104),
		.least_ref = bytes_get64(head + 112),
		.greatest_ref = bytes_get64(head + 120),
		.seen = bytes_get64(head + 128),
		.born = bytes_get32(head + 136),
		.carried = bytes_get32(head + 140),
		.controls = part->counts[TRACE_CONTROLS],
		.refs = part->counts[TRACE_REFS],
		.dead = part->counts[TRACE_DEAD],
		.refused = bytes_get32(head + 144) };
	return (uint64_t)brief->born + brief->carried == part->counts[TRACE_ROWS] &&
		       part->names_size <= part->counts[TRACE_TEXTS] && size == (uint64_t)blocks * TRACE_BLOCK
		   ? 0
		   : -EUCLEAN;
}

static int
read_removed(struct trace_part *part)
{
	struct trace_block block = { 0 };
	const uint8_t *entry;

	for (uint32_t i = 0; i < part->counts[TRACE_REMOVED]; i++) {
		int r = trace_file_entry(part, TRACE_REMOVED, i, &block, &entry);

		if (r || (r = trace_part_removed(part, bytes_get32(entry))) != 0)
			return r;
	}
	return 0;
}

/* 0, TRACE_FOREIGN (of another segment or version), -errno. */
static int
read_head(struct trace_part *part, const struct journal_segment *segment, uint32_t slice, uint64_t begin)
{
	uint8_t head[TRACE_BLOCK];
	uint64_t size = 0;
	int r = read_block(part, 0, head);

	if (!r)
		r = disk_size(part->fd, &size);
	if (r)
		return r;
	if (memcmp(head, "LIAISONT", 8) != 0 || bytes_get32(head + 8) != TRACE_FILE_VERSION ||
	    bytes_get32(head + 12) != segment->number || memcmp(head + 16, segment->id, 16) != 0 ||
	    bytes_get32(head + 32) != slice)
		return TRACE_FOREIGN;
	r = decode_head(part, head, size);
	if (!r && (part->begin != begin || part->end < begin || part->end > segment->end))
		r = TRACE_FOREIGN;
	return r ? r : read_removed(part);
}

int
trace_file_open(struct trace_part **partp, const char *path, const struct journal_segment *segment,
    uint32_t slice, uint64_t begin, bool *damaged)
{
	struct trace_part *part = calloc(1, sizeof(*part));
	int r;

	*damaged = false;
	if (!part)
		return -ENOMEM;
	atomic_init(&part->users, 1);
	part->number = segment->number;
	part->slice = slice;
	memcpy(part->id, segment->id, sizeof(part->id));
	part->seed = record_seed(segment->id);
	part->fd = -1;
	part->path = strdup(path);
	r = part->path ? open_again(part) : -ENOMEM;
	if (r == -ENOENT) {
		r = TRACE_FOREIGN;
	} else if (!r) {
		r = read_head(part, segment, slice, begin);
		*damaged = r == -EUCLEAN;
		r = *damaged ? TRACE_FOREIGN : r;
	}
	trace_file_close(part);
	if (r) {
		trace_part_unref(part);
		return r;
	}
	*partp = part;
	return 0;
}

int
trace_file_entry(struct trace_part *part, enum trace_section section, uint32_t index,
    struct trace_block *block, const uint8_t **entryp)
{
	uint32_t size = trace_section_size(section), per_block = TRACE_BLOCK_ROOM / size;
	uint32_t number = part->first[section] + index / per_block;
	int r;

	if (index >= part->counts[section])
		return -EUCLEAN; /* a row that another section invented */
	if (block->part != part || block->number != number) {
		block->part = NULL;
		if ((r = read_block(part, number, block->bytes)) != 0) {
			if (r == -EUCLEAN)
				atomic_store(&part->broken, true);
			return r;
		}
		block->part = part;
		block->number = number;
	}
	*entryp = block->bytes + index % per_block * size;
	return 0;
}

int
trace_file_load(struct trace_part *part)
{
	struct trace_block block = { 0 };
	uint32_t count = part->counts[TRACE_TEXTS];
	struct buffer texts;
	const uint8_t *bytes;
	int r = 0;

	if (part->loaded)
		return 0;
	buffer_init(&texts, TEXTS_MAX + TRACE_BLOCK);
	for (uint32_t i = 0; i < count && !r; i += TRACE_BLOCK_ROOM) {
		uint32_t n = count - i < TRACE_BLOCK_ROOM ? count - i : TRACE_BLOCK_ROOM;

		if ((r = trace_file_entry(part, TRACE_TEXTS, i, &block, &bytes)) == 0)
			buffer_append(&texts, bytes, n);
	}
	if (!r && buffer_failed(&texts))
		r = -ENOMEM;
	if (!r &&
	    (!trace_names_decode(&part->names, span_cut(buffer_span(&texts), 0, part->names_size)) ||
		!trace_names_decode(&part->kinds, span_cut(buffer_span(&texts), part->names_size, count)))) {
		atomic_store(&part->broken, true);
		r = -EUCLEAN;
	}
	if (r) {
		trace_names_fini(&part->names);
		trace_names_fini(&part->kinds);
	}
	buffer_fini(&texts);
	part->loaded = r == 0;
	return r;
}
