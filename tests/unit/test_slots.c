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
	assert_true(slots_take(&slots));
	assert_false(slots_take(&slots));
	slots_wait(&slots, &a);
	slots_wait(&slots, &b);
	slots_wait(&slots, &c);
	slots_leave(&slots, &b);
	slots_leave(&slots, &b);
	slots_give(&slots);
	assert_int_equal(grants, 1);
	assert_ptr_equal(granted[0], &a);
	slots_give(&slots);
	assert_ptr_equal(granted[1], &c);
	assert_false(slots_take(&slots));
	slots_give(&slots);
	assert_int_equal(slots.used, 0);
	assert_true(slots_take(&slots));
}

static void
test_resize(void **state)
{
	struct slot_waiter a = { .granted = note }, b = { .granted = note }, c = { .granted = note };
	struct slots slots;

	(void)state;
	grants = 0;
	slots_init(&slots, 2);
	assert_true(slots_take(&slots) && slots_take(&slots));
	slots_wait(&slots, &a);
	slots_wait(&slots, &b);
	slots_wait(&slots, &c);
	slots_resize(&slots, 4); /* two more: for the first two */
	assert_int_equal(grants, 2);
	assert_true(granted[0] == &a && granted[1] == &b);
	slots_resize(
	    &slots, 1); /* those taken stay theirs, and none is handed on until there are few enough */
	assert_int_equal(slots.used, 4);
	for (int i = 0; i < 3; i++)
		slots_give(&slots);
	assert_int_equal(grants, 2);
	slots_give(&slots);
	assert_int_equal(grants, 3);
	assert_ptr_equal(granted[2], &c);
	assert_int_equal(slots.used, 1);
	assert_false(slots_take(&slots));
	slots_give(&slots);
	assert_int_equal(slots.used, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_line),
		cmocka_unit_test(test_resize),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
