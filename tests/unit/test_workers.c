/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs run on other threads, their done on the loop's; the queue is bounded; a free waits for what is queued. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/store/workers.h"
#include "tests/unit/journal_rig.h"

struct job {
	struct workers_job job; /* first */
	pthread_t ran_on;
	int runs, dones;
	uint64_t sum;
};

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static int finished;

static void
run(struct workers_job *self)
{
	struct job *job = (struct job *)self;

	pthread_mutex_lock(&gate);
	pthread_mutex_unlock(&gate);
	job->ran_on = pthread_self();
	job->runs++;
	for (uint64_t i = 0; i < 1000; i++)
		job->sum += i;
}

static void
done(struct workers_job *self)
{
	struct job *job = (struct job *)self;

	job->dones++;
	finished++;
}

static void
test_runs_elsewhere_and_comes_back(void **state)
{
	enum { JOBS = 500 };
	struct job *jobs = calloc(JOBS, sizeof *jobs);
	struct rig_poster poster;
	struct workers *workers;

	(void)state;
	finished = 0;
	rig_poster_init(&poster);
	assert_int_equal(workers_new(&workers, 3, JOBS, &poster.poster), 0);
	for (size_t i = 0; i < JOBS; i++) {
		jobs[i].job.run = run;
		jobs[i].job.done = done;
		assert_int_equal(workers_submit(workers, &jobs[i].job), 0);
	}
	while (finished < JOBS)
		assert_true(rig_poster_run(&poster, 5000));
	for (size_t i = 0; i < JOBS; i++) {
		assert_int_equal(jobs[i].runs, 1);
		assert_int_equal(jobs[i].dones, 1);
		assert_int_equal(jobs[i].sum, 999 * 500);
		assert_false(pthread_equal(jobs[i].ran_on, pthread_self()));
	}
	workers_free(workers);
	workers_free(NULL);
	rig_poster_fini(&poster);
	free(jobs);
}

static void
test_bound_and_free(void **state)
{
	struct job jobs[4] = { 0 };
	struct rig_poster poster;
	struct workers *workers;

	(void)state;
	finished = 0;
	rig_poster_init(&poster);
	assert_int_equal(workers_new(&workers, 1, 2, &poster.poster), 0);
	for (size_t i = 0; i < 4; i++) {
		jobs[i].job.run = run;
		jobs[i].job.done = done;
	}
	pthread_mutex_lock(&gate);
	assert_int_equal(workers_submit(workers, &jobs[0].job), 0);
	while (workers_waiting(workers) > 0) /* the one thread has taken it and stands at the gate */
		usleep(1000);
	assert_int_equal(workers_submit(workers, &jobs[1].job), 0);
	assert_int_equal(workers_submit(workers, &jobs[2].job), 0);
	assert_int_equal(workers_waiting(workers), 2);
	assert_int_equal(workers_submit(workers, &jobs[3].job), WORKERS_FULL);
	pthread_mutex_unlock(&gate);
	workers_free(workers);
	rig_poster_fini(&poster);
	assert_int_equal(finished, 3);
	assert_int_equal(jobs[3].runs, 0);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(jobs[i].dones, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_runs_elsewhere_and_comes_back),
		cmocka_unit_test(test_bound_and_free),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
