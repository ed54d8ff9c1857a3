/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Outcomes: what a reader says of its items, and what time says of those nobody reads.
 *
 * The first acknowledgement counts. An item is marked as being settled when its outcome is handed to the journal, and settled when that is
 * on disk; an answer waits for every outcome it speaks of, also for one that another connection is settling.
 */
#include <errno.h>
#include <stdlib.h>

#include "broker/base/log.h"
#include "broker/base/metrics.h"
#include "broker/core/core.h"
#include "broker/core/state.h"

/* Dead letters per call and destination: about a millisecond, and more than an inbox is sent in a second. */
#define EXPIRE_STEP 256u

/* What the configuration says nothing of is bounded as an inbox is that says nothing: 7 days, 20 % of the disk. */
#define OWN_AGE_S	 ((uint64_t)7 * 24 * 3600)
#define OWN_DISK_PERCENT 20

/* Of a reader's or a receiver's code and text, and of an operator's reason; doors and senders let in less. */
#define CODE_MAX 256u
#define TEXT_MAX 1024u
#define TLV_ROOM ((size_t)14 * 5) /* what the encoding adds to the texts of one outcome */

struct settle_batch;

/* One outcome on its way to the disk. */
struct settle_record {
	struct settle_batch *batch;
	uint64_t seq;
	enum outcome outcome;
};

/* What is settled together. Two allocations, however many: senders come here for every few messages. */
struct settle_batch {
	struct settle_batch *next;
	struct core *core;
	struct destination *destination;
	struct settlement *items;
	size_t count;
	size_t open; /* records not yet on disk */
	int error;
	bool submitted; /* all records have been handed over */
	core_settled_fn *done;
	void *arg;
	struct buffer decisions; /* of all records, in memory taken at once: it does not move */
	struct settle_record records[];
};

static void
batch_free(struct settle_batch *batch)
{
	buffer_fini(&batch->decisions);
	free(batch);
}

/* Answers leave in the order asked: a batch that only repeats what another settles waits for that one in front of it. */
static void
finish_batches(struct core *core)
{
	while (core->settling && core->settling->submitted && core->settling->open == 0) {
		struct settle_batch *batch = core->settling;

		core->settling = batch->next;
		if (!core->settling)
			core->settling_tail = &core->settling;
		for (size_t i = 0; i < batch->count && batch->items; i++) {
			struct settlement *item = &batch->items[i];

			/* What another batch was settling has failed: this answer cannot stand. */
			if (item->result != SETTLED_ABSENT &&
			    queue_state(batch->destination->queue, item->seq, NULL) == QUEUE_WAITING)
				batch->error = batch->error ? batch->error : -EIO;
		}
		if (batch->done)
			batch->done(batch->arg, batch->error);
		batch_free(batch);
	}
}

static void
count_outcome(const struct destination *destination, enum outcome outcome)
{
	struct metric_series *const series[] = {
		[OUTCOME_ACCEPTED] = destination->delivered,
		[OUTCOME_REJECTED] = destination->rejected,
		[OUTCOME_EXPIRED] = destination->dead,
		[OUTCOME_DROPPED] = destination->dropped,
	};

	if (series[outcome]) /* what is parked has none */
		metric_add(series[outcome], 1);
}

static void
outcome_journalled(void *arg, int error)
{
	struct settle_record *record = arg;
	struct settle_batch *batch = record->batch;
	struct destination *destination = batch->destination;

	if (error == 0) {
		(void)queue_settled(destination->queue, record->seq);
		core_settled(batch->core, record->seq);
		count_outcome(destination, record->outcome);
	} else {
		(void)queue_unsettle(destination->queue, record->seq);
		batch->error = error;
	}
	batch->open--;
	finish_batches(batch->core);
}

/* Bytes that the decision on one outcome takes at most. */
static size_t
decision_room(const struct destination *destination, struct span who, size_t code, size_t text)
{
	return TLV_ROOM + strlen(destination->name) + who.len + (code < CODE_MAX ? code : CODE_MAX) +
	       (text < TEXT_MAX ? text : TEXT_MAX);
}

static int
append_outcome(struct settle_record *record, struct span who, struct span code, struct span text)
{
	struct settle_batch *batch = record->batch;
	struct decision decision = {
		.outcome = record->outcome,
		.destination = span_str(batch->destination->name),
		.who = who,
		.code = span_cut(code, 0, CODE_MAX),
		.text = span_cut(text, 0, TEXT_MAX),
	};
	struct journal_entry entry = { .type = RECORD_OUTCOME, .ref = record->seq };
	size_t from = batch->decisions.len;
	int r;

	decision_encode(&decision, &batch->decisions);
	if (buffer_failed(&batch->decisions))
		return -ENOMEM;
	entry.decision = span_cut(buffer_span(&batch->decisions), from, batch->decisions.len);
	r = journal_append(batch->core->journal, &entry, outcome_journalled, record, NULL);
	if (r)
		return r < 0 ? r : -ENOSPC;
	batch->open++;
	return 0;
}

/* ${room}: bytes of all its decisions together. */
static struct settle_batch *
batch_new(struct core *core, struct destination *destination, struct settlement *items, size_t count,
    size_t room, core_settled_fn *done, void *arg)
{
	struct settle_batch *batch = malloc(sizeof(*batch) + count * sizeof(batch->records[0]));

	if (!batch)
		return NULL;
	*batch = (struct settle_batch){
		.core = core,
		.destination = destination,
		.items = items,
		.count = count,
		.done = done,
		.arg = arg,
	};
	buffer_init(&batch->decisions, room);
	if (!buffer_reserve(&batch->decisions, room)) {
		batch_free(batch);
		return NULL;
	}
	*core->settling_tail = batch;
	core->settling_tail = &batch->next;
	return batch;
}

static void
settle_one(struct settle_batch *batch, size_t i, struct span who)
{
	struct queue *queue = batch->destination->queue;
	struct settlement *item = &batch->items[i];
	struct settle_record *record = &batch->records[i];
	enum outcome standing = item->outcome;
	int r;

	switch (queue_state(queue, item->seq, &standing)) {
	case QUEUE_ABSENT:
		item->result = SETTLED_ABSENT;
		return;
	case QUEUE_SETTLING:
	case QUEUE_SETTLED:
		item->result = SETTLED_BEFORE;
		item->standing = standing;
		return;
	case QUEUE_WAITING:
		break;
	}
	*record = (struct settle_record){ batch, item->seq, item->outcome };
	(void)queue_settling(queue, item->seq, item->outcome);
	r = append_outcome(record, who, item->code, item->text);
	if (r) {
		(void)queue_unsettle(queue, item->seq);
		batch->error = r;
		return;
	}
	item->result = SETTLED_NOW;
	item->standing = item->outcome;
}

void
core_settle(struct core *core, size_t number, const char *who, struct settlement *items, size_t count,
    core_settled_fn *done, void *arg)
{
	struct destination *destination = core_at(core, number);
	struct settle_batch *batch;
	size_t room = 1;

	for (size_t i = 0; i < count; i++)
		room += decision_room(destination, span_str(who), items[i].code.len, items[i].text.len);
	batch = batch_new(core, destination, items, count, room, done, arg);
	if (!batch) {
		done(arg, -ENOMEM);
		return;
	}
	for (size_t i = 0; i < count && batch->error == 0; i++)
		settle_one(batch, i, span_str(who));
	batch->submitted = true;
	finish_batches(core);
}

/*
 * Greatest age and greatest size.
 */
/* Queues' bounds, and how things are just now. */
struct bounds {
	uint64_t now_us, disk_total;
	uint64_t max_age_s;
	unsigned max_disk_percent;
};

static bool
is_old(const struct bounds *bounds, const struct queue_entry *entry)
{
	return bounds->now_us / 1000000 > entry->time_s + bounds->max_age_s;
}

static bool
is_past(const struct bounds *bounds, const struct queue *queue, const struct queue_entry *entry)
{
	return is_old(bounds, entry) || (bounds->disk_total && queue_bytes(queue) / bounds->max_disk_percent >
								   bounds->disk_total / 100);
}

static void
log_dead(const struct destination *destination, uint64_t first, uint64_t count, bool by_age)
{
	struct log_line line;

	log_begin(&line, EVENT_DEAD_LETTER);
	log_u64(&line, "id", first);
	log_text(&line, "destination", destination->name);
	log_u64(&line, "count", count);
	log_text(&line, "why", by_age ? "greatest age" : "greatest size");
	log_commit(&line);
}

static void
expire_past(struct core *core, struct destination *destination, const struct bounds *bounds)
{
	struct settle_batch *batch = NULL;
	struct queue *queue = destination->queue;
	struct queue_entry entry;
	uint64_t first = 0, count = 0;
	bool by_age = false;

	while (count < EXPIRE_STEP && queue_first(queue, &entry) && is_past(bounds, queue, &entry)) {
		struct settle_record *record;

		if (!batch) {
			batch = batch_new(core, destination, NULL, EXPIRE_STEP,
			    EXPIRE_STEP * decision_room(destination, SPAN_EMPTY, 0, sizeof("greatest size")),
			    NULL, NULL);
			if (!batch)
				return;
			first = entry.seq;
			by_age = is_old(bounds, &entry);
		}
		record = &batch->records[count];
		*record = (struct settle_record){ batch, entry.seq, OUTCOME_EXPIRED };
		(void)queue_settling(queue, entry.seq, OUTCOME_EXPIRED);
		if (append_outcome(record, SPAN_EMPTY, SPAN_EMPTY,
			span_str(by_age ? "greatest age" : "greatest size"))) {
			(void)queue_unsettle(queue, entry.seq);
			break;
		}
		count++;
	}
	if (!batch)
		return;
	if (count)
		log_dead(destination, first, count, by_age);
	batch->submitted = true;
	finish_batches(core);
}

static void
expire(struct core *core, struct destination *destination, struct bounds bounds)
{
	const struct config_destination *configured = destination->configured;

	bounds.max_age_s = configured ? configured->max_age_s : OWN_AGE_S;
	bounds.max_disk_percent = configured ? configured->max_disk_percent : OWN_DISK_PERCENT;
	expire_past(core, destination, &bounds);
}

void
core_expire(struct core *core)
{
	struct journal_status disk;
	struct bounds bounds;

	core_retry_unqueued(core);
	journal_status(core->journal, &disk);
	bounds = (struct bounds){ .now_us = journal_now(core->journal), .disk_total = disk.disk_total };
	for (size_t i = 0; i < core->destination_count; i++) {
		struct destination *destination = core->destinations[i];
		uint64_t oldest_us = core_oldest_us(core, i);

		expire(core, destination, bounds);
		metric_set(destination->waiting, (int64_t)queue_count(destination->queue));
		metric_set(destination->oldest, oldest_us && bounds.now_us > oldest_us
						    ? (int64_t)((bounds.now_us - oldest_us) / 1000000)
						    : 0);
	}
	expire(core, core->parked, bounds);
	metric_set(metric_series(METRIC_PARKED, NULL), (int64_t)queue_count(core->parked->queue));
}

void
core_settle_fini(struct core *core)
{
	while (core->settling) {
		struct settle_batch *batch = core->settling;

		core->settling = batch->next;
		batch_free(batch);
	}
}
