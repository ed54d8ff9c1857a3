/* SPDX-License-Identifier: Apache-2.0 */
/* Escape sequences: what each becomes, what stays, and that encoding is undone by decoding. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "codecs/hl7_escape.h"

#define CEILING ((size_t)256 << 20)

static const struct hl7_delimiters v27 = { '|', '^', '~', '\\', '&', '#' };

static void
assert_decoded(const char *value, const char *text, struct hl7_escape_counts expected)
{
	struct hl7_escape_counts got = { 0 };
	struct buffer b;

	buffer_init(&b, CEILING);
	hl7_escape_decode(&b, span_str(value), &hl7_default_delimiters, &got);
	if (!span_eq_str(buffer_span(&b), text))
		fail_msg("%s gives \"%.*s\", expected \"%s\"", value, (int)b.len,
		    b.len ? (const char *)b.data : "", text);
	assert_int_equal(got.decoded, expected.decoded);
	assert_int_equal(got.dropped, expected.dropped);
	assert_int_equal(got.kept, expected.kept);
	assert_int_equal(got.malformed, expected.malformed);
	buffer_fini(&b);
}

#define DECODED(n)   ((struct hl7_escape_counts){ .decoded = n })
#define DROPPED(n)   ((struct hl7_escape_counts){ .dropped = n })
#define KEPT(n)	     ((struct hl7_escape_counts){ .kept = n })
#define MALFORMED(n) ((struct hl7_escape_counts){ .malformed = n })

static void
test_decode(void **state)
{
	(void)state;
	assert_decoded("", "", DECODED(0));
	assert_decoded("plain", "plain", DECODED(0));
	assert_decoded("a\\F\\b\\S\\c\\T\\d\\R\\e\\E\\f", "a|b^c&d~e\\f", DECODED(5));
	assert_decoded("\\X41\\\\X4a4B\\", "AJK", DECODED(2));
	assert_decoded("a\\.br\\b\\.sp\\c\\.sp2\\d\\.sk3\\e\\.ce\\f", "a\nb\nc\n\nd   e\nf", DECODED(5));
	assert_decoded("\\H\\bold\\N\\ \\.in+4\\\\.ti-2\\\\.fi\\\\.nf\\x", "bold x", DROPPED(6));
	assert_decoded("\\C2842\\ \\M2842\\ \\M284242\\ \\Zlocal\\",
	    "\\C2842\\ \\M2842\\ \\M284242\\ \\Zlocal\\", KEPT(4));
}

static void
test_malformed(void **state)
{
	(void)state;
	assert_decoded("\\", "\\", MALFORMED(1));
	assert_decoded("a\\b", "a\\b", MALFORMED(1));
	assert_decoded("\\\\", "\\\\", MALFORMED(2));
	assert_decoded("\\Q\\", "\\Q\\", MALFORMED(2));
	assert_decoded("\\X4\\", "\\X4\\", MALFORMED(2));
	assert_decoded("\\X\\", "\\X\\", MALFORMED(2));
	assert_decoded("\\XZZ\\", "\\XZZ\\", MALFORMED(2));
	assert_decoded("\\.sp100\\", "\\.sp100\\", MALFORMED(2));
	assert_decoded("\\.xy\\", "\\.xy\\", MALFORMED(2));
	/* No truncation character in this message: \P\ means nothing. */
	assert_decoded("\\P\\", "\\P\\", MALFORMED(2));
	/* A path of files: the end of what is malformed may begin what is not. */
	assert_decoded(
	    "C:\\temp\\F\\x", "C:\\temp|x", ((struct hl7_escape_counts){ .decoded = 1, .malformed = 1 }));
}

static void
test_encode(void **state)
{
	struct buffer b;

	(void)state;
	buffer_init(&b, CEILING);
	hl7_escape_encode(&b, span_str("a|b^c&d~e\\f#\r\n"), &hl7_default_delimiters);
	assert_true(span_eq_str(buffer_span(&b), "a\\F\\b\\S\\c\\T\\d\\R\\e\\E\\f#\\X0D\\\\X0A\\"));
	buffer_reset(&b);
	hl7_escape_encode(&b, span_str("a#"), &v27);
	assert_true(span_eq_str(buffer_span(&b), "a\\P\\"));
	assert_true(hl7_escape_needed(buffer_span(&b), &v27));
	assert_false(hl7_escape_needed(span_str("a#"), &v27));
	assert_false(hl7_escape_needed(SPAN_EMPTY, &v27));
	buffer_fini(&b);
}

/* Random bytes, encoded and decoded, are the same bytes; the encoded form holds no delimiter but the escape. */
static void
test_round_trip(void **state)
{
	struct buffer encoded, decoded;
	uint8_t bytes[64];

	(void)state;
	srand(7);
	buffer_init(&encoded, CEILING);
	buffer_init(&decoded, CEILING);
	for (int round = 0; round < 5000; round++) {
		size_t len = (size_t)rand() % sizeof(bytes);

		for (size_t i = 0; i < len; i++)
			bytes[i] = (uint8_t)(rand() % 3 ? "|^~\\&#\rXFa0"[rand() % 11] : rand());
		buffer_reset(&encoded);
		buffer_reset(&decoded);
		hl7_escape_encode(&encoded, span_make(bytes, len), &v27);
		for (size_t i = 0; i < encoded.len; i++)
			assert_false(encoded.data[i] < ' ' ||
				     (encoded.data[i] != '\\' && strchr("|^~&#", encoded.data[i])));
		hl7_escape_decode(&decoded, buffer_span(&encoded), &v27, NULL);
		assert_true(span_eq(buffer_span(&decoded), span_make(bytes, len)));
	}
	buffer_fini(&encoded);
	buffer_fini(&decoded);
}

/* Large and hostile values end, and grow no more than is promised. */
static void
test_linear(void **state)
{
	static const char *const fillings[] = { "\\", "\\X", "\\.sp99\\", "\\Q\\", "a\\", "41" };
	size_t len = 8u << 20;
	char *value = malloc(len + 1);
	struct buffer b;

	(void)state;
	value[len] = '\0';
	buffer_init(&b, CEILING);
	for (size_t i = 0; i < sizeof(fillings) / sizeof(fillings[0]); i++) {
		for (size_t at = 0; at < len; at++)
			value[at] = fillings[i][at % strlen(fillings[i])];
		if (i == 5) {
			value[0] = '\\';
			value[1] = 'X';
			value[len - 1] = '\\';
		}
		buffer_reset(&b);
		hl7_escape_decode(&b, span_make(value, len), &hl7_default_delimiters, NULL);
		assert_false(buffer_failed(&b));
		assert_true(b.len <= 15 * len);
	}
	buffer_fini(&b);
	free(value);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decode),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_encode),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_linear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
