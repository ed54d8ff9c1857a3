/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked of the trace: one message with all that happened to it, lists, searches, and every row as text. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker/core/decision.h"
#include "broker/views/trace_few.h"
#include "broker/views/trace_view.h"

static int
gather_newest(void *arg, const struct trace_seen *seen, const struct trace_row *row)
{
	(void)seen;
	trace_few_add(arg, UINT64_MAX - row->seq, 0);
	return 0;
}

/* The newest records about ${message}, by record. */
static int
read_hops(struct trace_view *view, struct arena *arena, struct trace_message *message)
{
	struct trace_few few;
	struct trace_hop *hops;
	size_t count = 0;
	int r = trace_few_init(&few, TRACE_HOPS_MAX);

	if (r)
		return r;
	r = trace_find_ref(view, message->seq, gather_newest, &few);
	trace_few_end(&few);
	hops = arena_calloc(arena, few.count, sizeof(*hops));
	if (!r && !hops)
		r = -ENOMEM;
	for (size_t i = few.count; i-- > 0 && !r;) {
		r = trace_read_hop(view, UINT64_MAX - few.pairs[i].major, arena, &hops[count]);
		count += r == 0;
		r = r == TRACE_ABSENT ? 0 : r;
	}
	trace_few_fini(&few);
	message->hops = hops;
	message->hop_count = count;
	return r;
}

static const char *
row_text(struct trace_view *view, const struct trace_seen *seen, const struct trace_names *names, uint16_t id,
    struct arena *arena)
{
	const char *text = trace_view_load(view, seen) == 0 ? trace_names_text(names, id) : NULL;

	text = arena_str(arena, span_str(text ? text : ""));
	return text ? text : "";
}

/* The record is damaged: what its row tells. The rows have been looked at before it was. 0, TRACE_ABSENT, -errno. */
static int
show_row(struct trace_view *view, uint64_t seq, struct arena *arena, struct trace_message *m,
    struct trace_hop *hop, bool *is_hop)
{
	const struct trace_seen *seen;
	struct trace_scan *scan;
	struct trace_row row = { 0 };
	const char *places, *event;
	int r = trace_scan_new(&scan, view, false, seq - 1, NULL, NULL);

	if (r)
		return r;
	r = trace_scan_next(scan, &seen, &row);
	trace_scan_free(scan);
	if (r < 0)
		return r;
	if (r || row.seq != seq)
		return TRACE_ABSENT;
	places = row_text(view, seen, &seen->part->names, row.places, arena);
	*hop = (struct trace_hop){ .record = seq,
		.ref = row.ref,
		.time_us = row.time_us,
		.type = row.type,
		.outcome = row.outcome,
		.destination = places,
		.who = "",
		.code = "",
		.text = "",
		.what = "" };
	*is_hop = !trace_is_message(row.type);
	if (!*is_hop) {
		const struct record_head head = { .seq = seq,
			.time_us = row.time_us,
			.type = row.type,
			.flags = row.flags,
			.ref = row.ref };

		trace_show_head(&head, m);
		m->answer = row.type == RECORD_ACCEPTED ? ANSWER_ACCEPT : ANSWER_NONE;
		m->peer = row_text(view, seen, &seen->part->names, row.peer, arena);
		m->destinations = places;
		m->msg_type = row_text(view, seen, &seen->part->kinds, row.kind, arena);
		event = strchr(m->msg_type, '^');
		if (event) {
			m->msg_event = event + 1;
			m->msg_type = arena_str(arena, span_make(m->msg_type, (size_t)(event - m->msg_type)));
		}
		if (!m->msg_type)
			return -ENOMEM;
	}
	return 0;
}

/* As trace_read_whole, and of a damaged record what is known without it. */
static int
read_whole(struct trace_view *view, uint64_t seq, struct arena *arena, struct trace_message *message,
    struct trace_hop *hop, bool *is_hop)
{
	struct journal_place place;
	int r = trace_read_whole(view, seq, arena, message, hop, is_hop);

	if (r == TRACE_ABSENT && journal_find(view->journal, seq, &place) == 0)
		r = show_row(view, seq, arena, message, hop, is_hop);
	return r;
}

static int
show(struct trace_view *view, uint64_t seq, struct arena *arena, struct trace_message *message,
    const struct trace_hop **recordp)
{
	struct trace_hop *hop = arena_calloc(arena, 1, sizeof(*hop));
	bool is_hop;
	int r;

	*recordp = NULL;
	if (!hop)
		return -ENOMEM;
	if (seq > view->seen)
		return TRACE_ABSENT;
	if ((r = read_whole(view, seq, arena, message, hop, &is_hop)) != 0)
		return r;
	if (is_hop) {
		struct trace_hop of_message;

		*recordp = hop;
		if (!hop->ref)
			return 0;
		r = read_whole(view, hop->ref, arena, message, &of_message, &is_hop);
		if (r == TRACE_ABSENT ||
		    (!r && is_hop)) { /* retention took the message, not yet the record about it */
			*message = (struct trace_message){ 0 };
			return 0;
		}
		if (r)
			return r;
		if (message->origin) {
			struct trace_hop *replay = arena_calloc(arena, 1, sizeof(*replay));

			if (!replay)
				return -ENOMEM;
			*replay = of_message;
			message->replay = replay;
		}
	} else if (message->origin) {
		message->replay = hop;
	}
	return read_hops(view, arena, message);
}

int
trace_show(struct trace *trace, uint64_t seq, struct arena *arena, struct trace_message *message,
    const struct trace_hop **recordp)
{
	struct trace_view view;
	int r = trace_view_open(trace, false, &view);

	if (!r)
		r = show(&view, seq, arena, message, recordp);
	trace_view_close(trace, &view, r);
	return r;
}

int
trace_list(struct trace *trace, const uint64_t *seqs, size_t count, struct arena *arena,
    struct trace_message *messages)
{
	struct trace_view view;
	int r = trace_view_open(trace, false, &view);

	for (size_t i = 0; !r && i < count; i++) {
		r = trace_read_message(&view, seqs[i], arena, &messages[i]);
		if (r == TRACE_ABSENT) {
			messages[i] = (struct trace_message){ 0 };
			r = 0;
		}
	}
	trace_view_close(trace, &view, r);
	return r;
}

/*
 * Searching.
 */
bool
trace_kind_is(const char *kind, const char *asked)
{
	const char *caret = strchr(asked, '^');
	bool any_event = !caret || !caret[1];
	size_t len = caret && any_event ? (size_t)(caret - asked) : strlen(asked);

	if (!len || caret == asked || !kind) /* only the record tells */
		return true;
	return strncmp(kind, asked, len) == 0 && (!kind[len] || (kind[len] == '^' && any_event));
}

bool
trace_type_is(const struct trace_message *m, const char *asked)
{
	const char *caret = strchr(asked, '^');
	size_t len = caret ? (size_t)(caret - asked) : strlen(asked);

	if (len && (strlen(m->msg_type) != len || strncmp(m->msg_type, asked, len) != 0))
		return false;
	return !caret || !caret[1] || strcmp(m->msg_event, caret + 1) == 0;
}

struct search {
	const struct trace_query *query;
	const char *peer, *type;
	struct buffer shown; /* the control id as it would be shown */
	struct trace_view *view;
	struct arena *arena, trial; /* what is found, what is looked at */
	struct trace_message *messages;
	size_t max, count;
	struct trace_few few;
};

static bool
is_control(const struct search *search, const char *control)
{
	return span_eq_str(buffer_span(&search->shown), control) ||
	       strcmp(search->query->control, control) == 0;
}

/* Message ${seq} if it is what is looked for. */
static int
take(struct search *search, uint64_t seq)
{
	const struct trace_query *query = search->query;
	struct trace_message m;
	int r;

	arena_reset(&search->trial);
	if ((r = trace_read_message(search->view, seq, &search->trial, &m)) != 0)
		return r == TRACE_ABSENT ? 0 : r;
	if ((search->peer[0] && strcmp(m.peer, search->peer) != 0) || !trace_type_is(&m, search->type) ||
	    m.time_us < query->since_us || (query->refused && m.type == RECORD_ACCEPTED))
		return 0;
	if (query->control && query->control[0] && !is_control(search, m.control))
		return 0;
	r = trace_read_message(search->view, seq, search->arena, &search->messages[search->count]);
	search->count += r == 0;
	return r == TRACE_ABSENT ? 0 : r;
}

static bool
row_may_be(const struct search *search, const struct trace_seen *seen, const struct trace_row *row)
{
	const char *peer = trace_names_text(&seen->part->names, row->peer);

	if (!trace_is_message(row->type) || (search->query->refused && row->type == RECORD_ACCEPTED))
		return false;
	return (!search->peer[0] || !peer || strcmp(peer, search->peer) == 0) &&
	       trace_kind_is(trace_names_text(&seen->part->kinds, row->kind), search->type);
}

static bool
has_refused(const void *arg, const struct trace_brief *brief)
{
	const struct search *search = arg;

	return brief->last_us >= search->query->since_us && (!search->query->refused || brief->refused);
}

static int
search_newest(struct search *search)
{
	uint64_t before = search->query->before_seq ? search->query->before_seq : UINT64_MAX;
	const struct trace_seen *seen;
	struct trace_scan *scan;
	struct trace_row row;
	unsigned looked = 0;
	int r = trace_scan_new(&scan, search->view, true, before, has_refused, search);

	if (r)
		return r;
	while (search->count < search->max && (r = trace_scan_next(scan, &seen, &row)) == 0) {
		if (++looked % 1024 == 0 && trace_view_late(search->view, 1))
			break;				   /* out of time: what was found so far */
		if (row.time_us < search->query->since_us) /* and so are all before it */
			break;
		if ((r = trace_view_load(search->view, seen)) != 0)
			break;
		if (row_may_be(search, seen, &row) && (r = take(search, row.seq)) != 0)
			break;
	}
	trace_scan_free(scan);
	return r == TRACE_END ? 0 : r;
}

static int
gather_control(void *arg, const struct trace_seen *seen, const struct trace_row *row)
{
	struct search *search = arg;

	(void)seen;
	if (!search->query->before_seq || row->seq < search->query->before_seq)
		trace_few_add(&search->few, UINT64_MAX - row->seq, 0);
	return 0;
}

/* By its hash. Many may share a control id: a batch of candidates at a time, the newest first. */
static int
search_control(struct search *search)
{
	struct trace_query query = *search->query;
	const uint32_t as_given = trace_control_hash(span_str(query.control));
	const uint32_t as_shown = trace_control_hash(buffer_span(&search->shown));
	int r = trace_few_init(&search->few, 2 * search->max + 1000);

	search->query = &query;
	while (!r && search->count < search->max && !trace_view_late(search->view, 1)) {
		trace_few_reset(&search->few);
		r = trace_find_control(search->view, as_given, gather_control, search);
		if (!r && as_shown != as_given)
			r = trace_find_control(search->view, as_shown, gather_control, search);
		trace_few_end(&search->few);
		for (size_t i = 0; i < search->few.count && search->count < search->max && !r; i++)
			r = take(search, UINT64_MAX - search->few.pairs[i].major);
		if (!search->few.cut)
			break;
		query.before_seq = UINT64_MAX - search->few.pairs[search->few.count - 1].major;
	}
	trace_few_fini(&search->few);
	return r;
}

int
trace_search(struct trace *trace, const struct trace_query *query, struct arena *arena,
    struct trace_message *messages, size_t max, size_t *countp)
{
	struct trace_view view;
	struct search search = { .query = query,
		.peer = query->peer ? query->peer : "",
		.type = query->msg_type ? query->msg_type : "",
		.view = &view,
		.arena = arena,
		.messages = messages,
		.max = max };
	int r = trace_view_open(trace, true, &view);

	*countp = 0;
	arena_init(&search.trial, TRACE_RECORD_MEMORY);
	buffer_init(&search.shown, 4096);
	if (query->control)
		trace_shown(span_str(query->control), &search.shown);
	if (!r && buffer_failed(&search.shown))
		r = -ENOMEM;
	if (!r)
		r = query->control && query->control[0] ? search_control(&search) : search_newest(&search);
	trace_view_close(trace, &view, r);
	buffer_fini(&search.shown);
	arena_fini(&search.trial);
	*countp = r ? 0 : search.count;
	return r;
}
