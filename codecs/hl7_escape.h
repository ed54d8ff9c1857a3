/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Escape sequences of HL7 v2 text (v2.5 §2.7), for reading and for what we write ourselves. Received bytes are never
 * rewritten with this.
 *
 * Decoded: \F\ \S\ \T\ \R\ \E\ (and \P\ where the message has a truncation character) to the delimiter, \Xhh..\ to its bytes, \.br\ and
 * \.ce\ to a newline, \.sp<n>\ to newlines, \.sk<n>\ to blanks; \H\ \N\ \.in<n>\ \.ti<n>\ \.fi\ \.nf\ mark and carry no character: dropped.
 * Kept as they stand: \Cxxyy\ \Mxxyyzz\ (character sets), \Zdd..\ (local), anything malformed, an escape without an end.
 */
#pragma once

#include <stdint.h>

#include "codecs/buffer.h"
#include "codecs/hl7.h"
#include "codecs/span.h"

#define HL7_ESCAPE_REPEAT_MAX                                                                                \
	99u /* \.sp<n>\ \.sk<n>\: more is malformed, a few bytes must not become a page */

struct hl7_escape_counts {
	uint32_t decoded;
	uint32_t dropped;   /* formatting without a character */
	uint32_t kept;	    /* well formed, not ours to decode: \C \M \Z */
	uint32_t malformed; /* kept as they stand */
};

/* Append the text of the raw ${value} to ${b}; ${counts} (may be NULL) is added to. Never longer than 15 times the value. */
void hl7_escape_decode(
    struct buffer *b, struct span value, const struct hl7_delimiters *d, struct hl7_escape_counts *counts);

/* True when ${value} holds the escape character: without it decoding is copying. */
bool hl7_escape_needed(struct span value, const struct hl7_delimiters *d);

/*
 * Append ${text} to ${b} as a value: delimiters become \F\ \S\ \T\ \R\ \E\ (\P\), control bytes (CR, LF, VT, FS ...) \Xhh\.
 * Bytes from 0x80 on are copied. Decoding what was encoded gives ${text} back.
 */
void hl7_escape_encode(struct buffer *b, struct span text, const struct hl7_delimiters *d);
