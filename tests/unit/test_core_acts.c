/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Acts on the core: other destinations while things are under way, holds and drops; who sees what of them before and after a restart, and what
 * retention must keep for them. Every allocation in turn fails.
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
#include "tests/unit/failmalloc.h"

static void
test_numbers_belong_to_names(void **state)
{
	size_t lilas, chu, roses;
	uint64_t seq, seqs[4];
	struct core *core;
	struct core_status status;

	(void)state;
	fake_reset();
	core = rig_core(&rig_config);
	lilas = core_number(core, "lilas");
	chu = core_number(core, "chu");
	assert_int_equal(core_number(core, "roses"), CORE_NONE);
	assert_int_equal(core_number(core, "lil"), CORE_NONE);
	assert_int_equal(core_number(core, ""), CORE_NONE);
	assert_int_equal(core_waiting_count(core, CORE_NONE), 0);
	seq = rig_send(core, "ORU");
	assert_int_equal(core_reconfigure(core, &rig_wide), 0);
	roses = core_number(core, "roses");
	assert_int_equal(core_number(core, "lilas"), lilas);
	assert_int_equal(core_number(core, "chu"), chu);
	assert_int_not_equal(roses, lilas);
	assert_int_equal(core_waiting(core, chu, 0, seqs, 4), 1);
	assert_int_equal(seqs[0], seq);
	(void)rig_send(core, "ORU");
	assert_int_equal(core_waiting_count(core, roses), 1);
	/* Two leave: their numbers and what waits stay, and nothing new comes. */
	assert_int_equal(core_reconfigure(core, &rig_narrow), 0);
	assert_int_equal(core_number(core, "chu"), CORE_NONE);
	assert_false(core_configured(core, chu));
	assert_string_equal(core_name(core, chu), "chu");
	assert_int_equal(core_waiting_count(core, chu), 2);
	core_status(core, &status);
	assert_int_equal(status.orphaned, 3);
	(void)rig_send(core, "ORU");
	assert_int_equal(core_waiting_count(core, CORE_PARKED), 1);
	rig_settle(core, chu, seq, OUTCOME_DROPPED); /* an operator may take it off still */
	fake_commit(0);
	assert_int_equal(core_waiting_count(core, chu), 1);
	core_free(core);
	/* A restart gives other numbers, and everything to its name. */
	core = rig_core(&rig_narrow);
	core_status(core, &status);
	assert_int_equal(status.orphaned, 2);
	assert_int_equal(core_reconfigure(core, &rig_wide), 0);
	core_status(core, &status);
	assert_int_equal(status.orphaned, 0);
	assert_int_equal(core_waiting_count(core, core_number(core, "chu")), 1);
	assert_int_equal(core_waiting_count(core, core_number(core, "roses")), 1);
	core_free(core);
	fake_reset();
}

static unsigned woken_count;

static void
woken(struct core_watch *watch)
{
	(void)watch;
	woken_count++;
}

static void
test_what_is_pending_keeps_its_destinations(void **state)
{
	struct core_watch watch = { .woken = woken }, other = { .woken = woken };
	struct core *core;
	size_t chu;

	(void)state;
	fake_reset();
	core = rig_core(&rig_config);
	chu = core_number(core, "chu");
	watch.number = chu;
	other.number = core_number(core, "essai");
	core_watch(core, &other);
	core_watch(core, &watch);
	rig_submit(core, "ORU", false); /* decided, not on disk */
	assert_int_equal(core_reconfigure(core, &rig_narrow), 0);
	rig_submit(core, "ORU", false); /* decided by the new one */
	woken_count = 0;
	fake_commit(0);
	assert_int_equal(woken_count, 1);
	assert_int_equal(core_waiting_count(core, chu), 1);
	assert_int_equal(core_waiting_count(core, core_number(core, "lilas")), 1);
	assert_int_equal(core_waiting_count(core, CORE_PARKED), 1);
	core_unwatch(core, &watch);
	core_unwatch(core, &other);
	/* What leaves is bounded as what is parked is: a week. */
	fake.now_us += (uint64_t)6 * 86400 * 1000000;
	core_expire(core);
	fake_commit(0);
	assert_int_equal(core_waiting_count(core, core_number(core, "lilas")), 0);
	assert_int_equal(core_waiting_count(core, chu), 1);
	fake.now_us += (uint64_t)2 * 86400 * 1000000;
	core_expire(core);
	fake_commit(0);
	assert_int_equal(core_waiting_count(core, chu), 0);
	core_free(core);
	fake_reset();
}

static void
test_hold(void **state)
{
	struct core_watch watch = { .woken = woken };
	struct core *core;
	struct decision decision;
	struct arena arena;
	uint64_t held, seq;
	size_t chu;

	(void)state;
	fake_reset();
	arena_init(&arena, 1 << 20);
	fake.segment = 1;
	core = rig_core(&rig_config);
	chu = core_number(core, "chu");
	assert_false(core_held(core, chu));
	core_hold(core, chu, true, "uid:0(root)", "their move", rig_done, NULL);
	assert_false(core_held(core, chu)); /* not before it is on disk */
	fake_commit(0);
	held = fake.count;
	assert_true(core_held(core, chu));
	assert_int_equal(core_hold_record(core, chu), held);
	assert_int_equal(fake.records[held - 1].head.type, RECORD_OPERATOR);
	decision = rig_decision(held, &arena);
	assert_true(span_eq_str(decision.destination, "chu"));
	assert_true(span_eq_str(decision.what, "hold"));
	assert_true(span_eq_str(decision.who, "uid:0(root)"));
	assert_true(span_eq_str(decision.text, "their move"));
	seq = rig_send(core, "MDM"); /* what comes waits */
	assert_int_equal(core_waiting_count(core, chu), 1);
	core_free(core);
	/* Over a restart, out of the configuration and back, and over retention. */
	core = rig_core(&rig_narrow);
	assert_int_equal(core_reconfigure(core, &rig_config), 0);
	chu = core_number(core, "chu");
	assert_true(core_held(core, chu));
	fake.segment = 2;
	fake_retain(core, 2);
	assert_false(fake.records[held - 1].removed);
	core_free(core);
	core = rig_core(&rig_config);
	chu = core_number(core, "chu");
	assert_true(core_held(core, chu));
	assert_int_equal(core_hold_record(core, chu), held);
	/* A release that cannot be journalled is none. */
	core_hold(core, chu, false, "uid:0(root)", "", rig_done, NULL);
	fake_commit(-EIO);
	assert_int_equal(rig_error, -EIO);
	assert_true(core_held(core, chu));
	fake.full = true;
	core_hold(core, chu, false, "uid:0(root)", "", rig_done, NULL);
	fake.full = false;
	assert_int_equal(rig_error, -ENOSPC);
	assert_true(core_held(core, chu));
	watch.number = chu;
	core_watch(core, &watch);
	woken_count = 0;
	core_hold(core, chu, false, "uid:0(root)", "", rig_done, NULL);
	fake_commit(0);
	assert_false(core_held(core, chu));
	assert_int_equal(core_hold_record(core, chu), 0);
	assert_int_equal(woken_count, 1);
	core_unwatch(core, &watch);
	fake.segment = 3;
	fake_retain(core, 3);
	assert_true(fake.records[held - 1].removed); /* it holds nothing any more */
	core_free(core);
	core = rig_core(&rig_config);
	assert_false(core_held(core, core_number(core, "chu")));
	assert_int_equal(core_waiting_count(core, core_number(core, "chu")), 1);
	assert_false(fake.records[seq - 1].removed);
	core_free(core);
	arena_fini(&arena);
	fake_reset();
}

static void
test_drop(void **state)
{
	struct settlement item;
	enum outcome outcome;
	struct core *core;
	struct decision decision;
	struct arena arena;
	uint64_t seq, parked;
	size_t chu;

	(void)state;
	fake_reset();
	arena_init(&arena, 1 << 20);
	core = rig_core(&rig_config);
	chu = core_number(core, "chu");
	seq = rig_send(core, "ORU");
	parked = rig_send(core, "SIU");
	assert_int_equal(core_standing(core, chu, seq, NULL), STANDING_WAITING);
	assert_int_equal(core_standing(core, chu, parked, NULL), STANDING_ABSENT);
	assert_int_equal(core_standing(core, CORE_NONE, seq, NULL), STANDING_ABSENT);
	item =
	    (struct settlement){ .seq = seq, .outcome = OUTCOME_DROPPED, .text = span_str("wrong patient") };
	core_settle(core, chu, "uid:0(root)", &item, 1, rig_done, NULL);
	assert_int_equal(core_standing(core, chu, seq, NULL), STANDING_WAITING);
	fake_commit(0);
	assert_int_equal(item.result, SETTLED_NOW);
	assert_int_equal(core_standing(core, chu, seq, &outcome), STANDING_SETTLED);
	assert_int_equal(outcome, OUTCOME_DROPPED);
	decision = rig_decision(fake.count, &arena);
	assert_int_equal(decision.outcome, OUTCOME_DROPPED);
	assert_true(span_eq_str(decision.destination, "chu"));
	assert_true(span_eq_str(decision.who, "uid:0(root)"));
	assert_true(span_eq_str(decision.text, "wrong patient"));
	assert_int_equal(core_waiting_count(core, core_number(core, "lilas")), 1); /* there it waits on */
	/* A late acknowledgement of the receiver is told what stands. */
	item = (struct settlement){ .seq = seq, .outcome = OUTCOME_ACCEPTED };
	core_settle(core, chu, "chu", &item, 1, rig_done, NULL);
	assert_int_equal(item.result, SETTLED_BEFORE);
	assert_int_equal(item.standing, OUTCOME_DROPPED);
	rig_settle(core, CORE_PARKED, parked, OUTCOME_DROPPED);
	fake_commit(0);
	assert_int_equal(core_waiting_count(core, CORE_PARKED), 0);
	core_free(core);
	core = rig_core(&rig_config);
	assert_int_equal(core_waiting_count(core, CORE_PARKED), 0);
	assert_int_equal(core_standing(core, core_number(core, "chu"), seq, &outcome), STANDING_SETTLED);
	assert_int_equal(outcome, OUTCOME_DROPPED);
	core_free(core);
	arena_fini(&arena);
	fake_reset();
}

/* Age says that it is over while a sender has it in flight: one outcome stands, whoever comes second is told which. */
static void
test_expiry_and_the_sender(void **state)
{
	struct settlement item;
	struct core *core;
	uint64_t first, second;
	size_t chu, records;

	(void)state;
	fake_reset();
	core = rig_core(&rig_config);
	chu = core_number(core, "chu");
	first = rig_send(core, "MDM");
	second = rig_send(core, "MDM");
	fake.now_us += (uint64_t)3700 * 1000000;
	/* The receiver has just said AA of the first: that is being written while time comes by. */
	item = (struct settlement){ .seq = first, .outcome = OUTCOME_ACCEPTED };
	core_settle(core, chu, "chu", &item, 1, rig_done, NULL);
	records = fake.count;
	core_expire(core);
	assert_int_equal(fake.count, records + 1); /* the second alone */
	/* And of the second, too late. */
	rig_calls = 0;
	item = (struct settlement){ .seq = second, .outcome = OUTCOME_ACCEPTED };
	core_settle(core, chu, "chu", &item, 1, rig_done, NULL);
	assert_int_equal(item.result, SETTLED_BEFORE);
	assert_int_equal(item.standing, OUTCOME_EXPIRED);
	assert_int_equal(fake.count, records + 1);
	assert_int_equal(rig_calls, 0); /* what stands is not on disk yet */
	fake_commit(0);
	assert_int_equal(rig_calls, 2);
	assert_int_equal(rig_error, 0);
	assert_int_equal(core_waiting_count(core, chu), 0);
	core_free(core);
	fake_reset();
}

/*
 * Every allocation in turn fails: nothing is half done, and it works the next time.
 */
static void
test_no_memory_for_a_configuration(void **state)
{
	struct core *core;
	size_t chu;

	(void)state;
	fake_reset();
	core = rig_core(&rig_config);
	chu = core_number(core, "chu");
	for (size_t n = 1;; n++) {
		int r;

		failmalloc_at(n);
		r = core_reconfigure(core, &rig_wide);
		if (failmalloc_off()) {
			assert_int_equal(r, 0);
			break;
		}
		assert_int_equal(r, -ENOMEM);
		assert_int_equal(core_number(core, "roses"), CORE_NONE);
		assert_int_equal(core_number(core, "chu"), chu);
	}
	assert_int_not_equal(core_number(core, "roses"), CORE_NONE);
	core_free(core);
	fake_reset();
}

static void
test_no_memory_for_a_replay(void **state)
{
	struct replay item;
	struct core *core;
	bool through = false;
	uint64_t seq;

	(void)state;
	fake_reset();
	core = rig_core(&rig_config);
	seq = rig_send(core, "ADT");
	for (size_t n = 1; !through; n++) {
		rig_settle(core, core_number(core, "lilas"), seq, OUTCOME_ACCEPTED);
		fake_commit(0);
		item = (struct replay){ .seq = seq, .number = CORE_NONE };
		rig_calls = 0;
		failmalloc_at(n);
		core_replay_message(core, &item, 1, "uid:0(root)", "x", rig_done, NULL);
		fake_work();
		fake_commit(0);
		through = failmalloc_off();
		core_expire(core); /* what is on disk and found no memory is queued later */
		fake_commit(0);
		assert_int_equal(rig_calls, 1);
		assert_int_equal(core_in_flight(core), 0);
		assert_int_equal(rig_error, item.result == REPLAY_DONE ? 0 : -ENOMEM);
		if (item.result == REPLAY_DONE)
			seq = item.new_seq;
		assert_int_equal(
		    core_waiting_count(core, core_number(core, "lilas")), item.result == REPLAY_DONE);
	}
	assert_int_equal(item.result, REPLAY_DONE);
	core_free(core);
	fake_reset();
}

static void
test_no_memory_for_a_hold_or_an_outcome(void **state)
{
	struct settlement items[3];
	struct core *core;
	size_t chu;

	(void)state;
	fake_reset();
	core = rig_core(&rig_config);
	chu = core_number(core, "chu");
	for (size_t n = 1;; n++) {
		rig_calls = 0;
		failmalloc_at(n);
		core_hold(core, chu, true, "uid:0(root)", "x", rig_done, NULL);
		fake_commit(0);
		assert_int_equal(rig_calls, 1);
		if (failmalloc_off())
			break;
		assert_int_equal(rig_error, -ENOMEM);
		assert_false(core_held(core, chu));
	}
	assert_true(core_held(core, chu));
	for (size_t i = 0; i < 3; i++)
		items[i] = (struct settlement){ .seq = rig_send(core, "MDM"), .outcome = OUTCOME_ACCEPTED };
	for (size_t n = 1;; n++) {
		rig_calls = 0;
		failmalloc_at(n);
		core_settle(core, chu, "chu", items, 3, rig_done, NULL);
		fake_commit(0);
		assert_int_equal(rig_calls, 1);
		if (failmalloc_off())
			break;
		assert_int_equal(rig_error, -ENOMEM); /* those before the one that failed may be settled */
	}
	assert_int_equal(rig_error, 0);
	assert_int_equal(core_waiting_count(core, chu), 0);
	core_free(core);
	fake_reset();
}

/* A start with all kinds of records in the journal. */
static void
test_no_memory_for_a_start(void **state)
{
	struct core *core;
	uint64_t seq;
	size_t chu;

	(void)state;
	fake_reset();
	core = rig_core(&rig_wide);
	chu = core_number(core, "chu");
	seq = rig_send(core, "ORU");
	(void)rig_send(core, "SIU");
	rig_settle(core, chu, seq, OUTCOME_DROPPED);
	core_hold(core, chu, true, "uid:0(root)", "x", rig_done, NULL);
	fake_commit(0);
	assert_int_equal(rig_replay(core, seq, chu).result, REPLAY_DONE);
	core_free(core);
	for (size_t n = 1;; n++) {
		int r;

		core = NULL;
		failmalloc_at(n);
		r = core_new(&core, &rig_narrow);
		if (r == 0)
			r = fake_replay(core);
		if (r == 0)
			r = core_start(core, (struct journal *)&fake, (struct workers *)&fake);
		if (failmalloc_off()) {
			assert_int_equal(r, 0);
			break;
		}
		assert_int_equal(r, -ENOMEM);
		core_free(core);
	}
	fake_commit(0);
	assert_int_equal(core_reconfigure(core, &rig_wide), 0);
	assert_int_equal(core_waiting_count(core, core_number(core, "chu")), 1);
	assert_true(core_held(core, core_number(core, "chu")));
	core_free(core);
	fake_reset();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers_belong_to_names),
		cmocka_unit_test(test_what_is_pending_keeps_its_destinations),
		cmocka_unit_test(test_hold),
		cmocka_unit_test(test_drop),
		cmocka_unit_test(test_expiry_and_the_sender),
		cmocka_unit_test(test_no_memory_for_a_configuration),
		cmocka_unit_test(test_no_memory_for_a_replay),
		cmocka_unit_test(test_no_memory_for_a_hold_or_an_outcome),
		cmocka_unit_test(test_no_memory_for_a_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
