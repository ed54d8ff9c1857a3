/* SPDX-License-Identifier: Apache-2.0 */
/* Copying with edits: untouched bytes stay, what is set is got back, other places do not move; memory that fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "codecs/hl7_write.h"
#include "tests/unit/failmalloc.h"

#define CEILING ((size_t)1 << 20)

static const char message[] = "MSH|^~\\&|LIS|LAB|||2025||ORU^R01|M1|P|2.5||\r"
			      "PID|1||123^^^CHU&1.2.3^PI~456||DUPONT^JEAN|||||\r"
			      "PV1\r"
			      "OBX|1|ED|\\T\\||\r"
			      "PID|2\r";

static struct hl7_edit
edit(const char *path, const char *value)
{
	struct hl7_edit e = { .value = span_str(value) };

	if (!hl7_path_parse(&e.path, span_str(path)))
		fail_msg("%s is no path", path);
	return e;
}

/* Write ${text} with ${edits} into ${out}. */
static enum hl7_write_outcome
write_text(struct span text, unsigned leniencies, const struct hl7_edit *edits, size_t count,
    struct buffer *out, size_t *bad)
{
	enum hl7_write_outcome outcome;
	struct hl7_message m;
	struct arena a;
	struct fault f;

	arena_init(&a, CEILING);
	assert_int_equal(hl7_parse(&m, text, leniencies, &a, &f), HL7_OK);
	outcome = hl7_write(out, &m, edits, count, &a, bad);
	arena_fini(&a);
	return outcome;
}

/* The message with edits done one after the other is ${from} replaced by ${to} in it. */
static void
assert_edited(const struct hl7_edit *edits, size_t count, const char *from, const char *to)
{
	const char *at = strstr(message, from);
	struct buffer out, expected;

	assert_non_null(at);
	buffer_init(&out, CEILING);
	buffer_init(&expected, CEILING);
	buffer_append(&expected, message, (size_t)(at - message));
	buffer_append_str(&expected, to);
	buffer_append_str(&expected, at + strlen(from));
	assert_int_equal(write_text(span_str(message), 0, edits, count, &out, NULL), HL7_WRITE_OK);
	if (!span_eq(buffer_span(&out), buffer_span(&expected)))
		fail_msg("\n%.*s\nexpected\n%.*s", (int)out.len, (const char *)out.data, (int)expected.len,
		    (const char *)expected.data);
	buffer_fini(&out);
	buffer_fini(&expected);
}

#define EDITED(from, to, ...)                                                                                \
	do {                                                                                                 \
		const struct hl7_edit list[] = { __VA_ARGS__ };                                              \
		assert_edited(list, sizeof(list) / sizeof(list[0]), from, to);                               \
	} while (0)

static void
test_places(void **state)
{
	(void)state;
	assert_edited(NULL, 0, "PID", "PID");
	EDITED("DUPONT^JEAN", "X", edit("PID-5", "X"));
	EDITED("DUPONT^JEAN", "X^JEAN", edit("PID-5.1", "X"));
	EDITED("DUPONT^JEAN", "DUPONT^X", edit("PID-5.2", "X"));
	EDITED("DUPONT^JEAN", "DUPONT^JEAN^^X", edit("PID-5.4", "X"));
	EDITED("DUPONT^JEAN", "DUPONT^JEAN~^&X", edit("PID-5(2).2.2", "X"));
	EDITED("DUPONT^JEAN", "DUPONT&&X^JEAN", edit("PID-5.1.3", "X"));
	EDITED("1.2.3", "9", edit("PID-3.4.2", "9"));
	EDITED("~456", "~9", edit("PID-3(2)", "9"));
	EDITED("123^^^CHU&1.2.3^PI~", "9~", edit("PID-3(1)", "9"));
	EDITED("|1||123", "|1|X|123", edit("PID-2", "X"));
	EDITED("JEAN|||||", "JEAN|||||X", edit("PID-10", "X"));
	EDITED("JEAN|||||", "JEAN||||||X", edit("PID-11", "X"));
	EDITED("PV1", "PV1||X", edit("PV1-2", "X"));
	EDITED("PID|2", "PID|2|||~^&X", edit("PID(2)-4(2).2.2", "X"));
	EDITED("PID|2", "PID|X", edit("(5)-1", "X"));
	EDITED("|LIS|", "|X^1&2|", edit("MSH-3", "X^1&2"));
	EDITED("2.5||", "2.5||||X", edit("MSH-16", "X"));
	EDITED("DUPONT^JEAN", "", edit("PID-5", ""));
	EDITED("^PI~", "^~", edit("PID-3.5", ""));
}

static void
test_several(void **state)
{
	(void)state;
	EDITED("|2025||ORU^R01|M1|", "|2026|s|ORU^R02|M2|", edit("MSH-10", "M2"), edit("MSH-9.2", "R02"),
	    edit("MSH-7", "2026"), edit("MSH-8", "s"));
	/* In the order given: the second sees what the first made. */
	EDITED("DUPONT^JEAN", "A^B", edit("PID-5", "A^X"), edit("PID-5.2", "B"));
	EDITED("DUPONT^JEAN", "A^X", edit("PID-5.2", "B"), edit("PID-5", "A^X"));
	EDITED("PV1", "PV1||a||b", edit("PV1-4", "b"), edit("PV1-2", "a"));
	EDITED("PID|2", "PID|2|||^c", edit("PID(2)-4.2", "c"), edit("PID(2)-2", ""));
	/* What is not there stays away when nothing is put into it. */
	EDITED("PV1", "PV1", edit("PV1-2", ""), edit("PV1-3.4", ""));
	EDITED("PV1", "PV1", edit("PV1-2", "a"), edit("PV1-2", ""));
}

static void
test_refused(void **state)
{
	static const struct {
		const char *path;
		const char *value;
		enum hl7_write_outcome outcome;
	} rows[] = {
		{ "PV2-1", "X", HL7_WRITE_NO_SEGMENT },
		{ "PID(3)-1", "X", HL7_WRITE_NO_SEGMENT },
		{ "(9)-1", "X", HL7_WRITE_NO_SEGMENT },
		{ "PID", "X", HL7_WRITE_BAD_PLACE },
		{ "MSH-1", "#", HL7_WRITE_BAD_PLACE },
		{ "MSH-2", "^~\\&", HL7_WRITE_BAD_PLACE },
		{ "(1)-2", "^~\\&", HL7_WRITE_BAD_PLACE },
		{ "PID-4097", "X", HL7_WRITE_BAD_PLACE },
		{ "PID-3(4097)", "X", HL7_WRITE_BAD_PLACE },
		{ "PID-3.1.4097", "X", HL7_WRITE_BAD_PLACE },
		{ "PID-5", "a|b", HL7_WRITE_BAD_VALUE },
		{ "PID-5(1)", "a~b", HL7_WRITE_BAD_VALUE },
		{ "PID-5.1", "a^b", HL7_WRITE_BAD_VALUE },
		{ "PID-5.1", "a~b", HL7_WRITE_BAD_VALUE },
		{ "PID-5.1.1", "a&b", HL7_WRITE_BAD_VALUE },
		{ "PID-5", "a\rb", HL7_WRITE_BAD_VALUE },
		{ "PID-5", "a\nb", HL7_WRITE_BAD_VALUE },
		{ "PID-5", "a\x0b", HL7_WRITE_BAD_VALUE },
		{ "PID-5", "a\x1c", HL7_WRITE_BAD_VALUE },
	};
	struct buffer out;

	(void)state;
	buffer_init(&out, CEILING);
	buffer_append_str(&out, "before");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct hl7_edit list[] = { edit("PID-5", "good"), edit(rows[i].path, rows[i].value) };
		size_t bad = 99;

		assert_int_equal(write_text(span_str(message), 0, list, 2, &out, &bad), rows[i].outcome);
		assert_int_equal(bad, 1);
		assert_true(span_eq_str(buffer_span(&out), "before"));
	}
	buffer_fini(&out);
}

/* Lenient messages keep their own ends. */
static void
test_ends_stay(void **state)
{
	const struct hl7_edit list[] = { edit("PID-1", "X") };
	const unsigned leniencies = HL7_LENIENT_LF | HL7_LENIENT_NO_FINAL_CR;
	struct buffer out;

	(void)state;
	buffer_init(&out, CEILING);
	assert_int_equal(
	    write_text(span_str("MSH|^~\\&|A\r\n\n\rPID|1\nOBX|a\nb"), leniencies, list, 1, &out, NULL), 0);
	assert_true(span_eq_str(buffer_span(&out), "MSH|^~\\&|A\r\n\n\rPID|X\nOBX|a\nb"));
	buffer_fini(&out);
}

static void
random_path(struct hl7_path *p)
{
	static const char *const names[] = { "MSH", "PID", "PV1", "OBX" };

	*p = (struct hl7_path){ .occurrence = 1 };
	memcpy(p->name, names[rand() % 4], 4);
	if (memcmp(p->name, "PID", 3) == 0)
		p->occurrence = 1 + (uint32_t)(rand() % 2);
	p->field = 3 + (uint32_t)(rand() % 6);
	p->repetition = (uint32_t)(rand() % 3);
	p->component = (uint32_t)(rand() % 4);
	p->subcomponent = p->component ? (uint32_t)(rand() % 3) : 0;
}

/* True when an edit at ${a} may change what ${b} reads. */
static bool
touches(const struct hl7_path *a, const struct hl7_path *b)
{
	return memcmp(a->name, b->name, 4) == 0 && a->occurrence == b->occurrence && a->field == b->field;
}

/* Random places and values: set and then got is the same; every other field reads as before; setting back restores it. */
static void
test_set_then_get(void **state)
{
	static const char *const values[] = { "X", "\\T\\", "\"\"", "long value with blanks", "\xc3\xa9" };
	struct buffer out;
	struct arena a;

	(void)state;
	srand(11);
	buffer_init(&out, CEILING);
	arena_init(&a, CEILING);
	for (int round = 0; round < 5000; round++) {
		struct hl7_message before, after;
		struct hl7_edit one = { .value = span_str(values[rand() % 5]) };
		struct hl7_path other;
		struct fault f;

		random_path(&one.path);
		random_path(&other);
		buffer_reset(&out);
		arena_reset(&a);
		assert_int_equal(hl7_parse(&before, span_str(message), 0, &a, &f), HL7_OK);
		assert_int_equal(hl7_write(&out, &before, &one, 1, &a, NULL), HL7_WRITE_OK);
		assert_int_equal(hl7_parse(&after, buffer_span(&out), 0, &a, &f), HL7_OK);
		assert_int_equal(after.count, before.count);
		assert_true(span_eq(hl7_path_get(&after, &one.path), one.value));
		/* A field that was not there may now be there and empty. */
		if (!touches(&one.path, &other))
			assert_true(span_eq(hl7_path_get(&after, &other), hl7_path_get(&before, &other)));
		for (size_t s = 0; s < before.count; s++)
			if (memcmp(before.segments[s].name, one.path.name, 3) != 0)
				assert_true(
				    span_eq(hl7_segment_span(&before, s), hl7_segment_span(&after, s)));
	}
	arena_fini(&a);
	buffer_fini(&out);
}

static void
test_memory_fails(void **state)
{
	const struct hl7_edit list[] = { edit("PID-3(2).4", "X"), edit("PID-5.1", "Y"), edit("OBX-9", "Z") };
	bool never_asked = false;

	(void)state;
	for (size_t n = 1; !never_asked; n++) {
		enum hl7_write_outcome outcome;
		struct hl7_message m;
		struct arena a, scratch;
		struct buffer out;
		struct fault f;

		arena_init(&a, CEILING);
		arena_init(&scratch, CEILING);
		buffer_init(&out, CEILING);
		assert_int_equal(hl7_parse(&m, span_str(message), 0, &a, &f), HL7_OK);
		failmalloc_at(n);
		outcome = hl7_write(&out, &m, list, 3, &scratch, NULL);
		never_asked = failmalloc_off();
		assert_int_equal(outcome, never_asked ? HL7_WRITE_OK : HL7_WRITE_MEMORY);
		if (!never_asked)
			assert_int_equal(out.len, 0);
		buffer_fini(&out);
		arena_fini(&scratch);
		arena_fini(&a);
	}
}

/* Ceilings are told as memory, and nothing half written stays. */
static void
test_ceilings(void **state)
{
	const struct hl7_edit list[] = { edit("PID-3.1", "X") };
	struct hl7_message m;
	struct arena a, small;
	struct buffer out;
	struct fault f;

	(void)state;
	arena_init(&a, CEILING);
	arena_init(&small, 16);
	buffer_init(&out, sizeof(message) / 2);
	assert_int_equal(hl7_parse(&m, span_str(message), 0, &a, &f), HL7_OK);
	assert_int_equal(hl7_write(&out, &m, list, 1, &a, NULL), HL7_WRITE_MEMORY);
	assert_int_equal(out.len, 0);
	buffer_reset(&out);
	assert_int_equal(hl7_write(&out, &m, list, 1, &small, NULL), HL7_WRITE_MEMORY);
	buffer_fini(&out);
	arena_fini(&small);
	arena_fini(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_several),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_ends_stay),
		cmocka_unit_test(test_set_then_get),
		cmocka_unit_test(test_memory_fails),
		cmocka_unit_test(test_ceilings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
