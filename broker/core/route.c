/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The routing table. Conditions are compared with raw bytes; HD fields by their first component.
 *
 * A long table is indexed by each of its conditions: for a message the rows that the most telling one leaves are looked at, in their order and as
 * if all were. What the index says is never trusted: it leaves out only rows that ask for another value.
 */
#include "broker/core/route.h"

#include <errno.h>
#include <stdlib.h>

#define LINEAR_MAX 8u	    /* rows that are sooner looked at than looked up */
#define PEER	   SIZE_MAX /* a column whose value is not among the facts */
#define GROUPS	   3u	    /* any value, this one, its first component */

/* The conditions that tell rows apart where there are many. */
static const struct {
	size_t pattern; /* in a row */
	size_t value;	/* in the facts */
	bool components;
} columns[] = {
	{ offsetof(struct config_route, peer), PEER, false },
	{ offsetof(struct config_route, receiving_facility), offsetof(struct facts, receiving_facility),
	    true },
	{ offsetof(struct config_route, receiving_application), offsetof(struct facts, receiving_application),
	    true },
	{ offsetof(struct config_route, sending_facility), offsetof(struct facts, sending_facility), true },
	{ offsetof(struct config_route, sending_application), offsetof(struct facts, sending_application),
	    true },
	{ offsetof(struct config_route, event), offsetof(struct facts, event), false },
	{ offsetof(struct config_route, type), offsetof(struct facts, type), false },
};

#define COLUMNS (sizeof(columns) / sizeof(columns[0]))

/* Rows that ask for the same: ${count} of the column's from ${first} on. */
struct group {
	const char *value; /* NULL: a free place */
	uint32_t first, count;
};

struct column_index {
	struct group *groups; /* by the hash of their value; ${room}, a power of two, is never full */
	size_t room;
	struct group any; /* rows that do not ask, or ask for a beginning only */
	uint32_t *rows;
};

struct route_index {
	const struct config *config;
	struct column_index columns[COLUMNS]; /* without rows when the table is short */
};

struct candidates {
	const uint32_t *rows;
	struct group groups[GROUPS];
	size_t count;
};

struct choice {
	const struct config_destination **chosen;
	size_t max, count;
	struct buffer *rows;
};

enum config_mode
route_mode(const struct config_peer *peer, const struct facts *facts)
{
	if (peer->establishment->mode == MODE_PRODUCTION && span_eq_str(facts->processing, "P"))
		return MODE_PRODUCTION;
	return MODE_TEST;
}

/* Whole, or up to a final `*`. In one walk: most rows of a long table differ in the first bytes. */
static bool
matches(const char *pattern, struct span value)
{
	size_t i = 0;

	while (i < value.len && pattern[i] && (uint8_t)pattern[i] == value.ptr[i] &&
	       !(pattern[i] == '*' && !pattern[i + 1]))
		i++;
	return (pattern[i] == '*' && !pattern[i + 1]) || (i == value.len && !pattern[i]);
}

/* A condition that is not asked holds. An HD (MSH-3..6) matches as it stands or by its first component. */
static bool
holds(const char *pattern, struct span value)
{
	return !pattern || matches(pattern, value);
}

static bool
holds_hd(const char *pattern, struct span value, uint8_t component)
{
	const uint8_t *end;

	if (!pattern || matches(pattern, value))
		return true;
	end = value.len ? memchr(value.ptr, component, value.len) : NULL;
	return end && matches(pattern, span_make(value.ptr, (size_t)(end - value.ptr)));
}

static bool
holds_authority(const char *pattern, const struct facts *facts)
{
	if (!pattern)
		return true;
	for (size_t i = 0; i < facts->authority_count; i++)
		if (matches(pattern, facts->authorities[i]))
			return true;
	return false;
}

static bool
holds_document(const char *pattern, const struct facts *facts)
{
	if (!pattern)
		return true;
	for (size_t i = 0; i < facts->document_count; i++)
		if (matches(pattern, facts->documents[i].type_code))
			return true;
	return false;
}

static uint8_t
component_of(const struct facts *facts)
{
	return facts->delimiters.len > 1 ? facts->delimiters.ptr[1] : '^';
}

static bool
row_matches(
    const struct config_route *row, struct span peer, const struct facts *facts, enum config_mode mode)
{
	uint8_t component = component_of(facts);

	return holds(row->peer, peer) && holds(row->type, facts->type) && holds(row->event, facts->event) &&
	       holds_hd(row->sending_application, facts->sending_application, component) &&
	       holds_hd(row->sending_facility, facts->sending_facility, component) &&
	       holds_hd(row->receiving_application, facts->receiving_application, component) &&
	       holds_hd(row->receiving_facility, facts->receiving_facility, component) &&
	       holds_authority(row->authority, facts) && holds_document(row->document, facts) &&
	       holds(row->mode, span_str(config_mode_name(mode)));
}

static size_t
choose(const struct config_destination *destination, enum config_mode mode,
    const struct config_destination **chosen, size_t count, size_t max)
{
	if (destination->establishment->mode != mode)
		return count;
	for (size_t i = 0; i < count; i++)
		if (chosen[i] == destination)
			return count;
	if (count < max)
		chosen[count++] = destination;
	return count;
}

/* Look at one row. True: the table ends here. */
static bool
row_take(const struct route_message *m, const struct config_route *row, struct choice *choice)
{
	if (!row_matches(row, span_str(m->peer->name), m->facts, m->mode))
		return false;
	if (choice->rows->len)
		buffer_append_byte(choice->rows, ',');
	buffer_append_str(choice->rows, row->name);
	for (size_t j = 0; j < row->to_count; j++)
		choice->count = choose(row->to[j], m->mode, choice->chosen, choice->count, choice->max);
	return !row->go_on;
}

size_t
route_choose(const struct config *config, const struct route_message *m,
    const struct config_destination **chosen, size_t max, struct buffer *rows)
{
	struct choice choice = { chosen, max, 0, rows };

	for (size_t i = 0; i < config->route_count; i++)
		if (row_take(m, &config->routes[i], &choice))
			break;
	return choice.count;
}

/*
 * The index.
 */
static uint64_t
hash(struct span value)
{
	uint64_t sum = 0xcbf29ce484222325u;

	for (size_t i = 0; i < value.len; i++)
		sum = (sum ^ value.ptr[i]) * 0x100000001b3u;
	return sum ^ sum >> 32;
}

static const char *
pattern_of(const struct config_route *row, size_t column)
{
	return *(const char *const *)((const char *)row + columns[column].pattern);
}

/* Whether rows with this pattern match one value only. */
static bool
is_exact(const char *pattern)
{
	size_t len = pattern ? strlen(pattern) : 0;

	return pattern && (len == 0 || pattern[len - 1] != '*');
}

/* The group of ${value} in the table of ${column}, or the free place where it would stand. */
static struct group *
group_slot(const struct column_index *column, struct span value)
{
	size_t mask = column->room - 1;

	for (size_t i = hash(value) & mask;; i = (i + 1) & mask) {
		struct group *group = &column->groups[i];

		if (!group->value || span_eq_str(value, group->value))
			return group;
	}
}

/* Count, place, fill: rows of one value come to stand together and in their order, those of any value before all. */
static int
column_make(struct column_index *column, const struct config *config, size_t which)
{
	uint32_t at = 0;

	column->room = 16;
	while (column->room < config->route_count * 2)
		column->room *= 2;
	column->groups = calloc(column->room, sizeof(*column->groups));
	column->rows = calloc(config->route_count, sizeof(*column->rows));
	if (!column->groups || !column->rows)
		return -ENOMEM;
	for (size_t i = 0; i < config->route_count; i++) {
		const char *pattern = pattern_of(&config->routes[i], which);
		struct group *group =
		    is_exact(pattern) ? group_slot(column, span_str(pattern)) : &column->any;

		group->value = pattern;
		group->count++;
	}
	column->any.value = NULL;
	at = column->any.count;
	for (size_t i = 0; i < column->room; i++) {
		column->groups[i].first = at;
		at += column->groups[i].count;
		column->groups[i].count = 0;
	}
	column->any.count = 0;
	for (size_t i = 0; i < config->route_count; i++) {
		const char *pattern = pattern_of(&config->routes[i], which);
		struct group *group =
		    is_exact(pattern) ? group_slot(column, span_str(pattern)) : &column->any;

		column->rows[group->first + group->count++] = (uint32_t)i;
	}
	return 0;
}

int
route_index_new(struct route_index **indexp, const struct config *config)
{
	struct route_index *index = calloc(1, sizeof(*index));
	int r = index ? 0 : -ENOMEM;

	if (r)
		return r;
	index->config = config;
	for (size_t i = 0; i < COLUMNS && r == 0 && config->route_count > LINEAR_MAX; i++)
		r = column_make(&index->columns[i], config, i);
	if (r) {
		route_index_free(index);
		return r;
	}
	*indexp = index;
	return 0;
}

void
route_index_free(struct route_index *index)
{
	if (!index)
		return;
	for (size_t i = 0; i < COLUMNS; i++) {
		free(index->columns[i].groups);
		free(index->columns[i].rows);
	}
	free(index);
}

/* The rows that may match by one column: those of any value, of this one, and of its first component. */
static struct candidates
candidates_of(const struct column_index *column, size_t which, const struct route_message *m)
{
	struct span value = columns[which].value == PEER
				? span_str(m->peer->name)
				: *(const struct span *)((const char *)m->facts + columns[which].value);
	struct candidates found = { .rows = column->rows };
	const uint8_t *end;

	found.groups[0] = column->any;
	found.groups[1] = *group_slot(column, value);
	end = columns[which].components && value.len ? memchr(value.ptr, component_of(m->facts), value.len)
						     : NULL;
	if (end)
		found.groups[2] = *group_slot(column, span_make(value.ptr, (size_t)(end - value.ptr)));
	for (size_t i = 0; i < GROUPS; i++)
		found.count += found.groups[i].count;
	return found;
}

/* The next of the candidates in the order of the table; they are in no two groups. */
static uint32_t
candidates_next(struct candidates *c)
{
	struct group *least = NULL;

	for (size_t i = 0; i < GROUPS; i++)
		if (c->groups[i].count && (!least || c->rows[c->groups[i].first] < c->rows[least->first]))
			least = &c->groups[i];
	c->count--;
	least->count--;
	return c->rows[least->first++];
}

size_t
route_index_choose(const struct route_index *index, const struct route_message *m,
    const struct config_destination **chosen, size_t max, struct buffer *rows)
{
	struct choice choice = { chosen, max, 0, rows };
	struct candidates best, other;

	if (!index->columns[0].rows)
		return route_choose(index->config, m, chosen, max, rows);
	best = candidates_of(&index->columns[0], 0, m);
	for (size_t i = 1; i < COLUMNS && best.count > 1; i++) {
		other = candidates_of(&index->columns[i], i, m);
		if (other.count < best.count)
			best = other;
	}
	while (best.count)
		if (row_take(m, &index->config->routes[candidates_next(&best)], &choice))
			break;
	return choice.count;
}
