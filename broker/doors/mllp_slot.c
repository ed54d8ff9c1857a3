/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slots of the HL7 door: a message, stray acknowledgement or rejected frame from its last byte to its answer.
 *
 * Of a message only ids, sizes, digests and what MSH-3, 4, 9, 10 and 11 hold is logged, escaped and cut, and even that only when the
 * delimiters could be read: else a field's number says nothing of what is in it.
 */
#include <errno.h>
#include <string.h>

#include "broker/base/clock.h"
#include "broker/base/log.h"
#include "broker/base/metrics.h"
#include "broker/doors/mllp_answer.h"
#include "broker/doors/mllp_documents.h"
#include "broker/doors/mllp_link.h"
#include "codecs/digest.h"

#define INLINE_MAX                                                                                           \
	((size_t)4 << 10) /* of a message: it lies in the block, and leaves half of that for the rest */
#define ALIGN	   ((size_t)16)
#define TRIM_MS	   1000u
#define ARENA_BASE ((size_t)64 << 10)
#define ARENA_SMALL_PER                                                                                      \
	8u /* bytes of arena a byte of a small message may take: the index of four-byte segments is 3 */
#define ARENA_LARGE_PER 4u
#define SHA256_SHOWN	6u /* bytes of the digest in a log line: enough to find a message by eye */

/* Note what ${slot} holds now, for mllp_connection_account. What a large one holds is bounded by the large slots. */
static void
charge(struct mllp_slot *slot)
{
	struct mllp_connection *c = slot->connection;
	uint64_t bytes = MLLP_BLOCK + buffer_memory(&slot->answer);

	if (!slot->large)
		bytes += slot->owned.cap + slot->arena.memory;
	c->slots_charged += bytes - slot->charged;
	slot->charged = bytes;
}

/* It is decided: only its answer is needed still, and its reader may be slow. */
static void
shed(struct mllp_slot *slot)
{
	bool large = slot->large;

	slot->large = false;
	slot->bytes = SPAN_EMPTY;
	buffer_fini(&slot->owned);
	arena_fini(&slot->arena);
	charge(slot);
	if (large)
		slots_give(slot->connection->door->context.slots, &slot->connection->peer->large_held);
}

/* Blocks that nobody needed for a while go back to the system. */
static void
trim(void *arg)
{
	struct mllp_door *door = arg;

	door->trimming = pool_trim(&door->blocks);
	if (door->trimming)
		loop_timer_arm(door->trim, TRIM_MS);
}

int
mllp_slots_init(struct mllp_door *door)
{
	pool_init(&door->blocks, MLLP_BLOCK, MLLP_BLOCKS_KEPT);
	door->trim = loop_timer_new(door->context.loop, trim, door);
	return door->trim ? 0 : -ENOMEM;
}

void
mllp_slots_fini(struct mllp_door *door)
{
	loop_timer_free(door->trim);
	pool_fini(&door->blocks);
}

/* None is kept while memory is short. */
static void
give_block(struct mllp_door *door, struct mllp_slot *slot)
{
	pool_give(&door->blocks, slot, budget_room(door->context.budget, BUDGET_AHEAD));
	if (door->blocks.kept == 0 || door->trimming)
		return;
	door->trimming = true;
	loop_timer_arm(door->trim, TRIM_MS);
}

static void
slot_free(struct mllp_slot *slot)
{
	struct mllp_connection *c = slot->connection;

	if (slot->large)
		slots_give(c->door->context.slots, &c->peer->large_held);
	c->slots_charged -= slot->charged;
	buffer_fini(&slot->answer);
	buffer_fini(&slot->owned);
	arena_fini(&slot->arena);
	config_release(slot->config);
	give_block(c->door, slot);
}

/* The bytes of ${content} in ${owned}: the reader's memory, or a copy. */
static bool
own(struct mllp_connection *c, const struct mllp_event *event, struct span content, struct buffer *owned)
{
	buffer_init(owned, content.len);
	if (content.len > CONTENT_INLINE_MAX && mllp_reader_take(&c->reader, event, owned))
		return true;
	buffer_append_span(owned, content);
	return !buffer_failed(owned);
}

/* The bytes of the message, behind ${slot} when they are few, and an arena on the rest of the block. */
static bool
furnish(struct mllp_slot *slot, const struct mllp_event *event, struct span content)
{
	uint8_t *block = (uint8_t *)slot;
	size_t used = (sizeof(*slot) + ALIGN - 1) & ~(ALIGN - 1);

	if (content.len > INLINE_MAX) {
		if (!own(slot->connection, event, content, &slot->owned))
			return false;
		slot->bytes = span_cut(buffer_span(&slot->owned), 0, content.len);
	} else {
		slot->bytes = span_make(block + used, content.len);
		if (content.len)
			memcpy(block + used, content.ptr, content.len);
		used = (used + content.len + ALIGN - 1) & ~(ALIGN - 1);
	}
	arena_init_on(&slot->arena, block + used, MLLP_BLOCK - used,
	    ARENA_BASE +
		content.len * (content.len > CONTENT_INLINE_MAX ? ARENA_LARGE_PER : ARENA_SMALL_PER));
	return true;
}

_Static_assert(
    sizeof(struct mllp_slot) + ALIGN + INLINE_MAX <= MLLP_BLOCK, "a small message does not fit its block");

struct mllp_slot *
mllp_slot_new(struct mllp_connection *c, const struct mllp_event *event, struct span content)
{
	struct mllp_slot *slot = pool_take(&c->door->blocks);

	if (!slot)
		return NULL;
	memset(slot, 0, offsetof(struct mllp_slot, content));
	slot->connection = c;
	slot->received_us = c->read_us;
	slot->no_end_cr = event->lenient;
	slot->offset = event->offset;
	slot->frame = event->size;
	if (!furnish(slot, event, content)) {
		buffer_fini(&slot->owned);
		give_block(c->door, slot);
		return NULL;
	}
	if (event->head.len)
		memcpy(slot->head, event->head.ptr, event->head.len);
	slot->head_len = event->head.len;
	slot->config = config_hold(c->door->context.config);
	slot->peer = c->peer->config;
	slot->large = c->large;
	c->large = false;
	buffer_init_on(&slot->answer, slot->answer_room, sizeof(slot->answer_room), 2 * MLLP_ANSWER_MAX);
	if (c->last)
		c->last->next = slot;
	else
		c->first = slot;
	c->last = slot;
	c->in_flight++;
	c->door->in_flight++;
	charge(slot);
	return slot;
}

void
mllp_slot_pop(struct mllp_connection *c)
{
	struct mllp_slot *slot = c->first;

	c->first = slot->next;
	if (!c->first)
		c->last = NULL;
	c->in_flight--;
	c->door->in_flight--;
	slot_free(slot);
}

/* "ORU^R01" into ${out}. */
static void
type_text(const struct hl7_header *header, char out[static 16])
{
	struct span type = span_cut(header->type, 0, 7), event = span_cut(header->event, 0, 7);
	size_t n = 0;

	for (size_t i = 0; i < type.len; i++)
		out[n++] = (char)type.ptr[i];
	if (event.len)
		out[n++] = '^';
	for (size_t i = 0; i < event.len; i++)
		out[n++] = (char)event.ptr[i];
	out[n] = '\0';
}

static void
log_about(struct log_line *line, const struct mllp_slot *slot, uint64_t seq)
{
	const struct mllp_connection *c = slot->connection;

	if (seq)
		log_u64(line, "id", seq);
	log_u64(line, "link", c->link_id);
	log_text(line, "peer", c->peer->config->name);
}

static void
log_message(struct log_line *line, const struct mllp_slot *slot, uint64_t seq)
{
	const struct hl7_header *header = &slot->content.header;
	char type[16], hex[DIGEST_HEX_SIZE(SHA256_SHOWN)];

	log_about(line, slot, seq);
	if (header->legal) {
		type_text(header, type);
		log_text(line, "type", type);
		log_span(line, "control", header->field[10]);
		log_span(line, "processing", span_cut(header->processing, 0, 1));
		log_span(line, "application", header->field[3]);
		log_span(line, "facility", header->field[4]);
	}
	log_u64(line, "bytes", slot->submission.size);
	if (slot->submission.sha256)
		log_text(line, "sha256", digest_hex(span_make(slot->submission.sha256, SHA256_SHOWN), hex));
}

static enum log_event
event_of(const struct verdict *verdict)
{
	switch (verdict->answer) {
	case ANSWER_ACCEPT:
		return verdict->duplicate ? EVENT_DUPLICATE : EVENT_RECEIVED;
	case ANSWER_REFUSE:
		return verdict->fault && verdict->fault->code == FAULT_SAME_ID ? EVENT_SAME_ID
									       : EVENT_REFUSED;
	case ANSWER_LATER:
		return EVENT_DEFERRED;
	case ANSWER_NONE:
		break;
	}
	return EVENT_STRAY_ACK;
}

static void
log_verdict(const struct mllp_slot *slot, const struct verdict *verdict)
{
	struct log_line line;

	if (slot->submission.kind == SUBMIT_FRAME) {
		log_begin(&line, EVENT_FRAME_REJECTED);
		log_about(&line, slot, verdict->seq);
		log_text(&line, "cause", fault_name(slot->fault.code));
		log_u64(&line, "bytes", slot->submission.frame_size);
		log_u64(&line, "offset", slot->submission.frame_offset);
	} else {
		log_begin(&line, event_of(verdict));
		log_message(&line, slot, verdict->seq);
		if (verdict->first)
			log_u64(&line, "first", verdict->first);
		if (verdict->answer != ANSWER_ACCEPT && verdict->fault)
			log_fault(&line, verdict->fault);
	}
	log_commit(&line);
}

static void
count_leniencies(const struct mllp_slot *slot)
{
	uint32_t used = slot->content.facts.leniencies;

	if (used & LENIENT_LF)
		metric_add(metric_series(METRIC_LENIENCIES, "lf"), 1);
	if (used & LENIENT_NO_FINAL_CR)
		metric_add(metric_series(METRIC_LENIENCIES, "no-final-cr"), 1);
	if (used & LENIENT_NO_END_CR)
		metric_add(metric_series(METRIC_LENIENCIES, "no-end-cr"), 1);
}

static void
count_verdict(const struct mllp_slot *slot, const struct verdict *verdict)
{
	const struct peer *peer = slot->connection->peer;

	if (slot->submission.kind == SUBMIT_FRAME) {
		metric_add(metric_series(METRIC_FRAMES_REJECTED, fault_name(slot->fault.code)), 1);
		return;
	}
	count_leniencies(slot);
	mllp_documents_count(&slot->content.facts);
	switch (event_of(verdict)) {
	case EVENT_RECEIVED:
		metric_add(peer->messages, 1);
		metric_add(peer->message_bytes, slot->submission.size);
		break;
	case EVENT_DUPLICATE:
		metric_add(peer->duplicates, 1);
		break;
	case EVENT_SAME_ID:
		metric_add(peer->same_id, 1);
		metric_add(peer->refused, 1);
		break;
	case EVENT_REFUSED:
		metric_add(peer->refused, 1);
		break;
	case EVENT_DEFERRED:
		metric_add(peer->deferred, 1);
		break;
	default:
		metric_add(peer->stray, 1);
	}
}

/* Prepare what goes back. A rejected frame that was somebody's message is refused by the fault the door found. */
static void
make_answer(struct mllp_slot *slot, const struct verdict *verdict)
{
	struct mllp_answer answer = {
		.answer = verdict->answer,
		.original = &slot->content.header,
		.fault = verdict->answer == ANSWER_ACCEPT ? NULL : verdict->fault,
		.seq = verdict->seq,
		.time_us = verdict->time_us,
	};

	if (slot->submission.kind == SUBMIT_FRAME) {
		answer.answer = ANSWER_NONE;
		if (slot->answers)
			answer.answer =
			    fault_is_circumstance(slot->fault.code) ? ANSWER_LATER : ANSWER_REFUSE;
		answer.fault = &slot->fault;
	}
	slot->verdict = answer.answer;
	if (answer.answer != ANSWER_NONE)
		mllp_answer_write(&slot->answer, &answer);
}

static void
slot_decided(void *arg, const struct verdict *verdict)
{
	struct mllp_slot *slot = arg;
	struct mllp_connection *c = slot->connection;
	bool junk;

	slot->seq = verdict->seq;
	if (slot->submission.kind == SUBMIT_MESSAGE)
		c->heard = true;
	count_verdict(slot, verdict);
	log_verdict(slot, verdict);
	if (slot->submission.kind == SUBMIT_MESSAGE && event_of(verdict) == EVENT_RECEIVED)
		mllp_documents_tell(slot, verdict->seq);
	make_answer(slot, verdict);
	slot->answered = true;
	junk = verdict->answer == ANSWER_REFUSE || slot->submission.kind == SUBMIT_STRAY;
	c->pins++;
	shed(slot);
	if (slot->submission.kind != SUBMIT_FRAME && junk)
		mllp_connection_charge(c, slot->submission.size);
	c->pins--;
	mllp_connection_due(c);
}

static void
submit(struct mllp_slot *slot)
{
	core_submit(slot->connection->door->context.core, &slot->submission, slot_decided, slot);
}

/* The sender asks for acknowledgements we do not give: a commit one (MSH-15), or none for what is well (MSH-16). Told once a link. */
static void
tell_mode(struct mllp_slot *slot)
{
	struct mllp_connection *c = slot->connection;
	struct span accept = slot->content.facts.accept_mode;
	struct span application = slot->content.facts.application_mode;
	struct log_line line;

	if (c->mode_told || ((hl7_is_absent(accept) || span_eq_str(accept, "NE")) &&
				(hl7_is_absent(application) || span_eq_str(application, "AL"))))
		return;
	c->mode_told = true;
	log_begin(&line, EVENT_ORIGINAL_MODE);
	log_about(&line, slot, 0);
	log_span(&line, "accept", span_cut(accept, 0, 2));
	log_span(&line, "application", span_cut(application, 0, 2));
	log_commit(&line);
}

/* Which certificate the message came from: journalled, so that it can be shown later. */
static void
put_certificate(struct facts *facts, const struct tls_identity *certificate)
{
	if (!certificate->serial[0])
		return;
	facts->certificate_issuer = span_str(certificate->issuer);
	facts->certificate_subject = span_str(certificate->subject);
	facts->certificate_serial = span_str(certificate->serial);
	facts->certificate_sha256 = span_make(certificate->sha256, sizeof(certificate->sha256));
}

static void
submit_judged(struct mllp_slot *slot)
{
	struct content *content = &slot->content;

	content->facts.door = DOOR_MLLP;
	put_certificate(&content->facts, &slot->connection->certificate);
	if (slot->no_end_cr)
		content->facts.leniencies |= LENIENT_NO_END_CR;
	slot->submission.kind = content->kind == CONTENT_STRAY ? SUBMIT_STRAY : SUBMIT_MESSAGE;
	slot->submission.sha256 = content->sha256;
	slot->submission.facts = &content->facts;
	if (slot->fault.code != FAULT_NONE)
		slot->submission.fault = &slot->fault;
	else if (content->fault.code != FAULT_NONE)
		slot->submission.fault = &content->fault;
	if (content->kind == CONTENT_MESSAGE)
		tell_mode(slot);
	charge(slot);
	submit(slot);
}

static void
judge(struct mllp_slot *slot, struct span bytes)
{
	content_judge(bytes, slot->peer, slot->connection->door->listener, &slot->arena, &slot->content);
}

static void
judge_run(struct workers_job *job)
{
	struct mllp_slot *slot = (struct mllp_slot *)job;

	judge(slot, slot->bytes);
	if (slot->content.unread)
		content_read_documents(slot->bytes, slot->peer, &slot->arena, &slot->content);
}

static void
documents_run(struct workers_job *job)
{
	struct mllp_slot *slot = (struct mllp_slot *)job;

	content_read_documents(slot->bytes, slot->peer, &slot->arena, &slot->content);
}

static void
judge_done(struct workers_job *job)
{
	struct mllp_slot *slot = (struct mllp_slot *)job;
	struct mllp_connection *c = slot->connection;

	c->pins++;
	c->judging = false;
	submit_judged(slot);
	c->pins--;
	mllp_connection_go_on(c);
}

/* Let a worker run ${run} on ${slot}, and submit it then. */
static void
run_elsewhere(struct mllp_slot *slot, void (*run)(struct workers_job *job))
{
	struct mllp_connection *c = slot->connection;

	slot->job.run = run;
	slot->job.done = judge_done;
	if (workers_submit(c->door->context.workers, &slot->job) == 0)
		c->judging = true;
	else
		mllp_slot_turn_away(slot, "too many large messages are being checked");
}

static void
begin_submission(struct mllp_slot *slot)
{
	slot->submission =
	    (struct submission){ .peer = slot->peer, .bytes = slot->bytes, .size = slot->bytes.len };
}

/* A small message is judged here, and its documents read if they are small as well; else a worker does it. */
void
mllp_slot_judge(struct mllp_slot *slot)
{
	begin_submission(slot);
	if (slot->bytes.len > CONTENT_INLINE_MAX) {
		run_elsewhere(slot, judge_run);
		return;
	}
	judge(slot, slot->bytes);
	if (slot->content.unread > CONTENT_DOCUMENTS_INLINE_MAX) {
		run_elsewhere(slot, documents_run);
		return;
	}
	if (slot->content.unread)
		documents_run(&slot->job);
	submit_judged(slot);
}

/* Of a message that the door refuses: its head, for the header and the facts that it gives (what is found wrong in it is not what is
 * answered), and the digest of all that came. */
static void
refuse_run(struct workers_job *job)
{
	struct mllp_slot *slot = (struct mllp_slot *)job;

	judge(slot, span_cut(slot->bytes, 0, CONTENT_INLINE_MAX));
	if (slot->bytes.len > CONTENT_INLINE_MAX && digest_sha256(slot->bytes, slot->content.sha256) != 0)
		memset(slot->content.sha256, 0, sizeof(slot->content.sha256));
}

void
mllp_slot_refuse(struct mllp_slot *slot, enum fault_code cause, const char *why)
{
	fault_set(&slot->fault, cause, 0, "", "%s", why);
	begin_submission(slot);
	if (slot->bytes.len > CONTENT_INLINE_MAX) {
		run_elsewhere(slot, refuse_run);
		return;
	}
	refuse_run(&slot->job);
	submit_judged(slot);
}

static void
submit_frame(struct mllp_slot *slot)
{
	slot->submission = (struct submission){ .kind = SUBMIT_FRAME,
		.peer = slot->peer,
		.bytes = span_make(slot->head, slot->head_len),
		.size = slot->frame,
		.fault = &slot->fault,
		.frame_size = slot->frame,
		.frame_offset = slot->offset };
	submit(slot);
}

void
mllp_slot_turn_away(struct mllp_slot *slot, const char *why)
{
	struct span first = span_cut(slot->bytes, 0, MLLP_HEAD_MAX - 1);

	slot->head[0] = MLLP_VT;
	if (first.len)
		memcpy(slot->head + 1, first.ptr, first.len);
	slot->head_len = 1 + first.len;
	hl7_header_read(&slot->content.header, span_cut(slot->bytes, 0, CONTENT_INLINE_MAX));
	slot->answers = true;
	fault_set(&slot->fault, FAULT_OVERLOAD, 0, "", "%s", why);
	submit_frame(slot);
}

void
mllp_slot_reject(struct mllp_slot *slot, enum fault_code cause, bool answers)
{
	struct hl7_header *header = &slot->content.header;

	hl7_header_read(header, slot->bytes);
	slot->answers = answers && slot->bytes.len && !span_eq_str(header->type, "ACK") &&
			!span_eq_str(header->type, "MCF");
	fault_set(
	    &slot->fault, cause, 0, "", "The frame is not one: a start block, the message, an end block.");
	submit_frame(slot);
}
