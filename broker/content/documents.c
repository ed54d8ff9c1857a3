/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OBX-5 of type ED is source ^ type ^ subtype ^ encoding ^ data (HL7 v2.5 §2.A.24). Real messages write TEXT, Text and text, so names are
 * compared without case.
 */
#include "broker/content/documents.h"

#include <strings.h>

#define MEDIA_MAX 64u /* longer type names are no media type: application/octet-stream */

static bool
is_word(struct span value, const char *word)
{
	return value.len == strlen(word) && strncasecmp((const char *)value.ptr, word, value.len) == 0;
}

/* A token of RFC 9110 §5.6.2, as far as registered media types use it. */
static bool
is_token(struct span value)
{
	if (value.len == 0 || value.len > MEDIA_MAX / 2 - 1)
		return false;
	for (size_t i = 0; i < value.len; i++) {
		uint8_t c = value.ptr[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			c == '.' || c == '-' || c == '+'))
			return false;
	}
	return true;
}

/* Types and subtypes of HL7 tables 0191 and 0291 that are not already the two halves of a media type. */
static const struct {
	const char *type, *subtype, *media;
} known_media[] = {
	{ "TEXT", "", "text/plain" },
	{ "TX", "", "text/plain" },
	{ "FT", "", "text/plain" },
	{ "TEXT", "x-hl7-cda-level-one", "text/xml" },
	{ "AP", "PDF", "application/pdf" },
	{ "Application", "PDF", "application/pdf" },
	{ "IM", "JPEG", "image/jpeg" },
	{ "IM", "TIFF", "image/tiff" },
	{ "IM", "PNG", "image/png" },
	{ "SD", "XML", "text/xml" },
};

static struct span
media_type(struct span type, struct span subtype, struct arena *arena)
{
	uint8_t *media;
	size_t len = 0;

	for (size_t i = 0; i < sizeof(known_media) / sizeof(known_media[0]); i++)
		if (is_word(type, known_media[i].type) && is_word(subtype, known_media[i].subtype))
			return span_str(known_media[i].media);
	if (!is_token(type) || !is_token(subtype))
		return span_str("application/octet-stream");
	media = arena_alloc(arena, MEDIA_MAX);
	if (!media)
		return SPAN_EMPTY;
	for (size_t i = 0; i < type.len; i++)
		media[len++] = (uint8_t)(type.ptr[i] | (type.ptr[i] >= 'A' && type.ptr[i] <= 'Z' ? 0x20 : 0));
	media[len++] = '/';
	for (size_t i = 0; i < subtype.len; i++)
		media[len++] =
		    (uint8_t)(subtype.ptr[i] | (subtype.ptr[i] >= 'A' && subtype.ptr[i] <= 'Z' ? 0x20 : 0));
	return span_make(media, len);
}

static enum document_encoding
encoding_of(struct span name)
{
	if (is_word(name, "Base64"))
		return DOCUMENT_BASE64;
	return is_word(name, "Hex") ? DOCUMENT_HEX : DOCUMENT_PLAIN;
}

static bool
document_read(
    const struct hl7_message *m, size_t obx, size_t txa, struct arena *arena, struct facts_document *document)
{
	const struct hl7_delimiters *d = &m->delimiters;
	struct span value = hl7_field(m, obx, 5, 1), code = hl7_field(m, obx, 3, 1), data;

	if (txa != HL7_NONE) {
		document->unique_id = hl7_field(m, txa, 12, 1);
		if (hl7_is_absent(code))
			code = hl7_field(m, txa, 2, 1);
	}
	document->type_code = hl7_component(d, code, 1);
	document->title = hl7_component(d, code, 2);
	document->type_system = hl7_component(d, code, 3);
	document->media = media_type(hl7_component(d, value, 2), hl7_component(d, value, 3), arena);
	document->encoding = encoding_of(hl7_component(d, value, 4));
	data = hl7_component(d, value, 5);
	document->offset = data.ptr ? (uint64_t)(data.ptr - m->bytes.ptr) : 0;
	document->size = data.len;
	return document->media.len != 0;
}

bool
documents_find(
    const struct hl7_message *m, struct arena *arena, struct facts *facts, struct facts_document **foundp)
{
	size_t txa = hl7_find(m, "TXA", 1), count = 0;
	struct facts_document *documents;
	unsigned segment = 0;

	for (size_t i = hl7_find_from(m, "OBX", 0); i != HL7_NONE; i = hl7_find_from(m, "OBX", i + 1))
		if (span_eq_str(hl7_field(m, i, 2, 1), "ED"))
			count++;
	if (count == 0)
		return true;
	if (count > DOCUMENTS_MAX)
		return false;
	documents = arena_calloc(arena, count, sizeof(*documents));
	if (!documents)
		return false;
	count = 0;
	for (size_t i = hl7_find_from(m, "OBX", 0); i != HL7_NONE; i = hl7_find_from(m, "OBX", i + 1)) {
		segment++;
		if (!span_eq_str(hl7_field(m, i, 2, 1), "ED"))
			continue;
		documents[count].segment = segment;
		if (!document_read(m, i, txa, arena, &documents[count++]))
			return false;
	}
	facts->documents = *foundp = documents;
	facts->document_count = count;
	return true;
}
