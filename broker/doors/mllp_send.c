/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HL7 door: sending answers, in the order of arrival, once for all slots of a connection that one turn of the loop decided.
 */
#include <errno.h>

#include "broker/base/clock.h"
#include "broker/base/log.h"
#include "broker/doors/mllp_answer.h"
#include "broker/doors/mllp_link.h"
#include "broker/net/presence.h"

static void
log_answered(const struct mllp_connection *c, const struct mllp_slot *slot, uint64_t now_us)
{
	struct log_line line;

	log_begin(&line, EVENT_ANSWERED);
	if (slot->seq)
		log_u64(&line, "id", slot->seq);
	log_u64(&line, "link", c->link_id);
	log_text(&line, "peer", c->peer->config->name);
	log_text(&line, "code", mllp_answer_code(slot->verdict));
	log_u64(&line, "us", now_us - slot->received_us);
	log_commit(&line);
}

/* Send the answer of the oldest slot. False: not now. */
static bool
send_answer(struct mllp_connection *c, uint64_t now_us)
{
	const struct mllp_slot *slot = c->first;

	if (!c->link || slot->verdict == ANSWER_NONE)
		return true;
	if (!buffer_failed(&slot->answer)) {
		int error = link_send(c->link, buffer_span(&slot->answer));

		c->stuck = error == -ENOBUFS;
		if (c->stuck)
			return false; /* drained will come */
		if (error == 0) {
			log_answered(c, slot, now_us);
			return true;
		}
	}
	mllp_out_of_memory(c);
	return true;
}

void
mllp_connection_go_on(struct mllp_connection *c)
{
	uint64_t now_us = clock_mono_us();

	c->pins++;
	if (c->heard)
		presence_heard(c->door->context.presence, c->peer);
	c->heard = false;
	while (c->first && c->first->answered && send_answer(c, now_us))
		mllp_slot_pop(c);
	if (c->link)
		link_push(c->link);
	mllp_connection_settle(c);
	mllp_connection_unpin(c);
}

/* All that were decided in this turn of the loop. The door ends with the last of them, if it is dying. */
static void
due_run(struct post_item *item)
{
	struct mllp_door *door = (struct mllp_door *)((char *)item - offsetof(struct mllp_door, due_item));
	struct mllp_connection *c = door->due, *next;

	door->due = NULL;
	for (; c; c = next) {
		next = c->next_due;
		c->due = false;
		mllp_connection_go_on(c);
		mllp_connection_unpin(c);
	}
}

void
mllp_connection_due(struct mllp_connection *c)
{
	struct mllp_door *door = c->door;

	if (c->due)
		return;
	c->due = true;
	c->pins++;
	c->next_due = door->due;
	door->due = c;
	if (!c->next_due) {
		door->due_item.run = due_run;
		loop_later(door->context.loop, &door->due_item);
	}
}
