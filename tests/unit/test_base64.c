/* SPDX-License-Identifier: Apache-2.0 */
/* Base64: RFC 4648 vectors, what strict refuses and where, what each leniency lets through, every split. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "codecs/base64.h"
#include "tests/unit/failmalloc.h"

#define P BASE64_LENIENT_PADDING
#define T BASE64_LENIENT_TRUNCATED
#define W BASE64_LENIENT_WHITESPACE

struct vector {
	const char *text;
	unsigned flags;
	enum base64_outcome outcome;
	const char *decoded; /* what came out, up to the fault */
	uint64_t offset, padding, truncated, whitespace;
};

static const struct vector vectors[] = {
	/* RFC 4648 section 10 */
	{ "", 0, BASE64_OK, "" },
	{ "Zg==", 0, BASE64_OK, "f" },
	{ "Zm8=", 0, BASE64_OK, "fo" },
	{ "Zm9v", 0, BASE64_OK, "foo" },
	{ "Zm9vYg==", 0, BASE64_OK, "foob" },
	{ "Zm9vYmE=", 0, BASE64_OK, "fooba" },
	{ "Zm9vYmFy", 0, BASE64_OK, "foobar" },
	/* strict */
	{ "Zm9", 0, BASE64_BAD_PADDING, "", 3 },
	{ "Zm", 0, BASE64_BAD_PADDING, "", 2 },
	{ "Zg=", 0, BASE64_BAD_PADDING, "f", 3 },
	{ "Z", 0, BASE64_TRUNCATED, "", 1 },
	{ "Zm9vZ", 0, BASE64_TRUNCATED, "foo", 5 },
	{ "=", 0, BASE64_BAD_PADDING, "", 0 },
	{ "Zm9v=", 0, BASE64_BAD_PADDING, "foo", 4 },
	{ "Zm9v====", 0, BASE64_BAD_PADDING, "foo", 4 },
	{ "Z===", 0, BASE64_BAD_PADDING, "", 1 },
	{ "Zg===", 0, BASE64_BAD_PADDING, "f", 4 },
	{ "Zg==Zg==", 0, BASE64_BAD_PADDING, "f", 4 },
	{ "Zg=v", 0, BASE64_BAD_PADDING, "f", 3 },
	{ "Zh==", 0, BASE64_BAD_BITS, "", 1 },
	{ "Zm9=", 0, BASE64_BAD_BITS, "", 2 },
	{ "Zm9v\r\nYmFy", 0, BASE64_BAD_BYTE, "foo", 4 },
	{ "Zm 9v", 0, BASE64_BAD_BYTE, "", 2 },
	{ "Zm9-", 0, BASE64_BAD_BYTE, "", 3 },
	{ "Zm9_", 0, BASE64_BAD_BYTE, "", 3 },
	{ "Zm9vZm\xc3\xa9", 0, BASE64_BAD_BYTE, "foo", 6 },
	{ "Zm9v\\.br\\", 0, BASE64_BAD_BYTE, "foo", 4 },
	/* padding */
	{ "Zm9", P, BASE64_BAD_BITS, "", 2 },
	{ "Zm8", P, BASE64_OK, "fo", 0, 1 },
	{ "Zg", P, BASE64_OK, "f", 0, 2 },
	{ "Zg=", P, BASE64_OK, "f", 0, 1 },
	{ "Zg===", P, BASE64_OK, "f", 0, 1 },
	{ "Zm9v==", P, BASE64_OK, "foo", 0, 2 },
	{ "====", P, BASE64_OK, "", 0, 4 },
	{ "Zm9v=Zg==", P, BASE64_BAD_PADDING, "foo", 5, 1 },
	{ "Z", P, BASE64_TRUNCATED, "", 1 },
	{ "Z===", P, BASE64_BAD_PADDING, "", 1 },
	/* truncated */
	{ "Zm9vZ", T, BASE64_OK, "foo", 0, 0, 1 },
	{ "Zm9vZm9", T, BASE64_OK, "foofo", 0, 0, 1 },
	{ "Zm9vZh==", T, BASE64_OK, "foof", 0, 0, 1 },
	{ "Zg=", T, BASE64_OK, "f", 0, 0, 1 },
	{ "Z===", T, BASE64_BAD_PADDING, "", 1 },
	{ "Z===", T | P, BASE64_OK, "", 0, 3, 1 },
	/* whitespace */
	{ "Zm9v\r\nYmFy\r\n", W, BASE64_OK, "foobar", 0, 0, 0, 4 },
	{ " Z m\t9v\nZ g = =\r", W, BASE64_OK, "foof", 0, 0, 0, 8 },
	{ "Zm9v\vYmFy", W, BASE64_BAD_BYTE, "foo", 4 },
	{ "Zg==\r\nZg==", W, BASE64_BAD_PADDING, "f", 6, 0, 0, 2 },
	{ "Zm9v\r\nZh", W | P | T, BASE64_OK, "foof", 0, 2, 1, 2 },
};

static void
check(const struct vector *v, const struct base64_result *got, const struct buffer *out)
{
	if (got->outcome != v->outcome || !span_eq_str(buffer_span(out), v->decoded))
		fail_msg("\"%s\" with flags %u: outcome %d, wanted %d, %zu bytes out", v->text, v->flags,
		    got->outcome, v->outcome, out->len);
	assert_int_equal(got->offset, v->offset);
	assert_int_equal(got->decoded_len, strlen(v->decoded));
	assert_int_equal(got->text_len, v->outcome == BASE64_OK ? strlen(v->text) : v->offset);
	assert_int_equal(got->padding, v->padding);
	assert_int_equal(got->truncated, v->truncated);
	assert_int_equal(got->whitespace, v->whitespace);
}

/* Whole, byte by byte, and cut in three at every pair of places. */
static void
test_vectors(void **state)
{
	struct base64_result result;
	struct base64_decoder d;
	struct buffer out;

	(void)state;
	buffer_init(&out, 64);
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		const struct vector *v = &vectors[i];
		struct span text = span_str(v->text);

		buffer_reset(&out);
		base64_decode(text, v->flags, &out, &result);
		check(v, &result, &out);
		for (size_t a = 0; a <= text.len; a++)
			for (size_t b = a; b <= text.len; b++) {
				buffer_reset(&out);
				base64_decoder_init(&d, v->flags);
				base64_decode_update(&d, span_cut(text, 0, a), &out);
				base64_decode_update(&d, span_cut(text, a, b), &out);
				base64_decode_update(&d, span_cut(text, b, text.len), &out);
				base64_decode_final(&d, &out);
				check(v, &d.result, &out);
			}
	}
	buffer_fini(&out);
}

/* Every length and byte value survives the way out and back; sizes are exact. */
static void
test_round_trip(void **state)
{
	uint8_t bytes[256 + 70];
	struct buffer text, back;

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 167 + i / 256);
	buffer_init(&text, 1024);
	buffer_init(&back, 1024);
	for (size_t len = 0; len <= sizeof(bytes); len++) {
		struct base64_result result;

		buffer_reset(&text);
		buffer_reset(&back);
		base64_encode(span_make(bytes, len), &text);
		assert_int_equal(text.len, base64_encoded_size(len));
		assert_true(base64_decoded_size(text.len) >= len);
		assert_int_equal(base64_decode(buffer_span(&text), 0, &back, &result), BASE64_OK);
		assert_true(span_eq(buffer_span(&back), span_make(bytes, len)));
		assert_int_equal(result.padding + result.truncated + result.whitespace, 0);
	}
	buffer_fini(&text);
	buffer_fini(&back);
}

/* Each of the 256 byte values in each place of a group: taken if and only if it is of the alphabet. */
static void
test_alphabet(void **state)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	struct buffer out;

	(void)state;
	buffer_init(&out, 64);
	for (unsigned c = 0; c < 256; c++)
		for (size_t place = 0; place < 4; place++) {
			uint8_t text[8] = "QUJDQUID";
			bool data = c != 0 && strchr(alphabet, (int)c) != NULL;
			bool pad = c == '=' && place == 3;
			enum base64_outcome outcome;

			text[4 + place] = (uint8_t)c;
			buffer_reset(&out);
			outcome = base64_decode(span_make(text, 8), 0, &out, NULL);
			if (data)
				assert_int_equal(outcome, BASE64_OK);
			else if (pad)
				assert_int_equal(outcome, BASE64_OK);
			else
				assert_int_not_equal(outcome, BASE64_OK);
		}
	buffer_fini(&out);
}

/* A ceiling gives what fits and then NO_ROOM, wherever the text is cut. */
static void
test_ceiling(void **state)
{
	struct span text = span_str("Zm9vYmFyZm9vYmFy");
	struct base64_decoder d;
	struct buffer out;

	(void)state;
	for (size_t cut = 0; cut <= text.len; cut++) {
		buffer_init(&out, 7);
		base64_decoder_init(&d, 0);
		base64_decode_update(&d, span_cut(text, 0, cut), &out);
		base64_decode_update(&d, span_cut(text, cut, text.len), &out);
		assert_int_equal(base64_decode_final(&d, &out), BASE64_NO_ROOM);
		assert_int_equal(d.result.offset, 11);
		assert_true(span_eq_str(buffer_span(&out), "foobar"));
		buffer_fini(&out);
	}
	buffer_init(&out, 12);
	assert_int_equal(base64_decode(text, 0, &out, NULL), BASE64_OK);
	buffer_fini(&out);
	buffer_init(&out, 3);
	base64_encode(span_str("f"), &out);
	assert_true(buffer_failed(&out));
	buffer_fini(&out);
}

/* Decoding and encoding without memory, wherever it ends. */
static void
test_no_memory(void **state)
{
	static uint8_t text[4096];
	struct buffer out;

	(void)state;
	memset(text, 'A', sizeof(text));
	for (size_t n = 1;; n++) {
		struct base64_decoder d;
		bool all;

		failmalloc_at(n);
		buffer_init(&out, SIZE_MAX);
		base64_decoder_init(&d, 0);
		for (size_t at = 0; at < sizeof(text); at += 7)
			(void)base64_decode_update(
			    &d, span_cut(span_make(text, sizeof(text)), at, at + 7), &out);
		(void)base64_decode_final(&d, &out);
		all = failmalloc_off();
		assert_int_equal(d.result.outcome, all ? BASE64_OK : BASE64_NO_ROOM);
		buffer_fini(&out);
		if (all)
			break;
	}
	failmalloc_at(1);
	base64_encode(span_make(text, sizeof(text)), &out);
	failmalloc_off();
	assert_true(buffer_failed(&out));
	buffer_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_alphabet),
		cmocka_unit_test(test_ceiling),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
