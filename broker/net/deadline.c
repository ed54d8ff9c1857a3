/* SPDX-License-Identifier: Apache-2.0 */
/* Deadlines that move later without a system's or a heap's help: see the header. */
#include "broker/net/deadline.h"

#include <event2/event.h>

#include "broker/net/loop.h"

static void
arm(struct deadline *deadline, uint64_t now_us)
{
	uint64_t left_us = deadline->at_us > now_us ? deadline->at_us - now_us : 0;
	struct timeval tv = { .tv_sec = (time_t)(left_us / 1000000),
		.tv_usec = (suseconds_t)(left_us % 1000000) };

	deadline->armed_us = deadline->at_us;
	evtimer_add(&deadline->event, &tv);
}

static void
fire(evutil_socket_t fd, short what, void *arg)
{
	struct deadline *deadline = arg;
	uint64_t now_us = loop_now_us(deadline->loop);

	(void)fd;
	(void)what;
	deadline->armed_us = 0;
	if (deadline->at_us == 0)
		return;
	if (now_us < deadline->at_us) {
		arm(deadline, now_us);
		return;
	}
	deadline->at_us = 0;
	deadline->passed(deadline->arg);
}

void
deadline_init(struct deadline *deadline, struct loop *loop, void (*passed)(void *arg), void *arg)
{
	*deadline = (struct deadline){ .loop = loop, .passed = passed, .arg = arg };
	evtimer_assign(&deadline->event, loop_base(loop), fire, deadline);
}

void
deadline_set(struct deadline *deadline, uint64_t at_us)
{
	deadline->at_us = at_us ? at_us : 1;
	if (deadline->armed_us == 0 || deadline->armed_us > deadline->at_us)
		arm(deadline, loop_now_us(deadline->loop));
}

void
deadline_cancel(struct deadline *deadline)
{
	deadline->at_us = 0;
}

void
deadline_fini(struct deadline *deadline)
{
	deadline->at_us = 0;
	deadline->armed_us = 0;
	evtimer_del(&deadline->event);
}
