/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The three clocks. Journal time is computed from two readings, wall and monotonic; the functions that take the readings as arguments
 * decide everything, the others only read the machine's clocks and log.
 *
 * Invariant: journal time moves by the monotonic distance, plus or minus one part in CLOCK_SLEW of it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "broker/base/clock.h"
#include "broker/base/log.h"

/* A time service steers by up to 500 parts in a million; twice that over the time between two readings is no step. */
#define STEERED_PARTS 1000

#define RATE_MAX 1000000

static uint64_t
read_us(clockid_t id)
{
	struct timespec now;

	if (clock_gettime(id, &now) != 0)
		abort(); /* these two clocks always exist */
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t
clock_wall_us(void)
{
	return read_us(CLOCK_REALTIME);
}

uint64_t
clock_mono_us(void)
{
	return read_us(CLOCK_MONOTONIC);
}

struct timespec
clock_after_ms(uint64_t ms)
{
	struct timespec until;

	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t)(ms / 1000);
	until.tv_nsec += (long)(ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	return until;
}

void
journal_clock_start(struct journal_clock *clock, uint64_t last_us, uint64_t wall_us, uint64_t mono_us)
{
	uint64_t start = wall_us;

	if (last_us && start < last_us)
		start = last_us;
	if (last_us && start - last_us > CLOCK_START_STEP_US)
		start = last_us + CLOCK_START_STEP_US;
	*clock = (struct journal_clock){
		.last_us = start,
		.mono_us = mono_us,
		.wall_us = wall_us,
		.target_us = wall_us,
		.rate = 1,
	};
}

/* By how much the wall moved other than the ${elapsed} time and a time service's steering say. */
static int64_t
wall_jump(const struct journal_clock *clock, uint64_t wall_us, uint64_t elapsed)
{
	int64_t jump = (int64_t)(wall_us - clock->wall_us) - (int64_t)elapsed;
	uint64_t size = jump < 0 ? (uint64_t)-jump : (uint64_t)jump;

	return size > CLOCK_STEP_US + elapsed / STEERED_PARTS ? jump : 0;
}

uint64_t
journal_clock_at(struct journal_clock *clock, uint64_t wall_us, uint64_t mono_us, int64_t *stepped)
{
	uint64_t elapsed = mono_us > clock->mono_us ? mono_us - clock->mono_us : 0;
	uint64_t pace = elapsed * clock->rate, slew = pace / CLOCK_SLEW, next = clock->last_us + pace;

	if (stepped)
		*stepped = wall_jump(clock, wall_us, elapsed);
	/* Under a rate the wall's distance counts as many times, its place does not. */
	clock->target_us += (wall_us - clock->wall_us) * clock->rate;
	if (next < clock->target_us)
		next += clock->target_us - next < slew ? clock->target_us - next : slew;
	else
		next -= next - clock->target_us < slew ? next - clock->target_us : slew;
	clock->last_us = next;
	clock->mono_us = mono_us;
	clock->wall_us = wall_us;
	return next;
}

#ifdef LIAISON_SEAMS
static unsigned
seam_rate(void)
{
	const char *text = getenv("LIAISON_CLOCK_RATE");
	unsigned long rate = text ? strtoul(text, NULL, 10) : 1;

	return rate >= 1 && rate <= RATE_MAX ? (unsigned)rate : 1;
}
#endif

void
journal_clock_init(struct journal_clock *clock, uint64_t last_us)
{
	journal_clock_start(clock, last_us, clock_wall_us(), clock_mono_us());
#ifdef LIAISON_SEAMS
	clock->rate = seam_rate();
#endif
}

uint64_t
journal_clock_now(struct journal_clock *clock)
{
	int64_t stepped;
	uint64_t now = journal_clock_at(clock, clock_wall_us(), clock_mono_us(), &stepped);

	if (stepped) {
		struct log_line line;

		log_begin(&line, EVENT_CLOCK_STEP);
		log_i64(&line, "by_ms", stepped / 1000);
		log_i64(&line, "journal_behind_ms", (int64_t)(clock->target_us - now) / 1000);
		log_commit(&line);
	}
	return now;
}

void
clock_second(int64_t when_s, char out[static 32])
{
	time_t seconds = (time_t)when_s;
	struct tm tm;

	if (!gmtime_r(&seconds, &tm) || strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		out[0] = '\0';
}

/* "YYYY-MM-DDThh:mm:ss.000+hh:mm" of a second. */
static void
format_second(time_t seconds, char out[static 32])
{
	struct tm tm;
	long minutes;
	char sign;

	if (!localtime_r(&seconds, &tm))
		(void)gmtime_r(&(time_t){ 0 }, &tm);
	minutes = tm.tm_gmtoff / 60;
	sign = minutes < 0 ? '-' : '+';
	if (minutes < 0)
		minutes = -minutes;
	/* The moduli change nothing: they tell the compiler that it fits. */
	(void)snprintf(out, 32, "%04u-%02u-%02uT%02u:%02u:%02u.000%c%02u:%02u",
	    (unsigned)(tm.tm_year + 1900) % 10000, (unsigned)(tm.tm_mon + 1) % 100,
	    (unsigned)tm.tm_mday % 100, (unsigned)tm.tm_hour % 100, (unsigned)tm.tm_min % 100,
	    (unsigned)tm.tm_sec % 100, sign, (unsigned)(minutes / 60) % 100, (unsigned)(minutes % 60));
}

void
clock_format(uint64_t wall_us, char out[static 32])
{
	/* Log lines come by the hundred thousand a second: only their milliseconds are written anew. */
	static _Thread_local struct {
		time_t seconds;
		char text[32];
	} last;
	time_t seconds = (time_t)(wall_us / 1000000);
	unsigned milliseconds = (unsigned)(wall_us / 1000 % 1000);

	if (last.text[0] == '\0' || last.seconds != seconds) {
		format_second(seconds, last.text);
		last.seconds = seconds;
	}
	memcpy(out, last.text, sizeof(last.text));
	out[20] = (char)('0' + milliseconds / 100);
	out[21] = (char)('0' + milliseconds / 10 % 10);
	out[22] = (char)('0' + milliseconds % 10);
}
