/* SPDX-License-Identifier: Apache-2.0 */
/*
 * XML: the document in one piece, in two, and byte by byte (so that the scanner skips nothing) is read alike, and a reader used before reads
 * like a new one. What the reader takes libxml2 takes when it pulls the whole by itself, and what the reader calls malformed so does libxml2.
 * Input: a byte that says where to split, the document.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <libxml/parser.h>
#include <libxml/parserInternals.h>

#include "codecs/xml.h"

#define HEARD_MAX ((size_t)16 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct xml_reader *kept;

static void
hear_start(void *arg, const struct xml_element *element)
{
	buffer_append_byte(arg, '<');
	buffer_append_span(arg, element->uri);
	buffer_append_span(arg, element->local);
	for (size_t i = 0; i < element->attribute_count; i++) {
		struct xml_attribute a = xml_attribute_at(element, i);

		buffer_append_span(arg, a.local);
		buffer_append_span(arg, a.value);
	}
}

static void
hear_end(void *arg)
{
	buffer_append_byte(arg, '>');
}

static void
hear_text(void *arg, struct span text)
{
	buffer_append_span(arg, text);
}

static const struct xml_handler handler = { .start = hear_start, .end = hear_end, .text = hear_text };

static enum xml_verdict
read_in(struct xml_reader *r, struct span document, size_t first, size_t piece, struct buffer *heard)
{
	buffer_reset(heard);
	xml_reader_begin(r, &handler, heard);
	(void)xml_reader_push(r, span_cut(document, 0, first));
	for (size_t at = first; at < document.len; at += piece)
		(void)xml_reader_push(r, span_cut(document, at, at + piece));
	return xml_reader_end(r);
}

static void
say_nothing(void *arg, xmlErrorPtr error)
{
	(void)arg;
	(void)error;
}

/* Whether libxml2 by itself finds ${document} well-formed, namespaces included; what it would load, it may not. */
static bool
is_well_formed(struct span document)
{
	xmlParserCtxtPtr parser = xmlCreateMemoryParserCtxt((const char *)document.ptr, (int)document.len);
	bool well;

	if (!parser)
		return false;
	parser->sax->serror = say_nothing;
	(void)xmlCtxtUseOptions(parser, XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
	well = xmlParseDocument(parser) == 0 && parser->wellFormed && parser->nsWellFormed;
	if (parser->myDoc)
		xmlFreeDoc(parser->myDoc);
	xmlFreeParserCtxt(parser);
	return well;
}

static void
check_against_libxml2(struct span document, enum xml_verdict verdict)
{
	bool well;

	if (verdict == XML_HAS_DOCTYPE)
		return;
	well = is_well_formed(document);
	if (verdict == XML_WELL_FORMED && !well)
		abort();
	/* Behind a NUL libxml2 sees nothing. */
	if (well && (verdict == XML_MALFORMED || verdict == XML_BAD_NAMESPACE) &&
	    !memchr(document.ptr, 0, document.len))
		abort();
}

static void
check_cut(struct xml_reader *r, struct span document, size_t first, size_t piece, bool well,
    const struct buffer *whole)
{
	struct buffer heard;

	buffer_init(&heard, HEARD_MAX);
	if ((read_in(r, document, first, piece, &heard) == XML_WELL_FORMED) != well)
		abort();
	if (well && !span_eq(buffer_span(&heard), buffer_span(whole)))
		abort();
	buffer_fini(&heard);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct xml_reader *fresh;
	struct buffer whole;
	struct span document;
	enum xml_verdict verdict;
	bool well;

	if (size < 2)
		return 0;
	if (!kept) {
		xmlSetStructuredErrorFunc(NULL, say_nothing);
		kept = xml_reader_new();
	}
	fresh = xml_reader_new();
	if (!kept || !fresh)
		abort();
	document = span_make(data + 1, size - 1);
	buffer_init(&whole, HEARD_MAX);
	verdict = read_in(kept, document, document.len, 1, &whole);
	well = verdict == XML_WELL_FORMED;
	if (well != (xml_reader_fault(kept)->code == FAULT_NONE))
		abort();
	check_cut(fresh, document, data[0] * document.len / 256, document.len, well, &whole);
	if (document.len < 2048)
		check_cut(fresh, document, 0, 1, well, &whole);
	check_against_libxml2(document, verdict);
	xml_reader_free(fresh);
	buffer_fini(&whole);
	return 0;
}
