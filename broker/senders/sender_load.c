/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading ahead for one destination: one message at a time, no more than the window and a few beyond it, bounded in bytes; a large message only
 * when it is the next to be sent, and under one of the large slots of all senders. Nothing is read while there is no link to come, and nothing but
 * the next message while memory is scarce.
 */
#include <errno.h>

#include "broker/senders/mllp_sender.h"

struct payload *
sender_loaded(const struct mllp_sender *sender, uint64_t seq)
{
	struct payload *payload = sender->loaded;

	while (payload && payload->seq != seq)
		payload = payload->next;
	return payload;
}

void
sender_charge(struct mllp_sender *sender, struct payload *payload, uint64_t bytes)
{
	struct budget_seat *seat = &sender->senders->seat;

	budget_hold(seat, seat->held - payload->charged + bytes);
	payload->charged = seat->budget ? bytes : 0;
}

void
sender_unload(struct mllp_sender *sender, struct payload *payload)
{
	struct payload **place = &sender->loaded;

	while (*place && *place != payload)
		place = &(*place)->next;
	if (*place)
		*place = payload->next;
	if (sender->writing == payload)
		sender->writing = NULL;
	if (payload->large)
		senders_give_large(sender->senders);
	sender_charge(sender, payload, 0);
	payload_free(payload);
}

void
sender_unload_all(struct mllp_sender *sender)
{
	while (sender->loaded)
		sender_unload(sender, sender->loaded);
}

bool
sender_waits(const struct mllp_sender *sender, uint64_t seq)
{
	uint64_t found = 0;

	return core_waiting(sender->senders->options.core, sender->number, seq - 1, &found, 1) == 1 &&
	       found == seq;
}

bool
sender_has_work(struct mllp_sender *sender)
{
	const struct window_item *item;
	uint64_t seq;
	bool work = false;

	for (size_t i = 0; (item = window_at(&sender->window, i));) {
		struct payload *payload;

		if (item->state != WINDOW_READY) {
			i++;
			continue;
		}
		payload = sender_loaded(sender, item->seq);
		if (sender_waits(sender, item->seq)) {
			work = true;
			i++;
			continue;
		}
		if (payload)
			sender_unload(sender, payload);
		window_remove(&sender->window, item->seq);
	}
	return work || core_waiting(sender->senders->options.core, sender->number,
			   window_last(&sender->window), &seq, 1) == 1;
}

void
sender_again(struct mllp_sender *sender)
{
	if (sender->again_armed)
		return;
	sender->again_armed = true;
	loop_timer_arm(sender->again, SENDER_TRY_MS);
}

static size_t
large_size(const struct mllp_sender *sender)
{
	return (size_t)sender->config->limits.large_size;
}

/* A message came out of the journal, or did not. */
static void
loaded(struct payload *payload, void *arg)
{
	struct mllp_sender *sender = arg;
	const struct window_item *item = window_find(&sender->window, payload->seq);
	uint64_t seq = payload->seq;
	bool told = false;
	int r = payload->result;

	sender->loading = NULL;
	payload->next = sender->loaded;
	sender->loaded = payload;
	if (payload->charged)
		sender_charge(sender, payload, payload->arena.memory);
	if (r >= 0 && !item && sender_waits(sender, seq)) {
		int added = window_add(&sender->window, seq, payload->size, payload->control);

		if (added)
			r = added;
		item = window_find(&sender->window, seq);
	}
	if (r == PAYLOAD_UNSENDABLE && item && item->state == WINDOW_READY) {
		sender_dead_letter(sender, seq, payload->code, payload->text);
		told = true;
	}
	/* Nothing is kept that cannot be sent on the link to come. */
	if (r || told || !item || !payload->whole || sender->stopping || sender->gone || sender->pausing ||
	    (!sender->link && !sender->dialling))
		sender_unload(sender, payload);
	if (r < 0)
		sender_again(sender);
	mllp_sender_pump(sender);
}

static void
begin(struct mllp_sender *sender, uint64_t seq, size_t body_max, bool large)
{
	const struct senders_options *options = &sender->senders->options;

	if (payload_read(
		options->workers, options->journal, seq, body_max, loaded, sender, &sender->loading)) {
		if (large)
			senders_give_large(sender->senders);
		sender_again(sender);
		return;
	}
	sender->loading->large = large;
}

/* The message of ${item} is known and its bytes are not here: read them, if there is room. False: not now. */
static void
load_item(struct mllp_sender *sender, const struct window_item *item, bool first, size_t bytes)
{
	if (item->size <= large_size(sender)) {
		if (first || bytes + item->size <= SENDER_AHEAD_BYTES)
			begin(sender, item->seq, (size_t)item->size, false);
		return;
	}
	if (!first || !sender->link) /* no slot is kept for a destination that may not answer the call */
		return;
	sender->large_wanted = !senders_take_large(sender->senders);
	if (!sender->large_wanted)
		begin(sender, item->seq, (size_t)item->size, true);
}

void
sender_load(struct mllp_sender *sender)
{
	size_t room = sender->window.limit + SENDER_AHEAD, in_flight = window_in_flight(&sender->window);
	size_t ahead = in_flight < room ? room - in_flight : 0, seen = 0, bytes = 0;
	bool memory = budget_room(sender->senders->options.budget, BUDGET_AHEAD);
	const struct window_item *item;
	uint64_t seq;

	if (sender->loading || sender->again_armed)
		return;
	for (size_t i = 0; (item = window_at(&sender->window, i)) && seen < ahead; i++) {
		if (item->state != WINDOW_READY)
			continue;
		if (!sender_loaded(sender, item->seq)) {
			if (seen && !memory)
				return;
			load_item(sender, item, seen == 0, bytes);
			if (sender->loading && seen > 0)
				sender_charge(sender, sender->loading, item->size);
			return;
		}
		bytes += (size_t)item->size;
		seen++;
	}
	if (seen == ahead || (seen && !memory) || bytes >= SENDER_AHEAD_BYTES ||
	    sender->window.count >= WINDOW_ITEMS ||
	    core_waiting(
		sender->senders->options.core, sender->number, window_last(&sender->window), &seq, 1) == 0)
		return;
	begin(sender, seq, large_size(sender), false);
	if (sender->loading && seen > 0)
		sender_charge(sender, sender->loading, large_size(sender));
}
