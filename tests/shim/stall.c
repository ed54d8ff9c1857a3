/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk that does not answer, or answers late: preloaded into the daemon, it holds every fdatasync for as long as the file named by
 * LIAISON_STALL is there, and makes each fdatasync and fsync take LIAISON_SLOW_SYNC microseconds more. Or one that lies: with LIAISON_SKIP_SYNC
 * set none of them does anything. With LIAISON_STALL set it is never a quick disk, so that the loop does not sync itself and what is seen is what
 * happens around the thread that waits.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

#define NOT_QUICK 300 /* microseconds */

static void
take_longer(void)
{
	const char *slow = getenv("LIAISON_SLOW_SYNC");

	if (slow)
		usleep((useconds_t)strtoul(slow, NULL, 10));
}

int
fsync(int fd)
{
	static int (*real)(int fd);

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "fsync");
	take_longer();
	return getenv("LIAISON_SKIP_SYNC") ? 0 : real(fd);
}

int
fdatasync(int fd)
{
	static int (*real)(int fd);
	const char *stall = getenv("LIAISON_STALL");

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "fdatasync");
	while (stall && access(stall, F_OK) == 0)
		usleep(10000);
	if (stall)
		usleep(NOT_QUICK);
	take_longer();
	return getenv("LIAISON_SKIP_SYNC") ? 0 : real(fd);
}
