/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ceiling on what the JSON library allocates for one job, per thread.
 *
 * Between json_budget_begin and json_budget_end allocations of this thread fail past the budget, and the library reports want of memory.
 * Outside such a pair it allocates freely. What is allocated under a budget may be freed anywhere.
 */
#pragma once

#include <stddef.h>

/* Put the budget under the library. Once, before its first use; calling it again is harmless. Thread-safe. */
void json_budget_install(void);

void json_budget_begin(size_t bytes);
void json_budget_end(void);
