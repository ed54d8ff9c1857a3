/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of the trace whose checksums are right and whose content is not: whatever stands in them, every question ends, inside the file,
 * and rows come in the order that was asked for or not at all. Input: what stands in block 0 from its counts on, then the other blocks.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/store/record.h"
#include "broker/views/trace_view.h"

#define BLOCKS_MAX 12

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct journal_segment segment = {
	.number = 1, .id = "a fuzzed segmen", .end = 1 << 20, .done = true
};

static uint32_t
lay_out(uint8_t *file, const uint8_t *data, size_t size)
{
	uint32_t seed = record_seed(segment.id), blocks = 1;
	size_t head = size < 92 ? size : 92;

	memset(file, 0, (size_t)BLOCKS_MAX * TRACE_BLOCK);
	memcpy(file, "LIAISONT", 8);
	bytes_put32(file + 8, TRACE_FILE_VERSION);
	bytes_put32(file + 12, segment.number);
	memcpy(file + 16, segment.id, 16);
	bytes_put64(file + 40, JOURNAL_SEGMENT_BEGIN);
	bytes_put64(file + 48, segment.end);
	memcpy(file + 56, data, head);
	for (unsigned i = 0; i < TRACE_SECTIONS; i++) { /* so many as fit */
		uint32_t count = bytes_get32(file + 56 + 4 * i) % (2 * TRACE_BLOCK / trace_section_size(i));

		bytes_put32(file + 56 + 4 * i, count);
		blocks += trace_section_blocks(i, count);
	}
	bytes_put32(file + 36, size > 92 ? data[size - 1] * 32u : 0);
	if (size % 8) { /* the numbers that must fit one another */
		uint32_t rows = bytes_get32(file + 56), carried = bytes_get32(file + 140) % (rows + 1);

		bytes_put32(file + 136, rows - carried);
		bytes_put32(file + 140, carried);
		bytes_put32(file + 36, bytes_get32(file + 36) % (bytes_get32(file + 76) + 1));
	}
	for (size_t at = head, to = TRACE_BLOCK; at < size && to < (size_t)BLOCKS_MAX * TRACE_BLOCK;
	     at += 64, to += 512)
		memcpy(file + to, data + at, size - at < 64 ? size - at : 64);
	for (uint32_t i = 0; i < BLOCKS_MAX; i++)
		bytes_put32(file + (size_t)i * TRACE_BLOCK + TRACE_BLOCK_ROOM,
		    trace_block_crc(file + (size_t)i * TRACE_BLOCK, seed, i));
	return blocks < BLOCKS_MAX ? blocks : BLOCKS_MAX;
}

static int
count_row(void *arg, const struct trace_seen *seen, const struct trace_row *row)
{
	(void)seen;
	(void)row;
	if (++*(unsigned *)arg > 8 * TRACE_SLICE_ROWS)
		abort();
	return 0;
}

static void
ask(struct trace_part *part, const uint8_t *data, size_t size)
{
	struct trace_seen seen = { part, part->brief };
	struct trace_view view = { .parts = &seen, .count = 1 };
	uint64_t ref = size > 100 ? data[100] : 0;
	uint32_t hash = size > 104 ? bytes_get32(data + 100) : 1;
	unsigned rows = 0;

	(void)trace_file_load(part);
	for (unsigned id = 0; id < 5; id++) {
		(void)trace_names_text(&part->names, (uint16_t)id);
		(void)trace_names_text(&part->kinds, (uint16_t)(TRACE_OTHER - id));
	}
	(void)trace_find_control(&view, hash, count_row, &rows);
	(void)trace_find_ref(&view, ref, count_row, &rows);
	(void)trace_find_dead(&view, "", ref, NULL, NULL, count_row, &rows);
	for (unsigned down = 0; down < 2; down++) {
		const struct trace_seen *in;
		struct trace_scan *scan;
		struct trace_row row;
		unsigned given = 0;

		if (trace_scan_new(&scan, &view, down, down ? UINT64_MAX : 0, NULL, NULL) != 0)
			continue;
		while (trace_scan_next(scan, &in, &row) == 0)
			if (++given > part->brief.born + part->brief.carried)
				abort();
		trace_scan_free(scan);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t bytes[BLOCKS_MAX * TRACE_BLOCK];
	static char path[] = "/tmp/fuzz-trace-XXXXXX";
	static FILE *file;
	struct trace_part *part;
	bool damaged;
	uint32_t blocks = lay_out(bytes, data, size);

	if (!file) {
		file = fdopen(mkstemp(path), "r+b");
		if (!file)
			abort();
		setbuf(file, NULL);
	}
	if (pwrite(fileno(file), bytes, (size_t)blocks * TRACE_BLOCK, 0) < 0 ||
	    ftruncate(fileno(file), (off_t)blocks * TRACE_BLOCK) != 0)
		abort();
	if (trace_file_open(&part, path, &segment, 0, JOURNAL_SEGMENT_BEGIN, &damaged) != 0)
		return 0;
	ask(part, data, size);
	trace_part_unref(part);
	return 0;
}
