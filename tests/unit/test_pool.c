/* SPDX-License-Identifier: Apache-2.0 */
/* Pools: blocks come back newest first, no more are kept than told, and those that nobody needs go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "broker/base/pool.h"
#include "failmalloc.h"

#define SIZE 100

static void
test_used_again(void **state)
{
	struct pool pool;
	void *a, *b;

	(void)state;
	pool_init(&pool, SIZE, 2);
	a = pool_take(&pool);
	b = pool_take(&pool);
	assert_non_null(a);
	assert_non_null(b);
	assert_ptr_not_equal(a, b);
	memset(a, 1, SIZE);
	memset(b, 2, SIZE);
	pool_give(&pool, a, true);
	pool_give(&pool, b, true);
	assert_int_equal(pool.kept, 2);
	assert_ptr_equal(pool_take(&pool), b);
	assert_ptr_equal(pool_take(&pool), a);
	memset(a, 1, SIZE);
	pool_give(&pool, a, true);
	pool_give(&pool, b, false); /* not wanted back */
	assert_int_equal(pool.kept, 1);
	pool_give(&pool, NULL, true);
	assert_int_equal(pool.kept, 1);
	pool_fini(&pool);
	assert_int_equal(pool.kept, 0);
}

static void
test_no_more_than_told(void **state)
{
	struct pool pool;
	void *blocks[5];

	(void)state;
	pool_init(&pool, 1, 3);
	for (size_t i = 0; i < 5; i++) {
		blocks[i] = pool_take(&pool);
		assert_non_null(blocks[i]);
		memset(blocks[i], 0, 1);
	}
	for (size_t i = 0; i < 5; i++)
		pool_give(&pool, blocks[i], true);
	assert_int_equal(pool.kept, 3);
	pool_fini(&pool);
	pool_give(&pool, NULL, false);
}

static void
test_idle_ones_go(void **state)
{
	struct pool pool;
	void *blocks[4];

	(void)state;
	pool_init(&pool, SIZE, 4);
	assert_false(pool_trim(&pool));
	for (size_t i = 0; i < 4; i++)
		blocks[i] = pool_take(&pool);
	for (size_t i = 0; i < 4; i++)
		pool_give(&pool, blocks[i], true);
	/* They came back since the last time: nobody could have needed them for long. */
	assert_true(pool_trim(&pool));
	assert_int_equal(pool.kept, 4);
	blocks[0] = pool_take(&pool);
	blocks[1] = pool_take(&pool);
	pool_give(&pool, blocks[1], true);
	pool_give(&pool, blocks[0], true);
	/* Two were needed, two were not. */
	assert_true(pool_trim(&pool));
	assert_int_equal(pool.kept, 2);
	assert_false(pool_trim(&pool));
	assert_int_equal(pool.kept, 0);
}

static void
test_without_memory(void **state)
{
	struct pool pool;
	void *block;

	(void)state;
	pool_init(&pool, SIZE, 1);
	failmalloc_at(1);
	block = pool_take(&pool);
	assert_false(failmalloc_off());
	assert_null(block);
	block = pool_take(&pool);
	pool_give(&pool, block, true);
	failmalloc_at(1);
	block = pool_take(&pool); /* one that is kept needs none */
	assert_true(failmalloc_off());
	assert_non_null(block);
	pool_give(&pool, block, false);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_used_again),
		cmocka_unit_test(test_no_more_than_told),
		cmocka_unit_test(test_idle_ones_go),
		cmocka_unit_test(test_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
