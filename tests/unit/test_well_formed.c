/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Documents of a message read for well-formedness: which are read, what is found and where, what follows from it by the peer's setting, and
 * that memory is bounded and its want a circumstance.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/content/content.h"
#include "codecs/base64.h"
#include "tests/unit/failmalloc.h"

#define MSH "MSH|^~\\&|LIS|LABO|PFI|CHU|20260101||ORU^R01^ORU_R01|42|T|2.5\rOBX|1|CE|X||N\r"

static const struct config_establishment chu = { .name = "chu", .mode = MODE_TEST };
static struct config_peer lab = {
	.name = "lab", .establishment = &chu, .processing = PROCESSING_P | PROCESSING_T | PROCESSING_D
};

static struct buffer message;
static struct arena arena;
static struct content content;

static int
begin(void **state)
{
	(void)state;
	lab.well_formed = WELL_FORMED_WARN;
	buffer_init(&message, (size_t)64 << 20);
	buffer_append_str(&message, MSH);
	arena_init(&arena, 1 << 20);
	return 0;
}

static int
end(void **state)
{
	(void)state;
	buffer_fini(&message);
	arena_fini(&arena);
	return 0;
}

/* One more OBX: ${head} is OBX-5.2 to 5.4 with its separators, ${data} as it stands. */
static void
add_raw(const char *head, struct span data)
{
	buffer_append_str(&message, "OBX|2|ED|11502-2^CR^LN||^");
	buffer_append_str(&message, head);
	buffer_append_str(&message, "^");
	buffer_append_span(&message, data);
	buffer_append_str(&message, "||||||F\r");
}

static void
add(const char *head, struct span document)
{
	struct buffer text;

	buffer_init(&text, base64_encoded_size(document.len) + 1);
	base64_encode(document, &text);
	add_raw(head, buffer_span(&text));
	buffer_fini(&text);
}

static void
judge(void)
{
	content_judge(buffer_span(&message), &lab, "hl7", &arena, &content);
	if (content.unread)
		content_read_documents(buffer_span(&message), &lab, &arena, &content);
}

static void
assert_form(size_t i, const char *wanted)
{
	struct span form = content.facts.documents[i].form;

	if (!span_eq_str(form, wanted))
		fail_msg("document %zu: %.*s, not %s", i + 1, (int)form.len, (const char *)form.ptr, wanted);
}

static void
which_documents_are_read(void **state)
{
	(void)state;
	add("TEXT^XML^Base64", span_str("<a/>"));
	add("text^xml^BASE64", span_str("<?xml version='1.0' encoding='ISO-8859-1'?><a>\xe9</a>"));
	add("application^hl7-sda+xml^Base64", span_str("<a/>"));
	add("TEXT^x-hl7-cda-level-one^Base64", span_str("<a/>"));
	add("TEXT^^Base64", span_str("not XML, and nobody says so"));
	add("Application^PDF^Base64", span_str("%PDF"));
	add_raw("TEXT^XML^A", span_str("<a>"));
	add_raw("TEXT^XML^Hex", span_str("3c61"));
	judge();
	assert_int_equal(content.fault.code, FAULT_NONE);
	assert_null(content.finding);
	assert_int_equal(content.facts.document_count, 8);
	for (size_t i = 0; i < 8; i++)
		assert_form(i, i < 4 ? "well-formed" : "");
}

static void
the_first_finding_is_told(void **state)
{
	(void)state;
	add("TEXT^XML^Base64", span_str("<a/>"));
	add("TEXT^XML^Base64", span_str("Document medical au format CDA niveau 1"));
	add("TEXT^XML^Base64", span_str("<!DOCTYPE a><a/>"));
	judge();
	assert_int_equal(content.fault.code, FAULT_NONE);
	assert_non_null(content.finding);
	assert_int_equal(content.finding->code, FAULT_DATA_TYPE);
	assert_string_equal(content.finding->path, "OBX(3)-5.5");
	assert_string_equal(content.finding->message,
	    "The XML document cannot be read. It is empty, or does not begin with a tag. (line 1, column 1)");
	assert_form(0, "well-formed");
	assert_form(1, "malformed");
	assert_form(2, "doctype");
}

static void
a_peer_may_be_refused(void **state)
{
	(void)state;
	lab.well_formed = WELL_FORMED_REFUSE;
	add("TEXT^XML^Base64", span_str("<a>"));
	judge();
	assert_null(content.finding);
	assert_int_equal(content.fault.code, FAULT_DATA_TYPE);
	assert_int_equal(fault_hl7_code(content.fault.code), 102);
	assert_string_equal(content.fault.path, "OBX(2)-5.5");
	assert_false(fault_is_circumstance(content.fault.code));
}

static void
a_peer_may_be_left_alone(void **state)
{
	(void)state;
	lab.well_formed = WELL_FORMED_OFF;
	add("TEXT^XML^Base64", span_str("<a>"));
	judge();
	assert_int_equal(content.fault.code, FAULT_NONE);
	assert_null(content.finding);
	assert_form(0, "");
}

/* What base64 has too little or too much of is passed over as it is when the document is given out. */
static void
base64_is_read_as_it_is_given_out(void **state)
{
	(void)state;
	add_raw("TEXT^XML^Base64", span_str("PGEvPg"));		   /* "<a/>", no padding */
	add_raw("TEXT^XML^Base64", span_str("PGEvPiA=="));	   /* one '=' too many */
	add_raw("TEXT^XML^Base64", span_str("PGEvPgoK="));	   /* the same behind a whole group */
	add_raw("TEXT^XML^Base64", span_str("PGEv PgoK"));	   /* a blank */
	add_raw("TEXT^XML^Base64", span_str("PGEv\\X0D0A\\Pg==")); /* a line end as an HL7 escape */
	add_raw("TEXT^XML^Base64", span_str("PGEvPgoKP"));	   /* cut: a character that is no byte */
	add_raw("TEXT^XML^Base64", span_str("PGEvPg%0A"));	   /* none */
	add_raw("TEXT^XML^Base64", span_str(""));
	judge();
	for (size_t i = 0; i < 6; i++)
		assert_form(i, "well-formed");
	assert_form(6, "not-base64");
	assert_form(7, "malformed");
	assert_non_null(content.finding);
	assert_string_equal(content.finding->path, "OBX(8)-5.5");
}

/* Larger than any piece; cut everywhere around the pieces' borders by a text in front that grows. */
static void
long_documents(void **state)
{
	struct buffer document;

	(void)state;
	for (size_t shift = 0; shift < 64; shift++) {
		end(state);
		begin(state);
		buffer_init(&document, 1 << 20);
		buffer_append_str(&document, "<a>");
		for (size_t i = 0; i < shift; i++)
			buffer_append_byte(&document, 'x');
		for (unsigned i = 0; i < 2000; i++)
			buffer_printf(&document, "<b c=\"%u\">\xc3\xa9t\xc3\xa9 &amp; ]]</b>\r\n", i);
		buffer_append_str(&document, shift % 2 ? "</a>" : "</b>");
		add("TEXT^XML^Base64", buffer_span(&document));
		judge();
		assert_form(0, shift % 2 ? "well-formed" : "malformed");
		buffer_fini(&document);
	}
}

/* Names and values as large as they may be stay within the budget; what breaks our bounds is a finding, not want of memory. */
static void
memory_is_bounded(void **state)
{
	struct buffer document;

	(void)state;
	buffer_init(&document, (size_t)32 << 20);
	buffer_append_str(&document, "<a b='&amp;");
	for (unsigned i = 0; i < 1000000; i++)
		buffer_append_byte(&document, i % 70 ? 'x' : '\n');
	buffer_append_str(&document, "'/>");
	add("TEXT^XML^Base64", buffer_span(&document));
	buffer_reset(&document);
	buffer_append_str(&document, "<a>");
	for (unsigned i = 0; i < 500000; i++)
		buffer_printf(&document, "<x%u/>", i);
	add("TEXT^XML^Base64", buffer_span(&document));
	add("TEXT^XML^Base64", span_str("<a/>"));
	buffer_fini(&document);
	judge();
	assert_form(0, "well-formed");
	assert_form(1, "too-many-names");
	assert_form(2, "well-formed");
	assert_int_equal(content.fault.code, FAULT_NONE);
}

/*
 * The nth allocation fails, those inside libxml2 too: the message is judged as always, or it is a circumstance; never a finding that is not there. On
 * a thread of its own each time, so that the reader is new.
 */
static bool all_tried;

static void *
judge_short_of_memory(void *arg)
{
	size_t n = *(size_t *)arg;

	failmalloc_at(n);
	judge();
	all_tried = failmalloc_off();
	return NULL;
}

static void
want_of_memory_is_a_circumstance(void **state)
{
	unsigned later = 0;

	lab.well_formed = WELL_FORMED_REFUSE;
	(void)state;
	for (size_t n = 1; !all_tried; n++) {
		pthread_t thread;

		end(state);
		begin(state);
		lab.well_formed = WELL_FORMED_REFUSE;
		add("TEXT^XML^Base64", span_str("<?xml version='1.0' encoding='ISO-8859-1'?><a "
						"b='&lt;\xe9'><c xmlns:d='e' d:f=''>x</c></a>"));
		assert_int_equal(pthread_create(&thread, NULL, judge_short_of_memory, &n), 0);
		assert_int_equal(pthread_join(thread, NULL), 0);
		if (content.fault.code == FAULT_NONE) {
			assert_form(0, "well-formed");
		} else {
			assert_true(
			    fault_is_circumstance(content.fault.code) || content.fault.code == FAULT_MEMORY);
			later++;
		}
	}
	assert_int_equal(content.fault.code, FAULT_NONE);
	assert_true(later > 10);
	print_message("%u allocations failed, each in turn\n", later);
}

#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(which_documents_are_read),
		T(the_first_finding_is_told),
		T(a_peer_may_be_refused),
		T(a_peer_may_be_left_alone),
		T(base64_is_read_as_it_is_given_out),
		T(long_documents),
		T(memory_is_bounded),
		T(want_of_memory_is_a_circumstance),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
