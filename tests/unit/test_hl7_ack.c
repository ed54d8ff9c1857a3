/* SPDX-License-Identifier: Apache-2.0 */
/* Acknowledgements: their exact text by version and delimiters, from garbage too; and those of others read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "codecs/hl7_ack.h"
#include "tests/unit/failmalloc.h"

#define CEILING ((size_t)1 << 20)

/* The acknowledgement of ${original} with ${fault} is ${expected}, where \n stands for CR. */
static void
assert_ack(struct span original, const struct fault *fault, const char *expected)
{
	struct hl7_ack ack = { .control_id = span_str("L42"),
		.time = span_str("20251121210500+0100"),
		.fault = fault,
		.code = hl7_ack_code_for(fault) };
	struct hl7_header h;
	struct hl7_message m;
	struct arena a;
	struct fault f;
	struct buffer b;

	hl7_header_read(&h, original);
	ack.original = &h;
	buffer_init(&b, CEILING);
	arena_init(&a, CEILING);
	hl7_ack_write(&b, &ack);
	assert_false(buffer_failed(&b));
	assert_int_equal(hl7_parse(&m, buffer_span(&b), 0, &a, &f), HL7_OK);
	for (size_t i = 0; i < b.len; i++)
		if (b.data[i] == '\r')
			b.data[i] = '\n';
	if (!span_eq_str(buffer_span(&b), expected))
		fail_msg("\n%.*sexpected\n%s", (int)b.len, (const char *)b.data, expected);
	arena_fini(&a);
	buffer_fini(&b);
}

static struct fault
fault(enum fault_code code, const char *path, const char *message)
{
	struct fault f;

	fault_set(&f, code, 17, path, "%s", message);
	return f;
}

static void
test_accepted(void **state)
{
	(void)state;
	assert_ack(
	    span_str(
		"MSH|^~\\&|LIS|LAB|DPI^1|CHU|2025||ORU^R01^ORU_R01|M1|T|2.5^FRA^2.1|||AL|NE|FRA|8859/1~X\r"),
	    NULL,
	    "MSH|^~\\&|DPI^1|CHU|LIS|LAB|20251121210500+0100||ACK^R01^ACK|L42|T|2.5^FRA^2.1|||||FRA|8859/"
	    "1~X\n"
	    "MSA|AA|M1\n");
	/* No country: the place of MSH-18 is kept. */
	assert_ack(span_str("MSH|^~\\&|A|B|C|D|||ADT^A01|M1|P|2.6||||||UNICODE UTF-8\r"), NULL,
	    "MSH|^~\\&|C|D|A|B|20251121210500+0100||ACK^A01^ACK|L42|P|2.6||||||UNICODE UTF-8\nMSA|AA|M1\n");
	assert_ack(span_str("MSH|^~\\&|A|B|C|D|||ADT^A01|M1|P|2.3.1|||||FRA\r"), NULL,
	    "MSH|^~\\&|C|D|A|B|20251121210500+0100||ACK^A01^ACK|L42|P|2.3.1|||||FRA\nMSA|AA|M1\n");
	/* Before 2.3.1 the type has two components, or one. */
	assert_ack(span_str("MSH|^~\\&|A|B|C|D|||ADT^A01|M1|P|2.3\r"), NULL,
	    "MSH|^~\\&|C|D|A|B|20251121210500+0100||ACK^A01|L42|P|2.3\nMSA|AA|M1\n");
	assert_ack(span_str("MSH|^~\\&|A|B|C|D|||QRY|M1|P|2.1\r"), NULL,
	    "MSH|^~\\&|C|D|A|B|20251121210500+0100||ACK|L42|P|2.1\nMSA|AA|M1\n");
	assert_ack(span_str("MSH|^~\\&|A|B|C|D|||QRY|M1|P|2.5\r"), NULL,
	    "MSH|^~\\&|C|D|A|B|20251121210500+0100||ACK^^ACK|L42|P|2.5\nMSA|AA|M1\n");
	/* Its own delimiters, five of them. */
	assert_ack(span_str("MSH!*:/+#!A!B!C*1!D!!!ADT*A01!M|1!P!2.7\r"), NULL,
	    "MSH!*:/+#!C*1!D!A!B!20251121210500+0100!!ACK*A01*ACK!L42!P!2.7\nMSA!AA!M|1\n");
}

static void
test_refused(void **state)
{
	struct fault version =
	    fault(FAULT_UNSUPPORTED_VERSION, "MSH-12.1", "The version is none of ours & theirs.");
	struct fault late = fault(FAULT_DISK_FLOOR, "", "The disk is full.");
	struct fault deep = fault(FAULT_DATA_TYPE, "PID(2)-3(2).4.2", "Not an OID.");
	struct fault name = fault(FAULT_SEGMENT_SEQUENCE, "(4)", "No segment name.");

	(void)state;
	assert_ack(span_str("MSH|^~\\&|A|B|C|D|||ADT^A01|M1|P|3.0\r"), &version,
	    "MSH|^~\\&|C|D|A|B|20251121210500+0100||ACK^A01^ACK|L42|P|2.5\n"
	    "MSA|AE|M1\n"
	    "ERR||MSH^1^12^1^1|203^Unsupported version id^HL70357|E|||unsupported-version at byte 17|"
	    "The version is none of ours \\T\\ theirs.\n");
	assert_ack(span_str("MSH|^~\\&|A|B|C|D|||ADT^A01|M1|P|2.5\r"), &late,
	    "MSH|^~\\&|C|D|A|B|20251121210500+0100||ACK^A01^ACK|L42|P|2.5\n"
	    "MSA|AR|M1\n"
	    "ERR|||207^Application internal error^HL70357|E|||disk-floor at byte 17|The disk is full.\n");
	assert_ack(span_str("MSH!*:/+!A!B!C!D!!!ADT*A01!M1!P!2.8.2\r"), &deep,
	    "MSH!*:/+!C!D!A!B!20251121210500+0100!!ACK*A01*ACK!L42!P!2.8.2\n"
	    "MSA!AE!M1\n"
	    "ERR!!PID*2*3*2*4*2!102*Data type error*HL70357!E!!!data-type at byte 17!Not an OID.\n");
	/* v2.4 and older: ERR-1 and MSA-3. */
	assert_ack(span_str("MSH|^~\\&|A|B|C|D|||ADT^A01|M1|P|2.4\r"), &deep,
	    "MSH|^~\\&|C|D|A|B|20251121210500+0100||ACK^A01^ACK|L42|P|2.4\n"
	    "MSA|AE|M1|Not an OID.\n"
	    "ERR|PID^2^3^102&Data type error&HL70357\n");
	assert_ack(span_str("MSH|^~\\&|A|B|C|D|||ADT^A01|M1|P|2.2\r"), &name,
	    "MSH|^~\\&|C|D|A|B|20251121210500+0100||ACK^A01|L42|P|2.2\n"
	    "MSA|AE|M1|No segment name.\n"
	    "ERR|^4^^100&Segment sequence error&HL70357\n");
	assert_ack(span_str("MSH|^~\\&|A|B|C|D|||ADT^A01|M1|P|2.3\r"), &late,
	    "MSH|^~\\&|C|D|A|B|20251121210500+0100||ACK^A01|L42|P|2.3\n"
	    "MSA|AR|M1|The disk is full.\n"
	    "ERR|^^^207&Application internal error&HL70357\n");
}

/* Whatever came, the answer is a message: default delimiters, 2.5, and nothing of theirs that could break it. */
static void
test_garbage(void **state)
{
	struct fault first = fault(FAULT_SEGMENT_SEQUENCE, "MSH", "No MSH.");
	static const char nothing[] =
	    "MSH|^~\\&|||||20251121210500+0100||ACK^^ACK|L42|P|2.5\n"
	    "MSA|AE|\n"
	    "ERR||MSH^1|100^Segment sequence error^HL70357|E|||segment-sequence at byte 17|No MSH.\n";

	(void)state;
	assert_ack(SPAN_EMPTY, &first, nothing);
	assert_ack(span_str("GET / HTTP/1.1\r\n"), &first, nothing);
	assert_ack(span_str("MSHxxxx"), &first, nothing);
	/* Illegal MSH-2, another separator: read by it, and a | in a value is escaped. */
	assert_ack(span_str("MSH#^~#A#B|b#C#D###ADT^A01#M|1#P#2.5\r"), &first,
	    "MSH|^~\\&|C|D|A|B\\F\\b|20251121210500+0100||ACK^A01^ACK|L42|P|2.5\n"
	    "MSA|AE|M\\F\\1\n"
	    "ERR||MSH^1|100^Segment sequence error^HL70357|E|||segment-sequence at byte 17|No MSH.\n");
	/* Values are cut at the first control byte; an event that is none is left out. */
	assert_ack(span_str("MSH|^~\\&|A\tx|B\x0by|C|D|||ADT^A\x1c"
			    "1|M1\x01z|P|2.5\r"),
	    NULL, "MSH|^~\\&|C|D|A|B|20251121210500+0100||ACK^^ACK|L42|P|2.5\nMSA|AA|M1\n");
	assert_ack(span_str("MSH|^~\\&|A|B|C|D|||ADT^A01 long|M1|\"\"|2.5\nPID|1\n"), NULL,
	    "MSH|^~\\&|C|D|A|B|20251121210500+0100||ACK^^ACK|L42|P|2.5\nMSA|AA|M1\n");
}

/* A huge MSH makes no huge answer. */
static void
test_bounded(void **state)
{
	size_t len = 1u << 20, head = sizeof("MSH|^~\\&|") - 1;
	struct hl7_ack ack = { .code = HL7_AE };
	struct hl7_header h;
	struct buffer b;
	char *bytes = malloc(len);

	(void)state;
	memset(bytes, 'x', len);
	memcpy(bytes, "MSH|^~\\&|", head);
	for (size_t i = 1; i < 15; i++)
		bytes[head + i * 50000] = '|';
	hl7_header_read(&h, span_make(bytes, len));
	ack.original = &h;
	buffer_init(&b, 65536);
	hl7_ack_write(&b, &ack);
	assert_false(buffer_failed(&b));
	assert_true(b.len < 8 * HL7_ACK_COPY_MAX);
	buffer_fini(&b);
	free(bytes);
}

static void
test_codes(void **state)
{
	struct fault content = fault(FAULT_DATA_TYPE, "", ""), late = fault(FAULT_OVERLOAD, "", "");

	(void)state;
	assert_int_equal(hl7_ack_code_for(NULL), HL7_AA);
	assert_int_equal(hl7_ack_code_for(&content), HL7_AE);
	assert_int_equal(hl7_ack_code_for(&late), HL7_AR);
	assert_string_equal(hl7_ack_code_name(HL7_CR), "CR");
}

static enum hl7_verdict
read_ack(const char *text, struct hl7_ack_received *r, struct arena *a)
{
	struct hl7_message m;
	struct fault f;

	arena_reset(a);
	assert_int_equal(hl7_parse(&m, span_str(text), 0, a, &f), HL7_OK);
	return hl7_ack_read(&m, r, &f);
}

#define HEAD "MSH|^~\\&|A|B|C|D|||ACK^A01^ACK|1|P|2.5\r"

static void
test_read(void **state)
{
	char text[HL7_PATH_TEXT_MAX];
	struct hl7_ack_received r;
	struct arena a;

	(void)state;
	arena_init(&a, CEILING);
	assert_int_equal(read_ack(HEAD "MSA|AA|M1\r", &r, &a), HL7_OK);
	assert_int_equal(r.code, HL7_AA);
	assert_true(span_eq_str(r.control_id, "M1"));
	assert_int_equal(r.error_count, 0);

	assert_int_equal(
	    read_ack(HEAD "MSA|CR|M1|text\rERR||PID^1^3^2^4|101^Required^HL70357|E|901^x^L||diag|say\r"
			  "ERR|||207|W\r",
		&r, &a),
	    HL7_OK);
	assert_int_equal(r.code, HL7_CR);
	assert_true(span_eq_str(r.text, "text"));
	assert_int_equal(r.error_count, 2);
	assert_true(r.errors[0].has_path);
	assert_string_equal(hl7_path_format(&r.errors[0].path, text), "PID-3(2).4");
	assert_true(span_eq_str(r.errors[0].code, "101"));
	assert_true(span_eq_str(r.errors[0].text, "Required"));
	assert_true(span_eq_str(r.errors[0].severity, "E"));
	assert_true(span_eq_str(r.errors[0].application, "901"));
	assert_true(span_eq_str(r.errors[0].diagnostic, "diag"));
	assert_true(span_eq_str(r.errors[0].user_message, "say"));
	assert_false(r.errors[1].has_path);
	assert_true(span_eq_str(r.errors[1].severity, "W"));

	assert_int_equal(
	    read_ack(HEAD "MSA|AE|M1\rERR|PID^1^3^101&Required&HL70357~PV1^^2^102&Type~junk\r", &r, &a),
	    HL7_OK);
	assert_int_equal(r.err_segments, 1);
	assert_int_equal(r.error_count, 3);
	assert_true(r.errors[0].has_path);
	assert_string_equal(hl7_path_format(&r.errors[0].path, text), "PID-3");
	assert_true(span_eq_str(r.errors[0].code, "101"));
	assert_true(span_eq_str(r.errors[1].text, "Type"));
	assert_string_equal(hl7_path_format(&r.errors[1].path, text), "PV1-2");
	assert_false(r.errors[2].has_path);
	assert_null(r.errors[2].code.ptr);
	arena_fini(&a);
}

static void
test_read_bad(void **state)
{
	struct hl7_ack_received r;
	struct buffer many;
	struct arena a;

	(void)state;
	arena_init(&a, CEILING);
	assert_int_equal(read_ack(HEAD "PID|1\r", &r, &a), HL7_REFUSED);
	assert_int_equal(read_ack(HEAD "MSA\r", &r, &a), HL7_REFUSED);
	assert_int_equal(read_ack(HEAD "MSA|aa|M1\r", &r, &a), HL7_REFUSED);
	assert_int_equal(read_ack(HEAD "MSA|AAA|M1\r", &r, &a), HL7_REFUSED);
	/* More errors than are kept are counted. */
	buffer_init(&many, CEILING);
	buffer_append_str(&many, HEAD "MSA|AE|M1\r");
	for (int i = 0; i < 40; i++)
		buffer_append_str(&many, i % 2 ? "ERR|||101\r" : "ERR|PID^1^1^101~PID^1^2^101\r");
	buffer_append_byte(&many, '\0');
	assert_int_equal(read_ack((const char *)many.data, &r, &a), HL7_OK);
	assert_int_equal(r.error_count, HL7_ACK_ERRORS_MAX);
	assert_int_equal(r.err_segments, 40);
	buffer_fini(&many);
	arena_fini(&a);
}

static void
test_memory_fails(void **state)
{
	struct fault f = fault(FAULT_DATA_TYPE, "PID-3.1", "Wrong.");
	struct hl7_ack ack = { .code = HL7_AE, .fault = &f };
	struct hl7_header h;
	bool never_asked = false;

	(void)state;
	hl7_header_read(&h, span_str(HEAD));
	ack.original = &h;
	for (size_t n = 1; !never_asked; n++) {
		struct buffer b;

		buffer_init(&b, CEILING);
		failmalloc_at(n);
		hl7_ack_write(&b, &ack);
		never_asked = failmalloc_off();
		assert_int_equal(buffer_failed(&b), !never_asked);
		buffer_fini(&b);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accepted),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_bounded),
		cmocka_unit_test(test_codes),
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_read_bad),
		cmocka_unit_test(test_memory_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
