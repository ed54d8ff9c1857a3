/* SPDX-License-Identifier: Apache-2.0 */
/* One record of the journal: made into its row, and into what is shown of it. */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "broker/core/decision.h"
#include "broker/core/facts.h"
#include "broker/views/trace_view.h"
#include "codecs/digest.h"
#include "codecs/hl7.h"
#include "codecs/printable.h"

#define PLACES_ROOM 512 /* of a list of destinations: longer ones take the long way */

/* Shown as it stands: no control, no backslash, ASCII. */
static bool
is_plain(struct span raw)
{
	if (raw.len > TRACE_TEXT_MAX)
		return false;
	for (size_t i = 0; i < raw.len; i++)
		if (raw.ptr[i] < 0x20 || raw.ptr[i] > 0x7e || raw.ptr[i] == '\\')
			return false;
	return true;
}

void
trace_shown(struct span raw, struct buffer *out)
{
	if (is_plain(raw))
		buffer_append_span(out, raw);
	else
		printable_append(out, raw, TRACE_TEXT_MAX);
}

uint32_t
trace_control_hash(struct span shown)
{
	uint32_t hash = shown.len ? digest_crc32c(0, shown) : 0;

	return shown.len && !hash ? 1 : hash;
}

/*
 * Into a row.
 */
static uint16_t
put_text(struct trace_names *names, struct span raw)
{
	struct buffer shown;
	uint16_t id;

	if (is_plain(raw))
		return trace_names_put(names, raw);
	buffer_init(&shown, 4096);
	trace_shown(raw, &shown);
	id = buffer_failed(&shown) ? TRACE_OTHER : trace_names_put(names, buffer_span(&shown));
	buffer_fini(&shown);
	return id;
}

static uint32_t
hash_control(struct span raw, bool *failed)
{
	struct buffer shown;
	uint32_t hash;

	if (is_plain(raw))
		return trace_control_hash(raw);
	buffer_init(&shown, 4096);
	trace_shown(raw, &shown);
	*failed = buffer_failed(&shown);
	hash = trace_control_hash(buffer_span(&shown));
	buffer_fini(&shown);
	return hash;
}

/* Two texts, ${between} them when there is a second one; TRACE_OTHER for what is not plain and short. */
static uint16_t
put_joined(struct trace_names *names, const struct span *parts, size_t count, char between)
{
	uint8_t text[PLACES_ROOM];
	size_t len = 0;

	for (size_t i = 0; i < count; i++) {
		if (!is_plain(parts[i]) || parts[i].len + 1 > sizeof(text) - len)
			return TRACE_OTHER;
		if (i)
			text[len++] = (uint8_t)between;
		if (parts[i].len)
			memcpy(text + len, parts[i].ptr, parts[i].len);
		len += parts[i].len;
	}
	return trace_names_put(names, span_make(text, len));
}

static uint16_t
put_places(struct trace_names *names, const struct record *record, const struct decision_glance *decision)
{
	if (record->head.type != RECORD_ACCEPTED)
		return put_text(names, decision->destination);
	if (decision->to_count > DECISION_GLANCE_TO)
		return TRACE_OTHER;
	return put_joined(names, decision->to, decision->to_count, ',');
}

int
trace_row_of(const struct record *record, struct trace_part *part, struct trace_row *row)
{
	const struct record_head *head = &record->head;
	struct facts_glance facts = { 0 };
	struct decision_glance decision;
	bool failed = false;

	if (!record_is_own(head->type))
		facts_glance(record->facts, &facts);
	decision_glance(record->decision, &decision);
	*row = (struct trace_row){ .seq = head->seq,
		.time_us = head->time_us,
		.ref = head->ref,
		.flags = head->flags,
		.type = head->type < UINT8_MAX ? (uint8_t)head->type : UINT8_MAX,
		.outcome = decision.outcome < UINT8_MAX ? (uint8_t)decision.outcome : UINT8_MAX };
	row->places = put_places(&part->names, record, &decision);
	if (!trace_is_message(head->type))
		return 0;
	row->peer = put_text(&part->names, facts.peer.len ? facts.peer : decision.who);
	row->kind = put_joined(
	    &part->kinds, (const struct span[]){ facts.type, facts.event }, facts.event.len ? 2 : 1, '^');
	row->control = hash_control(facts.control_id, &failed);
	return failed ? -ENOMEM : 0;
}

/*
 * Into what is shown: no room in the arena shows at the end.
 */
struct showing {
	struct arena *arena;
	struct facts facts;
	struct decision decision;
	bool no_room;
};

static const char *
text(struct showing *showing, struct span raw)
{
	struct buffer shown;
	const char *copy;

	if (!raw.len)
		return "";
	buffer_init(&shown, 4096);
	trace_shown(raw, &shown);
	copy = buffer_failed(&shown) ? NULL : arena_str(showing->arena, buffer_span(&shown));
	buffer_fini(&shown);
	if (!copy)
		showing->no_room = true;
	return copy ? copy : "";
}

static const char *
places_text(struct showing *showing)
{
	const struct decision *decision = &showing->decision;
	struct buffer list;
	const char *copy;

	if (!decision->to_count)
		return "";
	buffer_init(&list, (size_t)64 << 10);
	for (size_t i = 0; i < decision->to_count; i++) {
		if (i)
			buffer_append_byte(&list, ',');
		trace_shown(decision->to[i], &list);
	}
	copy = buffer_failed(&list) ? NULL : arena_str(showing->arena, buffer_span(&list));
	buffer_fini(&list);
	if (!copy)
		showing->no_room = true;
	return copy ? copy : "";
}

/* A version that is none is a value found at fault: what a sender puts there by mistake may be a name. */
static struct span
version_shown(struct span version)
{
	size_t len = 0;

	while (len < version.len &&
	       ((version.ptr[len] >= '0' && version.ptr[len] <= '9') || version.ptr[len] == '.'))
		len++;
	return hl7_version_known(span_cut(version, 0, len)) &&
		       (len == version.len || !isalnum(version.ptr[len]))
		   ? version
		   : SPAN_EMPTY;
}

static void
show_message(struct showing *s, const struct record_head *head, struct trace_message *m)
{
	static const uint8_t none[32];
	const struct facts *facts = &s->facts;
	const struct decision *decision = &s->decision;

	*m = (struct trace_message){ .seq = head->seq,
		.time_us = head->time_us,
		.type = head->type,
		.flags = head->flags,
		.answer = decision->answer,
		.mode = decision->mode,
		.parked = decision->parked,
		.size = head->size,
		.leniencies = facts->leniencies,
		.fault = (unsigned)decision->fault.code,
		.frame_size = decision->frame_size,
		.frame_offset = decision->frame_offset,
		.document_count = facts->document_count,
		.origin = head->type == RECORD_ACCEPTED ? head->ref : 0 };
	if (memcmp(head->sha256, none, sizeof(none)) != 0)
		digest_hex(span_make(head->sha256, sizeof(head->sha256)), m->sha256);
	m->peer = text(s, facts->peer.len ? facts->peer : decision->who);
	m->establishment = text(s, facts->establishment);
	m->listener = text(s, facts->listener);
	m->msg_type = text(s, facts->type);
	m->msg_event = text(s, facts->event);
	m->control = text(s, facts->control_id);
	m->version = text(s, version_shown(facts->version_id));
	m->processing = text(s, span_cut(facts->processing, 0, 1));
	m->application = text(s, facts->sending_application);
	m->facility = text(s, facts->sending_facility);
	m->to_application = text(s, facts->receiving_application);
	m->to_facility = text(s, facts->receiving_facility);
	m->charset = text(s, facts->charset);
	m->charset_used = text(s, facts->charset_used);
	m->charset_reason = text(s, facts->charset_reason);
	m->destinations = places_text(s);
	m->routes = text(s, decision->routes);
	m->fault_path = text(s, span_str(decision->fault.path));
	m->fault_text = text(s, span_str(decision->fault.message));
}

static void
show_hop(struct showing *s, const struct record_head *head, struct trace_hop *hop)
{
	const struct decision *decision = &s->decision;

	*hop = (struct trace_hop){ .record = head->seq,
		.ref = head->ref,
		.time_us = head->time_us,
		.type = head->type,
		.outcome = decision->outcome };
	/* A replay is a message of its own, and a hop of the one it is once more. */
	hop->destination = head->type == RECORD_ACCEPTED ? places_text(s) : text(s, decision->destination);
	hop->who = text(s, decision->who.len ? decision->who : s->facts.peer);
	hop->code = text(s, decision->code);
	hop->text = text(s, decision->text);
	hop->what = text(s, decision->what);
}

static void
show_documents(struct showing *s, struct trace_message *message)
{
	size_t count =
	    s->facts.document_count < TRACE_DOCUMENTS_MAX ? s->facts.document_count : TRACE_DOCUMENTS_MAX;
	struct trace_document *documents = arena_calloc(s->arena, count, sizeof(*documents));

	if (!documents) {
		s->no_room = true;
		return;
	}
	for (size_t i = 0; i < count; i++)
		documents[i] = (struct trace_document){ .number = (unsigned)i + 1,
			.media = text(s, s->facts.documents[i].media),
			.code = text(s, s->facts.documents[i].type_code),
			.system = text(s, s->facts.documents[i].type_system),
			.size = s->facts.documents[i].size };
	message->documents = documents;
	message->documents_given = count;
}

void
trace_show_head(const struct record_head *head, struct trace_message *message)
{
	struct showing none = { 0 };

	show_message(&none, head, message);
}

static bool
is_gone(const struct trace_view *view, uint32_t number)
{
	for (size_t i = 0; i < view->gone_count; i++)
		if (view->gone[i] == number)
			return true;
	return false;
}

/* What cannot be read (a newer broker's facts) leaves what the head says. */
static int
read_record(struct trace_view *view, uint64_t seq, struct showing *s, struct record *record)
{
	struct journal_place place;
	int r;

	if (journal_find(view->journal, seq, &place) != 0 || is_gone(view, place.segment))
		return TRACE_ABSENT;
	arena_reset(&view->scratch);
	r = journal_read(view->journal, seq, false, &view->scratch, record);
	if (r == JOURNAL_ABSENT || r == JOURNAL_DAMAGED)
		return TRACE_ABSENT;
	if (r)
		return r;
	if (record->facts.len && !record_is_own(record->head.type)) {
		if ((r = facts_decode(record->facts, &view->scratch, &s->facts)) < 0)
			return r;
		if (r)
			s->facts = (struct facts){ 0 };
	}
	if (record->decision.len) {
		if ((r = decision_decode(record->decision, &view->scratch, &s->decision)) < 0)
			return r;
		if (r)
			s->decision = (struct decision){ 0 };
	}
	return 0;
}

int
trace_read_message(struct trace_view *view, uint64_t seq, struct arena *arena, struct trace_message *message)
{
	struct showing s = { .arena = arena };
	struct record record;
	int r = read_record(view, seq, &s, &record);

	if (r)
		return r;
	if (!trace_is_message(record.head.type))
		return TRACE_ABSENT;
	show_message(&s, &record.head, message);
	return s.no_room ? -ENOMEM : 0;
}

int
trace_read_hop(struct trace_view *view, uint64_t seq, struct arena *arena, struct trace_hop *hop)
{
	struct showing s = { .arena = arena };
	struct record record;
	int r = read_record(view, seq, &s, &record);

	if (r)
		return r;
	show_hop(&s, &record.head, hop);
	return s.no_room ? -ENOMEM : 0;
}

int
trace_read_whole(struct trace_view *view, uint64_t seq, struct arena *arena, struct trace_message *message,
    struct trace_hop *hop, bool *is_hop)
{
	struct showing s = { .arena = arena };
	struct record record;
	int r = read_record(view, seq, &s, &record);

	if (r)
		return r;
	*is_hop = !trace_is_message(record.head.type);
	show_hop(&s, &record.head, hop);
	*message = (struct trace_message){ 0 };
	if (!*is_hop) {
		show_message(&s, &record.head, message);
		show_documents(&s, message);
	}
	return s.no_room ? -ENOMEM : 0;
}
