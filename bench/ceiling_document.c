/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/ceiling_document.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libxml/parser.h>

#include "codecs/base64.h"

#define PIECE ((size_t)16 << 10) /* of base64 */

struct ceiling_document {
	xmlSAXHandler sax;
	xmlParserCtxtPtr parser;
	struct buffer piece;
};

static void __attribute__((noreturn)) die(const char *what)
{
	fprintf(stderr, "ceiling: %s\n", what);
	exit(1);
}

static void
on_start(void *arg, const xmlChar *local, const xmlChar *prefix, const xmlChar *uri, int namespaces,
    const xmlChar **declared, int attributes, int defaulted, const xmlChar **values)
{
	(void)arg;
	(void)local;
	(void)prefix;
	(void)uri;
	(void)namespaces;
	(void)declared;
	(void)attributes;
	(void)defaulted;
	(void)values;
}

struct ceiling_document *
ceiling_document_new(void)
{
	struct ceiling_document *d = calloc(1, sizeof(*d));

	if (!d)
		die("memory");
	d->sax.initialized = XML_SAX2_MAGIC;
	d->sax.startElementNs = on_start;
	d->parser = xmlCreatePushParserCtxt(&d->sax, NULL, NULL, 0, NULL);
	if (!d->parser)
		die("memory");
	buffer_init(&d->piece, 2 * PIECE);
	return d;
}

void
ceiling_document_free(struct ceiling_document *d)
{
	xmlFreeParserCtxt(d->parser);
	buffer_fini(&d->piece);
	free(d);
}

void
ceiling_document_read(struct ceiling_document *d, struct span message)
{
	static const char mark[] = "^Base64^";
	const uint8_t *at = memmem(message.ptr, message.len, mark, sizeof(mark) - 1), *end;
	struct base64_decoder decoder;
	struct span text;

	if (!at)
		die("a message has no document");
	text = span_cut(message, (size_t)(at - message.ptr) + sizeof(mark) - 1, message.len);
	end = memchr(text.ptr, '|', text.len);
	text = span_cut(text, 0, end ? (size_t)(end - text.ptr) : text.len);
	if (xmlCtxtResetPush(d->parser, NULL, 0, NULL, NULL) != 0)
		die("memory");
	base64_decoder_init(&decoder, 0);
	for (size_t from = 0; from < text.len; from += PIECE) {
		buffer_reset(&d->piece);
		if (base64_decode_update(&decoder, span_cut(text, from, from + PIECE), &d->piece) !=
		    BASE64_OK)
			die("a document is not base64");
		(void)xmlParseChunk(d->parser, (const char *)d->piece.data, (int)d->piece.len, 0);
	}
	if (xmlParseChunk(d->parser, NULL, 0, 1) != 0)
		die("a document is not well-formed");
}
