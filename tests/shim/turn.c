/* SPDX-License-Identifier: Apache-2.0 */
/* See turn.h. Calls the kernel directly where the shim stands in for the C library. */
#include "tests/shim/turn.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SLOW_MS	  5
#define NAME_SIZE 16 /* of a thread */

static atomic_ullong last_us = UINT64_MAX; /* that the last sync took */
static atomic_int busy = -1;		   /* the segment that is being written or synced */
static int allowed = -1;		   /* the loop's own: what it may sync next */

static unsigned long long
now_us(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (unsigned long long)t.tv_sec * 1000000u + (unsigned long long)t.tv_nsec / 1000u;
}

static bool
is_segment(int fd)
{
	char link[64], path[4096];
	ssize_t n;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path));
	return n > 4 && memcmp(path + n - 4, ".seg", 4) == 0;
}

static bool
is_committer(void)
{
	char name[NAME_SIZE] = "";

	return prctl(PR_GET_NAME, name) == 0 && strcmp(name, "journal-commit") == 0;
}

bool
turn_may_write(bool loop, int fd, const struct iovec *parts, int count)
{
	size_t size = 0;

	if (!loop)
		return false;
	for (int i = 0; i < count; i++)
		size += parts[i].iov_len;
	allowed = size <= TURN_BYTES && atomic_load(&last_us) < TURN_US && atomic_load(&busy) != fd &&
			  is_segment(fd)
		      ? fd
		      : -1;
	return allowed >= 0;
}

bool
turn_may_sync(bool loop, int fd)
{
	bool may = loop && fd == allowed && atomic_load(&busy) != fd;

	if (loop)
		allowed = -1;
	return may;
}

struct turn_call
turn_begin(bool loop, int fd, bool sync)
{
	struct turn_call call = { -1, sync, 0 };

	if (!is_segment(fd) || (!loop && !is_committer()))
		return call;
	call.fd = fd;
	atomic_store(&busy, fd);
	call.began_us = now_us();
	return call;
}

void
turn_end(const struct turn_call *call)
{
	if (call->fd < 0)
		return;
	if (call->sync)
		atomic_store(&last_us, now_us() - call->began_us);
	atomic_store(&busy, -1);
}

void
turn_slow_down(void)
{
	const char *slow = getenv("LIAISON_SHIM_SLOW");
	struct timespec time = { .tv_nsec = SLOW_MS * 1000000L };

	if (slow && access(slow, F_OK) == 0)
		(void)syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &time, NULL);
}
