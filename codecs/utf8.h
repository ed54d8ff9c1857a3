/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF. Nothing is ever
 * replaced: bytes are valid or not.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codecs/span.h"

/* Whether ${s} is valid; else ${offset} (which may be NULL) is where the first bad sequence begins. */
bool utf8_valid(struct span s, size_t *offset);

/* Whether ${s} holds bytes below 0x80 only. */
bool utf8_ascii(struct span s);

/*
 * The character at the front of ${s}: its length in bytes and, in ${code}, its number; 0 when the bytes are
 * not valid or ${s} is empty.
 */
size_t utf8_next(struct span s, uint32_t *code);

/* Write ${code} to ${out}; returns 1..4, or 0 for what has no UTF-8 form (surrogates, above U+10FFFF). */
size_t utf8_put(uint32_t code, uint8_t out[4]);
