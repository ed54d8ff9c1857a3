/* SPDX-License-Identifier: Apache-2.0 */
/* The journal while all is well: what goes in comes out, in order, also after a restart; cursors, status, verify. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/base/clock.h"
#include "codecs/arena.h"
#include "codecs/buffer.h"
#include "tests/unit/journal_rig.h"

#define MANY 400

struct replayed {
	uint64_t count, last;
	bool ordered, matching;
};

/* The record with sequence n was made from content n. */
static int
replay_note(void *arg, const struct record *record)
{
	struct replayed *replayed = arg;

	replayed->ordered = replayed->ordered && record->head.seq > replayed->last;
	replayed->matching = replayed->matching && rig_matches(record, record->head.seq, SIZE_MAX, false) &&
			     record->body.len == 0;
	replayed->last = record->head.seq;
	replayed->count++;
	return 0;
}

static void
verify_well(struct rig *rig)
{
	struct buffer report;

	buffer_init(&report, 1 << 20);
	if (journal_verify(rig->journal, &report) != 0)
		fail_msg("%.*s", (int)report.len, (char *)report.data);
	assert_int_equal(report.len, 0);
	buffer_fini(&report);
}

/* A broker that stops does not wait for a check of everything. */
static void
test_verify_ends_when_hurried(void **state)
{
	struct buffer report;
	struct rig rig;

	(void)state;
	rig_init(&rig);
	assert_int_equal(rig_open(&rig, NULL, NULL), 0);
	assert_int_equal(rig_put(&rig, 1, 100, RECORD_ACCEPTED, true, NULL), 0);
	buffer_init(&report, 1 << 20);
	assert_int_equal(journal_verify(rig.journal, &report), 0);
	journal_hurry(rig.journal);
	assert_int_equal(journal_verify(rig.journal, &report), -ECANCELED);
	buffer_fini(&report);
	rig_fini(&rig);
}

static void
test_reopen_gives_what_was_written(void **state)
{
	struct replayed replayed = { .ordered = true, .matching = true };
	struct journal_status status;
	struct rig rig;
	uint8_t secret[16];

	(void)state;
	rig_init(&rig);
	assert_int_equal(rig_open(&rig, replay_note, &replayed), 0);
	assert_int_equal(replayed.count, 0);
	memcpy(secret, journal_secret(rig.journal), sizeof secret);
	for (uint64_t n = 1; n <= MANY; n++) {
		struct record_head head;

		assert_int_equal(
		    rig_put(&rig, n, SIZE_MAX, (enum record_type)(1 + n % 9), n % 2 == 0, &head), 0);
		assert_int_equal(head.seq, n);
		assert_int_equal(head.type, 1 + n % 9);
		assert_int_equal(rig_check(&rig, n, n, SIZE_MAX), 0);
	}
	assert_int_equal(journal_committed(rig.journal), MANY);
	verify_well(&rig);
	for (int again = 0; again < 3; again++) {
		rig_close(&rig);
		replayed = (struct replayed){ .ordered = true, .matching = true };
		assert_int_equal(rig_open(&rig, replay_note, &replayed), 0);
		assert_int_equal(replayed.count, MANY);
		assert_true(replayed.ordered);
		assert_true(replayed.matching);
		assert_memory_equal(secret, journal_secret(rig.journal), sizeof secret);
		for (uint64_t n = 1; n <= MANY; n++)
			assert_int_equal(rig_check(&rig, n, n, SIZE_MAX), 0);
		assert_int_equal(rig_check(&rig, MANY + 1, 0, 0), JOURNAL_ABSENT);
		assert_int_equal(rig_check(&rig, 0, 0, 0), JOURNAL_ABSENT);
		verify_well(&rig);
	}
	journal_status(rig.journal, &status);
	assert_int_equal(status.first_seq, 1);
	assert_int_equal(status.committed_seq, MANY);
	assert_int_equal(status.records, MANY);
	assert_true(status.segments > 4);
	assert_int_equal(status.quarantined, 0);
	assert_false(status.below_floor);
	assert_false(status.failed);
	rig_fini(&rig);
}

static void
test_sizes(void **state)
{
	static const size_t sizes[] = { 0, 1, 15, 16, 17, 1000, 65535, 65536, 65537, 1 << 20, (5 << 20) + 1,
		3 };
	struct rig rig;

	(void)state;
	rig_init(&rig);
	assert_int_equal(rig_open(&rig, NULL, NULL), 0);
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		assert_int_equal(rig_put(&rig, i + 1, sizes[i], RECORD_ACCEPTED, true, NULL), 0);
	for (int again = 0; again < 2; again++) {
		for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
			assert_int_equal(rig_check(&rig, i + 1, i + 1, sizes[i]), 0);
		verify_well(&rig);
		rig_close(&rig);
		assert_int_equal(rig_open(&rig, NULL, NULL), 0);
	}
	assert_int_equal(rig_quarantined(&rig), 0);
	rig_fini(&rig);
}

static void
test_group_commit_keeps_order(void **state)
{
	struct rig_record *records = calloc(MANY, sizeof *records);
	struct rig rig;

	(void)state;
	assert_non_null(records);
	rig_init(&rig);
	assert_int_equal(rig_open(&rig, NULL, NULL), 0);
	for (uint64_t i = 0; i < MANY; i++) {
		rig_record_init(&records[i], i + 1, SIZE_MAX);
		assert_int_equal(rig_append(&rig, &records[i], RECORD_ACCEPTED, true), 0);
		assert_int_equal(records[i].head.seq, i + 1);
		if (i > 0) {
			assert_true(records[i].head.time_us >= records[i - 1].head.time_us);
		}
	}
	rig_close(&rig); /* commits and tells what is queued */
	for (uint64_t i = 0; i < MANY; i++) {
		assert_true(records[i].done);
		assert_int_equal(records[i].error, 0);
		if (i > 0)
			assert_int_equal(records[i].order, records[i - 1].order + 1);
		rig_record_fini(&records[i]);
	}
	assert_int_equal(rig_open(&rig, NULL, NULL), 0);
	for (uint64_t i = 1; i <= MANY; i++)
		assert_int_equal(rig_check(&rig, i, i, SIZE_MAX), 0);
	free(records);
	rig_fini(&rig);
}

static void
test_cursor_follows(void **state)
{
	struct journal_cursor cursor = { 0 };
	struct record record;
	struct arena arena;
	struct rig rig;

	(void)state;
	rig_init(&rig);
	arena_init(&arena, 1 << 20);
	assert_int_equal(rig_open(&rig, NULL, NULL), 0);
	assert_int_equal(rig_next(rig.journal, &cursor, &arena, &record), JOURNAL_END);
	assert_false(journal_wait(rig.journal, &cursor, 10));
	for (uint64_t n = 1; n <= MANY; n++) {
		assert_int_equal(rig_put(&rig, n, SIZE_MAX, RECORD_ACCEPTED, true, NULL), 0);
		assert_true(journal_wait(rig.journal, &cursor, 1000));
		arena_reset(&arena);
		assert_int_equal(rig_next(rig.journal, &cursor, &arena, &record), 0);
		assert_int_equal(record.head.seq, n);
		assert_true(rig_matches(&record, n, SIZE_MAX, false));
		assert_int_equal(rig_next(rig.journal, &cursor, &arena, &record), JOURNAL_END);
	}
	rig_close(&rig);
	assert_int_equal(rig_open(&rig, NULL, NULL), 0);
	assert_int_equal(rig_next(rig.journal, &cursor, &arena, &record), JOURNAL_END);
	assert_int_equal(rig_put(&rig, MANY + 1, SIZE_MAX, RECORD_ACCEPTED, true, NULL), 0);
	assert_int_equal(rig_next(rig.journal, &cursor, &arena, &record), 0);
	assert_int_equal(record.head.seq, MANY + 1);
	cursor = (struct journal_cursor){ 0 };
	for (uint64_t n = 1; n <= MANY + 1; n++) {
		arena_reset(&arena);
		assert_int_equal(rig_next(rig.journal, &cursor, &arena, &record), 0);
		assert_int_equal(record.head.seq, n);
	}
	arena_fini(&arena);
	rig_fini(&rig);
}

struct follower {
	struct journal *journal;
	uint64_t want, seen;
};

static void *
follower_main(void *arg)
{
	struct follower *follower = arg;
	struct journal_cursor cursor = { 0 };
	struct record record;
	struct arena arena;

	arena_init(&arena, 1 << 20);
	while (follower->seen < follower->want) {
		int r;

		arena_reset(&arena);
		r = rig_next(follower->journal, &cursor, &arena, &record);
		if (r == JOURNAL_END)
			(void)journal_wait(follower->journal, &cursor, 100);
		else if (r != 0 || record.head.seq != follower->seen + 1)
			break;
		else
			follower->seen++;
	}
	arena_fini(&arena);
	return NULL;
}

/* Several threads append, one follows, one verifies: for the thread sanitizer as much as for the asserts. */
static void
test_threads(void **state)
{
	struct rig_record *records = calloc(MANY, sizeof *records);
	struct follower follower = { .want = MANY };
	pthread_t thread;
	struct rig rig;

	(void)state;
	rig_init(&rig);
	assert_int_equal(rig_open(&rig, NULL, NULL), 0);
	follower.journal = rig.journal;
	assert_int_equal(pthread_create(&thread, NULL, follower_main, &follower), 0);
	for (uint64_t i = 0; i < MANY; i++) {
		rig_record_init(&records[i], i + 1, SIZE_MAX);
		assert_int_equal(rig_append(&rig, &records[i], RECORD_ACCEPTED, true), 0);
		if (i % 64 == 63) {
			assert_int_equal(rig_wait(&rig, &records[i]), 0);
			assert_int_equal(rig_check(&rig, i + 1, i + 1, SIZE_MAX), 0);
		}
		if (i % 200 == 100)
			verify_well(&rig);
	}
	assert_int_equal(rig_wait(&rig, &records[MANY - 1]), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(follower.seen, MANY);
	for (uint64_t i = 0; i < MANY; i++)
		rig_record_fini(&records[i]);
	free(records);
	rig_fini(&rig);
}

static int
replay_refuse(void *arg, const struct record *record)
{
	(void)arg;
	return record->head.seq == 3 ? 77 : 0;
}

static void
test_refusals(void **state)
{
	struct journal_entry entry = { .type = RECORD_OPERATOR };
	struct rig rig;

	(void)state;
	rig_init(&rig);
	assert_int_equal(rig_open(&rig, NULL, NULL), 0);
	entry.facts = span_make(entry.key, ((size_t)16 << 20) + 1);
	assert_int_equal(journal_append(rig.journal, &entry, NULL, NULL, NULL), -EMSGSIZE);
	for (uint64_t n = 1; n <= 5; n++)
		assert_int_equal(rig_put(&rig, n, SIZE_MAX, RECORD_ACCEPTED, true, NULL), 0);
	rig_close(&rig);
	assert_int_equal(rig_open(&rig, replay_refuse, NULL), 77);
	assert_null(rig.journal);
	rig_fini(&rig);
}

/* Figures, printed; the asserts only want it to work. */
static void
test_pace(void **state)
{
	enum { COUNT = 20000, FLIGHT = 64 };
	struct rig_record *records = calloc(FLIGHT, sizeof *records);
	struct journal_status status;
	struct rig rig;
	uint64_t began, next = 0;

	(void)state;
	rig_init(&rig);
	rig.options.segment_size = 64 << 20;
	assert_int_equal(rig_open(&rig, NULL, NULL), 0);
	for (size_t i = 0; i < FLIGHT; i++)
		rig_record_init(&records[i], i, 1024);
	began = clock_mono_us();
	for (size_t i = 0; i < FLIGHT; i++, next++)
		assert_int_equal(rig_append(&rig, &records[i], RECORD_ACCEPTED, true), 0);
	for (uint64_t finished = 0; finished < COUNT;) {
		assert_true(rig_poster_run(&rig.poster, 5000));
		for (size_t i = 0; i < FLIGHT; i++) {
			if (!records[i].done)
				continue;
			assert_int_equal(records[i].error, 0);
			finished++;
			if (next == COUNT)
				records[i].done = false;
			else if (next < COUNT) {
				records[i].done = false;
				assert_int_equal(rig_append(&rig, &records[i], RECORD_ACCEPTED, true), 0);
				next++;
			}
		}
	}
	journal_status(rig.journal, &status);
	print_message("%d records of 1 KB, %d in flight: %.0f/s, sync p50 %llu us\n", COUNT, FLIGHT,
	    COUNT * 1e6 / (double)(clock_mono_us() - began), (unsigned long long)status.sync_us_p50);
	for (size_t i = 0; i < FLIGHT; i++)
		rig_record_fini(&records[i]);
	free(records);
	rig_fini(&rig);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reopen_gives_what_was_written),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_verify_ends_when_hurried),
		cmocka_unit_test(test_group_commit_keeps_order),
		cmocka_unit_test(test_cursor_follows),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_pace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
