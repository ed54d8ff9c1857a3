/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Links, timers and workers in memory.
 */
#include "fake_link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct loop_timer {
	struct loop_timer *next;
	void (*fire)(void *arg);
	void *arg;
	bool armed;
	uint64_t at_us;
};

static struct loop_timer *timers;
static uint64_t now_us = 1000000;
static struct workers_job *jobs;
bool fake_workers_full;

bool
fake_link_open(struct link *link, const struct link_handler *handler, void *door, struct peer *peer)
{
	*link = (struct link){ .handler = handler, .peer = peer };
	buffer_init(&link->out, (size_t)64 << 20);
	link->arg = handler->opened(link, peer, door);
	if (!link->arg)
		link->buried = true;
	return link->arg;
}

void
fake_link_input(struct link *link, struct span bytes)
{
	if (link->handler->before_input && !link->paused && !link->closing && !link->dropped && !link->buried)
		link->handler->before_input(link->arg);
	if (!link->paused && !link->closing && !link->dropped && !link->buried)
		link->handler->input(link->arg, bytes);
}

void
fake_link_text(struct link *link, const char *text)
{
	fake_link_input(link, span_str(text));
}

const char *
fake_link_sent(struct link *link)
{
	static char text[(1 << 20) + 1];
	size_t n = link->out.len < sizeof(text) - 1 ? link->out.len : sizeof(text) - 1;

	if (n)
		memcpy(text, link->out.data, n);
	text[n] = '\0';
	buffer_reset(&link->out);
	return text;
}

void
fake_link_end(struct link *link, enum link_end end)
{
	if (link->buried)
		return;
	link->buried = true;
	link->handler->closed(link->arg, end);
	buffer_fini(&link->out);
}

int
link_send(struct link *link, struct span bytes)
{
	if (link->closing || link->dropped)
		return -EPIPE;
	if (link->full)
		return -ENOBUFS;
	buffer_append_span(&link->out, bytes);
	return buffer_failed(&link->out) ? -ENOMEM : 0;
}

void
link_push(struct link *link)
{
	(void)link;
}

size_t
link_output(const struct link *link)
{
	return link->full ? LINK_LOW_WATER : 0;
}

void
link_pause(struct link *link)
{
	link->paused = true;
}

void
link_resume(struct link *link)
{
	link->paused = false;
}

void
link_deadline(struct link *link, uint64_t ms)
{
	link->deadline_ms = ms;
}

void
link_close(struct link *link)
{
	link->closing = true;
	link->end = LINK_CLOSED_BY_US;
}

void
link_drop(struct link *link, enum link_end end)
{
	link->dropped = true;
	link->end = end;
}

uint64_t
link_id(const struct link *link)
{
	(void)link;
	return 7;
}

const char *
link_address(const struct link *link)
{
	(void)link;
	return "192.0.2.1:4711";
}

/*
 * Time
 */
uint64_t
loop_now_us(struct loop *loop)
{
	(void)loop;
	return now_us;
}

void
fake_time_add_ms(uint64_t ms)
{
	now_us += ms * 1000;
}

struct loop_timer *
loop_timer_new(struct loop *loop, void (*fire)(void *arg), void *arg)
{
	struct loop_timer *timer = calloc(1, sizeof(*timer));

	(void)loop;
	if (!timer)
		return NULL;
	timer->fire = fire;
	timer->arg = arg;
	timer->next = timers;
	timers = timer;
	return timer;
}

/* At once: no test here has anything to do between. */
void
loop_later(struct loop *loop, struct post_item *item)
{
	(void)loop;
	item->run(item);
}

void
loop_timer_arm(struct loop_timer *timer, uint64_t after_ms)
{
	timer->armed = true;
	timer->at_us = now_us + after_ms * 1000;
}

void
loop_timer_cancel(struct loop_timer *timer)
{
	timer->armed = false;
}

void
loop_timer_free(struct loop_timer *timer)
{
	struct loop_timer **at = &timers;

	if (!timer)
		return;
	while (*at != timer)
		at = &(*at)->next;
	*at = timer->next;
	free(timer);
}

bool
fake_timer_fire(void)
{
	struct loop_timer *due = NULL;

	for (struct loop_timer *t = timers; t; t = t->next)
		if (t->armed && (!due || t->at_us < due->at_us))
			due = t;
	if (!due)
		return false;
	if (due->at_us > now_us)
		now_us = due->at_us;
	due->armed = false;
	due->fire(due->arg);
	return true;
}

/*
 * Workers
 */
int
workers_submit(struct workers *workers, struct workers_job *job)
{
	struct workers_job **at = &jobs;

	(void)workers;
	if (fake_workers_full)
		return WORKERS_FULL;
	while (*at)
		at = &(*at)->next;
	job->next = NULL;
	*at = job;
	return 0;
}

size_t
fake_workers_waiting(void)
{
	size_t n = 0;

	for (const struct workers_job *job = jobs; job; job = job->next)
		n++;
	return n;
}

void
fake_workers_run(void)
{
	struct workers_job *job;

	while ((job = jobs)) {
		jobs = job->next;
		job->run(job);
		job->done(job);
	}
}
