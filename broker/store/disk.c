/* SPDX-License-Identifier: Apache-2.0 */
/* See disk.h. */
#include "broker/store/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DISK_BLOCK   4096 /* what a bad sector is taken to spoil */
#define DISK_IOV_MAX 512  /* of IOV_MAX's 1024: what one call is given */

static int
real_open(const char *path, int flags, mode_t mode)
{
	return open(path, flags, mode);
}

const struct disk_ops disk_ops_real = {
	.open = real_open,
	.close = close,
	.preadv = preadv,
	.pwritev = pwritev,
	.fdatasync = fdatasync,
	.fsync = fsync,
	.ftruncate = ftruncate,
	.fallocate = fallocate,
	.rename = rename,
	.unlink = unlink,
	.mkdir = mkdir,
	.fstat = fstat,
	.statvfs = statvfs,
};

static const struct disk_ops *disk_ops = &disk_ops_real;

void
disk_replace(const struct disk_ops *ops)
{
	disk_ops = ops ? ops : &disk_ops_real;
}

int
disk_open(const char *path, int flags, int *fdp)
{
	int fd;

	do
		fd = disk_ops->open(path, flags | O_CLOEXEC, 0640);
	while (fd < 0 && errno == EINTR);
	if (fd < 0)
		return -errno;
	*fdp = fd;
	return 0;
}

void
disk_close(int fd)
{
	if (fd >= 0)
		(void)disk_ops->close(fd); /* Linux frees the descriptor also on EINTR: never again */
}

int
disk_read(int fd, uint64_t offset, void *into, size_t len, size_t *gotp)
{
	size_t got = 0;

	while (got < len) {
		struct iovec iov = { (uint8_t *)into + got, len - got };
		ssize_t n = disk_ops->preadv(fd, &iov, 1, (off_t)(offset + got));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		got += (size_t)n;
	}
	*gotp = got;
	return 0;
}

int
disk_read_around(int fd, uint64_t offset, void *into, size_t len, size_t *gotp, size_t *unreadable)
{
	uint8_t *bytes = into;
	size_t done = 0, got;
	int r;

	r = disk_read(fd, offset, into, len, gotp);
	if (r != -EIO)
		return r;
	while (done < len) {
		uint64_t at = offset + done;
		size_t n = DISK_BLOCK - (size_t)(at % DISK_BLOCK);

		if (n > len - done)
			n = len - done;
		r = disk_read(fd, at, bytes + done, n, &got);
		if (r == -EIO) {
			memset(bytes + done, 0, n);
			got = n;
			++*unreadable;
		} else if (r) {
			return r;
		}
		done += got;
		if (got < n)
			break;
	}
	*gotp = done;
	return 0;
}

int
disk_write(int fd, uint64_t offset, struct iovec *iov, size_t count)
{
	while (count > 0) {
		size_t now = count < DISK_IOV_MAX ? count : DISK_IOV_MAX, left;
		ssize_t n;

		if (iov[0].iov_len == 0) {
			iov++;
			count--;
			continue;
		}
		n = disk_ops->pwritev(fd, iov, (int)now, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO; /* a write that takes nothing would be tried for ever */
		offset += (uint64_t)n;
		for (left = (size_t)n; count > 0 && left >= iov[0].iov_len; count--)
			left -= (iov++)[0].iov_len;
		if (left > 0) {
			iov[0].iov_base = (uint8_t *)iov[0].iov_base + left;
			iov[0].iov_len -= left;
		}
	}
	return 0;
}

int
disk_write_bytes(int fd, uint64_t offset, const void *bytes, size_t len)
{
	struct iovec iov = { (void *)(uintptr_t)bytes, len };

	return disk_write(fd, offset, &iov, 1);
}

int
disk_sync(int fd)
{
	/* EINTR is a failure like others: what was written back before it is unknown */
	return disk_ops->fdatasync(fd) < 0 ? -errno : 0;
}

int
disk_sync_file(int fd)
{
	return disk_ops->fsync(fd) < 0 ? -errno : 0;
}

int
disk_sync_directory(const char *path)
{
	int fd, r;

	r = disk_open(path, O_RDONLY | O_DIRECTORY, &fd);
	if (r)
		return r;
	r = disk_sync_file(fd);
	disk_close(fd);
	return r;
}

int
disk_truncate(int fd, uint64_t size)
{
	int r;

	do
		r = disk_ops->ftruncate(fd, (off_t)size);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

int
disk_allocate(int fd, uint64_t from, uint64_t to)
{
	int r;

	do
		r = disk_ops->fallocate(fd, 0, (off_t)from, (off_t)(to - from));
	while (r < 0 && errno == EINTR);
	if (r < 0 && errno != EOPNOTSUPP && errno != ENOSYS)
		return -errno;
	return 0;
}

int
disk_rename(const char *from, const char *to)
{
	return disk_ops->rename(from, to) < 0 ? -errno : 0;
}

int
disk_unlink(const char *path)
{
	return disk_ops->unlink(path) < 0 ? -errno : 0;
}

void
disk_discard(const char *path)
{
	int r = disk_unlink(path);

	(void)r;
}

int
disk_mkdir(const char *path)
{
	return disk_ops->mkdir(path, 0750) < 0 && errno != EEXIST ? -errno : 0;
}

int
disk_size(int fd, uint64_t *size)
{
	struct stat st;

	if (disk_ops->fstat(fd, &st) < 0)
		return -errno;
	*size = (uint64_t)st.st_size;
	return 0;
}

int
disk_space(const char *path, uint64_t *free_bytes, uint64_t *total_bytes)
{
	struct statvfs st;

	if (disk_ops->statvfs(path, &st) < 0)
		return -errno;
	*free_bytes = (uint64_t)st.f_bavail * st.f_frsize;
	*total_bytes = (uint64_t)st.f_blocks * st.f_frsize;
	return 0;
}
