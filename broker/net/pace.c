/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A line of newcomers and a timer. The timer also makes turns: armed for now, it fires behind what the system tells in the loop's next turn.
 *
 * Other work is what the loop's thread has of the processor outside of steps. A thread that is kept from the processor looks idle; then it is
 * not the newcomers that are in the way.
 */
#include "broker/net/pace.h"

#include <errno.h>
#include <stddef.h>
#include <time.h>

#include "broker/net/loop.h"

static uint64_t
thread_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

uint64_t
pace_wait_us(uint64_t step_us, unsigned percent)
{
	unsigned share = PACE_LEAST_PERCENT;
	uint64_t wait;

	if (percent < PACE_FREE_PERCENT)
		return 0;
	if (percent + share < PACE_FILL_PERCENT)
		share = PACE_FILL_PERCENT - percent;
	wait = step_us * (100 - share) / share;
	return wait < PACE_LONGEST_US ? wait : PACE_LONGEST_US;
}

/* Close the window when it has lasted. */
static void
measure(struct pace *pace, uint64_t cpu_us, uint64_t now_us)
{
	uint64_t cpu = cpu_us - pace->cpu_from_us - pace->cpu_steps_us;
	uint64_t gone = now_us - pace->from_us - pace->steps_us;

	if (gone < PACE_WINDOW_US)
		return;
	pace->percent = cpu < gone ? (unsigned)(cpu * 100 / gone) : 100;
	pace->cpu_from_us = cpu_us;
	pace->from_us = now_us;
	pace->cpu_steps_us = pace->steps_us = 0;
}

/* Until ${pace->next_us}. The loop counts from when its turn began: it may be early, and rest() is called again. */
static void
rest(struct pace *pace, uint64_t now_us)
{
	uint64_t left = pace->next_us > now_us ? pace->next_us - now_us : 0;

	loop_timer_arm(pace->timer, (left + 999) / 1000);
}

static void
step(struct pace *pace, struct pace_item *item)
{
	uint64_t cpu = thread_us(), before = loop_now_us(pace->loop), after;

	measure(pace, cpu, before);
	pace->rests = true; /* whoever asks now stands in line */
	item->run(item);
	after = loop_now_us(pace->loop);
	pace->cpu_steps_us += thread_us() - cpu;
	pace->steps_us += after - before;
	pace->next_us = after + pace_wait_us(after - before, pace->percent);
	rest(pace, after);
}

static void
timer_fire(void *arg)
{
	struct pace *pace = arg;
	struct pace_item *item = pace->first;
	uint64_t now = loop_now_us(pace->loop);

	if (now < pace->next_us) {
		rest(pace, now);
		return;
	}
	pace->rests = false;
	if (!item)
		return;
	pace_leave(pace, item);
	step(pace, item);
}

int
pace_init(struct pace *pace, struct loop *loop)
{
	*pace = (struct pace){ .loop = loop };
	pace->last = &pace->first;
	pace->timer = loop_timer_new(loop, timer_fire, pace);
	return pace->timer ? 0 : -ENOMEM;
}

void
pace_fini(struct pace *pace)
{
	loop_timer_free(pace->timer);
	pace->timer = NULL;
}

bool
pace_ask(struct pace *pace, struct pace_item *item)
{
	if (item->place)
		return false;
	if (!pace->rests) { /* then nobody waits */
		step(pace, item);
		return true;
	}
	item->next = NULL;
	item->place = pace->last;
	*pace->last = item;
	pace->last = &item->next;
	return false;
}

void
pace_leave(struct pace *pace, struct pace_item *item)
{
	if (!item->place)
		return;
	*item->place = item->next;
	if (item->next)
		item->next->place = item->place;
	else
		pace->last = item->place;
	item->place = NULL;
}
