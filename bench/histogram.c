/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/histogram.h"

/* Below HISTOGRAM_SUB a bucket is one value; above, a power of two has HISTOGRAM_SUB of them. */
static unsigned
bucket_of(uint64_t value)
{
	unsigned power;

	if (value < HISTOGRAM_SUB)
		return (unsigned)value;
	power = 63u - (unsigned)__builtin_clzll(value);
	return (power - 4) * HISTOGRAM_SUB + (unsigned)((value >> (power - 5)) - HISTOGRAM_SUB);
}

static uint64_t
upper_bound(unsigned bucket)
{
	unsigned power = bucket / HISTOGRAM_SUB + 4, sub = bucket % HISTOGRAM_SUB;

	if (bucket < HISTOGRAM_SUB)
		return bucket;
	return (((uint64_t)HISTOGRAM_SUB + sub + 1) << (power - 5)) - 1;
}

void
histogram_add(struct histogram *h, uint64_t value)
{
	h->count++;
	if (value > h->greatest)
		h->greatest = value;
	h->buckets[bucket_of(value)]++;
}

uint64_t
histogram_at(const struct histogram *h, double share)
{
	uint64_t wanted = (uint64_t)((double)h->count * share), seen = 0;

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += h->buckets[i];
		if (seen > wanted || (seen == h->count && seen))
			return upper_bound(i) < h->greatest ? upper_bound(i) : h->greatest;
	}
	return 0;
}
