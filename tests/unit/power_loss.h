/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk that forgets: it stands in for the system calls of the store and keeps, beside what programs see (the page cache), what would
 * be there after the power went: file content only as far as it was synced, names (of files and directories) only as far as their
 * directory was.
 *
 * What was written and not synced may survive in any part and in any order, sector by sector; of names changed and not synced any may
 * survive, but the two halves of a rename only together. A sync that fails forgets that the pages were dirty, as Linux does: a later sync
 * then succeeds and writes nothing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Stand in for the disk, for everything below the directories that power_world names. */
void power_install(uint64_t seed);
void power_remove(void);

/* What is below ${directory} now is taken to be on disk; what is made there from now on is kept track of. */
void power_world(const char *directory);

/* Before the ${nth} call that changes or syncs something (from 1): run ${moment}, on whichever thread calls. 0: never. */
void power_at(size_t nth, void (*moment)(void *arg), void *arg);

/* The same before every one. */
void power_every(void (*moment)(void *arg), void *arg);

/* Run it now, between two calls. */
void power_now(void);

/* Such calls since power_at or power_every. */
size_t power_count(void);

/* The ${nth} sync of a file's content from now on (from 1) fails with EIO and forgets. 0: none. */
void power_fail_sync(size_t nth);

/* Not one free block: no file grows, none is told to be free. */
void power_full(bool full);

/* Everything below one directory at one moment: what programs see, what is on disk, and what is on the way. */
struct power_state;

/* May be called within a moment. */
struct power_state *power_snapshot(const char *directory);
void power_state_free(struct power_state *state);

enum power_variant {
	POWER_DROPPED,	 /* all that was not synced is gone */
	POWER_TORN,	 /* of each file any sectors of it are there; names up to some point of their order */
	POWER_REORDERED, /* younger writes are there, older are not; any names */
	POWER_VARIANTS,
};

/* What the power's end leaves of ${state}, as plain files below ${to}. */
void power_lost_of(
    const struct power_state *state, enum power_variant variant, uint64_t seed, const char *to);

/* The same of ${from} as it is now, some variant. May be called within a moment. */
void power_lost(const char *from, const char *to);

/* What a killed process leaves of ${state}, below ${to}, a world of its own: page cache and disk are as they were. */
void power_killed_of(const struct power_state *state, const char *to);

/* The same of ${from} as it is now. May be called within a moment. */
void power_killed(const char *from, const char *to);
