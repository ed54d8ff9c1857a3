/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A journal in memory for tests of the core: records are kept, and their commit waits until the test says so.
 */
#pragma once

#include "broker/core/core.h"

struct fake_record {
	struct record_head head;
	struct buffer facts, decision, body;
	journal_done_fn *done;
	void *arg;
	bool push;
	bool committed;
	bool failed;
	bool removed; /* by retention */
	uint32_t segment;
};

struct fake_journal {
	struct fake_record *records;
	size_t count;
	size_t committed; /* records before this one have had their done */
	uint64_t now_us;
	bool below_floor;
	bool full;
	int append_error;
	uint64_t disk_total;
	uint32_t segment;      /* where records go now; the test counts up */
	unsigned workers_full; /* so many jobs are refused */
};

extern struct fake_journal fake;

void fake_reset(void);

/* Commit (or, with ${error}, fail) everything appended so far, callbacks in order. */
void fake_commit(int error);

/* Run the jobs given to workers_submit so far, and their done. */
void fake_work(void);

/* Run them only: their done comes with the next fake_work. */
void fake_run(void);

/* Retention of every segment before ${segment}: ask ${core}, carry, remove. */
void fake_retain(struct core *core, uint32_t segment);

/* Feed every committed record to core_replay. */
int fake_replay(struct core *core);
