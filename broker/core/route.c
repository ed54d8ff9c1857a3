/* SPDX-License-Identifier: Apache-2.0 */
/* The routing table, row by row. Conditions are compared with raw bytes; HD fields by their first component. */
#include "broker/core/route.h"

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

static bool
row_matches(
    const struct config_route *row, struct span peer, const struct facts *facts, enum config_mode mode)
{
	uint8_t component = facts->delimiters.len > 1 ? facts->delimiters.ptr[1] : '^';

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

size_t
route_choose(const struct config *config, const struct config_peer *peer, const struct facts *facts,
    enum config_mode mode, const struct config_destination **chosen, size_t max, struct buffer *rows)
{
	struct span name = span_str(peer->name);
	size_t count = 0;

	for (size_t i = 0; i < config->route_count; i++) {
		const struct config_route *row = &config->routes[i];

		if (!row_matches(row, name, facts, mode))
			continue;
		if (rows->len)
			buffer_append_byte(rows, ',');
		buffer_append_str(rows, row->name);
		for (size_t j = 0; j < row->to_count; j++)
			count = choose(row->to[j], mode, chosen, count, max);
		if (!row->go_on)
			break;
	}
	return count;
}
