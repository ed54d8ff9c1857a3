/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From bytes to slots: what the MLLP reader tells becomes messages to judge, messages to refuse, rejects to record.
 */
#include "broker/base/clock.h"
#include "broker/doors/mllp_link.h"

#define HEADER_MAX    ((size_t)64 << 10)   /* of a rejected frame: enough to read its MSH for the answer */
#define NOISE_RUN_MAX ((uint64_t)64 << 10) /* noise is recorded and charged at least this often */

void
mllp_out_of_memory(struct mllp_connection *c)
{
	/* Nothing can be said any more in the protocol's terms; what was in flight is decided without us. */
	c->closing = true;
	if (c->link)
		link_drop(c->link, LINK_RESET);
}

/* Memory for the next bytes: a large frame has its slot, others stand in line when there is none. */
static bool
has_memory(struct mllp_connection *c)
{
	bool begun = mllp_reader_state(&c->reader) != MLLP_OUTSIDE;

	return c->large || budget_ask(&c->seat, begun ? BUDGET_GO_ON : BUDGET_BEGIN);
}

bool
mllp_may_read(struct mllp_connection *c)
{
	return c->link && !c->closing && !c->judging && !c->waiter.waiting &&
	       c->in_flight < c->peer->config->max_in_flight && has_memory(c);
}

/* A message that circumstances refuse, all of which is there. */
static void
refuse_overload(struct mllp_connection *c, const struct mllp_event *event, const char *why)
{
	struct mllp_slot *slot = mllp_slot_new(c, event, event->content);

	if (slot)
		mllp_slot_refuse(slot, FAULT_OVERLOAD, why);
	else
		mllp_out_of_memory(c);
}

static void
take_frame(struct mllp_connection *c, const struct mllp_event *event)
{
	bool large = event->content.len > c->door->context.config->limits.large_size;
	struct mllp_slot *slot;

	if (large && !c->large)
		c->large = slots_take(c->door->context.slots, &c->peer->large_held);
	if (large && !c->large) {
		refuse_overload(c, event, "too many large messages are being received");
		return;
	}
	slot = mllp_slot_new(c, event, event->content);
	if (slot)
		mllp_slot_judge(slot);
	else
		mllp_out_of_memory(c);
}

/* A frame that is refused before its end: told, answered, and the connection closed. */
static void
cut_frame(struct mllp_connection *c, const struct mllp_event *event)
{
	static const char why[] = "no memory for a message of this size now";
	bool whole =
	    event->content.len + 1 == event->size; /* nothing of it is lost: its digest can be told */
	struct mllp_slot *slot;

	c->closing = true;
	slot = mllp_slot_new(c, event, whole ? event->content : span_cut(event->content, 0, HEADER_MAX));
	if (!slot)
		mllp_out_of_memory(c);
	else if (!whole)
		mllp_slot_turn_away(slot, why);
	else if (event->cause == FAULT_TOO_LARGE)
		mllp_slot_refuse(slot, FAULT_TOO_LARGE, "The message is larger than this peer may send.");
	else
		mllp_slot_refuse(slot, FAULT_OVERLOAD, why);
}

void
mllp_reject_frame(struct mllp_connection *c, const struct mllp_event *event, bool answers)
{
	struct mllp_slot *slot = mllp_slot_new(c, event, span_cut(event->content, 0, HEADER_MAX));

	if (!slot) {
		mllp_out_of_memory(c);
		return;
	}
	mllp_slot_reject(slot, event->cause, answers);
	mllp_connection_charge(c, event->size);
}

static void
take_event(struct mllp_connection *c, const struct mllp_event *event)
{
	if (event->kind == MLLP_FRAME)
		take_frame(c, event);
	else if (event->cause == FAULT_TOO_LARGE || event->cause == FAULT_OVERLOAD)
		cut_frame(c, event);
	else
		mllp_reject_frame(
		    c, event, event->cause == FAULT_FRAME_RESTART || event->cause == FAULT_FRAME_END);
}

/* End what is held for ${why} and record it; unanswered, for its sender stopped sending. */
void
mllp_end_frame(struct mllp_connection *c, enum mllp_end why)
{
	struct mllp_event event;

	c->read_us = clock_mono_us();
	switch (mllp_reader_end(&c->reader, why, &event)) {
	case MLLP_FRAME:
		take_frame(c, &event);
		break;
	case MLLP_REJECT:
		mllp_reject_frame(c, &event, false);
		break;
	case MLLP_MORE:
		break;
	}
}

void
mllp_give_up_frame(struct mllp_connection *c)
{
	struct mllp_event event;

	c->closing = true;
	c->read_us = clock_mono_us();
	switch (mllp_reader_end(&c->reader, MLLP_END_SLOW, &event)) {
	case MLLP_FRAME:
		take_frame(c, &event);
		break;
	case MLLP_REJECT:
		refuse_overload(c, &event, "too much is being received at once");
		break;
	case MLLP_MORE:
		break;
	}
}

/* A frame that grows large must hold a slot; without one nothing more is read of it. */
static void
seek_large(struct mllp_connection *c)
{
	struct slots *slots = c->door->context.slots;

	if (c->large || c->waiter.waiting || c->closing ||
	    mllp_reader_held(&c->reader) <= c->door->context.config->limits.large_size)
		return;
	if (slots_take(slots, &c->peer->large_held))
		c->large = true;
	else
		slots_wait(slots, &c->waiter, &c->peer->large_held);
}

/* Take frames from the front of ${input} as long as reading is allowed. */
void
mllp_read_frames(struct mllp_connection *c, struct span *input)
{
	struct mllp_event event;

	mllp_reader_adjust(&c->reader, c->peer->config->max_size, mllp_leniency(c->peer->config));
	c->reading = true;
	c->read_us = clock_mono_us();
	while (input->len && mllp_may_read(c)) {
		if (mllp_reader_next(&c->reader, input, &event) != MLLP_MORE)
			take_event(c, &event);
		mllp_connection_account(c);
	}
	if (!c->closing && mllp_reader_state(&c->reader) == MLLP_OUTSIDE &&
	    mllp_reader_pending(&c->reader) > NOISE_RUN_MAX)
		mllp_end_frame(c, MLLP_END_CLOSED);
	seek_large(c);
	c->reading = false;
}
