/* SPDX-License-Identifier: Apache-2.0 */
/* HL7 v2 messages: header, index, fields; leniencies and their counts; ceilings, failing memory, large inputs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "codecs/hl7.h"
#include "tests/unit/failmalloc.h"

#define CEILING ((size_t)64 << 20)

static const char oru[] =
    "MSH|^~\\&|LIS|LAB|DPI|CHU|20250101120000+0100||ORU^R01^ORU_R01|M1|P^A|2.5^FRA|||AL|NE||8859/1~UNICODE\r"
    "PID|1||123^^^CHU&1.2.3&ISO^PI~456^^^INS&1.2.250&ISO^INS||DUPONT^JEAN||\"\"|M\r"
    "OBX|1|ED|a^b||^application^pdf^Base64^AAAA\r"
    "OBX|2\r"
    "ZZZ\r";

static void
parse(struct hl7_message *m, struct arena *a, struct span bytes, unsigned leniencies)
{
	struct fault f;

	arena_init(a, CEILING);
	if (hl7_parse(m, bytes, leniencies, a, &f) != HL7_OK)
		fail_msg("refused: %s %s", f.path, f.message);
}

static void
assert_span(struct span s, const char *text)
{
	if (!s.ptr)
		fail_msg("not there, expected \"%s\"", text);
	if (!span_eq_str(s, text))
		fail_msg("\"%.*s\", expected \"%s\"", (int)s.len, (const char *)s.ptr, text);
}

#define assert_none(s) assert_null((s).ptr)

static void
test_fields(void **state)
{
	struct hl7_message m;
	struct arena a;
	struct span pi;
	size_t pid;

	(void)state;
	parse(&m, &a, span_str(oru), 0);
	assert_int_equal(m.count, 5);
	pid = hl7_find(&m, "PID", 1);
	assert_int_equal(pid, 1);
	assert_span(hl7_field_all(&m, pid, 0), "PID");
	assert_span(hl7_field(&m, pid, 1, 1), "1");
	assert_span(hl7_field(&m, pid, 2, 1), "");
	pi = hl7_field(&m, pid, 3, 2);
	assert_span(pi, "456^^^INS&1.2.250&ISO^INS");
	assert_none(hl7_field(&m, pid, 3, 3));
	assert_none(hl7_field(&m, pid, 3, 0));
	assert_span(hl7_component(&m.delimiters, pi, 4), "INS&1.2.250&ISO");
	assert_span(hl7_subcomponent(&m.delimiters, hl7_component(&m.delimiters, pi, 4), 2), "1.2.250");
	assert_span(hl7_component(&m.delimiters, pi, 2), "");
	assert_none(hl7_component(&m.delimiters, pi, 6));
	assert_true(hl7_is_null(hl7_field(&m, pid, 7, 1)));
	assert_span(hl7_field(&m, pid, 8, 1), "M");
	assert_none(hl7_field(&m, pid, 9, 1));
	assert_none(hl7_field_all(&m, pid, UINT32_MAX));
	assert_int_equal(hl7_field_count(&m, pid), 8);
	assert_int_equal(hl7_repetition_count(&m, pid, 3), 2);
	assert_int_equal(hl7_repetition_count(&m, pid, 2), 1);
	assert_int_equal(hl7_repetition_count(&m, pid, 99), 0);
	assert_none(hl7_field_all(&m, 4, 1));
	assert_int_equal(hl7_field_count(&m, 4), 0);
	assert_none(hl7_segment_span(&m, 5));
	assert_none(hl7_field_all(&m, 5, 1));
	assert_int_equal(hl7_field_count(&m, 5), 0);
	arena_fini(&a);
}

static void
test_msh(void **state)
{
	struct hl7_message m;
	struct arena a;

	(void)state;
	parse(&m, &a, span_str(oru), 0);
	assert_span(hl7_field_all(&m, 0, 1), "|");
	assert_span(hl7_field(&m, 0, 1, 1), "|");
	assert_span(hl7_field_all(&m, 0, 2), "^~\\&");
	assert_span(hl7_field(&m, 0, 2, 1), "^~\\&");
	assert_none(hl7_field(&m, 0, 2, 2));
	assert_int_equal(hl7_repetition_count(&m, 0, 1), 1);
	assert_int_equal(hl7_repetition_count(&m, 0, 2), 1);
	assert_span(hl7_field(&m, 0, 3, 1), "LIS");
	assert_span(hl7_field(&m, 0, 18, 2), "UNICODE");
	assert_int_equal(hl7_field_count(&m, 0), 18);
	assert_none(hl7_field_all(&m, 0, 19));
	for (unsigned n = 1; n <= HL7_HEADER_FIELDS; n++)
		assert_ptr_equal(m.header.field[n].ptr, hl7_field_all(&m, 0, n).ptr);
	assert_span(m.header.type, "ORU");
	assert_span(m.header.event, "R01");
	assert_span(m.header.structure, "ORU_R01");
	assert_span(m.header.processing, "P");
	assert_span(m.header.version, "2.5");
	assert_true(m.header.is_msh && m.header.readable && m.header.legal);
	assert_int_equal(m.delimiters.truncation, 0);
	arena_fini(&a);
}

static void
test_find(void **state)
{
	struct hl7_message m;
	struct arena a;

	(void)state;
	parse(&m, &a, span_str(oru), 0);
	assert_int_equal(hl7_find(&m, "OBX", 1), 2);
	assert_int_equal(hl7_find(&m, "OBX", 2), 3);
	assert_int_equal(hl7_find(&m, "OBX", 3), HL7_NONE);
	assert_int_equal(hl7_find(&m, "OBX", 0), HL7_NONE);
	assert_int_equal(hl7_find(&m, "OB", 1), HL7_NONE);
	assert_int_equal(hl7_find(&m, "ZZZ", 1), 4);
	assert_int_equal(hl7_find_from(&m, "OBX", 3), 3);
	assert_int_equal(hl7_find_from(&m, "OBX", 4), HL7_NONE);
	assert_int_equal(hl7_occurrence(&m, 3), 2);
	assert_int_equal(hl7_occurrence(&m, 0), 1);
	assert_span(hl7_segment_span(&m, 4), "ZZZ");
	assert_span(hl7_segment_span(&m, 3), "OBX|2");
	arena_fini(&a);
}

static void
test_other_delimiters(void **state)
{
	static const char text[] = "MSH!*:/+#!A!B!C!D!!!ADT*A01!1!P!2.7\rPID!x*y+z:w^~\r";
	struct hl7_message m;
	struct arena a;

	(void)state;
	parse(&m, &a, span_str(text), 0);
	assert_int_equal(m.delimiters.truncation, '#');
	assert_span(hl7_field(&m, 1, 1, 1), "x*y+z");
	assert_span(hl7_field(&m, 1, 1, 2), "w^~");
	assert_span(
	    hl7_subcomponent(&m.delimiters, hl7_component(&m.delimiters, hl7_field(&m, 1, 1, 1), 2), 2), "z");
	assert_span(m.header.event, "A01");
	arena_fini(&a);
}

static void
test_next(void **state)
{
	struct span rest = span_str("a||b"), piece;

	(void)state;
	assert_true(hl7_next(&rest, '|', &piece));
	assert_span(piece, "a");
	assert_true(hl7_next(&rest, '|', &piece));
	assert_span(piece, "");
	assert_true(hl7_next(&rest, '|', &piece));
	assert_span(piece, "b");
	assert_false(hl7_next(&rest, '|', &piece));
	rest = span_str("");
	assert_true(hl7_next(&rest, '|', &piece));
	assert_span(piece, "");
	assert_false(hl7_next(&rest, '|', &piece));
}

/* Segments of ${text} under ${leniencies} as "NAME:rest" joined by a comma, LF shown as a slash. */
static void
assert_segments(const char *text, unsigned leniencies, const char *expected, struct hl7_leniencies used)
{
	char got[256] = "";
	struct hl7_message m;
	struct arena a;

	parse(&m, &a, span_str(text), leniencies);
	for (size_t i = 1; i < m.count; i++) {
		struct span s = hl7_segment_span(&m, i);
		size_t len = strlen(got);

		(void)snprintf(got + len, sizeof(got) - len, "%s%.*s", i > 1 ? "," : "", (int)s.len,
		    (const char *)s.ptr);
	}
	for (char *c = got; *c; c++)
		if (*c == '\n')
			*c = '/';
	assert_string_equal(got, expected);
	assert_int_equal(m.used.lf_ends, used.lf_ends);
	assert_int_equal(m.used.empty_segments, used.empty_segments);
	assert_int_equal(m.used.no_final_end, used.no_final_end);
	arena_fini(&a);
}

#define MSH "MSH|^~\\&|A"

static void
test_leniencies(void **state)
{
	const unsigned lf = HL7_LENIENT_LF, nf = HL7_LENIENT_NO_FINAL_CR;

	(void)state;
	assert_segments(MSH "\rPID|1\rPV1|2\r", lf, "PID|1,PV1|2", (struct hl7_leniencies){ 0, 0, 0 });
	assert_segments(MSH "\nPID|1\nPV1|2\n", lf, "PID|1,PV1|2", (struct hl7_leniencies){ 3, 0, 0 });
	assert_segments(MSH "\r\nPID|1\r\nPV1|2\r\n", lf, "PID|1,PV1|2", (struct hl7_leniencies){ 3, 0, 0 });
	assert_segments(
	    MSH "\r\r\nPID|1\n\n\rPV1|2\r\n\r\n", lf, "PID|1,PV1|2", (struct hl7_leniencies){ 2, 4, 0 });
	/* An LF is an end only where a segment may end. */
	assert_segments(MSH "\nOBX|AAAA\nBBBB\nCC==\nPID\n", lf, "OBX|AAAA/BBBB/CC==,PID",
	    (struct hl7_leniencies){ 3, 0, 0 });
	assert_segments(
	    MSH "\nOBX|A\nABCD\nABC|\n", lf, "OBX|A/ABCD,ABC|", (struct hl7_leniencies){ 3, 0, 0 });
	assert_segments(MSH "\rOBX|A\nPID|1\r", 0, "OBX|A/PID|1", (struct hl7_leniencies){ 0, 0, 0 });
	assert_segments(MSH "\rPID|1", nf, "PID|1", (struct hl7_leniencies){ 0, 0, 1 });
	assert_segments(MSH "\nPID|1", lf | nf, "PID|1", (struct hl7_leniencies){ 1, 0, 1 });
	assert_segments(MSH "\nPID|1\n", lf | nf, "PID|1", (struct hl7_leniencies){ 2, 0, 0 });
	assert_segments(MSH "\nPID|1\nABC", lf | nf, "PID|1,ABC", (struct hl7_leniencies){ 2, 0, 1 });
	assert_segments(MSH, nf, "", (struct hl7_leniencies){ 0, 0, 1 });
}

static void
assert_refused(struct span bytes, unsigned leniencies, enum fault_code code, const char *path, size_t offset)
{
	struct hl7_message m;
	struct arena a;
	struct fault f;

	arena_init(&a, CEILING);
	assert_int_equal(hl7_parse(&m, bytes, leniencies, &a, &f), HL7_REFUSED);
	assert_int_equal(f.code, code);
	assert_string_equal(f.path, path);
	assert_int_equal(f.offset, offset);
	assert_int_equal(m.count, 0);
	assert_non_null(f.message[0] ? f.message : NULL);
	arena_fini(&a);
}

static void
test_refused(void **state)
{
	(void)state;
	assert_refused(SPAN_EMPTY, 0, FAULT_SEGMENT_SEQUENCE, "MSH", 0);
	assert_refused(span_str("MS"), 0, FAULT_SEGMENT_SEQUENCE, "MSH", 0);
	assert_refused(span_str("MSH"), 0, FAULT_DATA_TYPE, "MSH-1", 3);
	assert_refused(span_str("MSH|"), 0, FAULT_DATA_TYPE, "MSH-2", 4);
	assert_refused(span_str(MSH), 0, FAULT_SEGMENT_SEQUENCE, "MSH", 0);
	assert_refused(span_str(MSH "\rPID|1"), 0, FAULT_SEGMENT_SEQUENCE, "PID", 11);
	assert_refused(span_str(MSH "\rOBX|1\rPID|1\rOBX|2"), 0, FAULT_SEGMENT_SEQUENCE, "OBX(2)", 23);
	assert_refused(span_str(MSH "\rPID|1\r\r"), 0, FAULT_SEGMENT_SEQUENCE, "(3)", 17);
	assert_refused(span_str(MSH "\rPID|1\rMSH|\r"), 0, FAULT_SEGMENT_SEQUENCE, "MSH(2)", 17);
	assert_refused(span_str(MSH "\rBTS|1\r"), 0, FAULT_SEGMENT_SEQUENCE, "BTS", 11);
	assert_refused(span_str(MSH "\r\nPID|1\r"), 0, FAULT_SEGMENT_SEQUENCE, "(2)", 11);
	assert_refused(span_str(MSH "\nPID|1\r"), 0, FAULT_SEGMENT_SEQUENCE, "MSH", 0);
	assert_refused(span_str(MSH "\nPID|1"), HL7_LENIENT_LF, FAULT_SEGMENT_SEQUENCE, "PID", 11);
	assert_refused(span_str(MSH "\n\nPID|1\n\npid|1\n"), 0, FAULT_SEGMENT_SEQUENCE, "MSH", 0);
	assert_refused(
	    span_str(MSH "\n\nPID|1\r\npid|1\n"), HL7_LENIENT_LF, FAULT_SEGMENT_SEQUENCE, "(3)", 19);
}

/* Whatever comes, what can be read of the MSH is read. */
static void
test_header_of_garbage(void **state)
{
	struct hl7_header h;

	(void)state;
	hl7_header_read(&h, SPAN_EMPTY);
	assert_false(h.is_msh);
	assert_none(h.field[10]);
	hl7_header_read(&h, span_str("BHS|^~\\&|"));
	assert_false(h.is_msh);
	hl7_header_read(&h, span_str("MSHA^~\\&A"));
	assert_true(h.is_msh && !h.readable && !h.legal);
	assert_none(h.field[1]);
	/* Two encoding characters: the fields can be told apart all the same. */
	hl7_header_read(&h, span_str("MSH#^~#A#B#C#D###ADT^A01#M1#P#2.5"));
	assert_true(h.readable && !h.legal);
	assert_span(h.field[10], "M1");
	assert_span(h.event, "A01");
	assert_int_equal(h.delimiters.field, '|');
	/* Cut at the first LF. */
	hl7_header_read(&h, span_str(MSH "\nB|C"));
	assert_span(h.field[3], "A");
	assert_none(h.field[4]);
	/* MSH-9 repeats: the first counts. */
	hl7_header_read(&h, span_str("MSH|^~\\&|||||||ADT~ORU^R01|"));
	assert_span(h.type, "ADT");
	assert_none(h.event);
}

static void
test_null(void **state)
{
	(void)state;
	assert_true(hl7_is_null(span_str("\"\"")));
	assert_false(hl7_is_null(span_str("\"")));
	assert_false(hl7_is_null(span_str("\"\"\"")));
	assert_true(hl7_is_absent(span_str("\"\"")));
	assert_true(hl7_is_absent(SPAN_EMPTY));
	assert_false(hl7_is_absent(span_str(" ")));
	assert_true(hl7_version_known(span_str("2.5.1")));
	assert_false(hl7_version_known(span_str("2.5 ")));
	assert_false(hl7_version_known(span_str("2.10")));
	assert_false(hl7_version_known(SPAN_EMPTY));
}

/* Table 0104 and nothing else of that form. */
static void
test_versions(void **state)
{
	static const char *const known[] = { "2.1", "2.2", "2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6",
		"2.7", "2.7.1", "2.8", "2.8.1", "2.8.2", "2.9", "2.9.1" };
	static const char letters[] = "./:0123456789";
	char text[8] = "";
	size_t taken = 0, listed = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		listed += hl7_version_known(span_str(known[i]));
	assert_int_equal(listed, sizeof(known) / sizeof(known[0]));
	for (size_t len = 0; len <= 6; len++)
		for (size_t code = 0; code < 13 * 13 * 13 * 13; code++) {
			size_t rest = code;

			text[0] = "213"[code % 3];
			text[1] = letters[code % 13];
			for (size_t i = 2; i < len; i++, rest /= 13)
				text[i] = letters[rest % 13];
			text[1] = code % 5 ? '.' : text[1];
			if (!hl7_version_known(span_make(text, len)))
				continue;
			taken++;
			for (listed = 0; listed < sizeof(known) / sizeof(known[0]); listed++)
				if (span_eq_str(span_make(text, len), known[listed]))
					break;
			assert_true(listed < sizeof(known) / sizeof(known[0]));
		}
	assert_true(taken > 0);
}

/* ${count} segments "OBX\r" behind an MSH. */
static struct span
many_segments(size_t count)
{
	size_t head = sizeof(MSH) - 1, len = head + 1 + 4 * count;
	uint8_t *bytes = malloc(len);

	memcpy(bytes, MSH "\r", head + 1);
	for (size_t i = 0; i < count; i++)
		memcpy(bytes + head + 1 + 4 * i, "OBX\r", 4);
	return span_make(bytes, len);
}

/* The index of a million segments costs twelve bytes each and no more; past the ceiling it is a fault. */
static void
test_million_segments(void **state)
{
	struct span bytes = many_segments(1000000);
	size_t need = 1000001 * sizeof(struct hl7_segment);
	struct hl7_message m;
	struct arena a;
	struct fault f;

	(void)state;
	assert_int_equal(sizeof(struct hl7_segment), 12);
	arena_init(&a, need + 16);
	assert_int_equal(hl7_parse(&m, bytes, 0, &a, &f), HL7_OK);
	assert_int_equal(m.count, 1000001);
	assert_int_equal(hl7_find(&m, "OBX", 1000000), 1000000);
	assert_true(a.used <= need + 16);
	arena_fini(&a);
	arena_init(&a, need - 16);
	assert_int_equal(hl7_parse(&m, bytes, 0, &a, &f), HL7_REFUSED);
	assert_int_equal(f.code, FAULT_MEMORY);
	assert_span(m.header.field[3], "A");
	arena_fini(&a);
	free((void *)(uintptr_t)bytes.ptr);
}

/* The boundary between the index made in one walk and in two. */
static void
test_sixty_four_segments(void **state)
{
	(void)state;
	for (size_t n = 62; n <= 66; n++) {
		struct span bytes = many_segments(n);
		struct hl7_message m;
		struct arena a;

		parse(&m, &a, bytes, n % 2 ? HL7_LENIENT_LF : 0);
		assert_int_equal(m.count, n + 1);
		for (size_t i = 1; i <= n; i++)
			assert_span(hl7_segment_span(&m, i), "OBX");
		arena_fini(&a);
		free((void *)(uintptr_t)bytes.ptr);
	}
}

/* 60 MiB of one field, then much of ends, of LFs that are data, of LFs that are ends: each costs a scan, and the test ends. */
static void
test_linear(void **state)
{
	static const char *const fillings[] = { "A", "\r", "\n", "AB\n", "|", "~", "ABC\n", "\r\n", "\nABC" };
	size_t len = 60u << 20, head = sizeof(MSH "\rOBX|1|") - 1;
	uint8_t *bytes = malloc(len);

	(void)state;
	for (size_t i = 0; i < sizeof(fillings) / sizeof(fillings[0]); i++) {
		size_t part = strlen(fillings[i]);

		if (i > 0)
			len = 16u << 20;
		memcpy(bytes, MSH "\rOBX|1|", head);
		for (size_t at = head; at < len; at++)
			bytes[at] = (uint8_t)fillings[i][(at - head) % part];
		bytes[len - 1] = '\r';
		for (unsigned leniencies = 0; leniencies <= 3; leniencies++) {
			struct hl7_message m;
			struct arena a;
			struct fault f;

			arena_init(&a, CEILING);
			if (hl7_parse(&m, span_make(bytes, len), leniencies, &a, &f) == HL7_OK) {
				assert_int_equal(hl7_field_count(&m, 1) > 1, true);
				assert_non_null(hl7_field(&m, 1, 2, 1).ptr);
				assert_none(hl7_field(&m, 1, UINT32_MAX - 1, 1));
			}
			arena_fini(&a);
		}
	}
	free(bytes);
}

static void
test_memory_fails(void **state)
{
	struct span bytes = many_segments(2000);
	bool never_asked;

	(void)state;
	for (size_t n = 1;; n++) {
		struct hl7_message m;
		struct arena a;
		struct fault f;
		enum hl7_verdict verdict;

		arena_init(&a, CEILING);
		failmalloc_at(n);
		verdict = hl7_parse(&m, bytes, 0, &a, &f);
		never_asked = failmalloc_off();
		if (never_asked) {
			assert_int_equal(verdict, HL7_OK);
		} else {
			assert_int_equal(verdict, HL7_REFUSED);
			assert_int_equal(f.code, FAULT_OVERLOAD);
			assert_true(fault_is_circumstance(f.code));
			assert_int_equal(m.count, 0);
		}
		arena_fini(&a);
		if (never_asked) {
			assert_true(n > 1);
			break;
		}
	}
	free((void *)(uintptr_t)bytes.ptr);
}

/* A message cut anywhere is never read past its end, whatever is asked of it. */
static void
test_every_prefix(void **state)
{
	(void)state;
	for (size_t len = 0; len < sizeof(oru); len++) {
		uint8_t *copy = malloc(len + 1);
		struct hl7_message m;
		struct arena a;

		memcpy(copy, oru, len);
		for (unsigned leniencies = 0; leniencies <= 3; leniencies++) {
			struct fault f;

			arena_init(&a, CEILING);
			if (hl7_parse(&m, span_make(len ? copy : NULL, len), leniencies, &a, &f) == HL7_OK)
				for (size_t s = 0; s < m.count; s++)
					for (unsigned n = 0; n < 20; n++)
						(void)hl7_component(&m.delimiters, hl7_field(&m, s, n, 2), 2);
			arena_fini(&a);
		}
		free(copy);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_msh),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_other_delimiters),
		cmocka_unit_test(test_next),
		cmocka_unit_test(test_leniencies),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_header_of_garbage),
		cmocka_unit_test(test_null),
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_million_segments),
		cmocka_unit_test(test_sixty_four_segments),
		cmocka_unit_test(test_linear),
		cmocka_unit_test(test_memory_fails),
		cmocka_unit_test(test_every_prefix),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
