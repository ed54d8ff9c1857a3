/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `show ID --content`: the bytes of a message or of one of its documents, for a reason.
 *
 * In this order: the caller's name is looked up, the read is journalled (who, what, why), the record is read, the bytes leave in rows
 * of CHUNK bytes, each made when the one before has been sent. At most READERS at a time hold a message in memory.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/base/log.h"
#include "broker/core/facts.h"
#include "broker/doors/control_request.h"
#include "codecs/base64.h"
#include "codecs/digest.h"

#define CHUNK	    ((size_t)36 << 10) /* 48 KiB as base64 */
#define READERS	    2
#define CONTENT_MAX ((size_t)2 << 30) /* a message has at most 1 GiB, its decoded document less than that */

struct control_content {
	struct arena arena;
	struct record record;
	struct facts facts;
	struct buffer decoded;
	struct span data; /* what is given out */
	size_t at;
	char what[32];
	const char *problem; /* why there is nothing to give */
	const char *media;
	char sha256[DIGEST_HEX_SIZE(32)];
};

void
control_content_free(struct control_content *content)
{
	if (!content)
		return;
	arena_fini(&content->arena);
	buffer_fini(&content->decoded);
	free(content);
}

/* The decoded bytes of ${document} into content->decoded; false when they are not what they say. */
static bool
decode(struct control_content *content, const struct facts_document *document)
{
	struct span body = content->record.body, text;
	uint8_t *place;

	if (document->offset > body.len || document->size > body.len - document->offset)
		return false;
	text = span_make(body.ptr + document->offset, (size_t)document->size);
	switch (document->encoding) {
	case DOCUMENT_BASE64:
		return base64_decode(text,
			   BASE64_LENIENT_PADDING | BASE64_LENIENT_TRUNCATED | BASE64_LENIENT_WHITESPACE,
			   &content->decoded, NULL) == BASE64_OK;
	case DOCUMENT_HEX:
		place = buffer_reserve(&content->decoded, text.len / 2);
		if (!place || text.len % 2 || !digest_unhex(text, place, text.len / 2))
			return false;
		buffer_commit(&content->decoded, text.len / 2);
		return true;
	default:
		buffer_append_span(&content->decoded, text);
		return !buffer_failed(&content->decoded);
	}
}

static int
find_document(struct control_content *content, uint64_t number)
{
	const struct facts_document *document;
	int r = facts_decode(content->record.facts, &content->arena, &content->facts);

	if (r < 0)
		return r;
	if (r || number > content->facts.document_count) {
		content->problem = "it has no such document";
		return 0;
	}
	document = &content->facts.documents[number - 1];
	content->media = arena_str(&content->arena, document->media);
	if (!content->media)
		return -ENOMEM;
	if (!decode(content, document)) {
		content->problem = "the document cannot be decoded; read the message itself";
		return 0;
	}
	content->data = buffer_span(&content->decoded);
	return 0;
}

static void
read_work(struct control_request *request)
{
	struct control_content *content = request->content;
	struct record *record = &content->record;
	uint8_t digest[DIGEST_SHA256_LEN];
	int r;

	r = journal_read(request->with->journal, request->line.id, true, &content->arena, record);
	if (!r && (record->head.flags & (RECORD_BODILESS | RECORD_PURGED)))
		content->problem = "its bytes are no longer kept";
	else if (!r && record->head.type > RECORD_STRAY)
		content->problem = "it is no message: it has no content";
	else if (!r && request->line.document)
		r = find_document(content, request->line.document);
	else if (!r)
		content->data = record->body;
	if (!r && !content->problem && (r = digest_sha256(content->data, digest)) == 0)
		digest_hex(span_make(digest, sizeof(digest)), content->sha256);
	request->result = r;
}

static void
next_chunk(struct control_request *request)
{
	struct control_content *content = request->content;
	struct span piece = span_cut(content->data, content->at, content->at + CHUNK);

	if (!piece.len) {
		control_ok(request, json_pack("{sI}", "size", (json_int_t)content->data.len));
		return;
	}
	content->at += piece.len;
	buffer_append_str(&request->out, "{\"row\":{\"kind\":\"data\",\"data\":\"");
	base64_encode(piece, &request->out); /* its alphabet needs no escapes in JSON */
	buffer_append_str(&request->out, "\"}}\n");
	if (buffer_failed(&request->out))
		control_fail_errno(request, "content", ENOMEM);
	else
		control_deliver(request);
}

static void
log_read(struct control_request *request)
{
	struct log_line line;

	log_begin(&line, EVENT_READ_CONTENT);
	log_u64(&line, "id", request->line.id);
	log_text(&line, "who", request->who);
	log_text(&line, "what", request->content->what);
	log_commit(&line);
}

static void
read_done(struct control_request *request)
{
	struct control_content *content = request->content;

	if (request->result == JOURNAL_ABSENT) {
		control_fail(request, "absent", "no such record any more");
	} else if (request->result == JOURNAL_DAMAGED) {
		control_fail(request, "store", "the record is damaged on disk: liaison check");
	} else if (request->result) {
		control_fail_errno(request, "the record cannot be read", request->result);
	} else if (content->problem) {
		control_fail(request, "absent", "%s", content->problem);
	} else {
		log_read(request);
		control_row(request,
		    json_pack("{ss sI so so sI ss}", "kind", "content", "id", (json_int_t)request->line.id,
			"what", control_text(content->what), "media", control_text(content->media), "size",
			(json_int_t)content->data.len, "sha256", content->sha256));
		request->more = next_chunk;
		control_deliver(request);
	}
}

static void
journalled(void *arg, int error)
{
	struct control_request *request = arg;

	if (error) {
		control_fail(request, "store", "the journal could not take this read: nothing is given out");
		return;
	}
	control_log_act(request, "show-content", request->line.id);
	control_work(request, read_work, read_done);
}

static void
identified(struct control_request *request)
{
	core_access(request->with->core, request->line.id, request->who, request->content->what,
	    request->line.reason, journalled, request);
}

void
control_content(struct control_request *request)
{
	struct journal_place place;
	struct control_content *content;

	if (journal_find(request->with->journal, request->line.id, &place) != 0) {
		control_fail(request, "absent", "no record %llu: it never was, or its retention is over",
		    (unsigned long long)request->line.id);
		return;
	}
	if (control_content_readers(request->control) >= READERS) {
		control_fail(request, "busy", "others are reading content; ask again");
		return;
	}
	content = calloc(1, sizeof(*content));
	if (!content) {
		control_fail_errno(request, "content", ENOMEM);
		return;
	}
	arena_init(&content->arena, CONTENT_MAX);
	buffer_init(&content->decoded, CONTENT_MAX);
	if (request->line.document)
		snprintf(content->what, sizeof(content->what), "document %llu",
		    (unsigned long long)request->line.document);
	else
		snprintf(content->what, sizeof(content->what), "message");
	content->media = request->line.document ? "" : "x-application/hl7-v2+er7";
	request->content = content;
	control_identify(request, identified);
}
