/* SPDX-License-Identifier: Apache-2.0 */
/* Allocations of the product that fail on demand on whichever thread, by the linker's --wrap; those of the test itself do not. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* From now on the ${nth} allocation of the product (from 1) gives NULL; ${forever}: and every later one. 0: none. Counting begins anew. */
void failing_memory_at(size_t nth, bool forever);

/* Since failing_memory_at. */
size_t failing_memory_count(void);

/* Whether what this thread allocates is the test's own. Threads begin as the product's. */
void failing_memory_ours(bool ours);
