/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scanner before the XML parser: it knows where each markup token (tag with its attributes, comment, processing instruction, CDATA
 * section) begins and ends, so that the parser is never given half of one, and stops what must not reach it.
 *
 * Stopped are a document type declaration (XML 1.0 §2.8: entities and external subsets come in by it), a token past
 * XML_TOKEN_MAX, a tag with more than XML_ATTRIBUTES_MAX attributes, and NUL (§2.2). It does not judge well-formedness: what is
 * malformed passes and is the parser's to refuse. Its bytes are of a set that holds ASCII as it is. Any split of the input gives
 * the same outcome at the same offset, and each byte is looked at once.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "codecs/span.h"

#define XML_TOKEN_MAX	   ((size_t)1 << 20) /* libxml2 2.9.14 needs 44 s for a comment of 32 MB in pieces */
#define XML_ATTRIBUTES_MAX 256u		     /* libxml2 looks for doubles by comparing each with each */

enum xml_scan_outcome {
	XML_SCAN_OK = 0,
	XML_SCAN_DOCTYPE,
	XML_SCAN_LONG,	     /* a token past XML_TOKEN_MAX */
	XML_SCAN_ATTRIBUTES, /* a tag with too many */
	XML_SCAN_NUL,
};

enum xml_scan_state {
	XML_SCAN_TEXT = 0, /* between tokens */
	XML_SCAN_OPEN,	   /* behind '<' */
	XML_SCAN_BANG,	   /* behind "<!" */
	XML_SCAN_DASH,	   /* behind "<!-" */
	XML_SCAN_TAG,
	XML_SCAN_QUOTED, /* in an attribute's value */
	XML_SCAN_COMMENT,
	XML_SCAN_PI,
	XML_SCAN_CDATA,
};

struct xml_scanner {
	enum xml_scan_outcome outcome;
	enum xml_scan_state state;
	uint64_t at;	  /* bytes looked at; with a fault, where it is: the token's begin, or the NUL */
	uint64_t token;	  /* where the open token begins, unless XML_SCAN_TEXT */
	uint8_t quote;	  /* that ends the value */
	unsigned matched; /* bytes of the end of comment, instruction or section seen, as far as they count */
	unsigned attributes; /* of the tag */
};

void xml_scanner_init(struct xml_scanner *s);

/* Look at ${bytes}, which follow those before. After a fault every further call returns the same. */
enum xml_scan_outcome xml_scan(struct xml_scanner *s, struct span bytes);
