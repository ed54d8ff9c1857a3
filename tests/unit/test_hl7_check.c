/* SPDX-License-Identifier: Apache-2.0 */
/* The judgement: the order of the rules, what a peer may send, and that a refusal leaves a header to answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "codecs/hl7_check.h"

#define GOOD "MSH|^~\\&|LIS^1.2.3^ISO|LAB|DPI|CHU|2025||ORU^R01^ORU_R01|M1|P|2.5\rPID|1\r"

/* Verdict of ${text}; when refused, "code path" must be ${expected}. */
static void
judge(const char *text, const struct hl7_rules *rules, enum hl7_verdict verdict, const char *expected)
{
	struct hl7_message m;
	struct arena a;
	struct fault f = { 0 };
	char got[80];

	arena_init(&a, 65536);
	assert_int_equal(hl7_check(&m, span_str(text), rules, &a, &f), verdict);
	(void)snprintf(got, sizeof(got), "%d %s", fault_hl7_code(f.code), f.path);
	assert_string_equal(got, expected);
	if (verdict == HL7_REFUSED) {
		assert_true(f.message[0] != '\0');
		assert_true(f.offset <= strlen(text));
		/* The sentence holds no value: none of the words of these messages. */
		assert_null(strstr(f.message, "LIS"));
		assert_null(strstr(f.message, "M1"));
		assert_int_equal(m.count == 0 || m.segments, true);
	}
	if (verdict != HL7_OK && strncmp(text, "MSH|^~\\&|", 9) == 0)
		assert_true(m.header.legal);
	arena_fini(&a);
}

static void
test_taken(void **state)
{
	(void)state;
	judge(GOOD, NULL, HL7_OK, "0 ");
	judge("MSH|^~\\&|||||||QRY|M1|D|2.1\r", NULL, HL7_OK, "0 ");
	judge("MSH|^~\\&|||||||QRY^\"\"|M1|T^A|2.9.1^FRA\r", NULL, HL7_OK, "0 ");
}

/* Each message breaks its rule and every later one: the first is told. */
static void
test_order(void **state)
{
	static const struct hl7_type_rule types[] = { { "MDM", "*" } };
	static const struct hl7_sender_rule senders[] = { { "X", "Y" } };
	static const struct hl7_rules rules = { .processing = HL7_PROCESSING_P,
		.types = types,
		.type_count = 1,
		.senders = senders,
		.sender_count = 1 };

	(void)state;
	judge("MSX", &rules, HL7_REFUSED, "100 MSH");
	judge("MSHA^^|A||||||ACK|||9.9", &rules, HL7_REFUSED, "102 MSH-1");
	judge("MSH|^^|A||||||ACK|||9.9", &rules, HL7_REFUSED, "102 MSH-2");
	judge("MSH|^~\\&|A||||||ACK|||9.9", &rules, HL7_STRAY, "0 ");
	judge("MSH|^~\\&|A||||||mdm|||9.9", &rules, HL7_REFUSED, "100 MSH");
	judge("MSH|^~\\&|A||||||mdm|||9.9\r", &rules, HL7_REFUSED, "203 MSH-12.1");
	judge("MSH|^~\\&|A||||||mdm|||2.5\r", &rules, HL7_REFUSED, "200 MSH-9.1");
	judge("MSH|^~\\&|A||||||ORU^r01|||2.5\r", &rules, HL7_REFUSED, "201 MSH-9.2");
	judge("MSH|^~\\&|A||||||ORU^R01|||2.5\r", &rules, HL7_REFUSED, "200 MSH-9.1");
	judge("MSH|^~\\&|A||||||MDM^T02|||2.5\r", &rules, HL7_REFUSED, "101 MSH-10");
	judge("MSH|^~\\&|A||||||MDM^T02|1||2.5\r", &rules, HL7_REFUSED, "101 MSH-11");
	judge("MSH|^~\\&|A||||||MDM^T02|1|X|2.5\r", &rules, HL7_REFUSED, "202 MSH-11.1");
	judge("MSH|^~\\&|A||||||MDM^T02|1|T|2.5\r", &rules, HL7_REFUSED, "202 MSH-11.1");
	judge("MSH|^~\\&|A||||||MDM^T02|1|P|2.5\r", &rules, HL7_REFUSED, "207 MSH-3");
	judge("MSH|^~\\&|X||||||MDM^T02|1|P|2.5\r", &rules, HL7_REFUSED, "207 MSH-4");
	judge("MSH|^~\\&|X|Y|||||MDM^T02|1|P|2.5\r", &rules, HL7_OK, "0 ");
}

static void
test_types(void **state)
{
	static const struct hl7_type_rule types[] = { { "ORU", "R01" }, { "ORU", "R30" }, { "QRY", "" },
		{ "*", "Z01" } };
	static const struct hl7_rules rules = { .types = types, .type_count = 4 };
	static const struct hl7_rules only = { .types = types, .type_count = 3 };

	(void)state;
#define WITH_TYPE(type) "MSH|^~\\&|A||||||" type "|1|P|2.5\r"
	judge(WITH_TYPE("ORU^R01"), &rules, HL7_OK, "0 ");
	judge(WITH_TYPE("ORU^R30"), &rules, HL7_OK, "0 ");
	judge(WITH_TYPE("QRY"), &rules, HL7_OK, "0 ");
	judge(WITH_TYPE("QRY^\"\""), &rules, HL7_OK, "0 ");
	judge(WITH_TYPE("XYZ^Z01"), &rules, HL7_OK, "0 ");
	judge(WITH_TYPE("XYZ^Z02"), &rules, HL7_REFUSED, "201 MSH-9.2");
	judge(WITH_TYPE("XYZ^Z02"), &only, HL7_REFUSED, "200 MSH-9.1");
	judge(WITH_TYPE("ORU"), &only, HL7_REFUSED, "201 MSH-9.2");
	judge(WITH_TYPE("QRY^A19"), &only, HL7_REFUSED, "201 MSH-9.2");
}

static void
test_senders(void **state)
{
	static const struct hl7_sender_rule senders[] = { { "LIS", "LAB" }, { "RIS^9^ISO", "*" },
		{ "*", "ANY" } };
	static const struct hl7_rules rules = { .senders = senders, .sender_count = 2 };
	static const struct hl7_rules any = { .senders = senders, .sender_count = 3 };

	(void)state;
#define FROM(three, four) "MSH|^~\\&|" three "|" four "|||||ORU^R01|1|P|2.5\r"
	judge(FROM("LIS", "LAB"), &rules, HL7_OK, "0 ");
	judge(FROM("LIS^1.2^ISO", "LAB^7"), &rules, HL7_OK, "0 ");
	judge(FROM("LISX", "LAB"), &rules, HL7_REFUSED, "207 MSH-3");
	judge(FROM("LIS", ""), &rules, HL7_REFUSED, "207 MSH-4");
	judge(FROM("RIS^9^ISO", ""), &rules, HL7_OK, "0 ");
	judge(FROM("RIS", ""), &rules, HL7_REFUSED, "207 MSH-3");
	judge(FROM("", "ANY"), &any, HL7_OK, "0 ");
	judge(FROM("LIS", "ANY"), &any, HL7_OK, "0 ");
	judge(FROM("OTHER", "NONE"), &any, HL7_REFUSED, "207 MSH-4");
}

static void
test_control_id(void **state)
{
	char text[512], id[201];

	(void)state;
	memset(id, 'x', 200);
	id[200] = '\0';
	(void)snprintf(text, sizeof(text), "MSH|^~\\&|A||||||ORU^R01|%s|P|2.5\r", id);
	judge(text, NULL, HL7_REFUSED, "102 MSH-10");
	(void)snprintf(text, sizeof(text), "MSH|^~\\&|A||||||ORU^R01|%s|P|2.5\r", id + 1);
	judge(text, NULL, HL7_OK, "0 ");
}

static void
test_processing(void **state)
{
	(void)state;
	assert_int_equal(hl7_processing(span_str("P")), HL7_PROCESSING_P);
	assert_int_equal(hl7_processing(span_str("T")), HL7_PROCESSING_T);
	assert_int_equal(hl7_processing(span_str("D")), HL7_PROCESSING_D);
	assert_int_equal(hl7_processing(span_str("p")), 0);
	assert_int_equal(hl7_processing(SPAN_EMPTY), 0);
}

/* The value at fault is given beside the sentence, as a place in the input. */
static void
test_value(void **state)
{
	static const char text[] = "MSH|^~\\&|A||||||ORU^R01|1|P|3.0\r";
	struct hl7_message m;
	struct arena a;
	struct fault f;

	(void)state;
	arena_init(&a, 65536);
	assert_int_equal(hl7_check(&m, span_str(text), NULL, &a, &f), HL7_REFUSED);
	assert_true(span_eq_str(f.value, "3.0"));
	assert_int_equal(f.offset, strlen(text) - 4);
	assert_ptr_equal(f.value.ptr, text + f.offset);
	arena_fini(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_taken),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_senders),
		cmocka_unit_test(test_control_id),
		cmocka_unit_test(test_processing),
		cmocka_unit_test(test_value),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
