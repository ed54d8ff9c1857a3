/* SPDX-License-Identifier: Apache-2.0 */
/* See workers.h. One queue, one lock, one condition: jobs are long against both. */
#include "broker/store/workers.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>

struct workers {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct poster *poster;
	struct workers_job *head, **tail;
	size_t waiting, max;
	bool stopping;
	size_t count;
	pthread_t threads[];
};

/* The job's done travels in its post_item. */
static void
job_done(struct post_item *item)
{
	struct workers_job *job = (struct workers_job *)item;

	job->done(job);
}

static void *
worker_main(void *arg)
{
	struct workers *workers = arg;
	struct workers_job *job;

	pthread_mutex_lock(&workers->lock);
	for (;;) {
		while (!workers->head && !workers->stopping)
			pthread_cond_wait(&workers->wake, &workers->lock);
		job = workers->head;
		if (!job)
			break;
		workers->head = job->next;
		if (!workers->head)
			workers->tail = &workers->head;
		workers->waiting--;
		pthread_mutex_unlock(&workers->lock);
		job->run(job);
		job->item.run = job_done;
		post(workers->poster, &job->item);
		pthread_mutex_lock(&workers->lock);
	}
	pthread_mutex_unlock(&workers->lock);
	return NULL;
}

int
workers_new(struct workers **workersp, size_t threads, size_t queue_max, struct poster *poster)
{
	struct workers *workers;
	sigset_t all, before;
	int r = 0;

	if (threads == 0)
		threads = 1;
	workers = calloc(1, sizeof *workers + threads * sizeof(pthread_t));
	if (!workers)
		return -ENOMEM;
	workers->tail = &workers->head;
	workers->poster = poster;
	workers->max = queue_max;
	pthread_mutex_init(&workers->lock, NULL);
	pthread_cond_init(&workers->wake, NULL);
	sigfillset(&all); /* signals are the loop's */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (; r == 0 && workers->count < threads; workers->count += r == 0) {
		r = -pthread_create(&workers->threads[workers->count], NULL, worker_main, workers);
		if (r == 0)
			(void)pthread_setname_np(workers->threads[workers->count], "worker");
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r) {
		workers_free(workers);
		return r;
	}
	*workersp = workers;
	return 0;
}

void
workers_stop(struct workers *workers)
{
	if (!workers)
		return;
	pthread_mutex_lock(&workers->lock);
	workers->stopping = true;
	pthread_cond_broadcast(&workers->wake);
	pthread_mutex_unlock(&workers->lock);
	for (size_t i = 0; i < workers->count; i++)
		pthread_join(workers->threads[i], NULL);
	workers->count = 0;
}

void
workers_free(struct workers *workers)
{
	if (!workers)
		return;
	workers_stop(workers);
	pthread_cond_destroy(&workers->wake);
	pthread_mutex_destroy(&workers->lock);
	free(workers);
}

int
workers_submit(struct workers *workers, struct workers_job *job)
{
	int r = 0;

	pthread_mutex_lock(&workers->lock);
	if (workers->waiting >= workers->max || workers->stopping) {
		r = WORKERS_FULL;
	} else {
		job->next = NULL;
		*workers->tail = job;
		workers->tail = &job->next;
		workers->waiting++;
		pthread_cond_signal(&workers->wake);
	}
	pthread_mutex_unlock(&workers->lock);
	return r;
}

size_t
workers_waiting(struct workers *workers)
{
	size_t waiting;

	pthread_mutex_lock(&workers->lock);
	waiting = workers->waiting;
	pthread_mutex_unlock(&workers->lock);
	return waiting;
}
