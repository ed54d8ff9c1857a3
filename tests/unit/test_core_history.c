/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random histories of a core: messages, outcomes, holds, drops, replays, other configurations, retention, failing commits, crashes. After each the
 * state that a restart makes of the journal is the state that was, and every replay that waits has its bytes.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/core/state.h"
#include "tests/unit/core_rig.h"

#define HISTORIES 300
#define STEPS	  120
#define REPLAYS	  8

struct history {
	struct core *core;
	uint64_t random;
	struct replay replays[STEPS][REPLAYS]; /* theirs until done */
	size_t step;
	unsigned done[8]; /* what became of replays: a test that never gets there proves nothing */
	unsigned held, restarts;
};

static uint64_t
pick(struct history *history, uint64_t below)
{
	history->random ^= history->random << 13;
	history->random ^= history->random >> 7;
	history->random ^= history->random << 17;
	return history->random % below;
}

static const struct config *
pick_config(struct history *history)
{
	static const struct config *const all[] = { &rig_config, &rig_wide, &rig_narrow };

	return all[pick(history, 3)];
}

/* A number, mostly of a destination; now and then of what is parked. */
static size_t
pick_number(struct history *history)
{
	size_t count = core_numbers(history->core);
	size_t number = pick(history, count + 1);

	return number == count ? CORE_PARKED : number;
}

static void
step_settle(struct history *history)
{
	uint64_t seqs[64];
	size_t number = pick_number(history), count = core_waiting(history->core, number, 0, seqs, 64);

	if (count)
		rig_settle(history->core, number, seqs[pick(history, count)],
		    pick(history, 3) == 0 ? OUTCOME_DROPPED : 1 + (enum outcome)pick(history, 2));
}

static void
step_replay(struct history *history)
{
	struct replay *items = history->replays[history->step];
	size_t count = 1 + pick(history, REPLAYS);

	for (size_t i = 0; i < count; i++)
		items[i] = (struct replay){ .seq = 1 + pick(history, fake.count + 1),
			.number = pick(history, 3) == 0 ? CORE_NONE : pick_number(history) };
	core_replay_message(history->core, items, count, "uid:0(root)", "once more", rig_done, NULL);
}

static void
step_hold(struct history *history)
{
	size_t number = pick(history, core_numbers(history->core));

	core_hold(history->core, number, pick(history, 2) == 0, "uid:0(root)", "because", rig_done, NULL);
}

static void
restart(struct history *history, bool lose)
{
	struct buffer before, after;

	if (lose) { /* what was not on disk is lost, and everybody hears of it */
		fake_commit(-EIO);
		fake_work();
	}
	while (core_in_flight(history->core) || fake.committed < fake.count) {
		fake_work();
		fake_commit(lose ? -EIO : 0);
	}
	buffer_init(&before, 1 << 20);
	buffer_init(&after, 1 << 20);
	rig_state(history->core, &before);
	core_free(history->core);
	history->core = rig_core(pick_config(history));
	rig_state(history->core, &after);
	rig_same_state(&before, &after);
	buffer_fini(&before);
	buffer_fini(&after);
	history->restarts++;
}

static void
step(struct history *history)
{
	static const char *const types[] = { "ADT", "ORU", "MDM", "SIU" };

	switch (pick(history, 16)) {
	case 0:
	case 1:
	case 2:
	case 3:
		rig_submit(history->core, types[pick(history, 4)], pick(history, 8) == 0);
		break;
	case 4:
	case 5:
	case 6:
		step_settle(history);
		break;
	case 7:
	case 8:
		step_replay(history);
		break;
	case 9:
		step_hold(history);
		break;
	case 10:
		assert_int_equal(core_reconfigure(history->core, pick_config(history)), 0);
		break;
	case 11:
		fake.now_us += pick(history, 1200) * 1000000;
		core_expire(history->core);
		break;
	case 12:
		fake.segment++;
		fake_retain(history->core, fake.segment - (uint32_t)pick(history, 2));
		break;
	case 13:
		fake_commit(-EIO);
		break;
	case 14:
		restart(history, pick(history, 2) == 0);
		break;
	default:
		fake_commit(0);
		fake_work();
		break;
	}
}

/* Every replay that waits reads as its original does. */
static void
check_bytes(struct history *history)
{
	uint64_t seqs[256];

	for (size_t number = 0; number < core_numbers(history->core); number++) {
		size_t count = core_waiting(history->core, number, 0, seqs, 256);

		for (size_t i = 0; i < count; i++) {
			struct record record;
			struct arena arena;

			arena_init(&arena, 1 << 20);
			assert_int_equal(journal_read(NULL, seqs[i], true, &arena, &record), 0);
			assert_int_equal(record.head.flags & RECORD_BODILESS, 0);
			assert_int_equal(record.body.len, record.head.size);
			assert_true(record.body.len > 0);
			arena_fini(&arena);
		}
	}
}

static void
count_up(struct history *history)
{
	for (size_t i = 0; i < STEPS; i++)
		for (size_t k = 0; k < REPLAYS; k++)
			if (history->replays[i][k].seq)
				history->done[history->replays[i][k].result]++;
	for (size_t i = 0; i < core_numbers(history->core); i++)
		history->held += core_held(history->core, i);
}

static void
test_a_restart_changes_nothing(void **state)
{
	struct history *history = calloc(1, sizeof(*history));

	(void)state;
	assert_non_null(history);
	for (uint64_t seed = 1; seed <= HISTORIES; seed++) {
		fake_reset();
		history->random = seed * 0x9e3779b97f4a7c15u;
		memset(history->replays, 0, sizeof(history->replays));
		history->core = rig_core(pick_config(history));
		for (history->step = 0; history->step < STEPS; history->step++) {
			step(history);
			check_bytes(history);
		}
		restart(history, false);
		check_bytes(history);
		count_up(history);
		core_free(history->core);
	}
	/* All that can become of a replay did, and often. */
	for (size_t result = REPLAY_UNDONE; result <= REPLAY_UNROUTED; result++) {
		print_message("replays with result %zu: %u\n", result, history->done[result]);
		assert_true(history->done[result] > 10);
	}
	assert_true(history->done[REPLAY_DONE] > HISTORIES);
	assert_true(history->held > 10 && history->restarts > HISTORIES);
	free(history);
	fake_reset();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_restart_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
