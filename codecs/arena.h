/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory of one job: many small allocations, freed together, never past a ceiling.
 *
 * arena_alloc gives NULL once the ceiling (counted in bytes asked for, rounded to 16) or the machine's memory is reached;
 * the arena stays usable. Blocks are aligned to 16. Nothing is freed before arena_reset or arena_fini.
 */
#pragma once

#include <stddef.h>

#include "codecs/span.h"

struct arena_chunk;

struct arena {
	struct arena_chunk *chunks; /* newest first */
	struct arena_chunk *lent;   /* the oldest of them, when it is its user's memory (arena_init_on) */
	size_t used;		    /* bytes given out, of all chunks */
	size_t memory;		    /* bytes of the chunks, but for the one that was lent */
	size_t ceiling;
};

/* Start ${a} empty with ${ceiling} bytes to give. Allocates nothing. */
void arena_init(struct arena *a, size_t ceiling);

/*
 * As arena_init, but the ${size} bytes at ${memory}, aligned to 16 and outliving ${a}'s use of them, serve first; only more allocates. Too few
 * bytes are not used. After arena_fini it is as after arena_init.
 */
void arena_init_on(struct arena *a, void *memory, size_t size, size_t ceiling);

/* Free everything. */
void arena_fini(struct arena *a);

/* Forget every allocation; what was lent, else one chunk of common size, is kept for the next job. */
void arena_reset(struct arena *a);

/* ${size} bytes, not cleared, or NULL. ${size} 0 gives a valid pointer. */
void *arena_alloc(struct arena *a, size_t size) __attribute__((warn_unused_result, malloc));

/* ${count} * ${size} cleared bytes, or NULL (also when the product overflows). */
void *arena_calloc(struct arena *a, size_t count, size_t size) __attribute__((warn_unused_result));

/* A copy of ${s} in the arena; ptr is NULL when there was no room (and ${s} was not empty). */
struct span arena_copy(struct arena *a, struct span s);

/* A NUL-ended copy of ${s}, or NULL. */
char *arena_str(struct arena *a, struct span s);
