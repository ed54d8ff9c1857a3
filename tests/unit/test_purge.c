/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purging: whatever call of the disk is the last, and whatever power leaves of the writes, the record is afterwards the original or purged, the journal
 * verifies, and nothing else has changed.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "codecs/arena.h"
#include "codecs/buffer.h"
#include "tests/unit/journal_rig.h"
#include "tests/unit/power_loss.h"

#define RECORDS 5
#define PURGED	3
#define SIZE	9000
#define POINTS	64

static void
stars(uint8_t *facts, size_t len)
{
	memset(facts, '*', len);
}

/* What the disk may hold after power went at some point of a purge. */
struct images {
	struct rig *rig;
	struct power_state *states[POINTS];
	size_t count;
};

static void
take_image(void *arg)
{
	struct images *images = arg;

	if (images->count < POINTS)
		images->states[images->count++] = power_snapshot(images->rig->directory);
}

/* 0: the original; 1: purged. Anything else fails. */
static int
record_state(struct rig *rig)
{
	struct record record;
	struct arena arena;
	int purged;

	arena_init(&arena, 1 << 20);
	assert_int_equal(journal_read(rig->journal, PURGED, true, &arena, &record), 0);
	purged = (record.head.flags & RECORD_PURGED) != 0;
	assert_int_equal(record.body.len, SIZE);
	if (purged)
		for (size_t i = 0; i < record.body.len; i++)
			assert_int_equal(record.body.ptr[i], 0);
	else
		assert_true(rig_matches(&record, PURGED, SIZE, true));
	arena_fini(&arena);
	return purged;
}

static void
verified(struct rig *rig)
{
	struct buffer report;

	buffer_init(&report, 1 << 16);
	if (journal_verify(rig->journal, &report) != 0)
		fail_msg("%.*s", (int)report.len, (const char *)report.data);
	buffer_fini(&report);
	for (uint64_t seq = 1; seq <= RECORDS; seq++)
		if (seq != PURGED)
			assert_int_equal(rig_check(rig, seq, seq, SIZE), 0);
	assert_int_equal(rig_quarantined(rig), 0);
}

static void
begin(struct rig *rig)
{
	assert_int_equal(rig_open(rig, NULL, NULL), 0);
	for (uint64_t n = 1; n <= RECORDS; n++)
		assert_int_equal(rig_put(rig, n, SIZE, RECORD_ACCEPTED, true, NULL), 0);
}

static void
test_purge(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig);
	begin(&rig);
	assert_int_equal(record_state(&rig), 0);
	assert_int_equal(journal_purge(rig.journal, 1000, stars), JOURNAL_ABSENT);
	assert_int_equal(journal_purge(rig.journal, PURGED, stars), 0);
	assert_int_equal(record_state(&rig), 1);
	assert_int_equal(journal_purge(rig.journal, PURGED, stars), 0); /* once more: nothing happens */
	verified(&rig);
	rig_close(&rig);
	assert_int_equal(rig_open(&rig, NULL, NULL), 0);
	assert_int_equal(record_state(&rig), 1);
	verified(&rig);
	rig_close(&rig);
	rig_fini(&rig);
}

/* Every call of a purge, every variant of what power leaves, some seeds: reopened by the code that ships. */
static void
test_power_lost(void **state)
{
	size_t originals = 0, purged = 0;
	struct images images = { 0 };
	struct rig rig;

	(void)state;
	rig_init(&rig);
	power_install(7);
	power_world(rig.directory);
	begin(&rig);
	images.rig = &rig;
	power_every(take_image, &images);
	assert_int_equal(journal_purge(rig.journal, PURGED, stars), 0);
	take_image(&images);
	power_every(NULL, NULL);
	rig_close(&rig);
	power_remove();
	assert_true(images.count >= 8 && images.count < POINTS);
	for (size_t i = 0; i < images.count; i++) {
		for (unsigned variant = 0; variant < POWER_VARIANTS; variant++)
			for (uint64_t seed = 1; seed <= 4; seed++) {
				struct rig after;
				int was;

				rig_init(&after);
				power_lost_of(
				    images.states[i], (enum power_variant)variant, seed, after.directory);
				assert_int_equal(rig_open(&after, NULL, NULL), 0);
				was = record_state(&after);
				purged += was != 0;
				originals += was == 0;
				verified(&after);
				/* the next start does what an act on disk asks for */
				assert_int_equal(journal_purge(after.journal, PURGED, stars), 0);
				assert_int_equal(record_state(&after), 1);
				verified(&after);
				rig_close(&after);
				rig_fini(&after);
			}
		power_state_free(images.states[i]);
	}
	printf("%zu images: %zu with the original, %zu purged\n", originals + purged, originals, purged);
	assert_true(originals > 0 && purged > 0);
	rig_fini(&rig);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_purge),
		cmocka_unit_test(test_power_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
