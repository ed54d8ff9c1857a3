/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sender of one destination: its life. See mllp_sender.h; the link's side is in sender_link.c.
 */
#include "broker/senders/mllp_sender.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/base/log.h"
#include "broker/base/metrics.h"
#include "broker/net/presence.h"
#include "broker/senders/sender_link.h"

static uint64_t
journal_time(const struct mllp_sender *sender)
{
	return journal_now(sender->senders->options.journal);
}

/*
 * Failures
 */
static void
tell_deferred(const struct mllp_sender *sender, uint64_t first, uint64_t pause_ms)
{
	struct log_line line;

	log_begin(&line, EVENT_DELIVERY_DEFERRED);
	if (first)
		log_u64(&line, "id", first);
	log_text(&line, "destination", sender->name);
	log_text(&line, "reason", sender->why);
	log_text(&line, "why", sender->state.error);
	log_u64(&line, "next_ms", pause_ms);
	log_commit(&line);
}

void
sender_failed(struct mllp_sender *sender)
{
	const struct config_dial *dial = &sender->destination->dial;
	struct senders *senders = sender->senders;
	uint64_t now_us = journal_time(sender),
		 since_us = core_oldest_us(senders->options.core, sender->number);
	uint64_t first = 0, pause_ms;
	bool told = true;

	if (since_us < sender->due_us)
		since_us = sender->due_us;
	senders->random = senders->random * 1664525u + 1013904223u;
	pause_ms = window_pause_ms(now_us > since_us ? now_us - since_us : 0, dial->retry_first_ms,
	    dial->retry_longest_ms, senders->random >> 16);
	sender->state.tries++;
	sender->state.error_us = now_us;
	sender->state.next_us = now_us + pause_ms * 1000;
	metric_add(sender->retries, 1);
	metric_add(metric_series(METRIC_DESTINATION_FAILURES, sender->why), 1);
	(void)core_waiting(senders->options.core, sender->number, 0, &first, 1);
	if (senders->options.presence)
		told = presence_down(senders->options.presence, sender->name, sender->state.error);
	if (!sender->down && told)
		tell_deferred(sender, first, pause_ms);
	sender->down = true;
	sender_unload_all(sender);
	sender->pausing = true;
	loop_timer_arm(sender->pause, pause_ms);
}

void
sender_settled_one(struct mllp_sender *sender)
{
	sender->state.last_ok_us = sender->due_us = journal_time(sender);
	sender->state.tries = 0;
	sender->down = false;
	if (sender->senders->options.presence)
		presence_up(sender->senders->options.presence, sender->name);
}

static void
end_pause(struct mllp_sender *sender)
{
	if (sender->pausing)
		loop_timer_cancel(sender->pause);
	sender->pausing = false;
	sender->state.next_us = 0;
}

static void
pause_over(void *arg)
{
	struct mllp_sender *sender = arg;

	sender->pausing = false;
	sender->state.next_us = 0;
	mllp_sender_pump(sender);
}

static void
again(void *arg)
{
	struct mllp_sender *sender = arg;

	sender->again_armed = false;
	sender_settle_again(sender);
	mllp_sender_pump(sender);
}

/*
 * What is to be done
 */
static bool
is_quiet(const struct mllp_sender *sender)
{
	return sender->stopping || sender->gone;
}

static void
dial(struct mllp_sender *sender)
{
	struct senders *senders = sender->senders;
	int r =
	    dialler_dial(sender->dialler, sender->config, &sender->destination->dial, senders->options.tls);

	if (r == 0)
		sender->dialling = true;
	else if (r != -EBUSY) /* it is: closed() of the link before comes */
		sender_again(sender);
}

static void
look_at_hold(struct mllp_sender *sender)
{
	bool held = core_held(sender->senders->options.core, sender->number);

	if (sender->was_held && !held) {
		end_pause(sender);
		sender->due_us = journal_time(sender);
	}
	if (held && sender->dialling) {
		dialler_cancel(sender->dialler);
		sender->dialling = false;
	}
	if (held)
		end_pause(sender);
	sender->was_held = held;
}

static void
step(struct mllp_sender *sender)
{
	look_at_hold(sender);
	if (sender->link) {
		sender_link_step(sender);
		return;
	}
	if (is_quiet(sender) || sender->was_held || sender->pausing || sender->again_armed)
		return;
	if (sender->dialling)
		sender_load(sender);
	else if (sender_has_work(sender))
		dial(sender);
}

static enum sender_phase
phase_of(const struct mllp_sender *sender)
{
	uint64_t seq;

	if (sender->was_held)
		return SENDER_HELD;
	if (sender->pausing)
		return SENDER_WAITING;
	if (sender->dialling)
		return SENDER_CONNECTING;
	if (sender->window.count || core_waiting(sender->senders->options.core, sender->number, 0, &seq, 1))
		return SENDER_SENDING;
	return SENDER_IDLE;
}

static void
look_at_phase(struct mllp_sender *sender)
{
	enum sender_phase phase = phase_of(sender);

	metric_set(sender->in_flight, window_in_flight(&sender->window));
	if (phase == sender->state.phase && sender->state.since_us)
		return;
	sender->state.phase = phase;
	sender->state.since_us = journal_time(sender);
}

void
mllp_sender_pump(struct mllp_sender *sender)
{
	if (sender->pumping) {
		sender->repump = true;
		return;
	}
	sender->pumping = true;
	do {
		sender->repump = false;
		step(sender);
	} while (sender->repump);
	sender->pumping = false;
	look_at_phase(sender);
	if (is_quiet(sender))
		senders_check_idle(sender->senders);
}

static void
woken(struct core_watch *watch)
{
	struct mllp_sender *sender =
	    (struct mllp_sender *)((char *)watch - offsetof(struct mllp_sender, watch));

	/* What came behind what waits changes nothing: the common case of a destination that is down or busy. */
	if ((sender->pausing || sender->dialling) && !sender->was_held &&
	    !core_held(sender->senders->options.core, sender->number))
		return;
	mllp_sender_pump(sender);
}

/*
 * Made, changed and ended
 */
static void
take_config(
    struct mllp_sender *sender, const struct config *config, const struct config_destination *destination)
{
	const struct config *former = sender->config;

	sender->config = config_hold(config);
	sender->destination = destination;
	config_release(former);
	window_limit(&sender->window, destination->dial.window);
}

int
mllp_sender_new(struct mllp_sender **senderp, struct senders *senders, const struct config *config,
    const struct config_destination *destination)
{
	struct mllp_sender *sender = calloc(1, sizeof(*sender));
	struct dialler_options options = {
		.loop = senders->options.loop,
		.workers = senders->names,
		.name = destination->name,
		.handler = &sender_link_handler,
		.door = sender,
		.failed = sender_dial_failed,
		.seen = senders->options.seen,
	};

	if (!sender)
		return -ENOMEM;
	sender->senders = senders;
	sender->number = CORE_NONE;
	window_init(&sender->window, 1);
	mllp_reader_init(&sender->reader, SENDER_ANSWER_MAX, 0);
	sender->name = strdup(destination->name);
	sender->pause = loop_timer_new(senders->options.loop, pause_over, sender);
	sender->again = loop_timer_new(senders->options.loop, again, sender);
	if (!sender->name || !sender->pause || !sender->again || dialler_new(&sender->dialler, &options)) {
		mllp_sender_free(sender);
		return -ENOMEM;
	}
	take_config(sender, config, destination);
	sender->retries = metric_series(METRIC_DESTINATION_RETRIES, sender->name);
	sender->stray_count = metric_series(METRIC_STRAY_ANSWERS, sender->name);
	sender->in_flight = metric_series(METRIC_IN_FLIGHT, sender->name);
	*senderp = sender;
	return 0;
}

void
mllp_sender_start(struct mllp_sender *sender)
{
	struct core *core = sender->senders->options.core;

	sender->number = core_number(core, sender->name);
	sender->watch.number = sender->number;
	sender->watch.woken = woken;
	core_watch(core, &sender->watch);
	mllp_sender_pump(sender);
}

static bool
same_way(const struct config_dial *a, const struct config_dial *b)
{
	return strcmp(a->host, b->host) == 0 && strcmp(a->server_name, b->server_name) == 0 &&
	       a->port == b->port;
}

void
mllp_sender_reconfigure(
    struct mllp_sender *sender, const struct config *config, const struct config_destination *destination)
{
	bool same = same_way(&sender->destination->dial, &destination->dial);

	take_config(sender, config, destination);
	sender->gone = false;
	if (!same) {
		if (sender->dialling)
			dialler_cancel(sender->dialler);
		sender->dialling = false;
		sender->renew = sender->link != NULL;
		end_pause(sender);
	}
	mllp_sender_pump(sender);
}

void
mllp_sender_stop(struct mllp_sender *sender, bool gone)
{
	sender->gone = sender->gone || gone;
	sender->stopping = sender->stopping || !gone;
	end_pause(sender);
	if (sender->dialling)
		dialler_cancel(sender->dialler);
	sender->dialling = false;
	mllp_sender_pump(sender);
}

bool
mllp_sender_idle(const struct mllp_sender *sender)
{
	return is_quiet(sender) && !sender->link && !sender->loading && !sender->outcomes && !sender->pumping;
}

void
mllp_sender_kick(struct mllp_sender *sender)
{
	end_pause(sender);
	mllp_sender_pump(sender);
}

void
mllp_sender_state(const struct mllp_sender *sender, struct sender_state *state)
{
	*state = sender->state;
	state->in_flight = window_in_flight(&sender->window);
	if (core_held(sender->senders->options.core, sender->number)) {
		state->phase = SENDER_HELD;
		state->next_us = 0;
	}
}

void
mllp_sender_free(struct mllp_sender *sender)
{
	if (!sender)
		return;
	if (sender->watch.woken)
		core_unwatch(sender->senders->options.core, &sender->watch);
	sender->stopping = true;
	sender->pumping = true; /* nothing more begins */
	dialler_free(sender->dialler);
	sender_unload_all(sender);
	if (sender->loading)
		sender_charge(sender, sender->loading, 0);
	payload_free(sender->loading);
	sender_outcomes_free(sender);
	window_fini(&sender->window);
	mllp_reader_fini(&sender->reader);
	loop_timer_free(sender->pause);
	loop_timer_free(sender->again);
	config_release(sender->config);
	free(sender->name);
	free(sender);
}
