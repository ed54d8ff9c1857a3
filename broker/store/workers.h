/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads for what must not block the loop: large content, journal reads, SQL.
 *
 * A job runs on one of the threads; its done then runs on the loop thread. The queue is bounded: a refusal is the caller's to answer
 * (AR, 503). A job's memory is its owner's: embed it.
 */
#pragma once

#include <stddef.h>

#include "broker/base/post.h"

struct workers;

struct workers_job {
	struct post_item item;		       /* first: done travels back in it */
	void (*run)(struct workers_job *job);  /* on a worker */
	void (*done)(struct workers_job *job); /* on the loop thread; may free the job */
	struct workers_job *next;
};

enum {
	WORKERS_FULL = 1,
};

int workers_new(struct workers **workersp, size_t threads, size_t queue_max, struct poster *poster)
    __attribute__((warn_unused_result));

/* Finish what is queued and join the threads; what is submitted from then on is refused. What is done still lies in the poster. */
void workers_stop(struct workers *workers);

/* workers_stop, and free. NULL is harmless for both. */
void workers_free(struct workers *workers);

/* 0: run and then done will be called. WORKERS_FULL: neither. */
int workers_submit(struct workers *workers, struct workers_job *job) __attribute__((warn_unused_result));

/* Jobs waiting, not counting those that run. */
size_t workers_waiting(struct workers *workers);
