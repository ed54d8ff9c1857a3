/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Committing: takes all that is queued as soon as the last batch is on disk, writes it in one go, syncs, tells.
 *
 * The commit thread does so; or the loop itself, at the end of its turn, when that is sooner done than said: little is queued, nobody commits,
 * it fits into the segment at hand, and the last batches were quick. A slow one holds the loop once; then the thread commits for several times
 * as long as that took, and until the disk is quick again.
 *
 * A batch whose write or sync failed is void: its segment is abandoned at the last good end and never synced again; writing goes on in a
 * new segment whose head says where the old one ends, once the disk lets us put such a head on it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "broker/base/clock.h"
#include "broker/base/log.h"
#include "broker/base/metrics.h"
#include "broker/store/commit_private.h"
#include "broker/store/disk.h"

#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 5000

#define TURN_BYTES ((uint64_t)32 << 10)
#define QUICK_US   200
#define QUICK_RUN  2 /* batches that must have been quick before the loop commits */
#define HELD_SHARE 4 /* after a slow one on the loop: that many times as long before the next */
#define HELD_MOST  ((uint64_t)5000000) /* and no longer than this */

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

/* Everything in ${pending} gets its outcome. */
static void
commit_list(struct journal *journal, struct pending *pending)
{
	struct pending *next;
	struct batch batch;
	int r;

	while (pending) {
		next = pending->next; /* of a record that is completed alone */
		r = current_room(journal, pending);
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
			current_abandon(journal);
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

	r = current_begin(journal, false);
	if (r)
		return;
	r = disk_write(c->fd, 0, &iov, 1);
	if (r == 0)
		r = batch_sync(c, c->fd, clock_mono_us());
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
		current_abandon(journal);
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

void
commit_timed(struct journal *journal, uint64_t took_us)
{
	if (took_us < QUICK_US) {
		journal->quick += journal->quick < QUICK_RUN;
		return;
	}
	journal->quick = 0;
	if (journal->on_turn)
		journal->held_until =
		    clock_mono_us() + (took_us * HELD_SHARE < HELD_MOST ? took_us * HELD_SHARE : HELD_MOST);
}

/* Under the lock, nobody commits: whether the loop may commit what is queued itself. */
static bool
is_small(const struct journal *journal)
{
	const struct committer *c = journal->committer;

	return journal->queued_bytes <= TURN_BYTES && journal->quick == QUICK_RUN && !journal->failed &&
	       c->current && c->listed && !c->reserve &&
	       current_fits(c, c->current->end + journal->queued_bytes, c->entry_count + journal->queued) &&
	       (journal->held_until == 0 || clock_mono_us() >= journal->held_until);
}

/* Under the lock: who calls this commits until it clears the flag. */
static struct pending *
commit_begin(struct journal *journal)
{
	struct pending *taken = journal->queue.head;

	journal->queue.head = NULL;
	journal->queued = 0;
	journal->queued_bytes = 0;
	journal->committing = true;
	return taken;
}

void
commit_turn(struct journal *journal)
{
	struct pending *taken;

	pthread_mutex_lock(&journal->lock);
	if (!journal->queue.head || journal->committing) { /* the one who commits looks again */
		pthread_mutex_unlock(&journal->lock);
		return;
	}
	if (!is_small(journal)) {
		pthread_mutex_unlock(&journal->lock);
		pthread_cond_signal(&journal->commit_wake);
		return;
	}
	taken = commit_begin(journal);
	journal->on_turn = true;
	pthread_mutex_unlock(&journal->lock);
	commit_list(journal, taken);
	metric_count(METRIC_JOURNAL_TURN_SYNCS, 1);
	pthread_mutex_lock(&journal->lock);
	journal->on_turn = journal->committing = false;
	if (journal->queue.head || journal->failed || journal->stopping)
		pthread_cond_signal(&journal->commit_wake);
	pthread_mutex_unlock(&journal->lock);
	completed_run(journal);
}

void
journal_enqueue(struct journal *journal, struct pending *pending)
{
	struct courier *turn = journal->turn_courier;
	bool first = !journal->queue.head;

	pending_push(&journal->queue, pending);
	journal->queued++;
	journal->queued_bytes += record_length(&pending->header);
	if (!first || journal->committing || turn->posted)
		return;
	turn->posted = post_later(journal->options.poster, &turn->item);
	if (!turn->posted)
		pthread_cond_signal(&journal->commit_wake);
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
		while (
		    journal->committing || (!journal->stopping && !journal->queue.head && !journal->failed))
			pthread_cond_wait(&journal->commit_wake, &journal->lock);
		failed = journal->failed;
		if (failed && !journal->stopping)
			backoff_wait(journal);
		if (journal->stopping && !journal->queue.head)
			break;
		pending = commit_begin(journal);
		pthread_mutex_unlock(&journal->lock);
		if (!failed)
			commit_list(journal, pending);
		else if (pending) /* queued before the failure was known */
			completion_fail(journal, pending, NULL, -EIO);
		else
			revive(journal);
		pthread_mutex_lock(&journal->lock);
		journal->committing = false;
	}
	next_seq = journal->next_seq;
	pthread_mutex_unlock(&journal->lock);
	if (c->current && c->listed)
		segment_seal(journal, c->current, c->fd, c->entries, c->entry_count, next_seq);
	return NULL;
}
