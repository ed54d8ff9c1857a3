/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The least that reading the XML document of a message costs: base64 decoded in pieces into libxml2's push parser, one context used over and
 * over, callbacks that do nothing. No scanner before it, no HL7: the document begins behind "^Base64^" and ends at the next '|'.
 */
#pragma once

#include "codecs/span.h"

struct ceiling_document;

/* Exits when it cannot. */
struct ceiling_document *ceiling_document_new(void);
void ceiling_document_free(struct ceiling_document *d);

/* Exits when ${message} has no document or that is not well-formed. */
void ceiling_document_read(struct ceiling_document *d, struct span message);
