/* SPDX-License-Identifier: Apache-2.0 */
/* The journal's interface over an array; see the header. */
#include "tests/unit/fake_journal.h"

#include <stdlib.h>
#include <string.h>

#include "broker/store/workers.h"

struct fake_journal fake;
static struct workers_job *jobs;
static const uint8_t secret[16] = "fake-journal-key";

static void
keep(struct buffer *into, struct span bytes)
{
	buffer_init(into, (size_t)1 << 30);
	buffer_append_span(into, bytes);
}

void
fake_reset(void)
{
	for (size_t i = 0; i < fake.count; i++) {
		buffer_fini(&fake.records[i].facts);
		buffer_fini(&fake.records[i].decision);
		buffer_fini(&fake.records[i].body);
	}
	free(fake.records);
	fake = (struct fake_journal){ .now_us = 1000000000, .disk_total = (uint64_t)1 << 40 };
}

int
journal_append(struct journal *journal, const struct journal_entry *entry, journal_done_fn *done, void *arg,
    struct record_head *headp)
{
	struct fake_record *record;

	(void)journal;
	if (fake.append_error)
		return fake.append_error;
	if (fake.full)
		return JOURNAL_FULL;
	if (entry->push && fake.below_floor)
		return JOURNAL_FLOOR;
	fake.records = realloc(fake.records, (fake.count + 1) * sizeof(*fake.records));
	record = &fake.records[fake.count++];
	*record = (struct fake_record){ .done = done, .arg = arg, .push = entry->push };
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

int
journal_read(struct journal *journal, uint64_t seq, bool body, struct arena *arena, struct record *record)
{
	const struct fake_record *from;

	(void)journal;
	if (seq == 0 || seq > fake.count || !fake.records[seq - 1].committed)
		return JOURNAL_ABSENT;
	from = &fake.records[seq - 1];
	record->head = from->head;
	record->facts = arena_copy(arena, buffer_span(&from->facts));
	record->decision = arena_copy(arena, buffer_span(&from->decision));
	record->body = body ? arena_copy(arena, buffer_span(&from->body)) : SPAN_EMPTY;
	return 0;
}

int
fake_replay(struct core *core)
{
	int r = 0;

	for (size_t i = 0; i < fake.count && r == 0; i++) {
		const struct fake_record *from = &fake.records[i];
		struct record record = { from->head, buffer_span(&from->facts), buffer_span(&from->decision),
			SPAN_EMPTY };

		if (from->committed)
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
	while (*at)
		at = &(*at)->next;
	job->next = NULL;
	*at = job;
	return 0;
}

void
fake_work(void)
{
	while (jobs) {
		struct workers_job *job = jobs;

		jobs = job->next;
		job->run(job);
		job->done(job);
	}
}
