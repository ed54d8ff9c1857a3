/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `why`: where a message is and why, in sentences an operator can read out on the telephone.
 *
 * Made from the trace alone (and the readers' names of the configuration): the destinations it was routed to, and of each the
 * outcome there was, or that there was none yet.
 */
#include <stdio.h>
#include <string.h>

#include "broker/base/clock.h"
#include "broker/doors/control_request.h"

static void
put_when(struct buffer *out, uint64_t us)
{
	char text[32];

	clock_format(us, text);
	buffer_append_str(out, text);
}

/* "3 h 12 min" */
static void
put_age(struct buffer *out, uint64_t now_us, uint64_t then_us)
{
	uint64_t s = now_us > then_us ? (now_us - then_us) / 1000000 : 0;

	if (s < 120)
		buffer_printf(out, "%llu s", (unsigned long long)s);
	else if (s < 7200)
		buffer_printf(out, "%llu min", (unsigned long long)(s / 60));
	else if (s < 172800)
		buffer_printf(out, "%llu h %llu min", (unsigned long long)(s / 3600),
		    (unsigned long long)(s / 60 % 60));
	else
		buffer_printf(out, "%llu days", (unsigned long long)(s / 86400));
}

static void
put_readers(struct buffer *out, const struct config_destination *destination)
{
	if (!destination || !destination->reader_count) {
		buffer_append_str(out, "no peer may read it");
		return;
	}
	for (size_t i = 0; i < destination->reader_count; i++)
		buffer_printf(out, "%s%s", i ? i + 1 == destination->reader_count ? " or " : ", " : "",
		    destination->readers[i]->name);
	buffer_append_str(out, " has not acknowledged it");
}

/* The outcome at ${name}, the newest read by anybody in ${readp}. */
static const struct trace_hop *
find_outcome(const struct trace_message *m, const char *name, const struct trace_hop **readp)
{
	const struct trace_hop *outcome = NULL;

	*readp = NULL;
	for (size_t i = 0; i < m->hop_count; i++) {
		const struct trace_hop *hop = &m->hops[i];

		/* The first outcome counts. */
		if (hop->type == RECORD_OUTCOME && !outcome && strcmp(hop->destination, name) == 0)
			outcome = hop;
		if (hop->type == RECORD_ACCESS && strncmp(hop->who, "uid:", 4) != 0)
			*readp = hop;
	}
	return outcome;
}

static void
put_waiting(const struct control_options *with, const struct trace_message *m, const char *name,
    const struct trace_hop *read, uint64_t now_us, struct buffer *out)
{
	const struct config_destination *destination = config_destination(with->config, name);

	buffer_printf(out, " It waits in inbox %s for ", name);
	put_age(out, now_us, m->time_us);
	buffer_append_str(out, " now: ");
	put_readers(out, destination);
	if (read) {
		buffer_printf(out, " (%s read it at ", read->who);
		put_when(out, read->time_us);
		buffer_append_str(out, ")");
	}
	buffer_append_byte(out, '.');
}

static void
put_settled(const struct trace_hop *hop, const char *name, struct buffer *out, bool *wellp)
{
	if (hop->outcome == OUTCOME_ACCEPTED) {
		buffer_printf(out, " %s took it from inbox %s at ", hop->who, name);
		put_when(out, hop->time_us);
		buffer_append_byte(out, '.');
		return;
	}
	*wellp = false;
	if (hop->outcome == OUTCOME_REJECTED) {
		buffer_printf(out, " %s rejected it from inbox %s at ", hop->who, name);
		put_when(out, hop->time_us);
		buffer_printf(out, ", code %s%s%s: correct it at the source and send it anew.",
		    hop->code[0] ? hop->code : "(none)", hop->text[0] ? ", " : "", hop->text);
		return;
	}
	buffer_printf(out, " It became a dead letter of inbox %s at ", name);
	put_when(out, hop->time_us);
	buffer_append_str(out, ": nobody took it in time, or the inbox held too much.");
}

/* Retention leaves the bytes behind only of what waits nowhere, and drops its outcomes. */
static void
put_forgotten(const char *name, struct buffer *out)
{
	buffer_printf(out,
	    " It does not wait in inbox %s any more; what became of it there is past its retention.", name);
}

static void
put_destinations(const struct control_options *with, const struct trace_message *m, uint64_t now_us,
    struct buffer *out, bool *wellp)
{
	const char *rest = m->destinations;

	while (*rest) {
		size_t len = strcspn(rest, ",");
		const struct trace_hop *outcome, *read;
		char name[256];

		snprintf(name, sizeof(name), "%.*s", (int)len, rest);
		rest += len + (rest[len] == ',');
		outcome = find_outcome(m, name, &read);
		if (outcome)
			put_settled(outcome, name, out, wellp);
		else if (m->flags & RECORD_BODILESS)
			put_forgotten(name, out);
		else
			put_waiting(with, m, name, read, now_us, out);
	}
}

static void
put_fault(const struct trace_message *m, struct buffer *out)
{
	buffer_printf(out, "%s%s%d %s: %s", m->fault_path, m->fault_path[0] ? ", " : "",
	    fault_hl7_code(m->fault), fault_name(m->fault), m->fault_text);
}

static void
put_accepted(const struct control_options *with, const struct trace_message *m, uint64_t now_us,
    struct buffer *out, bool *wellp)
{
	buffer_printf(out, "Message %llu came from %s at ", (unsigned long long)m->seq, m->peer);
	put_when(out, m->time_us);
	buffer_append_str(out, " and was accepted (AA).");
	if (m->parked) {
		buffer_append_str(out, " It is parked: no route wants it.");
		*wellp = false;
	}
	put_destinations(with, m, now_us, out, wellp);
}

static void
put_not_accepted(const struct trace_message *m, struct buffer *out)
{
	unsigned long long seq = m->seq;

	if (m->type == RECORD_STRAY) {
		buffer_printf(out,
		    "Record %llu is an acknowledgement from %s that nobody asked for: recorded, "
		    "not answered, not routed.",
		    seq, m->peer);
		return;
	}
	if (m->type == RECORD_FRAME) {
		buffer_printf(out,
		    "Record %llu is no message: %llu bytes from %s were rejected at the frame (", seq,
		    (unsigned long long)(m->frame_size ? m->frame_size : m->size), m->peer);
		put_fault(m, out);
		buffer_append_str(out, ").");
		return;
	}
	buffer_printf(out, "Message %llu from %s was %s at ", seq, m->peer,
	    m->answer == ANSWER_LATER ? "not taken for now (AR)" : "refused (AE)");
	put_when(out, m->time_us);
	buffer_append_str(out, ": ");
	put_fault(m, out);
	buffer_append_str(out, m->answer == ANSWER_LATER
				   ? ". The sender may send it again as it is."
				   : ". It went nowhere; the sender must correct it and send it anew.");
}

static void
put_record(const struct trace_hop *record, struct buffer *out)
{
	unsigned long long seq = record->record, ref = record->ref;

	switch (record->type) {
	case RECORD_DUPLICATE:
		buffer_printf(out,
		    "Record %llu is message %llu come again: answered as before, not routed twice.", seq,
		    ref);
		break;
	case RECORD_OUTCOME:
		buffer_printf(
		    out, "Record %llu is what became of message %llu in %s.", seq, ref, record->destination);
		break;
	case RECORD_ACCESS:
		buffer_printf(out, "Record %llu says that %s read message %llu (%s).", seq, record->who, ref,
		    record->what);
		break;
	case RECORD_OPERATOR:
		buffer_printf(
		    out, "Record %llu is an operator's act: %s by %s.", seq, record->what, record->who);
		break;
	case RECORD_STARTED:
		buffer_printf(out, "Record %llu says that the broker started.", seq);
		break;
	case RECORD_REMOVED:
		buffer_printf(out, "Record %llu says that retention removed a segment of the journal.", seq);
		break;
	default:
		buffer_printf(out, "Record %llu is of a kind this version does not know.", seq);
		break;
	}
}

void
control_why_sentence(const struct control_options *with, const struct trace_message *message,
    const struct trace_hop *record, uint64_t now_us, struct buffer *out, bool *wellp)
{
	*wellp = true;
	if (record)
		put_record(record, out);
	if (!message->seq)
		return;
	if (record)
		buffer_append_byte(out, ' ');
	if (message->type == RECORD_ACCEPTED) {
		put_accepted(with, message, now_us, out, wellp);
	} else {
		put_not_accepted(message, out);
		*wellp = false;
	}
}
