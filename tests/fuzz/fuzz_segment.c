/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segment files: heads, feet and removals decode to what encodes back to the same; a walk over any bytes moves on, stays inside, and takes
 * nothing for a record that the checksum does not cover. Input: a byte of mode, then a block, or pieces of a segment: records with
 * right checksums but any fields, and raw bytes between them.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "broker/store/reader.h"
#include "broker/store/record.h"
#include "broker/store/segment.h"

#define FILE_SIZE ((size_t)16 << 10)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t id[SEGMENT_ID_LEN] = "fuzzed-segment-1";

static void
fuzz_head(const uint8_t *data, size_t size, bool repair)
{
	uint8_t block[SEGMENT_HEAD_SIZE] = { 0 }, again[SEGMENT_HEAD_SIZE];
	struct segment_head head = { 0 }, other;
	int copies;

	memcpy(block, data, size < sizeof block ? size : sizeof block);
	if (repair) {
		memcpy(&head, data, size < sizeof head ? size : sizeof head);
		segment_head_encode(&head, block);
		if (size > 300)
			block[data[0] * 16 % SEGMENT_HEAD_SIZE] ^= data[1];
	}
	if (segment_head_decode(block, &head, &copies) != SEGMENT_HEAD_OK)
		return;
	if (copies < 1)
		abort();
	segment_head_encode(&head, again);
	if (segment_head_decode(again, &other, &copies) != SEGMENT_HEAD_OK || copies != 2 ||
	    memcmp(again, block, 256) * memcmp(again + 2048, block + 2048, 256) != 0)
		abort();
}

static void
fuzz_foot(const uint8_t *data, size_t size, bool repair)
{
	uint8_t bytes[SEGMENT_FOOT_SIZE] = { 0 }, again[SEGMENT_FOOT_SIZE];
	struct segment_removal removal;
	struct segment_foot foot = { 0 };

	memcpy(bytes, data, size < sizeof bytes ? size : sizeof bytes);
	if (repair) {
		memcpy(&foot, data, size < sizeof foot ? size : sizeof foot);
		segment_foot_encode(&foot, bytes);
	}
	if (segment_foot_decode(bytes, &foot)) {
		if (foot.end < SEGMENT_HEAD_SIZE)
			abort();
		segment_foot_encode(&foot, again);
		if (repair && memcmp(bytes, again, sizeof bytes) != 0)
			abort();
	}
	if (segment_removal_decode(span_make(data, size), &removal) && size != SEGMENT_REMOVAL_SIZE)
		abort();
}

/* Lay the input out as a segment: a piece is a byte (odd: a record of the fields that follow, with its checksum; even: raw). */
static size_t
lay_out(uint8_t *file, const uint8_t *data, size_t size)
{
	uint32_t seed = record_seed(id);
	size_t at = SEGMENT_HEAD_SIZE;

	while (size > 1 && at + 2 * RECORD_HEADER_SIZE < FILE_SIZE) {
		uint8_t kind = *data++;
		struct record_header header = { 0 };
		size_t n = size - 1 < sizeof header ? size - 1 : sizeof header;

		size--;
		if (kind % 2) {
			memcpy(&header, data, n);
			if (kind % 4 == 1) { /* lengths that may fit */
				header.facts_len %= 600;
				header.decision_len %= 600;
				header.body_len %= 6000;
			}
			record_encode(&header, seed, at, file + at);
			at += RECORD_HEADER_SIZE + (kind % 4 == 1 ? header.facts_len / 16 * 16 : 0);
		} else {
			n = size < (size_t)kind ? size : (size_t)kind;
			if (at + n + RECORD_ALIGN > FILE_SIZE)
				break;
			memcpy(file + at, data, n);
			at += (n + RECORD_ALIGN - 1) / RECORD_ALIGN * RECORD_ALIGN;
		}
		data += n;
		size -= n;
	}
	return at;
}

static void
walk(int fd, uint64_t limit)
{
	uint8_t encoded[RECORD_HEADER_SIZE], again[RECORD_HEADER_SIZE];
	uint64_t offset = SEGMENT_HEAD_SIZE, before;
	struct record_header header;
	enum reader_step step;
	struct reader reader;
	bool ok;

	if (reader_init(&reader, fd, record_seed(id), limit, limit % 2) != 0)
		return;
	for (;;) {
		before = offset;
		if (reader_step(&reader, &offset, &step, &header, encoded) != 0)
			abort();
		if (step == READER_END)
			break;
		if (step == READER_DAMAGE) {
			if (offset <= before || offset > limit)
				abort();
			continue;
		}
		record_encode(&header, reader.seed, offset, again);
		if (offset != before || offset + record_length(&header) > limit ||
		    record_length(&header) % RECORD_ALIGN || header.head.seq == 0 ||
		    memcmp(again + 4, encoded + 4, 24) != 0)
			abort();
		if (reader_check_front(&reader, offset, &header, &ok) != 0 ||
		    reader_check_body(&reader, offset, &header, &ok) != 0)
			abort();
		offset += record_length(&header);
	}
	reader_fini(&reader);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t file[FILE_SIZE];
	static int fd = -1;
	size_t len;

	if (size < 2)
		return 0;
	switch (data[0] % 8) {
	case 0:
	case 1:
		fuzz_head(data + 1, size - 1, data[0] % 2);
		return 0;
	case 2:
	case 3:
		fuzz_foot(data + 1, size - 1, data[0] % 2);
		return 0;
	default:
		break;
	}
	if (fd < 0)
		fd = memfd_create("segment", MFD_CLOEXEC);
	memset(file, 0, sizeof file);
	len = lay_out(file, data + 1, size - 1);
	if (fd < 0 || pwrite(fd, file, sizeof file, 0) != (ssize_t)sizeof file)
		abort();
	walk(fd, data[0] % 3 ? len : FILE_SIZE);
	return 0;
}
