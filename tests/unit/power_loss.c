/* SPDX-License-Identifier: Apache-2.0 */
/* See power_loss.h. One lock around every call: moments see one order of events. */
#include "tests/unit/power_loss.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/store/disk.h"
#include "tests/unit/power_private.h"

struct power_sim power_sim;
pthread_mutex_t power_lock = PTHREAD_MUTEX_INITIALIZER;

static bool
tracked(const char *path)
{
	for (size_t i = 0; i < power_sim.world_count; i++) {
		size_t len = strlen(power_sim.worlds[i]);

		if (strncmp(path, power_sim.worlds[i], len) == 0 && path[len] == '/')
			return true;
	}
	return false;
}

static void
count(void)
{
	power_sim.calls++;
	if (power_sim.moment && (power_sim.every || power_sim.calls == power_sim.at))
		power_sim.moment(power_sim.arg);
}

struct power_file *
power_file_new(void)
{
	if (power_sim.file_count == POWER_FILES)
		abort();
	return power_sim.files[power_sim.file_count++] = calloc(1, sizeof(struct power_file));
}

void
power_change_add(struct power_file *file, struct power_change change)
{
	if (file->count == file->cap) {
		file->cap = file->cap ? 2 * file->cap : 16;
		file->changes = realloc(file->changes, file->cap * sizeof *file->changes);
	}
	file->changes[file->count++] = change;
}

static void
disk_resize(uint8_t **bytes, size_t *len, size_t want)
{
	*bytes = realloc(*bytes, want + 1);
	if (want > *len)
		memset(*bytes + *len, 0, want - *len);
	*len = want;
}

void
power_change_put(uint8_t **bytes, size_t *len, const struct power_change *change, size_t from, size_t to)
{
	if (!change->bytes) {
		if (!change->grow || change->offset > *len)
			disk_resize(bytes, len, change->offset);
		return;
	}
	if (change->offset + to > *len)
		disk_resize(bytes, len, change->offset + to);
	memcpy(*bytes + change->offset + from, change->bytes + from, to - from);
}

void
power_changes_forget(struct power_file *file)
{
	for (size_t i = 0; i < file->count; i++)
		free(file->changes[i].bytes);
	file->count = 0;
}

void
power_file_free(struct power_file *file)
{
	power_changes_forget(file);
	free(file->changes);
	free(file->disk);
	free(file);
}

void
power_name_set(struct power_names *names, const char *path, struct power_file *file)
{
	for (size_t i = 0; i < names->count; i++) {
		if (strcmp(names->names[i].path, path) != 0)
			continue;
		if (file)
			names->names[i].file = file;
		else
			names->names[i] = names->names[--names->count];
		return;
	}
	if (!file)
		return;
	if (names->count == names->cap) {
		names->cap = names->cap ? 2 * names->cap : 64;
		names->names = realloc(names->names, names->cap * sizeof *names->names);
	}
	snprintf(names->names[names->count].path, POWER_PATH, "%s", path);
	names->names[names->count++].file = file;
}

void
power_names_free(struct power_names *names)
{
	free(names->names);
	memset(names, 0, sizeof *names);
}

static struct power_file *
name_get(const char *path)
{
	for (size_t i = 0; i < power_sim.seen.count; i++)
		if (strcmp(power_sim.seen.names[i].path, path) == 0)
			return power_sim.seen.names[i].file;
	return NULL;
}

static void
name_change(const char *path, struct power_file *file, size_t group)
{
	struct power_op *op = &power_sim.ops[power_sim.op_count++];

	if (power_sim.op_count == POWER_OPS)
		abort();
	power_name_set(&power_sim.seen, path, file);
	snprintf(op->path, POWER_PATH, "%s", path);
	op->file = file;
	op->group = group;
}

static int
power_open(const char *path, int flags, mode_t mode)
{
	struct power_file *file;
	int fd;

	pthread_mutex_lock(&power_lock);
	if (tracked(path) && flags & O_CREAT)
		count();
	fd = disk_ops_real.open(path, flags, mode);
	if (fd >= 0 && fd < POWER_FDS) {
		power_sim.by_fd[fd] = NULL;
		power_sim.directory_by_fd[fd][0] = 0;
		if (flags & O_DIRECTORY) {
			snprintf(power_sim.directory_by_fd[fd], POWER_PATH, "%s", path);
		} else if (tracked(path)) {
			file = name_get(path);
			if (!file) {
				file = power_file_new();
				name_change(path, file, ++power_sim.groups);
			}
			if (flags & O_TRUNC)
				power_change_add(file, (struct power_change){ 0, 0, NULL, false });
			power_sim.by_fd[fd] = file;
		}
	}
	pthread_mutex_unlock(&power_lock);
	return fd;
}

static int
power_close(int fd)
{
	int r;

	pthread_mutex_lock(&power_lock);
	if (fd >= 0 && fd < POWER_FDS) {
		power_sim.by_fd[fd] = NULL;
		power_sim.directory_by_fd[fd][0] = 0;
	}
	r = disk_ops_real.close(fd);
	pthread_mutex_unlock(&power_lock);
	return r;
}

/* A full disk takes what lies within the file as it is. */
static bool
has_room(int fd, const struct iovec *iov, int iov_count, off_t offset)
{
	struct stat st;

	for (int i = 0; i < iov_count; i++)
		offset += (off_t)iov[i].iov_len;
	return !power_sim.full || (fstat(fd, &st) == 0 && offset <= st.st_size);
}

static ssize_t
power_pwritev(int fd, const struct iovec *iov, int iov_count, off_t offset)
{
	struct power_file *file;
	ssize_t n;

	pthread_mutex_lock(&power_lock);
	file = fd < POWER_FDS ? power_sim.by_fd[fd] : NULL;
	if (file)
		count();
	if (file && !has_room(fd, iov, iov_count, offset)) {
		pthread_mutex_unlock(&power_lock);
		errno = ENOSPC;
		return -1;
	}
	n = disk_ops_real.pwritev(fd, iov, iov_count, offset);
	if (file && n > 0) {
		struct power_change change = { (uint64_t)offset, (size_t)n, malloc((size_t)n), false };
		size_t at = 0;

		for (int i = 0; at < (size_t)n; i++) {
			size_t part = iov[i].iov_len < (size_t)n - at ? iov[i].iov_len : (size_t)n - at;

			if (part)
				memcpy(change.bytes + at, iov[i].iov_base, part);
			at += part;
		}
		power_change_add(file, change);
	}
	pthread_mutex_unlock(&power_lock);
	return n;
}

static void
directory_sync(const char *directory)
{
	size_t kept = 0, len = strlen(directory);

	for (size_t i = 0; i < power_sim.op_count; i++) {
		struct power_op *op = &power_sim.ops[i];

		if (strncmp(op->path, directory, len) == 0 && op->path[len] == '/' &&
		    !strchr(op->path + len + 1, '/'))
			power_name_set(&power_sim.disk, op->path, op->file);
		else
			power_sim.ops[kept++] = *op;
	}
	power_sim.op_count = kept;
}

static int
power_sync(int fd)
{
	struct power_file *file;
	int r = 0;

	pthread_mutex_lock(&power_lock);
	file = fd < POWER_FDS ? power_sim.by_fd[fd] : NULL;
	if (file) {
		count();
		if (power_sim.fail_sync && ++power_sim.syncs == power_sim.fail_sync) {
			power_changes_forget(file);
			errno = EIO;
			r = -1;
		}
		for (size_t i = 0; i < file->count; i++)
			power_change_put(
			    &file->disk, &file->disk_len, &file->changes[i], 0, file->changes[i].len);
		power_changes_forget(file);
	} else if (fd < POWER_FDS && power_sim.directory_by_fd[fd][0]) {
		count();
		directory_sync(power_sim.directory_by_fd[fd]);
	}
	pthread_mutex_unlock(&power_lock);
	return r;
}

static int
power_ftruncate(int fd, off_t size)
{
	int r;

	pthread_mutex_lock(&power_lock);
	if (fd < POWER_FDS && power_sim.by_fd[fd])
		count();
	r = disk_ops_real.ftruncate(fd, size);
	if (r == 0 && fd < POWER_FDS && power_sim.by_fd[fd])
		power_change_add(
		    power_sim.by_fd[fd], (struct power_change){ (uint64_t)size, 0, NULL, false });
	pthread_mutex_unlock(&power_lock);
	return r;
}

static int
power_fallocate(int fd, int mode, off_t offset, off_t len)
{
	int r;

	pthread_mutex_lock(&power_lock);
	if (fd < POWER_FDS && power_sim.by_fd[fd])
		count();
	r = -1;
	errno = ENOSPC;
	if (!power_sim.full)
		r = disk_ops_real.fallocate(fd, mode, offset, len);
	if (r == 0 && fd < POWER_FDS && power_sim.by_fd[fd])
		power_change_add(
		    power_sim.by_fd[fd], (struct power_change){ (uint64_t)(offset + len), 0, NULL, true });
	pthread_mutex_unlock(&power_lock);
	return r;
}

static int
power_rename(const char *from, const char *to)
{
	int r;

	pthread_mutex_lock(&power_lock);
	if (tracked(from))
		count();
	r = disk_ops_real.rename(from, to);
	if (r == 0 && tracked(from)) {
		struct power_file *file = name_get(from);

		power_sim.groups++;
		name_change(to, file, power_sim.groups);
		name_change(from, NULL, power_sim.groups);
	}
	pthread_mutex_unlock(&power_lock);
	return r;
}

static int
power_unlink(const char *path)
{
	int r;

	pthread_mutex_lock(&power_lock);
	if (tracked(path))
		count();
	r = disk_ops_real.unlink(path);
	if (r == 0 && tracked(path))
		name_change(path, NULL, ++power_sim.groups);
	pthread_mutex_unlock(&power_lock);
	return r;
}

static int
power_mkdir(const char *path, mode_t mode)
{
	int r;

	pthread_mutex_lock(&power_lock);
	if (tracked(path) && access(path, F_OK) != 0)
		count();
	r = disk_ops_real.mkdir(path, mode);
	if (r == 0 && tracked(path)) {
		struct power_file *made = power_file_new();

		made->directory = true;
		name_change(path, made, ++power_sim.groups);
	}
	pthread_mutex_unlock(&power_lock);
	return r;
}

static int
power_statvfs(const char *path, struct statvfs *st)
{
	int r = disk_ops_real.statvfs(path, st);

	pthread_mutex_lock(&power_lock);
	if (power_sim.full)
		st->f_bavail = 0;
	pthread_mutex_unlock(&power_lock);
	return r;
}

void
power_install(uint64_t seed)
{
	static struct disk_ops ops;

	memset(&power_sim, 0, sizeof power_sim);
	power_sim.random = seed;
	ops = disk_ops_real;
	ops.open = power_open;
	ops.close = power_close;
	ops.pwritev = power_pwritev;
	ops.fdatasync = ops.fsync = power_sync;
	ops.ftruncate = power_ftruncate;
	ops.fallocate = power_fallocate;
	ops.rename = power_rename;
	ops.unlink = power_unlink;
	ops.mkdir = power_mkdir;
	ops.statvfs = power_statvfs;
	disk_replace(&ops);
}

void
power_remove(void)
{
	disk_replace(NULL);
	for (size_t i = 0; i < power_sim.file_count; i++)
		power_file_free(power_sim.files[i]);
	power_names_free(&power_sim.seen);
	power_names_free(&power_sim.disk);
	power_sim.file_count = 0;
}

static void
moments(size_t nth, bool every, void (*moment)(void *arg), void *arg)
{
	pthread_mutex_lock(&power_lock);
	power_sim.calls = 0;
	power_sim.at = nth;
	power_sim.every = every;
	power_sim.moment = nth || every ? moment : NULL;
	power_sim.arg = arg;
	pthread_mutex_unlock(&power_lock);
}

void
power_at(size_t nth, void (*moment)(void *arg), void *arg)
{
	moments(nth, false, moment, arg);
}

void
power_every(void (*moment)(void *arg), void *arg)
{
	moments(0, true, moment, arg);
}

void
power_now(void)
{
	pthread_mutex_lock(&power_lock);
	if (power_sim.moment)
		power_sim.moment(power_sim.arg);
	pthread_mutex_unlock(&power_lock);
}

size_t
power_count(void)
{
	size_t calls;

	pthread_mutex_lock(&power_lock);
	calls = power_sim.calls;
	pthread_mutex_unlock(&power_lock);
	return calls;
}

void
power_fail_sync(size_t nth)
{
	pthread_mutex_lock(&power_lock);
	power_sim.syncs = 0;
	power_sim.fail_sync = nth;
	pthread_mutex_unlock(&power_lock);
}

void
power_full(bool full)
{
	pthread_mutex_lock(&power_lock);
	power_sim.full = full;
	pthread_mutex_unlock(&power_lock);
}
