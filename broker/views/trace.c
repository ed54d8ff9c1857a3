/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The trace's thread: it follows the journal, segment by segment, and makes each a part. What has a file that is whole is taken as it is;
 * so a start reads no more of the journal than the segment that was written last, and a part that is lost or damaged is made anew alone.
 */
#include "broker/views/trace.h"

#include <errno.h>
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
#include "broker/views/trace_private.h"

#define BATCH_RECORDS 1024 /* between two looks at what else is wanted */
#define WAIT_MS	      200  /* how soon a stop or a rebuild is noticed */
#define PACE_MS                                                                                              \
	20 /* between two looks at a journal that grows, unless somebody waits: what comes alone costs a wake-up */
#define RETRY_FIRST_MS 500
#define RETRY_MAX_MS   30000
#define NICE	       10

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
publish(struct trace *trace, bool well)
{
	uint64_t committed = journal_committed(trace->journal), seen = trace->position;

	pthread_mutex_lock(&trace->state);
	if (trace->growing)
		trace_part_publish(trace->growing);
	trace->seen = seen;
	trace->well = well;
	pthread_cond_broadcast(&trace->changed);
	pthread_mutex_unlock(&trace->state);
	metric_set(metric_series(METRIC_VIEW_LAG, NULL), committed > seen ? (int64_t)(committed - seen) : 0);
}

/* A failure is logged once until the view works again, and tried again for ever. */
void
trace_tell_failure(struct trace *trace, int error)
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

static bool
is_any(const struct trace_part *part, const void *arg)
{
	(void)part;
	(void)arg;
	return true;
}

static bool
is_broken(const struct trace_part *part, const void *arg)
{
	return part == arg || atomic_load(&part->broken);
}

/* Look at all segments again; those that have their parts cost nothing. */
static void
begin_again(struct trace *trace)
{
	journal_follower_leave(trace->follower);
	trace->next = 0;
	trace->position = 0;
	trace->clean = false;
	trace->rebuild_end = journal_committed(trace->journal);
}

/* Something was damaged or is gone: what is broken is made anew, and nobody is told anything meanwhile that might lack it. */
static void
mend(struct trace *trace, int error)
{
	trace_tell_failure(trace, error);
	trace->anew = true;
	pthread_mutex_lock(&trace->state);
	trace->seen = 0;
	trace->mending = true;
	pthread_mutex_unlock(&trace->state);
	trace_parts_drop(trace, is_broken, trace->growing);
	begin_again(trace);
	publish(trace, true);
}

static void
begin_rebuild(struct trace *trace)
{
	uint64_t asked;

	pthread_mutex_lock(&trace->state);
	asked = trace->rebuilds_asked;
	if (asked != trace->rebuilds_done && asked != trace->rebuild) {
		trace->seen = 0;
		trace->mending = true;
	} else {
		asked = 0;
	}
	pthread_mutex_unlock(&trace->state);
	if (!asked)
		return;
	trace_parts_drop(trace, is_any, NULL);
	trace->rebuild = asked;
	begin_again(trace);
}

static void
end_rebuild(struct trace *trace)
{
	struct log_line line;
	uint64_t rows;

	if (!(trace->rebuild || trace->anew) || trace->position < trace->rebuild_end)
		return;
	rows = trace_parts_rows(trace);
	pthread_mutex_lock(&trace->state);
	if (trace->rebuild)
		trace->rebuilds_done = trace->rebuild;
	trace->rebuilt_rows = rows;
	trace->mending = false;
	pthread_cond_broadcast(&trace->changed);
	pthread_mutex_unlock(&trace->state);
	trace->rebuild = 0;
	trace->anew = false;
	log_begin(&line, EVENT_REBUILT);
	log_text(&line, "view", "trace");
	log_u64(&line, "rows", rows);
	log_commit(&line);
}

/* One step. 0: there may be more; JOURNAL_END: all seen; -errno. */
static int
step(struct trace *trace)
{
	uint64_t committed = journal_committed(trace->journal);
	int r = trace_follow(trace);

	if (r < 0)
		return r;
	if (r == JOURNAL_END && trace->position < committed)
		trace->position = committed; /* what is damaged is passed over */
	publish(trace, true);
	return r;
}

/* Nap that a stop, a new rebuild or (when ${eager}) somebody who waits ends. */
static void
nap(struct trace *trace, unsigned ms, bool eager)
{
	struct timespec until = clock_after_ms(ms);
	uint64_t known = trace->rebuild;

	pthread_mutex_lock(&trace->state);
	if (!known)
		known = trace->rebuilds_done;
	while (
	    !trace->stop && trace->rebuilds_asked == known && !(eager && (trace->waiting || trace->broken)))
		if (pthread_cond_timedwait(&trace->changed, &trace->state, &until))
			break;
	pthread_mutex_unlock(&trace->state);
}

static struct journal_cursor
place(const struct trace *trace)
{
	return trace->growing ? journal_follower_place(trace->follower)
			      : (struct journal_cursor){ trace->next, 0 };
}

/* All is seen: wait for more. */
static void
rest(struct trace *trace)
{
	struct journal_cursor cursor = place(trace);

	if (!trace->clean) {
		trace_parts_clean(trace);
		trace->clean = true;
	}
	if (!trace_parts_look(trace)) {
		mend(trace, -ENOENT);
		return;
	}
	if (journal_wait(trace->journal, &cursor, WAIT_MS))
		nap(trace, PACE_MS, true);
}

/* Views give way: an acknowledgement never waits for them. */
static void
lower_priority(void)
{
	struct sched_param param = { 0 };

	(void)pthread_setschedparam(pthread_self(), SCHED_BATCH, &param);
	(void)setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
}

static bool
take_broken(struct trace *trace)
{
	bool broken;

	pthread_mutex_lock(&trace->state);
	broken = trace->broken;
	trace->broken = false;
	pthread_mutex_unlock(&trace->state);
	return broken;
}

static void *
follow(void *arg)
{
	struct trace *trace = arg;
	unsigned retry_ms = RETRY_FIRST_MS;

	lower_priority();
	while (!stopping(trace)) {
		int r;

		begin_rebuild(trace);
		if (take_broken(trace))
			mend(trace, -EUCLEAN);
		r = step(trace);
		if (r < 0) {
			trace_tell_failure(trace, r);
			publish(trace, false);
			nap(trace, retry_ms, false);
			retry_ms = retry_ms * 2 < RETRY_MAX_MS ? retry_ms * 2 : RETRY_MAX_MS;
			continue;
		}
		end_rebuild(trace);
		retry_ms = RETRY_FIRST_MS;
		if (r == JOURNAL_END) {
			trace->failure_told = false;
			rest(trace);
		}
	}
	journal_follower_free(trace->follower);
	return NULL;
}

/*
 * The doors to it.
 */
static int
make_directory(struct trace *trace, const char *state)
{
	if (asprintf(&trace->directory, "%s/views", state) < 0) {
		trace->directory = NULL;
		return -ENOMEM;
	}
	if (strlen(trace->directory) > TRACE_PATH_MAX - 64)
		return -ENAMETOOLONG;
	return mkdir(trace->directory, 0700) != 0 && errno != EEXIST ? -errno : 0;
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

static void
fini(struct trace *trace)
{
	for (size_t i = 0; i < trace->part_count; i++)
		trace_part_unref(trace->parts[i]);
	free(trace->parts);
	free(trace->gone);
	pthread_cond_destroy(&trace->changed);
	pthread_mutex_destroy(&trace->state);
	pthread_mutex_destroy(&trace->read);
	free(trace->directory);
	free(trace);
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
	if ((r = init_locks(trace)) != 0) {
		free(trace);
		return r;
	}
	if ((r = make_directory(trace, state)) != 0 ||
	    (r = journal_follower_new(&trace->follower, journal)) != 0)
		goto fail;
	if ((r = -pthread_create(&trace->thread, NULL, follow, trace)) != 0)
		goto fail;
	*tracep = trace;
	return 0;
fail:
	journal_follower_free(trace->follower);
	fini(trace);
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
	fini(trace);
}

bool
trace_wait(struct trace *trace, uint64_t seq, unsigned ms)
{
	struct timespec until = clock_after_ms(ms);
	bool seen;

	pthread_mutex_lock(&trace->state);
	trace->waiting++;
	if (trace->seen < seq)
		pthread_cond_broadcast(&trace->changed);
	while (trace->seen < seq && !trace->stop)
		if (pthread_cond_timedwait(&trace->changed, &trace->state, &until))
			break;
	trace->waiting--;
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
