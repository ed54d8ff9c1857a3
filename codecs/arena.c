/* SPDX-License-Identifier: Apache-2.0 */
/* An arena is a list of chunks; the newest serves until it is full. A large request gets a chunk of its own. */
#include "codecs/arena.h"

#include <stdalign.h>
#include <stdlib.h>

#define ARENA_ALIGN 16u
#define ARENA_CHUNK 8192u /* common chunk: the facts of an ordinary message fit in one */

struct arena_chunk {
	struct arena_chunk *next;
	size_t size;
	size_t used;
	alignas(ARENA_ALIGN) uint8_t bytes[];
};

void
arena_init(struct arena *a, size_t ceiling)
{
	*a = (struct arena){ .ceiling = ceiling };
}

void
arena_init_on(struct arena *a, void *memory, size_t size, size_t ceiling)
{
	arena_init(a, ceiling);
	if (size <= sizeof(struct arena_chunk))
		return;
	a->lent = a->chunks = memory;
	*a->lent =
	    (struct arena_chunk){ .size = (size - sizeof(struct arena_chunk)) & ~(size_t)(ARENA_ALIGN - 1) };
}

/* Free the chunks but the one to be kept, which is returned. */
static struct arena_chunk *
free_others(struct arena *a, size_t size)
{
	struct arena_chunk *kept = a->lent, *chunk = a->chunks;

	while (chunk) {
		struct arena_chunk *next = chunk->next;

		if (!kept && chunk->size == size)
			kept = chunk;
		else if (chunk != kept)
			free(chunk);
		chunk = next;
	}
	return kept;
}

void
arena_fini(struct arena *a)
{
	(void)free_others(a, SIZE_MAX);
	arena_init(a, a->ceiling);
}

void
arena_reset(struct arena *a)
{
	struct arena_chunk *kept = free_others(a, ARENA_CHUNK);

	if (kept) {
		kept->next = NULL;
		kept->used = 0;
	}
	a->chunks = kept;
	a->memory = kept && kept != a->lent ? kept->size : 0;
	a->used = 0;
}

void *
arena_alloc(struct arena *a, size_t size)
{
	struct arena_chunk *chunk = a->chunks;
	size_t room;
	void *block;

	if (size > SIZE_MAX - ARENA_ALIGN - sizeof(*chunk))
		return NULL;
	size = (size + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
	if (size > a->ceiling - a->used)
		return NULL;
	if (!chunk || size > chunk->size - chunk->used) {
		room = size > ARENA_CHUNK / 2 ? size : ARENA_CHUNK;
		chunk = malloc(sizeof(*chunk) + room);
		if (!chunk)
			return NULL;
		chunk->size = room;
		chunk->used = 0;
		chunk->next = a->chunks;
		a->chunks = chunk;
		a->memory += room;
	}
	block = chunk->bytes + chunk->used;
	chunk->used += size;
	a->used += size;
	return block;
}

void *
arena_calloc(struct arena *a, size_t count, size_t size)
{
	void *block;

	if (size && count > SIZE_MAX / size)
		return NULL;
	block = arena_alloc(a, count * size);
	if (block)
		memset(block, 0, count * size);
	return block;
}

struct span
arena_copy(struct arena *a, struct span s)
{
	uint8_t *block = arena_alloc(a, s.len);

	if (!block)
		return SPAN_EMPTY;
	if (s.len)
		memcpy(block, s.ptr, s.len);
	return span_make(block, s.len);
}

char *
arena_str(struct arena *a, struct span s)
{
	char *block;

	if (s.len == SIZE_MAX)
		return NULL;
	block = arena_alloc(a, s.len + 1);
	if (!block)
		return NULL;
	if (s.len)
		memcpy(block, s.ptr, s.len);
	block[s.len] = '\0';
	return block;
}
