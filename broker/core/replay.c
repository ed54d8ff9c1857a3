/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replay: a message is journalled once more, without its bytes, and waits as a new one.
 *
 * Items go a few at a time: their facts are read on a worker, then all that can be said of them is decided on the loop and appended in order, and the
 * next are read when these are on disk. From its append on a replay is among core->originals, so that retention keeps the bytes it refers to; a
 * message that retention has judged already, and not to be kept, is refused, for its segment goes.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/base/log.h"
#include "broker/core/core.h"
#include "broker/core/facts.h"
#include "broker/core/route.h"
#include "broker/core/state.h"

#define STEP	      32u		 /* items read and appended at a time */
#define STEP_MEMORY   ((size_t)64 << 20) /* of their facts, as they stand and decoded */
#define DECISION_ROOM ((size_t)64 << 10)
#define REASON_MAX    1024u

/* One item on its way. */
struct replayed {
	struct arrival arrival;
	struct replaying *replaying;
	struct replay *item;
	struct record record; /* of item->seq, without its bytes */
	struct decision was;
	struct facts facts;
	uint64_t original;
	struct journal_place place; /* of the original, when it was looked at */
	struct buffer decision;
	struct settlement parked; /* it is taken off there */
	char text[48];
};

struct replaying {
	struct replaying *next;
	struct core *core;
	struct replay *items;
	size_t count, begun; /* items, and how many of them were read or refused */
	char *who, *reason;
	core_settled_fn *done;
	void *arg;
	struct workers_job job;
	struct arena arena;
	struct replayed step[STEP];
	size_t step_count;
	size_t open; /* records of this step that are not on disk yet */
	int error;
};

static void next_step(struct replaying *replaying);

static void
replaying_free(struct replaying *replaying)
{
	for (size_t i = 0; i < STEP; i++) {
		buffer_fini(&replaying->step[i].decision);
		free(replaying->step[i].arrival.to);
	}
	arena_fini(&replaying->arena);
	free(replaying->who);
	free(replaying->reason);
	free(replaying);
}

static void
finish(struct replaying *replaying)
{
	struct replaying **at = &replaying->core->replaying;

	while (*at != replaying)
		at = &(*at)->next;
	*at = replaying->next;
	replaying->core->in_flight--;
	replaying->done(replaying->arg, replaying->error);
	replaying_free(replaying);
}

/* One thing fewer to wait for. */
static void
close_one(struct replaying *replaying)
{
	if (--replaying->open == 0)
		next_step(replaying);
}

/*
 * On disk.
 */
static void
taken_off(void *arg, int error)
{
	struct replayed *replayed = arg;

	(void)
	    error; /* it waits there still, and can be dropped or replayed again: the log of the journal's failure tells why */
	close_one(replayed->replaying);
}

static void
take_off_parked(struct replayed *replayed)
{
	struct replaying *replaying = replayed->replaying;

	(void)snprintf(
	    replayed->text, sizeof(replayed->text), "replayed as %" PRIu64, replayed->arrival.head.seq);
	replayed->parked = (struct settlement){
		.seq = replayed->item->seq, .outcome = OUTCOME_DROPPED, .text = span_str(replayed->text)
	};
	replaying->open++;
	core_settle(replaying->core, CORE_PARKED, replaying->who, &replayed->parked, 1, taken_off, replayed);
}

static void
arrived(struct core *core, struct arrival *arrival)
{
	struct replayed *replayed = (struct replayed *)((char *)arrival - offsetof(struct replayed, arrival));
	struct replaying *replaying = replayed->replaying;
	struct log_line line;

	replayed->item->new_seq = arrival->head.seq;
	replayed->item->result = REPLAY_DONE;
	for (size_t i = 0; i < arrival->to_count; i++) {
		log_begin(&line, EVENT_REPLAYED);
		log_u64(&line, "id", arrival->head.seq);
		log_u64(&line, "of", replayed->original);
		log_text(&line, "to", arrival->to[i]->name);
		log_u64(&line, "waiting", queue_count(arrival->to[i]->queue));
		log_commit(&line);
	}
	for (size_t i = 0; i < arrival->to_count; i++)
		core_wake(arrival->to[i]);
	if (queue_state(core->parked->queue, replayed->item->seq, NULL) == QUEUE_WAITING)
		take_off_parked(replayed);
	close_one(replaying);
}

/* The core ends: its replays are freed all together. */
static void
dropped(struct arrival *arrival)
{
	(void)arrival;
}

static void
journalled(void *arg, int error)
{
	struct replayed *replayed = arg;
	struct replaying *replaying = replayed->replaying;

	if (error == 0) {
		core_arrive(replaying->core, &replayed->arrival);
		return;
	}
	originals_drop(replaying->core->originals, replayed->arrival.head.seq);
	replaying->error = error;
	close_one(replaying);
}

/*
 * On the loop: what is to become of it.
 */
static bool
waits_at(const struct core *core, const struct destination *destination, const struct replayed *replayed)
{
	uint64_t seq = replayed->original, replay = 0;

	do {
		enum queue_state state = queue_state(destination->queue, seq, NULL);

		if (state == QUEUE_WAITING || state == QUEUE_SETTLING)
			return true;
		seq = replay = originals_next(core->originals, replayed->original, replay);
	} while (seq);
	return false;
}

/* Retention has carried it elsewhere since it was looked at, maybe without its bytes. */
static bool
has_moved(const struct replayed *replayed)
{
	struct journal_place place;

	return journal_find(replayed->replaying->core->journal, replayed->original, &place) == 0 &&
	       (place.segment != replayed->place.segment || place.offset != replayed->place.offset);
}

/* Removed, or judged already by the pass of retention that is under way, and not carried: what was live then is live still. */
static bool
is_going(const struct replayed *replayed)
{
	const struct core *core = replayed->replaying->core;
	struct journal_place place;

	if (journal_find(core->journal, replayed->original, &place) != 0)
		return true;
	return place.segment == core->judged.segment && place.offset <= core->judged.offset &&
	       !core_is_live(core, replayed->original);
}

/* Add the destination ${number}, when it is configured, of the same mode, and wants it; else say why not. */
static void
add_destination(struct replayed *replayed, const struct destination *destination)
{
	const struct core *core = replayed->replaying->core;
	struct replay *item = replayed->item;

	if (!destination || !destination->configured)
		item->result = REPLAY_UNROUTED;
	else if (destination->configured->establishment->mode != replayed->was.mode)
		item->result = REPLAY_MODE;
	else if (waits_at(core, destination, replayed))
		item->result = REPLAY_WAITING;
	else
		replayed->arrival.to[replayed->arrival.to_count++] = core->destinations[destination->number];
}

/* As intake would route it now; ${rows} gets the names of the rows. 0 or -ENOMEM. */
static int
choose_routes(struct replayed *replayed, struct buffer *rows)
{
	struct core *core = replayed->replaying->core;
	struct config_peer peer = { .name = arena_str(&replayed->replaying->arena, replayed->facts.peer) };
	size_t count;

	replayed->arrival.to = calloc(core->config->destination_count + 1, sizeof(struct destination *));
	if (!peer.name || !replayed->arrival.to)
		return -ENOMEM;
	count = route_index_choose(core->routes,
	    &(struct route_message){ &peer, &replayed->facts, replayed->was.mode }, core->chosen,
	    core->config->destination_count, rows);
	replayed->item->result = REPLAY_UNROUTED;
	for (size_t i = 0; i < count; i++)
		add_destination(replayed, core->configured[core->chosen[i] - core->config->destinations]);
	return buffer_failed(rows) ? -ENOMEM : 0;
}

static int
choose(struct replayed *replayed, struct buffer *rows)
{
	const struct core *core = replayed->replaying->core;
	size_t number = replayed->item->number;

	if (number == CORE_NONE)
		return choose_routes(replayed, rows);
	replayed->arrival.to = calloc(1, sizeof(struct destination *));
	if (!replayed->arrival.to)
		return -ENOMEM;
	add_destination(replayed, number == CORE_PARKED ? NULL : core_at(core, number));
	return 0;
}

static int
encode(struct replayed *replayed, struct span routes)
{
	struct replaying *replaying = replayed->replaying;
	const struct arrival *arrival = &replayed->arrival;
	struct span *names = arena_calloc(&replaying->arena, arrival->to_count, sizeof(*names));
	struct decision decision = {
		.answer = ANSWER_ACCEPT,
		.mode = replayed->was.mode,
		.to = names,
		.to_count = arrival->to_count,
		.routes = routes,
		.who = span_str(replaying->who),
		.text = span_str(replaying->reason),
	};

	if (!names)
		return -ENOMEM;
	for (size_t i = 0; i < arrival->to_count; i++)
		names[i] = span_str(arrival->to[i]->name);
	buffer_init(&replayed->decision, DECISION_ROOM);
	decision_encode(&decision, &replayed->decision);
	return buffer_failed(&replayed->decision) ? -ENOMEM : 0;
}

static int
append(struct replayed *replayed)
{
	struct core *core = replayed->replaying->core;
	struct journal_entry entry = {
		.type = RECORD_ACCEPTED,
		.ref = replayed->original,
		.size = replayed->record.head.size,
		.sha256 = replayed->record.head.sha256,
		.facts = replayed->record.facts,
		.decision = buffer_span(&replayed->decision),
		.replayed = true,
		.push = true,
	};
	int r = originals_reserve(core->originals);

	if (r == 0)
		r = journal_append(core->journal, &entry, journalled, replayed, &replayed->arrival.head);
	if (r == 0)
		originals_put(core->originals, replayed->arrival.head.seq, replayed->original);
	return r;
}

/* 0, or why the journal does not take it; item->result is filled when it is not to be taken. */
static int
replay_one(struct replayed *replayed)
{
	struct buffer rows;
	int r;

	if (is_going(replayed)) {
		replayed->item->result = REPLAY_ABSENT;
		return 0;
	}
	buffer_init(&rows, DECISION_ROOM / 2);
	r = choose(replayed, &rows);
	if (r == 0 && replayed->arrival.to_count) {
		replayed->item->result = REPLAY_UNDONE; /* until it is on disk */
		r = encode(replayed, buffer_span(&rows));
		if (r == 0)
			r = append(replayed);
		replayed->replaying->open += r == 0;
	}
	buffer_fini(&rows);
	if (r)
		replayed->item->result = REPLAY_UNDONE;
	return r;
}

static void
read_done(struct workers_job *job)
{
	struct replaying *replaying = (struct replaying *)((char *)job - offsetof(struct replaying, job));

	replaying->open++; /* ours, so that nothing goes on before all are appended */
	for (size_t i = 0; i < replaying->step_count && replaying->error == 0; i++) {
		struct replayed *replayed = &replaying->step[i];

		if (replayed->item->result == REPLAY_UNDONE && has_moved(replayed))
			break; /* it, and those behind it, are looked at again */
		if (replayed->item->result == REPLAY_UNDONE)
			replaying->error = replay_one(replayed);
		replaying->begun++;
	}
	close_one(replaying);
}

/*
 * On a worker: what it was.
 */

/* What the journal says of an item; item->result is filled when it cannot be replayed. 0 or -errno. */
static int
read_item(struct replayed *replayed)
{
	struct replaying *replaying = replayed->replaying;
	struct journal *journal = replaying->core->journal;
	struct arena *arena = &replaying->arena;
	struct record_head *head = &replayed->record.head;
	struct record original;
	int r = journal_read(journal, replayed->item->seq, false, arena, &replayed->record);

	if (r == 0 && head->type != RECORD_ACCEPTED)
		r = JOURNAL_ABSENT;
	if (r == 0) {
		replayed->original = head->flags & RECORD_REPLAYED ? head->ref : head->seq;
		r = journal_find(journal, replayed->original, &replayed->place);
	}
	if (r == 0)
		r = journal_read(journal, replayed->original, false, arena, &original);
	if (r == 0)
		head->flags |= original.head.flags & (RECORD_BODILESS | RECORD_PURGED);
	if (r == 0)
		r = decision_decode(replayed->record.decision, arena, &replayed->was);
	if (r == 0)
		r = facts_decode(replayed->record.facts, arena, &replayed->facts);
	if (r < 0)
		return r;
	if (r == JOURNAL_ABSENT)
		replayed->item->result = REPLAY_ABSENT;
	else if (r || head->flags & (RECORD_BODILESS | RECORD_PURGED))
		replayed->item->result = REPLAY_BODILESS;
	return 0;
}

/* What finds no memory behind others is read again with the next ones. */
static void
read_run(struct workers_job *job)
{
	struct replaying *replaying = (struct replaying *)((char *)job - offsetof(struct replaying, job));
	size_t read = 0;
	int r = 0;

	while (read < replaying->step_count && r == 0) {
		r = read_item(&replaying->step[read]);
		read += r == 0;
	}
	if (r && (r != -ENOMEM || read == 0))
		replaying->error = r;
	replaying->step_count = read;
}

static void
next_step(struct replaying *replaying)
{
	size_t left = replaying->count - replaying->begun;

	if (replaying->core->stopping && left && !replaying->error)
		replaying->error = -ECANCELED;
	if (replaying->error || left == 0) {
		finish(replaying);
		return;
	}
	arena_reset(&replaying->arena);
	replaying->step_count = left < STEP ? left : STEP;
	for (size_t i = 0; i < replaying->step_count; i++) {
		struct replayed *replayed = &replaying->step[i];

		buffer_fini(&replayed->decision);
		free(replayed->arrival.to);
		*replayed = (struct replayed){
			.arrival = { .arrived = arrived, .dropped = dropped },
			.replaying = replaying,
			.item = &replaying->items[replaying->begun + i],
		};
	}
	replaying->job.run = read_run;
	replaying->job.done = read_done;
	if (workers_submit(replaying->core->workers, &replaying->job)) {
		replaying->error = -EBUSY;
		finish(replaying);
	}
}

void
core_replay_message(struct core *core, struct replay *items, size_t count, const char *who,
    const char *reason, core_settled_fn *done, void *arg)
{
	struct replaying *replaying = calloc(1, sizeof(*replaying));

	for (size_t i = 0; i < count; i++) {
		items[i].new_seq = 0;
		items[i].result = REPLAY_UNDONE;
	}
	if (replaying) {
		replaying->core = core;
		replaying->items = items;
		replaying->count = count;
		replaying->done = done;
		replaying->arg = arg;
		arena_init(&replaying->arena, STEP_MEMORY);
		replaying->who = strdup(who);
		replaying->reason = strndup(reason, REASON_MAX);
	}
	if (!replaying || !replaying->who || !replaying->reason) {
		if (replaying)
			replaying_free(replaying);
		done(arg, -ENOMEM);
		return;
	}
	replaying->next = core->replaying;
	core->replaying = replaying;
	core->in_flight++;
	next_step(replaying);
}

void
core_replay_fini(struct core *core)
{
	while (core->replaying) {
		struct replaying *replaying = core->replaying;

		core->replaying = replaying->next;
		replaying_free(replaying);
	}
}
