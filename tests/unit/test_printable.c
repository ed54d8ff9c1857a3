/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever the bytes, what is shown is one line of valid UTF-8 without controls. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "codecs/printable.h"
#include "codecs/utf8.h"

static void
expect(struct span raw, size_t max, const char *shown)
{
	struct buffer b;

	buffer_init(&b, 4096);
	printable_append(&b, raw, max);
	buffer_append_byte(&b, 0);
	assert_string_equal((const char *)b.data, shown);
	buffer_fini(&b);
}

#define BYTES(text) span_make("" text, sizeof(text) - 1)

static void
test_text_stays(void **state)
{
	(void)state;
	expect(BYTES("ORU^R01 caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"), 256,
	    "ORU^R01 caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80");
	expect(SPAN_EMPTY, 256, "");
}

static void
test_everything_else_is_escaped(void **state)
{
	(void)state;
	expect(BYTES("a\nb\r\x1b[2J\x7f"), 256, "a\\x0ab\\x0d\\x1b[2J\\x7f");
	expect(BYTES("\\x41"), 256, "\\\\x41");
	expect(BYTES("caf\xe9"), 256, "caf\\xe9");			/* Latin-1 */
	expect(BYTES("\xc0\x80"), 256, "\\xc0\\x80");			/* overlong */
	expect(BYTES("\xe0\x9f\xbf"), 256, "\\xe0\\x9f\\xbf");		/* overlong */
	expect(BYTES("\xed\xa0\x80"), 256, "\\xed\\xa0\\x80");		/* surrogate */
	expect(BYTES("\xf4\x90\x80\x80"), 256, "\\xf4\\x90\\x80\\x80"); /* past U+10FFFF */
	expect(BYTES("\xe2\x82"), 256, "\\xe2\\x82");			/* cut */
	expect(BYTES("\xc2\x9b"), 256, "\\xc2\\x9b");			/* CSI of C1 */
	expect(BYTES("\xe2\x80\xae"), 256, "\\xe2\\x80\\xae");		/* right-to-left override */
	expect(BYTES("\xe2\x80\xa8"), 256, "\\xe2\\x80\\xa8");		/* line separator */
	expect(span_make("a\0b", 3), 256, "a\\x00b");
}

static void
test_cut_falls_before_a_character(void **state)
{
	(void)state;
	expect(BYTES("abcdef"), 6, "abcdef");
	expect(BYTES("abcdefg"), 6, "abc...");
	expect(BYTES("ab\xc3\xa9\xc3\xa9\xc3\xa9"), 7, "ab\xc3\xa9...");
	expect(BYTES("ab\n\n"), 8, "ab...");
	expect(BYTES("abcd"), 2, "ab");
}

/* Random bytes: the result is valid, has no control, and keeps to its length. */
static void
test_any_bytes(void **state)
{
	uint8_t raw[64];

	(void)state;
	srandom(4711);
	for (int round = 0; round < 20000; round++) {
		size_t len = (size_t)random() % sizeof(raw), max = (size_t)random() % 80 + 4;
		struct buffer b;
		struct span rest;
		uint32_t point;

		for (size_t i = 0; i < len; i++)
			raw[i] = (uint8_t)random();
		buffer_init(&b, 4096);
		printable_append(&b, span_make(raw, len), max);
		assert_true(b.len <= max);
		for (rest = buffer_span(&b); rest.len;) {
			size_t n = utf8_next(rest, &point);

			assert_int_not_equal(n, 0);
			assert_true(point >= 0x20 && !(point >= 0x7f && point < 0xa0));
			rest = span_cut(rest, n, rest.len);
		}
		buffer_fini(&b);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text_stays),
		cmocka_unit_test(test_everything_else_is_escaped),
		cmocka_unit_test(test_cut_falls_before_a_character),
		cmocka_unit_test(test_any_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
