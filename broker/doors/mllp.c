/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HL7 door: connections, frames, deadlines, back-pressure.
 *
 * Reading is held back (the link paused, what came already kept in rest) while the peer has max_in_flight messages unanswered, while the
 * newest message is judged on a worker (so that the order of submissions is the order of arrival), while a frame past large_size waits for
 * a large slot, and while there is no memory. Deadlines: idle_ms between messages, frame_ms from the first byte of a frame, or of noise, to
 * its end. A frame that holds a large slot, or goes on as the budget's guest, must keep large_rate.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker/base/clock.h"
#include "broker/base/log.h"
#include "broker/doors/mllp_link.h"

#define REST_MAX      ((size_t)1 << 20) /* a link gives one read at a time: this is never reached */
#define TICK_MS	      1000u
#define JUNK_LEAST    ((uint64_t)128) /* what the record and the log line of one byte cost us, cautiously */
#define RATE_GRACE_US ((uint64_t)2000000)

static void
door_free(struct mllp_door *door)
{
	mllp_slots_fini(door);
	config_release(door->context.config);
	free(door->listener);
	free(door);
}

static void
door_check_idle(struct mllp_door *door)
{
	void (*idle)(void *arg) = door->idle;

	if (door->links || door->in_flight || door->first)
		return;
	if (door->stopping && idle) {
		door->idle = NULL;
		idle(door->idle_arg);
		return;
	}
	if (door->dying)
		door_free(door);
}

static void
connection_free(struct mllp_connection *c)
{
	struct mllp_door *door = c->door;

	if (c->prev)
		c->prev->next = c->next;
	else
		door->first = c->next;
	if (c->next)
		c->next->prev = c->prev;
	mllp_reader_fini(&c->reader);
	buffer_fini(&c->rest);
	budget_leave(&c->seat);
	free(c);
	door_check_idle(door);
}

void
mllp_connection_unpin(struct mllp_connection *c)
{
	if (--c->pins == 0 && !c->link && !c->first)
		connection_free(c);
}

/* Bytes received of a frame, or of noise, that has not ended. */
static bool
mid_frame(const struct mllp_connection *c)
{
	return mllp_reader_pending(&c->reader) > 0;
}

void
mllp_connection_account(struct mllp_connection *c)
{
	uint64_t held = c->slots_charged + c->rest.cap + (c->link ? link_output(c->link) : 0);

	/* A large frame is bounded by its slot. */
	budget_hold(&c->seat, held + (c->large ? 0 : mllp_reader_memory(&c->reader)));
}

static void
give_large(struct mllp_connection *c)
{
	slots_leave(c->door->context.slots, &c->waiter);
	if (c->large)
		slots_give(c->door->context.slots, &c->peer->large_held);
	c->large = false;
}

void
mllp_connection_finish(struct mllp_connection *c)
{
	c->closing = true;
	give_large(c);
	if (c->tick)
		loop_timer_cancel(c->tick);
	c->ticking = false;
	if (c->link && !c->shut && !c->first && !c->reading) {
		c->shut = true;
		link_close(c->link);
	}
}

void
mllp_connection_charge(struct mllp_connection *c, uint64_t bytes)
{
	struct log_line line;

	if (!peer_charge_junk(c->peer, bytes < JUNK_LEAST ? JUNK_LEAST : bytes, clock_mono_us()) ||
	    c->closing)
		return;
	log_begin(&line, EVENT_JUNK_QUOTA);
	log_u64(&line, "link", c->link_id);
	log_text(&line, "peer", c->peer->config->name);
	log_u64(&line, "quota", c->peer->config->junk_quota);
	log_commit(&line);
	mllp_connection_finish(c);
}

/*
 * Deadlines
 */
static void
set_pace(struct mllp_connection *c)
{
	if (c->closing || !mid_frame(c) || !(c->large || budget_is_guest(&c->seat))) {
		c->paced_since_us = 0;
	} else if (c->paced_since_us == 0) {
		c->paced_since_us = clock_mono_us();
		c->paced_since_held = mllp_reader_held(&c->reader);
	}
}

static void
set_deadlines(struct mllp_connection *c)
{
	const struct config_limits *limits = &c->door->context.config->limits;
	bool after_fs =
	    mllp_reader_state(&c->reader) == MLLP_AFTER_FS && c->peer->config->lenient & LENIENT_NO_END_CR;

	if (!c->link || c->shut)
		return;
	if (!mid_frame(c) || c->closing) {
		c->frame_start = UINT64_MAX;
		link_deadline(c->link, limits->idle_ms);
	} else if (c->frame_start != c->reader.start) {
		c->frame_start = c->reader.start;
		c->paced_since_us = 0;
		link_deadline(c->link, limits->frame_ms);
	}
	set_pace(c);
	if (c->closing || !mid_frame(c) || !(c->paced_since_us || after_fs)) {
		if (c->ticking)
			loop_timer_cancel(c->tick);
		c->ticking = false;
	} else if (after_fs || !c->ticking) {
		loop_timer_arm(c->tick, TICK_MS);
		c->ticking = true;
	}
}

/* True when the frame being gathered came slower than it must. */
static bool
too_slow(const struct mllp_connection *c)
{
	uint64_t elapsed = clock_mono_us() - c->paced_since_us;
	uint64_t got = mllp_reader_held(&c->reader) - c->paced_since_held;

	return c->paced_since_us && elapsed > RATE_GRACE_US &&
	       got < elapsed / 1000000 * c->door->context.config->limits.large_rate;
}

static void
hold_back(struct mllp_connection *c, bool pause)
{
	if (!c->link || c->paused == pause)
		return;
	c->paused = pause;
	if (pause)
		link_pause(c->link);
	else
		link_resume(c->link);
}

void
mllp_connection_settle(struct mllp_connection *c)
{
	struct span input;

	if (c->reading)
		return;
	if (c->rest.len && mllp_may_read(c)) {
		input = buffer_span(&c->rest);
		mllp_read_frames(c, &input);
		buffer_drop_front(&c->rest, c->rest.len - input.len);
	}
	if (c->rest.len == 0 && c->rest.cap)
		buffer_fini(&c->rest);
	if (!mid_frame(c))
		mllp_reader_trim(&c->reader);
	mllp_connection_account(c);
	if (c->large || c->waiter.waiting || c->closing || (!mid_frame(c) && !c->first))
		budget_guest_ends(&c->seat);
	if (c->ended && !c->closing && c->rest.len == 0 && !c->judging) {
		mllp_end_frame(c, MLLP_END_CLOSED);
		c->closing = true;
	}
	if (c->closing) {
		hold_back(c, true); /* the link lingers after the last answer, bounded */
		mllp_connection_finish(c);
	} else
		hold_back(c, c->rest.len > 0 || !mllp_may_read(c));
	set_deadlines(c);
}

static void
fired(void *arg)
{
	struct mllp_connection *c = arg;

	c->ticking = false;
	c->pins++;
	if (mllp_reader_state(&c->reader) == MLLP_AFTER_FS && c->peer->config->lenient & LENIENT_NO_END_CR)
		mllp_end_frame(c, MLLP_END_IDLE);
	else if (too_slow(c)) {
		mllp_end_frame(c, MLLP_END_SLOW);
		mllp_connection_finish(c);
	}
	mllp_connection_settle(c);
	mllp_connection_unpin(c);
}

static void
slot_granted(struct slot_waiter *waiter)
{
	struct mllp_connection *c =
	    (struct mllp_connection *)((char *)waiter - offsetof(struct mllp_connection, waiter));

	c->large = true;
	c->pins++;
	mllp_connection_settle(c);
	mllp_connection_unpin(c);
}

static void
memory_granted(struct budget_seat *seat)
{
	struct mllp_connection *c =
	    (struct mllp_connection *)((char *)seat - offsetof(struct mllp_connection, seat));

	c->pins++;
	mllp_connection_settle(c);
	mllp_connection_unpin(c);
}

/*
 * The link's handler
 */
static void
tell_refused(const struct link *link, const struct peer *peer)
{
	struct log_line line;

	log_begin(&line, EVENT_CONNECTION_REFUSED);
	log_u64(&line, "link", link_id(link));
	log_text(&line, "peer", peer->config->name);
	log_text(&line, "address", link_address(link));
	log_text(&line, "why", "this peer may not send messages");
	log_commit(&line);
}

unsigned
mllp_leniency(const struct config_peer *peer)
{
	return peer->lenient & LENIENT_NO_END_CR ? MLLP_LENIENT_NO_END_CR : 0;
}

static void *
opened(struct link *link, struct peer *peer, void *arg)
{
	struct mllp_door *door = arg;
	struct mllp_connection *c;

	if (door->stopping)
		return NULL;
	if (!peer->config->may_send) {
		tell_refused(link, peer);
		return NULL;
	}
	c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->tick = loop_timer_new(door->context.loop, fired, c);
	if (!c->tick) {
		free(c);
		return NULL;
	}
	c->door = door;
	c->link = link;
	c->link_id = link_id(link);
	c->peer = peer;
	if (peer->shown) /* just now, for this link */
		c->certificate = peer->last;
	c->waiter.granted = slot_granted;
	budget_sit(&c->seat, door->context.budget, memory_granted);
	budget_join(&c->seat, &peer->memory);
	mllp_reader_init(&c->reader, peer->config->max_size, mllp_leniency(peer->config));
	buffer_init(&c->rest, REST_MAX);
	c->next = door->first;
	if (door->first)
		door->first->prev = c;
	door->first = c;
	door->links++;
	set_deadlines(c);
	return c;
}

static void
before_input(void *arg)
{
	struct mllp_connection *c = arg;

	if (!c->closing && !mllp_may_read(c))
		hold_back(c, true);
}

static void
input(void *arg, struct span bytes)
{
	struct mllp_connection *c = arg;

	c->pins++;
	if (c->closing) {
		c->drained += bytes.len; /* the rest of a read: nothing follows, reading is held back */
		mllp_connection_unpin(c);
		return;
	}
	if (c->rest.len == 0)
		mllp_read_frames(c, &bytes);
	if (c->closing)
		c->drained += bytes.len;
	else
		buffer_append_span(&c->rest, bytes);
	if (buffer_failed(&c->rest))
		mllp_out_of_memory(c);
	mllp_connection_settle(c);
	mllp_connection_unpin(c);
}

static void
input_ended(void *arg)
{
	struct mllp_connection *c = arg;

	c->pins++;
	c->ended = true;
	mllp_connection_settle(c);
	mllp_connection_unpin(c);
}

static void
drained(void *arg)
{
	struct mllp_connection *c = arg;

	if (c->stuck)
		mllp_connection_go_on(c);
	else
		mllp_connection_account(c);
}

static void
deadline(void *arg)
{
	struct mllp_connection *c = arg;

	c->pins++;
	if (c->closing || (c->first && !mid_frame(c))) {
		/* Our own disk did not decide in time, or the closing did not come to its end: say nothing false. */
		link_drop(c->link, LINK_DEADLINE);
	} else if (c->waiter.waiting || (c->seat.waiting && mllp_reader_state(&c->reader) != MLLP_OUTSIDE)) {
		mllp_give_up_frame(c);
	} else if (mid_frame(c)) {
		mllp_end_frame(c, MLLP_END_SLOW);
		c->closing = true;
	} else {
		c->closing = true;
	}
	mllp_connection_settle(c);
	mllp_connection_unpin(c);
}

/*
 * Law: every byte received belongs to a record. What was not looked at, or came while closing, is told as one cut frame. So is what the
 * leniency for end blocks would take as a message when the broker stops: it could not be judged any more.
 */
static void
record_left(struct mllp_connection *c)
{
	struct mllp_event event = {
		.kind = MLLP_REJECT, .cause = FAULT_FRAME_CUT, .offset = c->reader.start
	};

	if (c->door->stopping)
		event.size = mllp_reader_pending(&c->reader);
	else
		mllp_end_frame(c, MLLP_END_CLOSED);
	event.size += c->rest.len + c->drained;
	event.head = span_cut(buffer_span(&c->rest), 0, MLLP_HEAD_MAX);
	if (event.size)
		mllp_reject_frame(c, &event, false);
}

static void
closed(void *arg, enum link_end end)
{
	struct mllp_connection *c = arg;

	(void)end; /* the link has logged it */
	c->pins++;
	c->link = NULL;
	c->door->links--;
	record_left(c);
	c->closing = true;
	give_large(c);
	mllp_reader_trim(&c->reader);
	buffer_fini(&c->rest);
	mllp_connection_account(c);
	budget_stop_waiting(&c->seat);
	budget_guest_ends(&c->seat);
	loop_timer_free(c->tick);
	c->tick = NULL;
	mllp_connection_unpin(c);
}

const struct link_handler mllp_handler = {
	.opened = opened,
	.before_input = before_input,
	.input = input,
	.input_ended = input_ended,
	.drained = drained,
	.deadline = deadline,
	.closed = closed,
};

/*
 * The door
 */
int
mllp_door_new(struct mllp_door **doorp, const struct door_context *context, const char *listener)
{
	struct mllp_door *door = calloc(1, sizeof(*door));

	if (!door)
		return -ENOMEM;
	door->context = *context;
	door->listener = strdup(listener);
	if (!door->listener) {
		free(door);
		return -ENOMEM;
	}
	if (mllp_slots_init(door)) {
		free(door->listener);
		free(door);
		return -ENOMEM;
	}
	config_hold(door->context.config);
	*doorp = door;
	return 0;
}

static struct mllp_connection *
next_open(const struct mllp_door *door)
{
	struct mllp_connection *c = door->first;

	while (c && c->closing)
		c = c->next;
	return c;
}

void
mllp_door_stop(struct mllp_door *door, void (*idle)(void *arg), void *arg)
{
	struct mllp_connection *c;

	door->stopping = true;
	door->idle = idle;
	door->idle_arg = arg;
	if (!door->first) {
		door_check_idle(door);
		return;
	}
	/* From the beginning each time: closing one may end others. */
	while ((c = next_open(door))) {
		c->closing = true;
		c->pins++;
		mllp_connection_settle(c);
		mllp_connection_unpin(c);
	}
}

/* The next of ${c} on whose peer may no longer send; one that is not configured any more is not the door's to judge. */
static struct mllp_connection *
next_forbidden(struct mllp_connection *c)
{
	while (c && (c->closing || !peer_configured(c->peer) || c->peer->config->may_send))
		c = c->next;
	return c;
}

void
mllp_door_reconfigure(struct mllp_door *door, const struct config *config)
{
	const struct config *before = door->context.config;
	struct mllp_connection *c;

	door->context.config = config_hold(config);
	config_release(before);
	while ((c = next_forbidden(door->first))) {
		c->closing = true;
		c->pins++;
		mllp_connection_settle(c);
		mllp_connection_unpin(c);
	}
	for (c = door->first; c; c = c->next)
		if (!c->closing && !mid_frame(c))
			set_deadlines(c);
}

size_t
mllp_door_links(const struct mllp_door *door)
{
	return door->links;
}

size_t
mllp_door_in_flight(const struct mllp_door *door)
{
	return door->in_flight;
}

void
mllp_door_free(struct mllp_door *door)
{
	if (!door)
		return;
	door->idle = NULL;
	door->dying = true;
	door_check_idle(door);
}
