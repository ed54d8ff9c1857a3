/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replayed messages in the journal: their bytes are read where they lie, and only when they are the same still; what retention carries keeps both
 * readable, and no outcome goes before the message it is about.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "codecs/arena.h"
#include "codecs/buffer.h"
#include "codecs/digest.h"
#include "tests/unit/disk_faults.h"
#include "tests/unit/journal_image.h"
#include "tests/unit/journal_rig.h"

#define SIZE	 1000
#define AGE_US	 150000
#define PATIENCE 10000 /* ms */

static int put_error;
static bool put_done;

static void
put_over(void *arg, int error)
{
	(void)arg;
	put_error = error;
	put_done = true;
}

/* One record about ${ref}, with the head's size and digest of ${like} (may be NULL). Its sequence. */
static uint64_t
put_about(struct rig *rig, enum record_type type, uint64_t ref, const struct record_head *like, bool replayed)
{
	struct journal_entry entry = { .type = type,
		.ref = ref,
		.size = like ? like->size : 0,
		.sha256 = like ? like->sha256 : NULL,
		.decision = span_str("decision"),
		.replayed = replayed };
	struct record_head head;

	put_done = false;
	assert_int_equal(journal_append(rig->journal, &entry, put_over, NULL, &head), 0);
	while (!put_done)
		(void)rig_poster_run(&rig->poster, 1000);
	assert_int_equal(put_error, 0);
	return head.seq;
}

/* Read ${seq} with its body: the outcome, and the flags of its head. The body, when there is one, is that made from ${content}. */
static int
read_body(struct rig *rig, uint64_t seq, uint64_t content, unsigned *flags)
{
	struct rig_record made;
	struct record record;
	struct arena arena;
	int r;

	arena_init(&arena, 1 << 20);
	r = journal_read(rig->journal, seq, true, &arena, &record);
	*flags = r ? 0 : record.head.flags;
	if (r == 0 && record.body.len) {
		rig_record_init(&made, content, SIZE);
		assert_int_equal(record.body.len, made.body_len);
		assert_memory_equal(record.body.ptr, made.body, made.body_len);
		rig_record_fini(&made);
	}
	if (r == 0)
		assert_int_equal(record.body.len > 0, !(*flags & (RECORD_BODILESS | RECORD_PURGED)));
	arena_fini(&arena);
	return r;
}

static void
test_bytes_are_those_of_the_original(void **state)
{
	struct record_head first, second, gone = { .size = SIZE };
	uint64_t replay, wrong, absent, bodiless, again;
	struct record record;
	struct arena arena, exact;
	struct rig rig;
	unsigned flags;

	(void)state;
	rig_init(&rig);
	arena_init(&arena, 1 << 20);
	assert_int_equal(rig_open(&rig, NULL, NULL), 0);
	assert_int_equal(rig_put(&rig, 1, SIZE, RECORD_ACCEPTED, true, &first), 0);
	assert_int_equal(rig_put(&rig, 2, SIZE, RECORD_ACCEPTED, true, &second), 0);
	replay = put_about(&rig, RECORD_ACCEPTED, first.seq, &first, true);
	wrong = put_about(&rig, RECORD_ACCEPTED, first.seq, &second, true);
	absent = put_about(&rig, RECORD_ACCEPTED, 4711, &first, true);
	bodiless = put_about(&rig, RECORD_ACCEPTED, 0, &gone, false);
	again = put_about(&rig, RECORD_ACCEPTED, bodiless, &gone, true);
	for (int round = 0; round < 2; round++) { /* and after a restart */
		assert_int_equal(read_body(&rig, replay, 1, &flags), 0);
		assert_int_equal(flags, RECORD_REPLAYED);
		assert_int_equal(journal_read(rig.journal, replay, false, &arena, &record), 0);
		assert_int_equal(record.body.len, 0);
		assert_int_equal(record.head.ref, first.seq);
		assert_int_equal(record.head.size, first.size);
		assert_memory_equal(record.head.sha256, first.sha256, sizeof first.sha256);
		/* It takes the memory that it would if the bytes stood in it: doors reckon so. */
		arena_init(
		    &exact, ((record.decision.len + 15) & ~(size_t)15) + ((first.size + 15) & ~(size_t)15));
		assert_int_equal(journal_read(rig.journal, replay, true, &exact, &record), 0);
		arena_fini(&exact);
		assert_int_equal(read_body(&rig, wrong, 2, &flags), JOURNAL_DAMAGED);
		assert_int_equal(read_body(&rig, absent, 1, &flags), 0);
		assert_int_equal(flags, RECORD_REPLAYED | RECORD_BODILESS);
		assert_int_equal(read_body(&rig, again, 1, &flags), 0);
		assert_int_equal(flags, RECORD_REPLAYED | RECORD_BODILESS);
		assert_int_equal(image_verify(&rig, NULL), 0);
		rig_close(&rig);
		assert_int_equal(rig_open(&rig, NULL, NULL), 0);
	}
	arena_fini(&arena);
	rig_fini(&rig);
}

static void
test_original_purged_or_damaged(void **state)
{
	struct record_header header;
	struct record_head first;
	struct image image;
	struct rig rig;
	uint64_t replay;
	unsigned flags;

	(void)state;
	rig_init(&rig);
	assert_int_equal(rig_open(&rig, NULL, NULL), 0);
	assert_int_equal(rig_put(&rig, 1, SIZE, RECORD_ACCEPTED, true, &first), 0);
	replay = put_about(&rig, RECORD_ACCEPTED, first.seq, &first, true);
	rig_close(&rig);
	image_load(&image, &rig, 1);
	image_header(&image, 1, &header);
	image.bytes[image.from[1] + record_body_at(&header)] ^= 1;
	image_save(&image, &rig, 1);
	assert_int_equal(rig_open(&rig, NULL, NULL), 0);
	assert_int_equal(read_body(&rig, replay, 1, &flags), JOURNAL_DAMAGED);
	rig_close(&rig);
	memset(
	    image.bytes + image.from[1] + RECORD_HEADER_SIZE, 0, record_length(&header) - RECORD_HEADER_SIZE);
	header.head.flags |= RECORD_PURGED;
	image_reseal(&image, 1, &header);
	image_save(&image, &rig, 1);
	assert_int_equal(rig_open(&rig, NULL, NULL), 0);
	assert_int_equal(read_body(&rig, replay, 1, &flags), 0);
	assert_int_equal(flags, RECORD_REPLAYED | RECORD_PURGED);
	image_free(&image);
	rig_fini(&rig);
}

/*
 * Retention.
 */

/* Records up to ${kept} are live; up to ${once} they were, until they had been carried. */
struct judge {
	uint64_t kept, once;
};

static int
judge_by_number(void *arg, const struct record_head *heads, size_t count, enum journal_fate *fates)
{
	const struct judge *judge = arg;

	for (size_t i = 0; i < count; i++) {
		bool carried = heads[i].flags & RECORD_CARRIED;

		fates[i] = heads[i].seq <= judge->kept || (heads[i].seq <= judge->once && !carried)
			       ? FATE_CARRY
			       : FATE_DROP;
	}
	return 0;
}

static void
fill(struct rig *rig, unsigned records)
{
	for (unsigned i = 0; i < records; i++)
		assert_int_equal(rig_put(rig, i, SIZE, RECORD_ACCEPTED, true, NULL), 0);
}

static unsigned
segment_of(const struct rig *rig, uint64_t seq)
{
	struct journal_place place;

	return journal_find(rig->journal, seq, &place) == 0 ? place.segment : 0;
}

static bool
wait_gone(struct rig *rig, unsigned last)
{
	unsigned there = 1;

	for (unsigned ms = 0; ms < PATIENCE && there; ms += 20) {
		there = 0;
		for (unsigned i = 1; i <= last; i++)
			there += access(rig_segment(rig, i), F_OK) == 0;
		usleep(20000);
	}
	return there == 0;
}

static void
test_carried_with_its_original(void **state)
{
	struct judge judge = { .kept = 2 };
	struct record_head first;
	struct rig rig;
	uint64_t replay;
	unsigned flags;

	(void)state;
	rig_init(&rig);
	rig.options.segment_size = 32 << 10;
	rig.options.retention_us = AGE_US;
	assert_int_equal(rig_open(&rig, NULL, NULL), 0);
	assert_int_equal(rig_put(&rig, 1, SIZE, RECORD_ACCEPTED, true, &first), 0);
	replay = put_about(&rig, RECORD_ACCEPTED, first.seq, &first, true);
	fill(&rig, 40);
	assert_int_equal(journal_start_retention(rig.journal, judge_by_number, &judge), 0);
	assert_true(wait_gone(&rig, 1));
	assert_true(segment_of(&rig, first.seq) > 1);
	assert_int_equal(read_body(&rig, replay, 1, &flags), 0);
	assert_int_equal(flags, RECORD_REPLAYED | RECORD_CARRIED);
	rig_close(&rig);
	assert_int_equal(rig_open(&rig, NULL, NULL), 0);
	assert_int_equal(read_body(&rig, replay, 1, &flags), 0);
	assert_int_equal(flags, RECORD_REPLAYED | RECORD_CARRIED);
	assert_int_equal(image_verify(&rig, NULL), 0);
	rig_fini(&rig);
}

/*
 * A message waits at two destinations; one takes it, and its outcome lies one segment on; the message is carried for the other's sake, which takes it
 * too before the outcome's segment is judged. Without the outcome it would wait at the first again.
 */
static void
test_an_outcome_outlives_its_carried_message(void **state)
{
	struct judge judge = { .once = 1 };
	struct record_head first;
	struct rig rig;
	uint64_t outcome;

	(void)state;
	rig_init(&rig);
	rig.options.segment_size = 32 << 10;
	rig.options.retention_us = AGE_US;
	assert_int_equal(rig_open(&rig, NULL, NULL), 0);
	assert_int_equal(rig_put(&rig, 1, SIZE, RECORD_ACCEPTED, true, &first), 0);
	do { /* each says the same: the last one counts here */
		fill(&rig, 1);
		outcome = put_about(&rig, RECORD_OUTCOME, first.seq, NULL, false);
	} while (segment_of(&rig, outcome) == 1);
	assert_int_equal(segment_of(&rig, outcome), 2);
	fill(&rig, 40);
	assert_int_equal(journal_start_retention(rig.journal, judge_by_number, &judge), 0);
	assert_true(wait_gone(&rig, 2));
	assert_true(segment_of(&rig, first.seq) > 2);
	assert_true(segment_of(&rig, outcome) > 2);
	rig_fini(&rig);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes_are_those_of_the_original),
		cmocka_unit_test(test_original_purged_or_damaged),
		cmocka_unit_test(test_carried_with_its_original),
		cmocka_unit_test(test_an_outcome_outlives_its_carried_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
