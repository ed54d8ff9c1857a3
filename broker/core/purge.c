/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purging a message: the act is journalled, then its bytes and what its facts tell of a patient are overwritten, on a worker.
 *
 * What still waits somewhere, or has a replay that does, is not purged: its receiver would get something else than was accepted. Acts that a
 * crash left undone are found by the replay and finished at the start.
 */
#include <errno.h>
#include <stdlib.h>

#include "broker/base/log.h"
#include "broker/core/core.h"
#include "broker/core/state.h"

#define PURGE_ROOM ((size_t)4 << 10)
#define REASON_MAX 1024u

struct purging {
	struct workers_job job; /* first */
	struct core *core;
	uint64_t seq;
	struct buffer decision;
	struct record_head head;
	core_settled_fn *done;
	void *arg;
	int result;
};

/* Acts of former runs, done again: those that were finished cost a look at their record. */
struct resuming {
	struct workers_job job; /* first */
	struct journal *journal;
	uint64_t *seqs;
	size_t count;
};

static void
purge_run(struct workers_job *job)
{
	struct purging *purging = (struct purging *)job;

	purging->result = journal_purge(purging->core->journal, purging->seq, facts_blank);
}

static void
purge_end(struct purging *purging, int result)
{
	purging->core->in_flight--;
	purging->done(purging->arg, result == JOURNAL_BUSY     ? -EBUSY
				    : result == JOURNAL_ABSENT ? -ENOENT
				    : result > 0	       ? -EIO
							       : result);
	buffer_fini(&purging->decision);
	free(purging);
}

static void
purge_done(struct workers_job *job)
{
	struct purging *purging = (struct purging *)job;

	purge_end(purging, purging->result);
}

static void
purge_journalled(void *arg, int error)
{
	struct purging *purging = arg;

	purging->job.run = purge_run;
	purging->job.done = purge_done;
	if (error)
		purge_end(purging, error);
	else if (purging->core->stopping || workers_submit(purging->core->workers, &purging->job))
		purge_end(purging, -EBUSY); /* the next start finishes it */
}

void
core_purge(
    struct core *core, uint64_t seq, const char *who, const char *reason, core_settled_fn *done, void *arg)
{
	struct decision decision = {
		.who = span_str(who),
		.what = span_str(PURGE_WHAT),
		.text = span_cut(span_str(reason), 0, REASON_MAX),
	};
	struct journal_entry entry = { .type = RECORD_OPERATOR, .ref = seq };
	struct journal_place place;
	struct purging *purging;
	int r;

	if (journal_find(core->journal, seq, &place) || core_is_live(core, seq)) {
		done(arg, journal_find(core->journal, seq, &place) ? -ENOENT : -EBUSY);
		return;
	}
	purging = calloc(1, sizeof *purging);
	if (!purging) {
		done(arg, -ENOMEM);
		return;
	}
	purging->core = core;
	purging->seq = seq;
	purging->done = done;
	purging->arg = arg;
	buffer_init(&purging->decision, PURGE_ROOM);
	decision_encode(&decision, &purging->decision);
	entry.decision = buffer_span(&purging->decision);
	core->in_flight++;
	r = buffer_failed(&purging->decision)
		? -ENOMEM
		: journal_append(core->journal, &entry, purge_journalled, purging, &purging->head);
	if (r)
		purge_end(purging, r < 0 ? r : -ENOSPC);
}

int
core_purge_replayed(struct core *core, uint64_t seq)
{
	uint64_t *all = reallocarray(core->purges, core->purge_count + 1, sizeof *all);

	if (!all)
		return -ENOMEM;
	core->purges = all;
	all[core->purge_count++] = seq;
	return 0;
}

static void
resume_run(struct workers_job *job)
{
	struct resuming *resuming = (struct resuming *)job;
	int r;

	for (size_t i = 0; i < resuming->count; i++) {
		r = journal_purge(resuming->journal, resuming->seqs[i], facts_blank);
		if (r == 0 || r == JOURNAL_ABSENT)
			continue;
		{
			struct log_line line;

			log_begin(&line, EVENT_PURGE_UNFINISHED);
			log_u64(&line, "id", resuming->seqs[i]);
			if (r < 0)
				log_errno(&line, r);
			log_commit(&line);
		}
	}
}

static void
resume_done(struct workers_job *job)
{
	struct resuming *resuming = (struct resuming *)job;

	free(resuming->seqs);
	free(resuming);
}

int
core_purges_resume(struct core *core)
{
	struct resuming *resuming;

	if (core->purge_count == 0)
		return 0;
	resuming = calloc(1, sizeof *resuming);
	if (!resuming)
		return -ENOMEM;
	resuming->job.run = resume_run;
	resuming->job.done = resume_done;
	resuming->journal = core->journal;
	resuming->seqs = core->purges;
	resuming->count = core->purge_count;
	core->purges = NULL;
	core->purge_count = 0;
	if (workers_submit(core->workers, &resuming->job)) {
		resume_done(&resuming->job);
		return -EAGAIN;
	}
	return 0;
}
