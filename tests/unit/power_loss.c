/* SPDX-License-Identifier: Apache-2.0 */
/* See power_loss.h. One lock around every call: moments see one order of events. */
#include "tests/unit/power_loss.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/store/disk.h"
#include "tests/unit/journal_rig.h"

#define SECTOR	  512
#define FD_MAX	  1024
#define FILES_MAX 4096
#define NAMES_MAX 4096
#define OPS_MAX	  4096
#define PATH_LEN  200

/* One write, truncation (bytes NULL) or growth (bytes NULL, grow) that is not on disk. */
struct change {
	uint64_t offset;
	size_t len;
	uint8_t *bytes;
	bool grow;
};

struct file {
	uint8_t *disk; /* what is on disk */
	size_t disk_len;
	struct change *changes;
	size_t count, cap;
};

struct name {
	char path[PATH_LEN];
	struct file *file;
};

/* A name set or, with file NULL, removed. */
struct name_op {
	char path[PATH_LEN];
	struct file *file;
	size_t group; /* the two halves of a rename happen together */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
	char worlds[64][PATH_LEN];
	size_t world_count;
	struct file *files[FILES_MAX];
	size_t file_count;
	struct name seen[NAMES_MAX], disk[NAMES_MAX]; /* names as programs see them, and on disk */
	size_t seen_count, disk_count;
	struct name_op ops[OPS_MAX]; /* not on disk yet */
	size_t op_count, groups;
	struct file *by_fd[FD_MAX];
	char directory_by_fd[FD_MAX][PATH_LEN];
	size_t calls, at, syncs, fail_sync;
	void (*moment)(void *arg);
	void *arg;
	uint64_t random;
} sim;

static bool
tracked(const char *path)
{
	for (size_t i = 0; i < sim.world_count; i++) {
		size_t len = strlen(sim.worlds[i]);

		if (strncmp(path, sim.worlds[i], len) == 0 && path[len] == '/')
			return true;
	}
	return false;
}

static void
count(void)
{
	sim.calls++;
	if (sim.at && sim.calls == sim.at)
		sim.moment(sim.arg);
}

static struct file *
file_new(void)
{
	if (sim.file_count == FILES_MAX)
		abort();
	return sim.files[sim.file_count++] = calloc(1, sizeof(struct file));
}

static void
change_add(struct file *file, struct change change)
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

/* Put [from, to) of a change on ${bytes}. */
static void
change_put(uint8_t **bytes, size_t *len, const struct change *change, size_t from, size_t to)
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

static void
changes_forget(struct file *file)
{
	for (size_t i = 0; i < file->count; i++)
		free(file->changes[i].bytes);
	file->count = 0;
}

static void
name_set(struct name *names, size_t *names_count, const char *path, struct file *file)
{
	for (size_t i = 0; i < *names_count; i++) {
		if (strcmp(names[i].path, path) != 0)
			continue;
		if (file)
			names[i].file = file;
		else
			names[i] = names[--*names_count];
		return;
	}
	if (!file)
		return;
	if (*names_count == NAMES_MAX)
		abort();
	snprintf(names[*names_count].path, PATH_LEN, "%s", path);
	names[(*names_count)++].file = file;
}

static struct file *
name_get(const char *path)
{
	for (size_t i = 0; i < sim.seen_count; i++)
		if (strcmp(sim.seen[i].path, path) == 0)
			return sim.seen[i].file;
	return NULL;
}

static void
name_change(const char *path, struct file *file, size_t group)
{
	struct name_op *op = &sim.ops[sim.op_count++];

	if (sim.op_count == OPS_MAX)
		abort();
	name_set(sim.seen, &sim.seen_count, path, file);
	snprintf(op->path, PATH_LEN, "%s", path);
	op->file = file;
	op->group = group;
}

static int
power_open(const char *path, int flags, mode_t mode)
{
	struct file *file;
	int fd;

	pthread_mutex_lock(&lock);
	if (tracked(path) && flags & O_CREAT)
		count();
	fd = disk_ops_real.open(path, flags, mode);
	if (fd >= 0 && fd < FD_MAX) {
		sim.by_fd[fd] = NULL;
		sim.directory_by_fd[fd][0] = 0;
		if (flags & O_DIRECTORY) {
			snprintf(sim.directory_by_fd[fd], PATH_LEN, "%s", path);
		} else if (tracked(path)) {
			file = name_get(path);
			if (!file) {
				file = file_new();
				name_change(path, file, ++sim.groups);
			}
			if (flags & O_TRUNC)
				change_add(file, (struct change){ 0, 0, NULL, false });
			sim.by_fd[fd] = file;
		}
	}
	pthread_mutex_unlock(&lock);
	return fd;
}

static int
power_close(int fd)
{
	int r;

	pthread_mutex_lock(&lock);
	if (fd >= 0 && fd < FD_MAX) {
		sim.by_fd[fd] = NULL;
		sim.directory_by_fd[fd][0] = 0;
	}
	r = disk_ops_real.close(fd);
	pthread_mutex_unlock(&lock);
	return r;
}

static ssize_t
power_pwritev(int fd, const struct iovec *iov, int iov_count, off_t offset)
{
	struct file *file;
	ssize_t n;

	pthread_mutex_lock(&lock);
	file = fd < FD_MAX ? sim.by_fd[fd] : NULL;
	if (file)
		count();
	n = disk_ops_real.pwritev(fd, iov, iov_count, offset);
	if (file && n > 0) {
		struct change change = { (uint64_t)offset, (size_t)n, malloc((size_t)n), false };
		size_t at = 0;

		for (int i = 0; at < (size_t)n; i++) {
			size_t part = iov[i].iov_len < (size_t)n - at ? iov[i].iov_len : (size_t)n - at;

			if (part)
				memcpy(change.bytes + at, iov[i].iov_base, part);
			at += part;
		}
		change_add(file, change);
	}
	pthread_mutex_unlock(&lock);
	return n;
}

static void
directory_sync(const char *directory)
{
	size_t kept = 0, len = strlen(directory);

	for (size_t i = 0; i < sim.op_count; i++) {
		struct name_op *op = &sim.ops[i];

		if (strncmp(op->path, directory, len) == 0 && op->path[len] == '/' &&
		    !strchr(op->path + len + 1, '/'))
			name_set(sim.disk, &sim.disk_count, op->path, op->file);
		else
			sim.ops[kept++] = *op;
	}
	sim.op_count = kept;
}

static int
power_sync(int fd)
{
	struct file *file;
	int r = 0;

	pthread_mutex_lock(&lock);
	file = fd < FD_MAX ? sim.by_fd[fd] : NULL;
	if (file) {
		count();
		if (sim.fail_sync && ++sim.syncs == sim.fail_sync) {
			changes_forget(file);
			errno = EIO;
			r = -1;
		}
		for (size_t i = 0; i < file->count; i++)
			change_put(&file->disk, &file->disk_len, &file->changes[i], 0, file->changes[i].len);
		changes_forget(file);
	} else if (fd < FD_MAX && sim.directory_by_fd[fd][0]) {
		count();
		directory_sync(sim.directory_by_fd[fd]);
	}
	pthread_mutex_unlock(&lock);
	return r;
}

static int
power_ftruncate(int fd, off_t size)
{
	int r;

	pthread_mutex_lock(&lock);
	if (fd < FD_MAX && sim.by_fd[fd])
		count();
	r = disk_ops_real.ftruncate(fd, size);
	if (r == 0 && fd < FD_MAX && sim.by_fd[fd])
		change_add(sim.by_fd[fd], (struct change){ (uint64_t)size, 0, NULL, false });
	pthread_mutex_unlock(&lock);
	return r;
}

static int
power_fallocate(int fd, int mode, off_t offset, off_t len)
{
	int r;

	pthread_mutex_lock(&lock);
	if (fd < FD_MAX && sim.by_fd[fd])
		count();
	r = disk_ops_real.fallocate(fd, mode, offset, len);
	if (r == 0 && fd < FD_MAX && sim.by_fd[fd])
		change_add(sim.by_fd[fd], (struct change){ (uint64_t)(offset + len), 0, NULL, true });
	pthread_mutex_unlock(&lock);
	return r;
}

static int
power_rename(const char *from, const char *to)
{
	int r;

	pthread_mutex_lock(&lock);
	if (tracked(from))
		count();
	r = disk_ops_real.rename(from, to);
	if (r == 0 && tracked(from)) {
		struct file *file = name_get(from);

		sim.groups++;
		name_change(to, file, sim.groups);
		name_change(from, NULL, sim.groups);
	}
	pthread_mutex_unlock(&lock);
	return r;
}

static int
power_unlink(const char *path)
{
	int r;

	pthread_mutex_lock(&lock);
	if (tracked(path))
		count();
	r = disk_ops_real.unlink(path);
	if (r == 0 && tracked(path))
		name_change(path, NULL, ++sim.groups);
	pthread_mutex_unlock(&lock);
	return r;
}

/* ${path} below ${from} as it is called below ${to}; false when it is not below ${from}. */
static bool
moved(const char *path, const char *from, const char *to, char out[static PATH_LEN])
{
	size_t len = strlen(from);

	if (strncmp(path, from, len) != 0 || path[len] != '/')
		return false;
	snprintf(out, PATH_LEN, "%s%s", to, path + len);
	return true;
}

/* What is on disk of ${file}, with a random part of what was not synced. */
static uint8_t *
remains(const struct file *file, size_t *len)
{
	uint8_t *bytes = malloc(file->disk_len + 1);
	unsigned mood = (unsigned)(rig_random(&sim.random) %
				   4); /* nothing, everything, a coin for each sector, a prefix */
	size_t changes = mood == 3 && file->count ? rig_random(&sim.random) % (file->count + 1) : file->count;

	*len = file->disk_len;
	memcpy(bytes, file->disk ? file->disk : (const uint8_t *)"", file->disk_len);
	for (size_t i = 0; mood != 0 && i < changes; i++) {
		const struct change *change = &file->changes[i];
		size_t from = 0;

		if (!change->bytes) {
			if (mood != 2 || rig_random(&sim.random) % 2)
				change_put(&bytes, len, change, 0, 0);
			continue;
		}
		while (from < change->len) { /* up to the next sector border */
			size_t to = from + SECTOR - (size_t)((change->offset + from) % SECTOR);

			if (to > change->len)
				to = change->len;
			if (mood != 2 || rig_random(&sim.random) % 2)
				change_put(&bytes, len, change, from, to);
			from = to;
		}
	}
	return bytes;
}

void
power_lost(const char *from, const char *to)
{
	static struct name names[NAMES_MAX];
	size_t names_count = sim.disk_count, group;
	char path[PATH_LEN];

	memcpy(names, sim.disk, sim.disk_count * sizeof *names);
	group = sim.op_count ? sim.ops[rig_random(&sim.random) % sim.op_count].group : 0;
	for (size_t i = 0; i < sim.op_count; i++)
		if (sim.ops[i].group < group)
			name_set(names, &names_count, sim.ops[i].path, sim.ops[i].file);
	for (size_t i = 0; i < names_count; i++) {
		uint8_t *bytes;
		size_t len;

		if (!moved(names[i].path, from, to, path))
			continue;
		bytes = remains(names[i].file, &len);
		rig_save(path, bytes, len);
		free(bytes);
	}
}

static struct file *
file_clone(const struct file *file)
{
	struct file *clone = file_new();

	clone->disk = malloc(file->disk_len + 1);
	clone->disk_len = file->disk_len;
	memcpy(clone->disk, file->disk ? file->disk : (const uint8_t *)"", file->disk_len);
	for (size_t i = 0; i < file->count; i++) {
		struct change change = file->changes[i];

		if (change.bytes) {
			change.bytes = malloc(change.len + 1);
			memcpy(change.bytes, file->changes[i].bytes, change.len);
		}
		change_add(clone, change);
	}
	return clone;
}

void
power_killed(const char *from, const char *to)
{
	struct file *clones[FILES_MAX] = { NULL };
	char path[PATH_LEN];
	size_t seen = sim.seen_count;

	snprintf(sim.worlds[sim.world_count++], PATH_LEN, "%s", to);
	for (size_t i = 0; i < seen; i++) {
		uint8_t *bytes;
		size_t len, at = 0;

		if (!moved(sim.seen[i].path, from, to, path))
			continue;
		while (sim.files[at] != sim.seen[i].file)
			at++;
		clones[at] = file_clone(sim.seen[i].file);
		/* names are taken as synced: losing them is the business of power_lost */
		name_set(sim.seen, &sim.seen_count, path, clones[at]);
		name_set(sim.disk, &sim.disk_count, path, clones[at]);
		bytes = rig_load(sim.seen[i].path, &len);
		if (!bytes)
			abort();
		rig_save(path, bytes, len);
		free(bytes);
	}
}

void
power_install(uint64_t seed)
{
	static struct disk_ops ops;

	memset(&sim, 0, sizeof sim);
	sim.random = seed;
	ops = disk_ops_real;
	ops.open = power_open;
	ops.close = power_close;
	ops.pwritev = power_pwritev;
	ops.fdatasync = ops.fsync = power_sync;
	ops.ftruncate = power_ftruncate;
	ops.fallocate = power_fallocate;
	ops.rename = power_rename;
	ops.unlink = power_unlink;
	disk_replace(&ops);
}

void
power_remove(void)
{
	disk_replace(NULL);
	for (size_t i = 0; i < sim.file_count; i++) {
		changes_forget(sim.files[i]);
		free(sim.files[i]->changes);
		free(sim.files[i]->disk);
		free(sim.files[i]);
	}
	sim.file_count = 0;
}

void
power_world(const char *directory)
{
	pthread_mutex_lock(&lock);
	snprintf(sim.worlds[sim.world_count++], PATH_LEN, "%s", directory);
	pthread_mutex_unlock(&lock);
}

void
power_at(size_t nth, void (*moment)(void *arg), void *arg)
{
	pthread_mutex_lock(&lock);
	sim.calls = 0;
	sim.at = nth;
	sim.moment = moment;
	sim.arg = arg;
	pthread_mutex_unlock(&lock);
}

size_t
power_count(void)
{
	size_t calls;

	pthread_mutex_lock(&lock);
	calls = sim.calls;
	pthread_mutex_unlock(&lock);
	return calls;
}

void
power_fail_sync(size_t nth)
{
	pthread_mutex_lock(&lock);
	sim.syncs = 0;
	sim.fail_sync = nth;
	pthread_mutex_unlock(&lock);
}
