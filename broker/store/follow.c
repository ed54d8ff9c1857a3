/* SPDX-License-Identifier: Apache-2.0 */
/* See follow.h. */
#include "broker/store/follow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker/store/disk.h"
#include "broker/store/journal_private.h"

#define WINDOW ((size_t)64 << 10)
#define WINDOW_HOP                                                                                           \
	((size_t)4 << 10) /* read at a place that was jumped to: the record there is large, too, as a rule */
#define JUMP ((uint64_t)16 << 10) /* from this length on a record is large */

_Static_assert(JOURNAL_SEGMENT_BEGIN == SEGMENT_HEAD_SIZE, "records begin behind the head");

struct journal_follower {
	struct journal *journal;
	struct segment *segment; /* held; NULL: none */
	int fd;
	uint32_t number;
	uint64_t offset, end;
	bool jumped; /* the record before was large */
	uint8_t *window;
	size_t cap;
	uint64_t at; /* the window holds bytes [at, at + len) */
	size_t len;
};

bool
journal_segment(struct journal *journal, uint32_t from, struct journal_segment *out)
{
	const struct segment *segment;

	pthread_mutex_lock(&journal->lock);
	segment = segments_from(journal, from);
	if (segment) {
		out->number = segment->number;
		memcpy(out->id, segment->id, sizeof out->id);
		out->end = segment->end;
		out->done = segment->sealed || segment != journal->segments[journal->segment_count - 1];
	}
	pthread_mutex_unlock(&journal->lock);
	return segment != NULL;
}

int
journal_follower_new(struct journal_follower **followerp, struct journal *journal)
{
	struct journal_follower *follower = calloc(1, sizeof *follower);

	if (!follower)
		return -ENOMEM;
	follower->journal = journal;
	follower->cap = WINDOW;
	follower->window = malloc(WINDOW);
	if (!follower->window) {
		free(follower);
		return -ENOMEM;
	}
	*followerp = follower;
	return 0;
}

void
journal_follower_free(struct journal_follower *follower)
{
	if (!follower)
		return;
	journal_follower_leave(follower);
	free(follower->window);
	free(follower);
}

void
journal_follower_leave(struct journal_follower *follower)
{
	segment_release(follower->journal, follower->segment);
	follower->segment = NULL;
	follower->len = 0;
}

int
journal_follower_seek(struct journal_follower *follower, uint32_t number, uint64_t offset)
{
	struct journal *journal = follower->journal;
	struct segment *segment;
	int r;

	journal_follower_leave(follower);
	pthread_mutex_lock(&journal->lock);
	segment = segments_from(journal, number);
	if (segment && segment->number != number)
		segment = NULL;
	if (segment) {
		segment->users++;
		follower->end = segment->end;
	}
	pthread_mutex_unlock(&journal->lock);
	if (!segment)
		return JOURNAL_ABSENT;
	r = segment_use(journal, segment, &follower->fd);
	if (r) {
		bool gone;

		pthread_mutex_lock(&journal->lock);
		gone = segment->gone;
		pthread_mutex_unlock(&journal->lock);
		segment_release(journal, segment);
		return r == -ENOENT && gone ? JOURNAL_ABSENT : r;
	}
	follower->segment = segment;
	follower->number = number;
	follower->offset = offset < SEGMENT_HEAD_SIZE ? SEGMENT_HEAD_SIZE : offset;
	follower->jumped = false;
	return 0;
}

static int
window_fill(struct journal_follower *follower, uint64_t offset, size_t want)
{
	if (want > follower->cap) {
		uint8_t *window = realloc(follower->window, want);

		if (!window)
			return -ENOMEM;
		follower->window = window;
		follower->cap = want;
	}
	follower->at = offset;
	follower->len = 0;
	return disk_read(follower->fd, offset, follower->window, want, &follower->len);
}

/* ${len} bytes at ${offset}. 0, JOURNAL_DAMAGED (they are not there), -errno. */
static int
window_get(struct journal_follower *follower, uint64_t offset, size_t len, const uint8_t **bytesp)
{
	size_t want = follower->jumped ? WINDOW_HOP : WINDOW;
	int r;

	if (offset > follower->end || len > follower->end - offset)
		return JOURNAL_DAMAGED;
	if (offset < follower->at || offset + len > follower->at + follower->len) {
		if (want > follower->end - offset)
			want = (size_t)(follower->end - offset);
		r = window_fill(follower, offset, want > len ? want : len);
		if (r == -EIO) /* a bad sector in what was read ahead */
			r = window_fill(follower, offset, len);
		if (r)
			return r;
		if (follower->len < len)
			return JOURNAL_DAMAGED;
	}
	*bytesp = follower->window + (offset - follower->at);
	return 0;
}

static int
record_here(struct journal_follower *follower, struct record *record)
{
	struct record_header header;
	uint32_t seed = follower->segment->seed;
	const uint8_t *bytes;
	uint64_t length;
	int r = window_get(follower, follower->offset, RECORD_HEADER_SIZE, &bytes);

	if (r)
		return r;
	if (!record_decode(bytes, seed, follower->offset, &header))
		return JOURNAL_DAMAGED;
	length = record_length(&header);
	if (length > follower->end - follower->offset)
		return JOURNAL_DAMAGED;
	r = window_get(follower, follower->offset, (size_t)record_body_at(&header), &bytes);
	if (r)
		return r;
	*record = (struct record){ .head = header.head,
		.facts = span_make(bytes + RECORD_HEADER_SIZE, header.facts_len),
		.decision = span_make(bytes + RECORD_HEADER_SIZE + header.facts_len, header.decision_len) };
	if (record_front_crc(seed, record->facts, record->decision) != header.front_crc)
		return JOURNAL_DAMAGED;
	follower->offset += length;
	follower->jumped = length >= JUMP;
	return 0;
}

/* Behind a damaged record: on to the next whole header. */
static int
resync(struct journal_follower *follower)
{
	uint8_t encoded[RECORD_HEADER_SIZE];
	struct record_header header;
	enum reader_step step;
	struct reader reader;
	int r = reader_init(&reader, follower->fd, follower->segment->seed, follower->end, true);

	if (r)
		return r;
	r = reader_step(&reader, &follower->offset, &step, &header, encoded);
	if (r == 0 && step == READER_END) /* zeros where records should be */
		follower->offset = follower->end;
	else if (r == 0 && step == READER_RECORD) /* a whole header with damaged facts */
		follower->offset += record_length(&header);
	reader_fini(&reader);
	return r;
}

int
journal_follower_next(struct journal_follower *follower, struct record *record)
{
	struct journal *journal = follower->journal;
	int r;

	for (;;) {
		if (follower->offset >= follower->end) {
			pthread_mutex_lock(&journal->lock);
			follower->end = follower->segment->end;
			pthread_mutex_unlock(&journal->lock);
			if (follower->offset >= follower->end)
				return JOURNAL_END;
		}
		r = record_here(follower, record);
		if (r != JOURNAL_DAMAGED && r != -EIO)
			return r;
		r = resync(follower);
		if (r)
			return r;
	}
}

struct journal_cursor
journal_follower_place(const struct journal_follower *follower)
{
	return (struct journal_cursor){ follower->number, follower->offset };
}
