/* SPDX-License-Identifier: Apache-2.0 */
/* The journal's interface over an array; see the header. */
#include "tests/unit/fake_journal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker/store/workers.h"

struct fake_journal fake;
static struct workers_job *jobs, *run;
static const uint8_t secret[16] = "fake-journal-key";

static void
keep(struct buffer *into, struct span bytes)
{
	buffer_init(into, (size_t)1 << 30);
	buffer_append_span(into, bytes);
}

static void
forget(struct fake_record *record)
{
	buffer_fini(&record->facts);
	buffer_fini(&record->decision);
	buffer_fini(&record->body);
}

void
fake_reset(void)
{
	for (size_t i = 0; i < fake.count; i++)
		forget(&fake.records[i]);
	free(fake.records);
	fake = (struct fake_journal){ .now_us = 1000000000, .disk_total = (uint64_t)1 << 40 };
}

int
journal_append(struct journal *journal, const struct journal_entry *entry, journal_done_fn *done, void *arg,
    struct record_head *headp)
{
	struct fake_record *record, *more;

	(void)journal;
	if (fake.append_error)
		return fake.append_error;
	if (fake.full)
		return JOURNAL_FULL;
	if (entry->push && fake.below_floor)
		return JOURNAL_FLOOR;
	more = realloc(fake.records, (fake.count + 1) * sizeof(*fake.records));
	if (!more)
		return -ENOMEM;
	fake.records = more;
	record = &fake.records[fake.count++];
	*record =
	    (struct fake_record){ .done = done, .arg = arg, .push = entry->push, .segment = fake.segment };
	record->head.flags = entry->replayed			   ? RECORD_REPLAYED
			     : entry->size > 0 && !entry->body.len ? RECORD_BODILESS
								   : 0;
	record->head.seq = fake.count;
	record->head.time_us = fake.now_us;
	record->head.ref = entry->ref;
	record->head.size = entry->size;
	record->head.type = (uint16_t)entry->type;
	if (entry->key)
		memcpy(record->head.key, entry->key, 16);
	if (entry->sha256)
		memcpy(record->head.sha256, entry->sha256, 32);
	keep(&record->facts, entry->facts);
	keep(&record->decision, entry->decision);
	keep(&record->body, entry->body);
	if (buffer_failed(&record->facts) || buffer_failed(&record->decision) ||
	    buffer_failed(&record->body)) {
		forget(record);
		fake.count--;
		return -ENOMEM;
	}
	if (headp)
		*headp = record->head;
	return 0;
}

void
fake_commit(int error)
{
	size_t end = fake.count;

	while (fake.committed < end) {
		struct fake_record record = fake.records[fake.committed];

		fake.records[fake.committed].committed = error == 0;
		fake.records[fake.committed].failed = error != 0;
		fake.committed++;
		record.done(record.arg, error);
	}
}

static struct fake_record *
lying(uint64_t seq)
{
	if (seq == 0 || seq > fake.count || !fake.records[seq - 1].committed || fake.records[seq - 1].removed)
		return NULL;
	return &fake.records[seq - 1];
}

int
journal_find(struct journal *journal, uint64_t seq, struct journal_place *place)
{
	const struct fake_record *from = lying(seq);

	(void)journal;
	if (!from)
		return JOURNAL_ABSENT;
	*place = (struct journal_place){ from->segment, seq };
	return 0;
}

int
journal_read(struct journal *journal, uint64_t seq, bool body, struct arena *arena, struct record *record)
{
	const struct fake_record *from = lying(seq), *bytes = from;

	(void)journal;
	if (!from)
		return JOURNAL_ABSENT;
	record->head = from->head;
	record->facts = arena_copy(arena, buffer_span(&from->facts));
	record->decision = arena_copy(arena, buffer_span(&from->decision));
	record->body = SPAN_EMPTY;
	if (body && from->head.flags & RECORD_REPLAYED) {
		bytes = lying(from->head.ref);
		if (!bytes || bytes->head.flags & RECORD_BODILESS)
			record->head.flags |= RECORD_BODILESS;
	}
	if (body && !(record->head.flags & RECORD_BODILESS))
		record->body = arena_copy(arena, buffer_span(&bytes->body));
	return record->facts.ptr || !from->facts.len ? 0 : -ENOMEM;
}

/* One old record: what ${core} says of it. */
static void
retain(struct core *core, struct fake_record *record)
{
	enum journal_fate fate;

	core_judge(core, &record->head, 1, &fate);
	if (fate == FATE_DROP && record->head.type == RECORD_OUTCOME && lying(record->head.ref) &&
	    lying(record->head.ref)->segment != record->segment)
		fate = FATE_CARRY;
	if (fate == FATE_DROP) {
		record->removed = true;
		return;
	}
	record->head.flags |= RECORD_CARRIED;
	if (fate == FATE_CARRY_BODILESS && record->head.size) {
		record->head.flags |= RECORD_BODILESS;
		buffer_reset(&record->body);
	}
	record->segment = fake.segment;
}

void
fake_retain(struct core *core, uint32_t segment)
{
	for (uint32_t s = 0; s < segment; s++)
		for (size_t i = 0; i < fake.count; i++)
			if (fake.records[i].committed && !fake.records[i].removed &&
			    fake.records[i].segment == s)
				retain(core, &fake.records[i]);
}

int
fake_replay(struct core *core)
{
	int r = 0;

	for (size_t i = 0; i < fake.count && r == 0; i++) {
		const struct fake_record *from = &fake.records[i];
		struct record record = { from->head, buffer_span(&from->facts), buffer_span(&from->decision),
			SPAN_EMPTY };

		if (lying(i + 1))
			r = core_replay(core, &record);
	}
	return r;
}

const uint8_t *
journal_secret(const struct journal *journal)
{
	(void)journal;
	return secret;
}

uint64_t
journal_now(struct journal *journal)
{
	(void)journal;
	return fake.now_us;
}

void
journal_status(struct journal *journal, struct journal_status *status)
{
	(void)journal;
	*status = (struct journal_status){ .disk_total = fake.disk_total, .disk_free = fake.disk_total };
}

int
workers_submit(struct workers *workers, struct workers_job *job)
{
	struct workers_job **at = &jobs;

	(void)workers;
	if (fake.workers_full) {
		fake.workers_full--;
		return WORKERS_FULL;
	}
	while (*at)
		at = &(*at)->next;
	job->next = NULL;
	*at = job;
	return 0;
}

static void
move(struct workers_job **from, struct workers_job **to)
{
	struct workers_job *job = *from;

	*from = job->next;
	while (*to)
		to = &(*to)->next;
	job->next = NULL;
	*to = job;
}

void
fake_run(void)
{
	while (jobs) {
		jobs->run(jobs);
		move(&jobs, &run);
	}
}

void
fake_work(void)
{
	fake_run();
	while (run) {
		struct workers_job *job = run;

		run = job->next;
		job->done(job);
		fake_run();
	}
}

int
journal_purge(struct journal *journal, uint64_t seq, journal_blank_fn *blank)
{
	struct journal_place place;

	(void)blank;
	return journal_find(journal, seq, &place);
}
