/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/ceiling_log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/histogram.h"

#define SEGMENT	     ((size_t)64 << 20)
#define FILL_STEP    ((size_t)1 << 20)
#define AHEAD	     2u /* segments ready before they are needed */
#define BATCH_MAX    ((size_t)64 << 20)
#define RECORD_ALIGN 64u

struct batch {
	uint8_t *bytes;
	size_t len, room;
};

struct ceiling_log {
	char directory[256];
	int wake;
	bool threaded, stopping;
	int fd; /* being written */
	size_t at;
	unsigned number;
	struct batch gathering, writing;
	struct histogram syncs; /* microseconds; by the one that commits */

	pthread_t filler, committer;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int ready[AHEAD];
	unsigned ready_count;
	bool busy, done;
};

static void __attribute__((noreturn)) die(const char *what)
{
	fprintf(stderr, "ceiling: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t
now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

/* A zero-filled, synced segment; its name is gone at once, its space with its descriptor. */
static int
fill_one(struct ceiling_log *log)
{
	static const uint8_t zeros[FILL_STEP];
	char path[300];
	int fd;

	snprintf(path, sizeof(path), "%s/ceiling.%u", log->directory, log->number++);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || unlink(path))
		die(path);
	for (size_t at = 0; at < SEGMENT; at += FILL_STEP)
		if (pwrite(fd, zeros, FILL_STEP, (off_t)at) != (ssize_t)FILL_STEP)
			die("zero-filling");
	if (fdatasync(fd))
		die("zero-filling");
	return fd;
}

static void *
filler_main(void *arg)
{
	struct ceiling_log *log = arg;

	pthread_mutex_lock(&log->lock);
	while (!log->stopping) {
		int fd;

		if (log->ready_count == AHEAD) {
			pthread_cond_wait(&log->changed, &log->lock);
			continue;
		}
		pthread_mutex_unlock(&log->lock);
		fd = fill_one(log);
		pthread_mutex_lock(&log->lock);
		log->ready[log->ready_count++] = fd;
		pthread_cond_broadcast(&log->changed);
	}
	pthread_mutex_unlock(&log->lock);
	return NULL;
}

static void
next_segment(struct ceiling_log *log)
{
	if (log->fd >= 0)
		close(log->fd);
	pthread_mutex_lock(&log->lock);
	while (log->ready_count == 0)
		pthread_cond_wait(&log->changed, &log->lock);
	log->fd = log->ready[0];
	memmove(log->ready, log->ready + 1, --log->ready_count * sizeof(log->ready[0]));
	pthread_cond_broadcast(&log->changed);
	pthread_mutex_unlock(&log->lock);
	log->at = 0;
}

static void
write_batch(struct ceiling_log *log, struct batch *batch)
{
	size_t from = 0;
	uint64_t before;

	while (from < batch->len) {
		size_t part = batch->len - from;
		ssize_t n;

		if (log->fd < 0 || log->at == SEGMENT)
			next_segment(log);
		if (part > SEGMENT - log->at)
			part = SEGMENT - log->at;
		n = pwrite(log->fd, batch->bytes + from, part, (off_t)log->at);
		if (n <= 0)
			die("writing");
		log->at += (size_t)n;
		from += (size_t)n;
		if (log->at == SEGMENT && from < batch->len && fdatasync(log->fd))
			die("fdatasync");
	}
	before = now_us();
	if (fdatasync(log->fd))
		die("fdatasync");
	histogram_add(&log->syncs, now_us() - before);
	batch->len = 0;
}

static void *
committer_main(void *arg)
{
	static const uint64_t one = 1;
	struct ceiling_log *log = arg;

	pthread_mutex_lock(&log->lock);
	while (!log->stopping) {
		if (!log->busy || log->done) {
			pthread_cond_wait(&log->changed, &log->lock);
			continue;
		}
		pthread_mutex_unlock(&log->lock);
		write_batch(log, &log->writing);
		pthread_mutex_lock(&log->lock);
		log->done = true;
		if (write(log->wake, &one, sizeof(one)) != sizeof(one))
			die("eventfd");
	}
	pthread_mutex_unlock(&log->lock);
	return NULL;
}

struct ceiling_log *
ceiling_log_new(const char *directory, bool thread, int wake)
{
	struct ceiling_log *log = calloc(1, sizeof(*log));

	if (!log || snprintf(log->directory, sizeof(log->directory), "%s", directory) < 0)
		die("starting");
	log->fd = -1;
	log->wake = wake;
	log->threaded = thread;
	pthread_mutex_init(&log->lock, NULL);
	pthread_cond_init(&log->changed, NULL);
	if (pthread_create(&log->filler, NULL, filler_main, log) ||
	    (thread && pthread_create(&log->committer, NULL, committer_main, log)))
		die("starting a thread");
	next_segment(log);
	return log;
}

void
ceiling_log_free(struct ceiling_log *log)
{
	pthread_mutex_lock(&log->lock);
	log->stopping = true;
	pthread_cond_broadcast(&log->changed);
	pthread_mutex_unlock(&log->lock);
	pthread_join(log->filler, NULL);
	if (log->threaded)
		pthread_join(log->committer, NULL);
	while (log->ready_count)
		close(log->ready[--log->ready_count]);
	close(log->fd);
	free(log->gathering.bytes);
	free(log->writing.bytes);
	free(log);
}

void
ceiling_log_append(struct ceiling_log *log, const uint8_t header[64], const void *bytes, size_t len)
{
	struct batch *batch = &log->gathering;
	size_t size = (64 + len + RECORD_ALIGN - 1) / RECORD_ALIGN * RECORD_ALIGN;

	if (batch->len + size > batch->room) {
		batch->room = batch->room ? batch->room * 2 : (size_t)1 << 20;
		while (batch->room < batch->len + size)
			batch->room *= 2;
		batch->bytes = batch->room <= BATCH_MAX ? realloc(batch->bytes, batch->room) : NULL;
		if (!batch->bytes)
			die("no memory for a batch");
	}
	memcpy(batch->bytes + batch->len, header, 64);
	memcpy(batch->bytes + batch->len + 64, bytes, len);
	batch->len += size;
}

size_t
ceiling_log_gathered(const struct ceiling_log *log)
{
	return log->gathering.len;
}

void
ceiling_log_commit(struct ceiling_log *log)
{
	write_batch(log, &log->gathering);
}

bool
ceiling_log_hand_over(struct ceiling_log *log)
{
	struct batch batch = log->gathering;
	bool idle;

	if (batch.len == 0)
		return false;
	pthread_mutex_lock(&log->lock);
	idle = !log->busy;
	if (idle) {
		log->gathering = log->writing;
		log->writing = batch;
		log->busy = true;
		pthread_cond_broadcast(&log->changed);
	}
	pthread_mutex_unlock(&log->lock);
	return idle;
}

bool
ceiling_log_done(struct ceiling_log *log)
{
	bool done;

	pthread_mutex_lock(&log->lock);
	done = log->done;
	if (done)
		log->busy = log->done = false;
	pthread_mutex_unlock(&log->lock);
	return done;
}

uint64_t
ceiling_log_sync_p50(const struct ceiling_log *log)
{
	return histogram_at(&log->syncs, .5);
}
