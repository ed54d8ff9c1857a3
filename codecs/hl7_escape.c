/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One pass: text up to the next escape character is copied, the sequence behind it is looked at once. A sequence that is
 * malformed gives back only its first character, so that the next one may begin at what looked like its end.
 */
#include "codecs/hl7_escape.h"

#include "codecs/hex.h"

enum kind {
	ESCAPE_DECODED,
	ESCAPE_DROPPED,
	ESCAPE_KEPT,
	ESCAPE_MALFORMED,
};

/* An even, non-zero number of hexadecimal digits. */
static bool
is_hex(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (hex_value(s.ptr[i]) < 0)
			return false;
	return s.len && s.len % 2 == 0;
}

static void
append_hex(struct buffer *b, struct span s)
{
	uint8_t *to = buffer_reserve(b, s.len / 2);

	if (!to)
		return;
	for (size_t i = 0; i < s.len; i += 2)
		to[i / 2] = (uint8_t)(hex_value(s.ptr[i]) << 4 | hex_value(s.ptr[i + 1]));
	buffer_commit(b, s.len / 2);
}

/* The delimiter that the letter stands for, 0 for none. */
static uint8_t
delimiter_of(uint8_t letter, const struct hl7_delimiters *d)
{
	switch (letter) {
	case 'F':
		return d->field;
	case 'S':
		return d->component;
	case 'T':
		return d->subcomponent;
	case 'R':
		return d->repetition;
	case 'E':
		return d->escape;
	case 'P':
		return d->truncation;
	default:
		return 0;
	}
}

/* An optional sign (if ${is_signed}) and number: 1 when there is none; false when it is something else or too large. */
static bool
read_count(struct span s, bool is_signed, unsigned *count)
{
	unsigned n = 0;

	*count = 1;
	if (s.len == 0)
		return true;
	if (is_signed && (s.ptr[0] == '+' || s.ptr[0] == '-'))
		s = span_cut(s, 1, s.len);
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] < '0' || s.ptr[i] > '9')
			return false;
		n = n * 10 + (unsigned)(s.ptr[i] - '0');
		if (n > HL7_ESCAPE_REPEAT_MAX)
			return false;
	}
	*count = n;
	return s.len > 0;
}

static enum kind
append_repeated(struct buffer *b, uint8_t byte, unsigned count)
{
	while (count--)
		buffer_append_byte(b, byte);
	return ESCAPE_DECODED;
}

/* Formatted text commands, ${s} from the full stop on (§2.7.6). */
static enum kind
decode_command(struct buffer *b, struct span s)
{
	struct span name = span_cut(s, 0, 3), rest = span_cut(s, 3, s.len);
	unsigned count;

	if (span_eq_str(s, ".br") || span_eq_str(s, ".ce"))
		return append_repeated(b, '\n', 1);
	if (span_eq_str(s, ".fi") || span_eq_str(s, ".nf"))
		return ESCAPE_DROPPED;
	if (span_eq_str(name, ".sp") && read_count(rest, false, &count))
		return append_repeated(b, '\n', count);
	if (span_eq_str(name, ".sk") && read_count(rest, false, &count))
		return append_repeated(b, ' ', count);
	if ((span_eq_str(name, ".in") || span_eq_str(name, ".ti")) && read_count(rest, true, &count))
		return ESCAPE_DROPPED;
	return ESCAPE_MALFORMED;
}

/* Decode what stands between two escape characters; only ESCAPE_DECODED has appended. */
static enum kind
decode_sequence(struct buffer *b, struct span s, const struct hl7_delimiters *d)
{
	struct span rest = span_cut(s, 1, s.len);
	uint8_t delimiter;

	if (s.len == 0)
		return ESCAPE_MALFORMED;
	delimiter = s.len == 1 ? delimiter_of(s.ptr[0], d) : 0;
	if (delimiter) {
		buffer_append_byte(b, delimiter);
		return ESCAPE_DECODED;
	}
	switch (s.ptr[0]) {
	case 'H':
	case 'N':
		return s.len == 1 ? ESCAPE_DROPPED : ESCAPE_MALFORMED;
	case 'X':
		if (!is_hex(rest))
			return ESCAPE_MALFORMED;
		append_hex(b, rest);
		return ESCAPE_DECODED;
	case 'C':
		return rest.len == 4 && is_hex(rest) ? ESCAPE_KEPT : ESCAPE_MALFORMED;
	case 'M':
		return (rest.len == 4 || rest.len == 6) && is_hex(rest) ? ESCAPE_KEPT : ESCAPE_MALFORMED;
	case 'Z':
		return ESCAPE_KEPT;
	case '.':
		return decode_command(b, s);
	default:
		return ESCAPE_MALFORMED;
	}
}

void
hl7_escape_decode(
    struct buffer *b, struct span value, const struct hl7_delimiters *d, struct hl7_escape_counts *counts)
{
	struct hl7_escape_counts ignored = { 0 };
	const uint8_t *open, *close;

	if (!counts)
		counts = &ignored;
	while (value.len && (open = memchr(value.ptr, d->escape, value.len))) {
		size_t at = (size_t)(open - value.ptr);

		buffer_append(b, value.ptr, at);
		value = span_cut(value, at, value.len);
		close = memchr(value.ptr + 1, d->escape, value.len - 1);
		if (!close) {
			counts->malformed++;
			break;
		}
		at = (size_t)(close - value.ptr);
		switch (decode_sequence(b, span_cut(value, 1, at), d)) {
		case ESCAPE_DECODED:
			counts->decoded++;
			break;
		case ESCAPE_DROPPED:
			counts->dropped++;
			break;
		case ESCAPE_KEPT:
			counts->kept++;
			buffer_append(b, value.ptr, at + 1);
			break;
		case ESCAPE_MALFORMED:
			counts->malformed++;
			buffer_append(b, value.ptr, at);
			at--;
			break;
		}
		value = span_cut(value, at + 1, value.len);
	}
	buffer_append_span(b, value);
}

bool
hl7_escape_needed(struct span value, const struct hl7_delimiters *d)
{
	return value.len && memchr(value.ptr, d->escape, value.len);
}

/* The letter that stands for ${c}, 0 when it is no delimiter. */
static char
letter_of(uint8_t c, const struct hl7_delimiters *d)
{
	if (c == d->field)
		return 'F';
	if (c == d->component)
		return 'S';
	if (c == d->subcomponent)
		return 'T';
	if (c == d->repetition)
		return 'R';
	if (c == d->escape)
		return 'E';
	if (d->truncation && c == d->truncation)
		return 'P';
	return 0;
}

void
hl7_escape_encode(struct buffer *b, struct span text, const struct hl7_delimiters *d)
{
	size_t plain = 0;

	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.ptr[i];
		char letter = letter_of(c, d);

		if (!letter && c >= ' ')
			continue;
		buffer_append(b, text.ptr + plain, i - plain);
		if (letter)
			buffer_printf(b, "%c%c%c", d->escape, letter, d->escape);
		else
			buffer_printf(b, "%cX%02X%c", d->escape, c, d->escape);
		plain = i + 1;
	}
	if (plain < text.len)
		buffer_append(b, text.ptr + plain, text.len - plain);
}
