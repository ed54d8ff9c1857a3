/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every call that the journal makes of the system, and every allocation of ours, fails in turn, in every way, once and for ever: nothing is told
 * done that is not there afterwards, nobody crashes, and the journal comes back by itself.
 *
 * One process a case, many at a time: most of them wait for the journal to try again. Prints calls x errors x modes and what went wrong.
 * Exit: 0 nothing, 1 something, 2 wrong usage. With --checkers the product is broken on purpose (writes that fail count as done), and 0
 * means that it was found out.
 */
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "codecs/buffer.h"
#include "tests/crash/failing_memory.h"
#include "tests/unit/disk_faults.h"
#include "tests/unit/journal_rig.h"

#define FIRST_LIFE   7
#define SCRIPT	     11 /* records of both lives */
#define BIG	     90000
#define LIFT_US	     (300 * 1000)
#define PATIENCE_MS  8000
#define CASE_SECONDS 60
#define SHORT	     (-1)	  /* as an error: the write takes less than it was given */
#define MEMORY	     REFUSE_KINDS /* as a kind: an allocation */
#define JOBS_MAX     64

static const char *const kinds[] = { "", "open", "read", "write", "fdatasync", "fsync", "ftruncate",
	"fallocate", "rename", "unlink", "mkdir", "allocation" };

struct trial {
	int kind;
	size_t nth;
	int error;
	bool forever;
};

static struct trial trial_now;
static bool broken; /* the checker is checked: a product that takes no write's failure for one */

int __real_disk_write(int fd, uint64_t offset, struct iovec *iov, size_t count);
int __wrap_disk_write(int fd, uint64_t offset, struct iovec *iov, size_t count);

int
__wrap_disk_write(int fd, uint64_t offset, struct iovec *iov, size_t count)
{
	int r = __real_disk_write(fd, offset, iov, count);

	return broken ? 0 : r;
}

static void
give_up(const char *what, long long detail)
{
	printf("%s %zu, %s%s: %s (%lld)\n", kinds[trial_now.kind], trial_now.nth,
	    trial_now.error == SHORT ? "short" : strerrorname_np(trial_now.error),
	    trial_now.forever ? ", for ever" : "", what, detail);
	fflush(stdout);
	_exit(1);
}

static size_t
script_size(uint64_t n)
{
	return n % 8 == 3 ? BIG : 1500;
}

static void
arm(void)
{
	if (trial_now.kind == MEMORY)
		failing_memory_at(trial_now.nth, trial_now.forever);
	else if (trial_now.error == SHORT)
		faults_short_at(trial_now.nth, trial_now.forever);
	else
		faults_at(
		    (enum refused_call)trial_now.kind, trial_now.nth, trial_now.error, trial_now.forever);
}

static void
lift(void)
{
	failing_memory_at(0, false);
	faults_short_at(0, false);
	faults_none();
}

/* What never ends is lifted at last, also when it keeps a call of ours from returning. */
static void *
lifter(void *arg)
{
	(void)arg;
	usleep(LIFT_US);
	lift();
	return NULL;
}

static int
start(struct rig *rig)
{
	int r;

	failing_memory_ours(false);
	r = rig_open(rig, NULL, NULL);
	failing_memory_ours(true);
	return r;
}

/* Start; a start that is refused is done again, when what refused it is over. */
static void
start_at_last(struct rig *rig)
{
	int r = start(rig);

	/* a head that the disk cannot give is as good as a damaged one: the start stops and changes nothing */
	for (unsigned ms = 0; r && ms < PATIENCE_MS; ms += 20) {
		usleep(20 * 1000);
		r = start(rig);
	}
	if (r)
		give_up("no start succeeds any more", r);
}

/* The outcome of the append, or of the commit. */
static int
put(struct rig *rig, uint64_t content, size_t size, uint64_t *seq)
{
	struct rig_record record;
	int r;

	rig_record_init(&record, content, size);
	failing_memory_ours(false);
	r = rig_append(rig, &record, RECORD_ACCEPTED, content % 3 != 0);
	failing_memory_ours(true);
	for (unsigned ms = 0; r == 0 && !record.done; ms += 20) {
		if (ms > PATIENCE_MS)
			give_up("a record has no outcome", (long long)content);
		(void)rig_poster_run(&rig->poster, 20);
	}
	r = r ? r : record.error;
	*seq = r == 0 ? record.head.seq : 0;
	rig_record_fini(&record);
	return r;
}

/* Reading under fault gives an error or the truth. */
static void
look(struct rig *rig, uint64_t seq, uint64_t content)
{
	struct record record;
	struct arena arena;
	int r;

	if (seq == 0)
		return;
	arena_init(&arena, 1 << 20);
	failing_memory_ours(false);
	r = journal_read(rig->journal, seq, true, &arena, &record);
	failing_memory_ours(true);
	if (r == 0 && !rig_matches(&record, content, script_size(content), true))
		r = RIG_DIFFERS;
	arena_fini(&arena);
	if (r == RIG_DIFFERS || r == JOURNAL_ABSENT)
		give_up("a record told done is read otherwise", r);
}

static void
check(struct rig *rig, const uint64_t seqs[static SCRIPT + 1])
{
	struct buffer report;
	int r = rig_open(rig, NULL, NULL);

	if (r)
		give_up("the start afterwards fails", r);
	for (uint64_t n = 1; n <= SCRIPT; n++) {
		r = seqs[n] ? rig_check(rig, seqs[n], n, script_size(n)) : 0;
		if (r)
			give_up("a record told done is not there afterwards", r);
	}
	buffer_init(&report, 1 << 20);
	r = journal_verify(rig->journal, &report);
	if (r)
		give_up("verify finds damage afterwards", r);
	buffer_fini(&report);
	rig_close(rig);
}

static void
script(struct rig *rig, uint64_t seqs[static SCRIPT + 1])
{
	start_at_last(rig);
	for (uint64_t n = 1; n <= FIRST_LIFE; n++)
		(void)put(rig, n, script_size(n), &seqs[n]);
	look(rig, seqs[1], 1);
	look(rig, seqs[3], 3);
	failing_memory_ours(false);
	rig_close(rig);
	failing_memory_ours(true);
	rig->options.reserve *= 2; /* another size: it is made anew */
	start_at_last(rig);
	for (uint64_t n = FIRST_LIFE + 1; n <= SCRIPT; n++)
		(void)put(rig, n, script_size(n), &seqs[n]);
	look(rig, seqs[2], 2);
	look(rig, seqs[SCRIPT], SCRIPT);
}

static void
rigs_make(struct rig *rig, struct rig *killed)
{
	faults_install();
	faults_skip_sync(true);
	rig_init_fast(rig);
	rig_init_fast(killed);
	killed->options.reserve = 2 * rig->options.reserve;
}

/* One case, in this process. */
static void
trial_run(void)
{
	uint64_t seqs[SCRIPT + 1] = { 0 }, seq;
	struct rig rig, killed;
	pthread_t thread;
	int r = -1;

	alarm(CASE_SECONDS);
	failing_memory_ours(true);
	rigs_make(&rig, &killed);
	arm();
	if (trial_now.forever && pthread_create(&thread, NULL, lifter, NULL) != 0)
		give_up("no thread", 0);
	script(&rig, seqs);
	if (trial_now.forever)
		pthread_join(thread, NULL);
	for (unsigned ms = 0; r && ms < PATIENCE_MS; ms += 10) { /* back, without a start */
		r = put(&rig, 1000, 100, &seq);
		if (r)
			(void)rig_poster_run(&rig.poster, 10);
	}
	if (r)
		give_up("does not come back by itself", r);
	rig_copy(&rig, &killed);
	rig_close(&rig);
	lift();
	check(&rig, seqs);
	check(&killed, seqs);
	rig_fini(&rig);
	rig_fini(&killed);
	faults_remove();
	fflush(stdout);
	_exit(0);
}

/* How many calls of each kind the script makes when nothing fails. */
static void
calls_count(size_t counts[static MEMORY + 1])
{
	uint64_t seqs[SCRIPT + 1] = { 0 };
	struct rig rig, killed;

	failing_memory_ours(true);
	rigs_make(&rig, &killed);
	faults_none();
	failing_memory_at(SIZE_MAX, false);
	script(&rig, seqs);
	rig_close(&rig);
	for (uint64_t n = 1; n <= SCRIPT; n++)
		if (seqs[n] == 0)
			give_up("a record fails though nothing was refused", (long long)n);
	for (int kind = REFUSE_OPEN; kind < REFUSE_KINDS; kind++)
		counts[kind] = faults_count((enum refused_call)kind);
	counts[MEMORY] = failing_memory_count();
	failing_memory_at(0, false);
	check(&rig, seqs);
	rig_fini(&rig);
	rig_fini(&killed);
	faults_remove();
}

static struct {
	pid_t pid;
	struct trial trial;
} running[JOBS_MAX];
static size_t cases, wrong;

/* Wait for one to end. */
static void
reap(size_t jobs)
{
	int status;
	pid_t pid = wait(&status);

	for (size_t i = 0; i < jobs; i++)
		if (running[i].pid == pid) {
			running[i].pid = 0;
			if (WIFSIGNALED(status)) {
				trial_now = running[i].trial;
				printf("%s %zu, %s%s: ended by signal %d\n", kinds[trial_now.kind],
				    trial_now.nth,
				    trial_now.error == SHORT ? "short" : strerrorname_np(trial_now.error),
				    trial_now.forever ? ", for ever" : "", WTERMSIG(status));
			}
			if (WIFEXITED(status) && WEXITSTATUS(status) > 1)
				printf("%s %zu: a check of the rig failed, status %d\n",
				    kinds[running[i].trial.kind], running[i].trial.nth, WEXITSTATUS(status));
			wrong += status != 0;
		}
}

static void
trial_begin(size_t jobs, struct trial trial)
{
	size_t slot = jobs;

	while (slot == jobs) {
		for (slot = 0; slot < jobs && running[slot].pid; slot++)
			continue;
		if (slot == jobs)
			reap(jobs);
	}
	fflush(stdout);
	trial_now = running[slot].trial = trial;
	running[slot].pid = fork();
	if (running[slot].pid == 0)
		trial_run();
	cases++;
}

/* All cases; the number of calls. */
static size_t
all_run(size_t jobs)
{
	static const int errors[] = { ENOSPC, EIO, EINTR, EMFILE };
	size_t counts[MEMORY + 1] = { 0 }, total = 0;

	calls_count(counts);
	for (int kind = REFUSE_OPEN; kind <= MEMORY; kind++) {
		size_t before = cases;

		for (size_t nth = 1; nth <= counts[kind]; nth++)
			for (int forever = 0; forever < 2; forever++) {
				if (kind == MEMORY) {
					trial_begin(jobs, (struct trial){ kind, nth, ENOMEM, forever });
					continue;
				}
				for (size_t e = 0; e < sizeof errors / sizeof *errors; e++)
					trial_begin(jobs, (struct trial){ kind, nth, errors[e], forever });
				if (kind == REFUSE_WRITE)
					trial_begin(jobs, (struct trial){ kind, nth, SHORT, forever });
			}
		total += counts[kind];
		printf("%-10s %4zu calls x errors x 2 modes = %zu cases\n", kinds[kind], counts[kind],
		    cases - before);
	}
	for (size_t left = 1; left > 0;) {
		left = 0;
		for (size_t i = 0; i < jobs; i++)
			left += running[i].pid != 0;
		if (left)
			reap(jobs);
	}
	return total;
}

int
main(int argc, char **argv)
{
	static const struct option options[] = { { "jobs", required_argument, NULL, 'j' },
		{ "case", required_argument, NULL, 'c' }, { "checkers", no_argument, NULL, 'b' },
		{ NULL, 0, NULL, 0 } };
	size_t jobs = 24, calls;
	int c, forever = 0;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'b') {
			broken = true;
		} else if (c == 'j') {
			jobs = strtoul(optarg, NULL, 10);
		} else if (c == 'c' && sscanf(optarg, "%d:%zu:%d:%d", &trial_now.kind, &trial_now.nth,
					   &trial_now.error, &forever) == 4) {
			trial_now.forever = forever != 0;
			trial_run();
		} else {
			fprintf(stderr,
			    "usage: faults [--jobs N] [--case KIND:NTH:ERRNO:FOREVER] [--checkers]\n");
			return 2;
		}
	}
	if (jobs == 0 || jobs > JOBS_MAX) {
		fprintf(stderr, "faults: 1 to %d jobs\n", JOBS_MAX);
		return 2;
	}
	printf("the commit thread commits\n");
	unsetenv(RIG_TURNS);
	calls = all_run(jobs);
	printf("the loop commits at the end of its turns\n");
	setenv(RIG_TURNS, "1", 1);
	calls += all_run(jobs);
	printf("%zu calls, %zu cases, none skipped; %zu wrong\n", calls, cases, wrong);
	return broken ? wrong == 0 : wrong > 0;
}
