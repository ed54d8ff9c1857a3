/* SPDX-License-Identifier: Apache-2.0 */
/* Journal time never runs backwards and follows a stepped wall at a bounded pace only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "broker/base/clock.h"

#define SECOND ((uint64_t)1000000)
#define DAY    (24 * 3600 * SECOND)
#define NOW    ((uint64_t)1790000000 * SECOND)

static void
test_start(void **state)
{
	struct journal_clock c;

	(void)state;
	journal_clock_start(&c, 0, NOW, 5);
	assert_int_equal(c.last_us, NOW);
	journal_clock_start(&c, NOW + DAY, NOW, 5); /* the wall lags: go on from the record */
	assert_int_equal(c.last_us, NOW + DAY);
	journal_clock_start(&c, NOW - DAY, NOW, 5);
	assert_int_equal(c.last_us, NOW);
	journal_clock_start(&c, NOW - 400 * DAY, NOW, 5); /* a wrong year expires nothing at once */
	assert_int_equal(c.last_us, NOW - 400 * DAY + CLOCK_START_STEP_US);
	journal_clock_start(&c, NOW - CLOCK_START_STEP_US, NOW, 5);
	assert_int_equal(c.last_us, NOW);
}

static void
test_follows(void **state)
{
	struct journal_clock c;
	int64_t stepped;

	(void)state;
	journal_clock_start(&c, 0, NOW, 0);
	for (uint64_t t = 0; t < 3600; t++) {
		assert_int_equal(
		    journal_clock_at(&c, NOW + t * SECOND, t * SECOND, &stepped), NOW + t * SECOND);
		assert_int_equal(stepped, 0);
	}
	/* a time service that steers by 500 parts in a million over an idle night is no step */
	assert_true(journal_clock_at(&c, NOW + DAY + 43 * SECOND, DAY, &stepped) >= NOW + DAY);
	assert_int_equal(stepped, 0);
}

/* A wall that jumps: told once, followed slowly, and back again. */
static void
test_steps(void **state)
{
	const int64_t jumps[] = { 3600 * (int64_t)SECOND, -3600 * (int64_t)SECOND, 365 * (int64_t)DAY,
		-365 * (int64_t)DAY, 1500000, -1500000 };

	(void)state;
	for (size_t i = 0; i < sizeof(jumps) / sizeof(*jumps); i++) {
		struct journal_clock c;
		uint64_t wall = NOW + (uint64_t)jumps[i], last = NOW, told = 0;
		int64_t stepped;

		journal_clock_start(&c, 0, NOW, 0);
		for (uint64_t t = 1; t <= 1000; t++) {
			uint64_t now = journal_clock_at(&c, wall + t * SECOND, t * SECOND, &stepped);

			assert_true(now - last >= SECOND - SECOND / CLOCK_SLEW);
			assert_true(now - last <= SECOND + SECOND / CLOCK_SLEW);
			last = now;
			if (stepped) {
				assert_int_equal(stepped, jumps[i]);
				told++;
			}
		}
		assert_int_equal(told, 1);
		if (jumps[i] == 1500000 || jumps[i] == -1500000)
			assert_int_equal(last, wall + 1000 * SECOND); /* made up */
	}
}

static void
test_never_backwards(void **state)
{
	struct journal_clock c;
	uint64_t last = 0, mono = 0;

	(void)state;
	srandom(1);
	journal_clock_start(&c, 0, NOW, 0);
	for (int i = 0; i < 200000; i++) {
		uint64_t now;

		mono += (uint64_t)random() % 100;
		now = journal_clock_at(&c, NOW + (uint64_t)random() % (2 * DAY), mono, NULL);
		assert_true(now >= last);
		last = now;
	}
	assert_true(last <= NOW + mono + mono / CLOCK_SLEW);
	/* a monotonic clock that does not move gives no smaller time */
	assert_int_equal(journal_clock_at(&c, 1, mono, NULL), last);
}

static void
test_real(void **state)
{
	struct journal_clock c;
	uint64_t first, second;

	(void)state;
	journal_clock_init(&c, 0);
	first = journal_clock_now(&c);
	(void)usleep(20000);
	second = journal_clock_now(&c);
	assert_true(second >= first + 15000);
	assert_true(second < first + 30 * SECOND);
	assert_true(clock_mono_us() > 0);
}

static void
test_rate(void **state)
{
	(void)state;
#ifdef LIAISON_SEAMS
	struct journal_clock c;
	uint64_t first, passed;

	assert_int_equal(setenv("LIAISON_CLOCK_RATE", "3600", 1), 0);
	journal_clock_init(&c, 0);
	assert_int_equal(unsetenv("LIAISON_CLOCK_RATE"), 0);
	first = journal_clock_now(&c);
	(void)usleep(50000);
	passed = journal_clock_now(&c) - first;
	assert_true(passed >= 3600 * (uint64_t)45000);
	assert_true(clock_wall_us() < first + DAY);
#else
	/* without the option nothing in the environment moves the clock */
	struct journal_clock c;
	uint64_t first;

	assert_int_equal(setenv("LIAISON_CLOCK_RATE", "3600", 1), 0);
	journal_clock_init(&c, 0);
	first = journal_clock_now(&c);
	(void)usleep(50000);
	assert_true(journal_clock_now(&c) - first < 50 * SECOND);
#endif
}

static void
test_format(void **state)
{
	char text[32];

	(void)state;
	assert_int_equal(setenv("TZ", "Europe/Paris", 1), 0);
	tzset();
	clock_format(1795283831084999, text);
	assert_string_equal(text, "2026-11-21T18:57:11.084+01:00");
	assert_int_equal(setenv("TZ", "XXX3:30", 1), 0);
	tzset();
	clock_format(0, text);
	assert_string_equal(text, "1969-12-31T20:30:00.000-03:30");
	clock_format(UINT64_MAX, text); /* nonsense stays inside its 32 bytes */
	assert_true(strlen(text) < 32);
}

static uint64_t
us_of(struct timespec time)
{
	assert_in_range(time.tv_nsec, 0, 999999999);
	return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_nsec / 1000;
}

static void
test_after_ms(void **state)
{
	(void)state;
	for (uint64_t ms = 0; ms < 3000; ms += 7) {
		uint64_t before = clock_mono_us(), until = us_of(clock_after_ms(ms)), after = clock_mono_us();

		assert_in_range(until, before + ms * 1000, after + ms * 1000);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_start),
		cmocka_unit_test(test_follows),
		cmocka_unit_test(test_steps),
		cmocka_unit_test(test_never_backwards),
		cmocka_unit_test(test_real),
		cmocka_unit_test(test_rate),
		cmocka_unit_test(test_format),
		cmocka_unit_test(test_after_ms),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
