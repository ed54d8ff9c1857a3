/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replay: what is journalled, in which order, what is refused and why, what becomes of what was parked, and which bytes retention keeps for it.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/core_rig.h"

static void
test_replay(void **state)
{
	struct replay replay, again;
	struct record record;
	struct decision decision;
	struct core *core;
	struct arena arena;
	uint64_t seq, seqs[4];
	size_t chu;

	(void)state;
	fake_reset();
	arena_init(&arena, 1 << 20);
	core = rig_core(&rig_config);
	chu = core_number(core, "chu");
	seq = rig_send(core, "MDM");
	assert_int_equal(rig_replay(core, seq, chu).result, REPLAY_WAITING);
	rig_settle(core, chu, seq, OUTCOME_ACCEPTED);
	fake_commit(0);
	(void)rig_send(core, "MDM");
	replay = rig_replay(core, seq, chu);
	assert_int_equal(replay.result, REPLAY_DONE);
	assert_int_equal(rig_error, 0);
	assert_int_equal(core_waiting(core, chu, 0, seqs, 4), 2);
	assert_int_equal(seqs[1], replay.new_seq); /* behind what waited */
	assert_int_equal(journal_read(NULL, replay.new_seq, true, &arena, &record), 0);
	assert_int_equal(record.head.flags, RECORD_REPLAYED);
	assert_int_equal(record.head.ref, seq);
	assert_true(span_eq(record.body, buffer_span(&fake.records[seq - 1].body)));
	assert_int_equal(fake.records[replay.new_seq - 1].body.len, 0);
	assert_true(span_eq(record.facts, buffer_span(&fake.records[seq - 1].facts)));
	assert_memory_equal(record.head.sha256, fake.records[seq - 1].head.sha256, 32);
	assert_int_equal(record.head.size, fake.records[seq - 1].head.size);
	decision = rig_decision(replay.new_seq, &arena);
	assert_int_equal(decision.to_count, 1);
	assert_true(span_eq_str(decision.to[0], "chu"));
	assert_true(span_eq_str(decision.who, "uid:0(root)"));
	assert_true(span_eq_str(decision.text, "the partner lost it"));
	/* Twice is once, by either id, while it waits. */
	assert_int_equal(rig_replay(core, seq, chu).result, REPLAY_WAITING);
	assert_int_equal(rig_replay(core, replay.new_seq, chu).result, REPLAY_WAITING);
	rig_settle(core, chu, replay.new_seq, OUTCOME_REJECTED);
	fake_commit(0);
	again = rig_replay(core, replay.new_seq, chu); /* of a replay: of the first */
	assert_int_equal(again.result, REPLAY_DONE);
	assert_int_equal(fake.records[again.new_seq - 1].head.ref, seq);
	/* To where it never was; not from production into test; not what is no message. */
	assert_int_equal(rig_replay(core, seq, core_number(core, "lilas")).result, REPLAY_DONE);
	assert_int_equal(rig_replay(core, seq, core_number(core, "essai")).result, REPLAY_MODE);
	assert_int_equal(rig_replay(core, 1, chu).result, REPLAY_ABSENT);
	assert_int_equal(rig_replay(core, 9999, chu).result, REPLAY_ABSENT);
	assert_int_equal(rig_replay(core, seq, CORE_PARKED).result, REPLAY_UNROUTED);
	assert_int_equal(core_in_flight(core), 0);
	core_free(core);
	arena_fini(&arena);
	fake_reset();
}

static void
test_replay_of_what_is_parked(void **state)
{
	struct replay replay;
	struct core *core;
	struct decision decision;
	struct arena arena;
	uint64_t first, second;
	char text[48];

	(void)state;
	fake_reset();
	arena_init(&arena, 1 << 20);
	core = rig_core(&rig_config);
	first = rig_send(core, "SIU");
	second = rig_send(core, "SIU");
	assert_int_equal(rig_replay(core, first, CORE_NONE).result, REPLAY_UNROUTED);
	assert_int_equal(core_waiting_count(core, CORE_PARKED), 2);
	assert_int_equal(core_reconfigure(core, &rig_wide), 0); /* has a row for it */
	replay = rig_replay(core, first, CORE_NONE);
	assert_int_equal(replay.result, REPLAY_DONE);
	decision = rig_decision(replay.new_seq, &arena);
	assert_true(span_eq_str(decision.to[0], "lilas"));
	assert_true(span_eq_str(decision.routes, "siu"));
	assert_int_equal(core_waiting_count(core, CORE_PARKED), 1);
	decision = rig_decision(fake.count, &arena);
	assert_int_equal(decision.outcome, OUTCOME_DROPPED);
	assert_true(span_eq_str(decision.destination, "(parked)"));
	snprintf(text, sizeof(text), "replayed as %llu", (unsigned long long)replay.new_seq);
	assert_true(span_eq_str(decision.text, text));
	/* By hand to another place. */
	assert_int_equal(rig_replay(core, second, core_number(core, "chu")).result, REPLAY_DONE);
	assert_int_equal(core_waiting_count(core, CORE_PARKED), 0);
	core_free(core);
	core = rig_core(&rig_config);
	assert_int_equal(core_waiting_count(core, CORE_PARKED), 0);
	assert_int_equal(core_waiting_count(core, core_number(core, "chu")), 1);
	assert_int_equal(core_waiting_count(core, core_number(core, "lilas")), 1);
	core_free(core);
	arena_fini(&arena);
	fake_reset();
}

static void
test_replay_of_many_keeps_their_order(void **state)
{
	struct replay items[100];
	uint64_t seqs[101];
	struct core *core;
	size_t chu;

	(void)state;
	fake_reset();
	core = rig_core(&rig_config);
	chu = core_number(core, "chu");
	for (size_t i = 0; i < 100; i++) {
		uint64_t seq = rig_send(core, "ADT");

		items[99 - i] =
		    (struct replay){ .seq = seq, .number = chu }; /* any order: that of the items */
	}
	rig_calls = 0;
	core_replay_message(core, items, 100, "uid:0(root)", "all", rig_done, NULL);
	while (!rig_calls) {
		assert_int_equal(core_in_flight(core), 1);
		fake_work();
		fake_commit(0);
	}
	assert_int_equal(rig_error, 0);
	assert_int_equal(core_waiting(core, chu, 0, seqs, 101), 100);
	for (size_t i = 0; i < 100; i++) {
		assert_int_equal(items[i].result, REPLAY_DONE);
		assert_int_equal(items[i].new_seq, seqs[i]);
		assert_int_equal(fake.records[seqs[i] - 1].head.ref, items[i].seq);
	}
	core_free(core);
	fake_reset();
}

static void
test_replay_refused_by_circumstances(void **state)
{
	struct replay items[3];
	struct core *core;
	size_t chu;

	(void)state;
	fake_reset();
	core = rig_core(&rig_config);
	chu = core_number(core, "chu");
	for (size_t i = 0; i < 3; i++)
		items[i] = (struct replay){ .seq = rig_send(core, "ADT"), .number = chu };
	fake.below_floor = true;
	assert_int_equal(rig_replay(core, items[0].seq, chu).result, REPLAY_UNDONE);
	assert_int_equal(rig_error, JOURNAL_FLOOR);
	fake.below_floor = false;
	fake.workers_full = 1;
	assert_int_equal(rig_replay(core, items[0].seq, chu).result, REPLAY_UNDONE);
	assert_int_equal(rig_error, -EBUSY);
	/* The journal fails behind the append: nothing waits, nothing is kept for it, and it can be tried again. */
	core_replay_message(core, items, 3, "uid:0(root)", "x", rig_done, NULL);
	fake_work();
	fake_commit(-EIO);
	assert_int_equal(rig_error, -EIO);
	assert_int_equal(items[0].result, REPLAY_UNDONE);
	assert_int_equal(core_waiting_count(core, chu), 0);
	assert_int_equal(rig_replay(core, items[0].seq, chu).result, REPLAY_DONE);
	core_stop(core);
	assert_int_equal(rig_replay(core, items[1].seq, chu).result, REPLAY_UNDONE);
	assert_int_equal(rig_error, -ECANCELED);
	core_free(core);
	fake_reset();
}

static void
test_retention_keeps_the_bytes_of_replays(void **state)
{
	struct replay replay;
	struct record record;
	struct core *core;
	struct arena arena;
	uint64_t seq, other;
	size_t chu;

	(void)state;
	fake_reset();
	arena_init(&arena, 1 << 20);
	fake.segment = 1;
	core = rig_core(&rig_config);
	chu = core_number(core, "chu");
	seq = rig_send(core, "MDM");
	other = rig_send(core, "MDM");
	rig_settle(core, chu, seq, OUTCOME_ACCEPTED);
	rig_settle(core, chu, other, OUTCOME_ACCEPTED);
	fake_commit(0);
	replay = rig_replay(core, seq, chu);
	fake.segment = 2;
	fake_retain(core, 2);
	assert_int_equal(fake.records[seq - 1].head.flags, RECORD_CARRIED);
	assert_int_equal(
	    fake.records[other - 1].head.flags, RECORD_CARRIED | RECORD_BODILESS); /* the window */
	assert_int_equal(rig_replay(core, other, chu).result, REPLAY_BODILESS);
	assert_int_equal(journal_read(NULL, replay.new_seq, true, &arena, &record), 0);
	assert_true(record.body.len > 0);
	core_free(core);
	core = rig_core(&rig_config); /* and its outcome was kept with it: it does not wait again */
	chu = core_number(core, "chu");
	assert_int_equal(core_waiting_count(core, chu), 1);
	rig_settle(core, chu, replay.new_seq, OUTCOME_ACCEPTED);
	fake_commit(0);
	fake.now_us += (uint64_t)3600 * 1000000; /* out of the window */
	(void)rig_send(core, "ADT");
	fake.segment = 3;
	fake_retain(core, 3);
	assert_true(fake.records[seq - 1].removed);
	core_free(core);
	arena_fini(&arena);
	fake_reset();
}

/* Between judgement and removal: what was judged not to be kept is not promised to anybody. */
static void
test_replay_while_retention_is_at_it(void **state)
{
	struct replay item;
	enum journal_fate fate;
	struct core *core;
	uint64_t first, second;
	size_t chu;

	(void)state;
	fake_reset();
	fake.segment = 1;
	core = rig_core(&rig_config);
	chu = core_number(core, "chu");
	first = rig_send(core, "MDM");
	second = rig_send(core, "MDM");
	rig_settle(core, chu, first, OUTCOME_ACCEPTED);
	rig_settle(core, chu, second, OUTCOME_ACCEPTED);
	fake_commit(0);
	fake.segment = 2;
	core_judge(core, &fake.records[first - 1].head, 1, &fate);
	assert_int_not_equal(fate, FATE_CARRY);
	assert_int_equal(rig_replay(core, first, chu).result, REPLAY_ABSENT);
	assert_int_equal(
	    rig_replay(core, second, chu).result, REPLAY_DONE); /* not judged yet: it will be kept */
	core_judge(core, &fake.records[second - 1].head, 1, &fate);
	assert_int_equal(fate, FATE_CARRY);
	/* It is carried away between being read and being decided: looked at again. */
	item = (struct replay){ .seq = first, .number = chu };
	fake.segment = 1;
	first = rig_send(core, "MDM");
	rig_settle(core, chu, first, OUTCOME_ACCEPTED);
	fake_commit(0);
	item.seq = first;
	core_replay_message(core, &item, 1, "uid:0(root)", "x", rig_done, NULL);
	fake_run();
	fake.records[first - 1].segment = 5;
	fake.records[first - 1].head.flags |= RECORD_BODILESS | RECORD_CARRIED;
	fake_work();
	fake_commit(0);
	assert_int_equal(item.result, REPLAY_BODILESS);
	core_free(core);
	fake_reset();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replay),
		cmocka_unit_test(test_replay_of_what_is_parked),
		cmocka_unit_test(test_replay_of_many_keeps_their_order),
		cmocka_unit_test(test_replay_refused_by_circumstances),
		cmocka_unit_test(test_retention_keeps_the_bytes_of_replays),
		cmocka_unit_test(test_replay_while_retention_is_at_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
