/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segment ends made CR, for files that were written by an editor.
 *
 * CR, LF and CRLF each end a segment, but a run of LF only where what follows it looks like a segment's begin (a name and the field
 * separator, or an end), a CR, or the end of the file; any other is data of its field and stays. Blank lines go; the last segment gets
 * its end.
 */
#pragma once

#include "codecs/buffer.h"
#include "codecs/span.h"

/* Append ${message} so converted to ${out}; the field separator is its fourth byte. */
void segment_end_to_cr(struct buffer *out, struct span message);
