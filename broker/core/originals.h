/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The messages whose bytes a replay still needs: for each replayed message that waits in a queue or is on its way into one, whose bytes it has.
 *
 * Found both ways without looking through all: retention asks for every old record whether its bytes are needed, and settlement for every item
 * whether it was a replay. 24 bytes a replay.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct originals;

int originals_new(struct originals **originalsp) __attribute__((warn_unused_result));
void originals_free(struct originals *originals);

/* Make room for one more, so that the next originals_put does not fail. 0 or -ENOMEM. */
int originals_reserve(struct originals *originals) __attribute__((warn_unused_result));

/* Message ${replay} has the bytes of message ${original}. Once per replay; behind originals_reserve. */
void originals_put(struct originals *originals, uint64_t replay, uint64_t original);

/* ${replay} needs them no more; harmless when it was never put. */
void originals_drop(struct originals *originals, uint64_t replay);

/* Whose bytes ${replay} has; 0: it is no replay that is known here. */
uint64_t originals_of(const struct originals *originals, uint64_t replay);

/* The replays of ${original}, one after the other: first ${replay} 0, then the answer before; 0: no more. */
uint64_t originals_next(const struct originals *originals, uint64_t original, uint64_t replay);

size_t originals_count(const struct originals *originals);
