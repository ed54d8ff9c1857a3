/* SPDX-License-Identifier: Apache-2.0 */
/* The memory of refusals: what is told at once, what is spared, what is owed afterwards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "broker/net/refusals.h"

#define SECOND UINT64_C(1000000)

static void
test_some_a_minute(void **state)
{
	struct refusals memory = { 0 };
	uint64_t key = refusals_key("192.0.2.1:1025", "expired", "AB"), again, told = 0, owed = 0;

	(void)state;
	for (uint64_t i = 0; i < 1000; i++) { /* every second, from another port each time */
		bool tell = refusals_tell(&memory, key, (5 + i) * SECOND, &again);

		assert_int_equal(tell, i % 60 < REFUSALS_TOLD);
		told += tell;
		owed += again;
	}
	assert_int_equal(told, 17 * REFUSALS_TOLD);
	assert_int_equal(owed, 16 * (60 - REFUSALS_TOLD));
}

static void
test_what_is_the_same(void **state)
{
	uint64_t key = refusals_key("192.0.2.1:1025", "expired", "AB");

	(void)state;
	assert_true(key == refusals_key("192.0.2.1:40000", "expired", "AB"));
	assert_true(key != refusals_key("192.0.2.2:1025", "expired", "AB"));
	assert_true(key != refusals_key("192.0.2.1:1025", "unknown authority", "AB"));
	assert_true(key != refusals_key("192.0.2.1:1025", "expired", "AC"));
	assert_true(refusals_key("a", "bc", "") != refusals_key("ab", "c", ""));
	assert_true(refusals_key("[2001:db8::1]:1", "x", "") == refusals_key("[2001:db8::1]:2", "x", ""));
}

/* More partners than places: each first one is still told. */
static void
test_the_first_is_always_told(void **state)
{
	struct refusals memory = { 0 };
	uint64_t again;

	(void)state;
	for (char a = 'a'; a <= 'z'; a++)
		for (char b = 'a'; b <= 'z'; b++) {
			const char serial[] = { a, b, '\0' };

			assert_true(refusals_tell(
			    &memory, refusals_key("192.0.2.1:1", "expired", serial), SECOND, &again));
			assert_int_equal(again, 0);
		}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_some_a_minute),
		cmocka_unit_test(test_what_is_the_same),
		cmocka_unit_test(test_the_first_is_always_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
