/* SPDX-License-Identifier: Apache-2.0 */
/* A journal whose files lie in memory, for the program flips: opened, read and written through the store's table of system calls. */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/unit/journal_rig.h"

#define FLIPS_DIRECTORY "/flips"
#define FLIPS_FILES	100

struct flips_file {
	uint32_t number;
	uint8_t *bytes; /* what programs see and change */
	uint8_t *kept;	/* what it was */
	uint64_t len, kept_len, made;
	uint64_t until; /* bits are turned before it */
	bool sealed, dirty;
};

/*
 * Make a journal of ${kib} KiB, the last segment still open as a killed broker leaves it, and stand in for the disk with its files. Returns the last
 * sequence; record n is (*${recordsp})[n].
 */
uint64_t flips_disk_make(
    size_t kib, struct flips_file **filesp, size_t *file_count, struct rig_record **recordsp);

/* Turn one bit; put back all that was changed since. */
void flips_disk_turn(size_t file, uint64_t at, unsigned bit);
void flips_disk_turn_back(void);
