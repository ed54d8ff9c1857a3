/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scripted run: rolls of segments and seals, records larger than a segment, retention with what it carries, a sync that fails and
 * is forgotten, a full disk and its reserve, an end and a second start. See power.h.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/base/log.h"
#include "broker/base/metrics.h"
#include "broker/store/journal_private.h"
#include "tests/crash/power.h"

#define FLIGHT	    3
#define SEGMENT	    ((uint64_t)16 << 10)
#define RETENTION   ((uint64_t)400 * 1000)
#define PATIENCE_MS 15000

void __real_log_begin(struct log_line *line, enum log_event event);
void __real_log_u64(struct log_line *line, const char *key, uint64_t value);
void __real_log_text(struct log_line *line, const char *key, const char *value);
void __real_log_errno(struct log_line *line, int error);
void __real_log_commit(struct log_line *line);
void __wrap_log_begin(struct log_line *line, enum log_event event);
void __wrap_log_u64(struct log_line *line, const char *key, uint64_t value);
void __wrap_log_text(struct log_line *line, const char *key, const char *value);
void __wrap_log_errno(struct log_line *line, int error);
void __wrap_log_commit(struct log_line *line);

uint64_t __wrap_clock_mono_us(void);

struct run *run_now;

/* A disk that is always quick, whatever the copies at each call take: the loop commits itself as often as it may. */
uint64_t
__wrap_clock_mono_us(void)
{
	static _Atomic uint64_t us = 1000;

	return atomic_fetch_add(&us, 5);
}

/* The line being made on this thread: what it says of segments and files is a promise, too. */
static _Thread_local struct {
	enum log_event event;
	uint32_t segment;
	char file[64];
	bool error;
} line_now;

static pthread_mutex_t told_lock = PTHREAD_MUTEX_INITIALIZER;

void
__wrap_log_begin(struct log_line *line, enum log_event event)
{
	memset(&line_now, 0, sizeof line_now);
	line_now.event = event;
	__real_log_begin(line, event);
}

void
__wrap_log_u64(struct log_line *line, const char *key, uint64_t value)
{
	if (strcmp(key, "segment") == 0)
		line_now.segment = (uint32_t)value;
	__real_log_u64(line, key, value);
}

void
__wrap_log_text(struct log_line *line, const char *key, const char *value)
{
	if (strcmp(key, "file") == 0)
		snprintf(line_now.file, sizeof line_now.file, "%s", value);
	__real_log_text(line, key, value);
}

void
__wrap_log_errno(struct log_line *line, int error)
{
	line_now.error = true;
	__real_log_errno(line, error);
}

void
__wrap_log_commit(struct log_line *line)
{
	struct run *run = run_now;

	pthread_mutex_lock(&told_lock);
	if (run && !line_now.error && line_now.event == EVENT_SEGMENT_REMOVED &&
	    run->removed_count < TOLD_MAX)
		run->removed[run->removed_count++] = line_now.segment;
	if (run && !line_now.error && line_now.event == EVENT_QUARANTINED && line_now.file[0] &&
	    run->quarantined_count < TOLD_MAX)
		memcpy(run->quarantined[run->quarantined_count++], line_now.file, sizeof line_now.file);
	pthread_mutex_unlock(&told_lock);
	__real_log_commit(line);
}

/* Before a call: keep what was told, then what the disk holds. Whatever thread this is, it holds no lock of the journal. */
static void
moment(void *arg)
{
	struct run *run = arg;
	struct journal *journal = run->rig.journal;
	struct point *point;

	if (run->point_count == POINTS_MAX)
		return;
	point = &run->points[run->point_count++];
	point->call = run->point_count;
	point->opened = run->opened;
	point->extra_seq = run->extra_seq;
	point->attempts = run->attempt_count;
	for (size_t i = 0; i < point->attempts; i++) {
		point->told[i] = (uint8_t)run->attempts[i].told;
		point->dropped[i] = run->attempts[i].dropped;
		point->purging[i] = run->attempts[i].purging;
		point->purged[i] = run->attempts[i].purged;
	}
	pthread_mutex_lock(&told_lock);
	point->removed_count = run->removed_count;
	point->quarantined_count = run->quarantined_count;
	pthread_mutex_unlock(&told_lock);
	if (run->base) { /* a start takes what it finds: a foot that it reads may not be on disk yet, and nothing hangs on it */
		memcpy(point->finished, run->base->finished, sizeof point->finished);
		point->finished_count = run->base->finished_count;
	} else if (journal) {
		pthread_mutex_lock(&journal->lock);
		for (size_t i = 0; i < journal->segment_count && point->finished_count < TOLD_MAX; i++)
			if (journal->segments[i]->finished)
				point->finished[point->finished_count++] = journal->segments[i]->number;
		pthread_mutex_unlock(&journal->lock);
	}
	point->state = power_snapshot(run->rig.directory);
}

/* One record on its way, with its bytes. */
struct flying {
	struct attempt *attempt;
	struct rig_record record;
	bool done;
	int error;
};

static void
flying_done(void *arg, int error)
{
	struct flying *flying = arg;

	flying->attempt->told = error ? TOLD_FAILED : TOLD_DONE;
	flying->error = error;
	flying->done = true;
}

size_t
script_size(uint64_t content)
{
	return content == EXTRA ? EXTRA_SIZE : content % 29 == 7 ? 20000 : 100 + (size_t)(content * 37 % 900);
}

/* The outcome of journal_append. */
static int
fly(struct run *run, struct flying *flying, uint64_t content, bool push)
{
	struct attempt *attempt = &run->attempts[run->attempt_count];
	struct rig_record *record = &flying->record;
	struct journal_entry entry = { .type = push ? RECORD_ACCEPTED : RECORD_OUTCOME,
		.ref = content + 1,
		.key = record->key,
		.sha256 = record->sha256,
		.push = push };
	int r;

	if (run->attempt_count == ATTEMPTS_MAX)
		abort();
	rig_record_init(record, content, script_size(content));
	memset(&run->attempts[run->attempt_count], 0, sizeof *attempt);
	*attempt = (struct attempt){ .content = content, .size = script_size(content), .push = push };
	flying->attempt = attempt;
	flying->done = false;
	entry.size = record->body_len;
	entry.facts = span_make(record->facts, record->facts_len);
	entry.decision = span_make(record->decision, record->decision_len);
	entry.body = span_make(record->body, record->body_len);
	r = journal_append(run->rig.journal, &entry, flying_done, flying, &record->head);
	if (r) {
		rig_record_fini(record);
		return r;
	}
	attempt->seq = record->head.seq;
	run->attempt_count++;
	return 0;
}

static bool
wait_done(struct run *run, struct flying *flying)
{
	for (unsigned ms = 0; !flying->done; ms += 100) {
		if (ms > PATIENCE_MS)
			return false;
		(void)rig_poster_run(&run->rig.poster, 100);
	}
	rig_record_fini(&flying->record);
	return true;
}

/* FLIGHT records at a time until ${count} contents from ${first} on are done; what fails is sent again. False: stuck. */
static bool
send(struct run *run, uint64_t first, size_t count, bool push)
{
	struct flying flying[FLIGHT];
	uint64_t left[100];
	size_t left_count = count, tries = 0;

	for (size_t i = 0; i < count; i++)
		left[i] = first + i;
	while (left_count > 0) {
		size_t now = 0, kept = 0;
		int r = 0;

		while (now < FLIGHT && now < left_count) {
			r = fly(run, &flying[now], left[now], push);
			if (r)
				break;
			now++;
		}
		for (size_t i = 0; i < now; i++) {
			if (!wait_done(run, &flying[i]))
				return false;
			if (flying[i].error)
				left[kept++] = left[i];
		}
		for (size_t i = now; i < left_count; i++)
			left[kept++] = left[i];
		left_count = kept;
		if (r) {
			if (++tries > PATIENCE_MS / 5)
				return false;
			usleep(5000);
		}
	}
	return true;
}

static bool
wait_floor(struct run *run, bool below)
{
	struct journal_status status;

	for (unsigned ms = 0; ms < PATIENCE_MS; ms += 5) {
		journal_status(run->rig.journal, &status);
		if (status.below_floor == below && !status.failed)
			return true;
		(void)rig_poster_run(&run->rig.poster, 5);
	}
	return false;
}

/* Not one free block: what is no push goes on, to the end of the reserve. */
static bool
fill_disk(struct run *run, uint64_t *content)
{
	struct flying flying;

	power_full(true);
	if (!wait_floor(run, true))
		return false;
	for (;;) {
		int r = fly(run, &flying, (*content)++, false);

		if (r == JOURNAL_FULL)
			break;
		if (r || !wait_done(run, &flying))
			return false;
		if (flying.error)
			break;
	}
	power_full(false);
	return wait_floor(run, false);
}

static int
judge(void *arg, const struct record_head *heads, size_t count, enum journal_fate *fates)
{
	struct run *run = arg;

	for (size_t i = 0; i < count; i++) {
		uint64_t content = heads[i].ref - 1;

		fates[i] = content % 2 ? FATE_DROP : content % 6 == 4 ? FATE_CARRY_BODILESS : FATE_CARRY;
		for (size_t k = 0; k < run->attempt_count && fates[i] == FATE_DROP; k++)
			if (run->attempts[k].seq == heads[i].seq)
				run->attempts[k].dropped = true;
	}
	return 0;
}

static bool
wait_removed(struct run *run, size_t least)
{
	size_t count = 0;

	for (unsigned ms = 0; ms < PATIENCE_MS && count < least; ms += 5) {
		usleep(5000);
		pthread_mutex_lock(&told_lock);
		count = run->removed_count;
		pthread_mutex_unlock(&told_lock);
	}
	return count >= least;
}

static void
blank(uint8_t *facts, size_t len)
{
	if (len)
		memset(facts, PURGED_FACT, len);
}

/* Overwrite every ninth that is to stay, where it lies and where it was carried to. */
static bool
purge(struct run *run)
{
	for (size_t i = 0; i < run->attempt_count; i += 9) {
		struct attempt *attempt = &run->attempts[i];
		int r, tries = 0;

		if (attempt->told != TOLD_DONE || attempt->content % 2)
			continue;
		attempt->purging = true;
		do
			r = journal_purge(run->rig.journal, attempt->seq, blank);
		while ((r == JOURNAL_BUSY || (r < 0 && ++tries < 3)) && usleep(1000) == 0);
		if (r)
			return false;
		attempt->purged = true;
		run->purges++;
	}
	return run->purges > 0;
}

static bool
first_life(struct run *run, uint64_t *content, uint64_t seed)
{
	bool ok;

	ok = send(run, *content, 20, true);
	*content += 20;
	power_fail_sync(1 + seed % 3);
	ok = ok && send(run, *content, 12, true);
	*content += 12;
	ok = ok && purge(run) && fill_disk(run, content) && send(run, *content, 16, true);
	*content += 16;
	return ok && wait_removed(run, 1);
}

static int64_t
turn_syncs(void)
{
	return metric_value(metric_series(METRIC_JOURNAL_TURN_SYNCS, NULL));
}

/* Every other run lets the loop commit at the end of its turns. */
static void
turns_set(uint64_t seed)
{
	if (seed % 2)
		setenv(RIG_TURNS, "1", 1);
	else
		unsetenv(RIG_TURNS);
}

bool
script_run(struct run *run, uint64_t seed)
{
	uint64_t content = 1 + seed % 7;
	bool ok;

	int64_t before = turn_syncs();

	run->points = calloc(POINTS_MAX, sizeof *run->points);
	run_now = run;
	turns_set(seed);
	power_install(seed);
	rig_init_fast(&run->rig);
	run->rig.options.segment_size = run->rig.options.reserve = SEGMENT;
	run->rig.options.retention_us = RETENTION;
	power_world(run->rig.directory);
	power_every(moment, run);
	ok = rig_open(&run->rig, NULL, NULL) == 0 &&
	     journal_start_retention(run->rig.journal, judge, run) == 0 && first_life(run, &content, seed);
	rig_close(&run->rig);
	power_fail_sync(0);
	if (run->point_count)
		run->base = &run->points[run->point_count - 1];
	ok = ok && rig_open(&run->rig, NULL, NULL) == 0 && send(run, content, 9, true);
	rig_close(&run->rig);
	run->calls = power_count();
	run->turn_syncs = (size_t)(turn_syncs() - before);
	power_every(NULL, NULL);
	power_remove();
	rig_fini(&run->rig);
	run_now = NULL;
	return ok && run->calls == run->point_count;
}

static int
note_replayed(void *arg, const struct record *record)
{
	bool *replayed = arg;

	if (record->head.seq < REPLAYED_MAX)
		replayed[record->head.seq] = true;
	return 0;
}

void
script_restart(
    struct run *again, const struct run *run, const struct point *point, bool killed, uint64_t seed)
{
	bool *replayed = calloc(REPLAYED_MAX, sizeof *replayed);
	struct record_head head = { 0 };

	again->points = calloc(POINTS_MAX, sizeof *again->points);
	turns_set(seed);
	for (size_t i = 0; i < run->attempt_count; i++) {
		bool then = i < point->attempts;

		again->attempts[i] = run->attempts[i];
		again->attempts[i].told = then ? point->told[i] : TOLD_NOTHING;
		again->attempts[i].dropped = then && point->dropped[i];
		again->attempts[i].purging = then && point->purging[i];
		again->attempts[i].purged = then && point->purged[i];
	}
	again->attempt_count = run->attempt_count;
	again->base = point;
	run_now = again;
	power_install(seed);
	rig_init_fast(&again->rig);
	again->rig.options.segment_size = again->rig.options.reserve = SEGMENT;
	if (killed) {
		power_killed_of(point->state, again->rig.directory);
	} else {
		power_lost_of(point->state, POWER_TORN, seed, again->rig.directory);
		power_world(again->rig.directory);
	}
	power_every(moment, again);
	again->replayed = replayed;
	if (rig_open(&again->rig, note_replayed, replayed) == 0) {
		again->opened = true;
		if (rig_put(&again->rig, EXTRA, EXTRA_SIZE, RECORD_ACCEPTED, true, &head) == 0)
			again->extra_seq = head.seq;
		power_now();
	}
	power_every(NULL, NULL);
	rig_close(&again->rig);
	power_remove();
	rig_fini(&again->rig);
	run_now = NULL;
}

void
run_free(struct run *run)
{
	for (size_t i = 0; i < run->point_count; i++)
		power_state_free(run->points[i].state);
	free(run->points);
	free(run->replayed);
	free(run);
}
