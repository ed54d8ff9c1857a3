/* SPDX-License-Identifier: Apache-2.0 */
/* Which connections have lines of their own, and that the others are owed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "broker/net/bounces.h"

#define SECOND UINT64_C(1000000)

static void
test_some_at_once(void **state)
{
	struct bounces bounces = { 0 };
	uint64_t told = 0;

	(void)state;
	for (unsigned i = 0; i < 1000; i++)
		told += bounces_tell(&bounces, SECOND + i); /* a machine that was just started */
	assert_int_equal(told, BOUNCES_AT_ONCE);
	assert_int_equal(bounces_owed(&bounces, BOUNCES_OWED_US), 0);
	assert_int_equal(bounces_owed(&bounces, SECOND + BOUNCES_AT_ONCE + BOUNCES_OWED_US), 1000 - told);
	assert_int_equal(bounces_owed(&bounces, 2 * BOUNCES_OWED_US), 0);
	assert_int_equal(bounces_take(&bounces), 0);
}

/* One each ten seconds for a day: those of the beginning, then one a minute; what is told and what is owed is all. */
static void
test_one_a_minute(void **state)
{
	struct bounces bounces = { 0 };
	uint64_t told = 0, owed = 0, lines = 0;

	(void)state;
	for (uint64_t t = 0; t < 86400; t += 10) {
		uint64_t again = bounces_owed(&bounces, (1000 + t) * SECOND);

		owed += again;
		lines += again > 0;
		told += bounces_tell(&bounces, (1000 + t) * SECOND);
	}
	owed += bounces_take(&bounces);
	assert_int_equal(told + owed, 8640);
	assert_true(told <= BOUNCES_AT_ONCE + 1440);
	assert_true(told >= BOUNCES_AT_ONCE + 1439);
	assert_true(lines <= 288);
}

static void
test_rare_ones_are_all_told(void **state)
{
	struct bounces bounces = { 0 };

	(void)state;
	for (uint64_t t = 1; t < 86400; t += 61)
		assert_true(bounces_tell(&bounces, t * SECOND));
	assert_int_equal(bounces_take(&bounces), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_some_at_once),
		cmocka_unit_test(test_one_a_minute),
		cmocka_unit_test(test_rare_ones_are_all_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
