/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of the trace by what they are found by: halving in the sorted sections of files, links and a look at each row in memory. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker/core/decision.h"
#include "broker/views/trace_view.h"

/* How an entry of a section compares with what is looked for: before it, or not. */
typedef bool before_fn(const uint8_t *entry, const void *key);

/* The first entry that is not before ${key}. */
static int
lower_bound(struct trace_view *view, const struct trace_seen *seen, enum trace_section section,
    before_fn *before, const void *key, struct trace_block *block, uint32_t *atp)
{
	uint32_t low = 0, high = seen->part->counts[section];

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		const uint8_t *entry;
		int r = trace_view_entry(view, seen, section, middle, block, &entry);

		if (r)
			return r;
		if (before(entry, key))
			low = middle + 1;
		else
			high = middle;
	}
	*atp = low;
	return 0;
}

static bool
control_before(const uint8_t *entry, const void *key)
{
	return bytes_get32(entry) < *(const uint32_t *)key;
}

static int
control_in_file(
    struct trace_view *view, const struct trace_seen *seen, uint32_t hash, trace_visit_fn *visit, void *arg)
{
	struct trace_block block = { 0 }, rows = { 0 };
	uint32_t at;
	int r = lower_bound(view, seen, TRACE_CONTROLS, control_before, &hash, &block, &at);

	for (; !r && at < seen->part->counts[TRACE_CONTROLS]; at++) {
		const uint8_t *entry;
		struct trace_row row;

		if ((r = trace_view_entry(view, seen, TRACE_CONTROLS, at, &block, &entry)) != 0)
			break;
		if (bytes_get32(entry) != hash)
			break;
		if ((r = trace_view_row(view, seen, bytes_get32(entry + 4), &rows, &row)) == 0)
			r = visit(arg, seen, &row);
	}
	return r;
}

int
trace_find_control(struct trace_view *view, uint32_t hash, trace_visit_fn *visit, void *arg)
{
	int r = 0;

	for (size_t i = view->count; i-- > 0 && !r;) {
		const struct trace_seen *seen = &view->parts[i];
		const struct trace_memory *memory = seen->part->memory;

		if (!memory)
			r = control_in_file(view, seen, hash, visit, arg);
		for (uint32_t n = seen->brief.born + seen->brief.carried; memory && n-- > 0 && !r;)
			if (trace_memory_row(memory, n)->control == hash)
				r = visit(arg, seen, trace_memory_row(memory, n));
	}
	return r;
}

static bool
ref_before(const uint8_t *entry, const void *key)
{
	return bytes_get64(entry) < *(const uint64_t *)key;
}

static int
ref_in_file(
    struct trace_view *view, const struct trace_seen *seen, uint64_t ref, trace_visit_fn *visit, void *arg)
{
	struct trace_block block = { 0 }, rows = { 0 };
	uint32_t at;
	int r = lower_bound(view, seen, TRACE_REFS, ref_before, &ref, &block, &at);

	for (; !r && at < seen->part->counts[TRACE_REFS]; at++) {
		const uint8_t *entry;
		struct trace_row row;

		if ((r = trace_view_entry(view, seen, TRACE_REFS, at, &block, &entry)) != 0)
			break;
		if (bytes_get64(entry) != ref)
			break;
		if ((r = trace_view_row(view, seen, bytes_get32(entry + 8), &rows, &row)) == 0)
			r = visit(arg, seen, &row);
	}
	return r;
}

static int
ref_in_memory(const struct trace_seen *seen, uint64_t ref, trace_visit_fn *visit, void *arg)
{
	const struct trace_row *row;
	uint32_t at = 0;
	int r = 0;

	while (!r && (row = trace_memory_ref(
			  seen->part->memory, ref, seen->brief.born + seen->brief.carried, &at)) != NULL)
		r = visit(arg, seen, row);
	return r;
}

int
trace_find_ref(struct trace_view *view, uint64_t ref, trace_visit_fn *visit, void *arg)
{
	int r = 0;

	for (size_t i = view->count; i-- > 0 && !r;) {
		const struct trace_seen *seen = &view->parts[i];

		/* What is about a record is younger than it. */
		if (!seen->brief.refs || ref < seen->brief.least_ref || ref > seen->brief.greatest_ref)
			continue;
		r = seen->part->memory ? ref_in_memory(seen, ref, visit, arg)
				       : ref_in_file(view, seen, ref, visit, arg);
	}
	return r;
}

struct dead_key {
	uint16_t place;
	uint64_t ref;
};

static bool
dead_before(const uint8_t *entry, const void *arg)
{
	const struct dead_key *key = arg;
	uint16_t place = bytes_get16(entry);

	return place < key->place || (place == key->place && bytes_get64(entry + 4) < key->ref);
}

static int
dead_in_file(struct trace_view *view, const struct trace_seen *seen, struct dead_key key,
    const uint64_t *bound, trace_visit_fn *visit, void *arg)
{
	struct trace_block block = { 0 }, rows = { 0 };
	uint32_t at;
	int r = lower_bound(view, seen, TRACE_DEAD, dead_before, &key, &block, &at);

	for (; !r && at < seen->part->counts[TRACE_DEAD]; at++) {
		const uint8_t *entry;
		struct trace_row row;

		if ((r = trace_view_entry(view, seen, TRACE_DEAD, at, &block, &entry)) != 0)
			break;
		if (bytes_get16(entry) != key.place || (bound && bytes_get64(entry + 4) > *bound))
			break;
		if ((r = trace_view_row(view, seen, bytes_get32(entry + 12), &rows, &row)) == 0)
			r = visit(arg, seen, &row);
	}
	return r;
}

static int
dead_in_memory(const struct trace_seen *seen, const char *destination, uint64_t ref, const uint64_t *bound,
    trace_visit_fn *visit, void *arg)
{
	uint16_t place = trace_names_find(&seen->part->names, destination);
	int r = 0;

	for (uint32_t i = 0; i < seen->brief.born + seen->brief.carried && !r; i++) {
		const struct trace_row *row = trace_memory_row(seen->part->memory, i);

		if (trace_is_dead(row) && row->ref >= ref && !(bound && row->ref > *bound) &&
		    (row->places == place || row->places == TRACE_OTHER))
			r = visit(arg, seen, row);
	}
	return r;
}

int
trace_find_dead(struct trace_view *view, const char *destination, uint64_t ref, const uint64_t *bound,
    const uint64_t *newest, trace_visit_fn *visit, void *arg)
{
	int r = 0;

	for (size_t i = view->count; i-- > 0 && !r;) {
		const struct trace_seen *seen = &view->parts[i];
		struct dead_key key = { .ref = ref };

		if (!seen->brief.dead || ref > seen->brief.greatest_ref ||
		    (newest && *newest >= seen->brief.seen))
			continue;
		if (seen->part->memory) {
			r = dead_in_memory(seen, destination, ref, bound, visit, arg);
			continue;
		}
		if ((r = trace_view_load(view, seen)) != 0)
			break;
		key.place = trace_names_find(&seen->part->names, destination);
		if (key.place != TRACE_OTHER)
			r = dead_in_file(view, seen, key, bound, visit, arg);
		key.place = TRACE_OTHER;
		if (!r)
			r = dead_in_file(view, seen, key, bound, visit, arg);
	}
	return r;
}

/* Only the record tells where. */
static int
record_at(struct trace_view *view, uint64_t seq, const char *destination)
{
	struct trace_hop hop;
	struct arena arena;
	int r;

	arena_init(&arena, TRACE_RECORD_MEMORY);
	r = trace_read_hop(view, seq, &arena, &hop);
	if (r == 0)
		r = trace_names_has(hop.destination, destination);
	else if (r == TRACE_ABSENT)
		r = 0;
	arena_fini(&arena);
	return r;
}

int
trace_row_at(struct trace_view *view, const struct trace_seen *seen, const struct trace_row *row,
    const char *destination)
{
	const char *places;
	int r;

	if (row->places == TRACE_OTHER)
		return record_at(view, row->seq, destination);
	if ((r = trace_view_load(view, seen)) != 0)
		return r;
	places = trace_names_text(&seen->part->names, row->places);
	if (!places) {
		atomic_store(&seen->part->broken, true);
		return -EUCLEAN;
	}
	return trace_names_has(places, destination);
}
