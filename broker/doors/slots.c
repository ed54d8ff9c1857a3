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

bool
slots_take(struct slots *slots)
{
	if (slots->first || slots->used >= slots->total)
		return false;
	slots->used++;
	return true;
}

void
slots_wait(struct slots *slots, struct slot_waiter *waiter)
{
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

void
slots_give(struct slots *slots)
{
	struct slot_waiter *waiter = slots->first;

	if (!waiter || slots->used > slots->total) {
		slots->used--;
		return;
	}
	/* The slot changes hands without becoming free. */
	slots_leave(slots, waiter);
	waiter->granted(waiter);
}

void
slots_resize(struct slots *slots, unsigned total)
{
	slots->total = total;
	while (slots->first && slots->used < slots->total) {
		struct slot_waiter *waiter = slots->first;

		slots->used++;
		slots_leave(slots, waiter);
		waiter->granted(waiter);
	}
}
