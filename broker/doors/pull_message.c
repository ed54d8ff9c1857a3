/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /v1/messages/{seq} and /v1/messages/{seq}/documents/{n}: content.
 *
 *     facts and decision read -> may the peer? -> the read journalled -> bytes read, a document decoded -> sent
 *
 * Whether a message was for an inbox that the peer reads is what its record says. One that is another's, one that never was and a record that is no
 * message are answered alike, after the same step. Content past large_size holds a large slot until it is sent.
 */
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>

#include "broker/base/budget.h"
#include "broker/doors/pull_document.h"
#include "broker/doors/pull_json.h"
#include "broker/doors/pull_request.h"
#include "broker/doors/slots.h"
#include "broker/net/loop.h"
#include "broker/store/workers.h"
#include "codecs/base64.h"

#define FACTS_MAX    ((size_t)16 << 20) /* memory for the facts of one message */
#define DIGEST_FIELD 64			/* "sha-256=:", 44 characters, ":" */

struct reading {
	struct pull_request base;
	struct workers_job job;
	uint64_t seq, document; /* document 0: the message */
	struct arena facts_arena;
	struct record record; /* without its body */
	struct facts facts;
	struct facts_document wanted;
	int outcome; /* of the job: 0, that module's outcome, -errno */
	bool large;  /* holds a slot */
	struct pull_content content;
	char what[48];
};

static struct reading *
reading_of(struct pull_request *request)
{
	return (struct reading *)request;
}

static struct reading *
reading_of_job(struct workers_job *job)
{
	return (struct reading *)((char *)job - offsetof(struct reading, job));
}

static void
submit(struct reading *reading, void (*run)(struct workers_job *job), void (*done)(struct workers_job *job))
{
	reading->job.run = run;
	reading->job.done = done;
	pull_hold(&reading->base);
	if (workers_submit(reading->base.door->context.workers, &reading->job) == 0)
		return;
	pull_later(&reading->base, "overload", "The broker is busy.");
	pull_let_go(&reading->base);
}

/*
 * The content: read, decode, send
 */
static void
content_run(struct workers_job *job)
{
	struct reading *reading = reading_of_job(job);
	const struct facts_document *wanted = reading->document ? &reading->wanted : NULL;

	reading->outcome = pull_content_read(&reading->content, reading->base.door->context.journal,
	    &reading->record, wanted, reading->facts.delimiters);
}

static void
content_sent(void *arg)
{
	pull_let_go(arg);
}

static void
send_content(struct reading *reading)
{
	struct pull_request *request = &reading->base;
	struct pull_content *content = &reading->content;
	struct http1_field_out field = { "Repr-Digest", SPAN_EMPTY };
	struct http_response response = { .status = 200,
		.media = content->media,
		.fields = &field,
		.count = 1,
		.body = { .bytes = content->bytes, .release = content_sent, .arg = request },
		.slotted = reading->large };
	struct buffer digest;
	struct log_line line;

	log_begin(&line, EVENT_READ_CONTENT);
	log_u64(&line, "id", reading->seq);
	log_u64(&line, "link", request->link_id);
	log_text(&line, "peer", request->peer->name);
	log_text(&line, "what", reading->what);
	log_u64(&line, "bytes", content->bytes.len);
	log_commit(&line);
	buffer_init(&digest, DIGEST_FIELD);
	buffer_append_str(&digest, "sha-256=:");
	base64_encode(span_make(content->sha256, sizeof(content->sha256)), &digest);
	buffer_append_byte(&digest, ':');
	field.value = buffer_span(&digest);
	pull_hold(request); /* until the content is sent */
	pull_answer(request, &response);
	buffer_fini(&digest);
}

static void
content_done(struct workers_job *job)
{
	struct reading *reading = reading_of_job(job);
	struct pull_request *request = &reading->base;

	pull_content_count(&reading->content);
	if (!request->connection) {
		pull_let_go(request);
		return;
	}
	switch (reading->outcome) {
	case 0:
		send_content(reading);
		break;
	case PULL_CONTENT_GONE:
		pull_problem(request, &(struct http_problem){ .status = 410,
					  .name = "gone",
					  .detail = "The content of this message was removed." });
		break;
	case PULL_CONTENT_UNDECODABLE:
		pull_problem(
		    request, &(struct http_problem){ .status = 422,
				 .name = "undecodable",
				 .detail = "The document is not in the encoding that the message says; "
					   "the message itself can be read." });
		break;
	case PULL_CONTENT_DAMAGED:
		pull_problem(request, &(struct http_problem){ .status = 500,
					  .name = "damaged",
					  .detail = "The stored bytes are damaged; the operator is told." });
		break;
	default:
		pull_later(request, "journal", "The journal cannot be read now.");
	}
	pull_let_go(request);
}

/* The read is on disk, or could not be written. */
static void
access_done(void *arg, int error)
{
	struct reading *reading = arg;
	struct pull_request *request = &reading->base;

	if (request->connection && error)
		pull_later(request, "journal", "The journal cannot be written now: nothing is given out.");
	else if (request->connection)
		submit(reading, content_run, content_done);
	pull_let_go(request);
}

/*
 * The record: what is it, and may the peer read it?
 */

/* Whether ${decision} sent the message to an inbox that the peer reads. */
static bool
is_for(const struct reading *reading, const struct decision *decision)
{
	const struct config *config = reading->base.config;
	char name[PULL_PARAM_SIZE];

	for (size_t i = 0; i < decision->to_count; i++) {
		const struct config_destination *inbox;

		if (decision->to[i].len >= sizeof(name))
			continue;
		memcpy(name, decision->to[i].ptr, decision->to[i].len);
		name[decision->to[i].len] = '\0';
		inbox = config_destination(config, name);
		if (inbox && pull_reads(reading->base.reader, inbox))
			return true;
	}
	return false;
}

static int
read_record(struct reading *reading)
{
	struct arena *arena = &reading->facts_arena;
	struct decision decision;
	int error;

	error =
	    journal_read(reading->base.door->context.journal, reading->seq, false, arena, &reading->record);
	if (error)
		return error;
	if (reading->record.head.type != RECORD_ACCEPTED)
		return JOURNAL_ABSENT;
	error = decision_decode(reading->record.decision, arena, &decision);
	if (error)
		return error < 0 ? error : JOURNAL_ABSENT;
	if (!is_for(reading, &decision))
		return JOURNAL_ABSENT;
	error = facts_decode(reading->record.facts, arena, &reading->facts);
	if (error)
		return error < 0 ? error : JOURNAL_DAMAGED;
	if (reading->document > reading->facts.document_count)
		return JOURNAL_ABSENT;
	if (reading->document)
		reading->wanted = reading->facts.documents[reading->document - 1];
	return 0;
}

static void
record_run(struct workers_job *job)
{
	struct reading *reading = reading_of_job(job);

	reading->outcome = read_record(reading);
}

static void
record_done(struct workers_job *job)
{
	struct reading *reading = reading_of_job(job);
	struct pull_request *request = &reading->base;
	const struct door_context *context = &request->door->context;

	if (!request->connection)
		;
	else if (reading->outcome < 0)
		pull_later(request, "journal", "The journal cannot be read now.");
	else if (reading->outcome)
		pull_absent(request); /* a damaged record cannot tell whose it is */
	else if (reading->record.head.size > request->config->limits.large_size &&
		 !(reading->large = slots_take(context->slots, &request->peer->large_held)))
		pull_later(request, "overload", "Too many large messages are being read.");
	else if (!reading->large && !budget_room(context->budget, BUDGET_DRAIN))
		pull_later(request, "overload", "There is no memory for this answer now.");
	else {
		pull_hold(request);
		core_access(context->core, reading->seq, request->peer->name, reading->what, "pull",
		    access_done, reading);
	}
	pull_let_go(request);
}

static void
begin(struct reading *reading)
{
	if (reading->document)
		(void)snprintf(reading->what, sizeof(reading->what), "document %" PRIu64, reading->document);
	else
		(void)snprintf(reading->what, sizeof(reading->what), "message");
	submit(reading, record_run, record_done);
}

static void
start_message(struct pull_request *request)
{
	struct reading *reading = reading_of(request);

	arena_init(&reading->facts_arena, FACTS_MAX);
	if (!pull_number(request->params[0], &reading->seq) || reading->seq > PULL_SEQ_MAX)
		pull_absent(request);
	else
		begin(reading);
}

static void
start_document(struct pull_request *request)
{
	struct reading *reading = reading_of(request);

	arena_init(&reading->facts_arena, FACTS_MAX);
	if (!pull_number(request->params[0], &reading->seq) || reading->seq > PULL_SEQ_MAX ||
	    !pull_number(request->params[1], &reading->document) || reading->document == 0)
		pull_absent(request);
	else
		begin(reading);
}

static void
fini(struct pull_request *request)
{
	struct reading *reading = reading_of(request);

	pull_content_fini(&reading->content);
	arena_fini(&reading->facts_arena);
	if (reading->large)
		slots_give(request->door->context.slots, &request->peer->large_held);
}

const struct pull_route pull_route_message = {
	.method = HTTP1_GET,
	.pattern = "/v1/messages/{seq}",
	.size = sizeof(struct reading),
	.query = "",
	.start = start_message,
	.fini = fini,
	.statuses = { 200, 404, 410, 500 },
};

const struct pull_route pull_route_document = {
	.method = HTTP1_GET,
	.pattern = "/v1/messages/{seq}/documents/{n}",
	.size = sizeof(struct reading),
	.query = "",
	.start = start_document,
	.fini = fini,
	.statuses = { 200, 404, 410, 422, 500 },
};
