/* SPDX-License-Identifier: Apache-2.0 */
/* See lock.h. */
#include "broker/store/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>

#include "broker/store/disk.h"

int
lock_take(const char *directory, int *fdp)
{
	char path[PATH_MAX];
	int fd, r;

	if ((size_t)snprintf(path, sizeof path, "%s/lock", directory) >= sizeof path)
		return -ENAMETOOLONG;
	r = disk_open(path, O_RDWR | O_CREAT, &fd);
	if (r)
		return r;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		r = errno == EWOULDBLOCK ? LOCK_HELD : -errno;
		disk_close(fd);
		return r;
	}
	*fdp = fd;
	return 0;
}

void
lock_release(int fd)
{
	disk_close(fd);
}
