/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk that does not answer: preloaded into the daemon, it holds every fdatasync for as long as the file named by LIAISON_STALL is there.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

int
fdatasync(int fd)
{
	static int (*real)(int fd);
	const char *stall = getenv("LIAISON_STALL");

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "fdatasync");
	while (stall && access(stall, F_OK) == 0)
		usleep(10000);
	return real(fd);
}
