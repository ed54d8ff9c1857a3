/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A question is posted to the loop and waited for. When the broker stops while it is posted, it is taken back: the loop, should it still
 * come to it, finds nothing to answer.
 */
#include "broker/judge.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

struct judge {
	struct post_item item; /* first */
	struct core *core;
	struct poster *poster;
	pthread_mutex_t lock;
	pthread_cond_t turned;
	const struct record_head *heads; /* NULL: no question */
	size_t count;
	enum journal_fate *fates;
	bool posted;
	bool stopped;
};

static void
judge_on_loop(struct post_item *item)
{
	struct judge *judge = (struct judge *)item;

	pthread_mutex_lock(&judge->lock);
	if (judge->heads)
		core_judge(judge->core, judge->heads, judge->count, judge->fates);
	judge->heads = NULL;
	judge->posted = false;
	pthread_cond_broadcast(&judge->turned);
	pthread_mutex_unlock(&judge->lock);
}

int
judge_new(struct judge **judgep, struct core *core, struct poster *poster)
{
	struct judge *judge = calloc(1, sizeof(*judge));

	if (!judge)
		return -ENOMEM;
	judge->item.run = judge_on_loop;
	judge->core = core;
	judge->poster = poster;
	pthread_mutex_init(&judge->lock, NULL);
	pthread_cond_init(&judge->turned, NULL);
	*judgep = judge;
	return 0;
}

int
judge_records(void *arg, const struct record_head *heads, size_t count, enum journal_fate *fates)
{
	struct judge *judge = arg;
	int r = -ESHUTDOWN;

	pthread_mutex_lock(&judge->lock);
	if (!judge->stopped) {
		judge->heads = heads;
		judge->count = count;
		judge->fates = fates;
		judge->posted = true;
		post(judge->poster, &judge->item);
		while (judge->posted && !judge->stopped)
			pthread_cond_wait(&judge->turned, &judge->lock);
		if (!judge->posted)
			r = 0;
		judge->heads = NULL;
	}
	pthread_mutex_unlock(&judge->lock);
	return r;
}

void
judge_stop(struct judge *judge)
{
	if (!judge)
		return;
	pthread_mutex_lock(&judge->lock);
	judge->stopped = true;
	pthread_cond_broadcast(&judge->turned);
	pthread_mutex_unlock(&judge->lock);
}

void
judge_free(struct judge *judge)
{
	if (!judge)
		return;
	pthread_mutex_destroy(&judge->lock);
	pthread_cond_destroy(&judge->turned);
	free(judge);
}
