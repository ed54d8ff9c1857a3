/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `queue`: without a destination one row for each; with one, a row for each message that waits there, or of its dead letters. What waits is the
 * core's to say (on the loop), what those messages are the trace's (on a worker).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "broker/doors/control_live.h"

#define QUEUE_ROWS 100 /* unless the client says */

struct queue_list {
	struct control_lives lives;
	const struct control_live
	    *live; /* of one queue; NULL: nothing waits there and it is not configured */
	uint64_t *seqs;
	size_t count;
};

static json_t *
age(uint64_t now_us, uint64_t then_us)
{
	if (!then_us)
		return json_null();
	return json_integer((json_int_t)(now_us > then_us ? (now_us - then_us) / 1000000 : 0));
}

static json_t *
readers(const struct config_destination *destination)
{
	json_t *names = json_array();

	for (size_t i = 0; destination && i < destination->reader_count; i++)
		json_array_append_new(names, control_text(destination->readers[i]->name));
	return names;
}

/* The newest rejection or dead letter. */
static json_t *
last_dead(struct control_request *request, const char *name)
{
	struct trace_hop hop = { 0 };

	if (trace_trouble(request->with->trace, name, &request->arena, &hop) != 0)
		return json_null();
	return json_pack("{so sI ss so so}", "time", control_time(hop.time_us), "id", (json_int_t)hop.ref,
	    "outcome", control_outcome_name(hop.outcome), "code", control_text(hop.code), "who",
	    control_text(hop.who));
}

static json_t *
hold_row(struct control_request *request, const struct control_live *live)
{
	struct trace_hop hop = { 0 };

	if (!live->hold_record)
		return json_null();
	if (!control_live_hold(request, live, &hop))
		return json_object();
	return json_pack("{so so so}", "time", control_time(hop.time_us), "who", control_text(hop.who),
	    "reason", control_text(hop.text));
}

/* What only a dialled one has: where it is, and how the sending stands. */
static void
add_sending(json_t *row, const struct control_live *live)
{
	const struct sender_state *state = &live->state;
	const struct config_dial *dial = &live->destination->dial;
	char address[300];

	snprintf(address, sizeof(address), "%s:%u", dial->host, (unsigned)dial->port);
	json_object_set_new(row, "address", control_text(address));
	if (!live->dialled)
		return;
	json_object_set_new(row, "since", control_time(state->since_us));
	json_object_set_new(row, "in_flight", json_integer(state->in_flight));
	json_object_set_new(row, "tries", json_integer(state->tries));
	json_object_set_new(row, "next", control_time(state->next_us));
	json_object_set_new(row, "last_acknowledged", control_time(state->last_ok_us));
	json_object_set_new(row, "error", state->error[0] ? control_text(state->error) : json_null());
	json_object_set_new(row, "error_time", control_time(state->error_us));
}

static void
states_work(struct control_request *request)
{
	struct queue_list *list = request->own;

	for (size_t i = 0; i < list->lives.count; i++) {
		const struct control_live *live = &list->lives.list[i];
		const struct config_destination *destination = live->destination;
		bool inbox = destination && destination->kind == DESTINATION_INBOX;
		json_t *row;

		row = json_pack("{ss so ss ss so sI so so so so so}", "kind", "queue", "name",
		    control_text(live->name), "protocol",
		    live->parked   ? "parked"
		    : !destination ? "none"
		    : inbox	   ? "inbox"
				   : "mllp",
		    "state", control_live_state(live), "establishment",
		    control_text(destination ? destination->establishment->name : ""), "waiting",
		    (json_int_t)live->waiting, "oldest", control_time(live->oldest_us), "age",
		    age(list->lives.now_us, live->oldest_us), "readers", readers(destination), "held",
		    hold_row(request, live), "last_error",
		    last_dead(request, live->parked ? CONTROL_RECORDED : live->name));
		if (row && destination && !inbox)
			add_sending(row, live);
		control_row(request, row);
	}
}

/* The tries and the error are those of the first in the queue: the others have not been tried since. */
static void
add_try(json_t *row, const struct queue_list *list, size_t i, bool first_page)
{
	const struct control_live *live = list->live;

	if (!live || !live->dialled || !first_page ||
	    i > (live->state.in_flight ? live->state.in_flight - 1 : 0))
		return;
	json_object_set_new(row, "in_flight", json_boolean(i < live->state.in_flight));
	json_object_set_new(row, "tries", json_integer(live->state.tries));
	if (live->state.error[0] && live->state.tries)
		json_object_set_new(row, "error", control_text(live->state.error));
}

static void
messages_work(struct control_request *request)
{
	struct queue_list *list = request->own;
	struct trace_message *messages = arena_calloc(&request->arena, list->count + 1, sizeof(*messages));

	request->result = -ENOMEM;
	if (!messages)
		return;
	if (list->count)
		(void)trace_wait(request->with->trace, list->seqs[list->count - 1], CONTROL_VIEW_MS);
	request->result =
	    trace_list(request->with->trace, list->seqs, list->count, &request->arena, messages);
	for (size_t i = 0; !request->result && i < list->count; i++) {
		json_t *row = control_message_row(&messages[i]);

		if (row && !messages[i].seq) /* the view has not come so far */
			json_object_set_new(row, "id", json_integer((json_int_t)list->seqs[i]));
		if (row) {
			json_object_set_new(row, "age", age(list->lives.now_us, messages[i].time_us));
			add_try(row, list, i, request->line.after == 0);
		}
		control_row(request, row);
	}
}

/* One row a dead letter: the message, and what became of it when and by whom. What was said of it may name a patient: for who asks for that one. */
static void
dead_row(struct control_request *request, const struct trace_hop *hop, const struct trace_message *message)
{
	json_t *row = control_message_row(message);
	json_t *more = json_pack("{ss sI so ss so so}", "kind", "dead", "id", (json_int_t)hop->ref,
	    "dead_time", control_time(hop->time_us), "outcome", control_outcome_name(hop->outcome), "code",
	    control_text(hop->code), "who", control_text(hop->who));

	if (row && more && json_object_update(row, more) != 0) {
		json_decref(row);
		row = NULL;
	}
	json_decref(more);
	control_row(request, row);
}

static void
dead_work(struct control_request *request)
{
	struct queue_list *list = request->own;
	struct trace *trace = request->with->trace;
	size_t max = list->count;
	struct trace_hop *hops = arena_calloc(&request->arena, max, sizeof(*hops));
	struct trace_message *messages = arena_calloc(&request->arena, max, sizeof(*messages));

	list->count = 0;
	request->result = -ENOMEM;
	if (!hops || !messages)
		return;
	(void)trace_wait(trace, request->number, CONTROL_VIEW_MS);
	request->result = trace_dead(trace, control_recorded(request->line.destination), request->line.after,
	    0, &request->arena, hops, max, &list->count);
	for (size_t i = 0; i < list->count; i++)
		list->seqs[i] = hops[i].ref;
	if (!request->result)
		request->result = trace_list(trace, list->seqs, list->count, &request->arena, messages);
	for (size_t i = 0; !request->result && i < list->count; i++)
		dead_row(request, &hops[i], &messages[i]);
	request->number = list->count == max;
}

static void
queue_done(struct control_request *request)
{
	const struct queue_list *list = request->own;

	if (request->result)
		control_fail_view(request, request->result);
	else if (request->line.dead)
		control_ok(request,
		    json_pack("{sI sb}", "dead", (json_int_t)list->count, "more", (int)request->number));
	else if (list->seqs)
		control_ok(request, json_pack("{sI}", "waiting", (json_int_t)request->number));
	else
		control_ok(request, NULL);
}

static void
list_messages(struct control_request *request, struct queue_list *list, size_t number)
{
	const struct control_options *with = request->with;
	size_t max = request->line.limit ? (size_t)request->line.limit : QUEUE_ROWS;

	if (max > CONTROL_ROWS_MAX)
		max = CONTROL_ROWS_MAX;
	list->seqs = arena_calloc(&request->arena, max, sizeof(*list->seqs));
	if (!list->seqs) {
		control_fail_errno(request, "queue", ENOMEM);
		return;
	}
	if (request->line.dead) {
		list->count = max;
		request->number = journal_committed(with->journal);
		control_work(request, dead_work, queue_done);
		return;
	}
	list->live = control_live_find(&list->lives, request->line.destination);
	list->count = core_waiting(with->core, number, request->line.after, list->seqs, max);
	request->number = core_waiting_count(with->core, number);
	control_work(request, messages_work, queue_done);
}

void
control_queue(struct control_request *request)
{
	const char *name = request->line.destination;
	struct queue_list *list = arena_calloc(&request->arena, 1, sizeof(*list));
	size_t number;

	request->own = list;
	if (!list || control_lives_take(request, &list->lives) != 0) {
		control_fail_errno(request, "queue", ENOMEM);
		return;
	}
	number = name[0] ? control_queue_number(request->with->core, name) : CORE_NONE;
	if (!name[0])
		control_work(request, states_work, queue_done);
	else if (number != CORE_NONE)
		list_messages(request, list, number);
	else
		control_fail(request, "absent", "no destination is called so: liaison queue names them all");
}
