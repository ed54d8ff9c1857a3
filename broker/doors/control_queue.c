/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `queue`: without a destination one row for each; with one, a row for each message that waits there. What waits is the core's to
 * say (on the loop), what those messages are the trace's (on a worker).
 */
#include <errno.h>
#include <string.h>

#include "broker/doors/control_request.h"

#define QUEUE_ROWS 100 /* unless the client says */
#define PARKED	   "parked"

/* As it was when asked, one of each destination and one of what is parked. */
struct queue_state {
	const char *name;
	const struct config_destination *destination; /* NULL: parked */
	uint64_t waiting, oldest_us;
};

struct queue_list {
	struct queue_state *states;
	size_t state_count;
	uint64_t now_us;
	uint64_t *seqs; /* of one queue */
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

static json_t *
last_error(struct control_request *request, const char *name)
{
	struct trace_hop hop = { 0 };

	if (trace_trouble(request->with->trace, name, &request->arena, &hop) != 0)
		return json_null();
	return json_pack("{so sI ss so so}", "time", control_time(hop.time_us), "id", (json_int_t)hop.ref,
	    "outcome", control_outcome_name(hop.outcome), "code", control_text(hop.code), "who",
	    control_text(hop.who));
}

static void
states_work(struct control_request *request)
{
	struct queue_list *list = request->own;

	for (size_t i = 0; i < list->state_count; i++) {
		const struct queue_state *state = &list->states[i];
		const struct config_destination *destination = state->destination;

		control_row(request,
		    json_pack("{ss so so sI so so so so}", "kind", "queue", "name", control_text(state->name),
			"establishment", control_text(destination ? destination->establishment->name : ""),
			"waiting", (json_int_t)state->waiting, "oldest", control_time(state->oldest_us),
			"age", age(list->now_us, state->oldest_us), "readers", readers(destination),
			"last_error", last_error(request, state->name)));
	}
}

static void
messages_work(struct control_request *request)
{
	struct queue_list *list = request->own;
	struct trace_message *messages = arena_calloc(&request->arena, list->count, sizeof(*messages));

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
		if (row)
			json_object_set_new(row, "age", age(list->now_us, messages[i].time_us));
		control_row(request, row);
	}
}

static void
queue_done(struct control_request *request)
{
	const struct queue_list *list = request->own;

	if (request->result)
		control_fail_view(request, request->result);
	else if (list->seqs)
		control_ok(request, json_pack("{sI}", "waiting", (json_int_t)request->number));
	else
		control_ok(request, NULL);
}

static void
ask_state(const struct core *core, struct queue_state *state, const struct config_destination *destination)
{
	size_t number = destination ? core_number(core, destination->name) : CORE_PARKED;

	*state = (struct queue_state){
		.name = destination ? destination->name : PARKED,
		.destination = destination,
		.waiting = core_waiting_count(core, number),
		.oldest_us = core_oldest_us(core, number),
	};
}

static void
list_states(struct control_request *request, struct queue_list *list)
{
	const struct config *config = request->with->config;
	size_t count = config->destination_count + 1;

	list->states = arena_calloc(&request->arena, count, sizeof(*list->states));
	if (!list->states) {
		control_fail_errno(request, "queue", ENOMEM);
		return;
	}
	for (size_t i = 0; i < config->destination_count; i++)
		ask_state(request->with->core, &list->states[i], &config->destinations[i]);
	ask_state(request->with->core, &list->states[count - 1], NULL);
	list->state_count = count;
	control_work(request, states_work, queue_done);
}

static void
list_messages(struct control_request *request, struct queue_list *list, size_t number)
{
	size_t max = request->line.limit ? (size_t)request->line.limit : QUEUE_ROWS;

	if (max > CONTROL_ROWS_MAX)
		max = CONTROL_ROWS_MAX;
	list->seqs = arena_calloc(&request->arena, max, sizeof(*list->seqs));
	if (!list->seqs) {
		control_fail_errno(request, "queue", ENOMEM);
		return;
	}
	list->count = core_waiting(request->with->core, number, request->line.after, list->seqs, max);
	request->number = core_waiting_count(request->with->core, number);
	control_work(request, messages_work, queue_done);
}

void
control_queue(struct control_request *request)
{
	const char *name = request->line.destination;
	const struct config_destination *destination;
	struct queue_list *list = arena_calloc(&request->arena, 1, sizeof(*list));

	if (!list) {
		control_fail_errno(request, "queue", ENOMEM);
		return;
	}
	request->own = list;
	list->now_us = journal_now(request->with->journal);
	if (!name[0]) {
		list_states(request, list);
		return;
	}
	destination = config_destination(request->with->config, name);
	if (destination)
		list_messages(request, list, core_number(request->with->core, name));
	else if (strcmp(name, PARKED) == 0)
		list_messages(request, list, CORE_PARKED);
	else
		control_fail(request, "absent", "no destination is called so");
}
