/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `replay`: messages of the journal go to destinations once more. One page an answer: which message, where to, what has been acknowledged there
 * already, and, with "yes", as which new message it was put there.
 *
 * What is asked for is looked up in the trace, on a worker; where each stands now is the core's to say, on the loop. An answer is
 * only given when the trace has seen everything it is about: a page that left out what the view has not come to would be a hole that
 * nobody sees.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "broker/doors/control_live.h"

#define PAGE 200 /* messages of a span of time, or dead letters, per answer */

/* One message to one destination. */
struct plan {
	uint64_t id;
	const struct trace_message *message; /* NULL: none is known by that id */
	const char *to;			     /* "": by the routes of now */
	struct trace_past past;
	size_t number;
	const char *result, *why;
	uint64_t as;
};

struct replaying {
	uint64_t last, next;
	struct trace_message *messages;
	uint64_t *ids;
	size_t count;
	struct plan *plans;
	size_t plan_count;
	struct replay *items; /* those of the plans that can be done */
	struct plan **of;     /* the plan of each */
	size_t item_count;
};

/*
 * Looking up, on a worker.
 */
static int
pick_ids(struct control_request *request, struct replaying *r)
{
	r->count = request->line.id_count;
	r->ids = arena_calloc(&request->arena, r->count, sizeof(*r->ids));
	r->messages = arena_calloc(&request->arena, r->count, sizeof(*r->messages));
	if (!r->ids || !r->messages)
		return -ENOMEM;
	for (size_t i = 0; i < r->count; i++)
		r->ids[i] = control_line_id(&request->line, i);
	return trace_list(request->with->trace, r->ids, r->count, &request->arena, r->messages);
}

static int
pick_span(struct control_request *request, struct replaying *r)
{
	const struct control_line *line = &request->line;
	const struct trace_span span = {
		.since_us = (uint64_t)line->since * 1000000,
		.until_us = (uint64_t)line->until * 1000000,
		.peer = line->peer,
		.msg_type = line->type,
		.destination = line->destination,
		.after = line->after,
		.last = r->last,
	};

	r->messages = arena_calloc(&request->arena, PAGE, sizeof(*r->messages));
	if (!r->messages)
		return -ENOMEM;
	return trace_pick(
	    request->with->trace, &span, &request->arena, r->messages, PAGE, &r->count, &r->next);
}

static int
pick_dead(struct control_request *request, struct replaying *r)
{
	struct trace_hop *hops = arena_calloc(&request->arena, PAGE, sizeof(*hops));
	size_t found;
	int error;

	r->ids = arena_calloc(&request->arena, PAGE, sizeof(*r->ids));
	r->messages = arena_calloc(&request->arena, PAGE, sizeof(*r->messages));
	if (!hops || !r->ids || !r->messages)
		return -ENOMEM;
	error = trace_dead(request->with->trace, control_recorded(request->line.destination),
	    request->line.after, r->last, &request->arena, hops, PAGE, &r->count);
	found = error ? 0 : r->count;
	if (found == PAGE)
		r->next = hops[PAGE - 1].ref;
	r->count = 0;
	for (size_t i = 0; i < found; i++)
		if (hops[i].outcome != OUTCOME_DROPPED) /* an operator meant it: by its id only */
			r->ids[r->count++] = hops[i].ref;
	return error ? error
		     : trace_list(request->with->trace, r->ids, r->count, &request->arena, r->messages);
}

/* Where message ${m} is to go, comma between; "": by the routes of now. */
static const char *
places_of(const struct control_request *request, const struct trace_message *m)
{
	const struct control_line *line = &request->line;
	const char *own = m->seq ? m->destinations : ""; /* one that is not there has no texts */
	const char *places = line->to[0] ? line->to : line->destination[0] ? line->destination : own;

	return strcmp(places, CONTROL_PARKED) == 0 ? "" : places;
}

static size_t
count_places(const char *places)
{
	size_t count = 1;

	for (; *places; places++)
		count += *places == ',';
	return count;
}

static int
plan_message(struct control_request *request, struct replaying *r, size_t i)
{
	const struct trace_message *m = &r->messages[i];
	const char *rest = places_of(request, m);
	int error = 0;

	do {
		struct plan *plan = &r->plans[r->plan_count++];
		size_t len = strcspn(rest, ",");

		plan->id = r->ids ? r->ids[i] : m->seq;
		plan->message = m->seq ? m : NULL;
		plan->to = arena_str(&request->arena, span_make(rest, len));
		if (!plan->to)
			return -ENOMEM;
		if (plan->to[0] && plan->message)
			error = trace_past(request->with->trace, m->origin ? m->origin : m->seq, plan->to,
			    &request->arena, &plan->past);
		rest += len + (rest[len] == ',');
	} while (*rest && !error);
	return error;
}

static void
look_up(struct control_request *request)
{
	struct replaying *r = request->own;
	size_t room = 0;
	int error;

	if (!trace_wait(request->with->trace, r->last, CONTROL_VIEW_MS)) {
		request->result = -EAGAIN;
		return;
	}
	if (request->line.id_count)
		error = pick_ids(request, r);
	else if (request->line.dead)
		error = pick_dead(request, r);
	else
		error = pick_span(request, r);
	for (size_t i = 0; i < r->count && !error; i++)
		room += count_places(places_of(request, &r->messages[i]));
	r->plans = arena_calloc(&request->arena, room + 1, sizeof(*r->plans));
	r->items = arena_calloc(&request->arena, room + 1, sizeof(*r->items));
	r->of = arena_calloc(&request->arena, room + 1, sizeof(struct plan *));
	if (!error && (!r->plans || !r->items || !r->of))
		error = -ENOMEM;
	for (size_t i = 0; i < r->count && !error; i++)
		error = plan_message(request, r, i);
	request->result = error;
}

/*
 * Judging and doing, on the loop.
 */
static void
set_result(struct plan *plan, enum replay_result result)
{
	static const struct {
		const char *result, *why;
	} words[] = {
		[REPLAY_UNDONE] = { "undone", "not replayed: the journal could not take it" },
		[REPLAY_DONE] = { "replayed", "" },
		[REPLAY_ABSENT] = { "absent", "no accepted message has this id" },
		[REPLAY_BODILESS] = { "bodiless", "its bytes are not kept any more" },
		[REPLAY_WAITING] = { "waits", "it waits there still: nothing to do" },
		[REPLAY_MODE] = { "mode", "it is of the other mode: tests and production do not mix" },
		[REPLAY_UNROUTED] = { "unrouted", "no route wants it" },
	};

	plan->result = words[result].result;
	plan->why = words[result].why;
}

static bool
waits(const struct core *core, const struct plan *plan)
{
	return core_standing(core, plan->number, plan->id, NULL) == STANDING_WAITING ||
	       (plan->past.replay &&
		   core_standing(core, plan->number, plan->past.replay, NULL) == STANDING_WAITING);
}

/* What would come of ${plan}, as far as can be seen without doing it. */
static void
foresee(const struct control_options *with, struct plan *plan)
{
	const struct config_destination *destination = config_destination(with->config, plan->to);
	const struct trace_message *m = plan->message;

	plan->number = plan->to[0] ? core_number(with->core, plan->to) : CORE_NONE;
	plan->result = "would";
	plan->why = "";
	if (!m || m->type != RECORD_ACCEPTED) {
		set_result(plan, REPLAY_ABSENT);
	} else if (plan->to[0] && (plan->number == CORE_NONE || !destination)) {
		plan->result = "unknown";
		plan->why = "no destination is called so (any more): --to another";
	} else if (m->flags & (RECORD_BODILESS | RECORD_PURGED)) {
		set_result(plan, REPLAY_BODILESS);
	} else if (destination && (unsigned)destination->establishment->mode != m->mode) {
		set_result(plan, REPLAY_MODE);
	} else if (destination && waits(with->core, plan)) {
		set_result(plan, REPLAY_WAITING);
	}
}

static json_t *
acknowledged(const struct plan *plan)
{
	const struct trace_hop *hop = &plan->past.acknowledged;
	char how[300];

	if (!hop->record)
		return json_null();
	if (hop->code[0])
		snprintf(how, sizeof(how), "%s", hop->code);
	else
		snprintf(how, sizeof(how), "by %s", hop->who);
	return json_pack("{so so sI}", "time", control_time(hop->time_us), "how", control_text(how), "id",
	    (json_int_t)hop->ref);
}

static void
put_row(struct control_request *request, const struct plan *plan)
{
	const struct trace_message *m = plan->message;
	char type[2 * 256 + 2] = "";

	if (m)
		snprintf(type, sizeof(type), "%s%s%s", m->msg_type, m->msg_event[0] ? "^" : "", m->msg_event);
	control_row(
	    request, json_pack("{ss sI so ss ss so so so so so}", "kind", "replay", "id",
			 (json_int_t)plan->id, "to", control_text(plan->to), "result", plan->result, "why",
			 plan->why, "as", plan->as ? json_integer((json_int_t)plan->as) : json_null(), "time",
			 control_time(m ? m->time_us : 0), "peer", control_text(m ? m->peer : ""), "type",
			 control_text(type), "acknowledged", acknowledged(plan)));
}

static void
put_answer(struct control_request *request)
{
	const struct replaying *r = request->own;
	bool well = true;

	for (size_t i = 0; i < r->plan_count; i++) {
		const char *result = r->plans[i].result;

		put_row(request, &r->plans[i]);
		well = well && (strcmp(result, "would") == 0 || strcmp(result, "replayed") == 0 ||
				   strcmp(result, "waits") == 0);
	}
	control_ok(request,
	    json_pack("{sb so sI}", "well", (int)well, "next",
		r->next ? json_integer((json_int_t)r->next) : json_null(), "last", (json_int_t)r->last));
}

/* What came of the items; how many were replayed, the first in *${firstp}. */
static uint64_t
take_results(struct replaying *r, uint64_t *firstp)
{
	uint64_t done = 0;

	for (size_t i = 0; i < r->item_count; i++) {
		set_result(r->of[i], r->items[i].result);
		r->of[i]->as = r->items[i].new_seq;
		if (r->items[i].result == REPLAY_DONE && !done++)
			*firstp = r->items[i].seq;
	}
	return done;
}

static void
replayed(void *arg, int error)
{
	struct control_request *request = arg;
	struct replaying *r = request->own;
	uint64_t first = 0, done = take_results(r, &first);

	if (done)
		control_log_act(
		    request, "replay", request->line.to[0] ? request->line.to : NULL, first, done);
	if (!error) {
		put_answer(request);
		return;
	}
	for (size_t i = 0; i < r->plan_count; i++)
		put_row(request, &r->plans[i]);
	control_fail(request, error == -ECANCELED ? "busy" : "store", "%s; of this page %llu were replayed",
	    error == -ECANCELED	     ? "the broker stops"
	    : error == JOURNAL_FLOOR ? "disk space is below the floor"
				     : "the journal could not take this",
	    (unsigned long long)done);
}

static void
looked_up(struct control_request *request)
{
	struct replaying *r = request->own;

	if (request->result == -EAGAIN) {
		control_fail(request, "busy", "the view has not come so far as %llu yet; ask again",
		    (unsigned long long)r->last);
		return;
	}
	if (request->result) {
		control_fail_view(request, request->result);
		return;
	}
	for (size_t i = 0; i < r->plan_count; i++) {
		struct plan *plan = &r->plans[i];

		foresee(request->with, plan);
		if (strcmp(plan->result, "would") != 0)
			continue;
		r->of[r->item_count] = plan;
		r->items[r->item_count++] = (struct replay){ .seq = plan->id, .number = plan->number };
	}
	if (request->line.yes && r->item_count)
		core_replay_message(request->with->core, r->items, r->item_count, request->who,
		    request->line.reason, replayed, request);
	else
		put_answer(request);
}

static void
identified(struct control_request *request)
{
	const struct control_line *line = &request->line;
	struct replaying *r = request->own;

	if (line->to[0] && !config_destination(request->with->config, line->to)) {
		control_fail(request, "absent", "no destination is called \"%s\"", line->to);
		return;
	}
	r->last = journal_committed(request->with->journal);
	if (line->last && line->last < r->last)
		r->last = line->last;
	control_work(request, look_up, looked_up);
}

void
control_replay(struct control_request *request)
{
	request->own = arena_calloc(&request->arena, 1, sizeof(struct replaying));
	if (!request->own)
		control_fail_errno(request, "replay", ENOMEM);
	else
		control_identify(request, identified);
}
