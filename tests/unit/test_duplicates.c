/* SPDX-License-Identifier: Apache-2.0 */
/* The duplicate window finds what it was given, forgets what has left, and survives growth. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "broker/core/duplicates.h"
#include "tests/unit/failmalloc.h"

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

/* As key_of, all of them in one table. */
static const uint8_t *
one_table(uint64_t n, uint8_t key[16])
{
	(void)key_of(n, key);
	key[0] = 9;
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

/* A key whose fingerprint would say "free" is found all the same; a dropped one is not dropped twice, and none is dropped by 0. */
static void
test_odd_keys(void **state)
{
	static const uint8_t zero[16];
	uint8_t same[16] = { 0 }, key[16];
	struct duplicates *d;

	(void)state;
	memset(same + 9, 0xff, 7); /* the same table and fingerprint: one key to this window */
	assert_int_equal(duplicates_new(&d), 0);
	duplicates_drop(d, zero, 1); /* from an empty table */
	assert_int_equal(duplicates_put(d, zero, 3), 0);
	assert_int_equal(duplicates_get(d, zero), 3);
	assert_int_equal(duplicates_get(d, same), 3);
	duplicates_drop(d, key_of(4, key), 0); /* no message has sequence 0 */
	assert_int_equal(duplicates_count(d), 1);
	duplicates_drop(d, zero, 3);
	duplicates_drop(d, zero, 3);
	duplicates_drop(d, zero, 0);
	assert_int_equal(duplicates_count(d), 0);
	assert_int_equal(duplicates_put(d, zero, 5), 0);
	duplicates_forget(d, 4);
	duplicates_forget(d, 2); /* the window does not go back */
	assert_int_equal(duplicates_put(d, key_of(4, key), 4), 0);
	assert_int_equal(duplicates_get(d, key), 0);
	assert_int_equal(duplicates_get(d, zero), 5);
	duplicates_free(d);
	duplicates_free(NULL);
}

/* Without memory: a table that cannot grow takes what it has places for, then says so, and keeps what it has; with memory it goes on. */
static void
test_no_memory(void **state)
{
	struct duplicates *d;
	uint8_t key[16];
	uint64_t taken = 0;

	(void)state;
	failmalloc_at(1);
	assert_int_equal(duplicates_new(&d), -ENOMEM);
	failmalloc_off();
	assert_int_equal(duplicates_new(&d), 0);
	failmalloc_at(1);
	assert_int_equal(duplicates_put(d, one_table(1, key), 1), -ENOMEM);
	failmalloc_off();
	assert_int_equal(duplicates_count(d), 0);
	assert_int_equal(duplicates_put(d, one_table(1, key), 1), 0);
	failmalloc_at(1);
	for (uint64_t n = 2; n < 1000 && duplicates_put(d, one_table(n, key), n) == 0; n++)
		taken = n;
	failmalloc_off();
	assert_int_equal(taken, 63); /* of 64 places one stays free */
	assert_int_equal(duplicates_get(d, one_table(taken + 1, key)), 0);
	for (uint64_t n = 1; n <= taken; n++)
		assert_int_equal(duplicates_get(d, one_table(n, key)), n);
	assert_int_equal(duplicates_put(d, one_table(taken + 1, key), taken + 1), 0);
	assert_int_equal(duplicates_get(d, one_table(taken + 1, key)), taken + 1);
	assert_int_equal(duplicates_count(d), taken + 1);
	duplicates_free(d);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_put_get),
		cmocka_unit_test(test_window),
		cmocka_unit_test(test_odd_keys),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
