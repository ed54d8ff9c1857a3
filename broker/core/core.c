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

/* The core's own queues are bounded as an inbox is that says nothing: 7 days, 20 % of the disk. */
#define OWN_AGE_S	 ((uint64_t)7 * 24 * 3600)
#define OWN_DISK_PERCENT 20

#define CORE_SCRATCH ((size_t)8 << 20) /* facts and decision of one record, many documents included */

static int
compare_names(const void *a, const void *b)
{
	const struct config_destination *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

static int
make_queues(struct core *core)
{
	size_t destinations = core->config->destination_count;
	int r;

	core->queue_count = destinations + QUEUE_OWN_COUNT;
	core->queues = calloc(core->queue_count, sizeof(struct queue *));
	core->waiting = calloc(destinations * 5 + 1, sizeof(struct metric_series *));
	core->chosen = calloc(destinations + 1, sizeof(*core->chosen));
	core->by_name = calloc(destinations + 1, sizeof(struct config_destination *));
	if (!core->queues || !core->waiting || !core->chosen || !core->by_name)
		return -ENOMEM;
	for (size_t i = 0; i < destinations; i++)
		core->by_name[i] = &core->config->destinations[i];
	qsort(core->by_name, destinations, sizeof(struct config_destination *), compare_names);
	core->oldest = core->waiting + destinations;
	core->delivered = core->oldest + destinations;
	core->rejected = core->delivered + destinations;
	core->dead = core->rejected + destinations;
	for (size_t i = 0; i < core->queue_count; i++) {
		r = queue_new(&core->queues[i]);
		if (r)
			return r;
	}
	for (size_t i = 0; i < destinations; i++) {
		const char *name = core->config->destinations[i].name;

		core->waiting[i] = metric_series(METRIC_WAITING, name);
		core->oldest[i] = metric_series(METRIC_OLDEST, name);
		core->delivered[i] = metric_series(METRIC_DELIVERED, name);
		core->rejected[i] = metric_series(METRIC_ITEMS_REJECTED, name);
		core->dead[i] = metric_series(METRIC_DEAD_LETTERS, name);
	}
	return 0;
}

int
core_new(struct core **corep, const struct config *config)
{
	struct core *core = calloc(1, sizeof(*core));
	int r;

	if (!core)
		return -ENOMEM;
	core->config = config;
	for (size_t i = 0; i < QUEUE_OWN_COUNT; i++)
		core->own[i] = (struct config_destination){
			.name = i == QUEUE_PARKED ? "(parked)" : "(orphaned)",
			.index = config->destination_count + i,
			.max_age_s = OWN_AGE_S,
			.max_disk_percent = OWN_DISK_PERCENT,
		};
	core->pending_tail = &core->pending;
	core->settling_tail = &core->settling;
	arena_init(&core->scratch, CORE_SCRATCH);
	core->mark_room = (size_t)(config->journal.duplicate_window_s * 1000000 / WINDOW_MARK_EVERY_US) + 2;
	core->marks = calloc(core->mark_room, sizeof(*core->marks));
	r = core->marks ? duplicates_new(&core->duplicates) : -ENOMEM;
	if (r == 0)
		r = make_queues(core);
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
	core_intake_fini(core);
	core_settle_fini(core);
	for (size_t i = 0; core->queues && i < core->queue_count; i++)
		queue_free(core->queues[i]);
	free(core->queues);
	free(core->waiting);
	free(core->chosen);
	free(core->by_name);
	duplicates_free(core->duplicates);
	arena_fini(&core->scratch);
	free(core->marks);
	free(core->early);
	free(core);
}

struct queue *
core_queue(const struct core *core, size_t index)
{
	return core->queues[index == CORE_PARKED ? core->config->destination_count + QUEUE_PARKED : index];
}

const struct config_destination *
core_destination_at(const struct core *core, size_t index)
{
	size_t configured = core->config->destination_count;

	return index < configured ? &core->config->destinations[index] : &core->own[index - configured];
}

/* strcmp of a span and a name. */
static int
compare_to_name(const void *key, const void *element)
{
	const struct config_destination *const *destination = element;
	const struct span *name = key;
	int order = strncmp((const char *)name->ptr, (*destination)->name, name->len);

	return order ? order : -((*destination)->name[name->len] != '\0');
}

/* Replay asks for every record. */
size_t
core_destination(const struct core *core, struct span name)
{
	const struct config_destination **found = NULL;

	if (name.len && !memchr(name.ptr, '\0', name.len))
		found = bsearch(&name, core->by_name, core->config->destination_count,
		    sizeof(struct config_destination *), compare_to_name);
	if (found)
		return (*found)->index;
	return core->config->destination_count +
	       (span_eq_str(name, core->own[QUEUE_PARKED].name) ? QUEUE_PARKED : QUEUE_ORPHANED);
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
		duplicates_forget(core->duplicates, first->seq);
		core->mark_first = (core->mark_first + 1) % core->mark_room;
		core->mark_count--;
	}
}

int
core_apply_accepted(struct core *core, const struct record_head *head, const size_t *indexes, size_t count)
{
	int r = 0;

	for (size_t i = 0; i < count && r == 0; i++)
		if (queue_state(core->queues[indexes[i]], head->seq, NULL) == QUEUE_ABSENT)
			r = queue_push(core->queues[indexes[i]], head->seq, head->time_us, head->size);
	return r;
}

void
core_apply_outcome(struct core *core, size_t index, uint64_t seq)
{
	(void)queue_settled(core->queues[index], seq);
}

/*
 * Replay.
 */
static int
replay_accepted(struct core *core, const struct record *record)
{
	static const uint8_t none[16];
	struct decision decision;
	size_t index;
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
	for (size_t i = 0; i < decision.to_count && r == 0; i++) {
		index = core_destination(core, decision.to[i]);
		r = queue_push(
		    core->queues[index], record->head.seq, record->head.time_us, record->head.size);
	}
	if (decision.parked && r == 0)
		r = queue_push(
		    core_queue(core, CORE_PARKED), record->head.seq, record->head.time_us, record->head.size);
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

static int
replay_outcome(struct core *core, const struct record *record)
{
	struct early_outcome early = { .ref = record->head.ref };
	struct decision decision;
	int r;

	r = decision_decode(record->decision, &core->scratch, &decision);
	if (r)
		return r < 0 ? r : -EBADMSG;
	early.index = core_destination(core, decision.destination);
	early.outcome = decision.outcome;
	if (!queue_settling(core->queues[early.index], early.ref, early.outcome))
		return remember_early(core, early);
	core_apply_outcome(core, early.index, early.ref);
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

/* An inbox that was taken out of the configuration while items waited in it. */
static void
tell_orphans(const struct core *core)
{
	size_t count = queue_count(core->queues[core->config->destination_count + QUEUE_ORPHANED]);
	struct log_line line;

	if (count == 0)
		return;
	log_begin(&line, EVENT_ORPHANED);
	log_u64(&line, "count", count);
	log_commit(&line);
}

int
core_start(struct core *core, struct journal *journal, struct workers *workers)
{
	struct journal_entry started = { .type = RECORD_STARTED };
	int r;

	core->journal = journal;
	core->workers = workers;
	for (size_t i = 0; i < core->queue_count; i++) {
		r = queue_order(core->queues[i]);
		if (r)
			return r;
	}
	for (size_t i = 0; i < core->early_count; i++) {
		const struct early_outcome *early = &core->early[i];

		if (queue_settling(core->queues[early->index], early->ref, early->outcome))
			core_apply_outcome(core, early->index, early->ref);
	}
	free(core->early);
	core->early = NULL;
	core->early_count = core->early_room = 0;
	r = derive_secret(core);
	if (r)
		return r;
	tell_orphans(core);
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
 * Queues as others see them.
 */
size_t
core_waiting(const struct core *core, size_t index, uint64_t after, uint64_t *seqs, size_t max)
{
	struct queue_entry entries[64];
	size_t n = 0;

	while (n < max) {
		size_t want = max - n < 64 ? max - n : 64;
		size_t got = queue_list(core_queue(core, index), after, entries, want);

		for (size_t i = 0; i < got; i++)
			seqs[n++] = entries[i].seq;
		if (got < want)
			break;
		after = entries[got - 1].seq;
	}
	return n;
}

size_t
core_waiting_count(const struct core *core, size_t index)
{
	return queue_count(core_queue(core, index));
}

uint64_t
core_oldest_us(const struct core *core, size_t index)
{
	struct queue_entry entry;

	return queue_list(core_queue(core, index), 0, &entry, 1) ? entry.time_s * 1000000 : 0;
}

void
core_watch(struct core *core, struct core_watch *watch)
{
	watch->prev = NULL;
	watch->next = core->watches;
	if (watch->next)
		watch->next->prev = watch;
	core->watches = watch;
}

void
core_unwatch(struct core *core, struct core_watch *watch)
{
	if (watch->prev)
		watch->prev->next = watch->next;
	else
		core->watches = watch->next;
	if (watch->next)
		watch->next->prev = watch->prev;
	watch->prev = watch->next = NULL;
}

void
core_wake(struct core *core, size_t index)
{
	struct core_watch *next;

	/* A woken watch may take itself off. */
	for (struct core_watch *watch = core->watches; watch; watch = next) {
		next = watch->next;
		if (watch->index == index)
			watch->woken(watch);
	}
}

void
core_judge(struct core *core, const struct record_head *heads, size_t count, enum journal_fate *fates)
{
	static const uint8_t none[16];

	for (size_t i = 0; i < count; i++) {
		const struct record_head *head = &heads[i];
		uint64_t message = head->type == RECORD_ACCEPTED ? head->seq : head->ref;
		bool live = false;

		fates[i] = FATE_DROP;
		if (head->type != RECORD_ACCEPTED && head->type != RECORD_OUTCOME)
			continue;
		for (size_t q = 0; q < core->queue_count && !live; q++) {
			enum queue_state state = queue_state(core->queues[q], message, NULL);

			live = state == QUEUE_WAITING || state == QUEUE_SETTLING;
		}
		if (live)
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
	status->parked = queue_count(core_queue(core, CORE_PARKED));
	status->remembered = duplicates_count(core->duplicates);
	status->stopping = core->stopping;
}
