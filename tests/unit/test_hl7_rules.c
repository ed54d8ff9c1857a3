/* SPDX-License-Identifier: Apache-2.0 */
/* HL7 v2, single rules: names of headers, forms of types, numbers of paths and of formatting commands, the words for a time's outcome. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "codecs/hl7_check.h"
#include "codecs/hl7_escape.h"
#include "codecs/hl7_path.h"
#include "codecs/hl7_time.h"

#define CEILING ((size_t)1 << 16)

/* The verdict on an MSH of ${type}^${event}, and ${more} behind it. */
static enum hl7_verdict
judge(const char *type, const char *event, const char *more, struct fault *f)
{
	char text[256];
	int n = snprintf(text, sizeof(text), "MSH|^~\\&|A|B|C|D|||%s^%s|1|P|2.5\r%s", type, event, more);
	enum hl7_verdict verdict;
	struct hl7_message m;
	struct arena a;

	arena_init(&a, CEILING);
	verdict = hl7_check(&m, span_make(text, (size_t)n), NULL, &a, f);
	f->value = SPAN_EMPTY; /* stood in text */
	arena_fini(&a);
	return verdict;
}

/* Only the five names of headers are refused inside a message, not those that look like them. */
static void
test_header_names(void **state)
{
	static const char *const headers[] = { "MSH", "FHS", "BHS", "BTS", "FTS" };
	static const char *const others[] = { "MSA", "MAH", "ZSH", "FAS", "BAS", "ZHS", "ZTS", "FHA", "BTX",
		"FSH", "BSH", "MHS", "MTS" };
	struct fault f;
	char line[8];

	(void)state;
	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
		snprintf(line, sizeof(line), "%s|\r", headers[i]);
		assert_int_equal(judge("ADT", "A01", line, &f), HL7_REFUSED);
		assert_int_equal(f.code, FAULT_SEGMENT_SEQUENCE);
	}
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		snprintf(line, sizeof(line), "%s|\r", others[i]);
		assert_int_equal(judge("ADT", "A01", line, &f), HL7_OK);
	}
}

static void
test_types_and_events(void **state)
{
	static const char *const types[] = { "ADT", "Z99", "ZZ0" };
	static const char *const bad_types[] = { "1DT", "aDT", "A:T", "AD:", "A/T", "AD/", "A[T", "AD[",
		"A@T", "AD", "ADTT" };
	static const char *const events[] = { "A01", "001", "ZZZ", "" };
	static const char *const bad_events[] = { ":01", "/01", "A:1", "A/1", "A0:", "A0/", "A0a", "a01",
		"A0", "A011", "[01", "A@1" };
	struct fault f;

	(void)state;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		assert_int_equal(judge(types[i], "A01", "", &f), HL7_OK);
	for (size_t i = 0; i < sizeof(bad_types) / sizeof(bad_types[0]); i++) {
		assert_int_equal(judge(bad_types[i], "A01", "", &f), HL7_REFUSED);
		assert_int_equal(f.code, FAULT_UNSUPPORTED_TYPE);
	}
	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		assert_int_equal(judge("ADT", events[i], "", &f), HL7_OK);
	for (size_t i = 0; i < sizeof(bad_events) / sizeof(bad_events[0]); i++) {
		assert_int_equal(judge("ADT", bad_events[i], "", &f), HL7_REFUSED);
		assert_int_equal(f.code, FAULT_UNSUPPORTED_EVENT);
	}
}

static void
test_null_and_counts(void **state)
{
	static const char text[] = "MSH|^~\\&|A|B|C|D|||ADT^A01|1|P|2.5\rNTE|1\rNTE|2~3\r";
	struct hl7_message m;
	struct arena a;
	struct fault f;

	(void)state;
	assert_false(hl7_is_null(span_str("\"x")));
	assert_false(hl7_is_null(span_str("x\"")));
	arena_init(&a, CEILING);
	assert_int_equal(hl7_parse(&m, span_str(text), 0, &a, &f), HL7_OK);
	assert_int_equal(hl7_repetition_count(&m, 2, 0), 1);
	assert_int_equal(hl7_repetition_count(&m, 2, 1), 2);
	assert_int_equal(hl7_repetition_count(&m, 2, 2), 0);
	assert_int_equal(hl7_repetition_count(&m, 0, 1), 1);
	assert_int_equal(hl7_repetition_count(&m, 0, 2), 1); /* MSH-2 is not split by what it defines */
	assert_int_equal(hl7_occurrence(&m, 2), 2);
	assert_null(hl7_field(&m, 3, 1, 1).ptr);
	assert_null(hl7_field(&m, 3, 2, 1).ptr);
	arena_fini(&a);
}

/* Every outcome has words, no two the same. */
static void
test_time_words(void **state)
{
	(void)state;
	assert_string_equal(hl7_time_outcome_text((enum hl7_time_outcome)77), "unknown");
	for (int i = 0; i <= HL7_TIME_BAD_VALUE; i++) {
		const char *text = hl7_time_outcome_text((enum hl7_time_outcome)i);

		assert_non_null(text);
		for (int k = 0; k < i; k++)
			assert_string_not_equal(text, hl7_time_outcome_text((enum hl7_time_outcome)k));
	}
}

/* Sequences of ${value}, one of a kind each. */
static void
check_escapes(const char *value, const char *wanted, unsigned decoded, unsigned dropped, unsigned kept,
    unsigned malformed)
{
	struct hl7_escape_counts counts = { 0 };
	struct buffer out;

	buffer_init(&out, 1024);
	hl7_escape_decode(&out, span_str(value), &hl7_default_delimiters, &counts);
	if (!span_eq_str(buffer_span(&out), wanted))
		fail_msg("%s: %.*s", value, (int)out.len, (const char *)out.data);
	assert_int_equal(counts.decoded, decoded);
	assert_int_equal(counts.dropped, dropped);
	assert_int_equal(counts.kept, kept);
	assert_int_equal(counts.malformed, malformed);
	buffer_fini(&out);
}

static void
test_escapes(void **state)
{
	static const char *const malformed[] = { "\\.sp/\\", "\\.sp:\\", "\\.sp100\\", "\\.skx\\", "\\.in+\\",
		"\\.ti1x\\", "\\.spx\\", "\\.sp+1\\", "\\.zz\\", "\\Hx\\", "\\Nx\\", "\\C284\\", "\\C28zz\\",
		"\\M284\\", "\\M28zz\\", "\\X\\", "\\X4\\", "\\X4g\\", "\\q\\", "\\\\" };

	(void)state;
	check_escapes("\\.in+4\\\\.in-4\\\\.in4\\\\.ti\\", "", 0, 4, 0, 0);
	check_escapes("\\.sk2\\\\.sp0\\", "  ", 2, 0, 0, 0);
	/* The escape character that closed it may open another, and here stands alone: malformed too. */
	for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++)
		check_escapes(malformed[i], malformed[i], 0, 0, 0, 2);
}

/* ERL as a path, and every component that is no number. */
static void
test_error_locations(void **state)
{
	static const char *const bad[] = { "PID^x", "PID^1^x", "PID^1^1^x", "PID^1^1^1^x", "PID^1^1^1^1^x",
		"PID^1x", "pid^1", "PI:^1", "PI/^1", "1ID^1", "P[D^1", "PIDX^1", "PI^1", "^0", "" };
	struct hl7_path p;

	(void)state;
	assert_true(hl7_path_from_erl(&p, &hl7_default_delimiters, span_str("PID^2^3^4^5^6")));
	assert_string_equal(p.name, "PID");
	assert_int_equal(p.occurrence, 2);
	assert_int_equal(p.field, 3);
	assert_int_equal(p.repetition, 4);
	assert_int_equal(p.component, 5);
	assert_int_equal(p.subcomponent, 6);
	assert_true(hl7_path_from_erl(&p, &hl7_default_delimiters, span_str("^7")));
	assert_int_equal(p.ordinal, 7);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (hl7_path_from_erl(&p, &hl7_default_delimiters, span_str(bad[i])))
			fail_msg("taken: %s", bad[i]);
}

/* What defines the delimiters has one component, itself. */
static void
test_paths_to_delimiters(void **state)
{
	static const struct {
		const char *path, *value; /* NULL: not there */
	} vectors[] = { { "MSH-2.1", "^~\\&" }, { "MSH-2.1.1", "^~\\&" }, { "MSH-2.2", NULL },
		{ "MSH-2.1.2", NULL }, { "MSH-1.1", "|" }, { "NTE-1.1", "a" }, { "NTE-1.2.2", "c" } };
	static const char text[] = "MSH|^~\\&|A|B|C|D|||ADT^A01|1|P|2.5\rNTE|a^b&c\r";
	struct hl7_message m;
	struct arena a;
	struct fault f;

	(void)state;
	arena_init(&a, CEILING);
	assert_int_equal(hl7_parse(&m, span_str(text), 0, &a, &f), HL7_OK);
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		struct hl7_path path;
		struct span value;

		assert_true(hl7_path_parse(&path, span_str(vectors[i].path)));
		value = hl7_path_get(&m, &path);
		assert_int_equal(value.ptr != NULL, vectors[i].value != NULL);
		if (vectors[i].value)
			assert_true(span_eq_str(value, vectors[i].value));
	}
	arena_fini(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_header_names),
		cmocka_unit_test(test_types_and_events),
		cmocka_unit_test(test_null_and_counts),
		cmocka_unit_test(test_time_words),
		cmocka_unit_test(test_escapes),
		cmocka_unit_test(test_error_locations),
		cmocka_unit_test(test_paths_to_delimiters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
