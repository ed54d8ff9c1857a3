/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One broker per state directory: an exclusive flock on the file `lock` in it, freed by the kernel when the process ends.
 */
#pragma once

enum {
	LOCK_HELD = 1, /* another process has it */
};

/* Take the lock of ${directory} (which exists). *${fdp} holds it: give it to lock_release. 0, LOCK_HELD or -errno. Does not wait. */
int lock_take(const char *directory, int *fdp) __attribute__((warn_unused_result));

/* Let go. A negative ${fd} is harmless. The file stays: unlinking it would let two processes lock two files of one name. */
void lock_release(int fd);
