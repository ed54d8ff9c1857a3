/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Large slots: a counter and a line of those who wait.
 */
#include "broker/doors/slots.h"

#include <stddef.h>

void
slots_init(struct slots *slots, unsigned total)
{
	*slots = (struct slots){ .total = total };
}

/* All but one; of one, that. */
static bool
may_hold(const struct slots *slots, const unsigned *held)
{
	unsigned most = slots->total > 1 ? slots->total - 1 : 1;

	return !held || *held < most;
}

static void
count(struct slots *slots, unsigned *held)
{
	slots->used++;
	if (held)
		++*held;
}

/* While one is free nobody stands in line but those who have their share. */
bool
slots_take(struct slots *slots, unsigned *held)
{
	if (slots->used >= slots->total || !may_hold(slots, held))
		return false;
	count(slots, held);
	return true;
}

void
slots_wait(struct slots *slots, struct slot_waiter *waiter, unsigned *held)
{
	waiter->held = held;
	waiter->prev = slots->last;
	waiter->next = NULL;
	waiter->waiting = true;
	if (slots->last)
		slots->last->next = waiter;
	else
		slots->first = waiter;
	slots->last = waiter;
}

void
slots_leave(struct slots *slots, struct slot_waiter *waiter)
{
	if (!waiter->waiting)
		return;
	if (waiter->prev)
		waiter->prev->next = waiter->next;
	else
		slots->first = waiter->next;
	if (waiter->next)
		waiter->next->prev = waiter->prev;
	else
		slots->last = waiter->prev;
	waiter->waiting = false;
	waiter->prev = waiter->next = NULL;
}

/* Those in line who may, as long as there are slots. */
static void
serve(struct slots *slots)
{
	struct slot_waiter *waiter = slots->first;

	while (waiter && slots->used < slots->total) {
		if (!may_hold(slots, waiter->held)) {
			waiter = waiter->next;
			continue;
		}
		count(slots, waiter->held);
		slots_leave(slots, waiter);
		waiter->granted(waiter); /* the line may be another now */
		waiter = slots->first;
	}
}

void
slots_give(struct slots *slots, unsigned *held)
{
	slots->used--;
	if (held)
		--*held;
	serve(slots);
}

void
slots_resize(struct slots *slots, unsigned total)
{
	slots->total = total;
	serve(slots);
}
