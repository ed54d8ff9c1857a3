/* SPDX-License-Identifier: Apache-2.0 */
/* What the two halves of the forgetful disk share: power_loss.c stands in for the calls, power_state.c tells what is left. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/unit/power_loss.h"

#define POWER_SECTOR 512
#define POWER_FDS    1024
#define POWER_FILES  4096
#define POWER_NAMES  1024
#define POWER_OPS    4096
#define POWER_PATH   200
#define POWER_WORLDS 64

/* One write, truncation (bytes NULL) or growth (bytes NULL, grow) that is not on disk. */
struct power_change {
	uint64_t offset;
	size_t len;
	uint8_t *bytes;
	bool grow;
};

struct power_file {
	bool directory; /* nothing but a name */
	uint8_t *disk;	/* what is on disk */
	size_t disk_len;
	struct power_change *changes;
	size_t count, cap;
};

struct power_name {
	char path[POWER_PATH];
	struct power_file *file;
};

/* A name set or, with file NULL, removed; not on disk yet. */
struct power_op {
	char path[POWER_PATH];
	struct power_file *file;
	size_t group; /* the two halves of a rename happen together */
};

struct power_names {
	struct power_name *names;
	size_t count, cap;
};

struct power_sim {
	char worlds[POWER_WORLDS][POWER_PATH];
	size_t world_count;
	struct power_file *files[POWER_FILES];
	size_t file_count;
	struct power_names seen, disk; /* names as programs see them, and on disk */
	struct power_op ops[POWER_OPS];
	size_t op_count, groups;
	struct power_file *by_fd[POWER_FDS];
	char directory_by_fd[POWER_FDS][POWER_PATH];
	size_t calls, at, syncs, fail_sync;
	bool every, full;
	void (*moment)(void *arg);
	void *arg;
	uint64_t random;
};

extern struct power_sim power_sim;
extern pthread_mutex_t power_lock;

struct power_file *power_file_new(void);
void power_change_add(struct power_file *file, struct power_change change);
/* Put [from, to) of a change on ${bytes}. */
void power_change_put(
    uint8_t **bytes, size_t *len, const struct power_change *change, size_t from, size_t to);
void power_changes_forget(struct power_file *file);
void power_file_free(struct power_file *file);
void power_name_set(struct power_names *names, const char *path, struct power_file *file);
void power_names_free(struct power_names *names);
