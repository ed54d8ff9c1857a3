/* SPDX-License-Identifier: Apache-2.0 */
/* See flips.h. A descriptor is FD_FIRST + the file's place; the directory is listed by the linker's --wrap of opendir and its kin. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/store/disk.h"
#include "broker/store/segment.h"
#include "tests/crash/flips.h"

#define FD_FIRST     10000
#define FD_DIRECTORY 20000
#define SEGMENT_KIB  16
#define SEGMENT_BIG  64 /* KiB, of journals above 256 KiB */

DIR *__real_opendir(const char *path);
struct dirent *__real_readdir64(DIR *dir);
int __real_closedir(DIR *dir);
DIR *__wrap_opendir(const char *path);
struct dirent *__wrap_readdir64(DIR *dir);
int __wrap_closedir(DIR *dir);

static struct flips_file files[FLIPS_FILES];
static size_t count, listed;
static DIR *const listing = (DIR *)&listed;

DIR *
__wrap_opendir(const char *path)
{
	if (strcmp(path, FLIPS_DIRECTORY) != 0)
		return __real_opendir(path);
	listed = 0;
	return listing;
}

struct dirent *
__wrap_readdir64(DIR *dir)
{
	static struct dirent entry;

	if (dir != listing)
		return __real_readdir64(dir);
	if (listed == count)
		return NULL;
	snprintf(entry.d_name, sizeof entry.d_name, "%010u.seg", files[listed++].number);
	return &entry;
}

int
__wrap_closedir(DIR *dir)
{
	return dir == listing ? 0 : __real_closedir(dir);
}

static int
memory_open(const char *path, int flags, mode_t mode)
{
	uint32_t number;

	(void)mode;
	if (flags & O_DIRECTORY)
		return FD_DIRECTORY;
	if (sscanf(path, FLIPS_DIRECTORY "/%u.seg", &number) == 1)
		for (size_t i = 0; i < count; i++)
			if (files[i].number == number)
				return FD_FIRST + (int)i;
	errno = ENOENT;
	return -1;
}

static int
memory_close(int fd)
{
	(void)fd;
	return 0;
}

static ssize_t
memory_preadv(int fd, const struct iovec *iov, int iov_count, off_t offset)
{
	const struct flips_file *file = &files[fd - FD_FIRST];
	uint64_t at = (uint64_t)offset;

	for (int i = 0; i < iov_count && at < file->len; i++) {
		size_t n = iov[i].iov_len < file->len - at ? iov[i].iov_len : (size_t)(file->len - at);

		memcpy(iov[i].iov_base, file->bytes + at, n);
		at += n;
	}
	return (ssize_t)(at - (uint64_t)offset);
}

static ssize_t
memory_pwritev(int fd, const struct iovec *iov, int iov_count, off_t offset)
{
	struct flips_file *file = &files[fd - FD_FIRST];
	uint64_t at = (uint64_t)offset;

	file->dirty = true;
	for (int i = 0; i < iov_count; i++) {
		if (at + iov[i].iov_len > file->made) {
			errno = ENOSPC;
			return -1;
		}
		memcpy(file->bytes + at, iov[i].iov_base, iov[i].iov_len);
		at += iov[i].iov_len;
	}
	if (at > file->len)
		file->len = at;
	return (ssize_t)(at - (uint64_t)offset);
}

static int
memory_sync(int fd)
{
	(void)fd;
	return 0;
}

static int
memory_ftruncate(int fd, off_t size)
{
	files[fd - FD_FIRST].len = (uint64_t)size;
	files[fd - FD_FIRST].dirty = true;
	return 0;
}

static int
memory_fallocate(int fd, int mode, off_t offset, off_t len)
{
	(void)fd, (void)mode, (void)offset, (void)len;
	errno = ENOSPC;
	return -1;
}

static int
memory_refuse2(const char *from, const char *to)
{
	(void)from, (void)to;
	errno = EROFS;
	return -1;
}

static int
memory_refuse(const char *path)
{
	(void)path;
	errno = EROFS;
	return -1;
}

static int
memory_mkdir(const char *path, mode_t mode)
{
	(void)path, (void)mode;
	return 0;
}

static int
memory_fstat(int fd, struct stat *st)
{
	memset(st, 0, sizeof *st);
	st->st_size = (off_t)files[fd - FD_FIRST].len;
	return 0;
}

static int
memory_statvfs(const char *path, struct statvfs *st)
{
	(void)path;
	memset(st, 0, sizeof *st);
	return 0;
}

static const struct disk_ops memory_ops = {
	.open = memory_open,
	.close = memory_close,
	.preadv = memory_preadv,
	.pwritev = memory_pwritev,
	.fdatasync = memory_sync,
	.fsync = memory_sync,
	.ftruncate = memory_ftruncate,
	.fallocate = memory_fallocate,
	.rename = memory_refuse2,
	.unlink = memory_refuse,
	.mkdir = memory_mkdir,
	.fstat = memory_fstat,
	.statvfs = memory_statvfs,
};

/* Take segment ${number} of ${rig} into memory, unless it is not there or blank. */
static void
file_take(const struct rig *rig, uint32_t number, size_t segment_size)
{
	struct flips_file *file = &files[count];
	struct segment_foot foot;
	size_t len = 0;
	uint8_t *bytes = rig_load(rig_segment(rig, number), &len);

	if (!bytes || segment_is_zero(bytes, len)) {
		free(bytes);
		return;
	}
	*file = (struct flips_file){ .number = number, .made = segment_size, .len = len, .kept_len = len };
	file->bytes = calloc(1, segment_size);
	file->kept = calloc(1, segment_size);
	memcpy(file->bytes, bytes, len);
	memcpy(file->kept, bytes, len);
	file->sealed = segment_foot_decode(bytes + len - SEGMENT_FOOT_SIZE, &foot);
	file->until = file->sealed ? len : 0;
	free(bytes);
	count++;
}

/* All sealed segments are cut at their foot. */
static void
wait_finished(struct rig *rig)
{
	(void)rig;
	usleep(1500 * 1000); /* the keeper looks every second at the latest */
}

uint64_t
flips_disk_make(size_t kib, struct flips_file **filesp, size_t *file_count, struct rig_record **recordsp)
{
	size_t segment_size = (size_t)(kib > 256 ? SEGMENT_BIG : SEGMENT_KIB) << 10;
	uint64_t most = kib * 16, seq = 0, bytes = 0;
	struct rig_record *records = calloc(most + 1, sizeof *records);
	struct rig kept, killed;

	rig_init_fast(&kept);
	rig_init_fast(&killed);
	kept.options.segment_size = segment_size;
	kept.options.reserve = 0;
	if (rig_open(&kept, NULL, NULL) != 0)
		abort();
	while (bytes < (kib << 10) - segment_size / 8 && seq < most) {
		struct journal_status status;
		struct rig_record *record = &records[++seq];

		rig_record_init(record, seq, kib > 256 ? 700 + seq * 41 % 600 : 200 + seq * 41 % 500);
		if (rig_append(&kept, record, RECORD_ACCEPTED, true) != 0 || rig_wait(&kept, record) != 0 ||
		    record->head.seq != seq)
			abort();
		journal_status(kept.journal, &status);
		bytes = (status.segments - 1) * segment_size + status.bytes % segment_size;
	}
	wait_finished(&kept);
	rig_copy(&kept, &killed);
	for (uint32_t number = 1; number < FLIPS_FILES; number++)
		file_take(&killed, number, segment_size);
	rig_fini(&kept);
	rig_fini(&killed);
	disk_replace(&memory_ops);
	*filesp = files;
	*file_count = count;
	*recordsp = records;
	return seq;
}

void
flips_disk_turn(size_t file, uint64_t at, unsigned bit)
{
	files[file].bytes[at] ^= (uint8_t)(1u << bit);
	files[file].dirty = true;
}

void
flips_disk_turn_back(void)
{
	for (size_t i = 0; i < count; i++) {
		if (!files[i].dirty)
			continue;
		memcpy(files[i].bytes, files[i].kept, files[i].made);
		files[i].len = files[i].kept_len;
		files[i].dirty = false;
	}
}
