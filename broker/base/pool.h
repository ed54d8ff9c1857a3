/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks of one size that are used over and over: what every message needs is not allocated for every message.
 *
 * A pool keeps blocks that were given back, up to a bound, newest first, because those are still in the processor's caches. What has not been
 * needed for a while goes back to the system by pool_trim, which its owner calls now and then. It does not account: a block is charged by
 * who holds it, and what is kept is bounded here. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct pool_block;

struct pool {
	struct pool_block *first; /* those that are kept */
	size_t size;		  /* of a block */
	size_t most;		  /* so many are kept */
	size_t kept;
	size_t idle; /* the fewest that were kept since the last pool_trim: nobody needed those */
};

/* Blocks of ${size} bytes, aligned as by malloc, of which up to ${most} are kept. Allocates nothing. */
void pool_init(struct pool *pool, size_t size, size_t most);

/* A block that is the caller's until pool_give, not cleared. NULL: no memory. */
void *pool_take(struct pool *pool) __attribute__((warn_unused_result));

/* Give ${block} back. NULL is harmless. ${keep} false: it goes to the system at once. */
void pool_give(struct pool *pool, void *block, bool keep);

/* Free what nobody needed since the last call. True while blocks are kept: call again later. */
bool pool_trim(struct pool *pool);

/* Free what is kept; blocks that are in use stay valid, and may still be given. */
void pool_fini(struct pool *pool);
