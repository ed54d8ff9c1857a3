/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `show ID --proof`: what shows to others that a message was received and what each destination answered, record by record.
 *
 * A proof holds the facts of the message, titles of documents among them: the read is journalled before it is given out. The client makes the file:
 * conf/doc/proof.md.
 */
#include <errno.h>
#include <string.h>

#include "broker/doors/control_request.h"
#include "codecs/base64.h"

#define PROOF_RECORDS 1000 /* of one message: its outcomes and acts about it */

struct proving {
	bool unsigned_now;
};

static json_t *
base64_text(struct span bytes)
{
	struct buffer text;
	json_t *value;

	buffer_init(&text, base64_encoded_size(bytes.len) + 1);
	base64_encode(bytes, &text);
	value = buffer_failed(&text) ? NULL : json_stringn(text.len ? (const char *)text.data : "", text.len);
	buffer_fini(&text);
	return value;
}

static json_t *
path_array(const struct journal_proof *proof)
{
	json_t *path = json_array();

	for (size_t i = 0; i < proof->path_count; i++)
		json_array_append_new(path, base64_text(span_make(proof->path[i], sizeof proof->path[i])));
	return path;
}

static void
record_row(struct control_request *request, uint64_t seq, const struct journal_proof *proof)
{
	control_row(
	    request, json_pack("{ss sI so so sI so so so so}", "kind", "proof", "record", (json_int_t)seq,
			 "header", base64_text(span_make(proof->covered, sizeof proof->covered)), "before",
			 base64_text(span_make(proof->chain_before, sizeof proof->chain_before)), "index",
			 (json_int_t)proof->index, "path", path_array(proof), "facts",
			 proof->has_facts ? base64_text(proof->record.facts) : json_null(), "decision",
			 proof->has_decision ? base64_text(proof->record.decision) : json_null(), "signature",
			 base64_text(proof->signature)));
}

static int
prove(struct control_request *request, uint64_t seq)
{
	struct journal_proof *proof = arena_calloc(&request->arena, 1, sizeof *proof);
	int r = proof ? journal_prove(request->with->journal, seq, &request->arena, proof) : -ENOMEM;

	if (r == 0)
		record_row(request, seq, proof);
	return r;
}

static bool
belongs(const struct trace_hop *hop, uint64_t id)
{
	return hop->ref == id && (hop->type == RECORD_OUTCOME || hop->type == RECORD_OPERATOR);
}

static void
proof_work(struct control_request *request)
{
	const struct control_options *with = request->with;
	const struct trace_hop *record;
	struct trace_message message;
	size_t count = 0;
	int r;

	(void)trace_wait(with->trace, request->number, CONTROL_VIEW_MS);
	request->result = trace_show(with->trace, request->line.id, &request->arena, &message, &record);
	if (request->result)
		return;
	request->number = message.seq == request->line.id;
	if (!request->number)
		return;
	r = prove(request, message.seq);
	for (size_t i = 0; r == 0 && i < message.hop_count && count < PROOF_RECORDS; i++) {
		if (!belongs(&message.hops[i], message.seq))
			continue;
		r = prove(request, message.hops[i].record);
		if (r == JOURNAL_ABSENT) /* past its retention: it can be proven no more */
			r = 0;
		count++;
	}
	((struct proving *)request->own)->unsigned_now = r == JOURNAL_UNSIGNED;
	request->result = r > 0 ? -EIO : r;
	if (r == JOURNAL_ABSENT)
		request->result = TRACE_ABSENT;
}

static void
proof_done(struct control_request *request)
{
	const struct proving *proving = request->own;

	if (proving->unsigned_now)
		control_fail(request, "store",
		    "the journal is not signed: journal.seal_key is not set, its certificate has ended, or "
		    "nothing can be "
		    "written now");
	else if (request->result == TRACE_ABSENT)
		control_fail(request, "absent", "no message %llu: it never was, or its retention is over",
		    (unsigned long long)request->line.id);
	else if (request->result)
		control_fail_errno(request, "the proof cannot be made", request->result);
	else if (!request->number)
		control_fail(request, "absent", "%llu is no message: its record tells of another",
		    (unsigned long long)request->line.id);
	else
		control_ok(request, json_object());
}

static void
journalled(void *arg, int error)
{
	struct control_request *request = arg;

	if (error) {
		control_fail(request, "store", "the journal could not take this read: nothing is given out");
		return;
	}
	control_log_act(request, "show-proof", NULL, request->line.id, 1);
	request->number = journal_committed(request->with->journal);
	control_work(request, proof_work, proof_done);
}

static void
identified(struct control_request *request)
{
	core_access(request->with->core, request->line.id, request->who, "proof", request->line.reason,
	    journalled, request);
}

void
control_proof(struct control_request *request)
{
	struct journal_place place;

	request->own = arena_calloc(&request->arena, 1, sizeof(struct proving));
	if (!request->own)
		control_fail_errno(request, "proof", ENOMEM);
	else if (journal_find(request->with->journal, request->line.id, &place) != 0)
		control_fail(request, "absent", "no record %llu: it never was, or its retention is over",
		    (unsigned long long)request->line.id);
	else
		control_identify(request, identified);
}
