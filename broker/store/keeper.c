/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keeper: everything slow around the commit thread. It watches free space, zero-fills the next segment and the reserve, syncs and cuts
 * sealed segments.
 *
 * A file gets its final name only when it is whole and synced; a half-made one has another name and is removed at the next start.
 * Pushes are taken only while free space is above the floor, the reserve is whole and a next segment can be made.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "broker/base/log.h"
#include "broker/base/metrics.h"
#include "broker/store/disk.h"
#include "broker/store/journal_private.h"

#define FILL_CHUNK    ((size_t)1 << 20)
#define FLOOR_MARGIN  8 /* the floor is left at floor + floor/8, so that it does not flap */
#define KEEPER_PERIOD 1 /* seconds */

static int
fill_zero(struct journal *journal, int fd, uint64_t size)
{
	uint8_t *zeros = calloc(1, FILL_CHUNK);
	uint64_t at = 0;
	bool stopping = false;
	int r = zeros ? 0 : -ENOMEM;

	while (r == 0 && at < size) {
		size_t n = size - at < FILL_CHUNK ? (size_t)(size - at) : FILL_CHUNK;

		r = disk_write_bytes(fd, at, zeros, n);
		at += n;
		pthread_mutex_lock(&journal->lock);
		stopping = journal->keeper_stopping;
		pthread_mutex_unlock(&journal->lock);
		if (stopping && r == 0)
			r = -ECANCELED;
	}
	free(zeros);
	return r ? r : disk_sync_file(fd);
}

/* Make a file of ${size} zeros named ${path}, whole or not at all. 0 with *${fdp}, or -errno. */
static int
file_make(struct journal *journal, const char *path, uint64_t size, int *fdp)
{
	char temporary[JOURNAL_PATH_MAX];
	int fd = -1, n, r;

	n = snprintf(temporary, sizeof temporary, "%s.tmp", path);
	if (n < 0 || (size_t)n >= sizeof temporary)
		return -ENAMETOOLONG;
	r = disk_open(temporary, O_RDWR | O_CREAT | O_TRUNC, &fd);
	if (r)
		return r;
	r = fill_zero(journal, fd, size);
	if (r == 0)
		r = disk_rename(temporary, path);
	if (r) {
		disk_close(fd);
		disk_discard(temporary);
		return r;
	}
	r = disk_sync_directory(journal->directory);
	if (r) { /* its name might not survive */
		disk_close(fd);
		disk_discard(path);
		return r;
	}
	*fdp = fd;
	return 0;
}

static int
reserve_path(const struct journal *journal, char *path, size_t size)
{
	int n = snprintf(path, size, "%s/reserve", journal->directory);

	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

static void
floor_set(struct journal *journal, bool below)
{
	struct log_line line;
	uint64_t free_bytes;

	pthread_mutex_lock(&journal->lock);
	free_bytes = journal->disk_free;
	if (journal->below_floor == below) {
		pthread_mutex_unlock(&journal->lock);
		return;
	}
	journal->below_floor = below;
	state_changed_post(journal);
	pthread_mutex_unlock(&journal->lock);
	metric_set(metric_series(METRIC_DISK_FLOOR, NULL), below);
	log_begin(&line, below ? EVENT_DISK_FLOOR : EVENT_DISK_FLOOR_LEFT);
	log_u64(&line, "free", free_bytes);
	log_u64(&line, "floor", journal->options.disk_floor);
	log_commit(&line);
}

int
keeper_take_reserve(struct journal *journal, struct ahead *taken)
{
	char from[JOURNAL_PATH_MAX], to[JOURNAL_PATH_MAX];
	int r;

	floor_set(journal, true);
	r = reserve_path(journal, from, sizeof from);
	if (r == 0)
		r = journal_path(journal, taken->number, to, sizeof to);
	if (r == 0)
		r = disk_rename(from, to);
	if (r == 0)
		r = disk_sync_directory(journal->directory);
	if (r == 0)
		r = disk_open(to, O_RDWR, &taken->fd);
	if (r == 0)
		r = disk_size(taken->fd, &taken->size);
	if (r)
		disk_close(taken->fd);
	return r;
}

/* Sync sealed segments and cut the zeros behind their foot. */
static void
segments_finish(struct journal *journal)
{
	for (;;) {
		struct segment *segment = NULL;
		uint64_t size = 0;
		int fd, r;

		pthread_mutex_lock(&journal->lock);
		for (size_t i = journal->segment_count; i > 0 && !segment; i--)
			if (journal->segments[i - 1]->finish)
				segment = journal->segments[i - 1];
		if (segment) {
			segment->users++;
			segment->finish = false;
			size = segment->end + segment_seal_size(segment->records);
		}
		pthread_mutex_unlock(&journal->lock);
		if (!segment)
			return;
		r = segment_use(journal, segment, &fd);
		if (r == 0)
			r = disk_sync(fd);
		if (r == 0)
			r = disk_truncate(fd, size);
		if (r == 0)
			r = disk_sync_file(fd);
		if (r == 0) {
			pthread_mutex_lock(&journal->lock);
			segment->size = size;
			segment->finished = true;
			pthread_mutex_unlock(&journal->lock);
		} else { /* nothing is lost: without a foot in its place the segment is scanned */
			metric_count(METRIC_JOURNAL_FAILURES, 1);
		}
		segment_release(journal, segment);
	}
}

static void
space_look(struct journal *journal)
{
	uint64_t free_bytes, total;

	if (disk_space(journal->directory, &free_bytes, &total))
		return; /* the last known figures stay */
	pthread_mutex_lock(&journal->lock);
	journal->disk_free = free_bytes;
	journal->disk_total = total;
	pthread_mutex_unlock(&journal->lock);
	metric_set(metric_series(METRIC_DISK_FREE, NULL), (int64_t)free_bytes);
}

static int
ahead_make(struct journal *journal)
{
	char path[JOURNAL_PATH_MAX];
	struct ahead ahead = { .state = AHEAD_READY, .fd = -1, .size = journal->options.segment_size };
	uint64_t free_bytes;
	bool wanted;
	int r;

	pthread_mutex_lock(&journal->lock);
	wanted = journal->ahead.state != AHEAD_READY;
	free_bytes = journal->disk_free;
	if (wanted) { /* until it is there, or refused again, nobody takes a later number */
		ahead.number = journal->next_number++;
		journal->ahead.state = AHEAD_WANTED;
	}
	pthread_mutex_unlock(&journal->lock);
	if (!wanted)
		return 0;
	r = free_bytes < ahead.size ? -ENOSPC : journal_path(journal, ahead.number, path, sizeof path);
	if (r == 0)
		r = file_make(journal, path, ahead.size, &ahead.fd);
	if (r) {
		ahead.state = AHEAD_REFUSED;
		ahead.error = r;
	}
	pthread_mutex_lock(&journal->lock);
	journal->ahead = ahead;
	if (r && journal->next_number == ahead.number + 1)
		journal->next_number--; /* no file has it */
	pthread_cond_broadcast(&journal->ahead_changed);
	pthread_mutex_unlock(&journal->lock);
	if (r && r != -ECANCELED)
		floor_set(journal, true);
	return r;
}

static int
reserve_make(struct journal *journal)
{
	char path[JOURNAL_PATH_MAX];
	uint64_t size = journal->options.reserve, free_bytes;
	bool wanted;
	int fd = -1, r;

	pthread_mutex_lock(&journal->lock);
	wanted = size > 0 && !journal->reserve_ready;
	free_bytes = journal->disk_free;
	pthread_mutex_unlock(&journal->lock);
	if (!wanted)
		return 0;
	if (free_bytes < size || (free_bytes - size < size && free_bytes < journal->options.disk_floor))
		return -ENOSPC;
	r = reserve_path(journal, path, sizeof path);
	if (r == 0)
		r = file_make(journal, path, size, &fd);
	if (r)
		return r;
	disk_close(fd);
	pthread_mutex_lock(&journal->lock);
	journal->reserve_ready = true;
	pthread_mutex_unlock(&journal->lock);
	return 0;
}

int
keeper_round(struct journal *journal)
{
	uint64_t floor = journal->options.disk_floor;
	bool below;
	int ahead, reserve;

	space_look(journal);
	ahead = ahead_make(journal);
	segments_finish(journal);
	reserve = reserve_make(journal);
	if (ahead == -ECANCELED || reserve == -ECANCELED)
		return -ECANCELED; /* stopping tells nothing of the disk */
	space_look(journal);
	pthread_mutex_lock(&journal->lock);
	below = ahead != 0 || reserve != 0 || journal->disk_free < floor ||
		(journal->below_floor && journal->disk_free < floor + floor / FLOOR_MARGIN);
	pthread_mutex_unlock(&journal->lock);
	floor_set(journal, below);
	return ahead ? ahead : reserve;
}

void *
keeper_main(void *arg)
{
	struct journal *journal = arg;

	pthread_mutex_lock(&journal->lock);
	while (!journal->keeper_stopping) {
		struct timespec until;

		pthread_mutex_unlock(&journal->lock);
		(void)keeper_round(journal);
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += KEEPER_PERIOD;
		pthread_mutex_lock(&journal->lock);
		if (!journal->keeper_stopping && journal->ahead.state != AHEAD_WANTED)
			pthread_cond_timedwait(&journal->keeper_wake, &journal->lock, &until);
	}
	pthread_mutex_unlock(&journal->lock);
	segments_finish(journal);
	return NULL;
}
