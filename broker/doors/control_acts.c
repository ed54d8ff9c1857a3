/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operators' acts on the whole and on destinations: `reload`, `hold` and `release`.
 *
 * An act is journalled with who and why before it is done, and answered when it is done; the log says `operator`. What cannot be
 * done is said before anything is journalled.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "broker/doors/control_live.h"
#include "broker/doors/control_request.h"

/*
 * reload
 */
static void
reload_rows(struct control_request *request, const char *kind, const struct buffer *report)
{
	struct span rest = buffer_span(report);

	while (rest.len) {
		const uint8_t *end = memchr(rest.ptr, '\n', rest.len);
		size_t len = end ? (size_t)(end - rest.ptr) : rest.len;
		char *text = arena_str(&request->arena, span_cut(rest, 0, len));

		control_row(request, json_pack("{ss so}", "kind", kind, "text", control_text(text)));
		rest = span_cut(rest, len + (end != NULL), rest.len);
		request->number++;
	}
}

static void
reloaded(void *arg, int result, const struct buffer *report)
{
	struct control_request *request = arg;

	if (result < 0) {
		control_fail_errno(request, "nothing was switched", result);
		return;
	}
	reload_rows(request, result ? "error" : "change", report);
	if (result) {
		control_fail(request, "refused", "nothing was switched: %llu error%s",
		    (unsigned long long)request->number, request->number == 1 ? "" : "s");
		return;
	}
	control_log_act(request, "reload", NULL, 0, 0);
	control_ok(request, json_pack("{sI}", "changes", (json_int_t)request->number));
}

static void
reload_identified(struct control_request *request)
{
	request->with->reload(request->with->daemon, request->who, reloaded, request);
}

void
control_reload(struct control_request *request)
{
	if (!request->with->reload)
		control_fail(request, "refused", "this broker reads its configuration at its start only");
	else
		control_identify(request, reload_identified);
}

/*
 * hold, release
 */
/* The number of the dialled destination that the request names; false after answering that there is none. */
static bool
find_dialled(struct control_request *request, size_t *numberp)
{
	const char *name = request->line.destination;
	const struct config_destination *destination = config_destination(request->with->config, name);
	size_t was = control_queue_number(request->with->core, name);

	*numberp = core_number(request->with->core, name);
	if (!destination || *numberp == CORE_NONE)
		control_fail(request, "absent",
		    was == CORE_NONE || was == CORE_PARKED
			? "no destination is called so: liaison queue names them all"
			: "it is not configured (any more): what waits there goes when its name is put back, "
			  "or by drop");
	else if (destination->kind == DESTINATION_INBOX)
		control_fail(request, "refused", "an inbox waits for its reader; nothing to hold");
	else
		return true;
	return false;
}

/* Its next try is waited for: a release of what is not held makes it now. */
static bool
is_pausing(struct control_request *request)
{
	const struct sending *sending = request->with->sending;
	struct sender_state state;

	return sending && sending->state(sending->senders, request->line.destination, &state) && state.tries;
}

static void
hold_journalled(void *arg, int error)
{
	struct control_request *request = arg;
	const struct sending *sending = request->with->sending;
	const char *name = request->line.destination;

	if (error) {
		control_fail_journal(request);
		return;
	}
	control_log_act(request, control_verb_name(request->line.verb), name, 0, 0);
	if (request->line.verb == CONTROL_RELEASE && sending)
		sending->kick(sending->senders, name);
	control_ok(request,
	    json_pack("{sb sO sI}", "held", (int)core_held(request->with->core, (size_t)request->number),
		"was_held", request->row, "waiting",
		(json_int_t)core_waiting_count(request->with->core, (size_t)request->number)));
}

static void
hold_identified(struct control_request *request)
{
	bool hold = request->line.verb == CONTROL_HOLD;
	size_t number;

	if (!find_dialled(request, &number))
		return;
	request->row = json_boolean(core_held(request->with->core, number));
	if (json_is_true(request->row) == hold && (hold || !is_pausing(request))) {
		control_fail(request, "refused",
		    hold ? "it is held already: liaison queue tells by whom and why"
			 : "it is not held, and no pause is on: liaison queue tells how it stands");
		return;
	}
	request->number = number;
	core_hold(
	    request->with->core, number, hold, request->who, request->line.reason, hold_journalled, request);
}

void
control_hold(struct control_request *request)
{
	control_identify(request, hold_identified);
}

void
control_release(struct control_request *request)
{
	control_hold(request);
}
