/* SPDX-License-Identifier: Apache-2.0 */
/* See failing_memory.h. */
#include "tests/crash/failing_memory.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_reallocarray(void *old, size_t count, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_reallocarray(void *old, size_t count, size_t size);

static _Atomic size_t at, made;
static atomic_bool always;
static _Thread_local bool ours;

static bool
fails(void)
{
	size_t nth = at, n;

	if (ours || nth == 0)
		return false;
	n = atomic_fetch_add(&made, 1) + 1;
	if (n != nth && !(always && n > nth))
		return false;
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

void *
__wrap_reallocarray(void *old, size_t count, size_t size)
{
	return fails() ? NULL : __real_reallocarray(old, count, size);
}

void
failing_memory_at(size_t nth, bool forever)
{
	at = 0;
	made = 0;
	always = forever;
	at = nth;
}

size_t
failing_memory_count(void)
{
	return made;
}

void
failing_memory_ours(bool mine)
{
	ours = mine;
}
