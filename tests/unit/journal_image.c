/* SPDX-License-Identifier: Apache-2.0 */
/* See journal_image.h. */
#include "tests/unit/journal_image.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/store/segment.h"
#include "codecs/buffer.h"
#include "tests/unit/disk_faults.h"

void
image_load(struct image *image, const struct rig *rig, unsigned number)
{
	struct segment_head head;
	struct record_header header;
	uint64_t at = SEGMENT_HEAD_SIZE;

	memset(image, 0, sizeof *image);
	image->bytes = rig_load(rig_segment(rig, number), &image->len);
	assert_non_null(image->bytes);
	assert_int_equal(segment_head_decode(image->bytes, &head, NULL), SEGMENT_HEAD_OK);
	image->seed = record_seed(head.id);
	while (at + RECORD_HEADER_SIZE <= image->len &&
	       record_decode(image->bytes + at, image->seed, at, &header)) {
		if (header.head.seq <= FEW) {
			image->from[header.head.seq] = at;
			image->to[header.head.seq] = at + record_length(&header);
		}
		at += record_length(&header);
	}
}

void
image_save(const struct image *image, const struct rig *rig, unsigned number)
{
	rig_save(rig_segment(rig, number), image->bytes, image->len);
}

void
image_free(struct image *image)
{
	free(image->bytes);
}

void
image_header(const struct image *image, unsigned n, struct record_header *header)
{
	assert_true(record_decode(image->bytes + image->from[n], image->seed, image->from[n], header));
}

void
image_reseal(struct image *image, unsigned n, struct record_header *header)
{
	uint8_t *bytes = image->bytes + image->from[n];
	struct span facts = span_make(bytes + RECORD_HEADER_SIZE, header->facts_len);
	struct span decision =
	    span_make(bytes + RECORD_HEADER_SIZE + header->facts_len, header->decision_len);

	header->front_crc = record_front_crc(image->seed, facts, decision);
	header->body_crc =
	    digest_crc32c(image->seed, span_make(bytes + record_body_at(header), header->body_len));
	record_encode(header, image->seed, image->from[n], bytes);
}

void
few_make(struct rig *kept, struct rig *killed)
{
	faults_install();
	faults_skip_sync(true);
	rig_init_fast(kept);
	rig_init_fast(killed);
	kept->options.segment_size = killed->options.segment_size = SMALL_FILE;
	kept->options.reserve = killed->options.reserve = 0;
	assert_int_equal(rig_open(kept, NULL, NULL), 0);
	for (uint64_t n = 1; n <= FEW; n++)
		assert_int_equal(rig_put(kept, n, SMALL, RECORD_ACCEPTED, true, NULL), 0);
	rig_copy(kept, killed);
	rig_close(kept);
}

void
few_drop(struct rig *kept, struct rig *killed)
{
	rig_fini(kept);
	rig_fini(killed);
	faults_remove();
}

int
image_verify(struct rig *rig, const char *expect)
{
	struct buffer report;
	int r;

	buffer_init(&report, 1 << 20);
	r = journal_verify(rig->journal, &report);
	buffer_append_byte(&report, 0);
	if (expect && !strstr((char *)report.data, expect))
		fail_msg("verify says: %s", (char *)report.data);
	buffer_fini(&report);
	return r;
}

int
image_replayed(void *arg, const struct record *record)
{
	uint64_t *seen = arg;

	*seen |= (uint64_t)1 << record->head.seq;
	return 0;
}
