/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allocations that fail on demand, for tests: the program is linked with -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc and
 * with failmalloc.c. Only calls from our own objects are seen, not those inside libraries. Not for several threads.
 *
 *   for (size_t n = 1;; n++) {
 *           failmalloc_at(n);
 *           ...                     what is tested; the leak checker watches
 *           if (failmalloc_off())   the nth call was never reached: all have been tried
 *                   break;
 *   }
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* From now on the ${n}th allocation (from 1), and every later one, gives NULL. */
void failmalloc_at(size_t n);

/* Fail no more. True when the allocation that was to fail was never asked for. */
bool failmalloc_off(void);
