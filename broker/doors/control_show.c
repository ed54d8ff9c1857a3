/* SPDX-License-Identifier: Apache-2.0 */
/* `show`, `why` and `search`: messages told by their metadata, from the trace. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "broker/base/clock.h"
#include "broker/doors/control_live.h"

static const char *
type_name(unsigned type)
{
	static const char *const names[] = {
		[RECORD_ACCEPTED] = "accepted",
		[RECORD_REFUSED] = "refused",
		[RECORD_FRAME] = "frame",
		[RECORD_STRAY] = "stray",
		[RECORD_DUPLICATE] = "duplicate",
		[RECORD_OUTCOME] = "outcome",
		[RECORD_ACCESS] = "read",
		[RECORD_OPERATOR] = "operator",
		[RECORD_STARTED] = "started",
		[RECORD_REMOVED] = "removed",
		[RECORD_SIGNED] = "signed",
	};

	return type < sizeof(names) / sizeof(names[0]) && names[type] ? names[type] : "other";
}

const char *
control_outcome_name(unsigned outcome)
{
	switch (outcome) {
	case OUTCOME_ACCEPTED:
		return "accepted";
	case OUTCOME_REJECTED:
		return "rejected";
	case OUTCOME_EXPIRED:
		return "dead-letter";
	case OUTCOME_DROPPED:
		return "dropped";
	default:
		return "";
	}
}

static json_t *
leniency_names(unsigned leniencies)
{
	static const struct {
		unsigned bit;
		const char *name;
	} known[] = {
		{ LENIENT_LF, "lf" },
		{ LENIENT_NO_FINAL_CR, "no-final-cr" },
		{ LENIENT_NO_END_CR, "no-end-cr" },
	};
	json_t *names = json_array();

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (leniencies & known[i].bit)
			json_array_append_new(names, json_string(known[i].name));
	return names;
}

static json_t *
full_type(const struct trace_message *message)
{
	char text[2 * 256 + 2];

	snprintf(text, sizeof(text), "%s%s%s", message->msg_type, message->msg_event[0] ? "^" : "",
	    message->msg_event);
	return control_text(text);
}

static json_t *
fault_row(const struct trace_message *message)
{
	if (!message->fault)
		return json_null();
	return json_pack("{si ss so so}", "code", fault_hl7_code(message->fault), "name",
	    fault_name(message->fault), "path", control_text(message->fault_path), "text",
	    control_text(message->fault_text));
}

json_t *
control_message_row(const struct trace_message *m)
{
	return json_pack("{ss sI so ss ss so so so so so so so sI so so}", "kind", "message", "id",
	    (json_int_t)m->seq, "time", control_time(m->time_us), "record", type_name(m->type), "answer",
	    control_answer_name(m->answer), "peer", control_text(m->peer), "type", full_type(m), "control",
	    control_text(m->control), "application", control_text(m->application), "facility",
	    control_text(m->facility), "mode", control_text(config_mode_name(m->mode)), "destinations",
	    control_text(m->destinations), "size", (json_int_t)m->size, "fault", fault_row(m), "parked",
	    json_boolean(m->parked));
}

/* What `show` adds to that. */
static json_t *
whole_message_row(const struct trace_message *m)
{
	json_t *row = control_message_row(m);
	json_t *more = json_pack("{so so so so so so so so so so so so sI sI sI so}", "sha256",
	    control_text(m->sha256), "establishment", control_text(m->establishment), "listener",
	    control_text(m->listener), "version", control_text(m->version), "processing",
	    control_text(m->processing), "to_application", control_text(m->to_application), "to_facility",
	    control_text(m->to_facility), "charset", control_text(m->charset), "charset_used",
	    control_text(m->charset_used), "charset_reason", control_text(m->charset_reason), "routes",
	    control_text(m->routes), "leniencies", leniency_names(m->leniencies), "frame_size",
	    (json_int_t)m->frame_size, "frame_offset", (json_int_t)m->frame_offset, "documents",
	    (json_int_t)m->document_count, "origin",
	    m->origin ? json_integer((json_int_t)m->origin) : json_null());

	if (row && more && json_object_update(row, more) != 0) {
		json_decref(row);
		row = NULL;
	}
	json_decref(more);
	return row;
}

static json_t *
hop_row(const struct trace_hop *hop)
{
	return json_pack("{ss sI sI so ss ss so so so so so}", "kind", "hop", "record",
	    (json_int_t)hop->record, "ref", (json_int_t)hop->ref, "time", control_time(hop->time_us), "what",
	    hop->type == RECORD_ACCEPTED ? "replayed" : type_name(hop->type), "outcome",
	    control_outcome_name(hop->outcome), "where", control_text(hop->destination), "who",
	    control_text(hop->who), "code", control_text(hop->code), "text", control_text(hop->text), "of",
	    control_text(hop->what));
}

static void
show_rows(
    struct control_request *request, const struct trace_message *message, const struct trace_hop *record)
{
	if (record && (!record->ref || !message->seq))
		control_row(request, hop_row(record));
	if (!message->seq)
		return;
	control_row(request, whole_message_row(message));
	for (size_t i = 0; i < message->documents_given; i++) {
		const struct trace_document *d = &message->documents[i];

		control_row(request,
		    json_pack("{ss sI so so so sI}", "kind", "document", "number", (json_int_t)d->number,
			"media", control_text(d->media), "code", control_text(d->code), "system",
			control_text(d->system), "size", (json_int_t)d->size));
	}
	if (message->replay)
		control_row(request, hop_row(message->replay));
	for (size_t i = 0; i < message->hop_count; i++)
		control_row(request, hop_row(&message->hops[i]));
}

/* On a worker: rows and, in ${number}, whether all is well with it. */
static void
show_work(struct control_request *request)
{
	const struct control_options *with = request->with;
	const struct trace_hop *record;
	struct trace_message message;
	struct buffer why;
	bool well = true;

	(void)trace_wait(with->trace, request->number, CONTROL_VIEW_MS);
	request->result = trace_show(with->trace, request->line.id, &request->arena, &message, &record);
	if (request->result)
		return;
	if (request->line.verb == CONTROL_SHOW)
		show_rows(request, &message, record);
	buffer_init(&why, 65536);
	control_why_sentence(request, request->own, &message, record, &why, &well);
	buffer_append_byte(&why, 0);
	control_row(request,
	    json_pack("{ssso}", "kind", "why", "text", control_text(why.len ? (const char *)why.data : "")));
	buffer_fini(&why);
	request->number = well;
}

static void
show_done(struct control_request *request)
{
	uint64_t id = request->line.id;
	struct journal_place place;

	if (request->result == TRACE_ABSENT && journal_find(request->with->journal, id, &place) == 0)
		control_fail(request, "busy", "the view has not come so far as %llu yet; ask again",
		    (unsigned long long)id);
	else if (request->result == TRACE_ABSENT)
		control_fail(request, "absent", "no record %llu: it never was, or its retention is over",
		    (unsigned long long)id);
	else if (request->result)
		control_fail_view(request, request->result);
	else
		control_ok(request, json_pack("{sb}", "well", (int)request->number));
}

void
control_show(struct control_request *request)
{
	if (request->line.proof) {
		control_proof(request);
		return;
	}
	if (request->line.content) {
		control_content(request);
		return;
	}
	request->own = arena_calloc(&request->arena, 1, sizeof(struct control_lives));
	if (!request->own || control_lives_take(request, request->own) != 0) {
		control_fail_errno(request, "show", ENOMEM);
		return;
	}
	/* What is committed now is what the asker may know of: the answer is not older (bounded). */
	request->number = journal_committed(request->with->journal);
	control_work(request, show_work, show_done);
}

void
control_why(struct control_request *request)
{
	control_show(request);
}

static void
search_work(struct control_request *request)
{
	const struct control_line *line = &request->line;
	const struct trace_query query = {
		.control = line->control,
		.peer = line->peer,
		.msg_type = line->type,
		.since_us = line->since > 0 ? (uint64_t)line->since * 1000000 : 0,
		.before_seq = line->after,
		.refused = line->refused,
	};
	size_t max = line->limit && line->limit < CONTROL_ROWS_MAX ? (size_t)line->limit : CONTROL_ROWS_MAX;
	struct trace_message *messages = arena_calloc(&request->arena, max, sizeof(*messages));
	size_t count = 0;

	if (!messages) {
		request->result = -ENOMEM;
		return;
	}
	(void)trace_wait(request->with->trace, request->number, CONTROL_VIEW_MS);
	request->result = trace_search(request->with->trace, &query, &request->arena, messages, max, &count);
	for (size_t i = 0; !request->result && i < count; i++)
		control_row(request, control_message_row(&messages[i]));
	request->number = count;
}

static void
search_done(struct control_request *request)
{
	if (request->result)
		control_fail_view(request, request->result);
	else
		control_ok(request, json_pack("{sI}", "found", (json_int_t)request->number));
}

void
control_search(struct control_request *request)
{
	request->number = journal_committed(request->with->journal);
	control_work(request, search_work, search_done);
}
