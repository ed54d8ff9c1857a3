/* SPDX-License-Identifier: Apache-2.0 */
/* The queue against a plain model: order, states, replay out of order, and what is remembered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

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

/*
 * Random operations, against an array that says for each sequence what it should be. Enough of them to pack and free many blocks.
 */
enum { MODEL_SEQS = 200000, MODEL_PAGE = 300 };

struct model {
	enum queue_state state;
	enum outcome outcome;
	uint64_t time_s, size;
};

static struct model model[MODEL_SEQS];
static uint64_t seed = 88172645463325252u;

static uint64_t
random_below(uint64_t bound)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % bound;
}

static void
model_push(struct queue *q, uint64_t seq, uint64_t time_s)
{
	static const uint64_t sizes[] = { 1, 1024, 70000, 40000000 };
	uint64_t size = sizes[random_below(1000) < 990 ? random_below(2) : random_below(4)];

	assert_int_equal(queue_push(q, seq, time_s * 1000000, size), 0);
	model[seq] = (struct model){ QUEUE_WAITING, 0, time_s, (size + 1023) / 1024 * 1024 };
}

static void
model_change(struct queue *q, uint64_t seq)
{
	struct model *m = &model[seq];
	enum outcome outcome = 1 + (enum outcome)random_below(OUTCOME_DROPPED);

	switch (random_below(3)) {
	case 0:
		assert_int_equal(queue_settling(q, seq, outcome), m->state == QUEUE_WAITING);
		if (m->state == QUEUE_WAITING) {
			m->state = QUEUE_SETTLING;
			m->outcome = outcome;
		}
		break;
	case 1:
		assert_int_equal(queue_settled(q, seq), m->state == QUEUE_SETTLING);
		if (m->state == QUEUE_SETTLING)
			m->state = QUEUE_SETTLED;
		break;
	default:
		if (random_below(8))
			break;
		assert_int_equal(queue_unsettle(q, seq), m->state == QUEUE_SETTLING);
		if (m->state == QUEUE_SETTLING)
			m->state = QUEUE_WAITING;
	}
}

static void
model_check_one(struct queue *q, uint64_t seq)
{
	enum outcome outcome = 0;
	enum queue_state found = queue_state(q, seq, &outcome);

	/* What is settled may have been forgotten, nothing else. */
	if (model[seq].state == QUEUE_SETTLED && found == QUEUE_ABSENT)
		return;
	assert_int_equal(found, model[seq].state);
	if (found == QUEUE_SETTLING || found == QUEUE_SETTLED)
		assert_int_equal(outcome, model[seq].outcome);
}

static void
model_check_page(struct queue *q, uint64_t after)
{
	struct queue_entry entries[MODEL_PAGE];
	size_t max = 1 + random_below(MODEL_PAGE), count = queue_list(q, after, entries, max), n = 0;

	for (uint64_t seq = after + 1; seq < MODEL_SEQS && n < max; seq++)
		if (model[seq].state == QUEUE_WAITING || model[seq].state == QUEUE_SETTLING) {
			assert_true(n < count);
			assert_int_equal(entries[n].seq, seq);
			assert_int_equal(entries[n].time_s, model[seq].time_s);
			assert_int_equal(entries[n++].size, model[seq].size);
		}
	assert_int_equal(n, count);
}

static void
model_check_all(struct queue *q)
{
	uint64_t bytes = 0, first = 0;
	struct queue_entry entry;
	size_t open = 0;

	for (uint64_t seq = 1; seq < MODEL_SEQS; seq++) {
		model_check_one(q, seq);
		if (model[seq].state == QUEUE_WAITING && first == 0)
			first = seq;
		if (model[seq].state == QUEUE_WAITING || model[seq].state == QUEUE_SETTLING) {
			open++;
			bytes += model[seq].state == QUEUE_WAITING ? model[seq].size : 0;
		}
	}
	assert_int_equal(queue_count(q), open);
	assert_int_equal(queue_bytes(q), bytes);
	assert_int_equal(queue_first(q, &entry), first != 0);
	if (first)
		assert_int_equal(entry.seq, first);
}

/* In order but for what is carried forward, each perhaps again, with outcomes in between. */
static uint64_t
model_replay(struct queue *q)
{
	uint64_t seq = 1, time_s = 1000;

	for (; seq < MODEL_SEQS / 2; seq += 1 + random_below(3)) {
		time_s += random_below(100) ? random_below(2) : random_below(100000);
		if (random_below(10))
			model_push(q, seq, time_s);
		if (random_below(20) == 0) {
			uint64_t carried = 1 + random_below(seq);

			if (model[carried].state == QUEUE_ABSENT)
				model_push(q, carried, random_below(time_s));
			else
				assert_int_equal(queue_push(q, carried, 1, 1), 0); /* the first one stays */
		}
	}
	return time_s;
}

static void
test_model(void **state)
{
	uint64_t time_s, last = MODEL_SEQS / 2, low;
	struct queue *q;

	(void)state;
	for (unsigned round = 0; round < 3; round++) {
		memset(model, 0, sizeof(model));
		assert_int_equal(queue_new(&q), 0);
		time_s = model_replay(q);
		assert_int_equal(queue_order(q), 0);
		model_check_all(q);
		low = 1;
		for (last = MODEL_SEQS / 2; last < MODEL_SEQS; last += 1 + random_below(4)) {
			time_s += random_below(3);
			model_push(q, last, time_s);
			for (unsigned i = 0; i < 8; i++)
				model_change(q, low + random_below(last - low + 1));
			if (random_below(500) == 0)
				model_check_page(q, random_below(last + 10));
			/* From time to time the reader catches up, so that blocks at the front are forgotten. */
			if (random_below(20000) == 0)
				for (; low < last; low++) {
					(void)queue_settling(q, low, OUTCOME_ACCEPTED);
					if (model[low].state == QUEUE_WAITING) {
						model[low].state = QUEUE_SETTLING;
						model[low].outcome = OUTCOME_ACCEPTED;
					}
					(void)queue_settled(q, low);
					if (model[low].state == QUEUE_SETTLING)
						model[low].state = QUEUE_SETTLED;
				}
		}
		model_check_all(q);
		assert_int_equal(queue_state(q, 1, NULL), QUEUE_ABSENT); /* forgotten */
		queue_free(q);
	}
}

/* The widths at their edges: differences of 255, 256, 65,535 ... in sequence, time and size, within one block. */
static void
test_widths(void **state)
{
	static const uint64_t steps[] = { 255, 256, 65535, 65536, UINT32_MAX, (uint64_t)UINT32_MAX + 1 };
	enum { COUNT = 10000 };
	struct queue_entry entries[8];

	(void)state;
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		uint64_t step = steps[i], narrow = step > UINT32_MAX ? UINT32_MAX : step;
		uint64_t far = step < 4096 ? 4096 : step + 1, last = 0;
		struct queue *q;

		assert_int_equal(queue_new(&q), 0);
		assert_int_equal(queue_order(q), 0);
		for (uint64_t n = 0; n < COUNT; n++) {
			/* the last of the first block stands far from the others */
			last = n < 4095 ? n + 1 : n - 4095 + far;
			assert_int_equal(queue_push(q, last, (n == 4095 ? narrow : 0) * 1000000,
					     n == 4095 ? narrow * 1024 : 1),
			    0);
		}
		assert_int_equal(queue_list(q, 4094, entries, 3), 3);
		assert_int_equal(entries[0].seq, 4095);
		assert_int_equal(entries[0].time_s, 0);
		assert_int_equal(entries[0].size, 1024);
		assert_int_equal(entries[1].seq, far);
		assert_int_equal(entries[1].time_s, narrow);
		assert_int_equal(entries[1].size, narrow * 1024);
		assert_int_equal(entries[2].seq, far + 1);
		assert_true(queue_settling(q, far, OUTCOME_EXPIRED));
		assert_int_equal(queue_state(q, 4095, NULL), QUEUE_WAITING);
		assert_int_equal(queue_state(q, far, NULL), QUEUE_SETTLING);
		assert_int_equal(queue_state(q, last, NULL), QUEUE_WAITING);
		assert_int_equal(queue_count(q), COUNT);
		queue_free(q);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_states),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_replay_order),
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_widths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
