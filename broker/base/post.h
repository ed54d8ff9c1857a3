/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a thread hands work back to the loop thread without knowing what a loop is.
 *
 * The layer that owns the loop implements ${post}; lower layers only call it. Items run on the loop thread, in the order posted.
 */
#pragma once

#include <stdbool.h>

struct post_item {
	struct post_item *next; /* the queue's while posted */
	void (*run)(struct post_item *item);
};

struct poster {
	/* Thread-safe, never fails, never blocks on I/O. ${item} belongs to the loop until its run is called. */
	void (*post)(struct poster *self, struct post_item *item);
	/* Thread-safe: take ${item} out again before it is run; false when it is not waiting. NULL: this poster cannot. */
	bool (*unpost)(struct poster *self, struct post_item *item);
	/*
	 * From the loop's own thread: run ${item} once, at the end of this turn: behind all that is ready now and before the loop waits. False
	 * on any other thread: then nothing was done. NULL: this poster cannot.
	 */
	bool (*later)(struct poster *self, struct post_item *item);
};

static inline void
post(struct poster *poster, struct post_item *item)
{
	poster->post(poster, item);
}

/* True: ${item} will not run and is the caller's again. */
static inline bool
unpost(struct poster *poster, struct post_item *item)
{
	return poster->unpost && poster->unpost(poster, item);
}

/* True: ${item} belongs to the loop until its run is called, at the end of this turn; unpost takes it out as any other. */
static inline bool
post_later(struct poster *poster, struct post_item *item)
{
	return poster->later && poster->later(poster, item);
}
