/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state of the core and how records make it: replay, and the small steps that intake and settlement call once a record is on disk.
 * It does not decide.
 */
#include "broker/core/core.h"

#include <errno.h>
#include <stdlib.h>

#include "broker/base/log.h"
#include "broker/base/metrics.h"
#include "broker/core/state.h"

#define CORE_SCRATCH ((size_t)8 << 20) /* facts and decision of one record, many documents included */

int
core_new(struct core **corep, const struct config *config)
{
	struct core *core = calloc(1, sizeof(*core));
	int r;

	if (!core)
		return -ENOMEM;
	core->pending_tail = &core->pending;
	core->settling_tail = &core->settling;
	arena_init(&core->scratch, CORE_SCRATCH);
	core_intake_init(core);
	r = duplicates_new(&core->duplicates);
	if (r == 0)
		r = originals_new(&core->originals);
	if (r == 0)
		r = core_destinations_init(core);
	if (r == 0)
		r = core_reconfigure(core, config);
	if (r) {
		core_free(core);
		return r;
	}
	*corep = core;
	return 0;
}

void
core_free(struct core *core)
{
	if (!core)
		return;
	core_unqueued_fini(core);
	core_replay_fini(core);
	core_settle_fini(core);
	core_destinations_fini(core);
	duplicates_free(core->duplicates);
	originals_free(core->originals);
	core_intake_fini(core);
	arena_fini(&core->scratch);
	free(core->marks);
	free(core->early);
	free(core->purges);
	config_release(core->config);
	free(core);
}

/*
 * The duplicate window's marks.
 */
struct window_mark *
core_window_new(const struct config *config, size_t *roomp)
{
	*roomp = (size_t)(config->journal.duplicate_window_s * 1000000 / WINDOW_MARK_EVERY_US) + 2;
	return calloc(*roomp, sizeof(struct window_mark));
}

static void
drop_mark(struct core *core)
{
	duplicates_forget(core->duplicates, core->marks[core->mark_first].seq);
	core->mark_first = (core->mark_first + 1) % core->mark_room;
	core->mark_count--;
}

void
core_window_take(struct core *core, struct window_mark *marks, size_t room)
{
	while (core->mark_count > room)
		drop_mark(core);
	for (size_t i = 0; i < core->mark_count; i++)
		marks[i] = core->marks[(core->mark_first + i) % core->mark_room];
	free(core->marks);
	core->marks = marks;
	core->mark_room = room;
	core->mark_first = 0;
}

void
core_mark(struct core *core, uint64_t seq, uint64_t time_us)
{
	uint64_t window_us = core->config->journal.duplicate_window_s * 1000000;
	struct window_mark *last = NULL;

	if (core->mark_count)
		last = &core->marks[(core->mark_first + core->mark_count - 1) % core->mark_room];
	if (last && seq <= last->seq)
		return;
	/* The newest mark moves on with its minute; a full ring (the clock ran fast) stretches its newest mark. */
	if (last && (time_us < last->time_us + WINDOW_MARK_EVERY_US || core->mark_count == core->mark_room)) {
		last->seq = seq;
		if (core->mark_count == core->mark_room)
			last->time_us = time_us;
	} else {
		core->marks[(core->mark_first + core->mark_count++) % core->mark_room] =
		    (struct window_mark){ time_us, seq };
	}
	while (core->mark_count > 1) {
		const struct window_mark *first = &core->marks[core->mark_first];

		if (first->time_us + WINDOW_MARK_EVERY_US + window_us > time_us)
			break;
		drop_mark(core);
	}
}

/*
 * Into the queues.
 */
static int
queue_in_all(const struct arrival *arrival)
{
	const struct record_head *head = &arrival->head;
	int r = 0;

	for (size_t i = 0; i < arrival->to_count && r == 0; i++)
		if (queue_state(arrival->to[i]->queue, head->seq, NULL) == QUEUE_ABSENT)
			r = queue_push(arrival->to[i]->queue, head->seq, head->time_us, head->size);
	return r;
}

void
core_arrive(struct core *core, struct arrival *arrival)
{
	struct arrival **at = &core->unqueued;

	core_mark(core, arrival->head.seq, arrival->head.time_us);
	if (!*at && queue_in_all(arrival) == 0) {
		arrival->arrived(core, arrival);
		return;
	}
	while (*at)
		at = &(*at)->next;
	arrival->next = NULL;
	*at = arrival;
}

/* What found no memory holds back all that come after it. */
void
core_retry_unqueued(struct core *core)
{
	while (core->unqueued && queue_in_all(core->unqueued) == 0) {
		struct arrival *arrival = core->unqueued;

		core->unqueued = arrival->next;
		arrival->arrived(core, arrival);
	}
}

void
core_unqueued_fini(struct core *core)
{
	while (core->unqueued) {
		struct arrival *arrival = core->unqueued;

		core->unqueued = arrival->next;
		arrival->dropped(arrival);
	}
}

void
core_apply_hold(struct destination *destination, uint64_t seq, bool held)
{
	if (seq < destination->hold_seq)
		return;
	destination->hold_seq = seq;
	destination->held = held;
}

/*
 * Replay.
 */
static int
replay_accepted(struct core *core, const struct record *record)
{
	static const uint8_t none[16];
	struct destination *destination;
	struct decision decision;
	int r;

	r = decision_decode(record->decision, &core->scratch, &decision);
	if (r)
		return r < 0 ? r : -EBADMSG;
	if (memcmp(record->head.key, none, sizeof(none)) != 0) {
		r = duplicates_put(core->duplicates, record->head.key, record->head.seq);
		if (r)
			return r;
	}
	core_mark(core, record->head.seq, record->head.time_us);
	if (record->head.flags & RECORD_BODILESS)
		return 0;
	if (record->head.flags & RECORD_REPLAYED && !originals_of(core->originals, record->head.seq)) {
		r = originals_reserve(core->originals);
		if (r)
			return r;
		originals_put(core->originals, record->head.seq, record->head.ref);
	}
	for (size_t i = 0; i < decision.to_count && r == 0; i++) {
		destination = core_destination(core, decision.to[i]);
		r = destination ? queue_push(destination->queue, record->head.seq, record->head.time_us,
				      record->head.size)
				: -ENOMEM;
	}
	if (decision.parked && r == 0)
		r = queue_push(
		    core->parked->queue, record->head.seq, record->head.time_us, record->head.size);
	return r;
}

static int
remember_early(struct core *core, struct early_outcome early)
{
	if (core->early_count == core->early_room) {
		size_t room = core->early_room ? core->early_room * 2 : 64;
		struct early_outcome *more = realloc(core->early, room * sizeof(*more));

		if (!more)
			return -ENOMEM;
		core->early = more;
		core->early_room = room;
	}
	core->early[core->early_count++] = early;
	return 0;
}

/* False when the message it is about does not wait there. */
static bool
apply_outcome(struct core *core, const struct early_outcome *early)
{
	if (!queue_settling(early->destination->queue, early->ref, early->outcome))
		return false;
	(void)queue_settled(early->destination->queue, early->ref);
	core_settled(core, early->ref);
	return true;
}

static int
replay_outcome(struct core *core, const struct record *record)
{
	struct early_outcome early = { .ref = record->head.ref };
	struct decision decision;
	int r;

	r = decision_decode(record->decision, &core->scratch, &decision);
	if (r)
		return r < 0 ? r : -EBADMSG;
	early.destination = core_destination(core, decision.destination);
	if (!early.destination)
		return -ENOMEM;
	early.outcome = decision.outcome;
	return apply_outcome(core, &early) ? 0 : remember_early(core, early);
}

static int
replay_operator(struct core *core, const struct record *record)
{
	struct destination *destination;
	struct decision decision;
	bool held;
	int r;

	r = decision_decode(record->decision, &core->scratch, &decision);
	if (r)
		return r < 0 ? r : -EBADMSG;
	if (span_eq_str(decision.what, PURGE_WHAT))
		return core_purge_replayed(core, record->head.ref);
	held = span_eq_str(decision.what, HOLD_WHAT);
	if (!held && !span_eq_str(decision.what, RELEASE_WHAT))
		return 0;
	destination = core_destination(core, decision.destination);
	if (!destination)
		return -ENOMEM;
	core_apply_hold(destination, record->head.seq, held);
	return 0;
}

int
core_replay(void *arg, const struct record *record)
{
	struct core *core = arg;

	arena_reset(&core->scratch);
	switch ((enum record_type)record->head.type) {
	case RECORD_ACCEPTED:
		return replay_accepted(core, record);
	case RECORD_OUTCOME:
		return replay_outcome(core, record);
	case RECORD_OPERATOR:
		return replay_operator(core, record);
	default:
		return 0;
	}
}

/* XXH3 wants 192 secret bytes; the journal keeps 16: the rest is SHA-256 in counter mode over them. */
static int
derive_secret(struct core *core)
{
	uint8_t block[17];
	int r = 0;

	memcpy(block, journal_secret(core->journal), 16);
	for (uint8_t i = 0; i < DIGEST_XXH128_SECRET / DIGEST_SHA256_LEN && r == 0; i++) {
		block[16] = i;
		r = digest_sha256(
		    span_make(block, sizeof(block)), core->secret + (size_t)i * DIGEST_SHA256_LEN);
	}
	return r;
}

static void
started_done(void *arg, int error)
{
	(void)arg;
	(void)error; /* a start that could not be recorded is told by the journal's own event */
}

int
core_start(struct core *core, struct journal *journal, struct workers *workers)
{
	struct journal_entry started = { .type = RECORD_STARTED };
	int r;

	core->journal = journal;
	core->workers = workers;
	r = queue_order(core->parked->queue);
	for (size_t i = 0; i < core->destination_count && r == 0; i++)
		r = queue_order(core->destinations[i]->queue);
	if (r)
		return r;
	for (size_t i = 0; i < core->early_count; i++)
		(void)apply_outcome(core, &core->early[i]);
	free(core->early);
	core->early = NULL;
	core->early_count = core->early_room = 0;
	r = derive_secret(core);
	if (r == 0)
		r = core_purges_resume(core);
	if (r)
		return r;
	core_tell_orphans(core);
	r = journal_append(journal, &started, started_done, NULL, NULL);
	return r < 0 ? r : 0;
}

void
core_stop(struct core *core)
{
	core->stopping = true;
}

size_t
core_in_flight(const struct core *core)
{
	return core->in_flight;
}

/*
 * Retention.
 */
static bool
is_open(const struct destination *destination, uint64_t seq)
{
	enum queue_state state = QUEUE_ABSENT;

	if (queue_count(destination->queue)) /* most are empty: retention asks of every record */
		state = queue_state(destination->queue, seq, NULL);
	return state == QUEUE_WAITING || state == QUEUE_SETTLING;
}

static bool
waits(const struct core *core, uint64_t seq)
{
	bool live = is_open(core->parked, seq);

	for (size_t i = 0; i < core->destination_count && !live; i++)
		live = is_open(core->destinations[i], seq);
	return live;
}

bool
core_is_live(const struct core *core, uint64_t seq)
{
	return waits(core, seq) || originals_next(core->originals, seq, 0);
}

void
core_settled(struct core *core, uint64_t seq)
{
	if (originals_of(core->originals, seq) && !waits(core, seq))
		originals_drop(core->originals, seq);
}

/*
 * Whether record ${seq} is the last word on who is held. A release too: it may lie before a copy of the hold that was carried while the release was on its
 * way to the disk.
 */
static bool
is_last_word(const struct core *core, uint64_t seq)
{
	for (size_t i = 0; i < core->destination_count; i++)
		if (core->destinations[i]->hold_seq == seq)
			return true;
	return false;
}

void
core_judge(struct core *core, const struct record_head *heads, size_t count, enum journal_fate *fates)
{
	static const uint8_t none[16];

	/* Records are asked about as they lie, so this is how far the segment has been judged. */
	if (count && journal_find(core->journal, heads[count - 1].seq, &core->judged) != 0)
		core->judged = (struct journal_place){ 0 };
	for (size_t i = 0; i < count; i++) {
		const struct record_head *head = &heads[i];
		uint64_t message = head->type == RECORD_ACCEPTED ? head->seq : head->ref;

		fates[i] = FATE_DROP;
		if (head->type == RECORD_OPERATOR)
			fates[i] = is_last_word(core, head->seq) ? FATE_CARRY : FATE_DROP;
		if (head->type != RECORD_ACCEPTED && head->type != RECORD_OUTCOME)
			continue;
		if (core_is_live(core, message))
			fates[i] = FATE_CARRY;
		else if (head->type == RECORD_ACCEPTED && memcmp(head->key, none, sizeof(none)) != 0 &&
			 duplicates_get(core->duplicates, head->key) == head->seq)
			fates[i] = FATE_CARRY_BODILESS;
	}
}

void
core_status(const struct core *core, struct core_status *status)
{
	*status = core->status;
	status->parked = queue_count(core->parked->queue);
	status->orphaned = core_orphaned(core);
	status->remembered = duplicates_count(core->duplicates);
	status->stopping = core->stopping;
}
