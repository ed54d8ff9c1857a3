/* SPDX-License-Identifier: Apache-2.0 */
/* Hysteresis: what is told of one that goes down and comes up, at every pace. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "broker/net/changes.h"

#define SECOND UINT64_C(1000000)
#define HOUR   (3600 * SECOND)

static void
test_each_change_once(void **state)
{
	struct changes changes = { 0 };

	(void)state;
	assert_int_equal(changes_take(&changes, false, 1 * SECOND), CHANGES_SAME);
	assert_int_equal(changes_take(&changes, true, 2 * SECOND), CHANGES_TELL);
	for (uint64_t t = 3; t < 7200; t++)
		assert_int_equal(changes_take(&changes, true, t * SECOND), CHANGES_SAME);
	assert_true(changes.since_us == 2 * SECOND);
	assert_int_equal(changes_take(&changes, false, 7200 * SECOND), CHANGES_TELL);
	assert_false(changes_calm(&changes, 100 * HOUR));
}

static void
test_the_third_in_a_minute_is_flapping(void **state)
{
	struct changes changes = { 0 };
	uint64_t t = 100 * SECOND;

	(void)state;
	assert_int_equal(changes_take(&changes, true, t), CHANGES_TELL);
	assert_int_equal(changes_take(&changes, false, t + SECOND), CHANGES_TELL);
	assert_int_equal(changes_take(&changes, true, t + CHANGES_FAST_US), CHANGES_FLAPPING);
	assert_int_equal(changes.count, 3);
	assert_true(changes.flapping_us == t);
	t += CHANGES_FAST_US;
	for (unsigned i = 0; i < 1000; i++) {
		t += CHANGES_FAST_STILL_US - 1;
		assert_false(changes_calm(&changes, t));
		assert_int_equal(changes_take(&changes, i % 2, t), CHANGES_DAMPED);
	}
	assert_int_equal(changes.count, 1003);
	assert_false(changes_calm(&changes, t + CHANGES_FAST_STILL_US - 1));
	assert_true(changes_calm(&changes, t + CHANGES_FAST_STILL_US));
	assert_false(changes_calm(&changes, t + 2 * CHANGES_FAST_STILL_US));
	assert_true(changes.down);
	assert_int_equal(changes.count, 1003);
	assert_int_equal(changes_take(&changes, false, t + HOUR), CHANGES_TELL);
	assert_int_equal(changes.count, 0);
}

static void
test_two_minutes_apart_is_not_fast(void **state)
{
	struct changes changes = { 0 };
	uint64_t t = HOUR;

	(void)state;
	assert_int_equal(changes_take(&changes, true, t), CHANGES_TELL);
	assert_int_equal(changes_take(&changes, false, t + SECOND), CHANGES_TELL);
	assert_int_equal(changes_take(&changes, true, t + CHANGES_FAST_US + 1), CHANGES_TELL);
	assert_false(changes.flapping);
}

/* However it bounces, an hour has no more lines than a screen. */
static void
test_no_pace_floods(void **state)
{
	(void)state;
	for (uint64_t period = SECOND / 1000; period < 3 * HOUR; period = period * 5 / 4 + 1) {
		struct changes changes = { 0 };
		uint64_t told = 0, since = HOUR, bounces = 0;

		for (uint64_t t = HOUR; t < 25 * HOUR && bounces < 100000; t += period, bounces++) {
			enum changes_tell tell;

			told += changes_calm(&changes, t);
			tell = changes_take(&changes, !changes.down, t);
			told += tell == CHANGES_TELL || tell == CHANGES_FLAPPING;
			if (t - since < HOUR)
				continue;
			assert_true(told <= 12);
			told = 0;
			since = t;
		}
		assert_true(told <= 12);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_change_once),
		cmocka_unit_test(test_the_third_in_a_minute_is_flapping),
		cmocka_unit_test(test_two_minutes_apart_is_not_fast),
		cmocka_unit_test(test_no_pace_floods),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
