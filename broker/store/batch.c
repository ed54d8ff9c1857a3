/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One batch: laid out as one run of bytes, written, synced, noted.
 *
 * What notes it (the index in memory, the entries of the seal to come) is prepared beyond what counts before the write, so that the lock is
 * held for a few instructions once it is on disk and nothing can fail any more.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker/base/clock.h"
#include "broker/base/metrics.h"
#include "broker/store/commit_private.h"
#include "broker/store/disk.h"

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

int
batch_build(struct journal *journal, struct pending *first, struct batch *batch)
{
	struct committer *c = journal->committer;
	struct segment *segment = c->current;
	struct pending *p;
	int r;

	batch->first = first;
	batch->count = batch->carried = 0;
	batch->bytes = batch->last_seq = 0;
	batch->news = false;
	memcpy(batch->chain, segment->chain, DIGEST_SHA256_LEN);
	sign_batch_begin(journal, segment, &batch->sign);
	c->stage_len = c->stage_from = c->iov_count = 0;
	if (!c->listed)
		c->iov[c->iov_count++] = (struct iovec){ c->head, sizeof c->head };
	for (p = first; p; p = p->next) {
		uint64_t length = record_length(&p->header);

		if (batch->count > 0 &&
		    (!current_fits(
			 c, segment->end + batch->bytes + length, c->entry_count + batch->count + 1) ||
			batch->bytes + length > BATCH_BYTES || c->stage_len + STAGE_RECORD > STAGE_SIZE ||
			c->iov_count + 8 > BATCH_IOV || (c->reserve && p->push)))
			break;
		r = record_add(c, p, segment->end + batch->bytes, batch);
		if (r)
			return r;
		batch->bytes += length;
		batch->count++;
		batch->last = p;
		batch->news |= p->header.head.type != RECORD_SIGNED;
		batch->carried += (p->header.head.flags & RECORD_CARRIED) != 0;
	}
	run_close(c);
	batch->behind = p;
	return 0;
}

/* Prepare the notes of a batch for which there is room. */
static void
batch_prepare(struct committer *c, struct batch *batch)
{
	struct segment *segment = c->current;
	uint8_t *entry = c->entries + c->entry_count * SEGMENT_ENTRY_SIZE;
	uint64_t offset = segment->end;
	size_t born = 0;

	batch->last_us = segment->last_us;
	for (const struct pending *p = batch->first; p != batch->behind; p = p->next) {
		const struct record_head *head = &p->header.head;

		segment_entry_of(&p->header, offset, entry);
		entry += SEGMENT_ENTRY_SIZE;
		if (!(head->flags & RECORD_CARRIED)) {
			index_prepare(&segment->index, born++, head->seq, offset);
			batch->last_seq = head->seq;
			if (head->time_us > batch->last_us)
				batch->last_us = head->time_us;
		}
		offset += record_length(&p->header);
	}
}

int
batch_reserve(struct journal *journal, struct batch *batch)
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
	if (r == 0)
		batch_prepare(c, batch);
	return r;
}

int
batch_sync(struct committer *c, int fd, uint64_t began)
{
	uint64_t written = clock_mono_us(), now;
	int r = disk_sync(fd);

	now = clock_mono_us();
	c->sync_us = now - written;
	c->commit_us = now - began;
	metric_count(METRIC_JOURNAL_SYNCS, 1);
	metric_count(METRIC_JOURNAL_SYNC_MICROSECONDS, c->sync_us);
	return r;
}

int
batch_write(struct journal *journal)
{
	struct committer *c = journal->committer;
	uint64_t began = clock_mono_us();
	int r = disk_write(c->fd, c->listed ? c->current->end : 0, c->iov, c->iov_count);

	return r ? r : batch_sync(c, c->fd, began);
}

/* Under the lock: carried records have their own place in the index. */
static void
carried_note(struct segment *segment, const struct batch *batch)
{
	uint64_t offset = segment->end;

	for (const struct pending *p = batch->first; p != batch->behind; p = p->next) {
		if (p->header.head.flags & RECORD_CARRIED)
			index_add(&segment->index, p->header.head.seq, offset, true);
		offset += record_length(&p->header);
	}
}

void
batch_done(struct journal *journal, const struct batch *batch)
{
	struct committer *c = journal->committer;
	struct segment *segment = c->current;

	pthread_mutex_lock(&journal->lock);
	journal->sync_us[journal->syncs++ % JOURNAL_SYNC_RING] = c->sync_us;
	commit_timed(journal, c->commit_us);
	if (batch->carried)
		carried_note(segment, batch);
	index_publish(&segment->index, batch->count - batch->carried);
	c->entry_count += batch->count;
	segment->records += batch->count;
	segment->last_us = batch->last_us;
	segment->end += batch->bytes;
	if (batch->last_seq > journal->committed_seq)
		journal->committed_seq = batch->last_seq;
	segment->news |= batch->news;
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
