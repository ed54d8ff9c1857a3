/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A daemon that does on purpose what its argument says, for the shim to see or not to see:
 * victim WHERE CALL. WHERE: "loop", "early" (before it is ready), "late" (when it is stopping), "thread", "locked" (another thread that
 * holds a lock which the loop takes too), "private" (another thread, a lock of its own). CALL: see calls[].
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

static int file, pipe_ends[2], quick_ends[2];
static pthread_mutex_t shared = PTHREAD_MUTEX_INITIALIZER, own = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t never = PTHREAD_COND_INITIALIZER;
static int (*act)(void);
static pthread_mutex_t *lock;

/* Where a sync is quick: a file system in memory, when the environment names a folder of one. */
static char segment[256], other_file[256];

static int
open_quietly(const char *path)
{
	return (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CREAT, 0600);
}

static void
name_files(void)
{
	const char *folder = getenv("VICTIM_QUICK");

	(void)snprintf(segment, sizeof(segment), "%s/0000000001.seg", folder ? folder : ".");
	(void)snprintf(other_file, sizeof(other_file), "%s/other", folder ? folder : ".");
}

static int
call_fsync(void)
{
	return fsync(file);
}

static int
call_fdatasync(void)
{
	return fdatasync(file);
}

static int
call_pread(void)
{
	char byte;

	return (int)pread(file, &byte, 1, 0);
}

static int
call_pwritev(void)
{
	char byte = 'x';
	struct iovec part = { &byte, 1 };

	return (int)pwritev(file, &part, 1, 0);
}

static int
call_write(void)
{
	return (int)write(file, "x", 1);
}

static int
call_read_pipe(void)
{
	char byte;

	return (int)read(pipe_ends[0], &byte, 1);
}

static int
call_read_quick(void)
{
	char byte;

	return (int)read(quick_ends[0], &byte, 1);
}

static int
call_open(void)
{
	int fd = open("victim.txt", O_WRONLY | O_CREAT, 0600);

	return fd < 0 ? -1 : close(fd);
}

static int
call_proc(void)
{
	char byte;
	int fd = open("/proc/self/stat", O_RDONLY), r;

	r = (int)read(fd, &byte, 1);
	(void)close(fd);
	return r;
}

static int
call_rename(void)
{
	return rename("victim.txt", "victim.old");
}

static int
call_unlink(void)
{
	return unlink("victim.old");
}

static int
call_statvfs(void)
{
	struct statvfs st;

	return statvfs(".", &st);
}

static int
call_getaddrinfo(void)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST }, *found = NULL;
	int r = getaddrinfo("127.0.0.1", NULL, &hints, &found);

	if (r == 0)
		freeaddrinfo(found);
	return r;
}

static int
call_nanosleep(void)
{
	const struct timespec moment = { .tv_nsec = 1000 };

	return nanosleep(&moment, NULL);
}

static int
call_flock(void)
{
	return flock(file, LOCK_EX);
}

static int
call_wait(void)
{
	struct timespec now;
	pthread_mutex_t *mine = lock ? lock : &own;
	int r;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	if (!lock)
		(void)pthread_mutex_lock(mine);
	r = pthread_cond_timedwait(&never, mine, &now);
	if (!lock)
		(void)pthread_mutex_unlock(mine);
	return r == ETIMEDOUT ? 0 : -1;
}

static void *
nothing(void *arg)
{
	return arg;
}

static int
call_join(void)
{
	pthread_t thread;

	return pthread_create(&thread, NULL, nothing, NULL) || pthread_join(thread, NULL) ? -1 : 0;
}

/*
 * The journal's own: a sync by the thread that commits, then a write and a sync by the caller. The first is made again until it was quick by far.
 */
#define TRIES 10000

struct commits {
	int fd, tries;
};

static void *
committer(void *arg)
{
	const struct commits *commits = arg;

	(void)pthread_setname_np(pthread_self(), "journal-commit");
	for (int i = 0; i < commits->tries; i++) {
		struct timespec from, to;

		(void)clock_gettime(CLOCK_MONOTONIC, &from);
		(void)fdatasync(commits->fd);
		(void)clock_gettime(CLOCK_MONOTONIC, &to);
		if ((to.tv_sec - from.tv_sec) * 1000000000L + to.tv_nsec - from.tv_nsec < 100000L)
			break;
	}
	return NULL;
}

/* ${tries}: syncs of the thread's, at most; none: it does not run. */
static int
commit(const char *path, size_t size, int tries)
{
	static char bytes[64 << 10];
	struct iovec part = { bytes, size };
	pthread_t thread;
	int fd = open_quietly(path), r = fd < 0 ? -1 : 0;
	struct commits commits = { fd, tries };

	if (r == 0 && tries) {
		if (pthread_create(&thread, NULL, committer, &commits))
			return -1;
		while (pthread_tryjoin_np(thread, NULL) == EBUSY)
			(void)sched_yield();
	}
	if (r == 0 && (pwritev(fd, &part, 1, 0) != (ssize_t)size || fdatasync(fd)))
		r = -1;
	return r;
}

static int
call_commit(void)
{
	return commit(segment, 32 << 10, TRIES);
}

static int
call_commit_large(void)
{
	return commit(segment, 33 << 10, TRIES);
}

static int
call_commit_unknown(void)
{
	return commit(segment, 1 << 10, 0);
}

static int
call_commit_slow(void)
{
	return commit(segment, 1 << 10, 1);
}

static int
call_commit_elsewhere(void)
{
	return commit(other_file, 1 << 10, TRIES);
}

static const struct {
	const char *name;
	int (*call)(void);
} calls[] = {
	{ "fsync", call_fsync },
	{ "fdatasync", call_fdatasync },
	{ "pread", call_pread },
	{ "pwritev", call_pwritev },
	{ "commit", call_commit },
	{ "commit-large", call_commit_large },
	{ "commit-unknown", call_commit_unknown },
	{ "commit-slow", call_commit_slow },
	{ "commit-elsewhere", call_commit_elsewhere },
	{ "write", call_write },
	{ "read-pipe", call_read_pipe },
	{ "read-quick", call_read_quick },
	{ "open", call_open },
	{ "proc", call_proc },
	{ "rename", call_rename },
	{ "unlink", call_unlink },
	{ "statvfs", call_statvfs },
	{ "getaddrinfo", call_getaddrinfo },
	{ "nanosleep", call_nanosleep },
	{ "flock", call_flock },
	{ "wait", call_wait },
	{ "join", call_join },
};

static void *
other(void *arg)
{
	static int result;

	(void)arg;
	if (lock)
		(void)pthread_mutex_lock(lock);
	result = act();
	if (lock)
		(void)pthread_mutex_unlock(lock);
	return &result;
}

/* Runs it on another thread, whose end is awaited by asking: a join would be told too. */
static int
elsewhere(void)
{
	pthread_t thread;
	void *result;

	(void)pthread_mutex_lock(&shared);
	(void)pthread_mutex_unlock(&shared);
	if (pthread_create(&thread, NULL, other, NULL))
		return -1;
	while (pthread_tryjoin_np(thread, &result) == EBUSY)
		(void)sched_yield();
	return *(int *)result;
}

int
main(int argc, char *argv[])
{
	const char *where = argc == 3 ? argv[1] : "";
	int r = 0;

	for (size_t i = 0; argc == 3 && i < sizeof(calls) / sizeof(*calls); i++)
		if (strcmp(calls[i].name, argv[2]) == 0)
			act = calls[i].call;
	name_files();
	file = open("victim.txt", O_RDWR | O_CREAT, 0600);
	(void)unlink("victim.old");
	if (!act || file < 0 || write(file, "x", 1) != 1 || symlink("victim.txt", "victim.old"))
		return 2;
	if (pipe(pipe_ends) || pipe2(quick_ends, O_NONBLOCK) || write(pipe_ends[1], "x", 1) != 1 ||
	    write(quick_ends[1], "x", 1) != 1)
		return 2;
	if (strcmp(where, "early") == 0)
		r = act();
	(void)sd_notify(0, "READY=1");
	if (strcmp(where, "loop") == 0)
		r = act();
	if (strcmp(where, "locked") == 0)
		lock = &shared;
	if (strcmp(where, "private") == 0)
		lock = &own;
	if (lock || strcmp(where, "thread") == 0)
		r = elsewhere();
	(void)sd_notify(0, "STOPPING=1");
	if (strcmp(where, "late") == 0)
		r = act();
	return r < 0;
}
