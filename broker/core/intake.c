/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intake: the one decision on every submission, journalled before it is answered.
 *
 * A submission becomes a struct pending: it is judged (stopping, duplicate, routes), appended to the journal, and lives until the journal
 * says that it is on disk or never will be. A suspected duplicate is first confirmed on the older record: in memory when that one is itself
 * pending, on a worker otherwise. What cannot be journalled is never answered positively.
 */
#include <errno.h>
#include <stdlib.h>

#include "broker/base/log.h"
#include "broker/base/metrics.h"
#include "broker/core/core.h"
#include "broker/core/route.h"
#include "broker/core/state.h"

#define REFUSED_WHOLE	((size_t)1 << 20) /* law 3: a refused message is kept whole up to this */
#define REFUSED_HEAD	((size_t)4 << 10) /* beyond it, or below the disk floor: its head and its digest */
#define DECISION_ROOM	((size_t)64 << 10)
#define FACTS_ROOM	((size_t)4 << 20) /* a million tiny OBX must not make a gigabyte of facts */
#define CONFIRM_ROOM	(FACTS_ROOM + DECISION_ROOM + ((size_t)1 << 20))
#define PENDINGS_KEPT	2048u /* 3 MiB: what a busy broker has under way */
#define TO_FEW		4u
#define SEQ_PLACEHOLDER (((uint64_t)1 << 53) - 1)

struct pending {
	struct pending *next;
	struct core *core;
	const struct submission *submission;
	core_done_fn *done;
	void *arg;
	struct arrival
	    arrival; /* where it goes: core->parked when no route wants it; none while it is refused */
	enum record_type type;
	enum answer answer;
	struct fault fault;
	bool keyed;
	uint8_t key[16];
	uint8_t sha256[32];
	uint8_t comparable[32]; /* all zero: the peer has no restamped fields */
	uint64_t first;		/* the accepted message that has the same key */
	uint64_t first_time_us;
	/* Confirming a suspected duplicate */
	struct workers_job job;
	struct arena arena;
	int read;
	uint8_t read_sha256[32];
	uint8_t read_comparable[32];
	bool read_same_key;
	/* Enough for nearly all, so that a message takes no memory of the system; not cleared. */
	struct destination *few[TO_FEW];
	struct encoded encoded;
};

static void judge(struct pending *p);

static void
pending_free(struct pending *p)
{
	encoded_fini(&p->encoded);
	arena_fini(&p->arena);
	if (p->arrival.to != p->few)
		free(p->arrival.to);
	pool_give(&p->core->pendings, p, true);
}

/* Tell the caller and end ${p}. */
static void
answer(struct pending *p)
{
	struct core *core = p->core;
	bool repeated = p->type == RECORD_DUPLICATE && p->answer == ANSWER_ACCEPT;
	struct verdict verdict = {
		.answer = p->answer,
		.seq = repeated ? p->first : p->arrival.head.seq,
		.time_us = repeated ? p->first_time_us : p->arrival.head.time_us,
		.duplicate = repeated,
		.fault = p->fault.code == FAULT_NONE ? NULL : &p->fault,
		.first = p->fault.code == FAULT_SAME_ID ? p->first : 0,
	};

	if (repeated)
		core->status.duplicates++;
	else if (p->answer == ANSWER_ACCEPT)
		core->status.accepted++;
	else if (p->submission->kind == SUBMIT_STRAY)
		core->status.stray++;
	else if (p->submission->kind == SUBMIT_FRAME)
		core->status.frames++;
	else if (p->answer == ANSWER_LATER)
		core->status.deferred++;
	else
		core->status.refused++;
	core->in_flight--;
	p->done(p->arg, &verdict);
	pending_free(p);
}

static void
pending_unlink(struct core *core, struct pending *p)
{
	struct pending **at = &core->pending;

	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	if (core->pending_tail == &p->next)
		core->pending_tail = at;
	p->next = NULL;
}

/*
 * Once on disk: into the queues.
 */
static void
log_routes(uint64_t seq, struct destination *const *to, size_t count)
{
	struct log_line line;

	for (size_t i = 0; i < count; i++) {
		log_begin(&line, EVENT_ROUTED);
		log_u64(&line, "id", seq);
		log_text(&line, "to", to[i]->name);
		log_u64(&line, "waiting", queue_count(to[i]->queue));
		log_commit(&line);
	}
}

static struct pending *
pending_of(struct arrival *arrival)
{
	return (struct pending *)((char *)arrival - offsetof(struct pending, arrival));
}

/* The answer first: its door logs that the message was received, and may let go of all but the list of destinations and the line begun. */
static void
arrived(struct core *core, struct arrival *arrival)
{
	struct pending *p = pending_of(arrival);
	struct destination *few[TO_FEW], **to = arrival->to;
	size_t count = arrival->to_count;
	uint64_t seq = arrival->head.seq;
	struct log_line line;

	if (to[0] == core->parked) {
		log_begin(&line, EVENT_PARKED);
		log_u64(&line, "id", seq);
		log_text(&line, "peer", p->submission->peer->name);
	}
	if (to == p->few)
		to = memcpy(few, p->few, count * sizeof(few[0]));
	else
		arrival->to = NULL;
	answer(p);
	if (to[0] == core->parked)
		log_commit(&line);
	else
		log_routes(seq, to, count);
	for (size_t i = 0; i < count; i++)
		core_wake(to[i]);
	if (to != few)
		free(to);
}

static void
dropped(struct arrival *arrival)
{
	pending_free(pending_of(arrival));
}

/* The journal's word on one pending record. */
static void
journalled(void *arg, int error)
{
	struct pending *p = arg;
	struct core *core = p->core;
	bool taken_back;

	pending_unlink(core, p);
	if (p->type == RECORD_ACCEPTED && error == 0) {
		core_arrive(core, &p->arrival);
		return;
	}
	if (p->type == RECORD_ACCEPTED && p->keyed)
		duplicates_drop(core->duplicates, p->key, p->arrival.head.seq);
	/* A resend stands or falls with the message it repeats. */
	if (p->type == RECORD_DUPLICATE && duplicates_get(core->duplicates, p->key) != p->first)
		error = error ? error : -EIO;
	/* Nor is an id taken by a message that was not stored after all. */
	taken_back = p->fault.code == FAULT_SAME_ID && duplicates_get(core->duplicates, p->key) != p->first;
	if (error || taken_back) {
		p->arrival.head.seq = 0;
		if (p->answer == ANSWER_ACCEPT || taken_back) {
			p->answer = ANSWER_LATER;
			fault_set(&p->fault, FAULT_STORE, 0, NULL,
			    "The message could not be stored: resend it later.");
		}
	}
	answer(p);
}

/*
 * Towards the journal.
 */
static struct span
kept_bytes(const struct pending *p, bool whole)
{
	struct span bytes = p->submission->bytes;

	if (p->type == RECORD_ACCEPTED)
		return bytes;
	if (p->type == RECORD_DUPLICATE)
		return SPAN_EMPTY;
	return whole && bytes.len <= REFUSED_WHOLE ? bytes : span_cut(bytes, 0, REFUSED_HEAD);
}

static int
append(struct pending *p, bool push, bool whole)
{
	struct journal_entry entry = {
		.type = p->type,
		.ref = p->type == RECORD_DUPLICATE ? p->first : 0,
		.size = p->submission->size,
		.key = p->type == RECORD_ACCEPTED && p->keyed ? p->key : NULL,
		.sha256 = p->submission->sha256,
		.facts = p->encoded.facts,
		.decision = p->encoded.decision,
		.body = kept_bytes(p, whole),
		.push = push,
	};
	int r;

	r = journal_append(p->core->journal, &entry, journalled, p, &p->arrival.head);
	if (r)
		return r;
	p->next = NULL;
	*p->core->pending_tail = p;
	p->core->pending_tail = &p->next;
	return 0;
}

static int
encode(struct pending *p, const struct facts *facts, const struct decision *decision)
{
	return encoded_make(&p->encoded, &p->core->encoder, facts, decision);
}

/* Journal a refusal, as much of it as the disk allows, and answer; what cannot be journalled is answered all the same (law 1). */
static void
refuse(struct pending *p)
{
	struct decision decision = {
		.answer = p->answer,
		.fault = p->fault,
		.frame_size = p->submission->frame_size,
		.frame_offset = p->submission->frame_offset,
	};
	bool whole = p->answer == ANSWER_REFUSE || p->answer == ANSWER_NONE;
	int r;

	r = encode(p, p->submission->facts, &decision);
	if (r) /* facts past their ceiling: the bytes and the decision tell enough */
		r = encode(p, NULL, &decision);
	if (r == 0)
		r = whole ? append(p, true, true) : JOURNAL_FLOOR;
	if (r == JOURNAL_FLOOR)
		r = append(p, false, false);
	if (r == 0)
		return;
	p->arrival.head = (struct record_head){ 0 };
	answer(p);
}

static void
refuse_with(struct pending *p, enum fault_code code, const char *path, const char *why)
{
	p->type = RECORD_REFUSED;
	p->answer = fault_is_circumstance(code) ? ANSWER_LATER : ANSWER_REFUSE;
	fault_set(&p->fault, code, 0, path, "%s", why);
	refuse(p);
}

static void
defer(struct pending *p, int r)
{
	if (r == JOURNAL_FLOOR)
		refuse_with(p, FAULT_DISK_FLOOR, NULL, "Free space is below the floor: resend it later.");
	else if (r == -ENOMEM)
		refuse_with(p, FAULT_OVERLOAD, NULL, "Memory is short for now: resend it later.");
	else
		refuse_with(p, FAULT_STORE, NULL, "The journal cannot be written for now: resend it later.");
}

/*
 * Accepting.
 */
static void
accept(struct pending *p)
{
	struct core *core = p->core;
	const struct submission *s = p->submission;
	struct decision decision = { .answer = ANSWER_ACCEPT };
	struct span few[TO_FEW], *names = few;
	int r;

	p->type = RECORD_ACCEPTED;
	p->answer = ANSWER_ACCEPT;
	p->fault.code = FAULT_NONE;
	decision.mode = route_mode(s->peer, s->facts);
	buffer_reset(&core->rows);
	p->arrival.to_count =
	    route_index_choose(core->routes, &(struct route_message){ s->peer, s->facts, decision.mode },
		core->chosen, core->config->destination_count, &core->rows);
	if (p->arrival.to_count == 0 && core->config->unrouted == UNROUTED_REFUSE) {
		refuse_with(p, FAULT_NO_ROUTE, NULL, "No route wants this message.");
		return;
	}
	decision.to_count = p->arrival.to_count;
	decision.parked = p->arrival.to_count == 0;
	p->arrival.to_count += decision.parked;
	p->arrival.to = p->few;
	if (p->arrival.to_count > TO_FEW) {
		names = arena_calloc(&p->arena, decision.to_count, sizeof(*names));
		p->arrival.to = malloc(p->arrival.to_count * sizeof(struct destination *));
	}
	if (!names || !p->arrival.to) {
		defer(p, -ENOMEM);
		return;
	}
	p->arrival.to[0] = core->parked;
	for (size_t i = 0; i < decision.to_count; i++) {
		p->arrival.to[i] = core->configured[core->chosen[i] - core->config->destinations];
		names[i] = span_str(p->arrival.to[i]->name);
	}
	decision.to = names;
	decision.routes = buffer_span(&core->rows);
	r = encode(p, s->facts, &decision);
	encoder_trim(&core->rows);
	if (r && s->facts && facts_size(s->facts) > FACTS_ROOM) {
		/* The same bytes will fail again: not AR. */
		refuse_with(
		    p, FAULT_MEMORY, NULL, "its header and its documents' titles are longer than is kept");
		return;
	}
	/* The window's memory is taken before the journal's word, so that what is taken is also remembered. */
	if (r == 0 && p->keyed)
		r = duplicates_put(core->duplicates, p->key, SEQ_PLACEHOLDER);
	if (r == 0) {
		r = append(p, true, true);
		if (r && p->keyed)
			duplicates_drop(core->duplicates, p->key, SEQ_PLACEHOLDER);
	}
	if (r) {
		defer(p, r);
		return;
	}
	/* Cannot fail: the entry is there. */
	if (p->keyed)
		r = duplicates_put(core->duplicates, p->key, p->arrival.head.seq);
	(void)r;
}

/* Duplicates. */
static void
repeat(struct pending *p, uint64_t first, uint64_t first_time_us)
{
	struct decision decision = { .answer = ANSWER_ACCEPT };
	int r;

	p->type = RECORD_DUPLICATE;
	p->answer = ANSWER_ACCEPT;
	p->first = first;
	p->first_time_us = first_time_us;
	r = encode(p, p->submission->facts, &decision);
	if (r == 0)
		r = append(p, true, true);
	if (r == JOURNAL_FLOOR)
		r = append(p, false, true);
	if (r)
		defer(p, r);
}

static bool
is_zero(const uint8_t digest[32])
{
	static const uint8_t zero[32];

	return memcmp(digest, zero, sizeof(zero)) == 0;
}

/* ${p} has the key of message ${first}: the same bytes, the same but for restamped fields, or others. */
static void
compare(struct pending *p, uint64_t first, uint64_t first_time_us, const uint8_t sha256[32],
    const uint8_t comparable[32])
{
	const struct config_peer *peer = p->submission->peer;

	if (memcmp(sha256, p->sha256, sizeof(p->sha256)) == 0) {
		repeat(p, first, first_time_us);
		return;
	}
	if (!is_zero(comparable) && memcmp(comparable, p->comparable, sizeof(p->comparable)) == 0) {
		metric_add(metric_series(METRIC_RESTAMPED, peer->name), 1);
		repeat(p, first, first_time_us);
		return;
	}
	refuse_with(p, FAULT_SAME_ID, "MSH-10",
	    "This control id was accepted before with other content: a new message needs a new id.");
}

static bool
same_key(const struct facts *a, const struct facts *b)
{
	return span_eq(a->peer, b->peer) && span_eq(a->sending_application, b->sending_application) &&
	       span_eq(a->sending_facility, b->sending_facility) && span_eq(a->control_id, b->control_id);
}

static void
confirm_run(struct workers_job *job)
{
	struct pending *p = (struct pending *)((char *)job - offsetof(struct pending, job));
	struct record record;
	struct facts facts;

	p->read = journal_read(p->core->journal, p->first, false, &p->arena, &record);
	if (p->read)
		return;
	p->read = facts_decode(record.facts, &p->arena, &facts);
	if (p->read)
		return;
	p->first_time_us = record.head.time_us;
	p->read_same_key = same_key(&facts, p->submission->facts);
	memcpy(p->read_sha256, record.head.sha256, sizeof(p->read_sha256));
	memset(p->read_comparable, 0, sizeof(p->read_comparable));
	if (facts.comparable.len == sizeof(p->read_comparable))
		memcpy(p->read_comparable, facts.comparable.ptr, sizeof(p->read_comparable));
}

static void
confirm_done(struct workers_job *job)
{
	struct pending *p = (struct pending *)((char *)job - offsetof(struct pending, job));
	uint64_t now = duplicates_get(p->core->duplicates, p->key);

	arena_reset(&p->arena);
	if (now != p->first)
		judge(p); /* the window moved meanwhile: judge anew */
	else if (p->read < 0)
		defer(p, p->read);
	else if (p->read || !p->read_same_key)
		accept(p); /* gone or damaged, or another key of the same hash */
	else
		compare(p, p->first, p->first_time_us, p->read_sha256, p->read_comparable);
}

static void
suspect(struct pending *p, uint64_t first)
{
	p->first = first;
	for (const struct pending *other = p->core->pending; other; other = other->next)
		if (other->arrival.head.seq == first && other->type == RECORD_ACCEPTED) {
			if (same_key(other->submission->facts, p->submission->facts))
				compare(
				    p, first, other->arrival.head.time_us, other->sha256, other->comparable);
			else
				accept(p);
			return;
		}
	p->job.run = confirm_run;
	p->job.done = confirm_done;
	if (workers_submit(p->core->workers, &p->job))
		refuse_with(p, FAULT_OVERLOAD, NULL, "There is too much to do for now: resend it later.");
}

/* The duplicate window first, then the routes. */
static void
judge(struct pending *p)
{
	uint64_t first = p->keyed ? duplicates_get(p->core->duplicates, p->key) : 0;

	if (p->core->stopping)
		refuse_with(p, FAULT_STOPPING, NULL, "The broker is stopping: resend it later.");
	else if (first)
		suspect(p, first);
	else
		accept(p);
}

static void
make_key(struct pending *p)
{
	const struct facts *facts = p->submission->facts;
	const struct span parts[] = {
		span_str(p->submission->peer->name),
		facts->sending_application,
		facts->sending_facility,
		facts->control_id,
	};

	digest_xxh128(p->core->secret, parts, sizeof(parts) / sizeof(parts[0]), p->key);
	p->keyed = true;
	memcpy(p->sha256, p->submission->sha256, sizeof(p->sha256));
	if (facts->comparable.len == sizeof(p->comparable))
		memcpy(p->comparable, facts->comparable.ptr, sizeof(p->comparable));
}

/* Without memory for a decision there is no record either: the answer says so. */
static void
no_memory(struct core *core, core_done_fn *done, void *arg)
{
	struct fault fault;
	struct verdict verdict = { .answer = ANSWER_LATER, .fault = &fault };

	fault_set(&fault, FAULT_OVERLOAD, 0, NULL, "Memory is short for now: resend it later.");
	core->status.deferred++;
	done(arg, &verdict);
}

void
core_submit(struct core *core, const struct submission *submission, core_done_fn *done, void *arg)
{
	struct pending *p = pool_take(&core->pendings);

	if (!p) {
		no_memory(core, done, arg);
		return;
	}
	memset(p, 0, offsetof(struct pending, few));
	encoded_init(&p->encoded);
	p->core = core;
	p->submission = submission;
	p->arrival.arrived = arrived;
	p->arrival.dropped = dropped;
	p->done = done;
	p->arg = arg;
	arena_init(&p->arena, CONFIRM_ROOM);
	core->in_flight++;
	if (submission->fault)
		p->fault = *submission->fault;
	if (submission->kind == SUBMIT_STRAY) {
		p->type = RECORD_STRAY;
		p->answer = ANSWER_NONE;
		refuse(p);
	} else if (submission->kind == SUBMIT_FRAME) {
		p->type = RECORD_FRAME;
		p->answer = fault_is_circumstance(submission->fault->code) ? ANSWER_LATER : ANSWER_REFUSE;
		refuse(p);
	} else if (submission->fault) {
		p->type = RECORD_REFUSED;
		p->answer = fault_is_circumstance(submission->fault->code) ? ANSWER_LATER : ANSWER_REFUSE;
		refuse(p);
	} else {
		if (!span_eq(submission->facts->control_id, SPAN_EMPTY))
			make_key(p);
		judge(p);
	}
}

void
core_intake_init(struct core *core)
{
	pool_init(&core->pendings, sizeof(struct pending), PENDINGS_KEPT);
	encoder_init(&core->encoder, FACTS_ROOM, DECISION_ROOM);
	buffer_init(&core->rows, DECISION_ROOM / 2);
}

void
core_intake_fini(struct core *core)
{
	pool_fini(&core->pendings);
	encoder_fini(&core->encoder);
	buffer_fini(&core->rows);
}
