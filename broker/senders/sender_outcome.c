/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What became of a message at its destination: handed to the core, which journals it, and told once that is on disk. Until then the message
 * keeps its place in the window. When the journal cannot take an outcome it is handed over again: the destination's word is not asked for twice.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker/base/log.h"
#include "broker/senders/mllp_sender.h"
#include "broker/senders/reply.h"

static void
outcome_free(struct sender_outcome *outcome)
{
	struct sender_outcome **place = &outcome->sender->outcomes;

	while (*place != outcome)
		place = &(*place)->next;
	*place = outcome->next;
	free(outcome);
}

static void
tell(const struct sender_outcome *outcome)
{
	bool accepted = outcome->item.outcome == OUTCOME_ACCEPTED;
	struct log_line line;

	log_begin(&line, accepted ? EVENT_DELIVERED : EVENT_ITEM_REJECTED);
	log_u64(&line, "id", outcome->item.seq);
	if (outcome->link_id)
		log_u64(&line, "link", outcome->link_id);
	log_text(&line, "destination", outcome->sender->name);
	log_text(&line, "code", outcome->code);
	if (outcome->condition[0])
		log_text(&line, "condition", outcome->condition);
	if (outcome->place[0])
		log_text(&line, "path", outcome->place);
	log_u64(&line, "tries", outcome->sends);
	if (outcome->link_id)
		log_u64(&line, "us", outcome->took_us);
	log_commit(&line);
}

static void
settled(void *arg, int error)
{
	struct sender_outcome *outcome = arg;
	struct mllp_sender *sender = outcome->sender;

	if (error) {
		outcome->waiting = true;
		sender_again(sender);
		return;
	}
	if (outcome->item.result == SETTLED_NOW)
		tell(outcome);
	window_remove(&sender->window, outcome->item.seq);
	outcome_free(outcome);
	mllp_sender_pump(sender);
}

static void
hand_over(struct sender_outcome *outcome)
{
	struct mllp_sender *sender = outcome->sender;

	outcome->waiting = false;
	core_settle(
	    sender->senders->options.core, sender->number, sender->name, &outcome->item, 1, settled, outcome);
}

void
sender_settle_again(struct mllp_sender *sender)
{
	struct sender_outcome *outcome = sender->outcomes;

	/* Handing one over may end it, and it alone. */
	while (outcome) {
		struct sender_outcome *next = outcome->next;

		if (outcome->waiting)
			hand_over(outcome);
		outcome = next;
	}
}

/* NULL: no memory; the message stays as it is. */
static struct sender_outcome *
outcome_new(struct mllp_sender *sender, uint64_t seq, enum outcome result)
{
	struct sender_outcome *outcome = calloc(1, sizeof(*outcome));
	struct sender_outcome **place = &sender->outcomes;

	if (!outcome)
		return NULL;
	outcome->sender = sender;
	outcome->item.seq = seq;
	outcome->item.outcome = result;
	while (*place)
		place = &(*place)->next;
	*place = outcome;
	return outcome;
}

/* What was said of the message, for the journal. */
static void
put_text(struct sender_outcome *outcome, const struct reply *reply)
{
	struct buffer text;

	buffer_init(&text, sizeof(outcome->text) - 1);
	buffer_printf(&text, "%s%s%s%s%s", reply->error, reply->place[0] ? " at " : "", reply->place,
	    (reply->error[0] || reply->place[0]) && reply->text[0] ? ": " : "", reply->text);
	if (text.len)
		memcpy(outcome->text, text.data, text.len);
	buffer_fini(&text);
}

int
sender_answered(struct mllp_sender *sender, const struct reply *reply, enum window_answer *meaning)
{
	struct sender_outcome *outcome = outcome_new(sender, 0, OUTCOME_ACCEPTED);
	const struct window_item *item;
	uint64_t seq = 0;

	if (!outcome)
		return -ENOMEM;
	*meaning = window_answer(&sender->window, reply->code, reply->control, &seq);
	if (*meaning != WINDOW_ACCEPTED && *meaning != WINDOW_REJECTED) {
		outcome_free(outcome);
		return 0;
	}
	item = window_find(&sender->window, seq);
	outcome->sends = item->sends;
	if (item->sent_us != WINDOW_WRITING) /* rejected before it was whole */
		outcome->took_us = loop_now_us(sender->senders->options.loop) - item->sent_us;
	outcome->link_id = sender->link_id;
	outcome->item.seq = seq;
	(void)snprintf(outcome->code, sizeof(outcome->code), "%s", hl7_ack_code_name(reply->code));
	if (*meaning == WINDOW_REJECTED) {
		outcome->item.outcome = OUTCOME_REJECTED;
		memcpy(outcome->condition, reply->condition, sizeof(outcome->condition));
		memcpy(outcome->place, reply->place, sizeof(outcome->place));
		put_text(outcome, reply);
	}
	outcome->item.code = span_str(outcome->code);
	outcome->item.text = span_str(outcome->text);
	hand_over(outcome);
	return 0;
}

void
sender_dead_letter(struct mllp_sender *sender, uint64_t seq, const char *code, const char *text)
{
	struct sender_outcome *outcome = outcome_new(sender, seq, OUTCOME_REJECTED);

	if (!outcome)
		return; /* read again, and told then */
	window_decide(&sender->window, seq);
	(void)snprintf(outcome->code, sizeof(outcome->code), "%s", code);
	(void)snprintf(outcome->text, sizeof(outcome->text), "%s", text);
	outcome->item.code = span_str(outcome->code);
	outcome->item.text = span_str(outcome->text);
	hand_over(outcome);
}

void
sender_outcomes_free(struct mllp_sender *sender)
{
	while (sender->outcomes)
		outcome_free(sender->outcomes);
}
