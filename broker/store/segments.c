/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of a journal's segments and the descriptors that readers share.
 *
 * A segment that somebody uses is neither closed nor freed; idle ones keep their descriptor while there are few.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/base/metrics.h"
#include "broker/store/disk.h"
#include "broker/store/journal_private.h"

int
journal_path(const struct journal *journal, uint32_t number, char *path, size_t size)
{
	int n = snprintf(path, size, "%s/%010u.seg", journal->directory, number);

	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

struct segment *
segment_new(void)
{
	struct segment *segment = calloc(1, sizeof *segment);

	if (segment) {
		segment->fd = -1;
		segment->end = SEGMENT_HEAD_SIZE;
	}
	return segment;
}

void
segment_entry_of(
    const struct record_header *header, uint64_t offset, uint8_t entry[static SEGMENT_ENTRY_SIZE])
{
	const struct record_head *head = &header->head;
	struct segment_entry made = { .seq = head->seq,
		.offset = offset,
		.ref = head->ref,
		.type = head->type,
		.flags = head->flags,
		.front_len = header->facts_len + header->decision_len };

	memcpy(made.key, head->key, sizeof made.key);
	segment_entry_encode(&made, entry);
}

void
segment_note(struct segment *segment, const struct record_header *header, uint64_t offset,
    uint8_t entry[static SEGMENT_ENTRY_SIZE])
{
	const struct record_head *head = &header->head;
	bool carried = (head->flags & RECORD_CARRIED) != 0;

	segment_entry_of(header, offset, entry);
	index_add(&segment->index, head->seq, offset, carried);
	segment->records++;
	segment->news |= head->type != RECORD_SIGNED;
	if (!carried && head->time_us > segment->last_us)
		segment->last_us = head->time_us;
}

void
segment_free(struct segment *segment)
{
	if (!segment)
		return;
	disk_close(segment->fd);
	index_fini(&segment->index);
	free(segment->signatures);
	free(segment->tree);
	free(segment);
}

int
segments_reserve(struct journal *journal)
{
	size_t cap = journal->segment_cap ? 2 * journal->segment_cap : 16;
	struct segment **segments;

	if (journal->segment_count < journal->segment_cap)
		return 0;
	segments = reallocarray(journal->segments, cap, sizeof(struct segment *));
	if (!segments)
		return -ENOMEM;
	journal->segments = segments;
	journal->segment_cap = cap;
	return 0;
}

static size_t
segments_place(const struct journal *journal, uint32_t number)
{
	size_t low = 0, high = journal->segment_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (journal->segments[middle]->number < number)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

void
segments_add(struct journal *journal, struct segment *segment)
{
	size_t at = segments_place(journal, segment->number);

	memmove(journal->segments + at + 1, journal->segments + at,
	    (journal->segment_count - at) * sizeof *journal->segments);
	journal->segments[at] = segment;
	journal->segment_count++;
	if (segment->fd >= 0)
		journal->open_count++;
	metric_set(metric_series(METRIC_JOURNAL_SEGMENTS, NULL), (int64_t)journal->segment_count);
}

void
segments_remove(struct journal *journal, struct segment *segment)
{
	size_t at = segments_place(journal, segment->number);

	journal->segment_count--;
	memmove(journal->segments + at, journal->segments + at + 1,
	    (journal->segment_count - at) * sizeof *journal->segments);
	metric_set(metric_series(METRIC_JOURNAL_SEGMENTS, NULL), (int64_t)journal->segment_count);
}

struct segment *
segments_from(struct journal *journal, uint32_t number)
{
	size_t at = segments_place(journal, number);

	return at < journal->segment_count ? journal->segments[at] : NULL;
}

int
segment_use(struct journal *journal, struct segment *segment, int *fdp)
{
	char path[JOURNAL_PATH_MAX];
	int fd, spare = -1, r;

	pthread_mutex_lock(&journal->lock);
	segment->used = ++journal->tick;
	fd = segment->fd;
	pthread_mutex_unlock(&journal->lock);
	if (fd < 0) {
		r = journal_path(journal, segment->number, path, sizeof path);
		if (r == 0)
			r = disk_open(path, O_RDONLY, &fd);
		if (r)
			return r;
		pthread_mutex_lock(&journal->lock);
		if (segment->fd < 0) {
			segment->fd = fd;
			journal->open_count++;
		} else { /* another reader was faster */
			spare = fd;
			fd = segment->fd;
		}
		pthread_mutex_unlock(&journal->lock);
		disk_close(spare);
	}
	*fdp = fd;
	return 0;
}

/* Under the lock: take away the descriptor of the segment unused for longest, when there are too many. */
static int
idlest(struct journal *journal)
{
	struct segment *oldest = NULL;
	int fd;

	if (journal->open_count <= JOURNAL_OPEN_MAX)
		return -1;
	for (size_t i = 0; i < journal->segment_count; i++) {
		struct segment *segment = journal->segments[i];

		if (segment->fd >= 0 && segment->users == 0 && segment->sealed && !segment->finish &&
		    (!oldest || segment->used < oldest->used))
			oldest = segment;
	}
	if (!oldest)
		return -1;
	fd = oldest->fd;
	oldest->fd = -1;
	journal->open_count--;
	return fd;
}

void
segment_release(struct journal *journal, struct segment *segment)
{
	struct segment *dead = NULL;
	int fd;

	if (!segment)
		return;
	pthread_mutex_lock(&journal->lock);
	if (--segment->users == 0 && segment->gone) {
		dead = segment;
		if (segment->fd >= 0)
			journal->open_count--;
	}
	fd = idlest(journal);
	pthread_mutex_unlock(&journal->lock);
	disk_close(fd);
	segment_free(dead);
}
