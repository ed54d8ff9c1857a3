/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal's face: opening, closing, queueing, state. What the threads do: commit.c, keeper.c, retention.c; starting: recovery.c.
 */
#include "broker/store/journal.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/base/metrics.h"
#include "broker/store/disk.h"
#include "broker/store/journal_private.h"
#include "broker/store/seal_key.h"

#define SEGMENT_MIN   ((uint64_t)16 << 10) /* a head, some records, an index */
#define BLOCK	      4096
#define PENDINGS_KEPT 4096 /* 1.4 MiB: what a busy broker has under way */

static int
path_join(char *out, const char *directory, const char *name)
{
	int n = snprintf(out, JOURNAL_PATH_MAX, "%s/%s", directory, name);

	return n < 0 || n >= JOURNAL_PATH_MAX - 64 ? -ENAMETOOLONG : 0;
}

static uint64_t
whole_blocks(uint64_t size)
{
	return (size + BLOCK - 1) / BLOCK * BLOCK;
}

static int
directories_make(struct journal *journal)
{
	int r;

	r = path_join(journal->directory, journal->options.directory, "journal");
	if (r == 0)
		r = path_join(journal->quarantine, journal->options.directory, "quarantine");
	if (r == 0)
		r = disk_mkdir(journal->directory);
	if (r == 0)
		r = disk_mkdir(journal->quarantine);
	if (r == 0)
		r = disk_sync_directory(journal->options.directory);
	return r;
}

static int
condition_init(pthread_cond_t *condition)
{
	pthread_condattr_t attributes;
	int r;

	r = pthread_condattr_init(&attributes);
	if (r)
		return -r;
	r = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	if (r == 0)
		r = pthread_cond_init(condition, &attributes);
	pthread_condattr_destroy(&attributes);
	return -r;
}

static void
courier_init(struct courier *courier, struct journal *journal, void (*run)(struct journal *))
{
	courier->run = run;
	courier->item.run = courier_run;
	courier->journal = journal;
}

static struct journal *
journal_alloc(const struct journal_options *options)
{
	struct journal *journal = calloc(1, sizeof *journal);
	int r;

	if (!journal)
		return NULL;
	journal->options = *options;
	journal->options.segment_size =
	    whole_blocks(options->segment_size < SEGMENT_MIN ? SEGMENT_MIN : options->segment_size);
	if (options->reserve)
		journal->options.reserve =
		    whole_blocks(options->reserve < SEGMENT_MIN ? SEGMENT_MIN : options->reserve);
	journal->next_number = 1;
	journal->next_seq = 1;
	journal->ahead.fd = -1;
	pool_init(&journal->pendings, sizeof(struct pending), PENDINGS_KEPT);
	r = pthread_mutex_init(&journal->lock, NULL);
	r = r ? r : condition_init(&journal->commit_wake);
	r = r ? r : condition_init(&journal->keeper_wake);
	r = r ? r : condition_init(&journal->ahead_changed);
	r = r ? r : condition_init(&journal->committed_changed);
	r = r ? r : condition_init(&journal->retention_wake);
	r = r ? r : condition_init(&journal->sign_wake);
	journal->done_courier = calloc(1, sizeof *journal->done_courier);
	journal->state_courier = calloc(1, sizeof *journal->state_courier);
	journal->turn_courier = calloc(1, sizeof *journal->turn_courier);
	if (r || !journal->done_courier || !journal->state_courier ||
	    !journal->turn_courier) { /* mutex and conditions hold no memory here */
		free(journal->done_courier);
		free(journal->state_courier);
		free(journal->turn_courier);
		free(journal);
		return NULL;
	}
	courier_init(journal->done_courier, journal, completed_run);
	courier_init(journal->state_courier, journal, state_changed_run);
	courier_init(journal->turn_courier, journal, commit_turn);
	return journal;
}

static void
courier_drop(struct poster *poster, struct courier *courier)
{
	if (courier->posted && !unpost(poster, &courier->item))
		courier->journal = NULL; /* the loop is about to run it: it frees itself there */
	else
		free(courier);
}

static void
journal_free(struct journal *journal)
{
	for (size_t i = 0; i < journal->segment_count; i++)
		segment_free(journal->segments[i]);
	free(journal->segments);
	committer_free(journal);
	if (journal->ahead.state == AHEAD_READY)
		disk_close(journal->ahead.fd);
	courier_drop(journal->options.poster, journal->done_courier);
	courier_drop(journal->options.poster, journal->state_courier);
	courier_drop(journal->options.poster, journal->turn_courier);
	pthread_cond_destroy(&journal->commit_wake);
	pthread_cond_destroy(&journal->keeper_wake);
	pthread_cond_destroy(&journal->ahead_changed);
	pthread_cond_destroy(&journal->committed_changed);
	pthread_cond_destroy(&journal->retention_wake);
	pthread_cond_destroy(&journal->sign_wake);
	seal_key_free(journal->seal);
	seal_key_free(journal->seal_next);
	pthread_mutex_destroy(&journal->lock);
	pool_fini(&journal->pendings);
	free(journal);
}

/* Signals are the loop's: a thread of ours takes none. */
static int
thread_start(pthread_t *thread, void *(*run)(void *), void *arg, const char *name)
{
	sigset_t all, before;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(thread, NULL, run, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r)
		return -r;
	(void)pthread_setname_np(*thread, name);
	return 0;
}

static void
threads_stop(struct journal *journal)
{
	pthread_mutex_lock(&journal->lock);
	journal->sign_stopping = true;
	pthread_cond_broadcast(&journal->sign_wake);
	pthread_mutex_unlock(&journal->lock);
	if (journal->sign_started) /* its last signature is a record, too */
		pthread_join(journal->sign_thread, NULL);
	pthread_mutex_lock(&journal->lock);
	journal->stopping = true;
	pthread_cond_broadcast(&journal->commit_wake);
	pthread_cond_broadcast(&journal->retention_wake);
	pthread_cond_broadcast(&journal->committed_changed);
	pthread_mutex_unlock(&journal->lock);
	if (journal->retention_started) /* it may wait for the commit of what it carries */
		pthread_join(journal->retention_thread, NULL);
	if (journal->commit_started)
		pthread_join(journal->commit_thread, NULL);
	pthread_mutex_lock(&journal->lock);
	journal->keeper_stopping = true;
	pthread_cond_broadcast(&journal->keeper_wake);
	pthread_mutex_unlock(&journal->lock);
	if (journal->keeper_started)
		pthread_join(journal->keeper_thread, NULL);
}

static int
threads_start(struct journal *journal)
{
	int r;

	r = thread_start(&journal->keeper_thread, keeper_main, journal, "journal-keeper");
	if (r)
		return r;
	journal->keeper_started = true;
	r = thread_start(&journal->commit_thread, committer_main, journal, "journal-commit");
	journal->commit_started = r == 0;
	if (r == 0)
		r = thread_start(&journal->sign_thread, sign_main, journal, "journal-sign");
	journal->sign_started = r == 0;
	return r;
}

int
journal_open(
    struct journal **journalp, const struct journal_options *options, journal_replay_fn *replay, void *arg)
{
	struct journal *journal = journal_alloc(options);
	int r;

	if (!journal)
		return -ENOMEM;
	r = directories_make(journal);
	if (r == 0)
		r = committer_new(journal);
	if (r == 0)
		r = purge_recover(journal);
	if (r == 0)
		r = recovery_run(journal, replay, arg);
	if (r == 0) {
		r = keeper_round(journal);
		if (r == -ENOSPC || r == -EDQUOT) /* below the floor then, but open */
			r = 0;
	}
	if (r == 0)
		r = threads_start(journal);
	if (r) {
		threads_stop(journal);
		journal_free(journal);
		return r;
	}
	*journalp = journal;
	return 0;
}

void
journal_close(struct journal *journal)
{
	if (!journal)
		return;
	threads_stop(journal);
	completed_run(journal);
	journal_free(journal);
}

const uint8_t *
journal_secret(const struct journal *journal)
{
	return journal->secret;
}

int
journal_append(struct journal *journal, const struct journal_entry *entry, journal_done_fn *done, void *arg,
    struct record_head *headp)
{
	struct pending made = { .header = { .facts_len = (uint32_t)entry->facts.len,
				    .decision_len = (uint32_t)entry->decision.len,
				    .body_len = entry->body.len },
		.facts = entry->facts,
		.decision = entry->decision,
		.body = entry->body,
		.push = entry->push,
		.done = done,
		.arg = arg };
	struct record_head *head = &made.header.head;
	struct pending *pending = NULL;
	int r = 0;

	if (entry->facts.len > RECORD_PART_MAX || entry->decision.len > RECORD_PART_MAX ||
	    entry->body.len > RECORD_BODY_MAX)
		return -EMSGSIZE;
	head->ref = entry->ref;
	head->size = entry->size;
	head->type = (uint16_t)entry->type;
	if (entry->replayed)
		head->flags = RECORD_REPLAYED;
	else if (entry->size > 0 && entry->body.len == 0)
		head->flags = RECORD_BODILESS;
	if (entry->key)
		memcpy(head->key, entry->key, sizeof head->key);
	if (entry->sha256)
		memcpy(head->sha256, entry->sha256, sizeof head->sha256);
	pthread_mutex_lock(&journal->lock);
	if (journal->failed || journal->stopping || journal->next_seq >= RECORD_SEQ_LIMIT)
		r = JOURNAL_FULL;
	else if (entry->push && journal->below_floor)
		r = JOURNAL_FLOOR;
	if (r == 0) {
		pending = pool_take(&journal->pendings);
		r = pending ? 0 : -ENOMEM;
	}
	if (r == 0) {
		head->seq = journal->next_seq++;
		head->time_us = journal_clock_now(&journal->clock);
		if (headp)
			*headp = *head;
		*pending = made;
		journal_enqueue(journal, pending);
	}
	pthread_mutex_unlock(&journal->lock);
	return r;
}

uint64_t
journal_now(struct journal *journal)
{
	uint64_t now;

	pthread_mutex_lock(&journal->lock);
	now = journal_clock_now(&journal->clock);
	pthread_mutex_unlock(&journal->lock);
	return now;
}

int
journal_start_retention(struct journal *journal, journal_judge_fn *judge, void *arg)
{
	int r;

	if (journal->retention_started || journal->options.retention_us == 0)
		return 0;
	journal->judge = judge;
	journal->judge_arg = arg;
	r = thread_start(&journal->retention_thread, retention_main, journal, "journal-retain");
	journal->retention_started = r == 0;
	return r;
}

static int
compare_u64(const void *a, const void *b)
{
	uint64_t x, y;

	memcpy(&x, a, sizeof x);
	memcpy(&y, b, sizeof y);
	return x < y ? -1 : x > y;
}

void
journal_status(struct journal *journal, struct journal_status *status)
{
	uint64_t times[JOURNAL_SYNC_RING];
	size_t count;

	memset(status, 0, sizeof *status);
	pthread_mutex_lock(&journal->lock);
	status->committed_seq = journal->committed_seq;
	status->segments = journal->segment_count;
	status->first_seq = UINT64_MAX;
	for (size_t i = 0; i < journal->segment_count; i++) {
		const struct segment *segment = journal->segments[i];
		const struct index_list *lists[2] = { &segment->index.born, &segment->index.carried };

		status->records += segment->records;
		status->bytes += segment->end;
		for (size_t k = 0; k < 2; k++)
			if (lists[k]->count > 0 && lists[k]->entries[0].seq < status->first_seq)
				status->first_seq = lists[k]->entries[0].seq;
	}
	if (status->first_seq == UINT64_MAX)
		status->first_seq = 0;
	status->disk_free = journal->disk_free;
	status->disk_total = journal->disk_total;
	status->quarantined = journal->quarantined;
	status->damaged = journal->damaged;
	status->check_failed = journal->check_failed;
	status->below_floor = journal->below_floor;
	status->failed = journal->failed;
	status->signs = atomic_load(&journal->signs);
	status->sign_failed = journal->sign_failed;
	status->signed_us = journal->signed_us;
	count = journal->syncs < JOURNAL_SYNC_RING ? journal->syncs : JOURNAL_SYNC_RING;
	memcpy(times, journal->sync_us, sizeof times);
	if (count > 0)
		status->sync_us_last = times[(journal->syncs - 1) % JOURNAL_SYNC_RING];
	pthread_mutex_unlock(&journal->lock);
	if (count > 0) {
		qsort(times, count, sizeof *times, compare_u64);
		status->sync_us_p50 = times[count / 2];
	}
}
