/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Base64 with four tables: one look-up per character gives its bits in place, and one test per group tells
 * whether all four were of the alphabet. Where the processor has AVX2, eight groups at a time go by its twin
 * (codecs/base64_avx2.h). Whatever is not a plain group goes byte by byte through decode_byte, which holds
 * the rules.
 */
#include "codecs/base64.h"

#include <stdbool.h>

#include "codecs/base64_avx2.h"
#include "codecs/cpu.h"

#define NOT_DATA 0x80000000u

/* Constant expressions, so that the tables are laid out by the compiler */
#define V(c)                                                                                                 \
	((c) >= 'A' && (c) <= 'Z'      ? (uint32_t)(c) - 'A'                                                 \
	    : (c) >= 'a' && (c) <= 'z' ? (uint32_t)(c) - 'a' + 26u                                           \
	    : (c) >= '0' && (c) <= '9' ? (uint32_t)(c) - '0' + 52u                                           \
	    : (c) == '+'	       ? 62u                                                                 \
	    : (c) == '/'	       ? 63u                                                                 \
				       : NOT_DATA)
#define E(c, shift) (V(c) == NOT_DATA ? NOT_DATA : V(c) << (shift))
#define E4(c, s)    E(c, s), E((c) + 1, s), E((c) + 2, s), E((c) + 3, s)
#define E16(c, s)   E4(c, s), E4((c) + 4, s), E4((c) + 8, s), E4((c) + 12, s)
#define E64(c, s)   E16(c, s), E16((c) + 16, s), E16((c) + 32, s), E16((c) + 48, s)
#define E256(s)                                                                                              \
	{                                                                                                    \
		E64(0, s), E64(64, s), E64(128, s), E64(192, s)                                              \
	}

static const uint32_t tables[4][256] = { E256(18), E256(12), E256(6), E256(0) };

void
base64_decoder_init(struct base64_decoder *d, unsigned flags)
{
	*d = (struct base64_decoder){ .flags = flags };
}

static enum base64_outcome
fault(struct base64_decoder *d, enum base64_outcome outcome, uint64_t offset)
{
	d->result.outcome = outcome;
	d->result.offset = offset;
	d->result.text_len = offset;
	return outcome;
}

/* Give out ${n} bytes from the top of the 24-bit ${group}. */
static enum base64_outcome
give(struct base64_decoder *d, struct buffer *out, uint32_t group, size_t n)
{
	const uint8_t bytes[3] = { (uint8_t)(group >> 16), (uint8_t)(group >> 8), (uint8_t)group };

	buffer_append(out, bytes, n);
	if (buffer_failed(out))
		return fault(d, BASE64_NO_ROOM, d->result.text_len);
	d->result.decoded_len += n;
	return BASE64_OK;
}

/*
 * The last group has ${d->have} characters, 2 or 3: give out its whole bytes, and mind the bits left over
 * (RFC 4648 §3.5).
 */
static enum base64_outcome
close_group(struct base64_decoder *d, struct buffer *out)
{
	uint32_t group = d->bits << 6 * (4 - d->have);

	if (group & (d->have == 2 ? 0xffffu : 0xffu)) {
		if (!(d->flags & BASE64_LENIENT_TRUNCATED))
			return fault(d, BASE64_BAD_BITS, d->last_at);
		d->result.truncated = 1;
	}
	return give(d, out, group, d->have - 1);
}

static enum base64_outcome
decode_pad(struct base64_decoder *d, struct buffer *out)
{
	enum base64_outcome outcome = BASE64_OK;

	if (d->have >= 2 && d->pads + d->have < 4) { /* where it belongs */
		if (d->pads == 0)
			outcome = close_group(d, out);
		d->pads++;
		return outcome;
	}
	if (!(d->flags & BASE64_LENIENT_PADDING))
		return fault(d, BASE64_BAD_PADDING, d->result.text_len);
	if (d->have == 1) { /* a lone character has no byte to give */
		if (!(d->flags & BASE64_LENIENT_TRUNCATED))
			return fault(d, BASE64_BAD_PADDING, d->result.text_len);
		d->result.truncated = 1;
	}
	if (d->pads == 0) { /* nothing but padding may follow: the group counts as full */
		d->have = 0;
		d->pads = 4;
	}
	d->result.padding++;
	return BASE64_OK;
}

static enum base64_outcome
decode_byte(struct base64_decoder *d, uint8_t c, struct buffer *out)
{
	enum base64_outcome outcome = BASE64_OK;
	uint32_t value = tables[3][c];

	if (value != NOT_DATA) {
		if (d->pads > 0)
			return fault(d, BASE64_BAD_PADDING, d->result.text_len);
		d->bits = d->bits << 6 | value;
		d->last_at = d->result.text_len;
		if (++d->have == 4) {
			outcome = give(d, out, d->bits, 3);
			d->bits = 0;
			d->have = 0;
		}
	} else if (c == '=') {
		outcome = decode_pad(d, out);
	} else if ((c == '\r' || c == '\n' || c == ' ' || c == '\t') &&
		   d->flags & BASE64_LENIENT_WHITESPACE) {
		d->result.whitespace++;
	} else {
		return fault(d, BASE64_BAD_BYTE, d->result.text_len);
	}
	if (outcome == BASE64_OK)
		d->result.text_len++;
	return outcome;
}

/*
 * Whole groups at the front of ${text}, until one that is not plain or for which ${out} has no room.
 * Returns the bytes of text used.
 */
static size_t
decode_groups(struct base64_decoder *d, struct span text, struct buffer *out)
{
	size_t groups = text.len / 4, room = (out->ceiling - out->len) / 3, n;
	const uint8_t *p = text.ptr;
	uint8_t *to;

	if (groups > room)
		groups = room; /* the group too many is decode_byte's to refuse */
	if (groups == 0)
		return 0;
	to = buffer_reserve(out, groups * 3);
	if (!to)
		return 0;
	n = 0;
#if CPU_X86
	if (cpu_has(CPU_AVX2))
		n = base64_groups_avx2(p, groups, to);
#endif
	for (p += 4 * n, to += 3 * n; n < groups; n++, p += 4, to += 3) {
		uint32_t group = tables[0][p[0]] | tables[1][p[1]] | tables[2][p[2]] | tables[3][p[3]];

		if (group & NOT_DATA)
			break;
		to[0] = (uint8_t)(group >> 16);
		to[1] = (uint8_t)(group >> 8);
		to[2] = (uint8_t)group;
	}
	buffer_commit(out, n * 3);
	d->result.text_len += n * 4;
	d->result.decoded_len += n * 3;
	return n * 4;
}

enum base64_outcome
base64_decode_update(struct base64_decoder *d, struct span text, struct buffer *out)
{
	size_t at = 0;

	if (d->result.outcome == BASE64_OK && buffer_failed(out))
		return fault(d, BASE64_NO_ROOM, d->result.text_len);
	while (d->result.outcome == BASE64_OK && at < text.len) {
		if (d->have == 0 && d->pads == 0)
			at += decode_groups(d, span_cut(text, at, text.len), out);
		do {
			if (at < text.len && decode_byte(d, text.ptr[at], out) == BASE64_OK)
				at++;
		} while (d->result.outcome == BASE64_OK && at < text.len && (d->have > 0 || d->pads > 0));
	}
	return d->result.outcome;
}

enum base64_outcome
base64_decode_final(struct base64_decoder *d, struct buffer *out)
{
	bool whole = d->have == 0 || d->have + d->pads == 4;

	if (d->result.outcome != BASE64_OK || whole)
		return d->result.outcome;
	if (d->have == 1) {
		if (!(d->flags & BASE64_LENIENT_TRUNCATED))
			return fault(d, BASE64_TRUNCATED, d->result.text_len);
		d->result.truncated = 1;
		return BASE64_OK;
	}
	if (!(d->flags & (BASE64_LENIENT_PADDING | BASE64_LENIENT_TRUNCATED)))
		return fault(d, BASE64_BAD_PADDING, d->result.text_len);
	if (d->pads == 0 && close_group(d, out) != BASE64_OK)
		return d->result.outcome;
	if (d->flags & BASE64_LENIENT_PADDING)
		d->result.padding += 4 - d->have - d->pads;
	else
		d->result.truncated = 1;
	return BASE64_OK;
}

enum base64_outcome
base64_decode(struct span text, unsigned flags, struct buffer *out, struct base64_result *result)
{
	struct base64_decoder d;
	enum base64_outcome outcome;

	base64_decoder_init(&d, flags);
	outcome = base64_decode_update(&d, text, out);
	if (outcome == BASE64_OK)
		outcome = base64_decode_final(&d, out);
	if (result)
		*result = d.result;
	return outcome;
}

size_t
base64_decoded_size(size_t text_len)
{
	return text_len / 4 * 3 + (text_len % 4 > 1 ? text_len % 4 - 1 : 0);
}

size_t
base64_encoded_size(size_t len)
{
	return len / 3 * 4 + (len % 3 ? 4 : 0);
}

void
base64_encode(struct span bytes, struct buffer *out)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t size = base64_encoded_size(bytes.len);
	uint8_t *to = size ? buffer_reserve(out, size) : NULL;

	if (!to)
		return;
	for (size_t i = 0; i < bytes.len; i += 3, to += 4) {
		size_t n = bytes.len - i;
		uint32_t group = (uint32_t)bytes.ptr[i] << 16 |
				 (n > 1 ? (uint32_t)bytes.ptr[i + 1] << 8 : 0) |
				 (n > 2 ? bytes.ptr[i + 2] : 0);

		to[0] = (uint8_t)alphabet[group >> 18];
		to[1] = (uint8_t)alphabet[group >> 12 & 63];
		to[2] = n > 1 ? (uint8_t)alphabet[group >> 6 & 63] : '=';
		to[3] = n > 2 ? (uint8_t)alphabet[group & 63] : '=';
	}
	buffer_commit(out, size);
}

const char *
base64_outcome_text(enum base64_outcome outcome)
{
	switch (outcome) {
	case BASE64_OK:
		return "well-formed base64";
	case BASE64_BAD_BYTE:
		return "a byte outside the base64 alphabet";
	case BASE64_BAD_PADDING:
		return "base64 padding missing, superfluous or followed by data";
	case BASE64_BAD_BITS:
		return "base64 whose last character carries bits that belong to no byte";
	case BASE64_TRUNCATED:
		return "base64 cut inside a group";
	case BASE64_NO_ROOM:
		return "base64 larger than the ceiling";
	}
	return "unknown";
}
