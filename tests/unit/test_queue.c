/* SPDX-License-Identifier: Apache-2.0 */
/* The queue against a plain model: order, states, replay out of order, and what is remembered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "broker/core/queue.h"

#define MANY 300000u

static void
test_states(void **state)
{
	struct queue_entry entries[8];
	enum outcome outcome = 0;
	struct queue *q;

	(void)state;
	assert_int_equal(queue_new(&q), 0);
	assert_int_equal(queue_order(q), 0);
	for (uint64_t seq = 10; seq <= 50; seq += 10)
		assert_int_equal(queue_push(q, seq, seq * 1000000, 1500), 0);
	assert_int_equal(queue_count(q), 5);
	assert_int_equal(queue_bytes(q), 5 * 2048);
	assert_int_equal(queue_list(q, 20, entries, 8), 3);
	assert_int_equal(entries[0].seq, 30);
	assert_int_equal(entries[0].time_s, 30);
	assert_int_equal(queue_list(q, 0, entries, 2), 2);
	assert_int_equal(queue_list(q, 50, entries, 8), 0);
	assert_int_equal(queue_list(q, UINT64_MAX, entries, 8), 0);

	assert_false(queue_settling(q, 11, OUTCOME_ACCEPTED));
	assert_true(queue_settling(q, 10, OUTCOME_REJECTED));
	assert_false(queue_settling(q, 10, OUTCOME_ACCEPTED)); /* the first one counts */
	assert_int_equal(queue_state(q, 10, &outcome), QUEUE_SETTLING);
	assert_int_equal(outcome, OUTCOME_REJECTED);
	assert_true(queue_first(q, &entries[0]));
	assert_int_equal(entries[0].seq, 20);
	assert_true(queue_unsettle(q, 10));
	assert_int_equal(queue_state(q, 10, NULL), QUEUE_WAITING);
	assert_true(queue_settling(q, 10, OUTCOME_ACCEPTED));
	assert_true(queue_settled(q, 10));
	assert_false(queue_settled(q, 10));
	assert_int_equal(queue_count(q), 4);
	assert_int_equal(queue_list(q, 0, entries, 8), 4);
	assert_int_equal(queue_state(q, 10, &outcome), QUEUE_SETTLED);
	assert_int_equal(outcome, OUTCOME_ACCEPTED);
	assert_int_equal(queue_state(q, 99, NULL), QUEUE_ABSENT);
	queue_free(q);
}

/* One item that is refused for ever holds back nothing, and what is settled long ago gives its memory back. */
static void
test_many(void **state)
{
	struct queue_entry entry;
	struct queue *q;

	(void)state;
	assert_int_equal(queue_new(&q), 0);
	assert_int_equal(queue_order(q), 0);
	for (uint64_t seq = 1; seq <= MANY; seq++) {
		assert_int_equal(queue_push(q, seq, 0, 1), 0);
		if (seq == 5000)
			continue;
		assert_true(queue_settling(q, seq, OUTCOME_ACCEPTED));
		assert_true(queue_settled(q, seq));
	}
	assert_int_equal(queue_count(q), 1);
	assert_true(queue_first(q, &entry));
	assert_int_equal(entry.seq, 5000);
	assert_int_equal(queue_state(q, 1, NULL), QUEUE_ABSENT); /* forgotten */
	assert_int_equal(queue_state(q, MANY, NULL), QUEUE_SETTLED);
	assert_true(queue_settling(q, 5000, OUTCOME_ACCEPTED));
	assert_true(queue_settled(q, 5000));
	assert_int_equal(queue_count(q), 0);
	assert_int_equal(queue_state(q, 6000, NULL), QUEUE_ABSENT);
	queue_free(q);
}

/* Retention carries records forward: replay meets them late and twice. */
static void
test_replay_order(void **state)
{
	enum { COUNT = 20000 };
	struct queue_entry entries[COUNT];
	static uint64_t shuffled[COUNT];
	struct queue *q;

	(void)state;
	srand(4711);
	for (size_t i = 0; i < COUNT; i++)
		shuffled[i] = i + 1;
	for (size_t i = COUNT - 1; i > 0; i--) {
		size_t j = (size_t)rand() % (i + 1);
		uint64_t swap = shuffled[i];

		shuffled[i] = shuffled[j];
		shuffled[j] = swap;
	}
	assert_int_equal(queue_new(&q), 0);
	for (size_t i = 0; i < COUNT; i++)
		assert_int_equal(queue_push(q, shuffled[i], 0, 1), 0);
	for (size_t i = 0; i < COUNT; i += 7)
		assert_int_equal(queue_push(q, shuffled[i], 0, 1), 0);
	assert_int_equal(queue_order(q), 0);
	assert_int_equal(queue_count(q), COUNT);
	assert_int_equal(queue_list(q, 0, entries, COUNT), COUNT);
	for (size_t i = 0; i < COUNT; i++)
		assert_int_equal(entries[i].seq, i + 1);
	queue_free(q);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_states),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_replay_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
