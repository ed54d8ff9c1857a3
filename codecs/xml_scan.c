/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Most tags are short and the next '<' is near; a tag in so few bytes can break no limit, so it need not be read: where the next '<'
 * begins, the state is known again, because '<' may stand in no tag (XML 1.0 §3.1, AttValue) and ends it here too. Only what is longer,
 * begins with "<!" or "<?", or is the last of a piece is read byte by byte.
 */
#include "codecs/xml_scan.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "codecs/scan.h"

/* In so many bytes there is no room for the quotes of more than XML_ATTRIBUTES_MAX attributes. */
#define SHORT ((size_t)2 * XML_ATTRIBUTES_MAX)
#define BLOCK 64u

void
xml_scanner_init(struct xml_scanner *s)
{
	*s = (struct xml_scanner){ .state = XML_SCAN_TEXT };
}

static enum xml_scan_outcome
fault(struct xml_scanner *s, enum xml_scan_outcome outcome, uint64_t at)
{
	s->outcome = outcome;
	s->at = at;
	return outcome;
}

/* Bit n: byte n of the BLOCK at ${p} is '<'. */
static uint64_t
opens(const uint8_t *p)
{
	uint64_t bits = 0;
#if defined(__SSE2__)
	const __m128i open = _mm_set1_epi8('<');

	for (unsigned i = 0; i < BLOCK; i += 16) {
		__m128i found = _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)(const void *)(p + i)), open);

		bits |= (uint64_t)(uint32_t)_mm_movemask_epi8(found) << i;
	}
#else
	for (unsigned i = 0; i < BLOCK; i++)
		bits |= (uint64_t)(p[i] == '<') << i;
#endif
	return bits;
}

/*
 * From between tokens: the first '<' of ${bytes} whose token must be read, because it is no plain short tag, or none follows it. The length when
 * there is no '<'.
 */
static size_t
skip_short(struct span bytes)
{
	const uint8_t *p = bytes.ptr;
	size_t last = bytes.len, at = 0;

	for (; at < bytes.len; at += BLOCK) {
		uint8_t tail[BLOCK];
		uint64_t bits;

		if (bytes.len - at >= BLOCK) {
			bits = opens(p + at);
		} else {
			memset(tail, 0, sizeof(tail));
			memcpy(tail, p + at, bytes.len - at);
			bits = opens(tail);
		}
		for (; bits; bits &= bits - 1) {
			size_t here = at + (size_t)__builtin_ctzll(bits);

			if (last < bytes.len &&
			    (here - last > SHORT || p[last + 1] == '!' || p[last + 1] == '?'))
				return last;
			last = here;
		}
		if (last < bytes.len && at + BLOCK - last > SHORT)
			return last;
	}
	return last;
}

static void
open_token(struct xml_scanner *s, uint64_t at)
{
	s->state = XML_SCAN_OPEN;
	s->token = at;
	s->attributes = 0;
	s->matched = 0;
}

static void
begin_tag(struct xml_scanner *s, uint8_t c)
{
	s->state = XML_SCAN_TAG;
	if (c == '>') {
		s->state = XML_SCAN_TEXT;
	} else if (c == '"' || c == '\'') {
		s->state = XML_SCAN_QUOTED;
		s->quote = c;
		s->attributes++;
	}
}

/* The byte behind '<', "<!" or "<!-". */
static enum xml_scan_outcome
scan_opening(struct xml_scanner *s, uint8_t c)
{
	enum xml_scan_state state = s->state;

	if (c == '<')
		open_token(s, s->at);
	else if (state == XML_SCAN_OPEN && c == '!')
		s->state = XML_SCAN_BANG;
	else if (state == XML_SCAN_OPEN && c == '?')
		s->state = XML_SCAN_PI;
	else if (state == XML_SCAN_BANG && c == '-')
		s->state = XML_SCAN_DASH;
	else if (state == XML_SCAN_BANG && c == '[')
		s->state = XML_SCAN_CDATA;
	else if (state == XML_SCAN_BANG && c == 'D')
		return fault(s, XML_SCAN_DOCTYPE, s->token);
	else if (state == XML_SCAN_DASH && c == '-')
		s->state = XML_SCAN_COMMENT;
	else
		begin_tag(s, c);
	s->at++;
	return XML_SCAN_OK;
}

static enum xml_scan_outcome
scan_tag(struct xml_scanner *s, struct span bytes)
{
	size_t i = 0;

	for (; i < bytes.len && s->state == XML_SCAN_TAG; i++) {
		uint8_t c = bytes.ptr[i];

		if (c == '<')
			open_token(s, s->at + i);
		else
			begin_tag(s, c);
		if (s->attributes > XML_ATTRIBUTES_MAX)
			return fault(s, XML_SCAN_ATTRIBUTES, s->token);
	}
	s->at += i;
	return XML_SCAN_OK;
}

static void
scan_value(struct xml_scanner *s, struct span bytes)
{
	size_t i = scan_either(bytes.ptr, bytes.len, s->quote, '<');

	if (i == bytes.len) {
		s->at += i;
		return;
	}
	if (bytes.ptr[i] == '<')
		open_token(s, s->at + i);
	else
		s->state = XML_SCAN_TAG;
	s->at += i + 1;
}

/* Up to the end of a comment, instruction or section: ${need} bytes ${c} and then '>'. */
static void
scan_until(struct xml_scanner *s, struct span bytes, uint8_t c, unsigned need)
{
	for (size_t i = 0; i < bytes.len; i++) {
		if (s->matched == 0) {
			const uint8_t *next = memchr(bytes.ptr + i, c, bytes.len - i);

			if (!next)
				break;
			i = (size_t)(next - bytes.ptr);
		}
		if (bytes.ptr[i] == c) {
			s->matched = s->matched < need ? s->matched + 1 : need;
		} else if (bytes.ptr[i] == '>' && s->matched == need) {
			s->state = XML_SCAN_TEXT;
			s->at += i + 1;
			return;
		} else {
			s->matched = 0;
		}
	}
	s->at += bytes.len;
}

/* A part of ${bytes}, not empty, in one state. */
static enum xml_scan_outcome
scan_step(struct xml_scanner *s, struct span bytes)
{
	size_t skipped;

	switch (s->state) {
	case XML_SCAN_TEXT:
		skipped = skip_short(bytes);
		s->at += skipped;
		if (skipped < bytes.len) {
			open_token(s, s->at);
			s->at++;
		}
		return XML_SCAN_OK;
	case XML_SCAN_OPEN:
	case XML_SCAN_BANG:
	case XML_SCAN_DASH:
		return scan_opening(s, bytes.ptr[0]);
	case XML_SCAN_TAG:
		return scan_tag(s, bytes);
	case XML_SCAN_QUOTED:
		scan_value(s, bytes);
		return XML_SCAN_OK;
	case XML_SCAN_COMMENT:
		scan_until(s, bytes, '-', 2);
		return XML_SCAN_OK;
	case XML_SCAN_PI:
		scan_until(s, bytes, '?', 1);
		return XML_SCAN_OK;
	case XML_SCAN_CDATA:
		scan_until(s, bytes, ']', 2);
		return XML_SCAN_OK;
	}
	return XML_SCAN_OK;
}

enum xml_scan_outcome
xml_scan(struct xml_scanner *s, struct span bytes)
{
	const uint8_t *nul = bytes.len ? memchr(bytes.ptr, 0, bytes.len) : NULL;
	uint64_t from = s->at, end = from + (nul ? (size_t)(nul - bytes.ptr) : bytes.len);

	while (s->outcome == XML_SCAN_OK && s->at < end) {
		uint64_t to = end;

		if (s->state != XML_SCAN_TEXT && to > s->token + XML_TOKEN_MAX)
			to = s->token + XML_TOKEN_MAX;
		if (s->at == to)
			return fault(s, XML_SCAN_LONG, s->token);
		(void)scan_step(s, span_cut(bytes, (size_t)(s->at - from), (size_t)(to - from)));
	}
	if (s->outcome == XML_SCAN_OK && nul)
		return fault(s, XML_SCAN_NUL, s->at);
	return s->outcome;
}
