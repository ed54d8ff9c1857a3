/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parser is given whole tokens only: what is open at the end of a piece stays in the room until its end has come. So it never looks for the
 * end of a token twice, and where a document was cut makes no difference to it. For the same reason "]]" and the begin of a
 * character are held back: of "]]>" in text, cut in two, libxml2 notices nothing.
 */
#include "codecs/xml.h"

#include <stdlib.h>

#include <libxml/SAX2.h>
#include <libxml/parser.h>
#include <libxml/parserInternals.h>

#include "codecs/charset.h"
#include "codecs/xml_fault.h"
#include "codecs/xml_prolog.h"

#define ROOM_KEPT   ((size_t)64 << 10) /* of a reader between documents */
#define ROOM_MAX    (XML_TOKEN_MAX + 2 * XML_PIECE)
#define PER_ATTR    5 /* pointers of libxml2's for an attribute: local, prefix, uri, value, its end */
#define UTF8_SPREAD 3 /* bytes of UTF-8 that a byte of the sets read here becomes at most */

/*
 * NONET: nothing here loads, but if something did, not from the net. IGNORE_ENC: it is given UTF-8, whatever is declared. NOENT: else "&amp;"
 * in an attribute is handed over as "&#38;"; there is no entity that it could put in, because none can be declared.
 */
#define OPTIONS (XML_PARSE_NONET | XML_PARSE_IGNORE_ENC | XML_PARSE_NOENT)

struct xml_reader {
	xmlSAXHandler sax;
	xmlParserCtxtPtr parser; /* NULL until needed, and after a document that broke it */
	struct buffer room;	 /* not given to the parser yet; the scanner has seen ${scanned} of it */
	size_t scanned;
	struct buffer converted;
	uint64_t given; /* bytes of the document given to the parser */
	struct xml_scanner scanner;
	enum charset charset; /* CHARSET_NONE: not decided yet */
	enum xml_verdict verdict;
	struct fault fault;
	unsigned depth;
	const struct xml_handler *handler;
	void *arg;
	bool bypassed;
};

static enum xml_verdict
refuse(struct xml_reader *r, enum xml_verdict verdict, uint64_t offset, int line, int column, const char *why)
{
	if (r->verdict == XML_WELL_FORMED) {
		r->verdict = verdict;
		xml_fault_set(&r->fault, verdict, offset, line, column, why);
	}
	return r->verdict;
}

/*
 * What libxml2 calls.
 */
static void
on_error(void *arg, xmlErrorPtr error)
{
	xmlParserCtxtPtr parser = arg;
	struct xml_reader *r = parser->_private;

	if (r && error->level >= XML_ERR_ERROR) /* none while the parser is being made */
		(void)refuse(r, xml_fault_verdict(error), 0, error->line, error->int2,
		    xml_fault_sentence(error->code));
}

/* What libxml2 would print. */
static void
say_nothing(void *arg, const char *format, ...)
{
	(void)arg;
	(void)format;
}

static void
on_start(void *arg, const xmlChar *local, const xmlChar *prefix, const xmlChar *uri, int namespaces,
    const xmlChar **declared, int attributes, int defaulted, const xmlChar **values)
{
	xmlParserCtxtPtr parser = arg;
	struct xml_reader *r = parser->_private;
	int line = parser->input->line, column = parser->input->col;

	(void)declared;
	(void)defaulted;
	if (++r->depth > XML_DEPTH_MAX)
		(void)refuse(r, XML_TOO_DEEP, 0, line, column, NULL);
	if ((unsigned)(namespaces + attributes) > XML_ATTRIBUTES_MAX)
		(void)refuse(r, XML_TOO_MANY, 0, line, column, NULL);
	if (r->verdict != XML_WELL_FORMED) {
		xmlStopParser(parser);
	} else if (r->handler && r->handler->start) {
		struct xml_element element = {
			.local = span_str((const char *)local),
			.prefix = span_str((const char *)prefix),
			.uri = span_str((const char *)uri),
			.attribute_count = (size_t)attributes,
			.attributes = values,
		};

		r->handler->start(r->arg, &element);
	}
}

static void
on_end(void *arg, const xmlChar *local, const xmlChar *prefix, const xmlChar *uri)
{
	struct xml_reader *r = ((xmlParserCtxtPtr)arg)->_private;

	(void)local;
	(void)prefix;
	(void)uri;
	r->depth--;
	if (r->handler && r->handler->end)
		r->handler->end(r->arg);
}

static void
on_text(void *arg, const xmlChar *text, int len)
{
	struct xml_reader *r = ((xmlParserCtxtPtr)arg)->_private;

	r->handler->text(r->arg, span_make(text, (size_t)len));
}

/* Also without the scanner no declaration gets past its name. */
static void
on_doctype(void *arg, const xmlChar *name, const xmlChar *public, const xmlChar *system)
{
	xmlParserCtxtPtr parser = arg;
	struct xml_reader *r = parser->_private;

	(void)name;
	(void)public;
	(void)system;
	(void)refuse(r, XML_HAS_DOCTYPE, 0, parser->input->line, parser->input->col, NULL);
	xmlStopParser(parser);
}

struct xml_attribute
xml_attribute_at(const struct xml_element *element, size_t index)
{
	const xmlChar *const *a = (const xmlChar *const *)element->attributes + index * PER_ATTR;

	return (struct xml_attribute){
		.local = span_str((const char *)a[0]),
		.prefix = span_str((const char *)a[1]),
		.uri = span_str((const char *)a[2]),
		.value = span_make(a[3], (size_t)(a[4] - a[3])),
	};
}

/*
 * Lifetimes.
 */
struct xml_reader *
xml_reader_new(void)
{
	struct xml_reader *r = malloc(sizeof(*r));

	if (!r)
		return NULL;
	*r = (struct xml_reader){ .sax = { .initialized = XML_SAX2_MAGIC,
				      .startElementNs = on_start,
				      .endElementNs = on_end,
				      .internalSubset = on_doctype,
				      .serror = NULL } };
	r->sax.serror = (xmlStructuredErrorFunc)on_error;
	buffer_init(&r->room, ROOM_MAX);
	buffer_init(&r->converted, UTF8_SPREAD * ROOM_MAX);
	xml_reader_begin(r, NULL, NULL);
	return r;
}

static void
drop_parser(struct xml_reader *r)
{
	if (r->parser)
		xmlFreeParserCtxt(r->parser);
	r->parser = NULL;
}

void
xml_reader_free(struct xml_reader *r)
{
	if (!r)
		return;
	drop_parser(r);
	buffer_fini(&r->room);
	buffer_fini(&r->converted);
	free(r);
}

static void
forget(struct buffer *b)
{
	if (b->cap > ROOM_KEPT)
		buffer_fini(b);
	else
		buffer_reset(b);
}

static bool
is_past(const struct xml_reader *r, size_t most, size_t bytes)
{
	return xml_reader_names(r) > most || xmlDictGetUsage(r->parser->dict) > bytes;
}

/* One that stopped half-way keeps namespaces; one that met many names keeps them all. */
static bool
is_reusable(const struct xml_reader *r)
{
	return r->verdict == XML_WELL_FORMED && r->parser->nsNr == 0 && r->parser->nameNr == 0 &&
	       !is_past(r, XML_NAMES_KEPT_MOST, XML_NAMES_KEPT_BYTES);
}

static void
make_parser(struct xml_reader *r)
{
	if (r->parser && !(is_reusable(r) && xmlCtxtResetPush(r->parser, NULL, 0, NULL, NULL) == 0))
		drop_parser(r);
	if (!r->parser) {
		xmlSetGenericErrorFunc(NULL, say_nothing); /* this thread's */
		r->parser = xmlCreatePushParserCtxt(&r->sax, NULL, NULL, 0, NULL);
		if (r->parser && xmlCtxtUseOptions(r->parser, OPTIONS) != 0)
			drop_parser(r);
	}
	if (!r->parser)
		return;
	r->parser->_private = r;
	*r->parser->sax = r->sax;
}

void
xml_reader_begin(struct xml_reader *r, const struct xml_handler *handler, void *arg)
{
	r->handler = handler;
	r->arg = arg;
	r->sax.characters = r->sax.cdataBlock = r->sax.ignorableWhitespace =
	    handler && handler->text ? on_text : NULL;
	make_parser(r);
	forget(&r->room);
	forget(&r->converted);
	r->scanned = 0;
	r->given = 0;
	xml_scanner_init(&r->scanner);
	r->charset = CHARSET_NONE;
	r->verdict = XML_WELL_FORMED;
	r->fault = (struct fault){ .code = FAULT_NONE };
	r->depth = 0;
	if (!r->parser)
		(void)refuse(r, XML_NO_MEMORY, 0, 0, 0, NULL);
}

void
xml_reader_bypass(struct xml_reader *r)
{
	r->bypassed = true;
}

/*
 * Feeding.
 */
struct buffer *
xml_reader_room(struct xml_reader *r)
{
	return &r->room;
}

/* The first ${len} bytes of the room, as UTF-8; up to ${bad}, the first that is none of its set: ${len} when all are. */
static struct span
as_utf8(struct xml_reader *r, size_t len, size_t *bad)
{
	struct span text = span_cut(buffer_span(&r->room), 0, len);

	*bad = len;
	if (r->charset == CHARSET_UTF_8)
		return text;
	buffer_reset(&r->converted);
	switch (charset_to_utf8(r->charset, text, &r->converted, bad)) {
	case CHARSET_OK:
		*bad = len;
		break;
	case CHARSET_INVALID:
		break;
	default:
		(void)refuse(r, XML_NO_MEMORY, 0, 0, 0, NULL);
		break;
	}
	return buffer_span(&r->converted);
}

/* Give the first ${len} bytes of the room to the parser. */
static void
give(struct xml_reader *r, size_t len, bool last)
{
	size_t bad;
	struct span text = as_utf8(r, len, &bad);

	last = last && bad == len;
	if (text.len || last)
		(void)xmlParseChunk(r->parser, (const char *)text.ptr, (int)text.len, last);
	if (!r->parser->wellFormed)
		(void)refuse(r, XML_MALFORMED, 0, 0, 0, NULL);
	else if (!r->parser->nsWellFormed)
		(void)refuse(r, XML_BAD_NAMESPACE, 0, 0, 0, NULL);
	else if (bad < len)
		(void)refuse(r, XML_BAD_ENCODING, r->given + bad, 0, 0, NULL);
	else if (is_past(r, XML_NAMES_MOST, XML_NAMES_BYTES))
		(void)refuse(r, XML_TOO_VARIED, 0, 0, 0, NULL);
	/* What it waits for within a token cannot be; in text it is the end of a reference. */
	else if (!last && (size_t)(r->parser->input->end - r->parser->input->cur) > XML_TOKEN_MAX)
		(void)refuse(r, XML_TOO_LONG, 0, r->parser->input->line, r->parser->input->col, NULL);
	buffer_drop_front(&r->room, len);
	r->scanned -= len;
	r->given += len;
}

/* How many bytes at the end of ${text}, which lies between tokens, begin what a byte to come may complete. */
static size_t
unfinished(struct span text)
{
	const uint8_t *end = text.ptr + text.len;
	size_t n = 0;

	while (n < 2 && n < text.len && end[-1 - (ptrdiff_t)n] == ']')
		n++;
	if (n)
		return n;
	while (n < 3 && n < text.len && (end[-1 - (ptrdiff_t)n] & 0xc0) == 0x80)
		n++;
	return n < text.len && end[-1 - (ptrdiff_t)n] >= 0xc0 ? n + 1 : 0;
}

/* How much of the room may go to the parser now. */
static size_t
whole_tokens(const struct xml_reader *r)
{
	if (r->bypassed)
		return r->room.len;
	if (r->scanner.state != XML_SCAN_TEXT)
		return (size_t)(r->scanner.token - r->given);
	return r->scanned - unfinished(span_cut(buffer_span(&r->room), 0, r->scanned));
}

/* Read the declaration, when it is all there. False: not yet, or it is refused. */
static bool
decide_charset(struct xml_reader *r, bool last)
{
	struct xml_prolog prolog;

	if (r->charset != CHARSET_NONE)
		return true;
	switch (xml_prolog_read(buffer_span(&r->room), last, &prolog)) {
	case XML_PROLOG_MORE:
		return false;
	case XML_PROLOG_REFUSED:
		(void)refuse(r, XML_UNREAD_ENCODING, 0, 0, 0, prolog.why);
		return false;
	case XML_PROLOG_KNOWN:
		break;
	}
	r->charset = prolog.charset;
	buffer_drop_front(&r->room, prolog.mark);
	r->given = prolog.mark;
	r->scanner.at = prolog.mark;
	return true;
}

/* Scan what is new. A fault of the scanner counts for what stands before it only if the parser finds nothing there. */
static void
scan(struct xml_reader *r)
{
	enum xml_scan_outcome outcome = XML_SCAN_OK;

	if (r->bypassed)
		r->scanned = r->room.len;
	else
		outcome = xml_scan(&r->scanner, span_cut(buffer_span(&r->room), r->scanned, r->room.len));
	if (outcome == XML_SCAN_OK) {
		r->scanned = r->room.len;
		return;
	}
	r->scanned = (size_t)(r->scanner.at - r->given);
	give(r, r->scanned, false);
	(void)refuse(r, xml_fault_of_scan(outcome), r->scanner.at, 0, 0, NULL);
}

static enum xml_verdict
read_room(struct xml_reader *r, bool last)
{
	if (r->verdict != XML_WELL_FORMED)
		return r->verdict;
	if (buffer_failed(&r->room))
		return refuse(r, XML_NO_MEMORY, 0, 0, 0, NULL);
	if (decide_charset(r, last))
		scan(r);
	if (r->verdict == XML_WELL_FORMED && r->charset != CHARSET_NONE)
		give(r, last ? r->room.len : whole_tokens(r), last);
	return r->verdict;
}

enum xml_verdict
xml_reader_take(struct xml_reader *r)
{
	return read_room(r, false);
}

enum xml_verdict
xml_reader_push(struct xml_reader *r, struct span bytes)
{
	for (size_t at = 0; at < bytes.len && r->verdict == XML_WELL_FORMED; at += XML_PIECE) {
		buffer_append_span(&r->room, span_cut(bytes, at, at + XML_PIECE));
		(void)read_room(r, false);
	}
	return r->verdict;
}

enum xml_verdict
xml_reader_end(struct xml_reader *r)
{
	return read_room(r, true);
}

const struct fault *
xml_reader_fault(const struct xml_reader *r)
{
	return &r->fault;
}

size_t
xml_reader_names(const struct xml_reader *r)
{
	int count = r->parser ? xmlDictSize(r->parser->dict) : 0;

	return count > 0 ? (size_t)count : 0;
}
