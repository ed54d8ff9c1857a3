/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the lines of the log go: a bounded store in memory that any thread fills, and one thread that writes it out.
 *
 * The store is two halves: commits fill one while the writer empties the other, so that no commit ever waits for the disk. When the half
 * is full the line is dropped and counted; so are lines whose write fails. A failed write leaves no half line behind: a file is cut
 * back to its last whole line, a pipe gets a line end.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "broker/base/clock.h"
#include "broker/base/log.h"
#include "broker/base/metrics.h"

#define HALF_SIZE ((size_t)4 << 20) /* at 150,000 lines a second, the disk may stand still for 200 ms */
#define GATHER_MS 5		    /* the writer lets lines gather: one write for many */

struct half {
	char *bytes;
	size_t len;
};

struct log {
	pthread_mutex_t lock;
	pthread_cond_t wake; /* by the monotonic clock */
	pthread_t thread;
	struct half *filling; /* commits go here */
	struct half *writing; /* the writer's */
	struct half halves[2];
	char *file; /* NULL: standard error */
	int fd;
	bool open;
	bool idle; /* the writer waits for the first line */
	bool reopen;
	bool broken_line;	  /* the writer's: a pipe got a part of a line */
	uint64_t told;		  /* the writer's: drops already logged */
	atomic_int least;	  /* enum log_level; LEVEL_ERROR + 1 while closed */
	atomic_ullong drops;	  /* since the process began */
	atomic_ullong dropped_us; /* when the last one was (monotonic) */
};

static struct log the_log = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.fd = -1,
	.least = LEVEL_ERROR + 1,
};

bool
log_wants(enum log_level level)
{
	return (int)level >= atomic_load_explicit(&the_log.least, memory_order_relaxed);
}

uint64_t
log_dropped(void)
{
	return atomic_load_explicit(&the_log.drops, memory_order_relaxed);
}

bool
log_dropped_lately(unsigned seconds)
{
	uint64_t last = atomic_load_explicit(&the_log.dropped_us, memory_order_relaxed);

	return last && clock_mono_us() - last < (uint64_t)seconds * 1000000;
}

static void
count_drops(uint64_t lines)
{
	if (lines == 0)
		return;
	atomic_fetch_add_explicit(&the_log.drops, lines, memory_order_relaxed);
	atomic_store_explicit(&the_log.dropped_us, clock_mono_us(), memory_order_relaxed);
	metric_count(METRIC_LOG_DROPPED, lines);
}

void
log_commit(struct log_line *line)
{
	struct log *log = &the_log;
	struct half *half;
	bool taken = false;

	if (line->len == 0)
		return; /* its level is not wanted */
	line->text[line->len++] = '\n';
	(void)pthread_mutex_lock(&log->lock);
	half = log->filling;
	if (log->open && line->len <= HALF_SIZE - half->len) {
		memcpy(half->bytes + half->len, line->text, line->len);
		half->len += line->len;
		if (log->idle || (half->len >= HALF_SIZE / 2 && half->len - line->len < HALF_SIZE / 2))
			(void)pthread_cond_signal(&log->wake);
		log->idle = false;
		taken = true;
	} else if (!log->open) {
		taken = true; /* after log_close lines go nowhere: nobody is owed a count */
	}
	(void)pthread_mutex_unlock(&log->lock);
	line->len = 0;
	if (!taken)
		count_drops(1);
}

/* Open ${file} to append; a new one gets 0640 although the daemon's umask is 077, so that the log's group may read it. */
static int
open_file(const char *file)
{
	int fd = open(file, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, 0640);

	if (fd >= 0) {
		int error = fchmod(fd, 0640) == 0 ? 0 : -errno;

		if (error)
			(void)close(fd);
		return error ? error : fd;
	}
	if (errno != EEXIST)
		return -errno;
	fd = open(file, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY);
	return fd >= 0 ? fd : -errno;
}

/* Write all of it, waiting for a slow reader; gives what was written. */
static size_t
write_all(int fd, const char *bytes, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = write(fd, bytes + done, len - done);

		if (n >= 0) {
			done += (size_t)n;
		} else if (errno == EAGAIN) {
			struct pollfd ready = { .fd = fd, .events = POLLOUT };

			(void)poll(&ready, 1, 1000);
		} else if (errno != EINTR) {
			break;
		}
	}
	return done;
}

static size_t
count_lines(const char *bytes, size_t len)
{
	size_t lines = 0;

	for (const char *end = bytes; (end = memchr(end, '\n', len - (size_t)(end - bytes))); end++)
		lines++;
	return lines;
}

/* A write stopped at ${done} of ${bytes}: take the part of a line back, or end it where that cannot be. */
static void
mend(struct log *log, const char *bytes, size_t done)
{
	size_t part = 0;
	struct stat st;

	while (part < done && bytes[done - part - 1] != '\n')
		part++;
	if (part == 0)
		return;
	if (fstat(log->fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size >= part &&
	    ftruncate(log->fd, st.st_size - (off_t)part) == 0)
		return;
	log->broken_line = true;
}

/* Put whole lines out; those that could not be written are counted. */
static void
write_lines(struct log *log, const char *bytes, size_t len)
{
	size_t done;

	if (log->broken_line && write_all(log->fd, "\n", 1) == 1)
		log->broken_line = false;
	done = write_all(log->fd, bytes, len);
	if (done == len)
		return;
	count_drops(count_lines(bytes + done, len - done));
	mend(log, bytes, done);
}

/* A line of the log's own. Not through log_commit: the store may be full, which is what the line tells. */
static void
write_own(struct log *log, struct log_line *line)
{
	if (line->len == 0)
		return;
	line->text[line->len++] = '\n';
	write_lines(log, line->text, line->len);
}

static void
tell_drops(struct log *log)
{
	uint64_t drops = log_dropped();
	struct log_line line;

	if (drops == log->told)
		return;
	log_begin(&line, EVENT_LOG_DROPPED);
	log_u64(&line, "lines", drops - log->told);
	log_u64(&line, "total", drops);
	write_own(log, &line);
	/* When this very line was dropped the next round tells of it too. */
	if (log_dropped() == drops || line.len == 0)
		log->told = drops;
}

static void
do_reopen(struct log *log)
{
	struct log_line line;
	int fd;

	if (!log->file)
		return;
	fd = open_file(log->file);
	if (fd >= 0) {
		(void)close(log->fd);
		log->fd = fd;
		return;
	}
	log_begin(&line, EVENT_LOG_REOPEN_FAILED);
	log_errno(&line, fd);
	write_own(log, &line);
}

/* Wait for something to do: the first line at once, then a moment for more to gather. Called with the lock. */
static void
wait_for_lines(struct log *log)
{
	struct timespec until;

	if (log->filling->len == 0 && log->open && !log->reopen) {
		log->idle = true;
		while (log->filling->len == 0 && log->open && !log->reopen)
			(void)pthread_cond_wait(&log->wake, &log->lock);
		log->idle = false;
	}
	if (!log->open || log->reopen || log->filling->len >= HALF_SIZE / 2)
		return;
	until = clock_after_ms(GATHER_MS);
	(void)pthread_cond_timedwait(&log->wake, &log->lock, &until);
}

static void *
writer(void *arg)
{
	struct log *log = arg;
	bool more = true;

	while (more) {
		struct half *half;
		bool reopen;

		(void)pthread_mutex_lock(&log->lock);
		wait_for_lines(log);
		half = log->filling;
		log->filling = log->writing;
		log->writing = half;
		reopen = log->reopen;
		log->reopen = false;
		more = log->open;
		(void)pthread_mutex_unlock(&log->lock);

		write_lines(log, half->bytes, half->len);
		half->len = 0;
		if (reopen)
			do_reopen(log);
		tell_drops(log);
	}
	return NULL;
}

static void
release(struct log *log)
{
	free(log->halves[0].bytes);
	free(log->halves[1].bytes);
	log->halves[0].bytes = log->halves[1].bytes = NULL;
	if (log->file)
		(void)close(log->fd);
	log->fd = -1;
	free(log->file);
	log->file = NULL;
}

/* Start the writer with every signal blocked: signals are the main thread's. */
static int
start_writer(struct log *log)
{
	pthread_condattr_t attr;
	sigset_t all, before;
	int error;

	error = pthread_condattr_init(&attr);
	if (error)
		return -error;
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	error = pthread_cond_init(&log->wake, &attr);
	(void)pthread_condattr_destroy(&attr);
	if (error)
		return -error;
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&log->thread, NULL, writer, log);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error)
		(void)pthread_cond_destroy(&log->wake);
	return -error;
}

/* Whether the file ends within a line: whoever wrote it was killed. A pipe does not. */
static bool
ends_broken(const char *file)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;
	char last = '\n';

	if (fd < 0)
		return false;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 &&
	    pread(fd, &last, 1, st.st_size - 1) != 1)
		last = '\n';
	(void)close(fd);
	return last != '\n';
}

int
log_open(const char *file, enum log_level least)
{
	struct log *log = &the_log;
	int error = -ENOMEM;

	for (int i = 0; i < 2; i++)
		log->halves[i] = (struct half){ .bytes = malloc(HALF_SIZE) };
	if (file)
		log->file = strdup(file);
	log->fd = STDERR_FILENO;
	if (!log->halves[0].bytes || !log->halves[1].bytes || (file && !log->file))
		goto fail;
	if (file) {
		log->fd = open_file(file);
		if (log->fd < 0) {
			error = log->fd;
			free(log->file);
			log->file = NULL;
			goto fail;
		}
	}
	log->filling = &log->halves[0];
	log->writing = &log->halves[1];
	log->reopen = log->idle = false;
	log->broken_line = file && ends_broken(file);
	log->told = log_dropped();
	log->open = true;
	error = start_writer(log);
	if (error) {
		log->open = false;
		goto fail;
	}
	atomic_store(&log->least, (int)least);
	return 0;
fail:
	release(log);
	return error;
}

void
log_level_set(enum log_level least)
{
	atomic_store(&the_log.least, (int)least);
}

void
log_close(void)
{
	struct log *log = &the_log;
	bool was_open;

	(void)pthread_mutex_lock(&log->lock);
	was_open = log->open;
	log->open = false;
	if (was_open)
		(void)pthread_cond_signal(&log->wake);
	(void)pthread_mutex_unlock(&log->lock);
	if (!was_open)
		return;
	(void)pthread_join(log->thread, NULL);
	atomic_store(&log->least, LEVEL_ERROR + 1);
	(void)pthread_cond_destroy(&log->wake);
	release(log);
}

void
log_reopen(void)
{
	struct log *log = &the_log;

	(void)pthread_mutex_lock(&log->lock);
	if (log->open) {
		log->reopen = true;
		(void)pthread_cond_signal(&log->wake);
	}
	(void)pthread_mutex_unlock(&log->lock);
}
