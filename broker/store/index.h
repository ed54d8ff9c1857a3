/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the records of one segment lie, in memory: sequence to offset, 16 bytes a record.
 *
 * Records born in the segment come in ascending order; carried ones (older sequences) are few and kept sorted apart.
 * Room is made before a write and used after it, so that nothing can fail once a record is on disk.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct index_entry {
	uint64_t seq;
	uint64_t offset;
};

struct index_list {
	struct index_entry *entries;
	size_t count;
	size_t cap;
};

struct index {
	struct index_list born;
	struct index_list carried;
};

/* Start empty: zeros do. */
void index_fini(struct index *index);

/* Make room for ${born} and ${carried} more. 0 or -ENOMEM. */
int index_reserve(struct index *index, size_t born, size_t carried) __attribute__((warn_unused_result));

/* Add within the room made. A carried sequence that is there already is moved to ${offset}. */
void index_add(struct index *index, uint64_t seq, uint64_t offset, bool carried);

/*
 * The same in two steps, for born records in their order: write the ${nth} (from 0) of those to come where nobody looks, then make ${count} of
 * them count. Only the second needs the lock of those who look.
 */
void index_prepare(struct index *index, size_t nth, uint64_t seq, uint64_t offset);
void index_publish(struct index *index, size_t count);

/* Whether ${seq} is here, and at which offset. */
bool index_find(const struct index *index, uint64_t seq, uint64_t *offset);
