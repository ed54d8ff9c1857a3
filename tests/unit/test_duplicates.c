/* SPDX-License-Identifier: Apache-2.0 */
/* The duplicate window finds what it was given, forgets what has left, and survives growth. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "broker/core/duplicates.h"

#define MANY 200000u

/* A spread-out key of ${n}, as the keyed hash would give. */
static const uint8_t *
key_of(uint64_t n, uint8_t key[16])
{
	uint64_t a = n * 0x9e3779b97f4a7c15u, b = (n + 1) * 0xc2b2ae3d27d4eb4fu;

	memcpy(key, &a, 8);
	memcpy(key + 8, &b, 8);
	return key;
}

static void
test_put_get(void **state)
{
	struct duplicates *d;
	uint8_t key[16];

	(void)state;
	assert_int_equal(duplicates_new(&d), 0);
	assert_int_equal(duplicates_get(d, key_of(1, key)), 0);
	for (uint64_t n = 1; n <= MANY; n++)
		assert_int_equal(duplicates_put(d, key_of(n, key), n), 0);
	assert_int_equal(duplicates_count(d), MANY);
	for (uint64_t n = 1; n <= MANY; n++)
		assert_int_equal(duplicates_get(d, key_of(n, key)), n);
	assert_int_equal(duplicates_get(d, key_of(MANY + 1, key)), 0);

	duplicates_drop(d, key_of(7, key), 8); /* another message's */
	assert_int_equal(duplicates_get(d, key_of(7, key)), 7);
	duplicates_drop(d, key_of(7, key), 7);
	assert_int_equal(duplicates_get(d, key_of(7, key)), 0);
	assert_int_equal(duplicates_put(d, key_of(7, key), MANY + 7), 0);
	assert_int_equal(duplicates_get(d, key_of(7, key)), MANY + 7);
	duplicates_free(d);
}

static void
test_window(void **state)
{
	struct duplicates *d;
	uint8_t key[16];

	(void)state;
	assert_int_equal(duplicates_new(&d), 0);
	for (uint64_t n = 1; n <= MANY; n++) {
		assert_int_equal(duplicates_put(d, key_of(n, key), n), 0);
		if (n > 1000)
			duplicates_forget(d, n - 1000);
	}
	for (uint64_t n = 1; n <= MANY; n++)
		assert_int_equal(duplicates_get(d, key_of(n, key)), n > MANY - 1000 ? n : 0);
	/* Memory follows the window, not history: rebuilt tables hold what is left. */
	assert_true(duplicates_count(d) < 40000);
	assert_int_equal(duplicates_put(d, key_of(5, key), 5), 0); /* carried forward, but too old */
	assert_int_equal(duplicates_get(d, key_of(5, key)), 0);
	duplicates_free(d);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_put_get),
		cmocka_unit_test(test_window),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
