/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Three clocks: the wall (what the machine believes), the monotonic one (deadlines), and journal time.
 *
 * Journal time is what records carry and what expiry and the duplicate window use: never backwards, not even over a restart, and a
 * forward step of the wall is followed only at a bounded pace, so that a wrong date neither reorders nor expires anything.
 *   - at start: the last recorded time, or the wall when that is later, by at most CLOCK_START_STEP;
 *   - running: monotonic, steered towards the wall by at most one part in CLOCK_SLEW (a step shows as clock-step in the log).
 * A build with the option `seams` reads LIAISON_CLOCK_RATE (a factor) so that tests see hours pass in seconds; other builds do not.
 */
#pragma once

#include <stdint.h>
#include <time.h>

#define CLOCK_START_STEP_US ((uint64_t)30 * 24 * 3600 * 1000000)
#define CLOCK_SLEW	    20 /* an hour's error is made up in 20 hours: nobody's deadline notices */
#define CLOCK_STEP_US	    ((uint64_t)1000000) /* a wall that jumps by more than this is told */

/* Microseconds since 1970 by the wall, and since some fixed moment by the monotonic clock. */
uint64_t clock_wall_us(void);
uint64_t clock_mono_us(void);

/* The moment ${ms} milliseconds from now, for pthread_cond_timedwait on a condition that goes by the monotonic clock. */
struct timespec clock_after_ms(uint64_t ms);

struct journal_clock {
	uint64_t last_us;   /* last journal time given */
	uint64_t mono_us;   /* the monotonic reading that belongs to it */
	uint64_t wall_us;   /* and the wall's */
	uint64_t target_us; /* where the wall would have journal time be */
	unsigned rate;	    /* 1; more only under the seam */
};

/* Begin after ${last_us}, the newest recorded time (0: none). */
void journal_clock_init(struct journal_clock *clock, uint64_t last_us);

/* The journal time now; each call gives at least the time of the call before. Not thread-safe: the journal's lock holds it. */
uint64_t journal_clock_now(struct journal_clock *clock);

/* The two above for given readings of the clocks: all that is decided, without asking the machine. ${stepped} (may be NULL) gets by how much the
 * wall jumped, in microseconds, when that is past CLOCK_STEP_US and what a time service steers; else 0. A jump is told once. */
void journal_clock_start(struct journal_clock *clock, uint64_t last_us, uint64_t wall_us, uint64_t mono_us);
uint64_t journal_clock_at(struct journal_clock *clock, uint64_t wall_us, uint64_t mono_us, int64_t *stepped);

/* ISO 8601 to the second, UTC ("2026-11-21T20:05:00Z"), of ${when_s} since 1970; "" for what no calendar has. */
void clock_second(int64_t when_s, char out[static 32]);

/* ISO 8601 with milliseconds and zone, local time, CLOCK_FORMAT_LEN characters: at least 32 bytes at ${out}. */
#define CLOCK_FORMAT_LEN 29
void clock_format(uint64_t wall_us, char out[static 32]);
