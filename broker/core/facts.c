/* SPDX-License-Identifier: Apache-2.0 */
/* Facts to bytes and back. Tags are for ever: a journal of today is read by the broker of later. */
#include "broker/core/facts.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "broker/core/tlv.h"

enum tag {
	TAG_VERSION = 1,
	TAG_DOOR,
	TAG_PEER,
	TAG_ESTABLISHMENT,
	TAG_LISTENER,
	TAG_SENDING_APPLICATION,
	TAG_SENDING_FACILITY,
	TAG_RECEIVING_APPLICATION,
	TAG_RECEIVING_FACILITY,
	TAG_TIME,
	TAG_TYPE,
	TAG_EVENT,
	TAG_STRUCTURE,
	TAG_CONTROL_ID,
	TAG_PROCESSING,
	TAG_VERSION_ID,
	TAG_ACCEPT_MODE,
	TAG_APPLICATION_MODE,
	TAG_CHARSET,
	TAG_CHARSET_USED,
	TAG_CHARSET_REASON,
	TAG_DELIMITERS,
	TAG_PROFILE,
	TAG_LENIENCIES,
	TAG_COMPARABLE,
	TAG_AUTHORITY,
	TAG_DOCUMENT,
	TAG_CERTIFICATE_ISSUER,
	TAG_CERTIFICATE_SUBJECT,
	TAG_CERTIFICATE_SERIAL,
	TAG_CERTIFICATE_SHA256,
};

enum document_tag {
	TAG_DOCUMENT_OFFSET = 1,
	TAG_DOCUMENT_SIZE,
	TAG_DOCUMENT_ENCODING,
	TAG_DOCUMENT_MEDIA,
	TAG_DOCUMENT_TYPE_CODE,
	TAG_DOCUMENT_TYPE_SYSTEM,
	TAG_DOCUMENT_TITLE,
	TAG_DOCUMENT_UNIQUE_ID,
	TAG_DOCUMENT_FORM,
};

/* The fields that are plain bytes: encoder and decoder walk the same table. */
static const struct text_field {
	uint16_t tag;
	size_t offset;
} fields[] = {
	{ TAG_PEER, offsetof(struct facts, peer) },
	{ TAG_ESTABLISHMENT, offsetof(struct facts, establishment) },
	{ TAG_LISTENER, offsetof(struct facts, listener) },
	{ TAG_SENDING_APPLICATION, offsetof(struct facts, sending_application) },
	{ TAG_SENDING_FACILITY, offsetof(struct facts, sending_facility) },
	{ TAG_RECEIVING_APPLICATION, offsetof(struct facts, receiving_application) },
	{ TAG_RECEIVING_FACILITY, offsetof(struct facts, receiving_facility) },
	{ TAG_TIME, offsetof(struct facts, time) },
	{ TAG_TYPE, offsetof(struct facts, type) },
	{ TAG_EVENT, offsetof(struct facts, event) },
	{ TAG_STRUCTURE, offsetof(struct facts, structure) },
	{ TAG_CONTROL_ID, offsetof(struct facts, control_id) },
	{ TAG_PROCESSING, offsetof(struct facts, processing) },
	{ TAG_VERSION_ID, offsetof(struct facts, version_id) },
	{ TAG_ACCEPT_MODE, offsetof(struct facts, accept_mode) },
	{ TAG_APPLICATION_MODE, offsetof(struct facts, application_mode) },
	{ TAG_CHARSET, offsetof(struct facts, charset) },
	{ TAG_CHARSET_USED, offsetof(struct facts, charset_used) },
	{ TAG_CHARSET_REASON, offsetof(struct facts, charset_reason) },
	{ TAG_DELIMITERS, offsetof(struct facts, delimiters) },
	{ TAG_PROFILE, offsetof(struct facts, profile) },
	{ TAG_COMPARABLE, offsetof(struct facts, comparable) },
	{ TAG_CERTIFICATE_ISSUER, offsetof(struct facts, certificate_issuer) },
	{ TAG_CERTIFICATE_SUBJECT, offsetof(struct facts, certificate_subject) },
	{ TAG_CERTIFICATE_SERIAL, offsetof(struct facts, certificate_serial) },
	{ TAG_CERTIFICATE_SHA256, offsetof(struct facts, certificate_sha256) },
};

static const struct text_field document_fields[] = {
	{ TAG_DOCUMENT_MEDIA, offsetof(struct facts_document, media) },
	{ TAG_DOCUMENT_TYPE_CODE, offsetof(struct facts_document, type_code) },
	{ TAG_DOCUMENT_TYPE_SYSTEM, offsetof(struct facts_document, type_system) },
	{ TAG_DOCUMENT_TITLE, offsetof(struct facts_document, title) },
	{ TAG_DOCUMENT_UNIQUE_ID, offsetof(struct facts_document, unique_id) },
	{ TAG_DOCUMENT_FORM, offsetof(struct facts_document, form) },
};

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* One document's own run of items: its length is known before it is written, so that it needs no second buffer. */
static size_t
document_size(const struct facts_document *document)
{
	size_t size = 3 * (6 + 8);

	for (size_t i = 0; i < COUNT(document_fields); i++) {
		struct span text = *(const struct span *)((const char *)document + document_fields[i].offset);

		if (text.len)
			size += 6 + text.len;
	}
	return size;
}

static void
encode_document(const struct facts_document *document, struct buffer *out)
{
	size_t before;

	/* The head of a nested item: a value of the size to come, of which only the head is written here. */
	tlv_put_span(out, TAG_DOCUMENT, SPAN_EMPTY);
	if (buffer_failed(out))
		return;
	before = out->len;
	for (size_t i = 0; i < 4; i++)
		out->data[before - 4 + i] = (uint8_t)(document_size(document) >> (8 * i));
	tlv_put_u64(out, TAG_DOCUMENT_OFFSET, document->offset);
	tlv_put_u64(out, TAG_DOCUMENT_SIZE, document->size);
	tlv_put_u64(out, TAG_DOCUMENT_ENCODING, document->encoding);
	for (size_t i = 0; i < COUNT(document_fields); i++)
		tlv_put_some(out, document_fields[i].tag,
		    *(const struct span *)((const char *)document + document_fields[i].offset));
}

void
facts_encode(const struct facts *facts, struct buffer *out)
{
	tlv_put_u64(out, TAG_VERSION, facts->version);
	tlv_put_u64(out, TAG_DOOR, facts->door);
	tlv_put_u64(out, TAG_LENIENCIES, facts->leniencies);
	for (size_t i = 0; i < COUNT(fields); i++)
		tlv_put_some(
		    out, fields[i].tag, *(const struct span *)((const char *)facts + fields[i].offset));
	for (size_t i = 0; i < facts->authority_count; i++)
		tlv_put_span(out, TAG_AUTHORITY, facts->authorities[i]);
	for (size_t i = 0; i < facts->document_count; i++)
		encode_document(&facts->documents[i], out);
}

size_t
facts_size(const struct facts *facts)
{
	size_t size = 0;

	for (size_t i = 0; i < COUNT(fields); i++)
		size += ((const struct span *)((const char *)facts + fields[i].offset))->len;
	for (size_t i = 0; i < facts->authority_count; i++)
		size += facts->authorities[i].len;
	for (size_t i = 0; i < facts->document_count; i++)
		size += document_size(&facts->documents[i]);
	return size;
}

static bool
decode_text(const struct text_field *table, size_t count, void *into, uint16_t tag, struct span value)
{
	for (size_t i = 0; i < count; i++)
		if (table[i].tag == tag) {
			*(struct span *)((char *)into + table[i].offset) = value;
			return true;
		}
	return false;
}

static bool
decode_document(struct span bytes, struct facts_document *document)
{
	struct span value;
	uint64_t number;
	uint16_t tag;
	int r;

	while ((r = tlv_next(&bytes, &tag, &value)) == 1) {
		if (decode_text(document_fields, COUNT(document_fields), document, tag, value))
			continue;
		if (tag > TAG_DOCUMENT_ENCODING)
			continue;
		if (!tlv_u64(value, &number))
			return false;
		if (tag == TAG_DOCUMENT_OFFSET)
			document->offset = number;
		else if (tag == TAG_DOCUMENT_SIZE)
			document->size = number;
		else
			document->encoding = (enum document_encoding)number;
	}
	return r == 0;
}

static bool
decode_number(struct facts *facts, uint16_t tag, struct span value)
{
	uint64_t number;

	if (tag != TAG_VERSION && tag != TAG_DOOR && tag != TAG_LENIENCIES)
		return true;
	if (!tlv_u64(value, &number))
		return false;
	if (tag == TAG_VERSION)
		facts->version = (uint32_t)number;
	else if (tag == TAG_DOOR)
		facts->door = (enum door)number;
	else
		facts->leniencies = (uint32_t)number;
	return true;
}

int
facts_decode(struct span bytes, struct arena *arena, struct facts *facts)
{
	struct facts_document *documents;
	struct span *authorities, value;
	uint16_t tag;
	int r;

	*facts = (struct facts){ 0 };
	authorities = arena_calloc(arena, tlv_count(bytes, TAG_AUTHORITY), sizeof(*authorities));
	documents = arena_calloc(arena, tlv_count(bytes, TAG_DOCUMENT), sizeof(*documents));
	if (!authorities || !documents)
		return -ENOMEM;
	facts->authorities = authorities;
	facts->documents = documents;
	while ((r = tlv_next(&bytes, &tag, &value)) == 1) {
		if (decode_text(fields, COUNT(fields), facts, tag, value))
			continue;
		if (tag == TAG_AUTHORITY)
			authorities[facts->authority_count++] = value;
		else if (tag == TAG_DOCUMENT) {
			if (!decode_document(value, &documents[facts->document_count++]))
				return FACTS_MALFORMED;
		} else if (!decode_number(facts, tag, value))
			return FACTS_MALFORMED;
	}
	return r == 0 ? 0 : FACTS_MALFORMED;
}

void
facts_glance(struct span bytes, struct facts_glance *glance)
{
	struct span value;
	uint16_t tag;

	*glance = (struct facts_glance){ 0 };
	while (tlv_next(&bytes, &tag, &value) == 1) {
		switch ((enum tag)tag) {
		case TAG_PEER:
			glance->peer = value;
			break;
		case TAG_TYPE:
			glance->type = value;
			break;
		case TAG_EVENT:
			glance->event = value;
			break;
		case TAG_CONTROL_ID:
			glance->control_id = value;
			return;
		default:
			break;
		}
	}
}

static void
blank_document(uint8_t *bytes, size_t len)
{
	struct span rest = span_make(bytes, len), value;
	uint16_t tag;

	while (tlv_next(&rest, &tag, &value) == 1)
		if (tag == TAG_DOCUMENT_TITLE || tag == TAG_DOCUMENT_UNIQUE_ID)
			memset(bytes + (value.ptr - bytes), '*', value.len);
}

void
facts_blank(uint8_t *bytes, size_t len)
{
	struct span rest = span_make(bytes, len), value;
	uint16_t tag;

	while (tlv_next(&rest, &tag, &value) == 1)
		if (tag == TAG_DOCUMENT)
			blank_document(bytes + (value.ptr - bytes), value.len);
}
