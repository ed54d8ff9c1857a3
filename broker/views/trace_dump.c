/* SPDX-License-Identifier: Apache-2.0 */
/* The whole trace as text: each row, and what is shown of its record. */
#include <errno.h>

#include "broker/views/trace_view.h"

static void
dump_row(const struct trace_seen *seen, const struct trace_row *row, struct buffer *out)
{
	const char *peer = trace_names_text(&seen->part->names, row->peer);
	const char *places = trace_names_text(&seen->part->names, row->places);
	const char *kind = trace_names_text(&seen->part->kinds, row->kind);

	buffer_printf(out, "row\t%llu\t%llu\t%llu\t%u\t%u\t%08x\t%s\t%s\t%s\n", (unsigned long long)row->seq,
	    (unsigned long long)row->time_us, (unsigned long long)row->ref, row->type, row->outcome,
	    row->control, peer ? peer : "?", places ? places : "?", kind ? kind : "?");
}

static void
dump_message(const struct trace_message *m, struct buffer *out)
{
	const char *const texts[] = { m->sha256, m->peer, m->establishment, m->listener, m->msg_type,
		m->msg_event, m->control, m->version, m->processing, m->application, m->facility,
		m->to_application, m->to_facility, m->charset, m->charset_used, m->charset_reason,
		m->destinations, m->routes, m->fault_path, m->fault_text };
	const uint64_t numbers[] = { m->time_us, m->type, m->flags, m->answer, m->mode, m->parked, m->size,
		m->leniencies, m->fault, m->frame_size, m->frame_offset, m->document_count, m->origin };

	buffer_printf(out, "message\t%llu", (unsigned long long)m->seq);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		buffer_printf(out, "\t%llu", (unsigned long long)numbers[i]);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		buffer_append_byte(out, '\t');
		buffer_append_str(out, texts[i]);
	}
	buffer_append_byte(out, '\n');
	for (size_t i = 0; i < m->documents_given; i++) {
		const struct trace_document *d = &m->documents[i];

		buffer_printf(out, "document\t%llu\t%u\t%s\t%s\t%s\t%llu\n", (unsigned long long)m->seq,
		    d->number, d->media, d->code, d->system, (unsigned long long)d->size);
	}
}

static void
dump_hop(const struct trace_hop *hop, struct buffer *out)
{
	buffer_printf(out, "hop\t%llu\t%llu\t%llu\t%u\t%u\t%s\t%s\t%s\t%s\t%s\n",
	    (unsigned long long)hop->record, (unsigned long long)hop->ref, (unsigned long long)hop->time_us,
	    hop->type, hop->outcome, hop->destination, hop->who, hop->code, hop->text, hop->what);
}

/* A purged record's texts are none of anybody's business: only what is left of it. */
static int
dump_one(struct trace_view *view, const struct trace_seen *seen, const struct trace_row *row,
    struct arena *arena, struct buffer *out)
{
	struct trace_message message = { 0 };
	struct trace_hop hop;
	bool is_hop;
	int r;

	arena_reset(arena);
	if ((r = trace_view_load(view, seen)) != 0)
		return r;
	r = trace_read_whole(view, row->seq, arena, &message, &hop, &is_hop);
	if (r && r != TRACE_ABSENT)
		return r;
	if (!(message.flags & RECORD_PURGED))
		dump_row(seen, row, out);
	if (!r && !is_hop)
		dump_message(&message, out);
	if (!r && (is_hop || message.origin))
		dump_hop(&hop, out);
	return buffer_failed(out) ? -ENOSPC : 0;
}

int
trace_dump(struct trace *trace, struct buffer *out)
{
	const struct trace_seen *seen;
	struct trace_scan *scan = NULL;
	struct trace_view view;
	struct trace_row row;
	struct arena arena;
	int r = trace_view_open(trace, true, &view);

	arena_init(&arena, TRACE_RECORD_MEMORY);
	if (!r)
		r = trace_scan_new(&scan, &view, false, 0, NULL, NULL);
	while (!r && (r = trace_scan_next(scan, &seen, &row)) == 0)
		r = dump_one(&view, seen, &row, &arena, out);
	trace_scan_free(scan);
	arena_fini(&arena);
	r = r == TRACE_END ? 0 : r;
	trace_view_close(trace, &view, r);
	return r;
}
