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
#include "broker/doors/pull_document.h"
#include "codecs/base64.h"
#include "codecs/digest.h"

#define CHUNK	((size_t)36 << 10) /* 48 KiB as base64 */
#define READERS 2

struct control_content {
	struct arena arena; /* the record without its body */
	struct record record;
	struct facts facts;
	struct pull_content pull; /* what is given out: the same as readers are given */
	size_t at;
	char what[32];
	const char *problem; /* why there is nothing to give */
};

void
control_content_free(struct control_content *content)
{
	if (!content)
		return;
	pull_content_fini(&content->pull);
	arena_fini(&content->arena);
	free(content);
}

/* Document ${number} of the record, NULL with a problem when there is none. */
static const struct facts_document *
find_document(struct control_content *content, uint64_t number)
{
	if (number > content->facts.document_count) {
		content->problem = "it has no such document";
		return NULL;
	}
	return &content->facts.documents[number - 1];
}

static int
read_content(struct control_request *request, struct control_content *content)
{
	const struct facts_document *document = NULL;
	int r;

	if (content->record.head.type > RECORD_STRAY) {
		content->problem = "it is no message: it has no content";
		return 0;
	}
	if (content->record.facts.len) {
		r = facts_decode(content->record.facts, &content->arena, &content->facts);
		if (r < 0)
			return r;
		if (r)
			content->facts = (struct facts){ 0 };
	}
	if (request->line.document && !(document = find_document(content, request->line.document)))
		return 0;
	r = pull_content_read(
	    &content->pull, request->with->journal, &content->record, document, content->facts.delimiters);
	if (r == PULL_CONTENT_GONE)
		content->problem = "its bytes are no longer kept";
	else if (r == PULL_CONTENT_UNDECODABLE)
		content->problem = "the document is not in the encoding it says; read the message itself";
	else if (r == PULL_CONTENT_DAMAGED)
		return JOURNAL_DAMAGED;
	return r < 0 ? r : 0;
}

static void
read_work(struct control_request *request)
{
	struct control_content *content = request->content;

	request->result =
	    journal_read(request->with->journal, request->line.id, false, &content->arena, &content->record);
	if (!request->result)
		request->result = read_content(request, content);
}

static void
next_chunk(struct control_request *request)
{
	struct control_content *content = request->content;
	struct span piece = span_cut(content->pull.bytes, content->at, content->at + CHUNK);

	if (!piece.len) {
		control_ok(request, json_pack("{sI}", "size", (json_int_t)content->pull.bytes.len));
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
	char hex[DIGEST_HEX_SIZE(32)];

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
		pull_content_count(&content->pull);
		digest_hex(span_make(content->pull.sha256, sizeof(content->pull.sha256)), hex);
		control_row(request,
		    json_pack("{ss sI so so sI ss}", "kind", "content", "id", (json_int_t)request->line.id,
			"what", control_text(content->what), "media", control_text(content->pull.media),
			"size", (json_int_t)content->pull.bytes.len, "sha256", hex));
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
	control_log_act(request, "show-content", NULL, request->line.id, 1);
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
	arena_init(&content->arena, CONTROL_MEMORY_MAX);
	if (request->line.document)
		snprintf(content->what, sizeof(content->what), "document %llu",
		    (unsigned long long)request->line.document);
	else
		snprintf(content->what, sizeof(content->what), "message");
	request->content = content;
	control_identify(request, identified);
}
