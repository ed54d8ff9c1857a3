/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Character sets: whatever is read is valid UTF-8, read in two pieces as in one where the set is of single
 * bytes; what a decision says of UTF-8 is so; what is shown is valid UTF-8. Input: two bytes that choose,
 * MSH-18 up to a LF, the text.
 */
#include <stdint.h>
#include <stdlib.h>

#include "codecs/charset.h"
#include "codecs/cpu.h"
#include "codecs/utf8.h"

#define CEILING ((size_t)1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_decision(struct charset_decision d, enum charset peer, struct span text)
{
	size_t offset = 0;
	bool valid = utf8_valid(text, &offset);

	if (peer != CHARSET_NONE && (d.charset != peer || d.reason != CHARSET_BY_PEER))
		abort();
	if (d.reason != CHARSET_BY_PEER && d.charset == CHARSET_UTF_8 && !valid)
		abort();
	if (d.msh18 == CHARSET_UTF_8 && (d.msh18_lies == valid || (!valid && d.bad_offset != offset)))
		abort();
	if (d.charset == CHARSET_NONE)
		abort();
}

static void
check_reading(enum charset charset, struct span text, size_t cut)
{
	struct buffer whole, parts;
	size_t offset = 0, other = 0;
	enum charset_outcome outcome, second;

	buffer_init(&whole, CEILING);
	buffer_init(&parts, CEILING);
	outcome = charset_to_utf8(charset, text, &whole, &offset);
	if (!utf8_valid(buffer_span(&whole), NULL))
		abort();
	if (charset == CHARSET_UTF_8 && (outcome == CHARSET_OK) != utf8_valid(text, NULL))
		abort();
	if (charset == CHARSET_UTF_8 &&
	    !span_eq(buffer_span(&whole), outcome ? span_cut(text, 0, offset) : text))
		abort();
	if (charset != CHARSET_UTF_8 && (outcome == CHARSET_OK || outcome == CHARSET_INVALID)) {
		second = charset_to_utf8(charset, span_cut(text, 0, cut), &parts, &other);
		if (second == CHARSET_OK) {
			second = charset_to_utf8(charset, span_cut(text, cut, text.len), &parts, &other);
			other += cut;
		}
		if (second != outcome || (outcome && other != offset) ||
		    !span_eq(buffer_span(&whole), buffer_span(&parts)))
			abort();
	}
	buffer_reset(&parts);
	if ((charset_show(charset, text, &parts) == 0) != (outcome == CHARSET_OK) &&
	    outcome != CHARSET_UNREADABLE)
		abort();
	if (!buffer_failed(&parts) && !utf8_valid(buffer_span(&parts), NULL))
		abort();
	buffer_fini(&whole);
	buffer_fini(&parts);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct charset_decision decision, portable;
	enum charset peer;
	const uint8_t *lf;
	struct span msh18, text;
	unsigned before;

	if (size < 2)
		return 0;
	peer = (enum charset)(data[0] % (CHARSET_OTHER + 1));
	lf = size > 2 ? memchr(data + 2, '\n', size - 2) : NULL;
	msh18 = lf ? span_make(data + 2, (size_t)(lf - data) - 2) : SPAN_EMPTY;
	text = lf ? span_make(lf + 1, size - (size_t)(lf - data) - 1) : span_make(data + 2, size - 2);
	decision = charset_decide(peer, msh18, text, CHARSET_NONE);
	check_decision(decision, peer, text);
	before = cpu_allow(0);
	portable = charset_decide(peer, msh18, text, CHARSET_NONE);
	(void)cpu_allow(before);
	if (portable.charset != decision.charset || portable.reason != decision.reason ||
	    portable.msh18_lies != decision.msh18_lies ||
	    (!utf8_valid(text, NULL) && portable.bad_offset != decision.bad_offset))
		abort();
	check_reading(peer, text, text.len ? data[1] % text.len : 0);
	return 0;
}
