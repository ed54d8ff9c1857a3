/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one thing of a disk that the loop may wait for: its own commit of little to a quick journal. Of the writes and syncs of a process's
 * journal this tells which are so, by what it saw of the others: never by asking the process.
 */
#pragma once

#include <stdbool.h>
#include <sys/uio.h>

#define TURN_BYTES ((size_t)32 << 10)
#define TURN_US	   200

/*
 * ${loop}: whether the caller is the loop's thread. A write of at most TURN_BYTES to a segment, when the journal's last sync took less than
 * TURN_US and nobody else writes or syncs that file.
 */
bool turn_may_write(bool loop, int fd, const struct iovec *parts, int count);

/* A sync of what turn_may_write last allowed. */
bool turn_may_sync(bool loop, int fd);

/* Around every write or sync of a segment by those who commit: ${sync}: its time counts. Others and other files are passed over. */
struct turn_call {
	int fd; /* -1: does not count */
	bool sync;
	unsigned long long began_us;
};
struct turn_call turn_begin(bool loop, int fd, bool sync);
void turn_end(const struct turn_call *call);

/* While the file named by LIAISON_SHIM_SLOW is there: a sync takes five milliseconds more. */
void turn_slow_down(void);
