/* SPDX-License-Identifier: Apache-2.0 */
/* The pure parts of the control program: segment ends, acknowledgements told, times and sizes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "broker/cli/acknowledgement.h"
#include "broker/cli/cli.h"
#include "broker/cli/segment_end.h"
#include "codecs/hl7.h"

static void
expect_ends(const char *from, const char *to)
{
	struct buffer out;

	buffer_init(&out, 4096);
	segment_end_to_cr(&out, span_str(from));
	buffer_append_byte(&out, 0);
	assert_string_equal((const char *)out.data, to);
	buffer_fini(&out);
}

static void
test_segment_ends(void **state)
{
	(void)state;
	expect_ends("MSH|a\nPID|1\n", "MSH|a\rPID|1\r");
	expect_ends("MSH|a\r\nPID|1\r\n", "MSH|a\rPID|1\r");
	expect_ends("MSH|a\rPID|1", "MSH|a\rPID|1\r");
	expect_ends("\n\nMSH|a\n\n\nPID|1\n\n", "MSH|a\rPID|1\r");
	expect_ends(
	    "MSH|a\nOBX|1|ED|^AAAA\nBBBB\nCCC|x\nPID|1", "MSH|a\rOBX|1|ED|^AAAA\nBBBB\rCCC|x\rPID|1\r");
	expect_ends(
	    "MSH|a\nNTE|1||first line\nsecond line\nZZ1|1", "MSH|a\rNTE|1||first line\nsecond line\rZZ1|1\r");
	expect_ends("MSH#a\nPID#1\nPID|1", "MSH#a\rPID#1\nPID|1\r");
	expect_ends("MSH|a\nPID", "MSH|a\rPID\r");
	expect_ends("", "");
}

/* What is made CR ends parses strictly to the segments that the leniency finds. */
static void
test_segment_ends_agree_with_the_leniency(void **state)
{
	static const char alphabet[] = "\n\r|PIDMSH1a\n";
	struct arena arena;
	unsigned compared = 0;

	(void)state;
	arena_init(&arena, 1 << 20);
	srandom(98);
	for (int round = 0; round < 20000; round++) {
		char text[96] = "MSH|^~\\&|a\n";
		struct hl7_message lenient, strict;
		struct fault fault;
		struct buffer out;
		size_t len = strlen(text), more = (size_t)random() % 40;

		while (more--)
			text[len++] = alphabet[(size_t)random() % (sizeof(alphabet) - 1)];
		arena_reset(&arena);
		buffer_init(&out, 4096);
		segment_end_to_cr(&out, span_make(text, len));
		if (hl7_parse(&lenient, span_make(text, len), HL7_LENIENT_LF | HL7_LENIENT_NO_FINAL_CR,
			&arena, &fault) == HL7_OK) {
			/* A bare name with LF as data behind it has no strict form. */
			bool bare = false;

			for (size_t i = 0; i < lenient.count; i++) {
				struct span segment = hl7_segment_span(&lenient, i);

				bare |= segment.len > 3 && segment.ptr[3] == '\n';
			}
			if (bare) {
				buffer_fini(&out);
				continue;
			}
			compared++;
			if (hl7_parse(&strict, buffer_span(&out), 0, &arena, &fault) != HL7_OK)
				fail_msg("%.*s: %s at %s", (int)len, text, fault.message, fault.path);
			assert_int_equal(strict.count, lenient.count);
			for (size_t i = 0; i < strict.count; i++)
				assert_true(
				    span_eq(hl7_segment_span(&strict, i), hl7_segment_span(&lenient, i)));
		}
		buffer_fini(&out);
	}
	arena_fini(&arena);
	assert_true(compared > 500);
}

static bool
told(const char *ack, const char *control, const char *expected)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	bool good = acknowledgement_print(out, span_str(ack), span_str(control), 12345);

	fclose(out);
	assert_string_equal(text, expected);
	free(text);
	assert_int_equal(good, acknowledgement_print(NULL, span_str(ack), span_str(control), 0));
	return good;
}

#define MSH "MSH|^~\\&|A|B|C|D|20261121||ACK^A01^ACK|L42|P|2.5\r"

static void
test_acknowledgements(void **state)
{
	(void)state;
	assert_true(told(MSH "MSA|AA|015\r", "015", "AA 015 -> L42 (12 ms)\n"));
	assert_false(told(MSH "MSA|AA|016\r", "015", "AA 015 -> L42 (12 ms) but it answers 016\n"));
	assert_false(
	    told(MSH "MSA|AE|015\rERR||MSH^1^9^1^1|200^Unsupported message type^HL70357|E||||not for you\r",
		"015", "AE 015 -> L42 (12 ms)\n   ERR MSH-9.1 200 Unsupported message type: not for you\n"));
	assert_false(told(MSH "MSA|AR|015|later\x1b[2J\r", "015", "AR 015 -> L42 (12 ms): later\\x1b[2J\n"));
	assert_false(told("HTTP/1.1 400\r", "015",
	    "?? no acknowledgement: The message does not begin with an MSH segment. at MSH\n"));
}

static void
test_times_and_sizes(void **state)
{
	int64_t since, now = time(NULL);
	uint64_t number;
	char text[32];

	(void)state;
	assert_true(cli_since("90s", &since) && since >= now - 91 && since <= now - 89);
	assert_true(cli_since("2h", &since) && since >= now - 7201 && since <= now - 7199);
	assert_true(cli_since("2026-11-21", &since));
	assert_true(cli_since("2026-11-21T18:57", &since));
	assert_true(cli_since("2026-11-21T18:57:11", &since));
	assert_false(cli_since("", &since) || cli_since("h", &since) || cli_since("-1h", &since) ||
		     cli_since("1w", &since) || cli_since("2026-11-21T18:57:11x", &since));
	assert_false(cli_number("", 0, 9, &number) || cli_number("-1", 0, 9, &number) ||
		     cli_number("10", 0, 9, &number) || cli_number("1x", 0, 9, &number) ||
		     cli_number("99999999999999999999", 0, UINT64_MAX, &number));
	assert_string_equal(cli_size(1023, text), "1023 bytes");
	assert_string_equal(cli_size(1536, text), "1.5 KiB");
	assert_string_equal(cli_age(119, text), "119 s");
	assert_string_equal(cli_age(11520, text), "3 h 12 min");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_segment_ends),
		cmocka_unit_test(test_segment_ends_agree_with_the_leniency),
		cmocka_unit_test(test_acknowledgements),
		cmocka_unit_test(test_times_and_sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
