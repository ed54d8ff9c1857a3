/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk that forgets: it stands in for the system calls of the store and keeps, beside what programs see (the page cache), what would
 * be there after the power went: file content only as far as it was synced, names only as far as their directory was.
 *
 * What was written and not synced may survive in any part, sector by sector; names changed and not synced survive up to some point of their
 * order. A sync that fails forgets that the pages were dirty, as Linux does: a later sync then succeeds and writes nothing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Stand in for the disk, for everything below ${root}'s that power_world names. */
void power_install(uint64_t seed);
void power_remove(void);

/* Files made below ${directory} (an empty one) from now on are kept track of. Directories in it count as synced. */
void power_world(const char *directory);

/* Before the ${nth} call that changes or syncs something (from 1): run ${moment}, on whichever thread calls. 0: never. */
void power_at(size_t nth, void (*moment)(void *arg), void *arg);

/* Such calls since power_at. */
size_t power_count(void);

/* The ${nth} sync of a file's content from now on (from 1) fails with EIO and forgets. 0: none. */
void power_fail_sync(size_t nth);

/* What the power's end leaves of ${from}, as plain files below ${to}. May be called within a moment. */
void power_lost(const char *from, const char *to);

/* What a killed process leaves of ${from}, below ${to}, a world of its own: page cache and disk are as they were. The same. */
void power_killed(const char *from, const char *to);
