/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Base64 (RFC 4648 §4, the alphabet with + and /), incremental both ways.
 *
 * The decoder is strict: no byte outside the alphabet, padding complete and only at the end, unused bits
 * zero (§3.5), so that a text has one decoding and a decoding one text. What real senders do otherwise is
 * allowed flag by flag, and each use counted. Any split of the input gives the same bytes, counts and
 * faults.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "codecs/buffer.h"
#include "codecs/span.h"

/* Leniencies. Truncated: cut in mid-group; a lone last character, or bits left over, are dropped. */
#define BASE64_LENIENT_PADDING	  (1u << 0) /* '=' missing at the end, or too many of them */
#define BASE64_LENIENT_TRUNCATED  (1u << 1)
#define BASE64_LENIENT_WHITESPACE (1u << 2) /* CR, LF, blank, tab anywhere */

enum base64_outcome {
	BASE64_OK = 0,
	BASE64_BAD_BYTE,    /* outside the alphabet */
	BASE64_BAD_PADDING, /* '=' too early, too few, too many, or data behind it */
	BASE64_BAD_BITS,    /* the last character carries bits that are dropped, and they are not zero */
	BASE64_TRUNCATED,   /* the text ends inside a group */
	BASE64_NO_ROOM,	    /* the output buffer is full, or the machine has no memory */
};

struct base64_result {
	enum base64_outcome outcome;
	uint64_t offset;      /* of the fault, in bytes of text since base64_decoder_init */
	uint64_t text_len;    /* bytes of text read; up to the fault when there is one */
	uint64_t decoded_len; /* bytes given out */
	uint64_t padding;     /* '=' that were missing or too many */
	uint64_t truncated;   /* 1 when the last group was cut or had stray bits */
	uint64_t whitespace;  /* white bytes passed over */
};

struct base64_decoder {
	struct base64_result result;
	unsigned flags;
	uint32_t bits;	  /* up to three characters of the open group */
	unsigned have;	  /* characters in it: 0..3 */
	unsigned pads;	  /* '=' seen that belong to the group: once there is one, no data may follow */
	uint64_t last_at; /* offset of the last character of the open group */
};

void base64_decoder_init(struct base64_decoder *d, unsigned flags);

/*
 * Decode ${text} behind what came before, appending to ${out}. Returns the outcome so far; after a fault
 * every further call returns the same and appends nothing. Bytes before the fault are in ${out}.
 */
enum base64_outcome base64_decode_update(struct base64_decoder *d, struct span text, struct buffer *out);

/* The text ends here: judge and give out the last group. The result stands in d->result. */
enum base64_outcome base64_decode_final(struct base64_decoder *d, struct buffer *out);

/* The whole at once; ${result} may be NULL. */
enum base64_outcome base64_decode(
    struct span text, unsigned flags, struct buffer *out, struct base64_result *result);

/* The most bytes that ${text_len} characters decode to. */
size_t base64_decoded_size(size_t text_len);

/* The exact length of the text of ${len} bytes, with padding, without line breaks. */
size_t base64_encoded_size(size_t len);

/* Append the text of ${bytes} (padded, one line) to ${out}: see buffer_failed. */
void base64_encode(struct span bytes, struct buffer *out);

/* A short English phrase for logs. */
const char *base64_outcome_text(enum base64_outcome outcome);
