/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replay: every record once, in ascending sequence, without its body.
 *
 * Records born in a segment are read front to back. Carried ones lie in later segments than they belong to: they are gathered first and
 * told where their sequence stands, so that whoever is replayed to sees a message before its outcomes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker/store/disk.h"
#include "broker/store/journal_private.h"

#define REPLAY_ARENA (2 * RECORD_PART_MAX + 4096) /* facts and decision of one carried record */

struct carried {
	uint64_t seq;
	uint64_t offset;
	struct segment *segment;
};

struct replay {
	struct journal *journal;
	journal_replay_fn *fn;
	void *arg;
	struct carried *carried;
	size_t count, next;
	struct arena arena;
	int answer; /* of ${fn}, when it stopped us */
};

static int
carried_compare(const void *a, const void *b)
{
	const struct carried *x = a, *y = b;

	if (x->seq != y->seq)
		return x->seq < y->seq ? -1 : 1;
	return x->segment->number > y->segment->number
		   ? -1
		   : x->segment->number < y->segment->number; /* the newest first */
}

/* Whether the record still lies where it was born: then its carried twin is not told. */
static bool
is_born(const struct journal *journal, uint64_t seq)
{
	for (size_t i = 0; i < journal->segment_count; i++) {
		const struct index_list *born = &journal->segments[i]->index.born;
		struct index only = { .born = *born };
		uint64_t offset;

		if (born->count > 0 && seq >= born->entries[0].seq &&
		    seq <= born->entries[born->count - 1].seq)
			return index_find(&only, seq, &offset);
	}
	return false;
}

static int
carried_gather(struct replay *replay)
{
	struct journal *journal = replay->journal;
	size_t total = 0;

	for (size_t i = 0; i < journal->segment_count; i++)
		total += journal->segments[i]->index.carried.count;
	if (total == 0)
		return 0;
	replay->carried = calloc(total, sizeof *replay->carried);
	if (!replay->carried)
		return -ENOMEM;
	for (size_t i = 0; i < journal->segment_count; i++) {
		struct segment *segment = journal->segments[i];

		for (size_t k = 0; k < segment->index.carried.count; k++) {
			const struct index_entry *entry = &segment->index.carried.entries[k];

			if (!is_born(journal, entry->seq))
				replay->carried[replay->count++] =
				    (struct carried){ entry->seq, entry->offset, segment };
		}
	}
	if (replay->count > 0)
		qsort(replay->carried, replay->count, sizeof *replay->carried, carried_compare);
	return 0;
}

static int
tell(struct replay *replay, const struct record *record)
{
	int r = sign_replayed(replay->journal, record);

	if (r || !replay->fn)
		return r;
	replay->answer = replay->fn(replay->arg, record);
	return replay->answer ? -ECANCELED : 0;
}

/* Tell the carried records before ${seq}. */
static int
carried_tell(struct replay *replay, uint64_t seq)
{
	struct record_header header;
	struct record record;
	int fd, r;

	while (replay->next < replay->count && replay->carried[replay->next].seq < seq) {
		const struct carried *carried = &replay->carried[replay->next];

		carried->segment->users++;
		r = segment_use(replay->journal, carried->segment, &fd);
		arena_reset(&replay->arena);
		if (r == 0)
			r = journal_read_at(fd, carried->segment->seed, carried->offset,
			    carried->segment->end, false, &replay->arena, &record, &header);
		segment_release(replay->journal, carried->segment);
		if (r == -EIO)
			r = JOURNAL_DAMAGED; /* a bad sector: the rest is to be had */
		replay->next++;
		if (r == JOURNAL_DAMAGED) { /* an older twin may be whole */
			quarantine_tell(replay->journal, carried->segment->number, carried->offset,
			    "a carried record is damaged");
			continue;
		}
		if (r == 0)
			r = tell(replay, &record);
		if (r)
			return r;
		while (replay->next < replay->count && replay->carried[replay->next].seq == carried->seq)
			replay->next++; /* past older twins */
	}
	return 0;
}

/* The record at ${offset} through the window. 0, JOURNAL_DAMAGED, -errno, or what the replayed said. */
static int
born_tell(struct replay *replay, struct reader *reader, uint64_t offset)
{
	struct record_header header;
	const uint8_t *bytes;
	struct record record;
	size_t front;
	int r;

	r = reader_get(reader, offset, RECORD_HEADER_SIZE, &bytes);
	if (r < 0)
		return r;
	if (r || !record_decode(bytes, reader->seed, offset, &header))
		return JOURNAL_DAMAGED;
	front = (size_t)header.facts_len + header.decision_len;
	r = reader_get(reader, offset + RECORD_HEADER_SIZE, front, &bytes);
	if (r < 0)
		return r;
	record = (struct record){ .head = header.head, .body = SPAN_EMPTY };
	record.facts = span_make(bytes, header.facts_len);
	record.decision = span_make(bytes + header.facts_len, header.decision_len);
	if (r || record_front_crc(reader->seed, record.facts, record.decision) != header.front_crc)
		return JOURNAL_DAMAGED;
	return tell(replay, &record);
}

/* The record that is damaged in ${segment} where it was born: a copy that retention has carried may be whole. */
static int
twin_tell(struct replay *replay, const struct segment *segment, uint64_t seq)
{
	struct journal_place place;
	struct record record;
	int r;

	if (journal_find(replay->journal, seq, &place) != 0 || place.segment <= segment->number)
		return JOURNAL_DAMAGED;
	arena_reset(&replay->arena);
	r = journal_read(replay->journal, seq, false, &replay->arena, &record);
	return r ? r : tell(replay, &record);
}

static int
segment_replay(struct replay *replay, struct segment *segment)
{
	const struct index_list *born = &segment->index.born;
	struct reader reader;
	int fd, r;

	if (born->count == 0)
		return 0;
	segment->users++;
	r = segment_use(replay->journal, segment, &fd);
	if (r == 0)
		r = reader_init(&reader, fd, segment->seed, segment->end, true);
	if (r)
		goto out;
	for (size_t i = 0; r == 0 && i < born->count; i++) {
		uint64_t offset = born->entries[i].offset;
		uint64_t behind = i + 1 < born->count ? born->entries[i + 1].offset : segment->end;

		r = carried_tell(replay, born->entries[i].seq);
		if (r)
			break;
		r = born_tell(replay, &reader, offset);
		if (r == JOURNAL_DAMAGED) {
			if (segment->indexed && !segment->finish) /* a scan has told it already */
				quarantine_region(replay->journal, fd, segment->number, offset, behind,
				    "a record of a sealed segment is damaged");
			r = twin_tell(replay, segment, born->entries[i].seq);
			if (r == JOURNAL_DAMAGED)
				r = 0;
		}
	}
	reader_fini(&reader);
out:
	segment_release(replay->journal, segment);
	return r;
}

int
recovery_replay(struct journal *journal, journal_replay_fn *fn, void *arg)
{
	struct replay replay = { .journal = journal, .fn = fn, .arg = arg };
	int r;

	arena_init(&replay.arena, REPLAY_ARENA);
	r = carried_gather(&replay);
	for (size_t i = 0; r == 0 && i < journal->segment_count; i++)
		r = segment_replay(&replay, journal->segments[i]);
	if (r == 0)
		r = carried_tell(&replay, UINT64_MAX);
	sign_recovered(journal);
	free(replay.carried);
	arena_fini(&replay.arena);
	return replay.answer ? replay.answer : r;
}
