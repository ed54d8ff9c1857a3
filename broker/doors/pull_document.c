/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading content back: the message as received, or a document decoded (base64, hexadecimal, or text with its HL7 escapes).
 */
#include <errno.h>

#include "broker/base/metrics.h"
#include "broker/doors/pull_document.h"
#include "codecs/digest.h"
#include "codecs/hl7.h"
#include "codecs/hl7_escape.h"
#include "codecs/http1_fields.h"

#define READ_SLACK	 ((size_t)64 << 10) /* the arena's rounding and chunk heads */
#define ESCAPE_GROWTH	 33u		    /* codecs/hl7_escape.h: decoding never makes more */
#define PLAIN_GROWTH_MAX ((size_t)16 << 20)

void
pull_delimiters(struct span text, struct hl7_delimiters *d)
{
	*d = hl7_default_delimiters;
	if (text.len < 5)
		return;
	d->field = text.ptr[0];
	d->component = text.ptr[1];
	d->repetition = text.ptr[2];
	d->escape = text.ptr[3];
	d->subcomponent = text.ptr[4];
	d->truncation = text.len > 5 ? text.ptr[5] : 0;
}

/* "text/xml" as a sender wrote it may go into a header field when it is a media type; else nothing is claimed. */
static void
set_media(struct pull_content *content, struct span media)
{
	const uint8_t *slash = media.len ? memchr(media.ptr, '/', media.len) : NULL;
	size_t at = slash ? (size_t)(slash - media.ptr) : 0;

	if (!slash || media.len >= PULL_MEDIA_SIZE || !http1_is_token(span_cut(media, 0, at)) ||
	    !http1_is_token(span_cut(media, at + 1, media.len)))
		media = span_str(PULL_MEDIA_UNKNOWN);
	memcpy(content->media, media.ptr, media.len);
	content->media[media.len] = '\0';
}

static int
decode_base64(struct pull_content *content, struct span text, const struct hl7_delimiters *d)
{
	unsigned flags = BASE64_LENIENT_PADDING | BASE64_LENIENT_TRUNCATED | BASE64_LENIENT_WHITESPACE;
	struct hl7_escape_counts counts = { 0 };
	struct buffer plain;
	enum base64_outcome outcome;

	buffer_init(&plain, text.len + READ_SLACK);
	if (hl7_escape_needed(text, d)) { /* a line end written \X0D0A\ or \.br\ */
		hl7_escape_decode(&plain, text, d, &counts);
		content->escapes = counts.decoded;
		text = buffer_span(&plain);
	}
	buffer_init(&content->buffer, base64_decoded_size(text.len) + 3);
	outcome = buffer_failed(&plain) ? BASE64_NO_ROOM
					: base64_decode(text, flags, &content->buffer, &content->base64);
	buffer_fini(&plain);
	if (outcome == BASE64_NO_ROOM)
		return -ENOMEM;
	return outcome == BASE64_OK ? 0 : PULL_CONTENT_UNDECODABLE;
}

static int
decode_hex(struct pull_content *content, struct span text)
{
	uint8_t *out;

	if (text.len % 2)
		return PULL_CONTENT_UNDECODABLE;
	buffer_init(&content->buffer, text.len / 2 + 1);
	out = buffer_reserve(&content->buffer, text.len / 2 + 1);
	if (!out)
		return -ENOMEM;
	if (!digest_unhex(text, out, text.len / 2))
		return PULL_CONTENT_UNDECODABLE;
	buffer_commit(&content->buffer, text.len / 2);
	return 0;
}

static int
decode_plain(struct pull_content *content, struct span text, const struct hl7_delimiters *d)
{
	size_t growth =
	    text.len < PLAIN_GROWTH_MAX / ESCAPE_GROWTH ? text.len * ESCAPE_GROWTH : PLAIN_GROWTH_MAX;

	buffer_init(&content->buffer, text.len + growth + 1);
	hl7_escape_decode(&content->buffer, text, d, NULL);
	return buffer_failed(&content->buffer) ? -ENOMEM : 0;
}

int
pull_content_decode(struct pull_content *content, struct span message, const struct facts_document *document,
    struct span delimiters)
{
	struct hl7_delimiters d;
	struct span text;
	int error = PULL_CONTENT_UNDECODABLE;

	if (document->offset > message.len || document->size > message.len - document->offset)
		return PULL_CONTENT_DAMAGED;
	text = span_make(message.ptr + document->offset, (size_t)document->size);
	pull_delimiters(delimiters, &d);
	switch (document->encoding) {
	case DOCUMENT_BASE64:
		error = decode_base64(content, text, &d);
		break;
	case DOCUMENT_HEX:
		error = decode_hex(content, text);
		break;
	case DOCUMENT_PLAIN:
		error = decode_plain(content, text, &d);
		break;
	}
	if (error)
		return error;
	content->bytes = buffer_span(&content->buffer);
	set_media(content, document->media);
	return digest_sha256(content->bytes, content->sha256);
}

int
pull_content_read(struct pull_content *content, struct journal *journal, const struct record *known,
    const struct facts_document *document, struct span delimiters)
{
	struct record record;
	int error;

	if (known->head.flags & (RECORD_BODILESS | RECORD_PURGED))
		return PULL_CONTENT_GONE;
	arena_init(
	    &content->arena, (size_t)known->head.size + known->facts.len + known->decision.len + READ_SLACK);
	error = journal_read(journal, known->head.seq, true, &content->arena, &record);
	if (error < 0)
		return error;
	if (error)
		return error == JOURNAL_DAMAGED ? PULL_CONTENT_DAMAGED : PULL_CONTENT_GONE;
	if (record.head.flags & (RECORD_BODILESS | RECORD_PURGED) || record.body.len != record.head.size)
		return PULL_CONTENT_GONE;
	if (document) {
		error = pull_content_decode(content, record.body, document, delimiters);
		arena_fini(&content->arena); /* the document is a copy: do not hold both */
		return error;
	}
	content->bytes = record.body;
	memcpy(content->sha256, record.head.sha256, sizeof(content->sha256));
	set_media(content, span_str(PULL_MEDIA_MESSAGE));
	return 0;
}

void
pull_content_count(const struct pull_content *content)
{
	if (content->base64.padding)
		metric_add(metric_series(METRIC_LENIENCIES, "base64-padding"), 1);
	if (content->base64.truncated)
		metric_add(metric_series(METRIC_LENIENCIES, "base64-truncated"), 1);
	if (content->base64.whitespace)
		metric_add(metric_series(METRIC_LENIENCIES, "base64-whitespace"), 1);
	if (content->escapes)
		metric_add(metric_series(METRIC_LENIENCIES, "base64-escapes"), 1);
}

void
pull_content_fini(struct pull_content *content)
{
	buffer_fini(&content->buffer);
	arena_fini(&content->arena);
}
