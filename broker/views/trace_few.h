/* SPDX-License-Identifier: Apache-2.0 */
/* The least few of many pairs of numbers, each once, in order: what is gathered from many parts, in bounded memory. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct trace_pair {
	uint64_t major, minor;
};

struct trace_few {
	struct trace_pair *pairs;
	size_t count, max;
	bool cut; /* there were more */
};

/* Room for the ${max} least. 0 or -ENOMEM; fini frees. */
int trace_few_init(struct trace_few *few, size_t max) __attribute__((warn_unused_result));
void trace_few_fini(struct trace_few *few);
void trace_few_reset(struct trace_few *few);

void trace_few_add(struct trace_few *few, uint64_t major, uint64_t minor);

/* Nothing more comes: pairs[0 .. count) are in order. */
void trace_few_end(struct trace_few *few);
