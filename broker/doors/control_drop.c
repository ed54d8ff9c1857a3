/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `drop`: items taken off one destination's queue for ever, each with its own outcome in the journal: who, when, why.
 *
 * Without "yes" nothing is done and the same is said. What does not wait there is told per id; the rest is done all the same.
 */
#include <errno.h>
#include <string.h>

#include "broker/doors/control_live.h"

#define IN_FLIGHT_MAX 256 /* looked at: the widest window */

struct drop {
	size_t number;
	struct settlement *items;
	bool *in_flight; /* of each: it is being sent just now */
	size_t done;
};

/* Those being sent are the first of the queue. */
static void
mark_in_flight(struct control_request *request, const struct drop *drop)
{
	const struct sending *sending = request->with->sending;
	uint64_t first[IN_FLIGHT_MAX];
	struct sender_state state;
	size_t count;

	if (!sending || !sending->state(sending->senders, request->line.destination, &state) ||
	    !state.in_flight)
		return;
	count = state.in_flight < IN_FLIGHT_MAX ? state.in_flight : IN_FLIGHT_MAX;
	count = core_waiting(request->with->core, drop->number, 0, first, count);
	for (size_t i = 0; i < request->line.id_count; i++)
		for (size_t k = 0; k < count; k++)
			drop->in_flight[i] |= drop->items[i].seq == first[k];
}

static void
put_row(struct control_request *request, size_t i, const char *result, enum outcome standing)
{
	const struct drop *drop = request->own;

	control_row(request,
	    json_pack("{ss sI ss ss sb}", "kind", "drop", "id", (json_int_t)drop->items[i].seq, "result",
		result, "outcome", control_outcome_name(standing), "in_flight", (int)drop->in_flight[i]));
}

static void
put_end(struct control_request *request)
{
	const struct drop *drop = request->own;

	control_ok(request, json_pack("{sI sb}", request->line.yes ? "dropped" : "would_drop",
				(json_int_t)drop->done, "well", (int)(drop->done == request->line.id_count)));
}

static void
journalled(void *arg, int error)
{
	struct control_request *request = arg;
	struct drop *drop = request->own;
	uint64_t first = 0;

	if (error) {
		control_fail_journal(request);
		return;
	}
	for (size_t i = 0; i < request->line.id_count; i++) {
		const struct settlement *item = &drop->items[i];

		if (item->result == SETTLED_NOW) {
			first = first ? first : item->seq;
			drop->done++;
			put_row(request, i, "dropped", 0);
		} else if (item->result == SETTLED_BEFORE) {
			put_row(request, i, "settled", item->standing);
		} else {
			put_row(request, i, "absent", 0);
		}
	}
	if (drop->done)
		control_log_act(request, "drop", request->line.destination, first, drop->done);
	put_end(request);
}

static void
dry(struct control_request *request)
{
	struct drop *drop = request->own;

	for (size_t i = 0; i < request->line.id_count; i++) {
		enum outcome outcome = 0;
		enum core_standing standing =
		    core_standing(request->with->core, drop->number, drop->items[i].seq, &outcome);

		drop->done += standing == STANDING_WAITING;
		put_row(request, i,
		    standing == STANDING_WAITING   ? "would"
		    : standing == STANDING_SETTLED ? "settled"
						   : "absent",
		    outcome);
	}
	put_end(request);
}

static void
identified(struct control_request *request)
{
	struct drop *drop = request->own;
	size_t count = request->line.id_count;

	/* Any name that the journal has may have items that are to go; so may the parked ones. */
	drop->number = control_queue_number(request->with->core, request->line.destination);
	if (drop->number == CORE_NONE) {
		control_fail(request, "absent", "no destination is called so: liaison queue names them all");
		return;
	}
	for (size_t i = 0; i < count; i++)
		drop->items[i] = (struct settlement){ .seq = control_line_id(&request->line, i),
			.outcome = OUTCOME_DROPPED,
			.text = span_str(request->line.reason) };
	mark_in_flight(request, drop);
	if (request->line.yes)
		core_settle(
		    request->with->core, drop->number, request->who, drop->items, count, journalled, request);
	else
		dry(request);
}

void
control_drop(struct control_request *request)
{
	struct drop *drop = arena_calloc(&request->arena, 1, sizeof(*drop));

	request->own = drop;
	if (drop) {
		drop->items = arena_calloc(&request->arena, request->line.id_count, sizeof(*drop->items));
		drop->in_flight =
		    arena_calloc(&request->arena, request->line.id_count, sizeof(*drop->in_flight));
	}
	if (!drop || !drop->items || !drop->in_flight)
		control_fail_errno(request, "drop", ENOMEM);
	else
		control_identify(request, identified);
}
