/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commit thread: takes all that is queued as soon as the last batch is on disk, writes it in one go, syncs, tells.
 *
 * A batch whose write or sync failed is void: its segment is abandoned at the last good end and never synced again; writing goes on in a
 * new segment whose head says where the old one ends, once the disk lets us put such a head on it.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "broker/base/log.h"
#include "broker/base/metrics.h"
#include "broker/store/bytes.h"
#include "broker/store/disk.h"
#include "broker/store/journal_private.h"

#define STAGE_SIZE     ((size_t)4 << 20)  /* headers and small parts of one batch, copied to be one run */
#define STAGE_PART     ((size_t)64 << 10) /* above it a part is written from where it lies */
#define STAGE_RECORD   (RECORD_HEADER_SIZE + 3 * STAGE_PART + RECORD_ALIGN)
#define BATCH_IOV      1000
#define BATCH_BYTES    ((uint64_t)64 << 20) /* a bound on how long the first of a batch waits for the last */
#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 5000

enum {
	ROOM_REFUSED = 1, /* this record has no room; others may have */
};

struct committer {
	struct sha256 sha;
	struct segment *current; /* NULL: begin one with the next record */
	int fd;
	bool listed;  /* current is in the journal's list: something of it is committed */
	bool reserve; /* current is the reserve: no pushes */
	uint8_t *stage;
	size_t stage_len, stage_from; /* bytes used; where the run not yet in iov begins */
	struct iovec iov[BATCH_IOV];
	size_t iov_count;
	uint8_t *entries; /* of the seal to come, encoded */
	size_t entry_count, entry_cap;
	uint8_t head[SEGMENT_HEAD_SIZE];
	unsigned backoff_ms;
};

/* What of a queue goes out together. */
struct batch {
	struct pending *first, *behind; /* [first, behind) */
	size_t count, carried;
	uint64_t bytes;
	uint8_t chain[DIGEST_SHA256_LEN]; /* behind it */
	struct sign_batch sign;
};

int
committer_new(struct journal *journal)
{
	struct committer *c = calloc(1, sizeof *c);

	if (!c)
		return -ENOMEM;
	journal->committer = c;
	c->fd = -1;
	c->stage = malloc(STAGE_SIZE);
	return c->stage ? sha256_init(&c->sha) : -ENOMEM;
}

void
committer_free(struct journal *journal)
{
	struct committer *c = journal->committer;

	if (!c)
		return;
	if (c->current && !c->listed)
		segment_free(c->current);
	sha256_fini(&c->sha);
	free(c->entries);
	free(c->stage);
	free(c);
	journal->committer = NULL;
}

/* Nothing can be written for now: appends are refused until revive. */
static void
journal_fail(struct journal *journal, int error)
{
	struct log_line line;
	bool told;

	metric_count(METRIC_JOURNAL_FAILURES, 1);
	pthread_mutex_lock(&journal->lock);
	told = journal->failed;
	journal->failed = true;
	if (!told)
		state_changed_post(journal);
	pthread_mutex_unlock(&journal->lock);
	if (told)
		return;
	journal->committer->backoff_ms = BACKOFF_MIN_MS;
	log_begin(&line, EVENT_JOURNAL_FAILED);
	log_errno(&line, error);
	log_commit(&line);
}

/* Let go of the current segment without sealing it: what stands behind its end is void. */
static void
segment_abandon(struct journal *journal)
{
	struct committer *c = journal->committer;
	char path[JOURNAL_PATH_MAX];

	if (!c->current)
		return;
	if (c->listed) {
		pthread_mutex_lock(&journal->lock);
		c->current->sealed = true;
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

/* Make a segment of the next file. Its head goes out with its first batch. */
static int
segment_begin(struct journal *journal, bool push)
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

static bool
fits(const struct committer *c, uint64_t end, size_t records)
{
	return end + segment_seal_size(records) <= c->current->size;
}

/*
 * See to it that ${pending} fits into the current segment; one larger than a segment gets a segment of its own, grown to its size.
 * 0, ROOM_REFUSED, or -errno: the journal cannot be written.
 */
static int
room_for(struct journal *journal, const struct pending *pending)
{
	struct committer *c = journal->committer;
	uint64_t length = record_length(&pending->header), need;
	int r;

	if (c->current && !fits(c, c->current->end + length, c->entry_count + 1) && c->entry_count > 0) {
		uint64_t next_seq;

		pthread_mutex_lock(&journal->lock);
		next_seq = journal->next_seq;
		pthread_mutex_unlock(&journal->lock);
		segment_seal(journal, c->current, c->fd, c->entries, c->entry_count, next_seq);
		c->current = NULL;
	}
	if (!c->current) {
		r = segment_begin(journal, pending->push);
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
	if (fits(c, c->current->end + length, c->entry_count + 1))
		return 0;
	need = c->current->end + length + segment_seal_size(c->entry_count + 1);
	if (disk_allocate(c->fd, c->current->size, need))
		return ROOM_REFUSED;
	pthread_mutex_lock(&journal->lock);
	c->current->size = need;
	pthread_mutex_unlock(&journal->lock);
	return 0;
}

static void
run_close(struct committer *c)
{
	if (c->stage_len > c->stage_from)
		c->iov[c->iov_count++] =
		    (struct iovec){ c->stage + c->stage_from, c->stage_len - c->stage_from };
	c->stage_from = c->stage_len;
}

static void
part_add(struct committer *c, struct span part)
{
	if (part.len <= STAGE_PART) {
		if (part.len)
			memcpy(c->stage + c->stage_len, part.ptr, part.len);
		c->stage_len += part.len;
		return;
	}
	run_close(c);
	c->iov[c->iov_count++] = (struct iovec){ (void *)(uintptr_t)part.ptr, part.len };
}

/* Encode one record at ${offset} of the current segment and lay its parts into the batch. 0 or -EIO (no digest). */
static int
record_add(struct committer *c, struct pending *pending, uint64_t offset, struct batch *batch)
{
	struct record_header *h = &pending->header;
	uint64_t length = record_length(h), used = record_body_at(h) + h->body_len;
	uint8_t *encoded = c->stage + c->stage_len;
	uint32_t seed = c->current->seed;
	int r = 0;

	if (h->facts_len)
		r = sha256_of(&c->sha, pending->facts, h->facts_sha256);
	if (r == 0 && h->decision_len)
		r = sha256_of(&c->sha, pending->decision, h->decision_sha256);
	if (r)
		return r;
	h->front_crc = record_front_crc(seed, pending->facts, pending->decision);
	h->body_crc = digest_crc32c(seed, pending->body);
	record_encode(h, seed, offset, encoded);
	r = record_chain(&c->sha, encoded, batch->chain);
	if (r)
		return r;
	sign_batch_add(&batch->sign, &c->sha, batch->chain);
	c->stage_len += RECORD_HEADER_SIZE;
	part_add(c, pending->facts);
	part_add(c, pending->decision);
	part_add(c, pending->body);
	memset(c->stage + c->stage_len, 0, length - used);
	c->stage_len += length - used;
	return 0;
}

/* Lay out as much of the queue as fits; the first is known to. 0 or -errno (nothing was written). */
static int
batch_build(struct journal *journal, struct pending *first, struct batch *batch)
{
	struct committer *c = journal->committer;
	struct segment *segment = c->current;
	struct pending *p;
	int r;

	batch->first = first;
	batch->count = batch->carried = batch->bytes = 0;
	memcpy(batch->chain, segment->chain, DIGEST_SHA256_LEN);
	sign_batch_begin(journal, segment, &batch->sign);
	c->stage_len = c->stage_from = c->iov_count = 0;
	if (!c->listed)
		c->iov[c->iov_count++] = (struct iovec){ c->head, sizeof c->head };
	for (p = first; p; p = p->next) {
		uint64_t length = record_length(&p->header);

		if (batch->count > 0 &&
		    (!fits(c, segment->end + batch->bytes + length, c->entry_count + batch->count + 1) ||
			batch->bytes + length > BATCH_BYTES || c->stage_len + STAGE_RECORD > STAGE_SIZE ||
			c->iov_count + 8 > BATCH_IOV || (c->reserve && p->push)))
			break;
		r = record_add(c, p, segment->end + batch->bytes, batch);
		if (r)
			return r;
		batch->bytes += length;
		batch->count++;
		batch->carried += (p->header.head.flags & RECORD_CARRIED) != 0;
	}
	run_close(c);
	batch->behind = p;
	return 0;
}

/* Make all the room that noting the batch will take. 0 or -ENOMEM. */
static int
batch_reserve(struct journal *journal, const struct batch *batch)
{
	struct committer *c = journal->committer;
	size_t want = c->entry_count + batch->count, cap = c->entry_cap ? c->entry_cap : 1024;
	uint8_t *entries;
	int r;

	if (want > c->entry_cap) {
		while (cap < want)
			cap *= 2;
		entries = reallocarray(c->entries, cap, SEGMENT_ENTRY_SIZE);
		if (!entries)
			return -ENOMEM;
		c->entries = entries;
		c->entry_cap = cap;
	}
	pthread_mutex_lock(&journal->lock);
	r = index_reserve(&c->current->index, batch->count - batch->carried, batch->carried);
	if (r == 0 && !c->listed)
		r = segments_reserve(journal);
	pthread_mutex_unlock(&journal->lock);
	return r;
}

static int
synced(struct journal *journal, int fd)
{
	uint64_t began = clock_mono_us(), took;
	int r = disk_sync(fd);

	took = clock_mono_us() - began;
	metric_count(METRIC_JOURNAL_SYNCS, 1);
	metric_count(METRIC_JOURNAL_SYNC_MICROSECONDS, took);
	pthread_mutex_lock(&journal->lock);
	journal->sync_us[journal->syncs++ % JOURNAL_SYNC_RING] = took;
	pthread_mutex_unlock(&journal->lock);
	return r;
}

/* Under the lock: ${pending} is on disk at ${offset}. */
static void
record_note(struct journal *journal, const struct pending *pending, uint64_t offset)
{
	struct committer *c = journal->committer;
	uint64_t seq = pending->header.head.seq;

	segment_note(
	    c->current, &pending->header, offset, c->entries + c->entry_count++ * SEGMENT_ENTRY_SIZE);
	if (seq > journal->committed_seq)
		journal->committed_seq = seq;
}

static void
batch_done(struct journal *journal, const struct batch *batch)
{
	struct committer *c = journal->committer;
	struct segment *segment = c->current;

	pthread_mutex_lock(&journal->lock);
	for (struct pending *p = batch->first; p != batch->behind; p = p->next) {
		record_note(journal, p, segment->end);
		segment->end += record_length(&p->header);
	}
	memcpy(segment->chain, batch->chain, DIGEST_SHA256_LEN);
	sign_batch_done(segment, &batch->sign);
	if (!c->listed)
		segments_add(journal, segment);
	c->listed = true;
	completion_add(journal, batch->first, batch->behind);
	pthread_mutex_unlock(&journal->lock);
	metric_count(METRIC_JOURNAL_RECORDS, batch->count);
	metric_count(METRIC_JOURNAL_BYTES, batch->bytes);
}

static int
batch_write(struct journal *journal)
{
	struct committer *c = journal->committer;
	int r = disk_write(c->fd, c->listed ? c->current->end : 0, c->iov, c->iov_count);

	return r ? r : synced(journal, c->fd);
}

/* Everything in ${pending} gets its outcome. */
static void
commit_list(struct journal *journal, struct pending *pending)
{
	struct pending *next;
	struct batch batch;
	int r;

	while (pending) {
		next = pending->next; /* of a record that is completed alone */
		r = room_for(journal, pending);
		if (r == ROOM_REFUSED) {
			completion_fail(journal, pending, next, -ENOSPC);
			pending = next;
			continue;
		}
		if (r < 0) {
			journal_fail(journal, r);
			completion_fail(journal, pending, NULL, r);
			return;
		}
		r = batch_build(journal, pending, &batch);
		if (r == 0)
			r = batch_reserve(journal, &batch);
		if (r) { /* no memory, no digest: nothing was written, the segment is as it was */
			completion_fail(journal, pending, next, r);
			pending = next;
			continue;
		}
		next = batch.behind;
		r = batch_write(journal);
		if (r) {
			journal_fail(journal, r);
			segment_abandon(journal);
			completion_fail(journal, pending, NULL, r);
			return;
		}
		batch_done(journal, &batch);
		pending = next;
	}
}

/* Try whether the disk takes a new segment's head; until it does nothing is taken. */
static void
revive(struct journal *journal)
{
	struct committer *c = journal->committer;
	struct iovec iov = { c->head, sizeof c->head };
	struct log_line line;
	int r;

	r = segment_begin(journal, false);
	if (r)
		return;
	r = disk_write(c->fd, 0, &iov, 1);
	if (r == 0)
		r = synced(journal, c->fd);
	pthread_mutex_lock(&journal->lock);
	if (r == 0)
		r = segments_reserve(journal);
	if (r == 0) {
		segments_add(journal, c->current);
		c->listed = true;
		journal->failed = false;
		state_changed_post(journal);
	}
	pthread_mutex_unlock(&journal->lock);
	if (r) {
		metric_count(METRIC_JOURNAL_FAILURES, 1);
		segment_abandon(journal);
		return;
	}
	log_begin(&line, EVENT_JOURNAL_BACK);
	log_u64(&line, "segment", c->current->number);
	log_commit(&line);
}

/* Under the lock. */
static void
backoff_wait(struct journal *journal)
{
	struct committer *c = journal->committer;
	struct timespec until = clock_after_ms(c->backoff_ms);

	while (
	    !journal->stopping && pthread_cond_timedwait(&journal->commit_wake, &journal->lock, &until) == 0)
		continue;
	c->backoff_ms = c->backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : c->backoff_ms * 2;
}

void *
committer_main(void *arg)
{
	struct journal *journal = arg;
	struct committer *c = journal->committer;
	struct pending *pending;
	uint64_t next_seq;
	bool failed;

	pthread_mutex_lock(&journal->lock);
	for (;;) {
		failed = journal->failed;
		if (failed && !journal->stopping)
			backoff_wait(journal);
		else
			while (!journal->queue.head && !journal->stopping)
				pthread_cond_wait(&journal->commit_wake, &journal->lock);
		if (journal->stopping && !journal->queue.head)
			break;
		pending = journal->queue.head;
		journal->queue.head = NULL;
		pthread_mutex_unlock(&journal->lock);
		if (!failed)
			commit_list(journal, pending);
		else if (pending) /* queued before the failure was known */
			completion_fail(journal, pending, NULL, -EIO);
		else
			revive(journal);
		pthread_mutex_lock(&journal->lock);
	}
	next_seq = journal->next_seq;
	pthread_mutex_unlock(&journal->lock);
	if (c->current && c->listed)
		segment_seal(journal, c->current, c->fd, c->entries, c->entry_count, next_seq);
	return NULL;
}
