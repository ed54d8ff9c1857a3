/* SPDX-License-Identifier: Apache-2.0 */
/* A disk that refuses: nothing is told to be done that is not there afterwards, and writing comes back by itself. */
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

#include "broker/base/log.h"
#include "broker/base/metrics.h"
#include "codecs/buffer.h"
#include "tests/unit/disk_faults.h"
#include "tests/unit/journal_rig.h"

#define SCRIPT	 24
#define RECORD	 1500
#define BIG	 40000
#define PATIENCE 6000 /* ms that a recovery of the disk may take to be noticed */

static size_t
script_size(uint64_t n)
{
	return n % 8 == 5 ? BIG : RECORD;
}

static int
count_replayed(void *arg, const struct record *record)
{
	size_t *count = arg;

	(void)record;
	(*count)++;
	return 0;
}

/* Contents 1..SCRIPT one by one; which were done well goes to ${seqs} (0: not). */
static void
script_run(struct rig *rig, uint64_t seqs[static SCRIPT + 1])
{
	for (uint64_t n = 1; n <= SCRIPT; n++) {
		struct record_head head;
		int r = rig_put(rig, n, script_size(n), RECORD_ACCEPTED, n % 3 != 0, &head);

		seqs[n] = r == 0 ? head.seq : 0;
	}
}

/* What was told to be done is there; the journal is whole. */
static void
script_check(struct rig *rig, const uint64_t seqs[static SCRIPT + 1], const char *what)
{
	struct buffer report;
	size_t replayed = 0, want = 0;
	int r;

	r = rig_open(rig, count_replayed, &replayed);
	if (r)
		fail_msg("%s: open gives %d", what, r);
	for (uint64_t n = 1; n <= SCRIPT; n++) {
		if (seqs[n] == 0)
			continue;
		want++;
		r = rig_check(rig, seqs[n], n, script_size(n));
		if (r)
			fail_msg("%s: record %llu gives %d", what, (unsigned long long)seqs[n], r);
	}
	assert_true(replayed >= want);
	buffer_init(&report, 1 << 20);
	r = journal_verify(rig->journal, &report);
	if (r)
		fail_msg("%s: verify: %.*s", what, (int)report.len, (char *)report.data);
	buffer_fini(&report);
	rig_close(rig);
}

static bool
wait_for(struct rig *rig, bool failed, bool floor)
{
	struct journal_status status;

	for (unsigned ms = 0; ms < PATIENCE; ms += 10) {
		journal_status(rig->journal, &status);
		if (status.failed == failed && status.below_floor == floor)
			return true;
		(void)rig_poster_run(&rig->poster, 10);
	}
	return false;
}

static void
sweep_one(enum refused_call kind, size_t nth, int error, bool forever)
{
	uint64_t seqs[SCRIPT + 1] = { 0 };
	struct rig rig, killed;
	char what[100];
	int r;

	snprintf(what, sizeof what, "kind %d, call %zu, %s%s", kind, nth, strerror(error),
	    forever ? ", for ever" : "");
	rig_init_fast(&rig);
	rig_init_fast(&killed);
	faults_at(kind, nth, error, forever);
	r = rig_open(&rig, NULL, NULL);
	if (r == 0) {
		script_run(&rig, seqs);
		if (!forever) {
			/* one refusal: it goes on by itself */
			r = -1;
			for (int tries = 0; r && tries < 10 && wait_for(&rig, false, false); tries++)
				r = rig_put(&rig, 1000, RECORD, RECORD_ACCEPTED, true, NULL);
			if (r)
				fail_msg("%s: does not come back, %d", what, r);
		}
		rig_copy(&rig, &killed);
		rig_close(&rig);
	}
	faults_none();
	script_check(&rig, seqs, what);
	if (r == 0)
		script_check(&killed, seqs, what);
	rig_fini(&rig);
	rig_fini(&killed);
}

static void
sweep(enum refused_call kind)
{
	uint64_t seqs[SCRIPT + 1];
	struct rig rig;
	size_t calls;

	faults_install();
	faults_skip_sync(true);
	rig_init_fast(&rig);
	faults_none();
	assert_int_equal(rig_open(&rig, NULL, NULL), 0);
	script_run(&rig, seqs);
	for (uint64_t n = 1; n <= SCRIPT; n++)
		assert_true(seqs[n] > 0);
	rig_close(&rig);
	calls = faults_count(kind);
	assert_true(calls > 0 || kind == REFUSE_FALLOCATE || kind == REFUSE_READ || kind == REFUSE_UNLINK);
	rig_fini(&rig);
	for (size_t nth = 1; nth <= calls; nth++) {
		sweep_one(kind, nth, nth % 2 ? EIO : ENOSPC, false);
		sweep_one(kind, nth, nth % 2 ? ENOSPC : EIO, true);
	}
	faults_remove();
}

static void
test_sweep_write(void **state)
{
	(void)state;
	sweep(REFUSE_WRITE);
}

static void
test_sweep_fdatasync(void **state)
{
	(void)state;
	sweep(REFUSE_FDATASYNC);
}

static void
test_sweep_fsync(void **state)
{
	(void)state;
	sweep(REFUSE_FSYNC);
}

static void
test_sweep_rest(void **state)
{
	(void)state;
	sweep(REFUSE_OPEN);
	sweep(REFUSE_RENAME);
	sweep(REFUSE_FTRUNCATE);
	sweep(REFUSE_MKDIR);
}

static void
test_short_writes(void **state)
{
	uint64_t seqs[SCRIPT + 1];
	struct rig rig;

	(void)state;
	faults_install();
	faults_short_writes(333);
	rig_init(&rig);
	assert_int_equal(rig_open(&rig, NULL, NULL), 0);
	script_run(&rig, seqs);
	for (uint64_t n = 1; n <= SCRIPT; n++)
		assert_true(seqs[n] > 0);
	rig_close(&rig);
	script_check(&rig, seqs, "short writes");
	rig_fini(&rig);
	faults_remove();
}

/* The batch that failed is void even when its bytes lie in the file, whole, and the process is killed after writing went on. */
static void
test_failed_batch_is_void(void **state)
{
	struct record_head failed, after;
	struct rig rig, killed;

	(void)state;
	faults_install();
	rig_init(&rig);
	rig_init(&killed);
	assert_int_equal(rig_open(&rig, NULL, NULL), 0);
	assert_int_equal(rig_put(&rig, 1, RECORD, RECORD_ACCEPTED, true, NULL), 0);
	faults_at(REFUSE_FDATASYNC, 1, EIO, false);
	assert_int_equal(rig_put(&rig, 2, RECORD, RECORD_ACCEPTED, true, &failed), -EIO);
	assert_int_equal(rig_check(&rig, failed.seq, 2, RECORD), JOURNAL_ABSENT);
	assert_int_equal(rig_put(&rig, 3, RECORD, RECORD_ACCEPTED, false, NULL), JOURNAL_FULL);
	assert_true(wait_for(&rig, false, false));
	assert_int_equal(rig.state_changes, 2);
	assert_int_equal(rig_put(&rig, 3, RECORD, RECORD_ACCEPTED, true, &after), 0);
	assert_true(after.seq > failed.seq);
	rig_copy(&rig, &killed);
	rig_close(&rig);
	for (int i = 0; i < 4; i++) {
		struct rig *other = i % 2 ? &killed : &rig;

		assert_int_equal(rig_open(other, NULL, NULL), 0);
		assert_int_equal(rig_check(other, 1, 1, RECORD), 0);
		assert_int_equal(rig_check(other, failed.seq, 2, RECORD), JOURNAL_ABSENT);
		assert_int_equal(rig_check(other, after.seq, 3, RECORD), 0);
		assert_int_equal(rig_quarantined(other), 0);
		rig_close(other);
	}
	rig_fini(&rig);
	rig_fini(&killed);
	faults_remove();
}

/* A whole batch under way fails together: every callback gets the error, in order. */
static void
test_batch_fails_whole(void **state)
{
	enum { COUNT = 50 };
	struct rig_record records[COUNT];
	struct rig rig;
	size_t failures = 0;

	(void)state;
	faults_install();
	rig_init(&rig);
	assert_int_equal(rig_open(&rig, NULL, NULL), 0);
	faults_at(REFUSE_FDATASYNC, 2, EIO, true);
	for (size_t i = 0; i < COUNT; i++) {
		rig_record_init(&records[i], i, RECORD);
		if (rig_append(&rig, &records[i], RECORD_ACCEPTED, true) != 0)
			records[i].done = true, records[i].error = JOURNAL_FULL;
	}
	for (size_t i = 0; i < COUNT; i++)
		failures += rig_wait(&rig, &records[i]) != 0;
	assert_true(failures > 0);
	for (size_t i = 1; i < COUNT; i++) {
		assert_true(records[i].error != 0 ||
			    records[i - 1].error == 0); /* nothing behind a failure is well */
		if (records[i].pushed)
			assert_int_equal(records[i].order, records[i - 1].order + 1);
	}
	faults_none();
	rig_close(&rig);
	assert_int_equal(rig_open(&rig, NULL, NULL), 0);
	for (size_t i = 0; i < COUNT; i++) {
		if (records[i].error == 0)
			assert_int_equal(rig_check(&rig, records[i].head.seq, i, RECORD), 0);
		rig_record_fini(&records[i]);
	}
	rig_fini(&rig);
	faults_remove();
}

/* Below the floor pushes wait and the rest goes on; above it pushes are taken again, all by itself. */
static void
test_floor(void **state)
{
	struct rig rig;
	unsigned changes;

	(void)state;
	faults_install();
	faults_space(100 << 20);
	rig_init(&rig);
	rig.options.disk_floor = 50 << 20;
	assert_int_equal(rig_open(&rig, NULL, NULL), 0);
	assert_int_equal(rig_put(&rig, 1, RECORD, RECORD_ACCEPTED, true, NULL), 0);
	faults_space(49 << 20);
	assert_true(wait_for(&rig, false, true));
	changes = rig.state_changes;
	assert_true(changes >= 1);
	assert_int_equal(rig_put(&rig, 2, RECORD, RECORD_ACCEPTED, true, NULL), JOURNAL_FLOOR);
	for (uint64_t n = 0; n < 100; n++)
		assert_int_equal(rig_put(&rig, n, RECORD, RECORD_OUTCOME, false, NULL), 0);
	faults_space(52 << 20); /* above the floor, not yet above its margin */
	usleep(1200 * 1000);
	assert_int_equal(rig_put(&rig, 2, RECORD, RECORD_ACCEPTED, true, NULL), JOURNAL_FLOOR);
	faults_space(100 << 20);
	assert_true(wait_for(&rig, false, false));
	assert_int_equal(rig.state_changes, changes + 1);
	assert_int_equal(rig_put(&rig, 2, RECORD, RECORD_ACCEPTED, true, NULL), 0);
	rig_fini(&rig);
	faults_remove();
}

/* Not one free block: what is no push goes on to the end of the reserve, then nothing; with space all comes back. */
static void
test_reserve(void **state)
{
	uint64_t done = 0, total = 0;
	struct record_head head;
	struct rig rig;
	int r = 0;

	(void)state;
	faults_install();
	rig_init(&rig);
	rig.options.reserve = 128 << 10;
	rig.options.disk_floor = 1 << 20;
	assert_int_equal(rig_open(&rig, NULL, NULL), 0);
	assert_int_equal(rig_put(&rig, 1, RECORD, RECORD_ACCEPTED, true, NULL), 0);
	usleep(100 * 1000); /* the segment ahead is made anew after it was taken */
	faults_no_growth(true);
	faults_space(0);
	assert_true(wait_for(&rig, false, true));
	for (uint64_t n = 2; n < 1000; n++) {
		r = rig_put(&rig, n, RECORD, RECORD_OUTCOME, false, &head);
		if (r)
			break;
		assert_int_equal(head.seq, n);
		done = n;
		total += RECORD;
		assert_int_equal(rig_put(&rig, n, RECORD, RECORD_ACCEPTED, true, NULL), JOURNAL_FLOOR);
	}
	assert_int_equal(r, -ENOSPC);
	assert_true(total > (128 << 10) + (32 << 10)); /* rest of a segment, segment ahead, reserve */
	assert_true(wait_for(&rig, true, true));
	assert_int_equal(rig_put(&rig, 1, RECORD, RECORD_OUTCOME, false, NULL), JOURNAL_FULL);
	rig_close(&rig);
	assert_int_equal(
	    rig_open(&rig, NULL, NULL), 0); /* a full disk does not keep the broker from starting */
	for (uint64_t n = 1; n <= done; n++)
		assert_int_equal(rig_check(&rig, n, n, RECORD), 0);
	assert_int_equal(rig_put(&rig, 1, RECORD, RECORD_ACCEPTED, true, NULL), JOURNAL_FLOOR);
	faults_no_growth(false);
	faults_space(UINT64_MAX);
	assert_true(wait_for(&rig, false, false));
	assert_int_equal(rig_put(&rig, 7, RECORD, RECORD_ACCEPTED, true, &head), 0);
	assert_true(head.seq > done);
	rig_fini(&rig);
	faults_remove();
}

/* The reserve is wanted while a refused segment is being made again: whichever comes first, numbers ascend and all is read back. */
static void
test_reserve_beside_a_late_segment(void **state)
{
	enum { COUNT = 90 };
	uint64_t seqs[COUNT];
	struct rig rig;

	(void)state;
	faults_install();
	rig_init(&rig);
	faults_at(REFUSE_RENAME, 1, ENOSPC, false);
	faults_slow_writes(100);
	assert_int_equal(rig_open(&rig, NULL, NULL), 0); /* the keeper's thread begins with a second try */
	for (uint64_t n = 0; n < COUNT; n++) {
		struct record_head head;

		if (n == 1)
			faults_slow_writes(0);
		assert_int_equal(rig_put(&rig, n, RECORD, RECORD_OUTCOME, false, &head), 0);
		seqs[n] = head.seq;
	}
	rig_close(&rig);
	assert_int_equal(rig_open(&rig, NULL, NULL), 0);
	for (uint64_t n = 0; n < COUNT; n++)
		assert_int_equal(rig_check(&rig, seqs[n], n, RECORD), 0);
	rig_fini(&rig);
	faults_remove();
}

/* A record larger than what the disk can give fails alone. */
static void
test_no_room_for_one(void **state)
{
	struct rig rig;

	(void)state;
	faults_install();
	rig_init(&rig);
	assert_int_equal(rig_open(&rig, NULL, NULL), 0);
	faults_at(REFUSE_FALLOCATE, 1, ENOSPC, false);
	assert_int_equal(rig_put(&rig, 1, 200000, RECORD_ACCEPTED, true, NULL), -ENOSPC);
	assert_int_equal(rig_put(&rig, 2, RECORD, RECORD_ACCEPTED, true, NULL), 0);
	assert_int_equal(rig_put(&rig, 3, 200000, RECORD_ACCEPTED, true, NULL), 0);
	assert_int_equal(rig_check(&rig, 3, 3, 200000), 0);
	rig_fini(&rig);
	faults_remove();
}

static size_t
occurrences(const char *text, const char *word)
{
	size_t count = 0;

	for (; (text = strstr(text, word)); text += strlen(word))
		count++;
	return count;
}

/* A failure and its end are told once each, the floor as well. */
static void
test_told_once(void **state)
{
	char path[100];
	struct rig rig;
	uint8_t *text;
	size_t len;

	(void)state;
	faults_install();
	rig_init(&rig);
	snprintf(path, sizeof path, "%s/log", rig.directory);
	assert_int_equal(log_open(path, LEVEL_INFO), 0);
	rig.options.disk_floor = 1 << 20;
	assert_int_equal(rig_open(&rig, NULL, NULL), 0);
	faults_at(REFUSE_FDATASYNC, 1, EIO, true);
	assert_int_equal(rig_put(&rig, 1, RECORD, RECORD_ACCEPTED, true, NULL), -EIO);
	usleep(800 * 1000); /* it is tried again, and refused */
	faults_none();
	assert_true(wait_for(&rig, false, false));
	faults_space(1);
	assert_true(wait_for(&rig, false, true));
	faults_space(UINT64_MAX);
	assert_true(wait_for(&rig, false, false));
	rig_close(&rig);
	log_close();
	text = rig_load(path, &len);
	assert_non_null(text);
	text[len] = 0;
	assert_int_equal(occurrences((char *)text, " recovered "), 1);
	assert_int_equal(occurrences((char *)text, " journal-failed "), 1);
	assert_int_equal(occurrences((char *)text, " journal-back "), 1);
	assert_int_equal(occurrences((char *)text, " disk-floor "), 1);
	assert_int_equal(occurrences((char *)text, " disk-floor-left "), 1);
	assert_true(metric_value(metric_series(METRIC_JOURNAL_FAILURES, NULL)) > 0);
	free(text);
	rig_fini(&rig);
	faults_remove();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_failed_batch_is_void),
		cmocka_unit_test(test_batch_fails_whole),
		cmocka_unit_test(test_floor),
		cmocka_unit_test(test_reserve),
		cmocka_unit_test(test_reserve_beside_a_late_segment),
		cmocka_unit_test(test_no_room_for_one),
		cmocka_unit_test(test_told_once),
		cmocka_unit_test(test_short_writes),
		cmocka_unit_test(test_sweep_write),
		cmocka_unit_test(test_sweep_fdatasync),
		cmocka_unit_test(test_sweep_fsync),
		cmocka_unit_test(test_sweep_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
