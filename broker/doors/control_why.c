/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `why`: where a message is and why, in sentences an operator can read out on the telephone.
 *
 * Made from the trace: the destinations it was routed to, and of each the outcome there was. Of those where there was none yet, from how they
 * were a moment ago: the readers of an inbox, the sending to one that is dialled, who holds it.
 */
#include <stdio.h>
#include <string.h>

#include "broker/base/clock.h"
#include "broker/doors/control_live.h"

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
put_inbox(const struct control_live *live, const struct trace_message *m, const char *name,
    const struct trace_hop *read, uint64_t now_us, struct buffer *out)
{
	buffer_printf(out, " It waits in inbox %s for ", name);
	put_age(out, now_us, m->time_us);
	buffer_append_str(out, " now: ");
	put_readers(out, live ? live->destination : NULL);
	if (read) {
		buffer_printf(out, " (%s read it at ", read->who);
		put_when(out, read->time_us);
		buffer_append_str(out, ")");
	}
	buffer_append_byte(out, '.');
}

static void
put_failure(const struct sender_state *state, struct buffer *out)
{
	buffer_printf(out, "the last try (of %u) failed at ", state->tries);
	put_when(out, state->error_us);
	buffer_printf(out, ": %s", state->error);
	if (state->next_us) {
		buffer_append_str(out, "; the next one is at ");
		put_when(out, state->next_us);
	}
}

/* Why nothing, or nothing yet, was heard of a message in the queue of a dialled destination. */
static void
put_sending(struct control_request *request, const struct control_live *live, struct buffer *out)
{
	const struct sender_state *state = &live->state;
	struct trace_hop hold;

	if (control_live_hold(request, live, &hold)) {
		buffer_printf(out, "%s holds it since ", hold.who);
		put_when(out, hold.time_us);
		buffer_printf(out, " (%s)", hold.text);
	} else if (live->hold_record) {
		buffer_append_str(out, "an operator holds it");
	} else if (!live->dialled) {
		buffer_append_str(out, "nothing is sent there now");
	} else if (state->tries) {
		put_failure(state, out);
	} else if (state->in_flight) {
		buffer_printf(out, "%u %s sent and not yet acknowledged", state->in_flight,
		    state->in_flight == 1 ? "message is" : "messages are");
	} else {
		buffer_append_str(out, state->phase == SENDER_CONNECTING ? "the broker is connecting"
									 : "it is about to be sent");
	}
}

static void
put_waiting(struct control_request *request, const struct control_lives *lives, const struct trace_message *m,
    const char *name, const struct trace_hop *read, struct buffer *out)
{
	const struct control_live *live = control_live_find(lives, name);

	if (live && live->destination && live->destination->kind == DESTINATION_INBOX) {
		put_inbox(live, m, name, read, lives->now_us, out);
		return;
	}
	buffer_printf(out, " It waits for %s for ", name);
	put_age(out, lives->now_us, m->time_us);
	buffer_append_str(out, " now: ");
	if (live && live->destination)
		put_sending(request, live, out);
	else
		buffer_append_str(out, "the configuration has no destination of that name");
	buffer_append_byte(out, '.');
}

/* "inbox ehpad", or "chu-lyon" */
static const char *
place_kind(const struct control_live *live)
{
	return live && live->destination && live->destination->kind == DESTINATION_INBOX ? "inbox " : "";
}

static void
put_rejected(
    const struct control_live *live, const struct trace_hop *hop, const char *name, struct buffer *out)
{
	const char *kind = place_kind(live);

	if (kind[0])
		buffer_printf(out, " %s rejected it from inbox %s at ", hop->who, name);
	else
		buffer_printf(out, " %s refused it at ", name);
	put_when(out, hop->time_us);
	buffer_printf(out, ", code %s%s%s: correct it at the source and send it anew%s.",
	    hop->code[0] ? hop->code : "(none)", hop->text[0] ? ", " : "", hop->text,
	    kind[0] ? "" : ", or replay it once they take it");
}

static void
put_settled(
    const struct control_live *live, const struct trace_hop *hop, const char *name, struct buffer *out)
{
	const char *kind = place_kind(live);

	switch (hop->outcome) {
	case OUTCOME_ACCEPTED:
		if (kind[0])
			buffer_printf(out, " %s took it from inbox %s at ", hop->who, name);
		else
			buffer_printf(
			    out, " %s acknowledged it (%s) at ", name, hop->code[0] ? hop->code : "AA");
		put_when(out, hop->time_us);
		buffer_append_byte(out, '.');
		return;
	case OUTCOME_REJECTED:
		put_rejected(live, hop, name, out);
		return;
	case OUTCOME_DROPPED:
		buffer_printf(out, " %s dropped it from %s%s at ", hop->who, kind, name);
		put_when(out, hop->time_us);
		buffer_printf(out, " (%s).", hop->text);
		return;
	default:
		buffer_printf(out, " It became a dead letter of %s%s at ", kind, name);
		put_when(out, hop->time_us);
		buffer_printf(out, ": nobody took it in time, or %s held too much.",
		    kind[0] ? "the inbox" : "its queue");
	}
}

/* Retention leaves the bytes behind only of what waits nowhere, and drops its outcomes. */
static void
put_forgotten(const struct control_live *live, const char *name, struct buffer *out)
{
	buffer_printf(out,
	    " It does not wait in %s%s any more; what became of it there is past its retention.",
	    place_kind(live), name);
}

/* Its newest replay to ${name}, NULL: none. */
static const struct trace_hop *
find_replay(const struct trace_message *m, const char *name)
{
	const struct trace_hop *replay = NULL;

	for (size_t i = 0; i < m->hop_count; i++)
		if (m->hops[i].type == RECORD_ACCEPTED && strcmp(m->hops[i].destination, name) == 0)
			replay = &m->hops[i];
	return replay;
}

/* What was settled and replayed since has its own story, told by its own id. */
static void
put_outcome(const struct trace_message *m, const struct control_live *live, const struct trace_hop *outcome,
    const char *name, struct buffer *out, bool *wellp)
{
	const struct trace_hop *replay = find_replay(m, name);

	put_settled(live, outcome, name, out);
	if (replay)
		buffer_printf(
		    out, " %s replayed it there as %llu.", replay->who, (unsigned long long)replay->record);
	else if (outcome->outcome == OUTCOME_REJECTED || outcome->outcome == OUTCOME_EXPIRED)
		*wellp = false;
}

static void
put_destinations(struct control_request *request, const struct control_lives *lives,
    const struct trace_message *m, struct buffer *out, bool *wellp)
{
	const char *rest = m->destinations;

	while (*rest) {
		size_t len = strcspn(rest, ",");
		const struct trace_hop *outcome, *read;
		const struct control_live *live;
		char name[256];

		snprintf(name, sizeof(name), "%.*s", (int)len, rest);
		rest += len + (rest[len] == ',');
		outcome = find_outcome(m, name, &read);
		live = control_live_find(lives, name);
		if (outcome)
			put_outcome(m, live, outcome, name, out, wellp);
		else if (m->flags & RECORD_BODILESS)
			put_forgotten(live, name, out);
		else
			put_waiting(request, lives, m, name, read, out);
	}
}

static void
put_fault(const struct trace_message *m, struct buffer *out)
{
	buffer_printf(out, "%s%s%d %s: %s", m->fault_path, m->fault_path[0] ? ", " : "",
	    fault_hl7_code(m->fault), fault_name(m->fault), m->fault_text);
}

/* What no route wanted and was settled since: replayed by the routes of another day, dropped, or past its greatest age. */
static void
put_parked(const struct trace_message *m, struct buffer *out, bool *wellp)
{
	const struct trace_hop *read, *outcome = find_outcome(m, CONTROL_RECORDED, &read);

	if (!outcome) {
		buffer_append_str(out, " It is parked: no route wants it.");
		*wellp = false;
		return;
	}
	buffer_append_str(out, " It was parked, for no route wanted it.");
	put_settled(NULL, outcome, "what was parked", out);
	*wellp = outcome->outcome == OUTCOME_DROPPED;
}

/* Who purged it, when and why. */
static void
put_purge(const struct trace_message *m, struct buffer *out)
{
	for (size_t i = 0; i < m->hop_count; i++) {
		const struct trace_hop *hop = &m->hops[i];

		if (hop->type != RECORD_OPERATOR || strcmp(hop->what, "purge") != 0)
			continue;
		buffer_printf(out, " Its bytes were purged by %s at ", hop->who);
		put_when(out, hop->time_us);
		buffer_printf(out, " (%s).", hop->text);
		return;
	}
}

static void
put_accepted(struct control_request *request, const struct control_lives *lives,
    const struct trace_message *m, struct buffer *out, bool *wellp)
{
	unsigned long long seq = m->seq;

	if (m->origin && m->replay) {
		buffer_printf(out, "Message %llu is message %llu once more: %s replayed it at ", seq,
		    (unsigned long long)m->origin, m->replay->who);
		put_when(out, m->time_us);
		buffer_printf(out, " (%s).", m->replay->text);
	} else {
		buffer_printf(out, "Message %llu came from %s at ", seq, m->peer);
		put_when(out, m->time_us);
		buffer_append_str(out, " and was accepted (AA).");
	}
	if (m->parked)
		put_parked(m, out, wellp);
	put_destinations(request, lives, m, out, wellp);
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
		buffer_printf(out, "Record %llu is an operator's act: %s%s%s by %s%s%s%s.", seq, record->what,
		    record->destination[0] ? " of " : "", record->destination, record->who,
		    record->text[0] ? " (" : "", record->text, record->text[0] ? ")" : "");
		break;
	case RECORD_STARTED:
		buffer_printf(out, "Record %llu says that the broker started.", seq);
		break;
	case RECORD_REMOVED:
		buffer_printf(out, "Record %llu says that retention removed a segment of the journal.", seq);
		break;
	case RECORD_SIGNED:
		buffer_printf(out, "Record %llu is the broker's signature over the records before it.", seq);
		break;
	default:
		buffer_printf(out, "Record %llu is of a kind this version does not know.", seq);
		break;
	}
}

void
control_why_sentence(struct control_request *request, const struct control_lives *lives,
    const struct trace_message *message, const struct trace_hop *record, struct buffer *out, bool *wellp)
{
	*wellp = true;
	if (record)
		put_record(record, out);
	if (!message->seq)
		return;
	if (record)
		buffer_append_byte(out, ' ');
	if (message->type == RECORD_ACCEPTED) {
		put_accepted(request, lives, message, out, wellp);
	} else {
		put_not_accepted(message, out);
		*wellp = false;
	}
	put_purge(message, out);
}
