/* SPDX-License-Identifier: Apache-2.0 */
/* Which replays need whose bytes: against a plain table, over growth, freed places and memory that fails. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/core/originals.h"
#include "tests/unit/failmalloc.h"

#define REPLAYS	  3000u
#define ORIGINALS 40u

static uint64_t seed = 88172645463325252u;

static uint64_t
random_below(uint64_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % n;
}

/* All replays of ${original} are walked through, each once, and no others. */
static void
check_original(const struct originals *originals, const uint64_t model[static REPLAYS], uint64_t original)
{
	size_t want = 0, got = 0;

	for (size_t i = 0; i < REPLAYS; i++)
		want += model[i] == original;
	for (uint64_t replay = originals_next(originals, original, 0); replay;
	     replay = originals_next(originals, original, replay)) {
		assert_true(replay < REPLAYS);
		assert_int_equal(model[replay], original);
		got++;
		assert_true(got <= want);
	}
	assert_int_equal(got, want);
}

static void
test_against_a_table(void **state)
{
	static uint64_t model[REPLAYS]; /* 0: not there */
	struct originals *originals;
	size_t count = 0;

	(void)state;
	assert_int_equal(originals_new(&originals), 0);
	assert_int_equal(originals_of(originals, 7), 0);
	assert_int_equal(originals_next(originals, 7, 0), 0);
	originals_drop(originals, 7);
	for (unsigned step = 0; step < 60000; step++) {
		uint64_t replay = 1 + random_below(REPLAYS - 1);

		/* Waves: it fills, and then empties again. */
		if (model[replay] == 0 && random_below(3) < (step / 10000 % 2 ? 1 : 2)) {
			model[replay] = 100000 + random_below(ORIGINALS);
			assert_int_equal(originals_reserve(originals), 0);
			originals_put(originals, replay, model[replay]);
			count++;
		} else if (random_below(2)) {
			count -= model[replay] != 0;
			model[replay] = 0;
			originals_drop(originals, replay);
		}
		assert_int_equal(originals_of(originals, replay), model[replay]);
		assert_int_equal(originals_count(originals), count);
		if (step % 500 == 0)
			check_original(originals, model, 100000 + random_below(ORIGINALS));
	}
	originals_free(originals);
}

static void
test_memory_fails(void **state)
{
	struct originals *originals;

	(void)state;
	failmalloc_at(1);
	assert_int_equal(originals_new(&originals), -ENOMEM);
	(void)failmalloc_off();
	originals_free(NULL);
	assert_int_equal(originals_new(&originals), 0);
	for (uint64_t replay = 1; replay < 200; replay++) {
		for (size_t n = 1;; n++) {
			int r;

			failmalloc_at(n);
			r = originals_reserve(originals);
			if (failmalloc_off()) {
				assert_int_equal(r, 0);
				break;
			}
			assert_int_equal(r, -ENOMEM);
			for (uint64_t before = 1; before < replay; before++)
				assert_int_equal(originals_of(originals, before), before + 1000);
		}
		originals_put(originals, replay, replay + 1000);
	}
	originals_free(originals);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_against_a_table),
		cmocka_unit_test(test_memory_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
