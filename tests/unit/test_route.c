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
	count = route_choose(
	    &config, &(struct route_message){ &lab, facts, route_mode(&lab, facts) }, chosen, 3, &names);
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

/*
 * The index against the table, row by row: random tables over few values, so that rows match often, end it, go on, ask for a beginning or for
 * nothing; values with components, with a star, empty and with a NUL.
 */
static const char *const patterns[] = { NULL, NULL, "a", "b", "ab", "a*", "*", "", "a^b", "ab*", "a&b", "b^",
	"**" };
static const char *const values[] = { "", "a", "b", "ab", "a^b", "ab^x^y", "a&b", "b^", "*", "^a", "c",
	"a*" };
static const char *const row_names[] = { "p", "q", "r", "s", "t", "u", "v", "w" };
#define ANY(array) (array)[next() % (sizeof(array) / sizeof((array)[0]))]

static uint64_t random_state = 20261122;

static uint64_t
next(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state >> 8;
}

static void
random_row(struct config_route *row, const struct config_destination **to)
{
	const char **const conditions[] = { &row->peer, &row->type, &row->event, &row->sending_application,
		&row->sending_facility, &row->receiving_application, &row->receiving_facility };
	bool seldom = next() % 2;

	*row = (struct config_route){
		.name = ANY(row_names), .to = to, .to_count = 1 + next() % 2, .go_on = next() % 2
	};
	to[0] = &ANY(destinations);
	to[1] = &ANY(destinations);
	for (size_t i = 0; i < sizeof(conditions) / sizeof(conditions[0]); i++)
		if (!seldom || next() % 4 == 0)
			*conditions[i] = ANY(patterns);
	row->mode = next() % 8 ? NULL : next() % 2 ? "test" : "production";
}

static void
random_facts(struct facts *facts)
{
	struct span *const spans[] = { &facts->type, &facts->event, &facts->sending_application,
		&facts->sending_facility, &facts->receiving_application, &facts->receiving_facility };

	*facts = (struct facts){ .delimiters = span_str(next() % 2 ? "|^~\\&" : "|&~\\^") };
	for (size_t i = 0; i < sizeof(spans) / sizeof(spans[0]); i++)
		*spans[i] = next() % 16 ? span_str(ANY(values)) : span_make("a\0b", 3);
}

#define ROWS_MOST 60u

static void
test_the_index_says_what_the_table_says(void **state)
{
	static const struct config_establishment *const houses[] = { &test_house, &live_house };
	const struct config_destination *to[ROWS_MOST][2], *chosen[3], *indexed[3];
	struct config_route rows[ROWS_MOST];
	struct buffer names, indexed_names;
	unsigned some = 0, several = 0;

	(void)state;
	buffer_init(&names, 1000);
	buffer_init(&indexed_names, 1000);
	for (unsigned table = 0; table < 400; table++) {
		struct config config = {
			.routes = rows, .destinations = destinations, .destination_count = 3
		};
		struct route_index *index;

		config.route_count = next() % (ROWS_MOST + 1);
		for (size_t i = 0; i < config.route_count; i++)
			random_row(&rows[i], to[i]);
		assert_int_equal(route_index_new(&index, &config), 0);
		for (unsigned round = 0; round < 200; round++) {
			struct config_peer peer = { .name = ANY(values), .establishment = ANY(houses) };
			struct route_message m = { .peer = &peer, .mode = (enum config_mode)(next() % 2) };
			struct facts facts;
			size_t count;

			random_facts(&facts);
			m.facts = &facts;
			buffer_reset(&names);
			buffer_reset(&indexed_names);
			count = route_choose(&config, &m, chosen, 3, &names);
			assert_int_equal(route_index_choose(index, &m, indexed, 3, &indexed_names), count);
			assert_memory_equal(chosen, indexed, count * sizeof(chosen[0]));
			assert_true(span_eq(buffer_span(&names), buffer_span(&indexed_names)));
			some += names.len > 0;
			several += names.len > 2;
		}
		route_index_free(index);
	}
	assert_true(some > 10000 && several > 1000);
	buffer_fini(&names);
	buffer_fini(&indexed_names);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_conditions),
		cmocka_unit_test(test_a_nul_in_a_value_is_a_byte),
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_the_index_says_what_the_table_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
