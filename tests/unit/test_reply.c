/* SPDX-License-Identifier: Apache-2.0 */
/* Acknowledgements of destinations as they come: what is taken of them, what may be told, and every cut of one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/senders/reply.h"

#define HEAD "MSH|^~\\&|C|D|A|B|2026||ACK|1|T|2.5\r"

static void
expect(const char *text, enum hl7_ack_code code, const char *control, const char *error, const char *place,
    const char *prose)
{
	struct reply reply;
	struct arena arena;
	const char *why = NULL;

	arena_init(&arena, 1 << 20);
	assert_int_equal(reply_read(&reply, span_str(text), &arena, &why), 0);
	assert_int_equal(reply.code, code);
	assert_true(span_eq_str(reply.control, control));
	assert_string_equal(reply.error, error);
	assert_string_equal(reply.place, place);
	assert_string_equal(reply.text, prose);
	arena_fini(&arena);
}

static void
test_good(void **state)
{
	(void)state;
	expect(HEAD "MSA|AA|17\r", HL7_AA, "17", "", "", "");
	expect(HEAD "MSA|CA|17|all is well\r", HL7_CA, "17", "", "", "all is well");
	expect(HEAD "MSA|AE|17\rERR||PID^1^5|101^Required field missing|E||||say who it is\r", HL7_AE, "17",
	    "101", "PID-5", "say who it is");
	expect(HEAD "MSA|AR|17|no\rERR||||E\r", HL7_AR, "17", "", "", "no");
	expect(HEAD "MSA|AA|\r", HL7_AA, "", "", "", "");
	expect("MSH|^~\\&|C|D|A|B|2026||ACK|1|T|2.5\nMSA|AA|17", HL7_AA, "17", "", "", "");
	expect("MSH#^~\\&#C#D#A#B#2026##ACK#1#T#2.5\rMSA#AA#17\r", HL7_AA, "17", "", "", "");
}

/* What stands where a code should stand, and is prose, is not for the log. */
static void
test_codes_only(void **state)
{
	static const char *const codes[] = { "ROSE LILAS", "101;x", "1\x01", "\xc3\xa9",
		"a123456789b123456789c123456789d12" };
	char text[256];

	(void)state;
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		(void)snprintf(text, sizeof(text), HEAD "MSA|AE|17\rERR|||%s|E\r", codes[i]);
		expect(text, HL7_AE, "17", "", "", "");
	}
	expect(HEAD "MSA|AE|17\rERR|||a.b_c-d:1|E\r", HL7_AE, "17", "a.b_c-d:1", "", "");
}

static void
test_garbage(void **state)
{
	static const struct {
		const char *text, *why;
	} rows[] = {
		{ "", "a frame that is no HL7 message" },
		{ "hello", "a frame that is no HL7 message" },
		{ "MSH", "a frame that is no HL7 message" },
		{ HEAD, "a message that is no acknowledgement" },
		{ (HEAD "MSA|OK|17\r"), "a message that is no acknowledgement" },
		{ (HEAD "MSA\r"), "a message that is no acknowledgement" },
		{ "<?xml version=\"1.0\"?><ACK/>", "a frame that is no HL7 message" },
	};
	struct reply reply;
	struct arena arena;

	(void)state;
	arena_init(&arena, 1 << 20);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *why = NULL;

		assert_int_equal(reply_read(&reply, span_str(rows[i].text), &arena, &why), REPLY_GARBAGE);
		assert_string_equal(why, rows[i].why);
	}
	arena_fini(&arena);
}

/* No cut of an answer says AA for another id, and none reads beyond it. */
static void
test_every_cut(void **state)
{
	static const char whole[] =
	    HEAD "MSA|AA|4711|good\rERR||PID^1^3^1^2|207^x^y|W||||\xff\xfe\x01 text\\.br\\ more\r";
	struct arena arena;

	(void)state;
	arena_init(&arena, 1 << 20);
	for (size_t len = 0; len < sizeof(whole) - 1; len++) {
		char *cut = malloc(len ? len : 1); /* its own block: what lies behind it is not ours */
		struct reply reply;
		const char *why;

		assert_non_null(cut);
		memcpy(cut, whole, len);
		if (reply_read(&reply, span_make(cut, len), &arena, &why) == 0)
			assert_int_equal(
			    memcmp("4711", reply.control.ptr ? (const char *)reply.control.ptr : "",
				reply.control.len),
			    0);
		free(cut);
	}
	arena_fini(&arena);
}

/* A long prose is cut, and stays one printable line. */
static void
test_long_prose(void **state)
{
	struct buffer text;
	struct reply reply;
	struct arena arena;
	const char *why;

	(void)state;
	arena_init(&arena, 1 << 20);
	buffer_init(&text, 1 << 16);
	buffer_append_str(&text, HEAD "MSA|AE|17|");
	for (unsigned i = 0; i < 3000; i++)
		buffer_append_byte(&text, (uint8_t)(i % 200 < 13 ? 0x80 + i % 64 : 'a'));
	buffer_append_str(&text, "\r");
	assert_int_equal(reply_read(&reply, buffer_span(&text), &arena, &why), 0);
	assert_in_range(strlen(reply.text), 100, sizeof(reply.text) - 1);
	for (const char *c = reply.text; *c; c++)
		assert_true((unsigned char)*c >= 0x20);
	buffer_fini(&text);
	arena_fini(&arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_codes_only),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_every_cut),
		cmocka_unit_test(test_long_prose),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
