/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Base64: the text in one piece and the same text in two decode alike, by the best twin and by the portable one, under every set of
 * leniencies; what strict takes is the one text of its bytes. Input: a byte of flags, a byte that says where to split, the text.
 */
#include <stdint.h>
#include <stdlib.h>

#include "codecs/base64.h"
#include "codecs/cpu.h"

#define CEILING ((size_t)1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_split(struct span text, size_t at, unsigned flags, const struct buffer *whole,
    const struct base64_result *expected)
{
	struct base64_decoder d;
	struct buffer out;

	buffer_init(&out, CEILING);
	base64_decoder_init(&d, flags);
	(void)base64_decode_update(&d, span_cut(text, 0, at), &out);
	(void)base64_decode_update(&d, span_cut(text, at, text.len), &out);
	if (base64_decode_final(&d, &out) != expected->outcome || d.result.offset != expected->offset ||
	    d.result.text_len != expected->text_len || d.result.decoded_len != expected->decoded_len ||
	    d.result.padding != expected->padding || d.result.whitespace != expected->whitespace ||
	    d.result.truncated != expected->truncated)
		abort();
	if (!span_eq(buffer_span(&out), buffer_span(whole)))
		abort();
	buffer_fini(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct base64_result result;
	struct buffer out, again;
	struct span text;
	unsigned flags, before;

	if (size < 2)
		return 0;
	flags = data[0] & (BASE64_LENIENT_PADDING | BASE64_LENIENT_TRUNCATED | BASE64_LENIENT_WHITESPACE);
	text = span_make(data + 2, size - 2);
	buffer_init(&out, CEILING);
	buffer_init(&again, CEILING);
	if (base64_decode(text, flags, &out, &result) == BASE64_OK && flags == 0) {
		base64_encode(buffer_span(&out), &again);
		if (!span_eq(buffer_span(&again), text))
			abort();
	}
	check_split(text, text.len ? data[1] % text.len : 0, flags, &out, &result);
	before = cpu_allow(0);
	check_split(text, text.len ? data[1] % text.len : 0, flags, &out, &result);
	(void)cpu_allow(before);
	buffer_fini(&out);
	buffer_fini(&again);
	return 0;
}
