/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POST /v1/inboxes/{name}/ack: a reader accepts and rejects items, each on its own.
 *
 * Idempotent: the first acknowledgement of an item counts, a later one, also a contradicting one, is told what stands. Answered after
 * the outcomes are on disk.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "broker/doors/pull_json.h"
#include "broker/doors/pull_request.h"
#include "broker/store/workers.h"

#define ITEM_MEMORY ((size_t)8 << 20) /* ten thousand items with their texts */
#define RESULTS_MAX ((size_t)1 << 20) /* and their results */

struct ack {
	struct pull_request base;
	struct workers_job job;
	const struct config_destination *inbox;
	size_t number;	    /* its queue's */
	struct buffer body; /* a copy: the connection may go while it is read */
	struct arena arena;
	struct settlement *items;
	size_t count;
	const char *wrong;
};

static void
log_settled(const struct ack *ack, const struct settlement *item)
{
	bool accepted = item->outcome == OUTCOME_ACCEPTED;
	struct log_line line;

	log_begin(&line, accepted ? EVENT_DELIVERED : EVENT_ITEM_REJECTED);
	log_u64(&line, "id", item->seq);
	log_u64(&line, "link", ack->base.link_id);
	log_text(&line, "peer", ack->base.peer->name);
	log_text(&line, "destination", ack->inbox->name);
	if (!accepted) /* the text is the reader's prose, which may name a patient: `show` has it */
		log_span(&line, "code", item->code);
	log_commit(&line);
}

static void
settled(void *arg, int error)
{
	struct ack *ack = arg;
	struct pull_request *request = &ack->base;
	struct buffer out;

	for (size_t i = 0; i < ack->count && error == 0; i++)
		if (ack->items[i].result == SETTLED_NOW)
			log_settled(ack, &ack->items[i]);
	buffer_init(&out, RESULTS_MAX);
	if (error == 0)
		pull_json_results(&out, ack->items, ack->count);
	if (!request->connection)
		; /* the outcomes stand; asking again tells them */
	else if (error)
		pull_later(
		    request, "journal", "The journal cannot be written now: ask again, what stands is told.");
	else if (buffer_failed(&out))
		pull_later(request, "overload", "There is no memory for this answer now: ask again.");
	else
		pull_answer_json(request, 200, &out);
	buffer_fini(&out);
	pull_let_go(request);
}

static void
run(struct workers_job *job)
{
	struct ack *ack = (struct ack *)((char *)job - offsetof(struct ack, job));

	ack->wrong = pull_json_ack(buffer_span(&ack->body), &ack->arena, &ack->items, &ack->count);
}

static void
done(struct workers_job *job)
{
	struct ack *ack = (struct ack *)((char *)job - offsetof(struct ack, job));
	struct pull_request *request = &ack->base;

	if (request->connection && ack->wrong) {
		pull_bad_request(request, ack->wrong);
	} else if (request->connection && ack->count == 0) {
		settled(ack, 0);
		return;
	} else if (request->connection) {
		core_settle(request->door->context.core, ack->number, request->peer->name, ack->items,
		    ack->count, settled, ack);
		return;
	}
	pull_let_go(request);
}

/* application/json, with parameters or without. */
static bool
is_json(const struct http_request *http)
{
	struct span value;
	const uint8_t *end;

	if (http1_field_find(http->fields, "Content-Type", &value) != 1)
		return false;
	end = value.len ? memchr(value.ptr, ';', value.len) : NULL;
	if (end)
		value.len = (size_t)(end - value.ptr);
	while (value.len && (value.ptr[value.len - 1] == ' ' || value.ptr[value.len - 1] == '\t'))
		value.len--;
	return http1_equal_nocase(value, span_str("application/json"));
}

static void
start(struct pull_request *request)
{
	struct ack *ack = (struct ack *)request;

	buffer_init(&ack->body, request->http->body.len);
	arena_init(&ack->arena, ITEM_MEMORY);
	ack->inbox = pull_inbox(request);
	if (ack->inbox)
		ack->number = core_number(request->door->context.core, ack->inbox->name);
	if (!ack->inbox || ack->number == CORE_NONE) {
		pull_absent(request);
		return;
	}
	if (!is_json(request->http)) {
		pull_problem(request, &(struct http_problem){ .status = 415,
					  .name = "media-type",
					  .detail = "The body of an acknowledgement is application/json." });
		return;
	}
	buffer_append_span(&ack->body, request->http->body);
	ack->job.run = run;
	ack->job.done = done;
	pull_hold(request);
	if (!buffer_failed(&ack->body) && workers_submit(request->door->context.workers, &ack->job) == 0)
		return;
	pull_later(request, "overload", "The broker is busy.");
	pull_let_go(request);
}

static void
fini(struct pull_request *request)
{
	struct ack *ack = (struct ack *)request;

	buffer_fini(&ack->body);
	arena_fini(&ack->arena);
}

const struct pull_route pull_route_ack = {
	.method = HTTP1_POST,
	.pattern = "/v1/inboxes/{name}/ack",
	.size = sizeof(struct ack),
	.query = "",
	.start = start,
	.fini = fini,
	.statuses = { 200, 404, 415 },
};
