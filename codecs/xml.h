/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading XML in pieces: elements, attributes and text are handed to the caller, and the document is well-formed, namespaces included, or
 * there is a fault. libxml2 reads every byte (SAX2, push); before it goes a scanner of our own (codecs/xml_scan).
 *
 * No document type declaration, so no entity but the five predefined ones, no default attribute, nothing fetched, no XInclude, no
 * stylesheet. Character sets: UTF-8 (the default), US-ASCII, ISO-8859-1, ISO-8859-15 and windows-1252 by declaration; the parser is
 * always given UTF-8. UTF-16 and others are refused: no profile of the CI-SIS asks for them and no partner has been seen to send them.
 * Memory is bounded by XML_TOKEN_MAX, XML_DEPTH_MAX and XML_NAMES_BYTES, whatever the length of the document; beyond that who runs it may put a budget under
 * libxml2. Any split of the input is taken or refused
 * alike. Everything of libxml2 that is used is per reader; a reader belongs to one
 * thread at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codecs/buffer.h"
#include "codecs/fault.h"
#include "codecs/span.h"
#include "codecs/xml_scan.h"

#define XML_DEPTH_MAX 256u /* open elements; clinical documents have some 40 */

/* Distinct names: in one document, and kept by a reader for the next one; a clinical document has some 200. */
#define XML_NAMES_MOST	     32768u
#define XML_NAMES_BYTES	     ((size_t)2 << 20)
#define XML_NAMES_KEPT_MOST  4096u
#define XML_NAMES_KEPT_BYTES ((size_t)256 << 10)

#define XML_PIECE                                                                                            \
	((size_t)12 << 10) /* what is given to the parser at a time: stays in the first-level cache */

enum xml_verdict {
	XML_WELL_FORMED = 0,
	XML_MALFORMED,	     /* not well-formed (XML 1.0) */
	XML_BAD_NAMESPACE,   /* not namespace-well-formed (Namespaces in XML 1.0 §7) */
	XML_BAD_ENCODING,    /* bytes that are none of the character set */
	XML_UNREAD_ENCODING, /* a character set that is not read here */
	XML_HAS_DOCTYPE,
	XML_TOO_LONG, /* a token past XML_TOKEN_MAX */
	XML_TOO_MANY, /* attributes */
	XML_TOO_DEEP,
	XML_TOO_VARIED, /* distinct names */
	XML_NO_MEMORY,	/* the machine's, or the budget's */
};

struct xml_attribute {
	struct span local, prefix, uri;
	struct span value; /* references resolved, white space normalized */
};

struct xml_element {
	struct span local, prefix, uri;
	size_t attribute_count; /* namespace declarations do not count */
	const void *attributes; /* see xml_attribute_at */
};

/* Attribute ${index} of an element, in document order. */
struct xml_attribute xml_attribute_at(const struct xml_element *element, size_t index);

/*
 * What the caller wants to hear of; NULL: nothing. All in UTF-8, all spans valid during the call only. Text comes in as many parts as the
 * parser likes, CDATA sections included.
 */
struct xml_handler {
	void (*start)(void *arg, const struct xml_element *element);
	void (*end)(void *arg);
	void (*text)(void *arg, struct span text);
};

struct xml_reader;

/* NULL: no memory. It is kept and used for one document after another: that saves a fifth of a small one. */
struct xml_reader *xml_reader_new(void);
void xml_reader_free(struct xml_reader *r);

/* Begin a document, whatever became of the one before. ${handler} may be NULL and stays the caller's until the end. */
void xml_reader_begin(struct xml_reader *r, const struct xml_handler *handler, void *arg);

/*
 * Where the next bytes of the document are to be appended, XML_PIECE at most, before xml_reader_take: a decoder writes here and nothing is
 * copied. There is always room for them, unless memory is short (see buffer_failed).
 */
struct buffer *xml_reader_room(struct xml_reader *r);

/* Read what was appended. The verdict so far; after another than XML_WELL_FORMED nothing more is read. */
enum xml_verdict xml_reader_take(struct xml_reader *r);

/* Both for bytes that lie elsewhere, as many as there are. */
enum xml_verdict xml_reader_push(struct xml_reader *r, struct span bytes);

/* The document ends here. */
enum xml_verdict xml_reader_end(struct xml_reader *r);

/*
 * What is wrong, and where: its message names line and column where the parser tells them, and holds nothing of the document. Code:
 * FAULT_DATA_TYPE, or FAULT_MEMORY. FAULT_NONE while all is well. offset: in bytes of the document, where that is known, else 0.
 */
const struct fault *xml_reader_fault(const struct xml_reader *r);

/* How many names it keeps. */
size_t xml_reader_names(const struct xml_reader *r);

/* A stable lower-case name for logs and records: "well-formed", "doctype". */
const char *xml_verdict_name(enum xml_verdict verdict);

/*
 * For tests: no scanner and no bound of ours before libxml2, so that its own are seen to hold. Until the reader is freed.
 */
void xml_reader_bypass(struct xml_reader *r);
