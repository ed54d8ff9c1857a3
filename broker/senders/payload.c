/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a message for its destination: see payload.h.
 */
#include "broker/senders/payload.h"

#include <errno.h>
#include <stdlib.h>

#include "broker/core/facts.h"
#include "broker/store/journal.h"
#include "codecs/mllp.h"

#define FRONT_MAX ((size_t)33 << 20) /* facts and decision, read twice, at most */

static int
unsendable(struct payload *payload, const char *code, const char *text)
{
	payload->code = code;
	payload->text = text;
	return PAYLOAD_UNSENDABLE;
}

/* What journal_read or a decoder said; positive: these bytes will not get better. */
static int
failed(struct payload *payload, int r)
{
	if (r < 0)
		return r;
	if (r == JOURNAL_ABSENT)
		return unsendable(payload, "gone", "its record is no more in the journal");
	return unsendable(payload, "damaged", "its record is damaged");
}

static int
read_body(struct payload *payload)
{
	struct record record;
	int r;

	r = journal_read(payload->journal, payload->seq, true, &payload->arena, &record);
	if (r)
		return failed(payload, r);
	if (record.body.len != record.head.size)
		return unsendable(payload, "gone", "its bytes were removed");
	if (!mllp_can_frame(record.body))
		return unsendable(payload, "unframable", "it holds a byte that ends a frame");
	payload->bytes = record.body;
	payload->whole = true;
	return 0;
}

static int
read_message(struct payload *payload)
{
	struct record record;
	struct facts facts;
	int r;

	r = journal_read(payload->journal, payload->seq, false, &payload->arena, &record);
	if (r)
		return failed(payload, r);
	payload->size = record.head.size;
	r = facts_decode(record.facts, &payload->arena, &facts);
	if (r)
		return failed(payload, r);
	payload->control = facts.control_id;
	if (payload->control.len == 0)
		return unsendable(
		    payload, "no-control-id", "it has no MSH-10 by which it could be acknowledged");
	return payload->size <= payload->body_max ? read_body(payload) : 0;
}

static void
run(struct workers_job *job)
{
	struct payload *payload = (struct payload *)((char *)job - offsetof(struct payload, job));

	payload->result = read_message(payload);
}

static void
done(struct workers_job *job)
{
	struct payload *payload = (struct payload *)((char *)job - offsetof(struct payload, job));

	payload->done(payload, payload->arg);
}

int
payload_read(struct workers *workers, struct journal *journal, uint64_t seq, size_t body_max,
    void (*done_fn)(struct payload *payload, void *arg), void *arg, struct payload **payloadp)
{
	struct payload *payload = calloc(1, sizeof(*payload));
	int r;

	if (!payload)
		return -ENOMEM;
	payload->job.run = run;
	payload->job.done = done;
	payload->journal = journal;
	payload->seq = seq;
	payload->body_max = body_max;
	payload->done = done_fn;
	payload->arg = arg;
	arena_init(&payload->arena, FRONT_MAX + body_max);
	*payloadp = payload;
	r = workers_submit(workers, &payload->job);
	if (r) {
		*payloadp = NULL;
		payload_free(payload);
	}
	return r;
}

size_t
payload_frame(const struct payload *payload)
{
	return payload->bytes.len + 3;
}

struct span
payload_piece(const struct payload *payload, size_t max)
{
	static const uint8_t start[] = { MLLP_VT }, end[] = { MLLP_FS, MLLP_CR };

	if (payload->sent == 0)
		return span_make(start, sizeof(start));
	if (payload->sent <= payload->bytes.len)
		return span_cut(payload->bytes, payload->sent - 1, payload->sent - 1 + max);
	return span_cut(span_make(end, sizeof(end)), payload->sent - 1 - payload->bytes.len, sizeof(end));
}

void
payload_free(struct payload *payload)
{
	if (!payload)
		return;
	arena_fini(&payload->arena);
	free(payload);
}
