/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding, reading and following records. Only what is committed is seen.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "broker/base/log.h"
#include "broker/base/metrics.h"
#include "broker/store/disk.h"
#include "broker/store/journal_private.h"

/* Under the lock: the newest segment numbered below ${below} that has ${seq}. A carried record is found where it was carried to. */
static struct segment *
segment_of(struct journal *journal, uint64_t seq, uint32_t below, uint64_t *offset)
{
	for (size_t i = journal->segment_count; i-- > 0;)
		if (journal->segments[i]->number < below &&
		    index_find(&journal->segments[i]->index, seq, offset))
			return journal->segments[i];
	return NULL;
}

int
journal_find(struct journal *journal, uint64_t seq, struct journal_place *place)
{
	const struct segment *segment;

	pthread_mutex_lock(&journal->lock);
	segment = segment_of(journal, seq, UINT32_MAX, &place->offset);
	if (segment)
		place->segment = segment->number;
	pthread_mutex_unlock(&journal->lock);
	return segment ? 0 : JOURNAL_ABSENT;
}

static int
header_at(int fd, uint32_t seed, uint64_t offset, uint64_t limit, struct record_header *header)
{
	uint8_t encoded[RECORD_HEADER_SIZE];
	size_t got;
	int r;

	r = disk_read(fd, offset, encoded, sizeof encoded, &got);
	if (r)
		return r;
	if (got < sizeof encoded || !record_decode(encoded, seed, offset, header) || offset > limit ||
	    record_length(header) > limit - offset)
		return JOURNAL_DAMAGED;
	return 0;
}

/* ${len} bytes from ${offset} into ${arena}. */
static int
bytes_at(int fd, uint64_t offset, size_t len, struct arena *arena, struct span *bytes)
{
	uint8_t *into = arena_alloc(arena, len);
	size_t got;
	int r;

	if (!into)
		return -ENOMEM;
	r = disk_read(fd, offset, into, len, &got);
	if (r)
		return r;
	*bytes = span_make(into, len);
	return got < len ? JOURNAL_DAMAGED : 0;
}

int
journal_read_at(int fd, uint32_t seed, uint64_t offset, uint64_t limit, bool body, struct arena *arena,
    struct record *record, struct record_header *header)
{
	struct span bytes;
	size_t front;
	int r;

	r = header_at(fd, seed, offset, limit, header);
	if (r)
		return r;
	front = (size_t)header->facts_len + header->decision_len;
	r = bytes_at(fd, offset + RECORD_HEADER_SIZE, front + (body ? header->body_len : 0), arena, &bytes);
	if (r)
		return r;
	*record = (struct record){ .head = header->head, .body = SPAN_EMPTY };
	record->facts = span_cut(bytes, 0, header->facts_len);
	record->decision = span_cut(bytes, header->facts_len, front);
	if (record_front_crc(seed, record->facts, record->decision) != header->front_crc)
		return JOURNAL_DAMAGED;
	if (body) {
		record->body = span_cut(bytes, front, bytes.len);
		if (digest_crc32c(seed, record->body) != header->body_crc)
			return JOURNAL_DAMAGED;
	}
	return 0;
}

/* Head and received bytes alone. */
static int
body_at(int fd, uint32_t seed, uint64_t offset, uint64_t limit, struct arena *arena, struct record *record)
{
	struct record_header header;
	int r;

	r = header_at(fd, seed, offset, limit, &header);
	if (r)
		return r;
	*record = (struct record){ .head = header.head };
	r = bytes_at(fd, offset + record_body_at(&header), header.body_len, arena, &record->body);
	if (r)
		return r;
	return digest_crc32c(seed, record->body) == header.body_crc ? 0 : JOURNAL_DAMAGED;
}

/* Told once and not at every try of a reader that comes again: true the first time, as far as the ring remembers. */
static bool
is_news(struct journal *journal, uint64_t seq)
{
	bool known = false;

	pthread_mutex_lock(&journal->lock);
	for (size_t i = 0; i < JOURNAL_DAMAGED_TOLD; i++)
		known |= journal->damaged_told[i] == seq;
	if (!known)
		journal->damaged_told[journal->damaged++ % JOURNAL_DAMAGED_TOLD] = seq;
	pthread_mutex_unlock(&journal->lock);
	return !known;
}

static void
tell_damage(struct journal *journal, uint64_t seq, uint32_t number, uint64_t offset)
{
	struct log_line line;

	if (!is_news(journal, seq))
		return;
	metric_count(METRIC_JOURNAL_DAMAGED, 1);
	log_begin(&line, EVENT_RECORD_DAMAGED);
	log_u64(&line, "id", seq);
	log_u64(&line, "segment", number);
	log_u64(&line, "offset", offset);
	log_commit(&line);
}

enum part {
	PART_FRONT, /* facts and decision */
	PART_BODY,
	PART_ALL,
};

/* The newest copy of the record in a segment numbered below *${below}, which becomes that one's number. */
static int
read_copy(struct journal *journal, uint64_t seq, uint32_t *below, enum part part, struct arena *arena,
    struct record *record)
{
	struct record_header header;
	struct segment *segment;
	uint64_t offset, end;
	uint32_t number;
	int fd, r;

	do { /* again when retention took the file away under us: the record was carried, or is gone */
		pthread_mutex_lock(&journal->lock);
		segment = segment_of(journal, seq, *below, &offset);
		if (segment) {
			segment->users++;
			end = segment->end;
		}
		pthread_mutex_unlock(&journal->lock);
		if (!segment)
			return JOURNAL_ABSENT;
		r = segment_use(journal, segment, &fd);
		if (r == 0 && part == PART_BODY)
			r = body_at(fd, segment->seed, offset, end, arena, record);
		else if (r == 0)
			r = journal_read_at(
			    fd, segment->seed, offset, end, part == PART_ALL, arena, record, &header);
		pthread_mutex_lock(&journal->lock);
		if (r == -ENOENT && !segment->gone)
			r = -EIO; /* the file of a segment in service is missing */
		pthread_mutex_unlock(&journal->lock);
		number = segment->number;
		if (r == JOURNAL_DAMAGED)
			tell_damage(journal, seq, number, offset);
		segment_release(journal, segment);
	} while (r == -ENOENT);
	*below = number;
	return r;
}

/* The record itself, as it lies: what power's end tore while it was carried is whole where it was carried from. */
static int
read_one(struct journal *journal, uint64_t seq, enum part part, struct arena *arena, struct record *record)
{
	uint32_t below = UINT32_MAX;
	int r = read_copy(journal, seq, &below, part, arena, record), older = r;

	while (older == JOURNAL_DAMAGED || older == -EIO)
		older = read_copy(journal, seq, &below, part, arena, record);
	return older == JOURNAL_ABSENT ? r : older;
}

int
journal_read_above(struct journal *journal, uint64_t seq, uint32_t number, struct arena *arena)
{
	uint32_t below = UINT32_MAX;
	struct record record;
	int r;

	do {
		r = read_copy(journal, seq, &below, PART_ALL, arena, &record);
		if (r == 0 && below <= number)
			r = JOURNAL_ABSENT;
	} while (r == JOURNAL_DAMAGED && below > number);
	return r;
}

/*
 * The received bytes of ${record}, a replayed message: where they lie, and they must be the same still. Facts and decision of the original are left
 * alone: ${arena} holds what it would if the bytes stood in the record itself.
 */
static int
read_original(struct journal *journal, struct arena *arena, struct record *record)
{
	const unsigned gone = RECORD_BODILESS | RECORD_PURGED;
	uint8_t digest[DIGEST_SHA256_LEN];
	struct record original;
	int r;

	r = read_one(journal, record->head.ref, PART_BODY, arena, &original);
	if (r == JOURNAL_ABSENT)
		original.head.flags = RECORD_BODILESS;
	else if (r)
		return r;
	record->head.flags |= original.head.flags & gone;
	if (record->head.flags & gone)
		return 0;
	r = digest_sha256(original.body, digest);
	if (r)
		return r;
	if (memcmp(digest, record->head.sha256, sizeof digest) != 0)
		return JOURNAL_DAMAGED;
	record->body = original.body;
	return 0;
}

int
journal_read(struct journal *journal, uint64_t seq, bool body, struct arena *arena, struct record *record)
{
	int r = read_one(journal, seq, body ? PART_ALL : PART_FRONT, arena, record);

	return r == 0 && body && record->head.flags & RECORD_REPLAYED ? read_original(journal, arena, record)
								      : r;
}

/* Under the lock: the segment of ${cursor}, moved past those that are removed or read to their end. NULL: nothing for now. */
static struct segment *
cursor_segment(struct journal *journal, struct journal_cursor *cursor)
{
	struct segment *segment;

	for (;;) {
		segment = segments_from(journal, cursor->segment);
		if (!segment)
			return NULL;
		if (segment->number != cursor->segment || cursor->offset < SEGMENT_HEAD_SIZE)
			*cursor = (struct journal_cursor){ segment->number, SEGMENT_HEAD_SIZE };
		if (cursor->offset < segment->end)
			return segment;
		if (segment == journal->segments[journal->segment_count - 1])
			return NULL;
		*cursor = (struct journal_cursor){ segment->number + 1, 0 };
	}
}

bool
journal_wait(struct journal *journal, const struct journal_cursor *cursor, unsigned ms)
{
	struct journal_cursor place = *cursor;
	struct timespec until = clock_after_ms(ms);
	bool there;

	pthread_mutex_lock(&journal->lock);
	while (!(there = cursor_segment(journal, &place) != NULL) && !journal->stopping)
		if (pthread_cond_timedwait(&journal->committed_changed, &journal->lock, &until) != 0) {
			there = cursor_segment(journal, &place) != NULL;
			break;
		}
	pthread_mutex_unlock(&journal->lock);
	return there;
}

uint64_t
journal_committed(struct journal *journal)
{
	uint64_t seq;

	pthread_mutex_lock(&journal->lock);
	seq = journal->committed_seq;
	pthread_mutex_unlock(&journal->lock);
	return seq;
}
