/* SPDX-License-Identifier: Apache-2.0 */
/* The power goes at every call of a run; the process is killed after a sync that failed: what was told done, or read back, stays. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "codecs/buffer.h"
#include "tests/unit/journal_rig.h"
#include "tests/unit/power_loss.h"

#define SCRIPT 40
#define FLIGHT 3
#define SEEDS  2

/* What was told at the moment the power went. */
struct run {
	struct rig rig, left;
	struct rig_record records[SCRIPT + 1];
	_Atomic bool told[SCRIPT + 1]; /* done with 0 */
	bool told_then[SCRIPT + 1];
	uint64_t seqs[SCRIPT + 1];
	bool happened, kill;
	bool retain; /* retention runs: only even ones are live */
};

static void
power_rig(struct rig *rig)
{
	char path[128];

	rig_init_fast(rig);
	rig->options.segment_size = 16 << 10;
	rig->options.reserve = 16 << 10;
	snprintf(path, sizeof path, "%s/journal", rig->directory);
	assert_int_equal(mkdir(path, 0750), 0);
	snprintf(path, sizeof path, "%s/quarantine", rig->directory);
	assert_int_equal(mkdir(path, 0750), 0);
}

static void
moment(void *arg)
{
	struct run *run = arg;

	for (size_t n = 1; n <= SCRIPT; n++)
		run->told_then[n] = run->told[n];
	if (run->kill)
		power_killed(run->rig.directory, run->left.directory);
	else
		power_lost(run->rig.directory, run->left.directory);
	run->happened = true;
}

static size_t
script_size(size_t n)
{
	return n % 13 == 7 ? 20000 : 100 + n * 37 % 900;
}

/* SCRIPT records, FLIGHT of them under way at a time; failures are passed over once the journal is back. */
static void
script_run(struct run *run)
{
	for (size_t n = 1; n <= SCRIPT; n += FLIGHT) {
		for (size_t k = n; k < n + FLIGHT && k <= SCRIPT; k++) {
			rig_record_init(&run->records[k], k, script_size(k));
			while (
			    rig_append(&run->rig, &run->records[k], RECORD_ACCEPTED, false) == JOURNAL_FULL)
				usleep(5000);
			run->seqs[k] = run->records[k].head.seq;
		}
		for (size_t k = n; k < n + FLIGHT && k <= SCRIPT; k++) {
			int r = rig_wait(&run->rig, &run->records[k]);

			run->told[k] = r == 0;
		}
	}
	for (size_t k = 1; k <= SCRIPT; k++)
		rig_record_fini(&run->records[k]);
}

static void
left_check(struct run *run, struct rig *left, const char *what, size_t nth)
{
	struct buffer report;
	int r;

	r = rig_open(left, NULL, NULL);
	if (r)
		fail_msg("%s at call %zu: open gives %d", what, nth, r);
	for (size_t n = 1; n <= SCRIPT; n++) {
		if (!run->told_then[n] || (run->retain && n % 2))
			continue;
		r = rig_check(left, run->seqs[n], n, script_size(n));
		if (r)
			fail_msg("%s at call %zu: record %llu gives %d", what, nth,
			    (unsigned long long)run->seqs[n], r);
	}
	assert_int_equal(rig_put(left, 500, 100, RECORD_ACCEPTED, false, NULL), 0);
	buffer_init(&report, 1 << 16);
	r = journal_verify(left->journal, &report);
	/* a torn group may leave holes before records that did arrive: told as damage, and nothing told done is in them */
	if (r && r != JOURNAL_DAMAGED)
		fail_msg("%s at call %zu: verify gives %d", what, nth, r);
	if (r && rig_quarantined(left) == 0 && !strstr((char *)report.data, "no record"))
		fail_msg("%s at call %zu: %.*s", what, nth, (int)report.len, (char *)report.data);
	buffer_fini(&report);
	rig_close(left);
}

static int
judge_even(void *arg, const struct record_head *heads, size_t count, enum journal_fate *fates)
{
	(void)arg;
	for (size_t i = 0; i < count; i++) /* content n has ref n + 1 */
		fates[i] = heads[i].ref % 2 ? FATE_CARRY : FATE_DROP;
	return 0;
}

/* Let retention remove something. */
static void
retention_wait(struct rig *rig)
{
	for (unsigned ms = 0; ms < 3000 && access(rig_segment(rig, 2), F_OK) == 0; ms += 10)
		usleep(10000);
	assert_int_equal(access(rig_segment(rig, 2), F_OK), -1);
}

/* One run with the power going at call ${nth}; 0: never. The number of calls there were. */
static size_t
run_once(size_t nth, uint64_t seed, bool retain)
{
	struct run *run = calloc(1, sizeof *run);
	size_t calls;

	assert_non_null(run);
	power_install(seed * 1000 + nth);
	power_rig(&run->rig);
	power_rig(&run->left);
	power_world(run->rig.directory);
	power_at(nth, moment, run);
	run->retain = retain;
	run->rig.options.retention_us = retain ? 40000 : 0;
	assert_int_equal(rig_open(&run->rig, NULL, NULL), 0);
	assert_int_equal(journal_start_retention(run->rig.journal, judge_even, NULL), 0);
	script_run(run);
	if (retain)
		retention_wait(&run->rig);
	rig_close(&run->rig);
	calls = power_count();
	power_at(0, NULL, NULL);
	if (run->happened)
		left_check(run, &run->left, "power lost", nth);
	rig_fini(&run->rig);
	rig_fini(&run->left);
	power_remove();
	free(run);
	return calls;
}

static void
test_power_lost_at_every_call(void **state)
{
	size_t calls = run_once(0, 1, false);
	const size_t step = getenv("LIAISON_SLOW") ? 11 : 1; /* under valgrind a share */

	(void)state;
	assert_true(calls > 50);
	for (uint64_t seed = 1; seed <= SEEDS; seed++)
		for (size_t nth = 1; nth <= calls; nth += step)
			(void)run_once(nth, seed, false);
}

/* The same while old segments are removed: what is live in them stays. */
static void
test_power_lost_during_retention(void **state)
{
	size_t calls = run_once(0, 1, true);
	const size_t step = getenv("LIAISON_SLOW") ? 11 : 1; /* under valgrind a share */

	(void)state;
	for (size_t nth = 60; nth <= calls; nth += 2 * step)
		(void)run_once(nth, 7, true);
}

static int
note_replayed(void *arg, const struct record *record)
{
	bool *seen = arg;

	if (record->head.seq <= SCRIPT * 2)
		seen[record->head.seq] = true;
	return 0;
}

/*
 * A sync fails and the disk never gets those pages; the process is killed at some call after; the next start reads the page cache.
 * What that start counted must be on disk when it has opened: then the power goes.
 */
static void
forget_once(size_t sync, size_t nth)
{
	struct run *run = calloc(1, sizeof *run);
	bool seen[SCRIPT * 2 + 1] = { false }, still[SCRIPT * 2 + 1] = { false };
	struct rig *after = calloc(1, sizeof *after);

	assert_true(run && after);
	power_install(sync * 1000 + nth);
	power_rig(&run->rig);
	power_rig(&run->left);
	power_rig(after);
	power_world(run->rig.directory);
	run->kill = true;
	assert_int_equal(rig_open(&run->rig, NULL, NULL), 0);
	power_fail_sync(sync);
	power_at(nth, moment, run);
	script_run(run);
	rig_close(&run->rig);
	power_at(0, NULL, NULL);
	power_fail_sync(0);
	if (run->happened) {
		assert_int_equal(rig_open(&run->left, note_replayed, seen), 0);
		power_lost(run->left.directory, after->directory);
		rig_close(&run->left);
		assert_int_equal(rig_open(after, note_replayed, still), 0);
		for (size_t seq = 1; seq <= SCRIPT * 2; seq++)
			if (seen[seq] && !still[seq])
				fail_msg("sync %zu, call %zu: record %zu was read back and is gone", sync,
				    nth, seq);
		for (size_t n = 1; n <= SCRIPT; n++)
			if (run->told_then[n])
				assert_int_equal(rig_check(after, run->seqs[n], n, script_size(n)), 0);
		rig_close(after);
	}
	rig_fini(&run->rig);
	rig_fini(&run->left);
	rig_fini(after);
	power_remove();
	free(after);
	free(run);
}

static void
test_forgotten_sync_then_kill_then_power(void **state)
{
	(void)state;
	for (size_t sync = 1; sync <= 9; sync += 2)
		for (size_t nth = 2; nth <= 26; nth += 2)
			forget_once(sync, nth);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_power_lost_at_every_call),
		cmocka_unit_test(test_power_lost_during_retention),
		cmocka_unit_test(test_forgotten_sync_then_kill_then_power),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
