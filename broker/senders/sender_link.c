/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The link of a sender: see sender_link.h.
 *
 * Every failure is a word of a closed list (a label of a metric) and a sentence of ours; nothing that a message or an answer says in prose stands
 * in either. A link whose answers can no longer be trusted is ended before anything is sent again.
 */
#include "broker/senders/sender_link.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "broker/base/log.h"
#include "broker/base/metrics.h"
#include "broker/net/judge.h"
#include "broker/senders/reply.h"

static void __attribute__((format(printf, 3, 4)))
say(struct mllp_sender *sender, const char *why, const char *format, ...)
{
	va_list args;

	(void)snprintf(sender->why, sizeof(sender->why), "%s", why);
	va_start(args, format);
	(void)vsnprintf(sender->state.error, sizeof(sender->state.error), format, args);
	va_end(args);
}

/* Nothing more is read or sent; closed() follows. */
static void
end_link(struct mllp_sender *sender, enum window_loss loss, bool drop)
{
	if (sender->closing)
		return;
	sender->closing = true;
	sender->loss = loss;
	if (drop)
		link_drop(sender->link, LINK_CLOSED_BY_US);
	else
		link_close(sender->link);
}

static void
fail_memory(struct mllp_sender *sender)
{
	say(sender, "memory", "no memory");
	end_link(sender, WINDOW_LOSS_FAILURE, true);
}

/*
 * Out
 */

/* Hand the link as much of the frame as it takes now. */
static void
write_on(struct mllp_sender *sender)
{
	struct payload *payload = sender->writing;
	uint64_t seq = payload->seq;

	while (payload->sent < payload_frame(payload)) {
		struct span piece = payload_piece(payload, SENDER_PIECE);
		int r;

		if (link_output(sender->link) >= LINK_LOW_WATER)
			return; /* drained() comes */
		r = link_send(sender->link, piece);
		if (r == -ENOBUFS || r == -EPIPE) /* later; or closed() comes: it was judged out */
			return;
		if (r) {
			fail_memory(sender);
			return;
		}
		payload->sent += piece.len;
	}
	window_sent(&sender->window, seq, loop_now_us(sender->senders->options.loop));
	sender_unload(sender, payload);
}

/* False: not now. */
static bool
send_next(struct mllp_sender *sender)
{
	struct payload *payload;
	uint64_t seq;

	switch (window_next(&sender->window, &seq)) {
	case WINDOW_RENEW:
		sender->renew = true;
		return false;
	case WINDOW_NOTHING:
	case WINDOW_FULL:
		return false;
	case WINDOW_SEND:
		break;
	}
	payload = sender_loaded(sender, seq);
	if (!sender_waits(sender, seq)) {
		if (payload)
			sender_unload(sender, payload);
		window_remove(&sender->window, seq);
		return true;
	}
	if (!payload)
		return false;
	sender->writing = payload;
	payload->sent = 0;
	window_sent(&sender->window, seq, WINDOW_WRITING);
	write_on(sender);
	return !sender->writing && !sender->closing;
}

/* The link may carry nothing new: what is on its way is awaited. */
static bool
is_ending(const struct mllp_sender *sender)
{
	return sender->gone || sender->stopping || sender->renew || sender->window.refused ||
	       sender->strays >= SENDER_STRAYS_MAX;
}

/* Nothing is on its way any more. A link that brought strays and nothing else is not renewed at once: it would go round as fast as it is dialled. */
static void
give_up(struct mllp_sender *sender)
{
	bool useless = sender->strays >= SENDER_STRAYS_MAX && sender->window.progress == 0;

	if (useless)
		say(sender, "garbage", "answered for messages that were not on their way, and for no other");
	end_link(sender, useless ? WINDOW_LOSS_FAILURE : WINDOW_LOSS_OURS, false);
}

static void
set_deadline(struct mllp_sender *sender)
{
	uint64_t oldest_us = window_oldest_us(&sender->window);
	uint64_t now_us = loop_now_us(sender->senders->options.loop);
	uint64_t due_us = oldest_us + sender->destination->dial.acknowledge_ms * 1000;

	if (oldest_us == 0)
		link_deadline(sender->link, 0); /* an idle link stays */
	else
		link_deadline(sender->link, due_us > now_us ? (due_us - now_us + 999) / 1000 : 1);
}

void
sender_link_step(struct mllp_sender *sender)
{
	if (sender->closing)
		return;
	if (sender->ended) { /* all its answers are read */
		end_link(sender, WINDOW_LOSS_ENDED, false);
		return;
	}
	if (sender->writing)
		write_on(sender);
	while (!sender->closing && !sender->writing && !sender->was_held && !is_ending(sender) &&
	       send_next(sender))
		;
	if (sender->closing)
		return;
	if (is_ending(sender) && sender->window.sent == 0) {
		give_up(sender);
		return;
	}
	if (!is_ending(sender) && !sender->was_held)
		sender_load(sender);
	set_deadline(sender);
}

/*
 * In
 */

/* An answer that names nothing on its way here: late, repeated, or another's. One line a minute. */
static void
stray(struct mllp_sender *sender, const struct reply *reply)
{
	uint64_t now_us = loop_now_us(sender->senders->options.loop);
	struct log_line line;

	sender->strays++;
	sender->strays_untold++;
	metric_add(sender->stray_count, 1);
	if (sender->strays_told_us && now_us - sender->strays_told_us < SENDER_TELL_US)
		return;
	log_begin(&line, EVENT_STRAY_ANSWER);
	log_u64(&line, "link", sender->link_id);
	log_text(&line, "destination", sender->name);
	log_text(&line, "code", hl7_ack_code_name(reply->code));
	log_u64(&line, "count", sender->strays_untold);
	log_commit(&line);
	sender->strays_untold = 0;
	sender->strays_told_us = now_us;
}

/* Whether ${reply} is about the message whose frame is not wholly sent yet. */
static bool
is_early(const struct mllp_sender *sender, const struct reply *reply)
{
	const struct window_item *item =
	    sender->writing ? window_find(&sender->window, sender->writing->seq) : NULL;

	return item && span_eq(span_make(item->control, item->control_len), reply->control);
}

static void
take_reply(struct mllp_sender *sender, const struct reply *reply)
{
	bool early = is_early(sender, reply);
	enum window_answer meaning;

	if (early && (reply->code == HL7_AA || reply->code == HL7_CA)) {
		stray(sender, reply); /* nobody accepts what has not arrived */
		return;
	}
	if (sender_answered(sender, reply, &meaning)) {
		fail_memory(sender);
		return;
	}
	switch (meaning) {
	case WINDOW_STRAY:
		stray(sender, reply);
		return;
	case WINDOW_ACCEPTED:
	case WINDOW_REJECTED:
		sender_settled_one(sender);
		break;
	case WINDOW_REFUSED:
		say(sender, "refused", "answered %s%s%s%s%s", hl7_ack_code_name(reply->code),
		    reply->condition[0] ? " " : "", reply->condition, reply->place[0] ? " at " : "",
		    reply->place);
		break;
	}
	if (early) /* refused before it was whole: the rest is not wanted */
		end_link(sender, WINDOW_LOSS_OURS, true);
}

static void
garbage(struct mllp_sender *sender, const char *what)
{
	say(sender, "garbage", "answered with %s", what);
	end_link(sender, WINDOW_LOSS_FAILURE, true);
}

/* Line ends between frames: some receivers write them. */
static bool
is_blank(const struct mllp_event *event)
{
	if (event->cause != FAULT_FRAME_NOISE || event->size > event->head.len)
		return false;
	for (size_t i = 0; i < event->head.len; i++)
		if (event->head.ptr[i] != '\r' && event->head.ptr[i] != '\n')
			return false;
	return true;
}

static void
take_event(struct mllp_sender *sender, const struct mllp_event *event)
{
	struct reply reply;
	const char *why;

	if (event->kind == MLLP_FRAME && reply_read(&reply, event->content, &sender->senders->arena, &why))
		garbage(sender, why);
	else if (event->kind == MLLP_FRAME)
		take_reply(sender, &reply);
	else if (!is_blank(event))
		garbage(sender, event->cause == FAULT_TOO_LARGE ? "a frame too large for an acknowledgement"
								: "bytes that are no frame");
}

/* What came of an answer counts as what is read ahead does. */
static void
account(struct mllp_sender *sender)
{
	struct budget_seat *seat = &sender->senders->seat;
	uint64_t held;

	mllp_reader_trim(&sender->reader);
	held = mllp_reader_memory(&sender->reader);
	budget_hold(seat, seat->held - sender->answer_charged + held);
	sender->answer_charged = seat->budget ? held : 0;
}

static void
input(void *arg, struct span bytes)
{
	struct mllp_sender *sender = arg;
	struct mllp_event event;

	sender->pumping = true; /* what is settled on the way is looked at below */
	while (!sender->closing && mllp_reader_next(&sender->reader, &bytes, &event) != MLLP_MORE)
		take_event(sender, &event);
	/* Noise is told when a frame follows it: here none may ever. */
	if (!sender->closing && mllp_reader_state(&sender->reader) == MLLP_OUTSIDE &&
	    mllp_reader_pending(&sender->reader) > SENDER_NOISE_MAX)
		garbage(sender, "bytes that are no frame");
	account(sender);
	sender->pumping = false;
	mllp_sender_pump(sender);
}

/*
 * Ends
 */
static void
input_ended(void *arg)
{
	struct mllp_sender *sender = arg;

	sender->ended = true;
	mllp_sender_pump(sender);
}

static void
drained(void *arg)
{
	mllp_sender_pump(arg);
}

static void
deadline(void *arg)
{
	struct mllp_sender *sender = arg;
	uint64_t oldest_us = window_oldest_us(&sender->window);
	uint64_t wait_us = sender->destination->dial.acknowledge_ms * 1000;
	uint64_t pending = mllp_reader_pending(&sender->reader);

	if (oldest_us && loop_now_us(sender->senders->options.loop) - oldest_us >= wait_us) {
		say(sender, "no-answer", "no acknowledgement within %llu s%s",
		    (unsigned long long)(wait_us / 1000000),
		    pending && mllp_reader_state(&sender->reader) == MLLP_OUTSIDE
			? "; bytes came without a start block"
		    : pending	     ? "; part of one came"
		    : sender->strays ? "; some for other messages came"
				     : "");
		end_link(sender, WINDOW_LOSS_FAILURE, true);
	}
	mllp_sender_pump(sender);
}

/* What ended it, when nobody has said so yet. */
static void
say_end(struct mllp_sender *sender, enum link_end end)
{
	const char *alert = link_why(sender->link);

	if (alert)
		say(sender, "handshake", "%s", alert);
	else if (end == LINK_SLOW_READER)
		say(sender, "slow-reader", "it does not read what it is sent");
	else if (end == LINK_REVOKED)
		say(sender, "revoked", "its certificate is no longer good");
	else if (end == LINK_RESET)
		say(sender, "reset", "the connection was reset%s",
		    window_oldest_us(&sender->window) ? " before the acknowledgement" : "");
	else
		say(sender, "closed", "it closed the connection%s",
		    window_oldest_us(&sender->window) ? " before the acknowledgement" : "");
}

static void
forget_link(struct mllp_sender *sender)
{
	sender->link = NULL;
	sender->closing = sender->ended = sender->renew = false;
	sender->strays = 0;
	sender->address[0] = '\0';
	if (sender->writing)
		sender_unload(sender, sender->writing);
	mllp_reader_fini(&sender->reader);
	mllp_reader_init(&sender->reader, SENDER_ANSWER_MAX, 0);
	account(sender);
}

static void
closed(void *arg, enum link_end end)
{
	struct mllp_sender *sender = arg;
	enum window_loss loss = sender->closing ? sender->loss : WINDOW_LOSS_ENDED;
	bool refused = sender->window.refused;

	if (end == LINK_REVOKED)
		loss = WINDOW_LOSS_FAILURE;
	if (loss == WINDOW_LOSS_ENDED && mllp_reader_pending(&sender->reader)) {
		say(sender, "garbage", "it closed the connection behind part of an acknowledgement");
		loss = WINDOW_LOSS_FAILURE;
	} else if ((loss == WINDOW_LOSS_ENDED && !refused) || end == LINK_REVOKED)
		say_end(sender, end);
	forget_link(sender);
	if (window_ended(&sender->window, loss) && !sender->gone && !sender->stopping &&
	    sender_has_work(sender))
		sender_failed(sender);
	mllp_sender_pump(sender);
}

static void *
opened(struct link *link, struct peer *peer, void *door)
{
	struct mllp_sender *sender = door;
	const struct senders_options *options = &sender->senders->options;

	(void)peer;
	sender->dialling = false;
	sender->link = link;
	sender->link_id = link_id(link);
	(void)snprintf(sender->address, sizeof(sender->address), "%s", link_address(link));
	window_opened(&sender->window);
	/* Another context may have come in the middle of the handshake. */
	if (link_judge_dialled(link, options->tls))
		mllp_sender_pump(sender);
	return sender;
}

void
sender_dial_failed(void *arg, const struct dial_failure *failure)
{
	struct mllp_sender *sender = arg;

	sender->dialling = false;
	say(sender, failure->step, "%s%s%s: %s%s%s", failure->step, failure->address[0] ? " " : "",
	    failure->address, failure->why, failure->identity ? "; subject=" : "",
	    failure->identity ? failure->identity->subject : "");
	if (sender_has_work(sender))
		sender_failed(sender);
	mllp_sender_pump(sender);
}

const struct link_handler sender_link_handler = {
	.opened = opened,
	.input = input,
	.input_ended = input_ended,
	.drained = drained,
	.deadline = deadline,
	.closed = closed,
};
