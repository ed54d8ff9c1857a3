/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A list of free blocks, linked through themselves. Under AddressSanitizer a block that is kept is poisoned, so that who uses one he gave back
 * is found out as with free.
 */
#include "broker/base/pool.h"

#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__)
#define POISONED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POISONED 1
#endif
#endif

#ifdef POISONED
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size)   ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#endif

struct pool_block {
	struct pool_block *next;
};

void
pool_init(struct pool *pool, size_t size, size_t most)
{
	*pool = (struct pool){ .size = size < sizeof(struct pool_block) ? sizeof(struct pool_block) : size,
		.most = most };
}

static struct pool_block *
unlink_first(struct pool *pool)
{
	struct pool_block *block = pool->first;

	ASAN_UNPOISON_MEMORY_REGION(block, pool->size);
	pool->first = block->next;
	pool->kept--;
	return block;
}

void *
pool_take(struct pool *pool)
{
	struct pool_block *block;

	if (!pool->first)
		return malloc(pool->size);
	block = unlink_first(pool);
	if (pool->kept < pool->idle)
		pool->idle = pool->kept;
	return block;
}

void
pool_give(struct pool *pool, void *given, bool keep)
{
	struct pool_block *block = given;

	if (!block || !keep || pool->kept >= pool->most) {
		free(block);
		return;
	}
	block->next = pool->first;
	pool->first = block;
	pool->kept++;
	ASAN_POISON_MEMORY_REGION(block, pool->size);
}

bool
pool_trim(struct pool *pool)
{
	for (size_t idle = pool->idle; idle > 0; idle--)
		free(unlink_first(pool));
	pool->idle = pool->kept;
	return pool->kept > 0;
}

void
pool_fini(struct pool *pool)
{
	while (pool->first)
		free(unlink_first(pool));
	pool->idle = 0;
}
