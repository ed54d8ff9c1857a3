/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times, counted so that percentiles can be told: 32 buckets per power of two, hence within 3 %. Fixed size, no
 * allocation, one thread.
 */
#pragma once

#include <stdint.h>

#define HISTOGRAM_SUB	  32u
#define HISTOGRAM_BUCKETS (64u * HISTOGRAM_SUB)

struct histogram {
	uint64_t count;
	uint64_t greatest;
	uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *h, uint64_t value);

/* The least value that ${share} (0 to 1) of what was added does not pass, to the bucket's upper bound; 0 when nothing was added. */
uint64_t histogram_at(const struct histogram *h, double share);
