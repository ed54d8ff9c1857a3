/* SPDX-License-Identifier: Apache-2.0 */
/* The destinations as they are: see control_live.h. */
#include "broker/doors/control_live.h"

#include <errno.h>
#include <string.h>

static void
take(const struct control_options *with, struct control_live *live, const char *name, size_t number)
{
	*live = (struct control_live){
		.name = name,
		.destination = config_destination(with->config, name),
		.waiting = core_waiting_count(with->core, number),
		.oldest_us = core_oldest_us(with->core, number),
	};
	if (core_held(with->core, number))
		live->hold_record = core_hold_record(with->core, number);
	if (live->destination && live->destination->kind != DESTINATION_INBOX && with->sending)
		live->dialled = with->sending->state(with->sending->senders, name, &live->state);
}

int
control_lives_take(struct control_request *request, struct control_lives *lives)
{
	const struct control_options *with = request->with;
	size_t names = core_numbers(with->core);

	*lives = (struct control_lives){ .now_us = journal_now(with->journal) };
	lives->list =
	    arena_calloc(&request->arena, with->config->destination_count + names + 1, sizeof(*lives->list));
	if (!lives->list)
		return -ENOMEM;
	for (size_t i = 0; i < with->config->destination_count; i++) {
		const char *name = with->config->destinations[i].name;

		take(with, &lives->list[lives->count++], name, core_number(with->core, name));
	}
	for (size_t i = 0; i < names; i++)
		if (!core_configured(with->core, i) && core_waiting_count(with->core, i))
			take(with, &lives->list[lives->count++], core_name(with->core, i), i);
	lives->list[lives->count++] = (struct control_live){
		.name = CONTROL_PARKED,
		.parked = true,
		.waiting = core_waiting_count(with->core, CORE_PARKED),
		.oldest_us = core_oldest_us(with->core, CORE_PARKED),
	};
	return 0;
}

const struct control_live *
control_live_find(const struct control_lives *lives, const char *name)
{
	for (size_t i = 0; i < lives->count; i++)
		if (!lives->list[i].parked && strcmp(lives->list[i].name, name) == 0)
			return &lives->list[i];
	return NULL;
}

const char *
control_live_state(const struct control_live *live)
{
	if (live->hold_record)
		return "held";
	if (!live->dialled)
		return "-";
	if (live->state.phase == SENDER_WAITING)
		return "back-off";
	if (live->state.tries)
		return "down";
	return live->state.phase == SENDER_CONNECTING ? "connecting" : "up";
}

bool
control_live_hold(struct control_request *request, const struct control_live *live, struct trace_hop *hop)
{
	const struct trace_hop *record = NULL;
	struct trace_message none;

	if (!live->hold_record)
		return false;
	/* Who holds it was journalled a moment ago, perhaps. */
	(void)trace_wait(request->with->trace, live->hold_record, CONTROL_VIEW_MS);
	if (trace_show(request->with->trace, live->hold_record, &request->arena, &none, &record) != 0 ||
	    !record)
		return false;
	*hop = *record;
	return true;
}

size_t
control_queue_number(const struct core *core, const char *name)
{
	size_t number = strcmp(name, CONTROL_PARKED) == 0 ? CORE_PARKED : core_number(core, name);

	for (size_t i = 0; number == CORE_NONE && i < core_numbers(core); i++)
		if (strcmp(core_name(core, i), name) == 0)
			number = i;
	return number;
}

const char *
control_recorded(const char *name)
{
	return strcmp(name, CONTROL_PARKED) == 0 ? CONTROL_RECORDED : name;
}
