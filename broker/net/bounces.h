/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many connections of one peer get lines of their own: the first BOUNCES_AT_ONCE, and one more each BOUNCES_ONE_US. The others are counted,
 * and the count is owed. So a system that connects for each message, or over and over, makes some lines an hour, not thousands.
 *
 * Pure: time comes by argument (microseconds of a monotonic clock). A struct of zeros is one that was never connected.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define BOUNCES_AT_ONCE 20u
#define BOUNCES_ONE_US	(UINT64_C(60) * 1000000)
#define BOUNCES_OWED_US (UINT64_C(300) * 1000000)

struct bounces {
	uint64_t paid_us;   /* when all lines told will have been earned, one each BOUNCES_ONE_US */
	uint64_t spared;    /* connections not told, and owed */
	uint64_t spared_us; /* the first of them */
};

/* Whether the connection that opens at ${now_us} is told. */
bool bounces_tell(struct bounces *bounces, uint64_t now_us);

/* How many were spared, once the first of them is BOUNCES_OWED_US old; else 0. They are owed no more. */
uint64_t bounces_owed(struct bounces *bounces, uint64_t now_us);

/* The same at once, for a line that is told anyway. */
uint64_t bounces_take(struct bounces *bounces);
