/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Retention: old sealed segments are removed, after what is still live in them was written again at the journal's end.
 *
 * Order is everything: carried records durable, then RECORD_REMOVED durable, then the file unlinked, then the directory synced. A crash
 * anywhere leaves either the old record or both. A segment with damage is kept: what cannot be read cannot be judged.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "broker/base/log.h"
#include "broker/store/disk.h"
#include "broker/store/journal_private.h"
#include "broker/store/statement.h"

#define JUDGED_AT_ONCE	 256
#define CARRY_HELD	 ((size_t)8 << 20) /* bytes of content in memory before a wait */
#define CARRY_RATE	 ((uint64_t)16 << 20) /* bytes a second: an old segment is no reason to slow new messages */
#define CARRY_ARENA	 (2 * RECORD_PART_MAX + (size_t)RECORD_BODY_MAX + CARRY_HELD)
#define PERIOD_MAX_MS	 1000
#define PERIOD_MIN_MS	 20
#define LOOKS_PER_PERIOD 4

enum {
	PASS_LATER = 1, /* not now: refused, stopping, or nobody can judge */
	PASS_KEEP,	/* never: damaged */
};

struct pass {
	struct journal *journal;
	struct segment *segment;
	struct reader reader;
	struct arena arena; /* content of what is being carried */
	struct arena copy;  /* of one record, to see that it is whole */
	struct ticket ticket;
	struct record_head heads[JUDGED_AT_ONCE];
	uint64_t offsets[JUDGED_AT_ONCE];
	enum journal_fate fates[JUDGED_AT_ONCE];
	size_t count;
	uint64_t carried, held;
};

/* Under the lock. False when the journal stops meanwhile. */
static bool
pause_ms(struct journal *journal, uint64_t ms)
{
	struct timespec until = clock_after_ms(ms);

	while (!journal->stopping &&
	       pthread_cond_timedwait(&journal->retention_wake, &journal->lock, &until) == 0)
		continue;
	return !journal->stopping;
}

/* Wait until all that was queued under the ticket is on disk. 0 or PASS_LATER. */
static int
ticket_wait(struct pass *pass)
{
	struct journal *journal = pass->journal;
	bool going;
	int error;

	pthread_mutex_lock(&journal->lock);
	while (pass->ticket.left > 0)
		pthread_cond_wait(&journal->committed_changed, &journal->lock);
	error = pass->ticket.error;
	pass->ticket.error = 0;
	going = pause_ms(journal, pass->held * 1000 / CARRY_RATE);
	pthread_mutex_unlock(&journal->lock);
	arena_reset(&pass->arena);
	pass->held = 0;
	return error || !going ? PASS_LATER : 0;
}

/* Queue one record of our own under the pass's ticket. 0, PASS_LATER or -ENOMEM. */
static int
ticket_queue(
    struct pass *pass, const struct record_header *header, const struct record *record, bool push, bool fresh)
{
	struct journal *journal = pass->journal;
	struct pending *pending = calloc(1, sizeof *pending);
	bool refused;

	if (!pending)
		return -ENOMEM;
	pending->header = *header;
	pending->facts = record->facts;
	pending->decision = record->decision;
	pending->body = record->body;
	pending->ticket = &pass->ticket;
	pending->push = push;
	pthread_mutex_lock(&journal->lock);
	refused = journal->failed || journal->stopping;
	if (!refused) {
		if (fresh) {
			pending->header.head.seq = journal->next_seq++;
			pending->header.head.time_us = journal_clock_now(&journal->clock);
		}
		pass->ticket.left++;
		journal_enqueue(journal, pending);
	}
	pthread_mutex_unlock(&journal->lock);
	if (refused)
		free(pending);
	return refused ? PASS_LATER : 0;
}

static int
carry(struct pass *pass, uint64_t offset, bool bodiless)
{
	struct record_header header;
	struct record record;
	int r;

	r = journal_read_at(pass->reader.fd, pass->segment->seed, offset, pass->segment->end, !bodiless,
	    &pass->arena, &record, &header);
	if (r == JOURNAL_DAMAGED || r == -EIO) {
		quarantine_region(pass->journal, pass->reader.fd, pass->segment->number, offset,
		    offset + RECORD_HEADER_SIZE,
		    "a record that is still live is damaged: its segment is kept");
		return PASS_KEEP;
	}
	if (r)
		return r;
	header.head.flags |= RECORD_CARRIED;
	if (bodiless && header.head.size > 0)
		header.head.flags |= RECORD_BODILESS;
	header.body_len = record.body.len;
	pass->held += record_length(&header);
	pass->carried++;
	/* as a push: carrying must not eat the reserve */
	r = ticket_queue(pass, &header, &record, true, false);
	if (r == 0 && pass->held >= CARRY_HELD)
		r = ticket_wait(pass);
	return r;
}

/*
 * Under the lock: what verify asks for of our own records. A removal, while a segment older than the removed one is there; a signature, while the
 * segment that it is about is.
 */
static bool
own_is_live(const struct pass *pass, const struct record *record)
{
	const struct journal *journal = pass->journal;
	struct segment_removal removal;
	struct statement_facts facts;
	bool live = false;

	if (record->head.type == RECORD_REMOVED && segment_removal_decode(record->facts, &removal)) {
		for (size_t k = 0; k < journal->segment_count && !live; k++)
			live = journal->segments[k] != pass->segment &&
			       journal->segments[k]->number < removal.number;
	} else if (record->head.type == RECORD_SIGNED && statement_facts_decode(record->facts, &facts)) {
		for (size_t k = 0; k < journal->segment_count && !live; k++)
			live = journal->segments[k] != pass->segment &&
			       journal->segments[k]->number == facts.statement.segment;
	}
	return live;
}

static int
own_judge(struct pass *pass, size_t i)
{
	struct record_header header;
	struct record record;
	bool live;
	int r;

	r = journal_read_at(pass->reader.fd, pass->segment->seed, pass->offsets[i], pass->segment->end, false,
	    &pass->arena, &record, &header);
	if (r)
		return r == JOURNAL_DAMAGED || r == -EIO ? PASS_KEEP : r;
	pthread_mutex_lock(&pass->journal->lock);
	live = own_is_live(pass, &record);
	pthread_mutex_unlock(&pass->journal->lock);
	pass->fates[i] = live ? FATE_CARRY : FATE_DROP;
	return 0;
}

/*
 * An outcome is not dropped before the message it settles, or that one would wait again after the next start: it may lie in an older segment that is
 * kept because of its damage, or in a newer one, carried there while another destination still wanted it.
 */
static bool
outlived(const struct pass *pass, const struct record_head *head)
{
	struct journal_place place;

	return head->type == RECORD_OUTCOME && journal_find(pass->journal, head->ref, &place) == 0 &&
	       place.segment != pass->segment->number;
}

/* Ask for the fates of what was gathered, and carry. */
static int
gathered_judge(struct pass *pass)
{
	struct journal *journal = pass->journal;
	int r = 0;

	if (pass->count == 0)
		return 0;
	if (journal->judge(journal->judge_arg, pass->heads, pass->count, pass->fates))
		return PASS_LATER;
	for (size_t i = 0; r == 0 && i < pass->count; i++) {
		if (record_is_own(pass->heads[i].type))
			r = own_judge(pass, i);
		else if (pass->fates[i] == FATE_DROP && outlived(pass, &pass->heads[i]))
			pass->fates[i] = FATE_CARRY;
		if (r == 0 && pass->fates[i] != FATE_DROP)
			r = carry(pass, pass->offsets[i], pass->fates[i] == FATE_CARRY_BODILESS);
	}
	pass->count = 0;
	return r;
}

/*
 * Whether ${seq} lies in a newer segment already: carried by a pass that a crash or a refusal cut short. Whole, that is: power's end may
 * have torn the copy.
 */
static bool
lies_elsewhere(struct pass *pass, uint64_t seq)
{
	uint32_t number = pass->segment->number;
	struct journal_place place;
	bool whole;

	if (journal_find(pass->journal, seq, &place) != 0 || place.segment <= number)
		return false;
	whole = journal_read_above(pass->journal, seq, number, &pass->copy) == 0;
	arena_reset(&pass->copy);
	return whole;
}

static int
segment_walk(struct pass *pass)
{
	uint8_t encoded[RECORD_HEADER_SIZE];
	uint64_t offset = SEGMENT_HEAD_SIZE;
	struct record_header header;
	enum reader_step step;
	uint64_t from;
	int r = 0;

	while (offset < pass->segment->end) {
		from = offset;
		r = reader_step(&pass->reader, &offset, &step, &header, encoded);
		if (r)
			return r;
		if (step != READER_RECORD) {
			quarantine_region(pass->journal, pass->reader.fd, pass->segment->number, from,
			    step == READER_END ? pass->segment->end : offset,
			    "bytes that are no record: the segment is kept");
			return PASS_KEEP;
		}
		if (!lies_elsewhere(pass, header.head.seq)) {
			pass->heads[pass->count] = header.head;
			pass->offsets[pass->count++] = offset;
		}
		offset += record_length(&header);
		if (pass->count == JUDGED_AT_ONCE)
			r = gathered_judge(pass);
		if (r)
			return r;
	}
	return gathered_judge(pass);
}

static int
removal_record(struct pass *pass)
{
	const struct segment *segment = pass->segment;
	const struct index_list *born = &segment->index.born;
	struct segment_removal removal = {
		.number = segment->number, .records = segment->records, .end = segment->end
	};
	struct record_header header = { .head.type = RECORD_REMOVED, .facts_len = SEGMENT_REMOVAL_SIZE };
	uint8_t facts[SEGMENT_REMOVAL_SIZE];
	struct record record = { .facts = span_make(facts, sizeof facts) };
	int r;

	memcpy(removal.id, segment->id, SEGMENT_ID_LEN);
	memcpy(removal.chain, segment->chain, DIGEST_SHA256_LEN);
	if (born->count > 0) {
		removal.first_seq = born->entries[0].seq;
		removal.last_seq = born->entries[born->count - 1].seq;
	}
	segment_removal_encode(&removal, facts);
	r = ticket_queue(pass, &header, &record, false, true);
	return r ? r : ticket_wait(pass);
}

static int
segment_unlink(struct pass *pass)
{
	struct journal *journal = pass->journal;
	char path[JOURNAL_PATH_MAX];
	struct log_line line;
	int r;

	r = journal_path(journal, pass->segment->number, path, sizeof path);
	if (r)
		return r;
	/* out of the list first: from here on every reader looks where the records were carried to */
	pthread_mutex_lock(&journal->lock);
	segments_remove(journal, pass->segment);
	pass->segment->gone = true;
	pthread_mutex_unlock(&journal->lock);
	r = disk_unlink(path);
	if (r == 0)
		r = disk_sync_directory(journal->directory);
	log_begin(&line, EVENT_SEGMENT_REMOVED);
	log_u64(&line, "segment", pass->segment->number);
	log_u64(&line, "records", pass->segment->records);
	log_u64(&line, "carried", pass->carried);
	if (r)
		log_errno(&line, r); /* the file comes back at the next start, and is removed again */
	log_commit(&line);
	return 0;
}

/* Remove one segment, raised by the caller. */
static void
segment_retire(struct journal *journal, struct segment *segment)
{
	struct pass *pass = calloc(1, sizeof *pass);
	int fd, r, waited;

	if (!pass)
		return;
	pass->journal = journal;
	pass->segment = segment;
	arena_init(&pass->arena, CARRY_ARENA);
	arena_init(&pass->copy, CARRY_ARENA);
	r = segment_use(journal, segment, &fd);
	if (r == 0)
		r = reader_init(&pass->reader, fd, segment->seed, segment->end, true);
	if (r == 0)
		r = segment_walk(pass);
	waited = ticket_wait(pass); /* also after a refusal: the content is ours until it is written */
	r = r ? r : waited;
	if (r == 0)
		r = removal_record(pass);
	if (r == 0)
		r = segment_unlink(pass);
	if (r == PASS_KEEP) {
		pthread_mutex_lock(&journal->lock);
		segment->keep = true;
		pthread_mutex_unlock(&journal->lock);
	}
	reader_fini(&pass->reader);
	arena_fini(&pass->arena);
	arena_fini(&pass->copy);
	free(pass);
}

/*
 * Under the lock: the oldest segment past its time. Not one whose head is what tells where the records of the segment before end.
 */
static struct segment *
segment_due(struct journal *journal)
{
	uint64_t now = journal_clock_now(&journal->clock);

	for (size_t i = 0; i < journal->segment_count; i++) {
		struct segment *segment = journal->segments[i];

		if (!segment->sealed || segment->finish || segment->keep ||
		    (i > 0 && !journal->segments[i - 1]->indexed))
			continue;
		if (now > segment->last_us && now - segment->last_us > journal->options.retention_us)
			return segment;
	}
	return NULL;
}

void *
retention_main(void *arg)
{
	struct journal *journal = arg;
	uint64_t period = journal->options.retention_us / 1000 / LOOKS_PER_PERIOD;
	struct segment *segment;

	if (period > PERIOD_MAX_MS)
		period = PERIOD_MAX_MS;
	if (period < PERIOD_MIN_MS)
		period = PERIOD_MIN_MS;
	pthread_mutex_lock(&journal->lock);
	while (pause_ms(journal, period)) {
		segment = segment_due(journal);
		if (!segment || journal->failed || journal->purging)
			continue;
		segment->users++;
		journal->retiring = segment;
		pthread_mutex_unlock(&journal->lock);
		segment_retire(journal, segment);
		segment_release(journal, segment);
		pthread_mutex_lock(&journal->lock);
		journal->retiring = NULL;
	}
	pthread_mutex_unlock(&journal->lock);
	return NULL;
}
