/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commits at the end of the loop's turn: of little, on a quick disk, by nobody else; never from inside an append. The disk here is one in
 * memory that does not sync, so that it is quick on every machine.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/base/metrics.h"
#include "tests/unit/disk_faults.h"
#include "tests/unit/journal_rig.h"

#define TRIES 2000

static int64_t
turns(void)
{
	return metric_value(metric_series(METRIC_JOURNAL_TURN_SYNCS, NULL));
}

static void
quick_rig(struct rig *rig)
{
	assert_int_equal(setenv(RIG_TURNS, "1", 1), 0);
	faults_install();
	faults_skip_sync(true);
	rig_init_fast(rig);
	rig->options.segment_size = 1 << 20;
	assert_int_equal(rig_open(rig, NULL, NULL), 0);
}

static void
rig_end(struct rig *rig)
{
	rig_close(rig);
	rig_fini(rig);
	faults_remove();
}

/* Put records one by one until a turn commits one. */
static void
turn_wait(struct rig *rig)
{
	int64_t before = turns();

	for (unsigned tries = 0; turns() == before; tries++) {
		assert_true(tries < TRIES);
		assert_int_equal(rig_put(rig, 1000 + tries, 100, RECORD_ACCEPTED, true, NULL), 0);
	}
}

static void
test_little_is_committed_at_the_end_of_the_turn(void **state)
{
	struct rig rig;

	(void)state;
	quick_rig(&rig);
	turn_wait(&rig);
	/* A machine may be held up at any moment; that a batch of three comes whole on a turn is seen soon. */
	for (unsigned tries = 0;; tries++) {
		struct rig_record records[3];
		int64_t before = turns();

		assert_true(tries < TRIES);
		for (size_t i = 0; i < 3; i++) {
			rig_record_init(&records[i], i + 1, 500);
			assert_int_equal(rig_append(&rig, &records[i], RECORD_ACCEPTED, true), 0);
			assert_false(records[i].done);
		}
		assert_int_equal(turns(), before);
		for (size_t i = 0; i < 3; i++) {
			assert_int_equal(rig_wait(&rig, &records[i]), 0);
			if (i > 0)
				assert_int_equal(records[i].order, records[i - 1].order + 1);
			assert_int_equal(rig_check(&rig, records[i].head.seq, i + 1, 500), 0);
		}
		for (size_t i = 0; i < 3; i++)
			rig_record_fini(&records[i]);
		if (turns() == before + 1)
			break;
	}
	rig_end(&rig);
}

static void
test_much_is_left_to_the_thread(void **state)
{
	struct rig rig;
	int64_t before;

	(void)state;
	quick_rig(&rig);
	turn_wait(&rig);
	before = turns();
	for (uint64_t n = 1; n <= 20; n++)
		assert_int_equal(rig_put(&rig, n, 32 << 10, RECORD_ACCEPTED, true, NULL), 0);
	assert_int_equal(turns(), before);
	rig_end(&rig);
}

static void
test_a_slow_disk_is_left_to_the_thread(void **state)
{
	struct rig rig;
	int64_t before;

	(void)state;
	quick_rig(&rig);
	turn_wait(&rig);
	faults_slow_writes(5);
	before = turns();
	for (uint64_t n = 1; n <= 40; n++)
		assert_int_equal(rig_put(&rig, n, 100, RECORD_ACCEPTED, true, NULL), 0);
	assert_true(turns() <= before + 1); /* the one that finds out */
	faults_slow_writes(0);
	turn_wait(&rig);
	rig_end(&rig);
}

static void
test_a_failure_on_a_turn(void **state)
{
	struct rig rig;
	unsigned met = 0;

	(void)state;
	quick_rig(&rig);
	for (unsigned tries = 0; met == 0; tries++) {
		int64_t before;
		int r;

		assert_true(tries < 50);
		turn_wait(&rig);
		before = turns();
		faults_at(REFUSE_FDATASYNC, 1, EIO, false);
		faults_skip_sync(true);
		r = rig_put(&rig, 7, 100, RECORD_ACCEPTED, true, NULL);
		if (r == 0) /* it was the keeper's sync that failed */
			continue;
		assert_int_equal(r, -EIO);
		met += turns() > before;
		/* the thread finds a new segment */
		for (unsigned ms = 0;
		     (r = rig_put(&rig, 8, 100, RECORD_ACCEPTED, true, NULL)) == JOURNAL_FULL; ms += 10) {
			assert_true(ms < 20000);
			(void)rig_poster_run(&rig.poster, 10);
		}
		assert_int_equal(r, 0);
	}
	assert_true(rig.state_changes >= 2);
	rig_end(&rig);
}

static void
test_closed_before_the_turn_ends(void **state)
{
	struct rig_record record;
	struct rig rig;

	(void)state;
	quick_rig(&rig);
	turn_wait(&rig);
	rig_record_init(&record, 5, 300);
	assert_int_equal(rig_append(&rig, &record, RECORD_ACCEPTED, true), 0);
	rig_close(&rig);
	assert_true(record.done);
	assert_int_equal(record.error, 0);
	assert_int_equal(rig_open(&rig, NULL, NULL), 0);
	assert_int_equal(rig_check(&rig, record.head.seq, 5, 300), 0);
	rig_record_fini(&record);
	rig_end(&rig);
}

struct elsewhere {
	struct rig *rig;
	struct rig_record record;
};

static void *
append_elsewhere(void *arg)
{
	struct elsewhere *e = arg;

	rig_record_init(&e->record, 9, 100);
	assert_int_equal(rig_append(e->rig, &e->record, RECORD_ACCEPTED, true), 0);
	return NULL;
}

/* Another thread's record does not wait for anybody's turn. */
static void
test_another_thread_appends(void **state)
{
	struct elsewhere e;
	pthread_t thread;
	struct rig rig;

	(void)state;
	quick_rig(&rig);
	turn_wait(&rig);
	e.rig = &rig;
	assert_int_equal(pthread_create(&thread, NULL, append_elsewhere, &e), 0);
	pthread_join(thread, NULL);
	for (unsigned ms = 0; journal_committed(rig.journal) < e.record.head.seq; ms += 10) {
		assert_true(ms < 20000);
		usleep(10000);
	}
	assert_int_equal(rig_wait(&rig, &e.record), 0);
	rig_record_fini(&e.record);
	rig_end(&rig);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_little_is_committed_at_the_end_of_the_turn),
		cmocka_unit_test(test_much_is_left_to_the_thread),
		cmocka_unit_test(test_a_slow_disk_is_left_to_the_thread),
		cmocka_unit_test(test_a_failure_on_a_turn),
		cmocka_unit_test(test_closed_before_the_turn_ends),
		cmocka_unit_test(test_another_thread_appends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
