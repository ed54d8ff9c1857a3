/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop over libevent's core, and its mailbox.
 *
 * The mailbox is a list under a mutex that is held for a few instructions, and an eventfd that is written once per batch: libevent itself is
 * never touched from another thread, so it needs no locks. Invariant: whenever the list is not empty or a stop is asked, the eventfd is
 * readable or wake_fire is running.
 */
#include "broker/net/loop.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "broker/base/clock.h"
#include "broker/base/pool.h"
#include "broker/net/pace.h"

#define BLOCKS_KEPT 128 /* a quarter of a MiB: as many links have their answers in one turn */

struct loop_signal {
	struct loop_signal *next;
	struct event event;
	void (*fire)(void *arg);
	void *arg;
};

struct loop {
	struct poster poster;
	struct event_base *base;
	struct event wake;
	int wake_fd;
	struct event later_event; /* active while something is in later */
	struct post_item *later, **later_last;
	struct loop_signal *signals;
	uint8_t *scratch;
	pthread_t thread; /* the one that made it */
	struct pace pace;
	struct pool blocks;
	pthread_mutex_t lock; /* what follows */
	struct post_item *first, **last;
	bool awake; /* wake_fd was written and not yet read */
	bool stop;
};

struct loop_timer {
	struct event event;
	void (*fire)(void *arg);
	void *arg;
};

/* Under the lock. A write of an eventfd cannot fail: its counter is at most 1. */
static void
wake(struct loop *loop)
{
	static const uint64_t one = 1;

	if (loop->awake)
		return;
	loop->awake = true;
	while (write(loop->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

/* Run what is in the mailbox now. True when there was something. */
static bool
run_posted(struct loop *loop)
{
	struct post_item *first, *item, *next;

	pthread_mutex_lock(&loop->lock);
	first = loop->first;
	loop->first = NULL;
	loop->last = &loop->first;
	pthread_mutex_unlock(&loop->lock);
	for (item = first; item; item = next) {
		next = item->next; /* run() may free it */
		item->run(item);
	}
	return first;
}

/* Run what was left for later. True when there was something. */
static bool
run_later(struct loop *loop)
{
	struct post_item *first = loop->later, *item, *next;

	loop->later = NULL;
	loop->later_last = &loop->later;
	for (item = first; item; item = next) {
		next = item->next;
		item->run(item);
	}
	return first;
}

static void
later_fire(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)run_later(arg);
}

void
loop_later(struct loop *loop, struct post_item *item)
{
	if (!loop->later)
		event_active(&loop->later_event, EV_TIMEOUT, 0);
	item->next = NULL;
	*loop->later_last = item;
	loop->later_last = &item->next;
}

static bool
post_at_end(struct poster *poster, struct post_item *item)
{
	struct loop *loop = (struct loop *)poster; /* the first member */

	if (!pthread_equal(pthread_self(), loop->thread))
		return false;
	loop_later(loop, item);
	return true;
}

static void
wake_fire(evutil_socket_t fd, short what, void *arg)
{
	struct loop *loop = arg;
	uint64_t count;
	bool stop;

	(void)what;
	while (read(fd, &count, sizeof(count)) < 0 && errno == EINTR)
		;
	pthread_mutex_lock(&loop->lock);
	loop->awake = false;
	stop = loop->stop;
	loop->stop = false;
	pthread_mutex_unlock(&loop->lock);
	(void)run_posted(loop);
	if (stop)
		event_base_loopbreak(loop->base);
}

void
loop_drain(struct loop *loop)
{
	while (run_posted(loop) || run_later(loop))
		;
}

static void
loop_post(struct poster *poster, struct post_item *item)
{
	struct loop *loop = (struct loop *)poster; /* the first member */

	item->next = NULL;
	pthread_mutex_lock(&loop->lock);
	*loop->last = item;
	loop->last = &item->next;
	wake(loop);
	pthread_mutex_unlock(&loop->lock);
}

/* Take ${item} out of a list that begins at ${first} and ends at *${last}. False when it is not there. */
static bool
take_out(struct post_item **first, struct post_item ***last, const struct post_item *item)
{
	struct post_item **at = first;

	while (*at && *at != item)
		at = &(*at)->next;
	if (!*at)
		return false;
	*at = item->next;
	if (!*at)
		*last = at;
	return true;
}

static bool
loop_unpost(struct poster *poster, struct post_item *item)
{
	struct loop *loop = (struct loop *)poster; /* the first member */
	bool found;

	pthread_mutex_lock(&loop->lock);
	found = take_out(&loop->first, &loop->last, item);
	pthread_mutex_unlock(&loop->lock);
	return found || (pthread_equal(pthread_self(), loop->thread) &&
			    take_out(&loop->later, &loop->later_last, item));
}

int
loop_new(struct loop **loopp)
{
	struct loop *loop;
	int rc = -ENOMEM;

	loop = calloc(1, sizeof(*loop));
	if (!loop)
		return rc;
	signal(SIGPIPE, SIG_IGN);
	loop->poster.post = loop_post;
	loop->poster.unpost = loop_unpost;
	loop->poster.later = post_at_end;
	loop->thread = pthread_self();
	loop->last = &loop->first;
	loop->later_last = &loop->later;
	loop->scratch = malloc(LOOP_SCRATCH + LOOP_AHEAD);
	pool_init(&loop->blocks, LOOP_BLOCK, BLOCKS_KEPT);
	loop->base = event_base_new();
	loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (loop->wake_fd < 0) {
		rc = -errno;
		goto fail;
	}
	if (!loop->scratch || !loop->base)
		goto fail;
	if (event_assign(&loop->wake, loop->base, loop->wake_fd, EV_READ | EV_PERSIST, wake_fire, loop) ||
	    event_add(&loop->wake, NULL) || evtimer_assign(&loop->later_event, loop->base, later_fire, loop))
		goto fail;
	rc = pace_init(&loop->pace, loop);
	if (rc == 0)
		rc = -pthread_mutex_init(&loop->lock, NULL);
	if (rc) {
		event_del(&loop->wake);
		goto fail;
	}
	*loopp = loop;
	return 0;
fail:
	if (loop->wake_fd >= 0)
		close(loop->wake_fd);
	pace_fini(&loop->pace);
	if (loop->base)
		event_base_free(loop->base);
	free(loop->scratch);
	free(loop);
	return rc;
}

void
loop_free(struct loop *loop)
{
	if (!loop)
		return;
	while (loop->signals) {
		struct loop_signal *s = loop->signals;

		loop->signals = s->next;
		event_del(&s->event);
		free(s);
	}
	event_del(&loop->wake);
	pace_fini(&loop->pace);
	event_del(&loop->later_event);
	event_base_free(loop->base);
	close(loop->wake_fd);
	pthread_mutex_destroy(&loop->lock);
	pool_fini(&loop->blocks);
	free(loop->scratch);
	free(loop);
}

int
loop_run(struct loop *loop)
{
	return event_base_dispatch(loop->base) < 0 ? -EIO : 0;
}

void
loop_stop(struct loop *loop)
{
	pthread_mutex_lock(&loop->lock);
	loop->stop = true;
	wake(loop);
	pthread_mutex_unlock(&loop->lock);
}

struct poster *
loop_poster(struct loop *loop)
{
	return &loop->poster;
}

struct event_base *
loop_base(struct loop *loop)
{
	return loop->base;
}

uint8_t *
loop_scratch(struct loop *loop)
{
	return loop->scratch;
}

uint8_t *
loop_ahead(struct loop *loop)
{
	return loop->scratch + LOOP_SCRATCH;
}

struct pace *
loop_pace(struct loop *loop)
{
	return &loop->pace;
}

struct pool *
loop_blocks(struct loop *loop)
{
	return &loop->blocks;
}

uint64_t
loop_now_us(struct loop *loop)
{
	(void)loop;
	return clock_mono_us();
}

static void
timer_fire(evutil_socket_t fd, short what, void *arg)
{
	struct loop_timer *timer = arg;

	(void)fd;
	(void)what;
	timer->fire(timer->arg);
}

struct loop_timer *
loop_timer_new(struct loop *loop, void (*fire)(void *arg), void *arg)
{
	struct loop_timer *timer = calloc(1, sizeof(*timer));

	if (!timer)
		return NULL;
	timer->fire = fire;
	timer->arg = arg;
	evtimer_assign(&timer->event, loop->base, timer_fire, timer);
	return timer;
}

void
loop_timer_arm(struct loop_timer *timer, uint64_t after_ms)
{
	struct timeval tv = { .tv_sec = (time_t)(after_ms / 1000),
		.tv_usec = (suseconds_t)(after_ms % 1000 * 1000) };

	evtimer_add(&timer->event, &tv);
}

void
loop_timer_cancel(struct loop_timer *timer)
{
	evtimer_del(&timer->event);
}

void
loop_timer_free(struct loop_timer *timer)
{
	if (!timer)
		return;
	evtimer_del(&timer->event);
	free(timer);
}

static void
signal_fire(evutil_socket_t signo, short what, void *arg)
{
	struct loop_signal *s = arg;

	(void)signo;
	(void)what;
	s->fire(s->arg);
}

int
loop_signal(struct loop *loop, int signo, void (*fire)(void *arg), void *arg)
{
	struct loop_signal *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->fire = fire;
	s->arg = arg;
	if (evsignal_assign(&s->event, loop->base, signo, signal_fire, s) || evsignal_add(&s->event, NULL)) {
		free(s);
		return -EINVAL;
	}
	s->next = loop->signals;
	loop->signals = s;
	return 0;
}
