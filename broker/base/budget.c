/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory ceiling: a sum, a line, and one guest.
 *
 * Invariants: used is the sum of what the seats hold; nobody is in line who was granted; the guest stays one until there is room again for
 * what it does, or its owner says that it is done. Where all is full there is one guest, whatever the shares; else one for each full share.
 */
#include "broker/base/budget.h"

#include <stddef.h>

#include "broker/base/clock.h"
#include "broker/base/log.h"

#define TELL_US ((uint64_t)60 * 1000000) /* the log is told of a full account at most this often */

static uint64_t
mark(const struct budget *budget, enum budget_use use)
{
	if (use == BUDGET_AHEAD)
		return budget->limit / 2;
	if (use == BUDGET_BEGIN)
		return budget->limit - budget->limit / 4;
	if (use == BUDGET_GO_ON)
		return budget->limit - budget->limit / 8;
	return budget->limit;
}

bool
budget_room(const struct budget *budget, enum budget_use use)
{
	return !budget || budget->used < mark(budget, use);
}

/* Whether the share of ${seat} leaves it room. */
static bool
share_room(const struct budget_seat *seat, enum budget_use use)
{
	const struct budget *budget = seat->budget;

	return !seat->share || use == BUDGET_DRAIN || budget->used < budget->limit / 2 ||
	       seat->share->held < budget->limit / 4;
}

static bool
has_room(const struct budget_seat *seat, enum budget_use use)
{
	return budget_room(seat->budget, use) && share_room(seat, use);
}

/* Where ${seat}, which has no room to go on, would be the guest. */
static struct budget_seat **
guest_place(const struct budget_seat *seat)
{
	return budget_room(seat->budget, BUDGET_GO_ON) ? &seat->share->guest : &seat->budget->guest;
}

static bool
can_be_served(const struct budget_seat *seat)
{
	const struct budget_seat *guest;

	if (has_room(seat, seat->use))
		return true;
	if (seat->use != BUDGET_GO_ON)
		return false;
	guest = *guest_place(seat);
	return !guest || guest == seat;
}

/* The first in line that could be served. */
static struct budget_seat *
next_served(const struct budget *budget)
{
	struct budget_seat *seat = budget->first;

	while (seat && !can_be_served(seat))
		seat = seat->next;
	return seat;
}

static void
changed(struct budget *budget)
{
	if (budget->guest && budget_room(budget, BUDGET_GO_ON))
		budget->guest = NULL;
	if (budget->waking || !next_served(budget))
		return;
	budget->waking = true;
	budget->soon(budget->arg);
}

void
budget_init(struct budget *budget, uint64_t limit, void (*soon)(void *arg), void *arg)
{
	*budget = (struct budget){ .limit = limit, .soon = soon, .arg = arg };
}

void
budget_resize(struct budget *budget, uint64_t limit)
{
	budget->limit = limit;
	changed(budget);
}

void
budget_sit(struct budget_seat *seat, struct budget *budget, void (*granted)(struct budget_seat *seat))
{
	*seat = (struct budget_seat){ .budget = budget, .granted = granted };
}

void
budget_join(struct budget_seat *seat, struct budget_share *share)
{
	seat->share = share;
}

void
budget_hold(struct budget_seat *seat, uint64_t bytes)
{
	struct budget *budget = seat->budget;

	if (!budget || bytes == seat->held)
		return;
	if (seat->share)
		seat->share->held = seat->share->held - seat->held + bytes;
	budget->used = budget->used - seat->held + bytes;
	seat->held = bytes;
	if (budget->used > budget->most)
		budget->most = budget->used;
	changed(budget);
}

static void
tell(struct budget *budget)
{
	uint64_t now_us = clock_mono_us();
	struct log_line line;

	if (budget->told_us && now_us - budget->told_us < TELL_US)
		return;
	budget->told_us = now_us;
	log_begin(&line, EVENT_MEMORY_CEILING);
	log_u64(&line, "held", budget->used);
	log_u64(&line, "limit", budget->limit);
	log_commit(&line);
}

static void
stand(struct budget_seat *seat, enum budget_use use)
{
	struct budget *budget = seat->budget;

	seat->use = use;
	if (seat->waiting)
		return;
	seat->waiting = true;
	seat->prev = budget->last;
	seat->next = NULL;
	if (budget->last)
		budget->last->next = seat;
	else
		budget->first = seat;
	budget->last = seat;
	budget->waits++;
	tell(budget);
}

void
budget_stop_waiting(struct budget_seat *seat)
{
	struct budget *budget = seat->budget;

	if (!seat->waiting)
		return;
	if (seat->prev)
		seat->prev->next = seat->next;
	else
		budget->first = seat->next;
	if (seat->next)
		seat->next->prev = seat->prev;
	else
		budget->last = seat->prev;
	seat->prev = seat->next = NULL;
	seat->waiting = false;
	changed(budget);
}

/* Nobody who was begun and would be the guest in the same place stands before ${seat}. */
static bool
is_next(const struct budget_seat *seat)
{
	bool of_all = guest_place(seat) == &seat->budget->guest;
	const struct budget_seat *one = seat->budget->first;

	while (one && one != seat && (one->use != BUDGET_GO_ON || !(of_all || one->share == seat->share)))
		one = one->next;
	return !one || one == seat;
}

bool
budget_ask(struct budget_seat *seat, enum budget_use use)
{
	struct budget_seat **guest;

	if (!seat->budget)
		return true;
	if (!has_room(seat, use)) {
		guest = use == BUDGET_GO_ON ? guest_place(seat) : NULL;
		if (!guest || !(*guest == seat || (!*guest && is_next(seat)))) {
			stand(seat, use);
			return false;
		}
		*guest = seat;
	}
	budget_stop_waiting(seat);
	return true;
}

bool
budget_is_guest(const struct budget_seat *seat)
{
	return seat->budget && (seat->budget->guest == seat || (seat->share && seat->share->guest == seat));
}

void
budget_guest_ends(struct budget_seat *seat)
{
	if (!budget_is_guest(seat))
		return;
	if (seat->budget->guest == seat)
		seat->budget->guest = NULL;
	if (seat->share && seat->share->guest == seat)
		seat->share->guest = NULL;
	changed(seat->budget);
}

void
budget_leave(struct budget_seat *seat)
{
	if (!seat->budget)
		return;
	budget_hold(seat, 0);
	budget_stop_waiting(seat);
	budget_guest_ends(seat);
	seat->budget = NULL;
	seat->share = NULL;
}

void
budget_wake(struct budget *budget)
{
	struct budget_seat *seat;
	size_t standing = 0;

	budget->waking = true; /* no further turn is asked for meanwhile */
	for (seat = budget->first; seat; seat = seat->next)
		standing++;
	/* Each once: one that must wait again stands behind those. */
	while (standing-- > 0 && (seat = next_served(budget))) {
		if (!has_room(seat, seat->use))
			*guest_place(seat) = seat;
		budget_stop_waiting(seat);
		seat->granted(seat);
	}
	budget->waking = false;
	changed(budget);
}
