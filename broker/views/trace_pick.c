/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a replay asks of the trace: messages of a span of time in the order of the journal, dead letters, and what is known already of a
 * message at a destination.
 *
 * Sequences and times ascend together, so parts before the span are left out; an answer that runs out of time says from where to go on.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker/core/decision.h"
#include "broker/views/trace_few.h"
#include "broker/views/trace_view.h"

struct picking {
	const struct trace_span *span;
	const char *peer, *type, *destination;
	struct trace_view *view;
	struct arena trial;
};

static bool
reaches_span(const void *arg, const struct trace_brief *brief)
{
	const struct picking *picking = arg;

	return brief->last_us >= picking->span->since_us;
}

/* 1, 0, -errno. */
static int
row_may_be(const struct picking *picking, const struct trace_seen *seen, const struct trace_row *row)
{
	const char *peer;
	int r;

	if (row->type != RECORD_ACCEPTED || row->ref || row->time_us < picking->span->since_us)
		return 0;
	if ((r = trace_view_load(picking->view, seen)) != 0)
		return r;
	peer = trace_names_text(&seen->part->names, row->peer);
	if ((picking->peer[0] && peer && strcmp(peer, picking->peer) != 0) ||
	    !trace_kind_is(trace_names_text(&seen->part->kinds, row->kind), picking->type))
		return 0;
	return picking->destination[0] ? trace_row_at(picking->view, seen, row, picking->destination) : 1;
}

/* The record has the word. 1, 0, -errno. */
static int
is_picked(struct picking *picking, uint64_t seq)
{
	struct trace_message m;
	int r;

	arena_reset(&picking->trial);
	r = trace_read_message(picking->view, seq, &picking->trial, &m);
	if (r)
		return r == TRACE_ABSENT ? 0 : r;
	return (!picking->peer[0] || strcmp(m.peer, picking->peer) == 0) &&
	       trace_type_is(&m, picking->type) &&
	       (!picking->destination[0] || trace_names_has(m.destinations, picking->destination));
}

static int
pick(struct picking *picking, struct arena *arena, struct trace_message *messages, size_t max, size_t *countp,
    uint64_t *nextp)
{
	const struct trace_span *span = picking->span;
	const struct trace_seen *seen;
	struct trace_scan *scan;
	struct trace_row row;
	unsigned looked = 0;
	int r = trace_scan_new(&scan, picking->view, false, span->after, reaches_span, picking);

	while (!r && (r = trace_scan_next(scan, &seen, &row)) == 0) {
		int wanted;

		if (row.seq > span->last || (span->until_us && row.time_us >= span->until_us))
			break;
		wanted = row_may_be(picking, seen, &row);
		if (wanted > 0)
			wanted = is_picked(picking, row.seq);
		if (wanted > 0) {
			r = trace_read_message(picking->view, row.seq, arena, &messages[*countp]);
			*countp += r == 0;
			r = r == TRACE_ABSENT ? 0 : r;
		}
		r = wanted < 0 ? wanted : r;
		if (!r && (*countp == max || (++looked % 1024 == 0 && trace_view_late(picking->view, 2)))) {
			*nextp = row.seq < span->last ? row.seq : 0;
			break;
		}
	}
	trace_scan_free(scan);
	return r == TRACE_END ? 0 : r;
}

int
trace_pick(struct trace *trace, const struct trace_span *span, struct arena *arena,
    struct trace_message *messages, size_t max, size_t *countp, uint64_t *nextp)
{
	struct trace_view view;
	const struct trace_span asked = *span; /* ${nextp} may be its own */
	struct picking picking = { .span = &asked,
		.peer = span->peer ? span->peer : "",
		.type = span->msg_type ? span->msg_type : "",
		.destination = span->destination ? span->destination : "",
		.view = &view };
	uint64_t next = 0;
	int r = trace_view_open(trace, true, &view);

	*countp = 0;
	arena_init(&picking.trial, TRACE_RECORD_MEMORY);
	if (!r)
		r = pick(&picking, arena, messages, max, countp, &next);
	arena_fini(&picking.trial);
	trace_view_close(trace, &view, r);
	if (!r) /* who asks again after a failure asks from the same place */
		*nextp = next;
	return r;
}

/*
 * What is known of a message at a destination.
 */
struct past {
	struct trace_view *view;
	const char *destination;
	struct trace_few replays;      /* all of them, newest first */
	uint64_t replay, acknowledged; /* the newest there */
};

static int
look_at_replay(void *arg, const struct trace_seen *seen, const struct trace_row *row)
{
	struct past *past = arg;
	int there;

	if (row->type != RECORD_ACCEPTED)
		return 0;
	trace_few_add(&past->replays, UINT64_MAX - row->seq, 0);
	if (row->seq <= past->replay)
		return 0;
	there = trace_row_at(past->view, seen, row, past->destination);
	if (there > 0)
		past->replay = row->seq;
	return there < 0 ? there : 0;
}

static int
look_at_outcome(void *arg, const struct trace_seen *seen, const struct trace_row *row)
{
	struct past *past = arg;
	int there;

	if (trace_is_message(row->type) || row->outcome != OUTCOME_ACCEPTED || row->seq <= past->acknowledged)
		return 0;
	there = trace_row_at(past->view, seen, row, past->destination);
	if (there > 0)
		past->acknowledged = row->seq;
	return there < 0 ? there : 0;
}

#define REPLAYS_MAX 1000 /* of one message that are looked through, the newest */

static int
find_past(struct trace_view *view, uint64_t origin, const char *destination, struct past *past)
{
	int r;

	*past = (struct past){ .view = view, .destination = destination };
	if ((r = trace_few_init(&past->replays, REPLAYS_MAX)) != 0)
		return r;
	r = trace_find_ref(view, origin, look_at_replay, past);
	trace_few_end(&past->replays);
	if (!r)
		r = trace_find_ref(view, origin, look_at_outcome, past);
	for (size_t i = 0; i < past->replays.count && !r; i++)
		r = trace_find_ref(view, UINT64_MAX - past->replays.pairs[i].major, look_at_outcome, past);
	trace_few_fini(&past->replays);
	return r;
}

int
trace_past(struct trace *trace, uint64_t origin, const char *destination, struct arena *arena,
    struct trace_past *past)
{
	struct trace_view view;
	struct past found = { 0 };
	int r = trace_view_open(trace, true, &view);

	*past = (struct trace_past){ 0 };
	if (!r)
		r = find_past(&view, origin, destination, &found);
	if (!r && found.acknowledged) {
		r = trace_read_hop(&view, found.acknowledged, arena, &past->acknowledged);
		if (r == TRACE_ABSENT) {
			past->acknowledged = (struct trace_hop){ 0 };
			r = 0;
		}
	}
	past->replay = found.replay;
	trace_view_close(trace, &view, r);
	return r;
}
