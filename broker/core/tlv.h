/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tag, length, value: the encoding of facts and decisions in the journal.
 *
 * An item is a tag (2 bytes), a length (4 bytes), both little-endian, and that many bytes. Numbers are 8 bytes little-endian. A tag may
 * repeat: that is a list, in order. Readers skip tags they do not know.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "codecs/buffer.h"
#include "codecs/span.h"

void tlv_put_span(struct buffer *out, uint16_t tag, struct span value);

/* The same, but nothing at all for an empty value. */
void tlv_put_some(struct buffer *out, uint16_t tag, struct span value);

void tlv_put_u64(struct buffer *out, uint16_t tag, uint64_t value);

/*
 * Cut the next item off ${rest}: 1 with ${tag} and ${value}, 0 at the end, -1 when the bytes are no item.
 */
int tlv_next(struct span *rest, uint16_t *tag, struct span *value);

/* The number in ${value}; false when it has not 8 bytes. */
bool tlv_u64(struct span value, uint64_t *number);

/* How many items of ${tag} stand in ${bytes} (0 for what is no run of items). */
size_t tlv_count(struct span bytes, uint16_t tag);
