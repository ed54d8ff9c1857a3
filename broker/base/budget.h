/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory ceiling: an account of what frames, bodies, answers and read-ahead hold, of all doors and senders together.
 *
 * Whoever holds bytes has a seat and says how many, as often as that changes; saying so never fails. Before it takes more it asks. Marks keep
 * the whole from jamming: what is read ahead stays below half, something new begins below three quarters, what was begun goes on below seven eighths, and what drains
 * (answers, reads) may have all. Who is told to wait stands in a line, first come first served. When what was begun is itself too
 * much, the first in line is the one guest that goes on nevertheless, until its owner says that it is done: so at least one can always
 * end. That a guest hurries is for its owner to see to.
 *
 * Seats may share: those of one peer. Once half of all is held, a share that holds a quarter waits, all but one guest of its own, so that
 * a peer whose frames do not end finds the others served.
 *
 * On the loop thread only. It allocates nothing and knows no loop: it asks its owner for a turn in which budget_wake is to be called.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum budget_use {
	BUDGET_AHEAD, /* what only saves time: read-ahead for destinations, which may sit there for long */
	BUDGET_BEGIN, /* a new frame */
	BUDGET_GO_ON, /* a frame that was begun */
	BUDGET_DRAIN, /* an answer, a read: what makes room in the end */
};

struct budget {
	uint64_t limit, used;
	uint64_t most;	  /* the greatest use so far */
	uint64_t waits;	  /* how often somebody was told to wait */
	uint64_t told_us; /* when the log was told last; 0: never */
	struct budget_seat *first, *last, *guest;
	bool waking; /* a turn was asked for */
	void (*soon)(void *arg);
	void *arg;
};

/* What the seats of one peer hold together. Zero it before use; it outlives those seats. */
struct budget_share {
	uint64_t held;
	struct budget_seat *guest;
};

/* Embedded by who holds bytes. */
struct budget_seat {
	struct budget *budget;	    /* NULL: nothing is counted, and nothing refused */
	struct budget_share *share; /* NULL: none */
	uint64_t held;
	struct budget_seat *prev, *next; /* the line */
	bool waiting;
	enum budget_use use; /* what it waits for */
	/* It may ask again: called out of budget_wake, after it left the line. It may ask, hold and leave. */
	void (*granted)(struct budget_seat *seat);
};

/* ${limit} bytes. ${soon} is called, at most once until then, when budget_wake should be called from the loop, not from within. */
void budget_init(struct budget *budget, uint64_t limit, void (*soon)(void *arg), void *arg);

/* Another limit; those who wait are woken when it is larger. */
void budget_resize(struct budget *budget, uint64_t limit);

/* Take a seat that holds nothing. */
void budget_sit(struct budget_seat *seat, struct budget *budget, void (*granted)(struct budget_seat *seat));

/* What ${seat}, which holds nothing yet, holds from now on counts in ${share}, too. */
void budget_join(struct budget_seat *seat, struct budget_share *share);

/* ${seat} holds ${bytes} now, all in all. */
void budget_hold(struct budget_seat *seat, uint64_t bytes);

/* May ${seat} take more, for ${use}, BUDGET_BEGIN or BUDGET_GO_ON (others are refused, they do not wait)? False: it stands in line, and granted will be called, unless it leaves it. */
bool budget_ask(struct budget_seat *seat, enum budget_use use) __attribute__((warn_unused_result));

/* Is there room for ${use} now? Nobody is put in line. */
bool budget_room(const struct budget *budget, enum budget_use use);

/* ${seat} goes on only because it is the guest, of all or of its share. */
bool budget_is_guest(const struct budget_seat *seat);

/* What ${seat} did as the guest is done and given back. Harmless when it is not the guest. */
void budget_guest_ends(struct budget_seat *seat);

/* Leave the line, if in it. */
void budget_stop_waiting(struct budget_seat *seat);

/* Give up the seat: nothing is held, nothing waited for. Harmless on one that never sat. */
void budget_leave(struct budget_seat *seat);

/* Let those who wait ask again, in their order, as far as there is room. */
void budget_wake(struct budget *budget);
