/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much of a loop's time newcomers get: accepting connections and shaking hands costs a hundred times what a message costs, and whoever can
 * connect can ask for it.
 *
 * Newcomers stand in one line and have one step in a turn of the loop, so that links that are open come between any two. While the loop has other
 * work to do, the next step waits in proportion to what the one before took: newcomers get a tenth of the time, more when the loop would
 * be idle, and are never shut out. On the loop thread only. One struct pace per loop (loop_pace).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct loop;
struct loop_timer;

#define PACE_LEAST_PERCENT 10 /* of the loop's time are the newcomers' in any case */
#define PACE_FILL_PERCENT  40 /* up to here newcomers and other work fill it together */
#define PACE_FREE_PERCENT  5  /* so little other work is nobody's wait */
#define PACE_LONGEST_US                                                                                      \
	((uint64_t)100000) /* no step, however long it was kept from the processor, costs more of a wait */
#define PACE_WINDOW_US ((uint64_t)4000) /* over which other work is measured */

/* Something that can be done in a step: accept, or go on with a handshake. Zeroed, it stands in no line. */
struct pace_item {
	struct pace_item *next, **place; /* place: NULL when not in the line */
	void (*run)(struct pace_item *item);
};

struct pace {
	struct loop *loop;
	struct loop_timer *timer;	 /* armed after each step, until the next may be done */
	struct pace_item *first, **last; /* the line */
	uint64_t next_us;		 /* when that is */
	bool rests;			 /* the timer is armed */
	/* Since the window began: what the thread had of the processor, what went by, less what steps took of both. */
	uint64_t cpu_from_us, from_us, cpu_steps_us, steps_us;
	unsigned percent; /* of other work in the last whole window */
};

/* -ENOMEM. The loop outlives it. */
int pace_init(struct pace *pace, struct loop *loop) __attribute__((warn_unused_result));
void pace_fini(struct pace *pace); /* whoever is still in the line is not called any more */

/*
 * Call item->run now, or when its turn comes. True: it ran already (and may have asked anew). False: it waits, or did before; until then the
 * caller should not ask the system for what it will not use.
 */
bool pace_ask(struct pace *pace, struct pace_item *item);

/* Out of the line; harmless when not in it. */
void pace_leave(struct pace *pace, struct pace_item *item);

/* How long the next step waits behind one of ${step_us} while other work takes ${percent} of the time that is not the newcomers'. */
uint64_t pace_wait_us(uint64_t step_us, unsigned percent);
