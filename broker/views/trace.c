/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The projector: the thread that follows the journal into the trace's database, and the doors to it.
 *
 * Two locks, never held together but in the order read, state: ${read} guards the reading connection (and its being closed for a
 * rebuild), ${state} the few words that other threads ask for. The writing connection is the thread's alone.
 */
#include "broker/views/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "broker/base/clock.h"
#include "broker/base/log.h"
#include "broker/base/metrics.h"
#include "broker/store/segment.h"
#include "broker/views/trace_read.h"
#include "broker/views/trace_store.h"
#include "codecs/digest.h"

#define BATCH_RECORDS  1024		   /* per transaction */
#define RECORD_MEMORY  ((size_t)256 << 20) /* facts of one record, decoded; freed with it */
#define WAIT_MS	       200		   /* how soon a stop or a rebuild is noticed */
#define REMOVED_MAX    64		   /* removals seen before the rows are looked through */
#define RETRY_FIRST_MS 500
#define RETRY_MAX_MS   30000
#define NICE	       10

struct trace {
	struct journal *journal;
	char *path;
	char identity[33]; /* of the journal, so that a copied database is not believed */
	pthread_t thread;

	pthread_mutex_t state;
	pthread_cond_t changed;
	uint64_t seen;
	bool well;
	bool stop;
	uint64_t rebuilds_asked, rebuilds_done; /* a rebuild is asked for by counting up */
	uint64_t rebuilt_rows;
	bool broken; /* a reader found the database damaged */

	pthread_mutex_t read;
	struct trace_reader reader;

	/* The thread's own */
	struct trace_store *store;
	struct trace_position position; /* as committed in the database */
	struct arena arena;
	bool prune;		       /* the journal removed segments: rows may have to go */
	uint32_t removed[REMOVED_MAX]; /* which */
	size_t removed_count;
	uint64_t rebuild;     /* the rebuild under way, 0: none */
	uint64_t rebuild_end; /* it is done when this record has been seen */
	bool anew;	      /* the same, of our own accord: the database was damaged, foreign or gone */
	bool failure_told;
};

static bool
stopping(struct trace *trace)
{
	bool stop;

	pthread_mutex_lock(&trace->state);
	stop = trace->stop;
	pthread_mutex_unlock(&trace->state);
	return stop;
}

static void
publish(struct trace *trace, uint64_t seen, bool well)
{
	uint64_t committed = journal_committed(trace->journal);

	pthread_mutex_lock(&trace->state);
	trace->seen = seen;
	trace->well = well;
	pthread_cond_broadcast(&trace->changed);
	pthread_mutex_unlock(&trace->state);
	metric_set(metric_series(METRIC_VIEW_LAG, NULL), committed > seen ? (int64_t)(committed - seen) : 0);
}

/* A failure is logged once until the view works again, and tried again for ever. */
static void
tell_failure(struct trace *trace, int error)
{
	struct log_line line;

	if (trace->failure_told)
		return;
	trace->failure_told = true;
	log_begin(&line, EVENT_VIEW_FAILED);
	log_text(&line, "view", "trace");
	log_errno(&line, error);
	log_commit(&line);
}

static void
remove_database(struct trace *trace)
{
	/* The reader must not go on with a file that is no longer there. */
	pthread_mutex_lock(&trace->read);
	trace_reader_close(&trace->reader);
	trace_store_remove(trace->path);
	pthread_mutex_unlock(&trace->read);
}

/* Without being asked; what was seen is seen again. */
static void
make_anew(struct trace *trace)
{
	remove_database(trace);
	trace->anew = true;
	trace->rebuild_end = journal_committed(trace->journal);
	trace->position = (struct trace_position){ 0 };
}

/* Whether the open database is still what lies on disk: readers open it by its name. */
static int
look_at_database(struct trace *trace)
{
	bool broken;

	pthread_mutex_lock(&trace->state);
	broken = trace->broken;
	trace->broken = false;
	pthread_mutex_unlock(&trace->state);
	if (broken)
		return -EUCLEAN;
	return access(trace->path, F_OK) == 0 ? 0 : -errno;
}

static void
close_store(struct trace *trace)
{
	if (trace->store)
		trace_store_rollback(trace->store);
	trace_store_close(trace->store);
	trace->store = NULL;
}

/* Open the database; one that is damaged, foreign, or ahead of the journal is made anew. */
static int
open_store(struct trace *trace)
{
	for (int attempt = 0;; attempt++) {
		int r = trace_store_open(&trace->store, trace->path, trace->identity, &trace->position);

		if (!r && trace->position.seen <= journal_committed(trace->journal)) {
			trace->prune = true; /* a removal may have been seen just before the last stop */
			publish(trace, trace->position.seen, true);
			return 0;
		}
		if (!r)
			close_store(trace);
		else if (r != TRACE_FOREIGN && r != -EUCLEAN)
			return r;
		if (attempt)
			return r ? -EIO : -ESTALE;
		if (r == -EUCLEAN)
			tell_failure(trace, r);
		make_anew(trace);
	}
}

/* A removal is recorded before the segment goes: what lies there is as good as gone. */
static void
note_removal(struct trace *trace, const struct record *record)
{
	struct segment_removal removal;

	if (record->head.type != RECORD_REMOVED)
		return;
	trace->prune = true;
	if (trace->removed_count < REMOVED_MAX && segment_removal_decode(record->facts, &removal))
		trace->removed[trace->removed_count++] = removal.number;
}

/* Records into the open transaction until the batch is full or the journal ends. 0, JOURNAL_END, -errno. */
static int
fill_batch(struct trace *trace, struct trace_position *position)
{
	for (unsigned n = 0; n < BATCH_RECORDS && trace->removed_count < REMOVED_MAX; n++) {
		uint64_t committed = journal_committed(trace->journal);
		struct record record;
		int r;

		arena_reset(&trace->arena);
		r = journal_next(trace->journal, &position->cursor, &trace->arena, &record);
		if (r == JOURNAL_END && position->seen < committed)
			position->seen = committed; /* what is damaged is passed over */
		if (r)
			return r;
		note_removal(trace, &record);
		if ((r = trace_store_put(trace->store, &record, &trace->arena)) != 0)
			return r;
		if (position->seen < record.head.seq)
			position->seen = record.head.seq;
	}
	return 0;
}

/* One transaction. 0: there may be more; JOURNAL_END: all seen; -errno. */
static int
project(struct trace *trace)
{
	struct trace_position position = trace->position;
	bool pruned = false;
	int end, r;

	if ((r = trace_store_begin(trace->store)) != 0)
		return r;
	end = fill_batch(trace, &position);
	if (end < 0)
		return end;
	if (trace->prune && (end == JOURNAL_END || trace->removed_count == REMOVED_MAX)) {
		r = trace_store_prune(trace->store, trace->journal, trace->removed, trace->removed_count);
		if (r)
			return r;
		pruned = true;
	}
	if ((r = trace_store_commit(trace->store, &position)) != 0)
		return r;
	trace->position = position;
	if (pruned) {
		trace->prune = false;
		trace->removed_count = 0;
	}
	/* Who waits for a record of a removal wants the rows gone too. */
	if (!trace->prune)
		publish(trace, position.seen, true);
	return end;
}

/* Nap that a stop or a new rebuild ends. */
static void
nap(struct trace *trace, unsigned ms)
{
	struct timespec until = clock_after_ms(ms);
	uint64_t known = trace->rebuild;

	pthread_mutex_lock(&trace->state);
	if (!known)
		known = trace->rebuilds_done;
	while (!trace->stop && trace->rebuilds_asked == known)
		if (pthread_cond_timedwait(&trace->changed, &trace->state, &until))
			break;
	pthread_mutex_unlock(&trace->state);
}

static void
begin_rebuild(struct trace *trace)
{
	uint64_t asked;

	pthread_mutex_lock(&trace->state);
	asked = trace->rebuilds_asked;
	if (asked != trace->rebuilds_done && asked != trace->rebuild)
		trace->seen = 0;
	else
		asked = 0;
	pthread_mutex_unlock(&trace->state);
	if (!asked)
		return;
	close_store(trace);
	remove_database(trace);
	trace->rebuild = asked;
	trace->rebuild_end = journal_committed(trace->journal);
}

static int
end_rebuild(struct trace *trace)
{
	struct log_line line;
	uint64_t rows;
	int r;

	if (!(trace->rebuild || trace->anew) || trace->position.seen < trace->rebuild_end || trace->prune)
		return 0;
	if ((r = trace_store_rows(trace->store, &rows)) != 0)
		return r;
	pthread_mutex_lock(&trace->state);
	if (trace->rebuild)
		trace->rebuilds_done = trace->rebuild;
	trace->rebuilt_rows = rows;
	pthread_cond_broadcast(&trace->changed);
	pthread_mutex_unlock(&trace->state);
	trace->rebuild = 0;
	trace->anew = false;
	log_begin(&line, EVENT_REBUILT);
	log_text(&line, "view", "trace");
	log_u64(&line, "rows", rows);
	log_commit(&line);
	return 0;
}

/* Views give way: an acknowledgement never waits for them. */
static void
lower_priority(void)
{
	struct sched_param param = { 0 };

	(void)pthread_setschedparam(pthread_self(), SCHED_BATCH, &param);
	(void)setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
}

static void *
follow(void *arg)
{
	struct trace *trace = arg;
	unsigned retry_ms = RETRY_FIRST_MS;

	lower_priority();
	while (!stopping(trace)) {
		int r = 0;

		begin_rebuild(trace);
		if (trace->store)
			r = look_at_database(trace);
		else
			r = open_store(trace);
		if (!r)
			r = project(trace);
		if (r >= 0 && end_rebuild(trace) < 0)
			r = -EIO;
		if (r < 0) {
			tell_failure(trace, r);
			close_store(trace);
			if (r == -EUCLEAN || r == -ENOENT)
				make_anew(trace);
			publish(trace, trace->position.seen, false);
			nap(trace, retry_ms);
			retry_ms = retry_ms * 2 < RETRY_MAX_MS ? retry_ms * 2 : RETRY_MAX_MS;
			continue;
		}
		trace->failure_told = false;
		retry_ms = RETRY_FIRST_MS;
		if (r == JOURNAL_END)
			(void)journal_wait(trace->journal, &trace->position.cursor, WAIT_MS);
	}
	close_store(trace);
	return NULL;
}

/* Which journal this is: a digest of its secret, which itself goes nowhere. */
static int
identify(struct trace *trace)
{
	uint8_t digest[DIGEST_SHA256_LEN];
	int r = digest_sha256(span_make(journal_secret(trace->journal), 16), digest);

	if (!r)
		digest_hex(span_make(digest, 16), trace->identity);
	return r;
}

static int
make_path(struct trace *trace, const char *state)
{
	char directory[4096];

	if ((size_t)snprintf(directory, sizeof(directory), "%s/views", state) >= sizeof(directory))
		return -ENAMETOOLONG;
	if (mkdir(directory, 0700) != 0 && errno != EEXIST)
		return -errno;
	return asprintf(&trace->path, "%s/trace.db", directory) < 0 ? -ENOMEM : 0;
}

static int
init_locks(struct trace *trace)
{
	pthread_condattr_t attributes;
	int r = pthread_condattr_init(&attributes);

	if (r)
		return -r;
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	r = pthread_cond_init(&trace->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	if (r)
		return -r;
	pthread_mutex_init(&trace->state, NULL);
	pthread_mutex_init(&trace->read, NULL);
	return 0;
}

int
trace_open(struct trace **tracep, const char *state, struct journal *journal)
{
	struct trace *trace = calloc(1, sizeof(*trace));
	int r;

	if (!trace)
		return -ENOMEM;
	trace->journal = journal;
	trace->well = true;
	arena_init(&trace->arena, RECORD_MEMORY);
	if ((r = init_locks(trace)) != 0) {
		free(trace);
		return r;
	}
	if ((r = make_path(trace, state)) != 0 || (r = identify(trace)) != 0)
		goto fail;
	if ((r = -pthread_create(&trace->thread, NULL, follow, trace)) != 0)
		goto fail;
	*tracep = trace;
	return 0;
fail:
	pthread_cond_destroy(&trace->changed);
	pthread_mutex_destroy(&trace->state);
	pthread_mutex_destroy(&trace->read);
	free(trace->path);
	free(trace);
	return r;
}

void
trace_close(struct trace *trace)
{
	if (!trace)
		return;
	pthread_mutex_lock(&trace->state);
	trace->stop = true;
	pthread_cond_broadcast(&trace->changed);
	pthread_mutex_unlock(&trace->state);
	pthread_join(trace->thread, NULL);
	trace_reader_close(&trace->reader);
	arena_fini(&trace->arena);
	pthread_cond_destroy(&trace->changed);
	pthread_mutex_destroy(&trace->state);
	pthread_mutex_destroy(&trace->read);
	free(trace->path);
	free(trace);
}

bool
trace_wait(struct trace *trace, uint64_t seq, unsigned ms)
{
	struct timespec until = clock_after_ms(ms);
	bool seen;

	pthread_mutex_lock(&trace->state);
	while (trace->seen < seq && !trace->stop)
		if (pthread_cond_timedwait(&trace->changed, &trace->state, &until))
			break;
	seen = trace->seen >= seq;
	pthread_mutex_unlock(&trace->state);
	return seen;
}

uint64_t
trace_seen(struct trace *trace)
{
	uint64_t seen;

	pthread_mutex_lock(&trace->state);
	seen = trace->seen;
	pthread_mutex_unlock(&trace->state);
	return seen;
}

uint64_t
trace_lag(struct trace *trace)
{
	uint64_t committed = journal_committed(trace->journal), seen = trace_seen(trace);

	return committed > seen ? committed - seen : 0;
}

bool
trace_well(struct trace *trace)
{
	bool well;

	pthread_mutex_lock(&trace->state);
	well = trace->well;
	pthread_mutex_unlock(&trace->state);
	return well;
}

int
trace_lock_reader(struct trace *trace, struct trace_reader **readerp)
{
	pthread_mutex_lock(&trace->read);
	*readerp = &trace->reader;
	return trace_reader_open(&trace->reader, trace->path);
}

void
trace_unlock_reader(struct trace *trace, int result)
{
	if (result < 0)
		trace_reader_close(&trace->reader); /* it may be what is wrong */
	pthread_mutex_unlock(&trace->read);
	if (result != -EUCLEAN)
		return;
	pthread_mutex_lock(&trace->state);
	trace->broken = true; /* the thread makes it anew */
	pthread_mutex_unlock(&trace->state);
}

uint64_t
trace_rebuild(struct trace *trace)
{
	uint64_t ticket;

	pthread_mutex_lock(&trace->state);
	ticket = ++trace->rebuilds_asked;
	pthread_cond_broadcast(&trace->changed);
	pthread_mutex_unlock(&trace->state);
	return ticket;
}

int
trace_rebuilt(struct trace *trace, uint64_t ticket, unsigned ms, uint64_t *rowsp)
{
	struct timespec until = clock_after_ms(ms);
	bool done;

	pthread_mutex_lock(&trace->state);
	while (trace->rebuilds_done < ticket && !trace->stop)
		if (pthread_cond_timedwait(&trace->changed, &trace->state, &until))
			break;
	done = trace->rebuilds_done >= ticket;
	*rowsp = trace->rebuilt_rows;
	pthread_mutex_unlock(&trace->state);
	return done ? 0 : -ETIMEDOUT;
}
