/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The segment that is being written: taken from what the keeper made ahead (or the reserve), sealed when it is full, abandoned after a failure.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "broker/store/commit_private.h"
#include "broker/store/disk.h"

void
current_abandon(struct journal *journal)
{
	struct committer *c = journal->committer;
	char path[JOURNAL_PATH_MAX];

	if (!c->current)
		return;
	if (c->listed) {
		pthread_mutex_lock(&journal->lock);
		sign_sealed(c->current);
		pthread_mutex_unlock(&journal->lock);
	} else { /* it holds nothing that was ever acknowledged; should this fail, the next head voids it by its number */
		if (journal_path(journal, c->current->number, path, sizeof path) == 0)
			disk_discard(path);
		segment_free(c->current);
	}
	c->current = NULL;
}

/* The next file to write: the one made ahead, or, when the disk refuses one, the reserve (not for a push). */
static int
file_take(struct journal *journal, bool push, struct ahead *taken, bool *reserve)
{
	int r = 0;

	*reserve = false;
	pthread_mutex_lock(&journal->lock);
	while (journal->ahead.state == AHEAD_WANTED) {
		pthread_cond_signal(&journal->keeper_wake);
		pthread_cond_wait(&journal->ahead_changed, &journal->lock);
	}
	if (journal->ahead.state == AHEAD_READY) {
		*taken = journal->ahead;
		journal->ahead = (struct ahead){ .state = AHEAD_WANTED, .fd = -1 };
		pthread_cond_signal(&journal->keeper_wake);
	} else if (!journal->reserve_ready) {
		r = journal->ahead.error;
	} else if (push) {
		r = ROOM_REFUSED;
	} else { /* numbered at once: what the keeper begins to make from here on comes behind it */
		*reserve = true;
		journal->reserve_ready = false;
		*taken = (struct ahead){ .fd = -1, .number = journal->next_number++ };
	}
	pthread_mutex_unlock(&journal->lock);
	return *reserve ? keeper_take_reserve(journal, taken) : r;
}

int
current_begin(struct journal *journal, bool push)
{
	struct committer *c = journal->committer;
	struct segment_head head = { 0 };
	struct segment *segment;
	struct ahead taken;
	bool reserve;
	int r;

	segment = segment_new();
	if (!segment)
		return -ENOMEM;
	r = file_take(journal, push, &taken, &reserve);
	if (r) {
		segment_free(segment);
		return r;
	}
	segment->fd = taken.fd;
	segment->number = taken.number;
	segment->size = taken.size;
	if (getrandom(segment->id, sizeof segment->id, 0) != (ssize_t)sizeof segment->id) {
		segment_free(segment);
		return -EIO;
	}
	segment->seed = record_seed(segment->id);
	pthread_mutex_lock(&journal->lock);
	segment->created_us = segment->last_us = journal_clock_now(&journal->clock);
	head.first_seq = segment->first_seq_hint = journal->next_seq;
	if (journal->segment_count > 0) {
		const struct segment *prev = journal->segments[journal->segment_count - 1];

		assert(segment->number > prev->number); /* an order that no start could read */
		head.prev_number = segment->prev_number = prev->number;
		head.prev_end = prev->end;
		memcpy(head.prev_id, prev->id, SEGMENT_ID_LEN);
		memcpy(head.prev_chain, prev->chain, DIGEST_SHA256_LEN);
		memcpy(segment->chain, prev->chain, DIGEST_SHA256_LEN);
	}
	sign_segment_begin(journal, segment);
	pthread_mutex_unlock(&journal->lock);
	head.number = segment->number;
	head.created_us = segment->created_us;
	memcpy(head.id, segment->id, SEGMENT_ID_LEN);
	memcpy(head.secret, journal->secret, SEGMENT_ID_LEN);
	segment_head_encode(&head, c->head);
	c->current = segment;
	c->fd = taken.fd;
	c->listed = false;
	c->reserve = reserve;
	c->entry_count = 0;
	return 0;
}

bool
current_fits(const struct committer *c, uint64_t end, size_t records)
{
	return end + segment_seal_size(records) <= c->current->size;
}

int
current_room(struct journal *journal, const struct pending *pending)
{
	struct committer *c = journal->committer;
	uint64_t length = record_length(&pending->header), need;
	int r;

	if (c->current && !current_fits(c, c->current->end + length, c->entry_count + 1) &&
	    c->entry_count > 0) {
		uint64_t next_seq;

		pthread_mutex_lock(&journal->lock);
		next_seq = journal->next_seq;
		pthread_mutex_unlock(&journal->lock);
		segment_seal(journal, c->current, c->fd, c->entries, c->entry_count, next_seq);
		c->current = NULL;
	}
	if (!c->current) {
		r = current_begin(journal, pending->push);
		if (r)
			return r;
	}
	if (c->reserve && pending->push) {
		pthread_mutex_lock(&journal->lock);
		c->reserve =
		    journal
			->below_floor; /* above it a new reserve is whole: this one is a segment like others */
		pthread_mutex_unlock(&journal->lock);
		if (c->reserve)
			return ROOM_REFUSED;
	}
	if (current_fits(c, c->current->end + length, c->entry_count + 1))
		return 0;
	need = c->current->end + length + segment_seal_size(c->entry_count + 1);
	if (disk_allocate(c->fd, c->current->size, need))
		return ROOM_REFUSED;
	pthread_mutex_lock(&journal->lock);
	c->current->size = need;
	pthread_mutex_unlock(&journal->lock);
	return 0;
}
