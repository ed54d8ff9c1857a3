/* SPDX-License-Identifier: Apache-2.0 */
/* See power_loss.h: what is left of a directory when the power goes, or the process is killed. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/unit/journal_rig.h"
#include "tests/unit/power_private.h"

/* A file of a snapshot: its own copy. */
struct kept_file {
	struct power_file file;
	const struct power_file *twin; /* in the disk it was taken from */
	uint8_t *seen;
	size_t seen_len;
};

/* Paths are relative to the directory, with a slash before them. */
struct power_state {
	struct kept_file *files;
	size_t count;
	struct power_names seen, disk;
	struct power_op *ops;
	size_t op_count;
};

/* What stands behind ${directory} in ${path}, or NULL when it is not below it. */
static const char *
below(const char *path, const char *directory)
{
	size_t len = strlen(directory);

	return strncmp(path, directory, len) == 0 && path[len] == '/' ? path + len : NULL;
}

static void
file_copy(struct power_file *to, const struct power_file *from)
{
	memset(to, 0, sizeof *to);
	to->directory = from->directory;
	to->disk = malloc(from->disk_len + 1);
	to->disk_len = from->disk_len;
	if (from->disk_len)
		memcpy(to->disk, from->disk, from->disk_len);
	for (size_t i = 0; i < from->count; i++) {
		struct power_change change = from->changes[i];

		if (change.bytes) {
			change.bytes = malloc(change.len + 1);
			memcpy(change.bytes, from->changes[i].bytes, change.len);
		}
		power_change_add(to, change);
	}
}

/* The copy of ${file} in ${state}, made when it is not there yet. NULL stays NULL. */
static struct power_file *
twin_of(struct power_state *state, const struct power_file *file)
{
	struct kept_file *kept;

	if (!file)
		return NULL;
	for (size_t i = 0; i < state->count; i++)
		if (state->files[i].twin == file)
			return &state->files[i].file;
	if (state->count == POWER_FILES)
		abort();
	kept = &state->files[state->count++];
	kept->twin = file;
	kept->seen = NULL;
	kept->seen_len = 0;
	file_copy(&kept->file, file);
	return &kept->file;
}

static size_t
files_most(const char *directory)
{
	size_t count = power_sim.op_count;

	for (size_t i = 0; i < power_sim.seen.count; i++)
		count += below(power_sim.seen.names[i].path, directory) != NULL;
	for (size_t i = 0; i < power_sim.disk.count; i++)
		count += below(power_sim.disk.names[i].path, directory) != NULL;
	return count + 1;
}

struct power_state *
power_snapshot(const char *directory)
{
	struct power_state *state = calloc(1, sizeof *state);
	const char *path;

	state->files = calloc(files_most(directory), sizeof *state->files);
	state->ops = calloc(power_sim.op_count + 1, sizeof *state->ops);
	for (size_t i = 0; i < power_sim.disk.count; i++) {
		const struct power_name *name = &power_sim.disk.names[i];

		path = below(name->path, directory);
		if (path)
			power_name_set(&state->disk, path, twin_of(state, name->file));
	}
	for (size_t i = 0; i < power_sim.seen.count; i++) {
		const struct power_name *name = &power_sim.seen.names[i];
		struct kept_file *kept;

		path = below(name->path, directory);
		if (!path)
			continue;
		kept = (struct kept_file *)twin_of(state, name->file); /* its first member */
		power_name_set(&state->seen, path, &kept->file);
		if (!kept->file.directory)
			kept->seen = rig_load(name->path, &kept->seen_len);
	}
	for (size_t i = 0; i < power_sim.op_count; i++) {
		struct power_op *op = &state->ops[state->op_count];

		path = below(power_sim.ops[i].path, directory);
		if (!path)
			continue;
		snprintf(op->path, POWER_PATH, "%s", path);
		op->file = twin_of(state, power_sim.ops[i].file);
		op->group = power_sim.ops[i].group;
		state->op_count++;
	}
	return state;
}

void
power_state_free(struct power_state *state)
{
	if (!state)
		return;
	for (size_t i = 0; i < state->count; i++) {
		power_changes_forget(&state->files[i].file);
		free(state->files[i].file.changes);
		free(state->files[i].file.disk);
		free(state->files[i].seen);
	}
	power_names_free(&state->seen);
	power_names_free(&state->disk);
	free(state->files);
	free(state->ops);
	free(state);
}

/* Whether change ${i} of a file, or one sector of it, arrived; ${from}: younger ones did, in POWER_REORDERED. */
static bool
arrived(enum power_variant variant, size_t i, size_t from, uint64_t *random)
{
	switch (variant) {
	case POWER_TORN:
		return rig_random(random) % 2;
	case POWER_REORDERED:
		return i >= from && rig_random(random) % 8;
	default:
		return false;
	}
}

/* What is on disk of ${file}, with a part of what was not synced. */
static uint8_t *
remains(const struct power_file *file, enum power_variant variant, uint64_t *random, size_t *len)
{
	uint8_t *bytes = malloc(file->disk_len + 1);
	size_t younger = file->count ? rig_random(random) % file->count : 0;
	bool whole = variant == POWER_TORN && rig_random(random) % 4 == 0; /* all was written back already */

	*len = file->disk_len;
	memcpy(bytes, file->disk ? file->disk : (const uint8_t *)"", file->disk_len);
	for (size_t i = 0; i < file->count; i++) {
		const struct power_change *change = &file->changes[i];
		size_t from = 0;

		if (!change->bytes && (whole || arrived(variant, i, younger, random)))
			power_change_put(&bytes, len, change, 0, 0);
		while (change->bytes && from < change->len) { /* up to the next sector border */
			size_t to = from + POWER_SECTOR - (size_t)((change->offset + from) % POWER_SECTOR);

			if (to > change->len)
				to = change->len;
			if (whole || arrived(variant, i, younger, random))
				power_change_put(&bytes, len, change, from, to);
			from = to;
		}
	}
	return bytes;
}

/* The names on disk after the power went. */
static void
names_left(
    const struct power_state *state, enum power_variant variant, uint64_t *random, struct power_names *names)
{
	size_t until = state->op_count ? rig_random(random) % (state->op_count + 1) : 0, group = 0;
	bool there = false;

	for (size_t i = 0; i < state->disk.count; i++)
		power_name_set(names, state->disk.names[i].path, state->disk.names[i].file);
	for (size_t i = 0; i < state->op_count; i++) {
		if (state->ops[i].group != group) {
			group = state->ops[i].group;
			there = variant == POWER_TORN	     ? i < until
				: variant == POWER_REORDERED ? rig_random(random) % 2
							     : false;
		}
		if (there)
			power_name_set(names, state->ops[i].path, state->ops[i].file);
	}
}

static bool
has_name(const struct power_names *names, const char *path, size_t len)
{
	for (size_t i = 0; i < names->count; i++)
		if (strlen(names->names[i].path) == len && strncmp(names->names[i].path, path, len) == 0)
			return true;
	return false;
}

/* Whether every directory above ${path} has its name on disk. */
static bool
reachable(const struct power_names *names, const char *path)
{
	const char *slash;

	for (slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/'))
		if (!has_name(names, path, (size_t)(slash - path)))
			return false;
	return true;
}

/* Directories before what is in them. */
static int
name_compare(const void *a, const void *b)
{
	const struct power_name *x = a, *y = b;

	return strcmp(x->path, y->path);
}

void
power_lost_of(const struct power_state *state, enum power_variant variant, uint64_t seed, const char *to)
{
	struct power_names names = { 0 };
	char path[2 * POWER_PATH];

	names_left(state, variant, &seed, &names);
	if (names.count)
		qsort(names.names, names.count, sizeof *names.names, name_compare);
	for (size_t i = 0; i < names.count; i++) {
		const struct power_file *file = names.names[i].file;
		uint8_t *bytes;
		size_t len;

		if (!reachable(&names, names.names[i].path))
			continue;
		snprintf(path, sizeof path, "%s%s", to, names.names[i].path);
		if (file->directory) {
			(void)mkdir(path, 0750);
			continue;
		}
		bytes = remains(file, variant, &seed, &len);
		rig_save(path, bytes, len);
		free(bytes);
	}
	power_names_free(&names);
}

void
power_lost(const char *from, const char *to)
{
	struct power_state *state = power_snapshot(from);
	uint64_t seed = rig_random(&power_sim.random);

	power_lost_of(state, (enum power_variant)(rig_random(&power_sim.random) % POWER_VARIANTS), seed, to);
	power_state_free(state);
}

static void
world_add(const char *directory)
{
	if (power_sim.world_count == POWER_WORLDS)
		abort();
	snprintf(power_sim.worlds[power_sim.world_count++], POWER_PATH, "%s", directory);
}

void
power_killed_of(const struct power_state *state, const char *to)
{
	struct power_file **clones = calloc(state->count + 1, sizeof(struct power_file *));
	char path[2 * POWER_PATH];

	world_add(to);
	for (size_t i = 0; i < state->count; i++) {
		clones[i] = power_file_new();
		file_copy(clones[i], &state->files[i].file);
	}
	if (state->seen.count)
		qsort(state->seen.names, state->seen.count, sizeof *state->seen.names, name_compare);
	for (size_t i = 0; i < state->seen.count; i++) {
		const struct kept_file *kept = (const struct kept_file *)state->seen.names[i].file;

		snprintf(path, sizeof path, "%s%s", to, state->seen.names[i].path);
		power_name_set(&power_sim.seen, path, clones[kept - state->files]);
		if (kept->file.directory)
			(void)mkdir(path, 0750);
		else
			rig_save(path, kept->seen, kept->seen_len);
	}
	for (size_t i = 0; i < state->disk.count; i++) {
		const struct kept_file *kept = (const struct kept_file *)state->disk.names[i].file;

		snprintf(path, sizeof path, "%s%s", to, state->disk.names[i].path);
		power_name_set(&power_sim.disk, path, clones[kept - state->files]);
	}
	for (size_t i = 0; i < state->op_count; i++) {
		const struct kept_file *kept = (const struct kept_file *)state->ops[i].file;
		struct power_op *op = &power_sim.ops[power_sim.op_count++];

		if (power_sim.op_count == POWER_OPS)
			abort();
		snprintf(op->path, POWER_PATH, "%s%.100s", to, state->ops[i].path);
		op->file = kept ? clones[kept - state->files] : NULL;
		op->group = state->ops[i].group;
	}
	free(clones);
}

void
power_killed(const char *from, const char *to)
{
	struct power_state *state = power_snapshot(from);

	power_killed_of(state, to);
	power_state_free(state);
}

/* What is there already is on disk. */
static void
adopt(const char *directory)
{
	DIR *dir = opendir(directory);
	struct dirent *entry;
	char path[POWER_PATH];
	struct stat st;

	if (!dir)
		abort();
	while ((entry = readdir(dir))) {
		struct power_file *file;

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
		    (size_t)snprintf(path, sizeof path, "%s/%s", directory, entry->d_name) >= sizeof path ||
		    stat(path, &st) != 0)
			continue;
		file = power_file_new();
		power_name_set(&power_sim.seen, path, file);
		power_name_set(&power_sim.disk, path, file);
		if (S_ISDIR(st.st_mode)) {
			file->directory = true;
			adopt(path);
		} else {
			file->disk = rig_load(path, &file->disk_len);
		}
	}
	closedir(dir);
}

void
power_world(const char *directory)
{
	pthread_mutex_lock(&power_lock);
	world_add(directory);
	adopt(directory);
	pthread_mutex_unlock(&power_lock);
}
