/* SPDX-License-Identifier: Apache-2.0 */
/* The linker's --wrap gives us every allocation of our objects before the allocator. */
#include "tests/unit/failmalloc.h"

#include <errno.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

static size_t until_failure; /* allocations that still succeed, when armed */
static bool armed, failed;

static bool
fails(void)
{
	if (!armed)
		return false;
	if (until_failure) {
		until_failure--;
		return false;
	}
	failed = true;
	errno = ENOMEM;
	return true;
}

void *
__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *
__wrap_calloc(size_t count, size_t size)
{
	return fails() ? NULL : __real_calloc(count, size);
}

void *
__wrap_realloc(void *old, size_t size)
{
	return fails() ? NULL : __real_realloc(old, size);
}

void
failmalloc_at(size_t n)
{
	until_failure = n ? n - 1 : 0;
	armed = n > 0;
	failed = false;
}

bool
failmalloc_off(void)
{
	armed = false;
	return !failed;
}
