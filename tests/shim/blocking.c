/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded into a daemon, tells what its loop thread must never do: a call that may wait for a disk, another thread, a name server or the
 * clock. Watched from sd_notify("READY=1") to sd_notify("STOPPING=1"); the loop's is the process's first thread. Each such call is written
 * to the file LIAISON_SHIM_REPORT, with where it came from, and then made: nothing changes but the report. It stands there between the lines
 * "ready" and "stopping".
 *
 * Waiting can come by a detour: a lock that the loop takes too, held by another thread over such a call. So every mutex that the loop has
 * taken is remembered, and a call that blocks while its thread holds one of these is told as well.
 *
 * One exception is the broker's own (turn.h): the loop may commit little to a quick journal.
 *
 * Of read, write and their like only what may wait counts: any file of a disk, anything else that is not in non-blocking mode. What procfs
 * and sysfs give is memory. Not watched: page faults, stat, close, locks themselves, what the C library calls inside itself.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/magic.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/shim/entries.h"
#include "tests/shim/turn.h"

#define FRAMES	   48
#define HELD_MAX   32	       /* locks that one thread holds at a time */
#define LOOP_LOCKS 4096u       /* locks that the loop takes: a power of two */
#define GONE	   UINTPTR_MAX /* in their table: one that was destroyed */

static atomic_bool watching;
static int report = -1;
static _Atomic uintptr_t loop_locks[LOOP_LOCKS];
static _Thread_local const void *held[HELD_MAX];
static _Thread_local int held_count;
static _Thread_local bool inside; /* in the shim: its own calls do not count */

__attribute__((constructor)) static void
start(void)
{
	const char *path = getenv("LIAISON_SHIM_REPORT");
	void *frames[4];

	inside = true;
	(void)backtrace(frames, 4); /* loads what it needs now, not in the middle of a call */
	if (path)
		report =
		    (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	inside = false;
}

static void *
next_of(const char *name, const char *version)
{
	void *found = version ? dlvsym(RTLD_NEXT, name, version) : NULL;

	if (!found)
		found = dlsym(RTLD_NEXT, name);
	if (!found)
		abort();
	return found;
}

static bool
on_loop(void)
{
	return syscall(SYS_gettid) == (long)getpid();
}

static _Atomic uintptr_t *
find_loop_lock(uintptr_t key, const void *lock)
{
	size_t start = (uintptr_t)lock / 8;

	for (size_t i = 0; i < LOOP_LOCKS; i++) {
		_Atomic uintptr_t *slot = &loop_locks[(start + i) % LOOP_LOCKS];
		uintptr_t found = atomic_load(slot);

		if (found == key)
			return slot;
		if (found == 0)
			break;
	}
	return NULL;
}

static _Atomic uintptr_t *
loop_lock(const void *lock)
{
	return find_loop_lock((uintptr_t)lock, lock);
}

/* Called on the loop only: nobody else adds. */
static void
remember_loop_lock(const void *lock)
{
	_Atomic uintptr_t *slot = NULL;

	if (loop_lock(lock))
		return;
	slot = find_loop_lock(GONE, lock);
	for (size_t i = (uintptr_t)lock / 8, tries = 0; !slot && tries < LOOP_LOCKS; i++, tries++)
		if (atomic_load(&loop_locks[i % LOOP_LOCKS]) == 0)
			slot = &loop_locks[i % LOOP_LOCKS];
	if (!slot)
		abort();
	atomic_store(slot, (uintptr_t)lock);
}

/* A lock of the loop that this thread holds, other than ${released}. */
static const void *
held_of_loop(const void *released)
{
	for (int i = 0; i < held_count; i++)
		if (held[i] != released && loop_lock(held[i]))
			return held[i];
	return NULL;
}

static void
tell(const char *call, const char *how)
{
	void *frames[FRAMES];
	char line[128];
	int count = backtrace(frames, FRAMES);
	int length = snprintf(line, sizeof(line), "%s %s\n", call, how);

	(void)flock(report, LOCK_EX); /* ${inside} is set: ours, and not counted */
	(void)syscall(SYS_write, report, line, (size_t)length);
	if (count > 2)
		backtrace_symbols_fd(frames + 2, count - 2, report);
	(void)syscall(SYS_write, report, "\n", (size_t)1);
	(void)flock(report, LOCK_UN);
}

/* ${call} is about to block; ${released} is a mutex that it lets go meanwhile. */
static void
blocks(const char *call, const void *released)
{
	int error = errno;

	if (!atomic_load_explicit(&watching, memory_order_relaxed) || inside || report < 0)
		return;
	inside = true;
	if (on_loop())
		tell(call, "on the loop");
	else if (held_of_loop(released))
		tell(call, "under a lock of the loop");
	inside = false;
	errno = error;
}

/* Whether a transfer by ${fd} may wait. */
static bool
may_wait(int fd)
{
	int error = errno;
	bool waits = false;
	struct statfs system;
	struct stat st;

	if (!atomic_load_explicit(&watching, memory_order_relaxed) || inside)
		return false;
	inside = true;
	if (fstat(fd, &st) == 0) {
		if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode) || S_ISBLK(st.st_mode))
			waits = fstatfs(fd, &system) ||
				(system.f_type != PROC_SUPER_MAGIC && system.f_type != SYSFS_MAGIC);
		else if (!S_ISCHR(st.st_mode))
			waits = !(fcntl(fd, F_GETFL) & O_NONBLOCK);
	}
	inside = false;
	errno = error;
	return waits;
}

static bool
path_may_wait(const char *path)
{
	return strncmp(path, "/proc/", 6) != 0 && strncmp(path, "/sys/", 5) != 0 &&
	       strncmp(path, "/dev/", 5) != 0;
}

/* When it is watched. */
int
sd_notify(int unset, const char *state)
{
	static __typeof__(&sd_notify) _Atomic real;
	int r;

	if (!real)
		real = (__typeof__(&sd_notify))next_of("sd_notify", NULL);
	if (strncmp(state, "STOPPING=1", 10) == 0 && atomic_exchange(&watching, false))
		(void)syscall(SYS_write, report, "stopping\n", (size_t)9);
	inside = true;
	r = real(unset, state);
	inside = false;
	if (strncmp(state, "READY=1", 7) == 0) {
		(void)syscall(SYS_write, report, "ready\n", (size_t)6);
		atomic_store(&watching, true);
	}
	return r;
}

/*
 * Locks.
 */
static void
hold(const void *lock)
{
	if (held_count == HELD_MAX)
		abort();
	held[held_count++] = lock;
	if (atomic_load_explicit(&watching, memory_order_relaxed) && !inside && on_loop())
		remember_loop_lock(lock);
}

int
pthread_mutex_lock(pthread_mutex_t *mutex)
{
	static __typeof__(&pthread_mutex_lock) _Atomic real;
	int r;

	if (!real)
		real = (__typeof__(&pthread_mutex_lock))next_of("pthread_mutex_lock", NULL);
	r = real(mutex);
	if (r == 0)
		hold(mutex);
	return r;
}

int
pthread_mutex_trylock(pthread_mutex_t *mutex)
{
	static __typeof__(&pthread_mutex_trylock) _Atomic real;
	int r;

	if (!real)
		real = (__typeof__(&pthread_mutex_trylock))next_of("pthread_mutex_trylock", NULL);
	r = real(mutex);
	if (r == 0)
		hold(mutex);
	return r;
}

int
pthread_mutex_unlock(pthread_mutex_t *mutex)
{
	static __typeof__(&pthread_mutex_unlock) _Atomic real;

	if (!real)
		real = (__typeof__(&pthread_mutex_unlock))next_of("pthread_mutex_unlock", NULL);
	for (int i = held_count - 1; i >= 0; i--)
		if (held[i] == mutex) {
			held[i] = held[--held_count];
			break;
		}
	return real(mutex);
}

/* Its memory may become another lock's. */
int
pthread_mutex_destroy(pthread_mutex_t *mutex)
{
	static __typeof__(&pthread_mutex_destroy) _Atomic real;
	_Atomic uintptr_t *marked = loop_lock(mutex);

	if (!real)
		real = (__typeof__(&pthread_mutex_destroy))next_of("pthread_mutex_destroy", NULL);
	if (marked)
		atomic_store(marked, GONE);
	return real(mutex);
}

/*
 * What blocks. WATCH makes a function that says so, when ${when} holds, and then calls the real one.
 */
#define WATCH_AS(type, name, version, parameters, arguments, when, released)                                 \
	type name parameters                                                                                 \
	{                                                                                                    \
		static __typeof__(&name) _Atomic real;                                                       \
                                                                                                             \
		if (!atomic_load_explicit(&real, memory_order_relaxed))                                      \
			atomic_store(&real, (__typeof__(&name))next_of(#name, version));                     \
		if (when)                                                                                    \
			blocks(#name, released);                                                             \
		return atomic_load_explicit(&real, memory_order_relaxed) arguments;                          \
	}
#define WATCH(type, name, parameters, arguments) WATCH_AS(type, name, NULL, parameters, arguments, true, NULL)
#define WATCH_FD(type, name, parameters, arguments)                                                          \
	WATCH_AS(type, name, NULL, parameters, arguments, may_wait(fd), NULL)
#define WATCH_PATH(type, name, parameters, arguments)                                                        \
	WATCH_AS(type, name, NULL, parameters, arguments, path_may_wait(path), NULL)

/* The disk */
WATCH(int, fsync, (int fd), (fd))
WATCH(int, syncfs, (int fd), (fd))
WATCH(int, sync_file_range, (int fd, off64_t at, off64_t length, unsigned flags), (fd, at, length, flags))
WATCH(int, fallocate, (int fd, int mode, off_t at, off_t length), (fd, mode, at, length))
WATCH(int, fallocate64, (int fd, int mode, off64_t at, off64_t length), (fd, mode, at, length))
WATCH(int, posix_fallocate, (int fd, off_t at, off_t length), (fd, at, length))
WATCH(int, ftruncate, (int fd, off_t length), (fd, length))
WATCH(int, ftruncate64, (int fd, off64_t length), (fd, length))
WATCH(ssize_t, pread, (int fd, void *to, size_t length, off_t at), (fd, to, length, at))
WATCH(ssize_t, pread64, (int fd, void *to, size_t length, off64_t at), (fd, to, length, at))
WATCH(ssize_t, __pread_chk, (int fd, void *to, size_t length, off_t at, size_t room),
    (fd, to, length, at, room))
WATCH(ssize_t, __pread64_chk, (int fd, void *to, size_t length, off64_t at, size_t room),
    (fd, to, length, at, room))
WATCH(ssize_t, preadv, (int fd, const struct iovec *parts, int count, off_t at), (fd, parts, count, at))
WATCH(ssize_t, preadv64, (int fd, const struct iovec *parts, int count, off64_t at), (fd, parts, count, at))
WATCH(ssize_t, pwrite, (int fd, const void *from, size_t length, off_t at), (fd, from, length, at))
WATCH(ssize_t, pwrite64, (int fd, const void *from, size_t length, off64_t at), (fd, from, length, at))
WATCH_PATH(int, unlink, (const char *path), (path))
WATCH_PATH(int, unlinkat, (int folder, const char *path, int flags), (folder, path, flags))
WATCH_PATH(int, rename, (const char *path, const char *to), (path, to))
WATCH_PATH(
    int, renameat, (int folder, const char *path, int other, const char *to), (folder, path, other, to))
WATCH_PATH(int, mkdir, (const char *path, mode_t mode), (path, mode))
WATCH_PATH(int, statvfs, (const char *path, struct statvfs *to), (path, to))
WATCH_PATH(int, statvfs64, (const char *path, struct statvfs64 *to), (path, to))
WATCH(int, fstatvfs, (int fd, struct statvfs *to), (fd, to))
WATCH(int, fstatvfs64, (int fd, struct statvfs64 *to), (fd, to))
WATCH_PATH(DIR *, opendir, (const char *path), (path))
WATCH_PATH(int, scandir64,
    (const char *path, struct dirent64 ***to, int (*want)(const struct dirent64 *),
	int (*order)(const struct dirent64 **, const struct dirent64 **)),
    (path, to, want, order))
WATCH_PATH(FILE *, fopen, (const char *path, const char *mode), (path, mode))
WATCH_PATH(FILE *, fopen64, (const char *path, const char *mode), (path, mode))
WATCH_PATH(int, creat, (const char *path, mode_t mode), (path, mode))
WATCH_PATH(int, creat64, (const char *path, mode_t mode), (path, mode))
WATCH_PATH(int, __open_2, (const char *path, int flags), (path, flags))
WATCH_PATH(int, __open64_2, (const char *path, int flags), (path, flags))
WATCH_PATH(int, __openat_2, (int folder, const char *path, int flags), (folder, path, flags))
WATCH_PATH(int, __openat64_2, (int folder, const char *path, int flags), (folder, path, flags))
WATCH(int, flock, (int fd, int operation), (fd, operation))
WATCH(int, lockf, (int fd, int command, off_t length), (fd, command, length))
WATCH(int, lockf64, (int fd, int command, off64_t length), (fd, command, length))

/* The journal's: the loop may make them of its own when little is written to a quick disk. */
static bool
counts(void)
{
	return atomic_load_explicit(&watching, memory_order_relaxed) && !inside;
}

int
fdatasync(int fd)
{
	static __typeof__(&fdatasync) _Atomic real;
	struct turn_call call;
	bool loop = on_loop();
	int r;

	if (!real)
		real = (__typeof__(&fdatasync))next_of("fdatasync", NULL);
	if (counts() && !turn_may_sync(loop, fd))
		blocks("fdatasync", NULL);
	call = turn_begin(loop, fd, true);
	turn_slow_down();
	r = real(fd);
	turn_end(&call);
	return r;
}

#define WATCH_PWRITEV(name, offset)                                                                          \
	ssize_t name(int fd, const struct iovec *parts, int count, offset at)                                \
	{                                                                                                    \
		static __typeof__(&name) _Atomic real;                                                       \
		struct turn_call call;                                                                       \
		bool loop = on_loop();                                                                       \
		ssize_t n;                                                                                   \
                                                                                                             \
		if (!real)                                                                                   \
			real = (__typeof__(&name))next_of(#name, NULL);                                      \
		if (counts() && !turn_may_write(loop, fd, parts, count))                                     \
			blocks(#name, NULL);                                                                 \
		call = turn_begin(loop, fd, false);                                                          \
		n = real(fd, parts, count, at);                                                              \
		turn_end(&call);                                                                             \
		return n;                                                                                    \
	}
WATCH_PWRITEV(pwritev, off_t)
WATCH_PWRITEV(pwritev64, off64_t)

/* Open and its like take a mode only when they make a file. */
#define WATCH_OPEN(name)                                                                                     \
	int name(const char *path, int flags, ...)                                                           \
	{                                                                                                    \
		static __typeof__(&name) _Atomic real;                                                       \
		mode_t mode = 0;                                                                             \
		va_list more;                                                                                \
                                                                                                             \
		if (!atomic_load_explicit(&real, memory_order_relaxed))                                      \
			atomic_store(&real, (__typeof__(&name))next_of(#name, NULL));                        \
		va_start(more, flags);                                                                       \
		if (flags & (O_CREAT | __O_TMPFILE))                                                         \
			mode = va_arg(more, mode_t);                                                         \
		va_end(more);                                                                                \
		if (path_may_wait(path))                                                                     \
			blocks(#name, NULL);                                                                 \
		return atomic_load_explicit(&real, memory_order_relaxed)(path, flags, mode);                 \
	}
#define WATCH_OPENAT(name)                                                                                   \
	int name(int folder, const char *path, int flags, ...)                                               \
	{                                                                                                    \
		static __typeof__(&name) _Atomic real;                                                       \
		mode_t mode = 0;                                                                             \
		va_list more;                                                                                \
                                                                                                             \
		if (!atomic_load_explicit(&real, memory_order_relaxed))                                      \
			atomic_store(&real, (__typeof__(&name))next_of(#name, NULL));                        \
		va_start(more, flags);                                                                       \
		if (flags & (O_CREAT | __O_TMPFILE))                                                         \
			mode = va_arg(more, mode_t);                                                         \
		va_end(more);                                                                                \
		if (path_may_wait(path))                                                                     \
			blocks(#name, NULL);                                                                 \
		return atomic_load_explicit(&real, memory_order_relaxed)(folder, path, flags, mode);         \
	}
WATCH_OPEN(open)
WATCH_OPEN(open64)
WATCH_OPENAT(openat)
WATCH_OPENAT(openat64)

/* Whatever waits unless it was told not to */
WATCH_FD(ssize_t, read, (int fd, void *to, size_t length), (fd, to, length))
WATCH_FD(ssize_t, __read_chk, (int fd, void *to, size_t length, size_t room), (fd, to, length, room))
WATCH_FD(ssize_t, readv, (int fd, const struct iovec *parts, int count), (fd, parts, count))
WATCH_FD(ssize_t, write, (int fd, const void *from, size_t length), (fd, from, length))
WATCH_FD(ssize_t, writev, (int fd, const struct iovec *parts, int count), (fd, parts, count))
WATCH_AS(ssize_t, recv, NULL, (int fd, void *to, size_t length, int flags), (fd, to, length, flags),
    !(flags & MSG_DONTWAIT) && may_wait(fd), NULL)
WATCH_AS(ssize_t, send, NULL, (int fd, const void *from, size_t length, int flags), (fd, from, length, flags),
    !(flags & MSG_DONTWAIT) && may_wait(fd), NULL)
WATCH_AS(ssize_t, recvmsg, NULL, (int fd, struct msghdr *message, int flags), (fd, message, flags),
    !(flags & MSG_DONTWAIT) && may_wait(fd), NULL)
WATCH_AS(ssize_t, sendmsg, NULL, (int fd, const struct msghdr *message, int flags), (fd, message, flags),
    !(flags & MSG_DONTWAIT) && may_wait(fd), NULL)
WATCH_FD(
    int, accept4, (int fd, struct sockaddr *from, socklen_t *length, int flags), (fd, from, length, flags))
WATCH_AS(int, poll, NULL, (struct pollfd * fds, nfds_t count, int timeout), (fds, count, timeout),
    timeout != 0, NULL)

/* Names */
WATCH(int, getaddrinfo,
    (const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **to),
    (host, service, hints, to))
WATCH(int, getgrnam_r, (const char *name, struct group *group, char *text, size_t size, struct group **to),
    (name, group, text, size, to))
WATCH(int, getpwuid_r, (uid_t uid, struct passwd *user, char *text, size_t size, struct passwd **to),
    (uid, user, text, size, to))
WATCH_AS(int, getnameinfo, NULL,
    (const struct sockaddr *address, socklen_t size, char *host, socklen_t host_size, char *service,
	socklen_t service_size, int flags),
    (address, size, host, host_size, service, service_size, flags),
    (host && !(flags & NI_NUMERICHOST)) || (service && !(flags & NI_NUMERICSERV)), NULL)

/* The clock, other threads, other processes */
WATCH(int, nanosleep, (const struct timespec *time, struct timespec *left), (time, left))
WATCH(int, clock_nanosleep, (clockid_t clock, int flags, const struct timespec *time, struct timespec *left),
    (clock, flags, time, left))
WATCH(int, usleep, (useconds_t time), (time))
WATCH(unsigned, sleep, (unsigned time), (time))
WATCH_AS(int, pthread_cond_wait, "GLIBC_2.3.2", (pthread_cond_t * cond, pthread_mutex_t *mutex),
    (cond, mutex), true, mutex)
WATCH_AS(int, pthread_cond_timedwait, "GLIBC_2.3.2",
    (pthread_cond_t * cond, pthread_mutex_t *mutex, const struct timespec *until), (cond, mutex, until), true,
    mutex)
WATCH(int, pthread_join, (pthread_t thread, void **result), (thread, result))
WATCH(pid_t, waitpid, (pid_t pid, int *status, int options), (pid, status, options))
WATCH(int, system, (const char *command), (command))

/* Work without a bound */
WATCH(int, inflate, (struct z_stream_s * stream, int flush), (stream, flush))
WATCH(int, deflate, (struct z_stream_s * stream, int flush), (stream, flush))
