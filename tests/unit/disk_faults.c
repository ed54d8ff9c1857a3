/* SPDX-License-Identifier: Apache-2.0 */
/* See disk_faults.h. */
#include "tests/unit/disk_faults.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "broker/store/disk.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
	enum refused_call kind;
	size_t nth, counts[REFUSE_KINDS], short_bytes, writes, short_at, short_count;
	int error;
	bool forever, skip_sync, full, short_forever;
	uint64_t free_bytes, bad_from, bad_to;
	ino_t bad_file;
	unsigned slow_ms;
} faults = { .free_bytes = UINT64_MAX };

/* Count one call; whether it is to fail (errno is set). */
static bool
hit(enum refused_call kind)
{
	bool fail;
	int error;

	pthread_mutex_lock(&lock);
	faults.counts[kind]++;
	fail = faults.kind == kind &&
	       (faults.counts[kind] == faults.nth || (faults.forever && faults.counts[kind] > faults.nth));
	error = faults.error;
	pthread_mutex_unlock(&lock);
	if (fail)
		errno = error;
	return fail;
}

static int
faulty_open(const char *path, int flags, mode_t mode)
{
	return hit(REFUSE_OPEN) ? -1 : disk_ops_real.open(path, flags, mode);
}

static ssize_t
faulty_preadv(int fd, const struct iovec *iov, int count, off_t offset)
{
	uint64_t to = (uint64_t)offset;
	struct stat st;
	bool bad;

	if (hit(REFUSE_READ))
		return -1;
	for (int i = 0; i < count; i++)
		to += iov[i].iov_len;
	pthread_mutex_lock(&lock);
	bad = faults.bad_file && fstat(fd, &st) == 0 && st.st_ino == faults.bad_file &&
	      to > faults.bad_from && (uint64_t)offset < faults.bad_to;
	pthread_mutex_unlock(&lock);
	if (bad) {
		errno = EIO;
		return -1;
	}
	return disk_ops_real.preadv(fd, iov, count, offset);
}

static ssize_t
faulty_pwritev(int fd, const struct iovec *iov, int count, off_t offset)
{
	struct iovec one;
	size_t bytes, total = 0;
	struct stat st;
	unsigned slow_ms;
	bool interrupt, full, half;

	if (hit(REFUSE_WRITE))
		return -1;
	pthread_mutex_lock(&lock);
	bytes = faults.short_bytes;
	half = faults.short_at && (++faults.short_count == faults.short_at ||
				      (faults.short_forever && faults.short_count > faults.short_at));
	interrupt = bytes && ++faults.writes % 2 == 0;
	full = faults.full;
	slow_ms = faults.slow_ms;
	pthread_mutex_unlock(&lock);
	usleep(slow_ms * 1000);
	if (interrupt) {
		errno = EINTR;
		return -1;
	}
	for (int i = 0; i < count; i++)
		total += iov[i].iov_len;
	if (full && (fstat(fd, &st) < 0 || (uint64_t)offset + total > (uint64_t)st.st_size)) {
		errno = ENOSPC;
		return -1;
	}
	if (half && iov[0].iov_len > 1)
		bytes = iov[0].iov_len / 2;
	if (bytes == 0)
		return disk_ops_real.pwritev(fd, iov, count, offset);
	one = iov[0];
	if (one.iov_len > bytes)
		one.iov_len = bytes;
	return disk_ops_real.pwritev(fd, &one, 1, offset);
}

static bool
sync_skipped(void)
{
	bool skip;

	pthread_mutex_lock(&lock);
	skip = faults.skip_sync;
	pthread_mutex_unlock(&lock);
	return skip;
}

static int
faulty_fdatasync(int fd)
{
	if (hit(REFUSE_FDATASYNC))
		return -1;
	return sync_skipped() ? 0 : disk_ops_real.fdatasync(fd);
}

static int
faulty_fsync(int fd)
{
	if (hit(REFUSE_FSYNC))
		return -1;
	return sync_skipped() ? 0 : disk_ops_real.fsync(fd);
}

static int
faulty_ftruncate(int fd, off_t size)
{
	return hit(REFUSE_FTRUNCATE) ? -1 : disk_ops_real.ftruncate(fd, size);
}

static int
faulty_fallocate(int fd, int mode, off_t offset, off_t len)
{
	bool full;

	if (hit(REFUSE_FALLOCATE))
		return -1;
	pthread_mutex_lock(&lock);
	full = faults.full;
	pthread_mutex_unlock(&lock);
	if (full) {
		errno = ENOSPC;
		return -1;
	}
	return disk_ops_real.fallocate(fd, mode, offset, len);
}

static int
faulty_rename(const char *from, const char *to)
{
	return hit(REFUSE_RENAME) ? -1 : disk_ops_real.rename(from, to);
}

static int
faulty_unlink(const char *path)
{
	return hit(REFUSE_UNLINK) ? -1 : disk_ops_real.unlink(path);
}

static int
faulty_mkdir(const char *path, mode_t mode)
{
	return hit(REFUSE_MKDIR) ? -1 : disk_ops_real.mkdir(path, mode);
}

static int
faulty_statvfs(const char *path, struct statvfs *st)
{
	uint64_t free_bytes;
	int r = disk_ops_real.statvfs(path, st);

	pthread_mutex_lock(&lock);
	free_bytes = faults.free_bytes;
	pthread_mutex_unlock(&lock);
	if (r == 0 && free_bytes != UINT64_MAX)
		st->f_bavail = free_bytes / st->f_frsize;
	return r;
}

void
faults_install(void)
{
	static struct disk_ops ops;

	ops = disk_ops_real;
	ops.open = faulty_open;
	ops.preadv = faulty_preadv;
	ops.pwritev = faulty_pwritev;
	ops.fdatasync = faulty_fdatasync;
	ops.fsync = faulty_fsync;
	ops.ftruncate = faulty_ftruncate;
	ops.fallocate = faulty_fallocate;
	ops.rename = faulty_rename;
	ops.unlink = faulty_unlink;
	ops.mkdir = faulty_mkdir;
	ops.statvfs = faulty_statvfs;
	memset(&faults, 0, sizeof faults);
	faults.free_bytes = UINT64_MAX;
	disk_replace(&ops);
}

void
faults_remove(void)
{
	disk_replace(NULL);
}

void
faults_at(enum refused_call kind, size_t nth, int error, bool forever)
{
	pthread_mutex_lock(&lock);
	faults.kind = kind;
	faults.nth = nth;
	faults.error = error;
	faults.forever = forever;
	memset(faults.counts, 0, sizeof faults.counts);
	pthread_mutex_unlock(&lock);
}

void
faults_none(void)
{
	faults_at(REFUSE_NONE, 0, 0, false);
}

size_t
faults_count(enum refused_call kind)
{
	size_t count;

	pthread_mutex_lock(&lock);
	count = faults.counts[kind];
	pthread_mutex_unlock(&lock);
	return count;
}

void
faults_short_writes(size_t bytes)
{
	pthread_mutex_lock(&lock);
	faults.short_bytes = bytes;
	pthread_mutex_unlock(&lock);
}

void
faults_short_at(size_t nth, bool forever)
{
	pthread_mutex_lock(&lock);
	faults.short_at = nth;
	faults.short_count = 0;
	faults.short_forever = forever;
	pthread_mutex_unlock(&lock);
}

void
faults_slow_writes(unsigned ms)
{
	pthread_mutex_lock(&lock);
	faults.slow_ms = ms;
	pthread_mutex_unlock(&lock);
}

void
faults_skip_sync(bool skip)
{
	pthread_mutex_lock(&lock);
	faults.skip_sync = skip;
	pthread_mutex_unlock(&lock);
}

void
faults_space(uint64_t free_bytes)
{
	pthread_mutex_lock(&lock);
	faults.free_bytes = free_bytes;
	pthread_mutex_unlock(&lock);
}

void
faults_no_growth(bool full)
{
	pthread_mutex_lock(&lock);
	faults.full = full;
	pthread_mutex_unlock(&lock);
}

void
faults_bad_sector(const char *path, uint64_t offset, size_t len)
{
	struct stat st;

	pthread_mutex_lock(&lock);
	faults.bad_file = path && stat(path, &st) == 0 ? st.st_ino : 0;
	faults.bad_from = offset;
	faults.bad_to = offset + len;
	pthread_mutex_unlock(&lock);
}
