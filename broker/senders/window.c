/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The window of one destination: see window.h.
 */
#include "broker/senders/window.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct window_item *
item_at(struct window *w, size_t n)
{
	return &w->items[(w->first + n) % WINDOW_ITEMS];
}

static struct window_item *
item_find(struct window *w, uint64_t seq)
{
	for (size_t i = 0; i < w->count; i++)
		if (item_at(w, i)->seq == seq)
			return item_at(w, i);
	return NULL;
}

static struct span
control_of(const struct window_item *item)
{
	return span_make(item->control, item->control_len);
}

/* FNV-1a. Two ids of one value cost a renewed link, no more. */
static uint64_t
id_hash(const struct window_item *item)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < item->control_len; i++)
		hash = (hash ^ item->control[i]) * UINT64_C(0x100000001b3);
	return hash;
}

void
window_init(struct window *w, unsigned limit)
{
	*w = (struct window){ .first = 0 };
	window_limit(w, limit);
}

void
window_fini(struct window *w)
{
	for (size_t i = 0; i < w->count; i++)
		free(item_at(w, i)->control);
	*w = (struct window){ .limit = w->limit };
}

void
window_limit(struct window *w, unsigned limit)
{
	w->limit = limit < 1 ? 1 : limit > WINDOW_LIMIT ? WINDOW_LIMIT : limit;
}

int
window_add(struct window *w, uint64_t seq, uint64_t size, struct span control)
{
	struct window_item *item = item_at(w, w->count);

	if (w->count == WINDOW_ITEMS)
		return -ENOSPC;
	*item = (struct window_item){ .seq = seq, .size = size, .control_len = control.len };
	item->control = malloc(control.len ? control.len : 1);
	if (!item->control)
		return -ENOMEM;
	if (control.len)
		memcpy(item->control, control.ptr, control.len);
	w->count++;
	return 0;
}

uint64_t
window_last(const struct window *w)
{
	return w->count ? window_at(w, w->count - 1)->seq : 0;
}

const struct window_item *
window_at(const struct window *w, size_t n)
{
	return n < w->count ? &w->items[(w->first + n) % WINDOW_ITEMS] : NULL;
}

const struct window_item *
window_find(const struct window *w, uint64_t seq)
{
	for (size_t i = 0; i < w->count; i++)
		if (window_at(w, i)->seq == seq)
			return window_at(w, i);
	return NULL;
}

unsigned
window_in_flight(const struct window *w)
{
	return w->sent + w->decided;
}

/* Whether a message of the id of ${item} is on its way. */
static bool
is_on_its_way(const struct window *w, const struct window_item *item)
{
	for (size_t i = 0; i < w->count; i++) {
		const struct window_item *other = window_at(w, i);

		if (other->state == WINDOW_SENT && span_eq(control_of(other), control_of(item)))
			return true;
	}
	return false;
}

/* Whether this link carried the id of ${item} lately. */
static bool
is_recent(const struct window *w, const struct window_item *item)
{
	size_t known = w->recent_count < WINDOW_RECENT ? w->recent_count : WINDOW_RECENT;
	uint64_t hash = id_hash(item);

	for (size_t i = 0; i < known; i++)
		if (w->recent[i] == hash)
			return true;
	return false;
}

enum window_next
window_next(const struct window *w, uint64_t *seqp)
{
	if (w->refused)
		return WINDOW_NOTHING;
	for (size_t i = 0; i < w->count; i++) {
		const struct window_item *item = window_at(w, i);

		if (item->state != WINDOW_READY)
			continue;
		if (window_in_flight(w) >= w->limit)
			return WINDOW_FULL;
		*seqp = item->seq;
		if (!is_recent(w, item) && !is_on_its_way(w, item))
			return WINDOW_SEND;
		/* The answers on their way are awaited before the link is given up for it. */
		return w->sent ? WINDOW_FULL : WINDOW_RENEW;
	}
	return WINDOW_NOTHING;
}

void
window_sent(struct window *w, uint64_t seq, uint64_t now_us)
{
	struct window_item *item = item_find(w, seq);

	if (!item || item->state == WINDOW_DECIDED)
		return;
	item->sent_us = now_us;
	if (item->state == WINDOW_SENT)
		return;
	item->state = WINDOW_SENT;
	item->sends++;
	w->sent++;
	w->recent[w->recent_count++ % WINDOW_RECENT] = id_hash(item);
}

uint64_t
window_oldest_us(const struct window *w)
{
	uint64_t oldest = 0;

	for (size_t i = 0; i < w->count; i++) {
		const struct window_item *item = window_at(w, i);

		if (item->state == WINDOW_SENT && item->sent_us != WINDOW_WRITING &&
		    (oldest == 0 || item->sent_us < oldest))
			oldest = item->sent_us;
	}
	return oldest;
}

enum window_answer
window_answer(struct window *w, enum hl7_ack_code code, struct span control, uint64_t *seqp)
{
	struct window_item *item = NULL;

	for (size_t i = 0; i < w->count && !item; i++)
		if (item_at(w, i)->state == WINDOW_SENT && span_eq(control_of(item_at(w, i)), control))
			item = item_at(w, i);
	if (!item || control.len == 0)
		return WINDOW_STRAY;
	*seqp = item->seq;
	w->sent--;
	if (code == HL7_AR || code == HL7_CR) {
		item->state = WINDOW_READY;
		w->refused = true;
		return WINDOW_REFUSED;
	}
	item->state = WINDOW_DECIDED;
	w->decided++;
	w->progress++;
	return code == HL7_AA || code == HL7_CA ? WINDOW_ACCEPTED : WINDOW_REJECTED;
}

void
window_decide(struct window *w, uint64_t seq)
{
	struct window_item *item = item_find(w, seq);

	if (!item || item->state != WINDOW_READY)
		return;
	item->state = WINDOW_DECIDED;
	w->decided++;
}

void
window_remove(struct window *w, uint64_t seq)
{
	size_t n = 0;

	while (n < w->count && item_at(w, n)->seq != seq)
		n++;
	if (n == w->count)
		return;
	if (item_at(w, n)->state == WINDOW_SENT)
		w->sent--;
	else if (item_at(w, n)->state == WINDOW_DECIDED)
		w->decided--;
	free(item_at(w, n)->control);
	for (; n > 0; n--) /* those before it move up: mostly there are none */
		*item_at(w, n) = *item_at(w, n - 1);
	w->first = (w->first + 1) % WINDOW_ITEMS;
	w->count--;
}

void
window_opened(struct window *w)
{
	w->refused = false;
	w->progress = 0;
	w->recent_count = 0;
}

bool
window_ended(struct window *w, enum window_loss why)
{
	bool refused = w->refused, progress = w->progress > 0;

	for (size_t i = 0; i < w->count; i++)
		if (item_at(w, i)->state == WINDOW_SENT)
			item_at(w, i)->state = WINDOW_READY;
	w->sent = 0;
	window_opened(w);
	if (refused)
		return true;
	return why == WINDOW_LOSS_FAILURE || (why == WINDOW_LOSS_ENDED && !progress);
}

uint64_t
window_pause_ms(uint64_t age_us, uint64_t first_ms, uint64_t longest_ms, uint32_t random)
{
	uint64_t pause = age_us / 2000;

	if (pause < first_ms)
		pause = first_ms;
	if (pause > longest_ms)
		pause = longest_ms;
	return pause * 3 / 4 + pause * (random % 1024) / 2047;
}
