/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The committer's inside: what writes records to the current segment. Shared by commit.c, batch.c and current.c.
 *
 * One thread at a time commits: the one that set journal->committing under the lock and found it unset, which is the commit thread or, for
 * a small batch on a quick disk, the loop's. Everything here is that thread's until it clears the flag.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "broker/store/journal_private.h"

#define STAGE_SIZE   ((size_t)4 << 20)	/* headers and small parts of one batch, copied to be one run */
#define STAGE_PART   ((size_t)64 << 10) /* above it a part is written from where it lies */
#define STAGE_RECORD (RECORD_HEADER_SIZE + 3 * STAGE_PART + RECORD_ALIGN)
#define BATCH_IOV    1000
#define BATCH_BYTES  ((uint64_t)64 << 20) /* a bound on how long the first of a batch waits for the last */

enum {
	ROOM_REFUSED = 1, /* this record has no room; others may have */
};

struct committer {
	struct sha256 sha;
	struct segment *current; /* NULL: begin one with the next record */
	int fd;
	bool listed;  /* current is in the journal's list: something of it is committed */
	bool reserve; /* current is the reserve: no pushes */
	uint8_t *stage;
	size_t stage_len, stage_from; /* bytes used; where the run not yet in iov begins */
	struct iovec iov[BATCH_IOV];
	size_t iov_count;
	uint8_t *entries; /* of the seal to come, encoded */
	size_t entry_count, entry_cap;
	uint8_t head[SEGMENT_HEAD_SIZE];
	unsigned backoff_ms;
	uint64_t sync_us, commit_us; /* how long the last sync took, and with the write before it */
};

/* What of a queue goes out together. */
struct batch {
	struct pending *first, *last, *behind; /* [first, behind) */
	size_t count, carried;
	uint64_t bytes;
	uint64_t last_us, last_seq;	  /* the newest of those born in it; 0: none */
	uint8_t chain[DIGEST_SHA256_LEN]; /* behind it */
	bool news;			  /* there are others than signatures */
	struct sign_batch sign;
};

/* current.c: let go of the current segment without sealing it: what stands behind its end is void. */
void current_abandon(struct journal *journal);

/* Make a segment of the next file. Its head goes out with its first batch. ${push}: not of the reserve. 0, ROOM_REFUSED or -errno. */
int current_begin(struct journal *journal, bool push) __attribute__((warn_unused_result));

/* Whether ${records} records in all, ending at ${end}, and the seal behind them have room in the current segment. */
bool current_fits(const struct committer *c, uint64_t end, size_t records);

/*
 * See to it that ${pending} fits into the current segment; one larger than a segment gets a segment of its own, grown to its size.
 * 0, ROOM_REFUSED, or -errno: the journal cannot be written.
 */
int current_room(struct journal *journal, const struct pending *pending) __attribute__((warn_unused_result));

/* batch.c: lay out as much of the queue as fits; the first is known to. 0 or -errno (nothing was written). */
int batch_build(struct journal *journal, struct pending *first, struct batch *batch)
    __attribute__((warn_unused_result));

/* Make all the room that noting the batch will take, and prepare that. 0 or -ENOMEM. */
int batch_reserve(struct journal *journal, struct batch *batch) __attribute__((warn_unused_result));

/* Write and sync. 0 or -errno: then the batch is void. */
int batch_write(struct journal *journal) __attribute__((warn_unused_result));

/* It is on disk: note its records and complete them. */
void batch_done(struct journal *journal, const struct batch *batch);

/* Sync ${fd}, whose write was begun at ${began} (monotonic), and remember how long that took. 0 or -errno. */
int batch_sync(struct committer *c, int fd, uint64_t began) __attribute__((warn_unused_result));
