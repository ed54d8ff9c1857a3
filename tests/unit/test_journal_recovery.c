/* SPDX-License-Identifier: Apache-2.0 */
/* Starting on what a crash, a bad disk or a stranger left: every whole record is read, every loss is told, nothing is invented. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/store/bytes.h"
#include "broker/store/record.h"
#include "broker/store/segment.h"
#include "codecs/arena.h"
#include "tests/unit/disk_faults.h"
#include "tests/unit/journal_image.h"
#include "tests/unit/journal_rig.h"

/* One damaged body in the middle: it alone is quarantined; its facts are still replayed. */
static void
test_damaged_body(void **state)
{
	struct rig kept, killed;

	(void)state;
	few_make(&kept, &killed);
	for (int sealed = 0; sealed < 2; sealed++) {
		struct rig *rig = sealed ? &kept : &killed;
		struct record_header header;
		struct image image;
		uint64_t seen = 0;

		image_load(&image, rig, 1);
		image_header(&image, 3, &header);
		image.bytes[image.from[3] + record_body_at(&header) + 5] ^= 1;
		image_save(&image, rig, 1);
		for (int again = 0; again < 2; again++) {
			assert_int_equal(rig_open(rig, image_replayed, &seen), 0);
			assert_int_equal(seen, 0x7e);
			for (uint64_t n = 1; n <= FEW; n++)
				assert_int_equal(rig_check(rig, n, n, SMALL), n == 3 ? JOURNAL_DAMAGED : 0);
			assert_int_equal(rig_quarantined(rig), sealed ? 0 : 1);
			assert_int_equal(image_verify(rig, "the received bytes do not match their checksum"),
			    JOURNAL_DAMAGED);
			rig_close(rig);
		}
		image_free(&image);
	}
	few_drop(&kept, &killed);
}

/* A damaged header: found again behind it; cursors step over. */
static void
test_damaged_header(void **state)
{
	struct rig kept, killed;

	(void)state;
	few_make(&kept, &killed);
	for (int sealed = 0; sealed < 2; sealed++) {
		struct rig *rig = sealed ? &kept : &killed;
		struct journal_cursor cursor = { 0 };
		struct record record;
		struct image image;
		struct arena arena;
		uint64_t seen = 0, followed = 0;

		image_load(&image, rig, 1);
		memset(image.bytes + image.from[3] + 20, 0xff, 30);
		image_save(&image, rig, 1);
		assert_int_equal(rig_open(rig, image_replayed, &seen), 0);
		assert_int_equal(seen, 0x76);
		arena_init(&arena, 1 << 20);
		while (rig_next(rig->journal, &cursor, &arena, &record) == 0)
			followed |= (uint64_t)1 << record.head.seq;
		arena_fini(&arena);
		assert_int_equal(followed, 0x76);
		assert_int_equal(rig_check(rig, 3, 3, SMALL), sealed ? JOURNAL_DAMAGED : JOURNAL_ABSENT);
		assert_int_equal(rig_quarantined(rig), 1);
		assert_int_equal(image_verify(rig, "bytes that are no record"), JOURNAL_DAMAGED);
		rig_close(rig);
		image_free(&image);
	}
	few_drop(&kept, &killed);
}

/* Whoever changes a record and its checksums is found by digest or chain. */
static void
test_tampering(void **state)
{
	struct record_header header;
	struct rig kept, killed;
	struct image image;

	(void)state;
	few_make(&kept, &killed);
	image_load(&image, &kept, 1);
	image_header(&image, 2, &header);
	image.bytes[image.from[2] + record_body_at(&header)] ^= 1;
	image_reseal(&image, 2, &header);
	image_save(&image, &kept, 1);
	assert_int_equal(rig_open(&kept, NULL, NULL), 0);
	assert_int_equal(
	    image_verify(&kept, "the received bytes do not match their digest"), JOURNAL_DAMAGED);
	rig_close(&kept);
	/* with the digest set right as well, only the chain tells */
	assert_int_equal(
	    digest_sha256(span_make(image.bytes + image.from[2] + record_body_at(&header), header.body_len),
		header.head.sha256),
	    0);
	image_reseal(&image, 2, &header);
	image_save(&image, &kept, 1);
	assert_int_equal(rig_open(&kept, NULL, NULL), 0);
	assert_int_equal(image_verify(&kept, "the chain does not match"), JOURNAL_DAMAGED);
	rig_close(&kept);
	image_free(&image);
	few_drop(&kept, &killed);
}

/* A purged record (content overwritten, flag set) keeps its place in the chain. */
static void
test_purged_keeps_the_chain(void **state)
{
	struct record_header header;
	struct rig kept, killed;
	struct image image;

	(void)state;
	few_make(&kept, &killed);
	image_load(&image, &kept, 1);
	image_header(&image, 2, &header);
	memset(
	    image.bytes + image.from[2] + RECORD_HEADER_SIZE, 0, record_length(&header) - RECORD_HEADER_SIZE);
	header.head.flags |= RECORD_PURGED;
	image_reseal(&image, 2, &header);
	image_save(&image, &kept, 1);
	assert_int_equal(rig_open(&kept, NULL, NULL), 0);
	assert_int_equal(image_verify(&kept, NULL), 0);
	assert_int_equal(rig_check(&kept, 2, 2, SMALL), RIG_DIFFERS);
	rig_close(&kept);
	image_free(&image);
	few_drop(&kept, &killed);
}

/* What is not ours, or of a later version, or has lost its head at the end of the journal, is refused and left as it is. */
static void
test_refused(void **state)
{
	struct rig kept, killed, other, other_killed;
	struct image image;
	uint8_t *before;
	size_t len;

	(void)state;
	few_make(&kept, &killed);
	few_make(&other, &other_killed);
	image_load(&image, &killed, 1);
	bytes_put32(image.bytes + 8, 2);
	bytes_put32(image.bytes + 2048 + 8, 2);
	image_save(&image, &killed, 1);
	assert_int_equal(rig_open(&killed, NULL, NULL), JOURNAL_FORMAT);
	before = rig_load(rig_segment(&killed, 1), &len);
	assert_memory_equal(before, image.bytes, len);
	free(before);
	memset(image.bytes, 'x', SEGMENT_HEAD_SIZE);
	image_save(&image, &killed, 1);
	assert_int_equal(rig_open(&killed, NULL, NULL), JOURNAL_FORMAT);
	image_free(&image);

	image_load(&image, &other, 1);
	image_save(&image, &kept, 7); /* its head says number 1 */
	assert_int_equal(rig_open(&kept, NULL, NULL), JOURNAL_FORMAT);
	unlink(rig_segment(&kept, 7));
	image_free(&image);
	assert_int_equal(rig_open(&other, NULL, NULL), 0);
	assert_int_equal(rig_put(&other, 9, SMALL, RECORD_ACCEPTED, true, NULL), 0);
	rig_close(&other);
	image_load(&image, &other, 2); /* number 2 of another journal */
	image_save(&image, &kept, 2);
	assert_int_equal(rig_open(&kept, NULL, NULL), JOURNAL_FORMAT);
	image_free(&image);
	few_drop(&kept, &killed);
	few_drop(&other, &other_killed);
}

/* Several segments: a lost head in the middle, a lost index, a lost file. */
static void
test_damage_between_segments(void **state)
{
	enum { MANY = 60 };
	struct rig kept, trial;
	struct image image;

	(void)state;
	faults_install();
	faults_skip_sync(true);
	rig_init(&kept);
	rig_init_fast(&trial);
	kept.options.segment_size = trial.options.segment_size = SMALL_FILE;
	assert_int_equal(rig_open(&kept, NULL, NULL), 0);
	for (uint64_t n = 1; n <= MANY; n++)
		assert_int_equal(rig_put(&kept, n, 1000, RECORD_ACCEPTED, true, NULL), 0);
	rig_close(&kept);

	rig_copy(&kept, &trial);
	image_load(&image, &trial, 2);
	memset(image.bytes, 0, SEGMENT_HEAD_SIZE);
	image_save(&image, &trial, 2);
	image_free(&image);
	assert_int_equal(rig_open(&trial, NULL, NULL), 0);
	for (uint64_t n = 1; n <= MANY; n++)
		assert_int_equal(rig_check(&trial, n, n, 1000), 0);
	assert_int_equal(image_verify(&trial, "the head is damaged"), JOURNAL_DAMAGED);
	rig_close(&trial);

	rig_copy(&kept, &trial);
	image_load(&image, &trial, 3);
	image.bytes[image.len - 200] ^= 4; /* in the index */
	image_save(&image, &trial, 3);
	image_free(&image);
	assert_int_equal(rig_open(&trial, NULL, NULL), 0);
	for (uint64_t n = 1; n <= MANY; n++)
		assert_int_equal(rig_check(&trial, n, n, 1000), 0);
	rig_close(&trial);

	rig_copy(&kept, &trial);
	assert_int_equal(unlink(rig_segment(&trial, 3)), 0);
	assert_int_equal(rig_open(&trial, NULL, NULL), 0);
	assert_int_equal(rig_check(&trial, MANY, MANY, 1000), 0);
	assert_int_equal(image_verify(&trial, "the segment is missing"), JOURNAL_DAMAGED);
	rig_close(&trial);
	rig_fini(&kept);
	rig_fini(&trial);
	faults_remove();
}

/* A sector that the disk cannot give, in a sealed segment: what lies on it is lost and told, everything else is there. */
static void
test_bad_sector(void **state)
{
	enum { MANY = 60, BAD = 8192, BAD_LEN = 4096 };
	size_t readable = 0, lost = 0, followed = 0;
	struct journal_cursor cursor = { 0 };
	struct journal_place place;
	struct record record;
	struct arena arena;
	uint64_t seen = 0;
	struct rig rig;

	(void)state;
	faults_install();
	rig_init_fast(&rig);
	rig.options.segment_size = SMALL_FILE;
	assert_int_equal(rig_open(&rig, NULL, NULL), 0);
	for (uint64_t n = 1; n <= MANY; n++)
		assert_int_equal(rig_put(&rig, n, 1000, RECORD_ACCEPTED, true, NULL), 0);
	rig_close(&rig);
	faults_bad_sector(rig_segment(&rig, 2), BAD, BAD_LEN);
	assert_int_equal(rig_open(&rig, image_replayed, &seen), 0);
	assert_true(rig_quarantined(&rig) > 0);
	for (uint64_t n = 1; n <= MANY; n++) {
		int r = rig_check(&rig, n, n, 1000);

		assert_int_equal(journal_find(rig.journal, n, &place), 0);
		if (place.segment == 2 && place.offset + 1700 > BAD && place.offset < BAD + BAD_LEN) {
			assert_true(r == 0 || r == -EIO || r == JOURNAL_DAMAGED);
			lost += r != 0;
			continue;
		}
		assert_int_equal(r, 0);
		assert_true(seen & (uint64_t)1 << n);
		readable++;
	}
	assert_true(lost >= 2 && lost <= 5);
	arena_init(&arena, 1 << 20);
	while (rig_next(rig.journal, &cursor, &arena, &record) == 0)
		followed++;
	arena_fini(&arena);
	assert_true(followed >= readable && followed < MANY);
	assert_int_equal(image_verify(&rig, "segment=2"), JOURNAL_DAMAGED);
	rig_close(&rig);

	faults_bad_sector(rig_segment(&rig, 2), 0, BAD_LEN); /* its head: known from the next one */
	assert_int_equal(rig_open(&rig, NULL, NULL), 0);
	for (uint64_t n = 1; n <= MANY; n++)
		assert_int_equal(rig_check(&rig, n, n, 1000), 0);
	rig_fini(&rig);
	faults_remove();
}

/* Bytes of a first write whose head never arrived: told, left, not taken for a prepared segment. */
static void
test_torn_first_write(void **state)
{
	struct record_head head;
	struct rig kept, killed;
	struct image image;

	(void)state;
	few_make(&kept, &killed);
	image_load(&image, &killed, 1);
	memset(image.bytes, 0, SEGMENT_HEAD_SIZE);
	image_save(&image, &killed, 1);
	unlink(rig_segment(&killed, 2)); /* the one ahead */
	assert_int_equal(rig_open(&killed, NULL, NULL), 0);
	assert_int_equal(rig_quarantined(&killed), 1);
	assert_int_equal(rig_check(&killed, 1, 1, SMALL), JOURNAL_ABSENT);
	assert_int_equal(rig_put(&killed, 9, SMALL, RECORD_ACCEPTED, true, &head), 0);
	assert_int_equal(head.seq, 1);
	rig_close(&killed);
	assert_int_equal(rig_open(&killed, NULL, NULL), 0);
	assert_int_equal(rig_check(&killed, 1, 9, SMALL), 0);
	assert_int_equal(image_verify(&killed, NULL), 0);
	image_free(&image);
	few_drop(&kept, &killed);
}

/* Killed again and again, one record each time, with the segment size changing: all are there. */
static void
test_killed_often(void **state)
{
	struct rig rigs[2];

	(void)state;
	faults_install();
	rig_init(&rigs[0]);
	rig_init(&rigs[1]);
	for (uint64_t n = 1; n <= 20; n++) {
		struct rig *rig = &rigs[n % 2], *next = &rigs[(n + 1) % 2];

		rig->options.segment_size = n % 5 == 0 ? 32 << 10 : 64 << 10;
		assert_int_equal(rig_open(rig, NULL, NULL), 0);
		for (uint64_t k = 1; k < n; k++)
			assert_int_equal(rig_check(rig, k, k, SMALL), 0);
		assert_int_equal(rig_put(rig, n, SMALL, RECORD_ACCEPTED, true, NULL), 0);
		rig_copy(rig, next);
		assert_int_equal(image_verify(rig, NULL), 0);
		rig_close(rig);
	}
	rig_fini(&rigs[0]);
	rig_fini(&rigs[1]);
	faults_remove();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_damaged_body),
		cmocka_unit_test(test_damaged_header),
		cmocka_unit_test(test_tampering),
		cmocka_unit_test(test_purged_keeps_the_chain),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_damage_between_segments),
		cmocka_unit_test(test_bad_sector),
		cmocka_unit_test(test_torn_first_write),
		cmocka_unit_test(test_killed_often),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
