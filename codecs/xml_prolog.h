/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The character set of an XML document, from its first bytes: byte order mark and declaration (XML 1.0 §4.3.3 and appendix F). What is
 * wrong with the declaration otherwise is the parser's to say.
 */
#pragma once

#include <stdbool.h>

#include "codecs/charset.h"
#include "codecs/span.h"

enum xml_prolog_outcome {
	XML_PROLOG_KNOWN = 0,
	XML_PROLOG_MORE, /* the declaration is not whole yet */
	XML_PROLOG_REFUSED,
};

struct xml_prolog {
	enum charset charset; /* with XML_PROLOG_KNOWN: one that holds ASCII as it is and can be read */
	size_t mark;	      /* bytes of the byte order mark */
	const char *why;      /* with XML_PROLOG_REFUSED: a sentence without any byte of the document */
};

#define XML_DECLARATION_MAX                                                                                  \
	1024u /* a declaration that is longer is none: it is left to the parser as it stands */

/* ${head}: what came so far, from the begin; ${last}: there is no more. */
enum xml_prolog_outcome xml_prolog_read(struct span head, bool last, struct xml_prolog *prolog);
