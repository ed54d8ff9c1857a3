/* SPDX-License-Identifier: Apache-2.0 */
/* Large slots: as many as there are, first come first served, and their number may change meanwhile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "broker/doors/slots.h"

static struct slot_waiter *granted[8];
static unsigned grants;

static void
note(struct slot_waiter *waiter)
{
	granted[grants++] = waiter;
}

static void
test_line(void **state)
{
	struct slot_waiter a = { .granted = note }, b = { .granted = note }, c = { .granted = note };
	struct slots slots;

	(void)state;
	grants = 0;
	slots_init(&slots, 1);
	assert_true(slots_take(&slots, NULL));
	assert_false(slots_take(&slots, NULL));
	slots_wait(&slots, &a, NULL);
	slots_wait(&slots, &b, NULL);
	slots_wait(&slots, &c, NULL);
	slots_leave(&slots, &b);
	slots_leave(&slots, &b);
	slots_give(&slots, NULL);
	assert_int_equal(grants, 1);
	assert_ptr_equal(granted[0], &a);
	slots_give(&slots, NULL);
	assert_ptr_equal(granted[1], &c);
	assert_false(slots_take(&slots, NULL));
	slots_give(&slots, NULL);
	assert_int_equal(slots.used, 0);
	assert_true(slots_take(&slots, NULL));
}

static void
test_resize(void **state)
{
	struct slot_waiter a = { .granted = note }, b = { .granted = note }, c = { .granted = note };
	struct slots slots;

	(void)state;
	grants = 0;
	slots_init(&slots, 2);
	assert_true(slots_take(&slots, NULL) && slots_take(&slots, NULL));
	slots_wait(&slots, &a, NULL);
	slots_wait(&slots, &b, NULL);
	slots_wait(&slots, &c, NULL);
	slots_resize(&slots, 4); /* two more: for the first two */
	assert_int_equal(grants, 2);
	assert_true(granted[0] == &a && granted[1] == &b);
	slots_resize(
	    &slots, 1); /* those taken stay theirs, and none is handed on until there are few enough */
	assert_int_equal(slots.used, 4);
	for (int i = 0; i < 3; i++)
		slots_give(&slots, NULL);
	assert_int_equal(grants, 2);
	slots_give(&slots, NULL);
	assert_int_equal(grants, 3);
	assert_ptr_equal(granted[2], &c);
	assert_int_equal(slots.used, 1);
	assert_false(slots_take(&slots, NULL));
	slots_give(&slots, NULL);
	assert_int_equal(slots.used, 0);
}

/* One that takes all it can get leaves one, also when it stands first in line. */
static void
test_a_peer_s_share(void **state)
{
	struct slot_waiter mine = { .granted = note }, theirs = { .granted = note };
	unsigned greedy = 0, other = 0;
	struct slots slots;

	(void)state;
	grants = 0;
	slots_init(&slots, 3);
	assert_true(slots_take(&slots, &greedy) && slots_take(&slots, &greedy));
	assert_false(slots_take(&slots, &greedy));
	slots_wait(&slots, &mine, &greedy);
	assert_true(slots_take(&slots, &other));
	slots_wait(&slots, &theirs, &other);
	slots_give(&slots, &other); /* not for the first in line */
	assert_int_equal(grants, 1);
	assert_ptr_equal(granted[0], &theirs);
	slots_give(&slots, &greedy);
	assert_int_equal(grants, 2);
	assert_ptr_equal(granted[1], &mine);
	assert_int_equal(greedy, 2);
	assert_int_equal(other, 1);
	slots_wait(&slots, &mine, &greedy);
	slots_resize(&slots, 4);
	assert_int_equal(grants, 3);
	slots_resize(&slots, 1);
	for (int i = 0; i < 3; i++)
		slots_give(&slots, &greedy);
	slots_give(&slots, &other);
	assert_int_equal(slots.used, 0);
	assert_true(slots_take(&slots, &greedy)); /* of one: that */
	assert_int_equal(greedy, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_line),
		cmocka_unit_test(test_resize),
		cmocka_unit_test(test_a_peer_s_share),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
