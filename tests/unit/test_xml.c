/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading XML: every file of tests/vectors/xml has its verdict, cut anywhere; what the caller is told; the limits, from both sides; what a
 * document leaves behind for the next one (nothing); and attacks, which are refused within a bound of processor time.
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "codecs/xml.h"
#include "tests/unit/failmalloc.h"

#define VECTORS	    SOURCE_ROOT "/tests/vectors/xml/"
#define VECTORS_MIN 90
#define FILE_ROOM   65536u
#define HANG_S	    20.0 /* a bound on hangs, under sanitizers on a busy machine; refusals take microseconds */

static double
processor_s(void)
{
	struct timespec t;

	assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t), 0);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static size_t
read_file(const char *name, uint8_t room[static FILE_ROOM])
{
	char path[512];
	FILE *file;
	size_t len;

	(void)snprintf(path, sizeof(path), VECTORS "%s", name);
	file = fopen(path, "rb");
	assert_non_null(file);
	len = fread(room, 1, FILE_ROOM, file);
	(void)fclose(file);
	assert_true(len < FILE_ROOM);
	return len;
}

/* In pieces of ${piece} bytes, the first one of ${first}. */
static enum xml_verdict
read_cut(struct xml_reader *r, struct span document, size_t first, size_t piece)
{
	xml_reader_begin(r, NULL, NULL);
	(void)xml_reader_push(r, span_cut(document, 0, first));
	for (size_t at = first; at < document.len; at += piece)
		(void)xml_reader_push(r, span_cut(document, at, at + piece));
	return xml_reader_end(r);
}

static enum xml_verdict
read_whole(struct xml_reader *r, struct span document)
{
	return read_cut(r, document, document.len, 1);
}

static void
check_vector(struct xml_reader *r, const char *name, const char *wanted, struct span document)
{
	enum xml_verdict verdict = read_whole(r, document);
	const struct fault *fault = xml_reader_fault(r);

	if (strcmp(xml_verdict_name(verdict), wanted) != 0)
		fail_msg("%s: %s, not %s", name, xml_verdict_name(verdict), wanted);
	assert_int_equal(verdict == XML_WELL_FORMED, name[0] == 'y');
	assert_int_equal(verdict == XML_WELL_FORMED, fault->code == FAULT_NONE);
	assert_int_equal(fault->value.len, 0);
	for (size_t at = 0; at <= document.len; at++)
		if (read_cut(r, document, at, document.len) != verdict)
			fail_msg("%s: cut at %zu: %s", name, at,
			    xml_verdict_name(read_cut(r, document, at, document.len)));
	for (size_t piece = 1; piece < 9; piece++)
		if (read_cut(r, document, 0, piece) != verdict)
			fail_msg("%s: in pieces of %zu", name, piece);
}

static void
test_vectors(void **state)
{
	static uint8_t room[FILE_ROOM];
	struct xml_reader *r = xml_reader_new();
	FILE *table = fopen(VECTORS "verdicts.tsv", "r");
	char line[256], name[128], verdict[64];
	unsigned count = 0, files = 0;
	DIR *folder = opendir(VECTORS);

	(void)state;
	assert_non_null(r);
	assert_non_null(table);
	assert_non_null(folder);
	while (fgets(line, sizeof(line), table)) {
		if (line[0] == '#')
			continue;
		assert_int_equal(sscanf(line, "%127[^\t]\t%63[^\n]", name, verdict), 2);
		check_vector(r, name, verdict, span_make(room, read_file(name, room)));
		count++;
	}
	for (struct dirent *one; (one = readdir(folder));)
		files += strstr(one->d_name, ".xml") != NULL;
	(void)closedir(folder);
	(void)fclose(table);
	xml_reader_free(r);
	assert_int_equal(count, files);
	assert_true(count >= VECTORS_MIN);
	print_message("%u documents, each cut everywhere\n", count);
}

/* What a caller hears, written down. */
static void
note(struct buffer *to, const char *format, struct span a, struct span b, struct span c)
{
	buffer_printf(to, format, (int)a.len, (const char *)a.ptr, (int)b.len, (const char *)b.ptr,
	    (int)c.len, (const char *)c.ptr);
}

static void
hear_start(void *arg, const struct xml_element *element)
{
	note(arg, "<%.*s|%.*s|%.*s", element->prefix, element->uri, element->local);
	for (size_t i = 0; i < element->attribute_count; i++) {
		struct xml_attribute a = xml_attribute_at(element, i);

		note(arg, " %.*s:%.*s=%.*s", a.prefix, a.local, a.value);
	}
	buffer_append_str(arg, ">");
}

static void
hear_end(void *arg)
{
	buffer_append_str(arg, "</>");
}

static void
hear_text(void *arg, struct span text)
{
	buffer_append_span(arg, text);
}

static void
test_what_is_heard(void **state)
{
	static const struct xml_handler handler = { .start = hear_start, .end = hear_end, .text = hear_text };
	static const char document[] =
	    "<?xml version='1.0' encoding='ISO-8859-15'?><!-- c --><a xmlns='urn:a' b='1&amp;2'>"
	    "x\xa4<x:d xmlns:x='urn:x' x:e=' \t'/><![CDATA[<]]>&gt;<?p i?></a>";
	static const char wanted[] = "<|urn:a|a :b=1&2>x\xe2\x82\xac<x|urn:x|d x:e=  ></><></>";
	struct xml_reader *r = xml_reader_new();
	struct span span = span_make(document, sizeof(document) - 1);
	struct buffer heard;

	(void)state;
	assert_non_null(r);
	buffer_init(&heard, 4096);
	for (size_t at = 0; at <= span.len; at++) {
		buffer_reset(&heard);
		xml_reader_begin(r, &handler, &heard);
		(void)xml_reader_push(r, span_cut(span, 0, at));
		(void)xml_reader_push(r, span_cut(span, at, span.len));
		assert_int_equal(xml_reader_end(r), XML_WELL_FORMED);
		if (!span_eq_str(buffer_span(&heard), wanted))
			fail_msg("cut at %zu: %.*s", at, (int)heard.len, (const char *)heard.data);
	}
	buffer_fini(&heard);
	xml_reader_free(r);
}

/* ${before}, then ${count} times ${part}, then ${after}. */
static enum xml_verdict
read_many(struct xml_reader *r, const char *before, size_t count, const char *part, const char *after)
{
	struct buffer run;
	size_t each = strlen(part);

	buffer_init(&run, 64 << 10);
	while (run.len + each <= (64 << 10) / 2)
		buffer_append(&run, part, each);
	xml_reader_begin(r, NULL, NULL);
	(void)xml_reader_push(r, span_str(before));
	while (count && xml_reader_push(r, SPAN_EMPTY) == XML_WELL_FORMED) {
		size_t now = count < run.len / each ? count : run.len / each;

		(void)xml_reader_push(r, span_make(run.data, now * each));
		count -= now;
	}
	buffer_fini(&run);
	(void)xml_reader_push(r, span_str(after));
	return xml_reader_end(r);
}

static void
test_limits(void **state)
{
	struct xml_reader *r = xml_reader_new();
	struct buffer attributes;

	(void)state;
	assert_non_null(r);
	/* depth: the root and 255 inside it, and one more */
	assert_int_equal(read_many(r, "", XML_DEPTH_MAX + 1, "<a>", ""), XML_TOO_DEEP);
	assert_int_equal(read_many(r, "", XML_DEPTH_MAX, "<a>", ""), XML_MALFORMED);
	/* a token's length: "<!--" and "-->" belong to it */
	assert_int_equal(read_many(r, "<a><!--", XML_TOKEN_MAX - 7, "x", "--></a>"), XML_WELL_FORMED);
	assert_int_equal(read_many(r, "<a><!--", XML_TOKEN_MAX - 6, "x", "--></a>"), XML_TOO_LONG);
	assert_int_equal(read_many(r, "<a><![CDATA[", XML_TOKEN_MAX - 11, "x", "]]></a>"), XML_TOO_LONG);
	assert_int_equal(read_many(r, "<a b='", XML_TOKEN_MAX - 9, "x", "'/>"), XML_WELL_FORMED);
	assert_int_equal(read_many(r, "<a b='", XML_TOKEN_MAX - 8, "x", "'/>"), XML_TOO_LONG);
	/* attributes, namespaces among them */
	for (unsigned count = XML_ATTRIBUTES_MAX - 1; count <= XML_ATTRIBUTES_MAX; count++) {
		buffer_init(&attributes, 1 << 16);
		buffer_append_str(&attributes, "<a xmlns:x='u'");
		for (unsigned i = 0; i < count; i++)
			buffer_printf(&attributes, " a%u=''", i);
		buffer_append_str(&attributes, "/>");
		assert_int_equal(read_whole(r, buffer_span(&attributes)),
		    count < XML_ATTRIBUTES_MAX ? XML_WELL_FORMED : XML_TOO_MANY);
		buffer_fini(&attributes);
	}
	/* distinct names */
	buffer_init(&attributes, (size_t)16 << 20);
	buffer_append_str(&attributes, "<a>");
	for (unsigned i = 0; i < 400000; i++)
		buffer_printf(&attributes, "<n%u-name/>", i);
	buffer_append_str(&attributes, "</a>");
	assert_int_equal(read_whole(r, buffer_span(&attributes)), XML_TOO_VARIED);
	buffer_fini(&attributes);
	/* text has no limit: an embedded PDF is one text */
	assert_int_equal(read_many(r, "<a>", (size_t)16 << 20, "x", "</a>"), XML_WELL_FORMED);
	xml_reader_free(r);
}

static void
test_attacks(void **state)
{
	struct xml_reader *r = xml_reader_new();
	double before = processor_s();

	(void)state;
	assert_non_null(r);
	assert_int_equal(read_many(r, "<a><!--", (size_t)32 << 20, "x", "--></a>"), XML_TOO_LONG);
	assert_int_equal(read_many(r, "<a><?p ", (size_t)32 << 20, "?", "?></a>"), XML_TOO_LONG);
	assert_int_equal(read_many(r, "<a><![CDATA[", (size_t)32 << 20, "]", "]]></a>"), XML_TOO_LONG);
	assert_int_equal(read_many(r, "<a b='", (size_t)32 << 20, ">", "'/>"), XML_TOO_LONG);
	assert_int_equal(read_many(r, "<a ", 1000000, "a=''", "/>"), XML_TOO_MANY);
	assert_int_equal(read_many(r, "<a>", (size_t)8 << 20, "<a", ""), XML_TOO_LONG);
	assert_int_equal(read_many(r, "<a>&", (size_t)32 << 20, "a", ";</a>"), XML_TOO_LONG);
	assert_int_equal(read_many(r, "", 100000, "<a>", ""), XML_TOO_DEEP);
	assert_int_equal(read_many(r, "<a>", (size_t)4 << 20, "]", "></a>"), XML_MALFORMED);
	assert_true(processor_s() - before < HANG_S);
	xml_reader_free(r);
}

/* What libxml2 holds by itself, and our answers to what it calls, when no scanner stands before it. */
static void
test_without_the_scanner(void **state)
{
	static const char *const doctypes[] = { "n_doctype.xml", "n_laughs.xml", "n_parameter_entity.xml",
		"n_xxe.xml", "n_xxe_http.xml" };
	static uint8_t room[FILE_ROOM];
	struct xml_reader *r = xml_reader_new();

	(void)state;
	assert_non_null(r);
	xml_reader_bypass(r);
	for (size_t i = 0; i < sizeof(doctypes) / sizeof(doctypes[0]); i++)
		assert_int_equal(
		    read_whole(r, span_make(room, read_file(doctypes[i], room))), XML_HAS_DOCTYPE);
	assert_int_equal(read_many(r, "", 100000, "<a>", ""), XML_TOO_DEEP);
	assert_int_not_equal(read_whole(r, span_make("<a>\0</a>", 8)), XML_WELL_FORMED);
	assert_int_equal(read_whole(r, span_str("<a/>")), XML_WELL_FORMED);
	xml_reader_free(r);
}

/* Namespaces, depth and faults of one document are not the next one's. */
static void
test_one_after_another(void **state)
{
	struct xml_reader *r = xml_reader_new();

	(void)state;
	assert_non_null(r);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(read_whole(r, span_str("<a xmlns:x='u'><x:b>")), XML_MALFORMED);
		assert_int_equal(read_whole(r, span_str("<x:a/>")), XML_BAD_NAMESPACE);
		assert_int_equal(xml_reader_fault(r)->code, FAULT_DATA_TYPE);
		assert_int_equal(read_whole(r, span_str("<a/>")), XML_WELL_FORMED);
		assert_int_equal(xml_reader_fault(r)->code, FAULT_NONE);
		xml_reader_begin(r, NULL, NULL); /* begun and left */
		(void)xml_reader_push(r, span_str("<a xmlns:x='u'><b><c"));
		assert_int_equal(read_whole(r, span_str("<x:a/>")), XML_BAD_NAMESPACE);
	}
	xml_reader_free(r);
}

/* Each document brings names of its own: they are not kept for ever. */
static void
test_names_are_forgotten(void **state)
{
	struct xml_reader *r = xml_reader_new();
	struct buffer document;

	(void)state;
	assert_non_null(r);
	buffer_init(&document, 1 << 20);
	for (unsigned turn = 0; turn < 40; turn++) {
		buffer_reset(&document);
		buffer_append_str(&document, "<a>");
		for (unsigned i = 0; i < 2000; i++)
			buffer_printf(&document, "<a-name-that-is-found-nowhere-else-%u-%u/>", turn, i);
		buffer_append_str(&document, "</a>");
		assert_int_equal(read_whole(r, buffer_span(&document)), XML_WELL_FORMED);
		assert_true(xml_reader_names(r) <= XML_NAMES_KEPT_MOST + 2000);
	}
	buffer_fini(&document);
	xml_reader_free(r);
}

static void
test_where(void **state)
{
	struct xml_reader *r = xml_reader_new();
	const struct fault *fault;

	(void)state;
	assert_non_null(r);
	fault = xml_reader_fault(r);
	(void)read_whole(r, span_str("<a>\n<secret>\n</other></a>"));
	assert_string_equal(fault->message, "An end tag does not match its start tag. (line 3, column 9)");
	(void)read_whole(r, span_str("<a>\n<!DOCTYPE secret></a>"));
	assert_int_equal(fault->offset, 4);
	assert_string_equal(
	    fault->message, "It has a document type declaration, which no CDA needs: none is read. (byte 4)");
	(void)read_whole(r, span_str("<?xml version='1.0' encoding='secret'?><a/>"));
	assert_null(strstr(fault->message, "secret"));
	xml_reader_free(r);
}

/* The nth allocation of ours fails: a verdict or no reader, never more. */
static void
test_memory(void **state)
{
	static const char document[] = "<?xml version='1.0' encoding='ISO-8859-1'?><a>\xe9</a>";

	(void)state;
	for (size_t n = 1;; n++) {
		struct xml_reader *r;
		enum xml_verdict verdict = XML_WELL_FORMED;
		bool all;

		failmalloc_at(n);
		r = xml_reader_new();
		if (r)
			verdict = read_whole(r, span_str(document));
		all = failmalloc_off();
		assert_true(all ? r && verdict == XML_WELL_FORMED : !r || verdict == XML_NO_MEMORY);
		xml_reader_free(r);
		if (all)
			break;
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_what_is_heard),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_attacks),
		cmocka_unit_test(test_without_the_scanner),
		cmocka_unit_test(test_one_after_another),
		cmocka_unit_test(test_names_are_forgotten),
		cmocka_unit_test(test_where),
		cmocka_unit_test(test_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
