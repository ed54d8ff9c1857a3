/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk that does not answer, or answers late: preloaded into the daemon, it holds every fdatasync for as long as the file named by
 * LIAISON_STALL is there, and makes each fdatasync and fsync take LIAISON_SLOW_SYNC microseconds more. Or one that lies: with LIAISON_SKIP_SYNC
 * set none of them does anything.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

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
	take_longer();
	return getenv("LIAISON_SKIP_SYNC") ? 0 : real(fd);
}
