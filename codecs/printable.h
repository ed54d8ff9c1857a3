/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes of unknown origin made safe to show: valid UTF-8 without controls, one line.
 *
 * What is well-formed UTF-8 and not a control (C0, DEL, C1, the line and paragraph separators, the bidirectional overrides)
 * stays as it is; every other byte becomes \xHH and a backslash \\, so that the text can be read back to the bytes. Not for
 * forwarding: what was received is kept as received.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "codecs/buffer.h"
#include "codecs/span.h"

/* Append ${raw} to ${out} as said above, at most ${max} bytes of it written; a longer text is cut before a character and ends in "...". */
void printable_append(struct buffer *out, struct span raw, size_t max);
