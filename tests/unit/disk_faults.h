/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk that refuses on demand: the nth call of one kind fails, once or from then on; writes may be cut short; free space may be
 * invented; syncs may be skipped where only speed counts. Any thread may call it. Everything else goes to the real disk.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum refused_call {
	REFUSE_NONE,
	REFUSE_OPEN,
	REFUSE_READ,
	REFUSE_WRITE,
	REFUSE_FDATASYNC,
	REFUSE_FSYNC,
	REFUSE_FTRUNCATE,
	REFUSE_FALLOCATE,
	REFUSE_RENAME,
	REFUSE_UNLINK,
	REFUSE_MKDIR,
	REFUSE_KINDS,
};

/* Stand in for the disk, with no fault yet. */
void faults_install(void);
/* The real disk again. */
void faults_remove(void);

/* From now on the ${nth} call (from 1) of ${kind} gives ${error}; ${forever}: and every later one. Counting begins anew. */
void faults_at(enum refused_call kind, size_t nth, int error, bool forever);
void faults_none(void);

/* Calls of ${kind} since faults_at or faults_none. */
size_t faults_count(enum refused_call kind);

/* Each write takes at most ${bytes}; 0: as asked. Every other call is interrupted (EINTR) first. */
void faults_short_writes(size_t bytes);

/* From now on the ${nth} write (from 1) takes half of what it is given; ${forever}: and every later one. 0: none. */
void faults_short_at(size_t nth, bool forever);

/* Each write takes ${ms} longer. */
void faults_slow_writes(unsigned ms);

/* Syncs do nothing: for sweeps of thousands of opens. */
void faults_skip_sync(bool skip);

/* What statvfs tells as free; UINT64_MAX: the truth. */
void faults_space(uint64_t free_bytes);

/* A write that makes a file longer fails with ENOSPC, and so does allocating: a disk with not one free block. */
void faults_no_growth(bool full);

/* Reading any of ${len} bytes at ${offset} of the file now at ${path} gives EIO; NULL: no more. */
void faults_bad_sector(const char *path, uint64_t offset, size_t len);
