/* SPDX-License-Identifier: Apache-2.0 */
/* The routing table: what a condition matches, which rows end it, and who is never chosen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "broker/core/route.h"

static const struct config_establishment test_house = { .name = "test-house", .mode = MODE_TEST };
static const struct config_establishment live_house = { .name = "live-house", .mode = MODE_PRODUCTION };
static const struct config_peer lab = { .name = "lab", .establishment = &test_house };

static struct config_destination destinations[] = {
	{ .name = "lilas", .establishment = &test_house },
	{ .name = "roses", .establishment = &test_house },
	{ .name = "live", .establishment = &live_house },
};

static size_t
choose(struct config_route *rows, size_t row_count, const struct facts *facts,
    const struct config_destination **chosen)
{
	const struct config config = {
		.routes = rows,
		.route_count = row_count,
		.destinations = destinations,
		.destination_count = 3,
	};
	struct buffer names;
	size_t count;

	buffer_init(&names, 1000);
	count = route_choose(&config, &lab, facts, route_mode(&lab, facts), chosen, 3, &names);
	buffer_fini(&names);
	return count;
}

static bool
matches(const char *pattern, const char *value)
{
	const struct config_destination *to[] = { &destinations[0] };
	struct config_route row = { .name = "row", .type = pattern, .to = to, .to_count = 1 };
	struct facts facts = { .type = span_str(value) };
	const struct config_destination *chosen[3];

	return choose(&row, 1, &facts, chosen) == 1;
}

static void
test_conditions(void **state)
{
	(void)state;
	assert_true(matches("ADT", "ADT"));
	assert_false(matches("ADT", "ADTX"));
	assert_false(matches("ADT", "AD"));
	assert_false(matches("ADT", "adt"));
	assert_false(matches("ADT", ""));
	assert_true(matches("AD*", "ADT"));
	assert_true(matches("AD*", "AD"));
	assert_false(matches("AD*", "A"));
	assert_false(matches("AD*", "BD"));
	assert_true(matches("*", "anything"));
	assert_true(matches("*", ""));
	assert_true(matches("A*", "A*"));
	assert_true(matches("A*", "A*B"));
	assert_true(matches("A*B", "A*B")); /* only a final one stands for more */
	assert_false(matches("A*B", "AXB"));
	assert_true(matches("A**", "A*"));
	assert_true(matches("A**", "A*XYZ"));
	assert_false(matches("A**", "AX"));
}

static void
test_a_nul_in_a_value_is_a_byte(void **state)
{
	const struct config_destination *to[] = { &destinations[0] };
	struct config_route row = { .name = "row", .type = "AD", .to = to, .to_count = 1 };
	struct facts facts = { .type = span_make("AD\0", 3) };
	const struct config_destination *chosen[3];

	(void)state;
	assert_int_equal(choose(&row, 1, &facts, chosen), 0);
	row.type = "AD*";
	assert_int_equal(choose(&row, 1, &facts, chosen), 1);
}

static void
test_rows(void **state)
{
	const struct config_destination *both[] = { &destinations[1], &destinations[0] };
	const struct config_destination *first[] = { &destinations[0], &destinations[2] };
	struct config_route rows[] = {
		{ .name = "other", .peer = "chu", .to = first, .to_count = 2 },
		{ .name = "lab", .peer = "lab", .to = first, .to_count = 2, .go_on = true },
		{ .name = "all", .to = both, .to_count = 2 },
		{ .name = "never", .to = first, .to_count = 2 },
	};
	struct facts facts = { .type = span_str("ORU") };
	const struct config_destination *chosen[3];

	(void)state;
	assert_int_equal(choose(rows, 4, &facts, chosen), 2); /* each once; never one of the other mode */
	assert_ptr_equal(chosen[0], &destinations[0]);
	assert_ptr_equal(chosen[1], &destinations[1]);
	rows[1].go_on = false;
	assert_int_equal(choose(rows, 4, &facts, chosen), 1);
	assert_int_equal(choose(rows, 1, &facts, chosen), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_conditions),
		cmocka_unit_test(test_a_nul_in_a_value_is_a_byte),
		cmocka_unit_test(test_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
