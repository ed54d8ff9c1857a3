/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every system call of the store, checked: EINTR and short transfers are handled here, errors come back as -errno.
 *
 * The calls stand behind one replaceable table so that tests can refuse the nth call, cut a write short, invent free space, or lose what was not
 * synced. Replace it before a journal is opened and after it was closed: the table is read without a lock.
 * Nothing here decides anything: no retry after a failed sync, no clean-up.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <sys/uio.h>

/* Each as its system call: -1 and errno on failure. */
struct disk_ops {
	int (*open)(const char *path, int flags, mode_t mode);
	int (*close)(int fd);
	ssize_t (*preadv)(int fd, const struct iovec *iov, int count, off_t offset);
	ssize_t (*pwritev)(int fd, const struct iovec *iov, int count, off_t offset);
	int (*fdatasync)(int fd);
	int (*fsync)(int fd);
	int (*ftruncate)(int fd, off_t size);
	int (*fallocate)(int fd, int mode, off_t offset, off_t len);
	int (*rename)(const char *from, const char *to);
	int (*unlink)(const char *path);
	int (*mkdir)(const char *path, mode_t mode);
	int (*fstat)(int fd, struct stat *st);
	int (*statvfs)(const char *path, struct statvfs *st);
};

/* The real ones. */
extern const struct disk_ops disk_ops_real;

/* Let ${ops} serve from now on; NULL: the real ones. For tests. */
void disk_replace(const struct disk_ops *ops);

/* Open ${path} (always O_CLOEXEC; files are made 0640). The descriptor goes to *${fdp}. 0 or -errno. */
int disk_open(const char *path, int flags, int *fdp) __attribute__((warn_unused_result));

/* Close; the outcome is of no use to anybody who synced before. A negative ${fd} is harmless. */
void disk_close(int fd);

/* Read up to ${len} bytes at ${offset}; *${gotp} is less only at the end of the file. 0 or -errno. */
int disk_read(int fd, uint64_t offset, void *into, size_t len, size_t *gotp)
    __attribute__((warn_unused_result));

/*
 * The same past sectors that the disk cannot give (EIO): they read as zeros, *${unreadable} counts their blocks. For places where a checksum
 * will tell; never where zeros mean an end.
 */
int disk_read_around(int fd, uint64_t offset, void *into, size_t len, size_t *gotp, size_t *unreadable)
    __attribute__((warn_unused_result));

/* Write all of ${iov} at ${offset}. The vector is used up (changed). 0 or -errno (then any part may have been written). */
int disk_write(int fd, uint64_t offset, struct iovec *iov, size_t count) __attribute__((warn_unused_result));

int disk_write_bytes(int fd, uint64_t offset, const void *bytes, size_t len)
    __attribute__((warn_unused_result));

/* Content on disk (fdatasync); content and all that is said of the file (fsync); a directory's entries. 0 or -errno. */
int disk_sync(int fd) __attribute__((warn_unused_result));
int disk_sync_file(int fd) __attribute__((warn_unused_result));
int disk_sync_directory(const char *path) __attribute__((warn_unused_result));

int disk_truncate(int fd, uint64_t size) __attribute__((warn_unused_result));

/* Allocate bytes [from, to) of a file that grows to ${to}. A file system that cannot is no failure. 0 or -errno. */
int disk_allocate(int fd, uint64_t from, uint64_t to) __attribute__((warn_unused_result));

int disk_rename(const char *from, const char *to) __attribute__((warn_unused_result));
int disk_unlink(const char *path) __attribute__((warn_unused_result));

/* Unlink, whatever comes of it: for files of no worth. */
void disk_discard(const char *path);

/* Make a directory (0750); one that is there already is no failure. 0 or -errno. */
int disk_mkdir(const char *path) __attribute__((warn_unused_result));

int disk_size(int fd, uint64_t *size) __attribute__((warn_unused_result));

/* Bytes that an unprivileged process may still use where ${path} lies, and the size of that file system. 0 or -errno. */
int disk_space(const char *path, uint64_t *free_bytes, uint64_t *total_bytes)
    __attribute__((warn_unused_result));
