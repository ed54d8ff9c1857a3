/* SPDX-License-Identifier: Apache-2.0 */
/* Paths: grammar, values, and the forms that ERR wants. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "codecs/hl7_path.h"

static const char message[] = "MSH|^~\\&|LIS^1.2&x|LAB|||2025||ORU^R01|M1|P|2.5\r"
			      "PID|1||123^^^CHU&1.2.3^PI~456^^^INS&4.5^INS\r"
			      "OBX|1|ED|||first\r"
			      "PID|2||789\r";

static void
assert_span(struct span s, const char *text)
{
	if (!text) {
		assert_null(s.ptr);
		return;
	}
	assert_non_null(s.ptr);
	if (!span_eq_str(s, text))
		fail_msg("\"%.*s\", expected \"%s\"", (int)s.len, (const char *)s.ptr, text);
}

static void
test_grammar(void **state)
{
	static const char *const good[] = { "MSH", "PID-3", "PID-3(2).4.2", "PID(2)-3", "PID(2)-3(1).4",
		"Z01-1", "(4)", "(4)-2.1", "OBX(1000000)-5",
		"PID(99999999)-99999999(99999999).99999999.99999999" };
	static const char *const bad[] = { "", "P", "PI", "pid", "1PI", "PIDX", "PID-", "PID-0", "PID-01",
		"PID-x", "PID-3.", "PID-3.0", "PID-3.1.", "PID-3.1.2.3", "PID-3()", "PID-3(", "PID-3(1",
		"PID-3(0)", "PID()", "PID(0)", "PID(1", "()", "(0)", "(4", "4", "PID-3(1)(2)", "PID.3",
		"PID-100000000", "PID-3 ", " PID-3", "PID-4294967297", "PID-3.1(2)",
		"PID-99999999999999999999" };
	char text[HL7_PATH_TEXT_MAX];
	struct hl7_path p, again;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		if (!hl7_path_parse(&p, span_str(good[i])))
			fail_msg("%s is not taken", good[i]);
		/* An occurrence of 1 is not written; everything else comes back. */
		assert_string_equal(hl7_path_format(&p, text), good[i]);
		assert_true(hl7_path_parse(&again, span_str(text)));
		assert_memory_equal(&p, &again, sizeof(p));
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (hl7_path_parse(&p, span_str(bad[i])))
			fail_msg("%s is taken", bad[i]);
	assert_true(hl7_path_parse(&p, span_str("PID(1)-3")));
	assert_string_equal(hl7_path_format(&p, text), "PID-3");
}

static void
test_get(void **state)
{
	static const struct {
		const char *path;
		const char *value; /* NULL: not there */
	} rows[] = {
		{ "MSH-1", "|" },
		{ "MSH-2", "^~\\&" },
		{ "MSH-1.1", "|" },
		{ "MSH-2.1", "^~\\&" },
		{ "MSH-2.1.1", "^~\\&" },
		{ "MSH-2.2", NULL },
		{ "MSH-2(2)", NULL },
		{ "MSH-3", "LIS^1.2&x" },
		{ "MSH-3.1", "LIS" },
		{ "MSH-3.2.2", "x" },
		{ "MSH-9.2", "R01" },
		{ "PID-3", "123^^^CHU&1.2.3^PI~456^^^INS&4.5^INS" },
		{ "PID-3(1)", "123^^^CHU&1.2.3^PI" },
		{ "PID-3.1", "123" },
		{ "PID-3(2).4.2", "4.5" },
		{ "PID-3(2).2", "" },
		{ "PID-3(3)", NULL },
		{ "PID-3.6", NULL },
		{ "PID(2)-3.1", "789" },
		{ "PID(2)-3.1.1", "789" },
		{ "PID(2)-4", NULL },
		{ "PID(3)-1", NULL },
		{ "PV1-1", NULL },
		{ "(3)-5", "first" },
		{ "(4)", "PID|2||789" },
		{ "(5)", NULL },
		{ "OBX", "OBX|1|ED|||first" },
		{ "no path", NULL },
	};
	struct hl7_message m;
	struct arena a;
	struct fault f;

	(void)state;
	arena_init(&a, 65536);
	assert_int_equal(hl7_parse(&m, span_str(message), 0, &a, &f), HL7_OK);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_span(hl7_get(&m, rows[i].path), rows[i].value);
	arena_fini(&a);
}

static void
test_err_forms(void **state)
{
	static const struct {
		const char *path;
		const char *erl;
		const char *eld;
	} rows[] = {
		{ "MSH", "MSH^1", "MSH^1^" },
		{ "MSH-12", "MSH^1^12", "MSH^1^12" },
		{ "MSH-9.1", "MSH^1^9^1^1", "MSH^1^9" },
		{ "PID-3(2).4.2", "PID^1^3^2^4^2", "PID^1^3" },
		{ "PID(2)-3(1)", "PID^2^3^1", "PID^2^3" },
		{ "(4)", "^4", "^4^" },
	};
	struct hl7_path p, back;
	struct buffer b;

	(void)state;
	buffer_init(&b, 1024);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_true(hl7_path_parse(&p, span_str(rows[i].path)));
		buffer_reset(&b);
		hl7_path_erl(&p, '^', &b);
		assert_span(buffer_span(&b), rows[i].erl);
		assert_true(hl7_path_from_erl(&back, &hl7_default_delimiters, buffer_span(&b)));
		assert_string_equal(back.name, p.name);
		assert_int_equal(back.ordinal, p.ordinal);
		assert_int_equal(back.occurrence, p.occurrence);
		assert_int_equal(back.field, p.field);
		assert_int_equal(back.component, p.component);
		assert_int_equal(back.subcomponent, p.subcomponent);
		buffer_reset(&b);
		hl7_path_eld(&p, '^', &b);
		assert_span(buffer_span(&b), rows[i].eld);
	}
	buffer_fini(&b);
	/* What others write. */
	assert_true(hl7_path_from_erl(&p, &hl7_default_delimiters, span_str("PID")));
	assert_int_equal(p.occurrence, 1);
	assert_true(hl7_path_from_erl(&p, &hl7_default_delimiters, span_str("PID^^5")));
	assert_int_equal(p.field, 5);
	assert_false(hl7_path_from_erl(&p, &hl7_default_delimiters, SPAN_EMPTY));
	assert_false(hl7_path_from_erl(&p, &hl7_default_delimiters, span_str("PIDX^1")));
	assert_false(hl7_path_from_erl(&p, &hl7_default_delimiters, span_str("PID^x")));
	assert_false(hl7_path_from_erl(&p, &hl7_default_delimiters, span_str("^^5")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_grammar),
		cmocka_unit_test(test_get),
		cmocka_unit_test(test_err_forms),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
