/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A deadline that is set anew with every message and hardly ever passes: moving it later costs a store, not a change of the loop's heap.
 *
 * Embedded; on the loop thread. Invariant: while at_us is not 0 the event is pending, at or before at_us.
 */
#pragma once

#include <stdint.h>

#include <event2/event_struct.h>

struct loop;

struct deadline {
	struct event event;
	struct loop *loop;
	uint64_t at_us;	   /* 0: none */
	uint64_t armed_us; /* when the event fires, 0: it is not pending */
	void (*passed)(void *arg);
	void *arg;
};

void deadline_init(struct deadline *deadline, struct loop *loop, void (*passed)(void *arg), void *arg);

/* Call passed() once at ${at_us} of the loop's clock, unless set anew. */
void deadline_set(struct deadline *deadline, uint64_t at_us);
void deadline_cancel(struct deadline *deadline);
void deadline_fini(struct deadline *deadline);
