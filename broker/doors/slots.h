/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Large slots: the bound on how many frames, bodies and answers past `limits.large_size` are in memory at one time, all doors together.
 *
 * Whoever finds none free waits in a line, first come first served, or gives up. One peer has all but one of them at most, so that none can keep
 * the others' large messages out by slow ones of its own. On the loop thread only.
 */
#pragma once

#include <stdbool.h>

struct slots {
	unsigned total;
	unsigned used;
	struct slot_waiter *first, *last;
};

/* Embedded by who waits; zero it before first use. */
struct slot_waiter {
	struct slot_waiter *prev, *next;
	bool waiting;
	unsigned *held;
	void (*granted)(
	    struct slot_waiter *waiter); /* a slot is now the waiter's; called out of slots_give */
};

void slots_init(struct slots *slots, unsigned total);

/* Have ${total} of them from now on: who waits gets new ones; of fewer, those taken are not taken away. */
void slots_resize(struct slots *slots, unsigned total);

/*
 * Take a slot for the peer that has *${held} of them: true, and it is the caller's until slots_give. False: there is none free for it, or others
 * wait for it. NULL: of nobody, without the bound.
 */
bool slots_take(struct slots *slots, unsigned *held) __attribute__((warn_unused_result));

/* Get in line for the peer of ${held}; ${waiter}'s granted will be called once, unless it leaves. */
void slots_wait(struct slots *slots, struct slot_waiter *waiter, unsigned *held);

/* Leave the line. Harmless when not in it. */
void slots_leave(struct slots *slots, struct slot_waiter *waiter);

/* Give a slot of the peer of ${held} back; the first in line that may have it gets it. */
void slots_give(struct slots *slots, unsigned *held);
