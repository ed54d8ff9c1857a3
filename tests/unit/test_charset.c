/* SPDX-License-Identifier: Apache-2.0 */
/* Character sets: names, decisions and their reasons, readings; UTF-8 valid and not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "codecs/charset.h"
#include "codecs/cpu.h"
#include "codecs/utf8.h"
#include "tests/unit/failmalloc.h"

#define BYTES(text) span_make(text, sizeof(text) - 1)

/* ${text}, whose first bad byte is ${bad}, behind ASCII runs of every length, by both twins. */
static void
check_behind_ascii(struct span text, size_t bad)
{
	uint8_t bytes[512];
	unsigned before = cpu_allow(0);

	for (unsigned best = 0; best < 2; best++, (void)cpu_allow(~0u))
		for (size_t run = 0; run < 300; run++) {
			struct span s = span_make(bytes, run + text.len);
			size_t at = s.len;

			memset(bytes, 'a', run);
			memcpy(bytes + run, text.ptr, text.len);
			assert_int_equal(utf8_valid(s, &at), bad == text.len);
			assert_int_equal(at, run + bad);
			at = 0;
			while (at < text.len && text.ptr[at] < 0x80)
				at++;
			assert_int_equal(utf8_ascii(s), at == text.len);
		}
	(void)cpu_allow(before);
}

static void
test_utf8(void **state)
{
	static const struct {
		const char *text;
		size_t len, bad; /* bad == len: valid */
	} vectors[] = {
#define GOOD(t) { t, sizeof(t) - 1, sizeof(t) - 1 }
#define BAD(t, at)                                                                                           \
	{                                                                                                    \
		t, sizeof(t) - 1, at                                                                         \
	}
		GOOD(""),
		GOOD("plain ascii, more than eight"),
		GOOD("caf\xc3\xa9"),
		GOOD("\xe2\x82\xac"),
		GOOD("\xf0\x9f\x98\x80"),
		GOOD("\xed\x9f\xbf"),
		GOOD("\xee\x80\x80"),
		GOOD("\xf4\x8f\xbf\xbf"),
		GOOD("\xef\xbf\xbd"),
		GOOD("\xef\xbb\xbf"
		     "a"),
		GOOD("a\0b"),
		GOOD("\xc2\x80"),
		GOOD("\xe0\xa0\x80"),
		GOOD("\xf0\x90\x80\x80"),
		BAD("\x80", 0),
		BAD("aaaaaaaaaa\xbf", 10),
		BAD("\xc0\x80", 0),
		BAD("\xc1\xbf", 0),
		BAD("\xc3", 0),
		BAD("\xc3(", 0),
		BAD("\xe0\x80\xaf", 0),
		BAD("\xe0\x9f\xbf", 0),
		BAD("\xe2\x82", 0),
		BAD("\xe2(\xa1", 0),
		BAD("\xed\xa0\x80", 0),
		BAD("\xed\xbf\xbf", 0),
		BAD("\xf0\x8f\xbf\xbf", 0),
		BAD("\xf0\x9f\x98", 0),
		BAD("\xf4\x90\x80\x80", 0),
		BAD("\xf5\x80\x80\x80", 0),
		BAD("\xff", 0),
		BAD("\xfe\xff", 0),
		BAD("caf\xe9", 3),
		BAD("\xc3\xa9\xe9", 2),
#undef GOOD
#undef BAD
	};

	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		size_t bad = vectors[i].len;

		assert_int_equal(utf8_valid(span_make(vectors[i].text, vectors[i].len), &bad),
		    vectors[i].bad == vectors[i].len);
		assert_int_equal(bad, vectors[i].bad);
		check_behind_ascii(span_make(vectors[i].text, vectors[i].len), vectors[i].bad);
	}
}

/* Every character has one form, and it comes back. */
static void
test_utf8_round_trip(void **state)
{
	uint8_t text[4];

	(void)state;
	for (uint32_t code = 0; code < 0x110100; code++) {
		size_t n = utf8_put(code, text);
		uint32_t back = 0;

		if ((code >= 0xd800 && code <= 0xdfff) || code > 0x10ffff) {
			assert_int_equal(n, 0);
			continue;
		}
		if (n == 0 || utf8_next(span_make(text, n), &back) != n || back != code)
			fail_msg("U+%04X", code);
	}
}

static void
test_names(void **state)
{
	static const struct {
		const char *name;
		enum charset charset;
		bool sloppy;
	} names[] = {
		{ "ASCII", CHARSET_ASCII, false },
		{ "8859/1", CHARSET_8859_1, false },
		{ "8859/15", CHARSET_8859_15, false },
		{ "UNICODE UTF-8", CHARSET_UTF_8, false },
		{ "8859/5", CHARSET_OTHER, false },
		{ "ISO IR87", CHARSET_OTHER, false },
		{ "UNICODE UTF-16", CHARSET_OTHER, false },
		{ "ISO IR6", CHARSET_ASCII, false },
		{ "UNICODE", CHARSET_UTF_8, true },
		{ "utf-8", CHARSET_UTF_8, true },
		{ "UTF8", CHARSET_UTF_8, true },
		{ "Unicode UTF-8", CHARSET_UTF_8, true },
		{ "UNICODE_UTF8", CHARSET_UTF_8, true },
		{ "ISO-8859-1", CHARSET_8859_1, true },
		{ "iso8859/15", CHARSET_8859_15, true },
		{ "8859-15", CHARSET_8859_15, true },
		{ " 8859/1 ", CHARSET_8859_1, true },
		{ "Windows-1252", CHARSET_WINDOWS_1252, true },
		{ "big5", CHARSET_OTHER, true },
		{ "us-ascii", CHARSET_ASCII, true },
		{ "", CHARSET_NONE, false },
		{ "\"\"", CHARSET_NONE, false },
		{ "1", CHARSET_NONE, false },
		{ "UTF-8EVN", CHARSET_NONE, false },
		{ "a name that is longer than any", CHARSET_NONE, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		bool sloppy;

		if (charset_parse(span_str(names[i].name), &sloppy) != names[i].charset ||
		    sloppy != names[i].sloppy)
			fail_msg("%s", names[i].name);
	}
}

#define ASCII  BYTES("PID|1||DUPONT")
#define UTF8   BYTES("PID|1||H\xc3\xa9L\xc3\xa8NE")
#define LATIN  BYTES("PID|1||H\xe9L\xe8NE")
#define CP1252 BYTES("PID|1||\x80 \x9cUVRE")

static void
test_decisions(void **state)
{
	const struct {
		enum charset peer;
		const char *msh18;
		struct span bytes;
		enum charset fallback;
		enum charset charset;
		enum charset_reason reason;
		bool lies, doubtful, unknown;
	} cases[] = {
		/* nothing said */
		{ 0, "", ASCII, 0, CHARSET_ASCII, CHARSET_BY_BYTES, false, false, false },
		{ 0, "", UTF8, 0, CHARSET_UTF_8, CHARSET_BY_BYTES, false, false, false },
		{ 0, "", LATIN, 0, CHARSET_8859_15, CHARSET_BY_FALLBACK, false, false, false },
		{ 0, "", LATIN, CHARSET_8859_1, CHARSET_8859_1, CHARSET_BY_FALLBACK, false, false, false },
		{ 0, "", CP1252, CHARSET_8859_1, CHARSET_WINDOWS_1252, CHARSET_BY_FALLBACK, false, false,
		    false },
		{ 0, "rubbish", LATIN, 0, CHARSET_8859_15, CHARSET_BY_FALLBACK, false, false, true },
		{ 0, "rubbish", UTF8, 0, CHARSET_UTF_8, CHARSET_BY_BYTES, false, false, true },
		/* MSH-18 */
		{ 0, "UNICODE UTF-8", UTF8, 0, CHARSET_UTF_8, CHARSET_BY_MSH18, false, false, false },
		{ 0, "UNICODE UTF-8", ASCII, 0, CHARSET_UTF_8, CHARSET_BY_MSH18, false, false, false },
		{ 0, "8859/1", LATIN, 0, CHARSET_8859_1, CHARSET_BY_MSH18, false, false, false },
		{ 0, "8859/15", ASCII, 0, CHARSET_8859_15, CHARSET_BY_MSH18, false, false, false },
		{ 0, "8859/1", UTF8, 0, CHARSET_8859_1, CHARSET_BY_MSH18, false, true, false },
		{ 0, "8859/5", LATIN, 0, CHARSET_OTHER, CHARSET_BY_MSH18, false, false, false },
		/* MSH-18 lies */
		{ 0, "UNICODE UTF-8", LATIN, 0, CHARSET_8859_15, CHARSET_BY_FALLBACK, true, false, false },
		{ 0, "UNICODE UTF-8", CP1252, 0, CHARSET_WINDOWS_1252, CHARSET_BY_FALLBACK, true, false,
		    false },
		{ 0, "ASCII", UTF8, 0, CHARSET_UTF_8, CHARSET_BY_BYTES, true, false, false },
		{ 0, "ASCII", LATIN, 0, CHARSET_8859_15, CHARSET_BY_FALLBACK, true, false, false },
		/* the peer's setting stands above all */
		{ CHARSET_8859_1, "UNICODE UTF-8", UTF8, 0, CHARSET_8859_1, CHARSET_BY_PEER, false, false,
		    false },
		{ CHARSET_UTF_8, "8859/1", LATIN, 0, CHARSET_UTF_8, CHARSET_BY_PEER, false, false, false },
		{ CHARSET_8859_15, "UNICODE UTF-8", LATIN, 0, CHARSET_8859_15, CHARSET_BY_PEER, true, false,
		    false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct charset_decision d = charset_decide(
		    cases[i].peer, span_str(cases[i].msh18), cases[i].bytes, cases[i].fallback);

		if (d.charset != cases[i].charset || d.reason != cases[i].reason ||
		    d.msh18_lies != cases[i].lies || d.msh18_doubtful != cases[i].doubtful ||
		    d.msh18_unknown != cases[i].unknown)
			fail_msg(
			    "case %zu: %s by %s", i, charset_name(d.charset), charset_reason_name(d.reason));
		if (d.msh18_lies)
			assert_true(cases[i].bytes.ptr[d.bad_offset] >= 0x80);
		else
			assert_int_equal(d.bad_offset, 0);
	}
}

static void
test_readings(void **state)
{
	const struct {
		enum charset charset;
		struct span bytes;
		enum charset_outcome outcome;
		const char *text; /* up to the fault */
		size_t offset;
		const char *shown;
	} cases[] = {
		{ CHARSET_ASCII, BYTES("abc"), CHARSET_OK, "abc", 0, "abc" },
		{ CHARSET_ASCII, BYTES("ab\xe9!"), CHARSET_INVALID, "ab", 2, "ab\\xE9!" },
		{ CHARSET_8859_1, BYTES("\xe9\xa4\x80"), CHARSET_OK, "\xc3\xa9\xc2\xa4\xc2\x80", 0,
		    "\xc3\xa9\xc2\xa4\xc2\x80" },
		{ CHARSET_8859_15, BYTES("\xa4\xa6\xa8\xb4\xb8\xbc\xbd\xbe\xe9"), CHARSET_OK,
		    "\u20ac\u0160\u0161\u017d\u017e\u0152\u0153\u0178\u00e9", 0,
		    "\u20ac\u0160\u0161\u017d\u017e\u0152\u0153\u0178\u00e9" },
		{ CHARSET_WINDOWS_1252, BYTES("\x80 \x9c\x92\xe9"), CHARSET_OK, "\u20ac \u0153\u2019\u00e9",
		    0, "\u20ac \u0153\u2019\u00e9" },
		{ CHARSET_WINDOWS_1252, BYTES("a\x81\x8d"), CHARSET_INVALID, "a", 1, "a\\x81\\x8D" },
		{ CHARSET_UTF_8, BYTES("\xc3\xa9\xf0\x9f\x98\x80"), CHARSET_OK, "\u00e9\U0001f600", 0,
		    "\u00e9\U0001f600" },
		{ CHARSET_UTF_8, BYTES("ok\xc3(\xc0\x80"), CHARSET_INVALID, "ok", 2, "ok\\xC3(\\xC0\\x80" },
		{ CHARSET_OTHER, BYTES("a\xe9"), CHARSET_UNREADABLE, "", 0, "a\\xE9" },
		{ CHARSET_NONE, BYTES("a"), CHARSET_UNREADABLE, "", 0, "a" },
	};
	struct buffer out;

	(void)state;
	buffer_init(&out, 64);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t offset = 0;

		buffer_reset(&out);
		assert_int_equal(
		    charset_to_utf8(cases[i].charset, cases[i].bytes, &out, &offset), cases[i].outcome);
		assert_int_equal(offset, cases[i].offset);
		assert_true(span_eq_str(buffer_span(&out), cases[i].text));
		buffer_reset(&out);
		charset_show(cases[i].charset, cases[i].bytes, &out);
		assert_true(span_eq_str(buffer_span(&out), cases[i].shown));
	}
	buffer_fini(&out);
	buffer_init(&out, 3);
	assert_int_equal(charset_to_utf8(CHARSET_8859_1, BYTES("\xe9\xe9"), &out, NULL), CHARSET_NO_ROOM);
	buffer_fini(&out);
}

/* Each byte of each single-byte set reads as valid UTF-8 of one character, or is invalid. */
static void
test_all_bytes(void **state)
{
	const enum charset sets[] = { CHARSET_ASCII, CHARSET_8859_1, CHARSET_8859_15, CHARSET_WINDOWS_1252 };
	const size_t readable[] = { 128, 256, 256, 251 };
	struct buffer out;

	(void)state;
	buffer_init(&out, 8);
	for (size_t i = 0; i < 4; i++) {
		size_t count = 0;

		for (unsigned b = 0; b < 256; b++) {
			uint8_t byte = (uint8_t)b;
			uint32_t code = 0;

			buffer_reset(&out);
			if (charset_to_utf8(sets[i], span_make(&byte, 1), &out, NULL) != CHARSET_OK)
				continue;
			assert_int_equal(utf8_next(buffer_span(&out), &code), out.len);
			assert_true(b >= 0x80 || code == b);
			count++;
		}
		assert_int_equal(count, readable[i]);
	}
	buffer_fini(&out);
}

/* Reading without memory is an outcome, wherever memory ends. */
static void
test_no_memory(void **state)
{
	static uint8_t bytes[4096];
	struct buffer out;

	(void)state;
	memset(bytes, 0xe9, sizeof(bytes));
	for (size_t n = 1;; n++) {
		enum charset_outcome outcome;

		failmalloc_at(n);
		buffer_init(&out, SIZE_MAX);
		outcome = charset_to_utf8(CHARSET_8859_1, span_make(bytes, sizeof(bytes)), &out, NULL);
		if (failmalloc_off()) {
			assert_int_equal(outcome, CHARSET_OK);
			assert_int_equal(out.len, 2 * sizeof(bytes));
			buffer_fini(&out);
			break;
		}
		assert_int_equal(outcome, CHARSET_NO_ROOM);
		buffer_fini(&out);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_utf8_round_trip),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_decisions),
		cmocka_unit_test(test_readings),
		cmocka_unit_test(test_all_bytes),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
