/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory ceiling's account: what is held, who waits, who goes on, and that nothing is left of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/base/budget.h"

#define SEATS 16
#define LIMIT 8000u /* begin below 6000, go on below 7000 */

static struct budget budget;
static struct budget_seat seats[SEATS];
static char granted_order[SEATS * 4 + 1];
static size_t granted_count;
static unsigned turns;
static void (*when_granted)(struct budget_seat *seat);

static void
soon(void *arg)
{
	assert_ptr_equal(arg, &budget);
	turns++;
}

static void
granted(struct budget_seat *seat)
{
	assert_false(seat->waiting);
	granted_order[granted_count++] = (char)('a' + (seat - seats));
	granted_order[granted_count] = '\0';
	if (when_granted)
		when_granted(seat);
}

static int
setup(void **state)
{
	(void)state;
	budget_init(&budget, LIMIT, soon, &budget);
	for (size_t i = 0; i < SEATS; i++)
		budget_sit(&seats[i], &budget, granted);
	granted_count = 0;
	granted_order[0] = '\0';
	turns = 0;
	when_granted = NULL;
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	for (size_t i = 0; i < SEATS; i++)
		budget_leave(&seats[i]);
	assert_int_equal(budget.used, 0);
	assert_null(budget.first);
	assert_null(budget.last);
	assert_null(budget.guest);
	return 0;
}

/* What the loop does when it was asked to. */
static void
turn(void)
{
	assert_int_equal(turns, 1);
	turns = 0;
	budget_wake(&budget);
}

static void
the_sum_is_exact(void **state)
{
	uint64_t sum = 0;

	(void)state;
	srand(7);
	for (unsigned step = 0; step < 10000; step++) {
		budget_hold(&seats[rand() % SEATS], (uint64_t)(rand() % 300));
		sum = 0;
		for (size_t i = 0; i < SEATS; i++)
			sum += seats[i].held;
		assert_int_equal(budget.used, sum);
		assert_true(budget.most >= sum);
	}
}

static void
each_use_has_its_mark(void **state)
{
	(void)state;
	budget_hold(&seats[0], 3999);
	assert_true(budget_room(&budget, BUDGET_AHEAD));
	budget_hold(&seats[0], 4000);
	assert_false(budget_room(&budget, BUDGET_AHEAD));
	budget_hold(&seats[0], 5999);
	assert_true(budget_ask(&seats[1], BUDGET_BEGIN));
	budget_hold(&seats[0], 6000);
	assert_false(budget_ask(&seats[1], BUDGET_BEGIN));
	assert_true(budget_ask(&seats[2], BUDGET_GO_ON));
	assert_false(budget_is_guest(&seats[2]));
	budget_hold(&seats[0], 7999);
	assert_true(budget_room(&budget, BUDGET_DRAIN));
	budget_hold(&seats[0], 8000);
	assert_false(budget_room(&budget, BUDGET_DRAIN));
	assert_int_equal(budget.waits, 1);
}

static void
those_who_wait_are_served_in_their_order(void **state)
{
	(void)state;
	budget_hold(&seats[0], 6500);
	for (size_t i = 1; i < 5; i++)
		assert_false(budget_ask(&seats[i], BUDGET_BEGIN));
	assert_false(budget_ask(&seats[2], BUDGET_BEGIN)); /* asking again keeps the place */
	budget_stop_waiting(&seats[3]);
	budget_hold(&seats[0], 6200);
	assert_int_equal(turns, 0);
	budget_hold(&seats[0], 5000);
	budget_hold(&seats[0], 4000);
	turn();
	assert_string_equal(granted_order, "bce");
}

static void
take_all(struct budget_seat *seat)
{
	assert_true(budget_ask(seat, BUDGET_BEGIN));
	budget_hold(seat, 4000);
}

static void
what_one_takes_the_next_waits_for(void **state)
{
	(void)state;
	when_granted = take_all;
	budget_hold(&seats[0], 6500);
	for (size_t i = 1; i < 4; i++)
		assert_false(budget_ask(&seats[i], BUDGET_BEGIN));
	budget_hold(&seats[0], 2000);
	turn();
	assert_string_equal(granted_order, "b");
	assert_int_equal(turns, 0);
	budget_hold(&seats[1], 0);
	turn();
	assert_string_equal(granted_order, "bc");
}

static void
again(struct budget_seat *seat)
{
	assert_true(budget_ask(seat, BUDGET_GO_ON));
}

static void
one_guest_goes_on_at_a_time(void **state)
{
	(void)state;
	when_granted = again;
	for (size_t i = 0; i < 8; i++)
		budget_hold(&seats[i], 1000); /* all of it in what was begun: nobody can end */
	assert_true(budget_ask(&seats[0], BUDGET_GO_ON));
	assert_true(budget_is_guest(&seats[0]));
	for (size_t i = 1; i < 4; i++)
		assert_false(budget_ask(&seats[i], BUDGET_GO_ON));
	assert_true(budget_ask(&seats[0], BUDGET_GO_ON));
	budget_hold(&seats[0], 1500);
	assert_int_equal(turns, 0);
	/* It ended; what it had is not enough for the others to go on. */
	budget_hold(&seats[0], 500);
	assert_int_equal(turns, 0);
	budget_guest_ends(&seats[0]);
	turn();
	assert_string_equal(granted_order, "b");
	assert_true(budget_is_guest(&seats[1]));
	/* One that comes now does not overtake. */
	budget_guest_ends(&seats[1]);
	assert_false(budget_ask(&seats[5], BUDGET_GO_ON));
	turn();
	assert_true(budget_is_guest(&seats[2]));
	/* One that goes away makes room for the next. */
	budget_hold(&seats[9], 1000);
	budget_leave(&seats[2]);
	turn();
	assert_true(budget_is_guest(&seats[3]));
	/* With room there are no guests. */
	budget_hold(&seats[9], 0);
	budget_hold(&seats[0], 0);
	assert_false(budget_is_guest(&seats[3]));
	turn();
	assert_string_equal(granted_order, "bcdf");
}

static void
another_limit(void **state)
{
	(void)state;
	budget_hold(&seats[0], 6500);
	assert_false(budget_ask(&seats[1], BUDGET_BEGIN));
	budget_resize(&budget, 2 * LIMIT);
	turn();
	assert_string_equal(granted_order, "b");
	budget_resize(&budget, 1000);
	assert_false(budget_ask(&seats[1], BUDGET_BEGIN));
}

static void
leave_others(struct budget_seat *seat)
{
	for (size_t i = 0; i < SEATS; i++)
		if (&seats[i] != seat)
			budget_leave(&seats[i]);
}

static void
those_who_are_served_may_end_the_others(void **state)
{
	(void)state;
	when_granted = leave_others;
	budget_hold(&seats[0], 6500);
	for (size_t i = 1; i < 9; i++)
		assert_false(budget_ask(&seats[i], BUDGET_BEGIN));
	budget_hold(&seats[0], 0);
	turn();
	assert_string_equal(granted_order, "b");
}

static void
a_full_share_waits_while_others_go_on(void **state)
{
	struct budget_share share = { 0 };

	(void)state;
	for (size_t i = 0; i < 4; i++)
		budget_join(&seats[i], &share);
	for (size_t i = 0; i < 4; i++)
		budget_hold(&seats[i], 900);
	assert_int_equal(share.held, 3600);
	assert_true(budget_ask(&seats[0], BUDGET_GO_ON)); /* a quarter is passed, but half of all is free */
	assert_false(budget_is_guest(&seats[0]));
	budget_hold(&seats[0], 1400);
	assert_false(budget_ask(&seats[3], BUDGET_BEGIN));
	assert_true(budget_ask(&seats[1], BUDGET_GO_ON)); /* its guest */
	assert_true(budget_is_guest(&seats[1]));
	assert_false(budget_ask(&seats[2], BUDGET_GO_ON));
	assert_true(budget_ask(&seats[0], BUDGET_DRAIN));
	assert_true(budget_ask(&seats[5], BUDGET_BEGIN));
	assert_true(budget_ask(&seats[5], BUDGET_GO_ON));
	assert_false(budget_is_guest(&seats[5]));
	assert_int_equal(turns, 0);
	budget_guest_ends(
	    &seats[1]); /* the next of the share is the guest; who would begin goes on waiting */
	assert_int_equal(turns, 1);
	budget_wake(&budget);
	assert_string_equal(granted_order, "c");
	assert_true(budget_is_guest(&seats[2]));
	budget_hold(&seats[0], 0);
	budget_wake(&budget);
	assert_string_equal(granted_order, "cd");
	for (size_t i = 0; i < 4; i++)
		budget_leave(&seats[i]);
	assert_int_equal(share.held, 0);
	assert_null(share.guest);
}

static void
where_all_is_full_shares_have_one_guest(void **state)
{
	struct budget_share one = { 0 }, two = { 0 };

	(void)state;
	budget_join(&seats[0], &one);
	budget_join(&seats[1], &two);
	budget_join(&seats[2], &two);
	budget_hold(&seats[0], 3500);
	budget_hold(&seats[1], 1600);
	budget_hold(&seats[2], 1600);
	assert_true(budget_ask(&seats[1], BUDGET_GO_ON)); /* of its share */
	assert_true(budget_ask(&seats[0], BUDGET_GO_ON));
	budget_hold(&seats[0], 4000);
	assert_true(budget_ask(&seats[2], BUDGET_GO_ON)); /* of all: nobody is before it */
	assert_false(budget_ask(&seats[1], BUDGET_GO_ON));
	assert_false(budget_ask(&seats[0], BUDGET_GO_ON));
	budget_hold(&seats[2], 0);
	budget_guest_ends(&seats[2]);
	budget_wake(&budget);
	assert_string_equal(granted_order, "ba");
	for (size_t i = 0; i < 3; i++)
		budget_leave(&seats[i]);
	assert_int_equal(one.held + two.held, 0);
	assert_int_equal(budget.used, 0);
}

static void
without_a_budget_nothing_is_refused(void **state)
{
	struct budget_seat seat = { 0 };

	(void)state;
	budget_leave(&seat);
	budget_sit(&seat, NULL, granted);
	budget_hold(&seat, UINT64_MAX);
	assert_true(budget_ask(&seat, BUDGET_BEGIN));
	assert_true(budget_room(NULL, BUDGET_DRAIN));
	assert_false(budget_is_guest(&seat));
	budget_leave(&seat);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_sum_is_exact, setup, teardown),
		cmocka_unit_test_setup_teardown(each_use_has_its_mark, setup, teardown),
		cmocka_unit_test_setup_teardown(those_who_wait_are_served_in_their_order, setup, teardown),
		cmocka_unit_test_setup_teardown(what_one_takes_the_next_waits_for, setup, teardown),
		cmocka_unit_test_setup_teardown(one_guest_goes_on_at_a_time, setup, teardown),
		cmocka_unit_test_setup_teardown(another_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(those_who_are_served_may_end_the_others, setup, teardown),
		cmocka_unit_test_setup_teardown(a_full_share_waits_while_others_go_on, setup, teardown),
		cmocka_unit_test_setup_teardown(where_all_is_full_shares_have_one_guest, setup, teardown),
		cmocka_unit_test_setup_teardown(without_a_budget_nothing_is_refused, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
