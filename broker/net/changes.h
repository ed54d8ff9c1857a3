/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is told of something that goes down and comes up again: each change, until they come so fast that they say one thing only, that it
 * flaps. Then that, once, and nothing more until it has been still.
 *
 * Pure: time comes by argument (microseconds of a monotonic clock), nothing is logged here. A struct of zeros is up, and calm.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* This many changes in this time are flapping; and to be calm again it must not change for so long. */
#define CHANGES_FAST	      3u
#define CHANGES_FAST_US	      (UINT64_C(60) * 1000000)
#define CHANGES_FAST_STILL_US (UINT64_C(300) * 1000000)
/* The same for what bounces slowly, all day. */
#define CHANGES_SLOW	      8u
#define CHANGES_SLOW_US	      (UINT64_C(3600) * 1000000)
#define CHANGES_SLOW_STILL_US (UINT64_C(1800) * 1000000)

struct changes {
	bool down;
	bool flapping;
	bool slow;			    /* flapping, by the second rule */
	uint64_t since_us;		    /* of the last change; 0: there was none */
	uint64_t count;			    /* while flapping: the changes of it */
	uint64_t flapping_us;		    /* and its first one */
	uint64_t past_us[CHANGES_SLOW - 1]; /* the changes told, newest first; 0: none */
};

enum changes_tell {
	CHANGES_SAME,	  /* no change */
	CHANGES_TELL,	  /* tell it */
	CHANGES_FLAPPING, /* tell that it flaps: ${count} changes since ${flapping_us} */
	CHANGES_DAMPED,	  /* tell nothing */
};

/* It is down, or up, at ${now_us}. */
enum changes_tell changes_take(struct changes *changes, bool down, uint64_t now_us);

/* True once when something that was flapping has been still: tell how it stands, and ${count}, which stays until the next change. */
bool changes_calm(struct changes *changes, uint64_t now_us);
