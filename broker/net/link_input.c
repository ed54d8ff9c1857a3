/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading: until the socket has no more, within a bound, so that one link that streams does not starve the others.
 *
 * Several records are gathered in the loop's buffer before the door sees them: pipelined messages come in one piece, and their answers leave
 * in one. Nothing decrypted stays behind in the SSL unnoticed: a turn that ends early comes back by itself.
 */
#include <event2/event.h>

#include "broker/net/link_state.h"

/* One link's share of a turn of the loop: about 50 us of TLS; under a millisecond when its records are small, which cost as much as large ones. */
#define TURN_BYTES   ((size_t)256 * 1024)
#define TURN_RECORDS 256u

#define RECORD_MAX ((size_t)16 * 1024) /* RFC 8446 5.1 */

/* Gather records, *${leftp} at most. Returns how many bytes; *${why} is what comes next, LINK_IO_DONE when the buffer or the share is full. */
static size_t
gather(struct link *link, uint8_t *to, unsigned *leftp, enum link_io *why)
{
	size_t have = 0, n;

	*why = LINK_IO_DONE;
	while (have + RECORD_MAX <= LOOP_SCRATCH && *leftp > 0) {
		--*leftp;
		*why = link_take(link, to + have, LOOP_SCRATCH - have, &n);
		if (*why != LINK_IO_DONE)
			break;
		have += n;
	}
	return have;
}

static void
input_ended(struct link *link)
{
	const struct link_handler *handler = link->owner->handler;

	link->ended = true;
	link_read_events(link, false);
	if (handler->input_ended)
		handler->input_ended(link->arg);
	else
		link_close(link);
}

/* What came after the last byte. */
static void
conclude(struct link *link, enum link_io why)
{
	switch (why) {
	case LINK_IO_DONE:
	case LINK_IO_WANTS_READ:
		break;
	case LINK_IO_WANTS_WRITE:
		link->read_wants_write = true;
		event_add(&link->on_write, NULL);
		break;
	case LINK_IO_ENDED:
		input_ended(link);
		break;
	case LINK_IO_FAILED:
		link_drop(link, LINK_RESET);
	}
}

/* What was read ahead stays with the link; the socket does not tell of it. */
static void
end_turn(struct link *link, enum link_io why)
{
	if (link->state == LINK_CLOSED)
		return;
	if (link_wire_keep(link))
		link_drop(link, LINK_RESET);
	else if (why == LINK_IO_WANTS_READ && link->wire.ahead.len && !link->paused)
		link_next_turn(link); /* behind a record that had nothing for the door */
}

void
link_read(struct link *link)
{
	const struct link_handler *handler = link->owner->handler;
	uint8_t *scratch = loop_scratch(link_loop(link));
	size_t total = 0, n;
	unsigned left = TURN_RECORDS;
	enum link_io why = LINK_IO_DONE;

	link->read_soon = false;
	link_wire_begin(link);
	if (link->write_wants_read)
		link->write_wants_read = link->blocked = false;
	while (link->state == LINK_OPEN && !link->paused && !link->ended && why == LINK_IO_DONE) {
		if (total >= TURN_BYTES || left == 0) {
			if (link_pending(link)) /* otherwise the socket tells */
				link_next_turn(link);
			break;
		}
		if (handler->before_input) {
			handler->before_input(link->arg);
			if (link->paused || link->state != LINK_OPEN)
				break;
		}
		n = gather(link, scratch, &left, &why);
		total += n;
		link->bytes_in += n;
		if (n > 0) {
			link->in_turn = true;
			handler->input(link->arg, span_make(scratch, n));
			link->in_turn = false;
		}
		if (link->state == LINK_OPEN && !link->ended)
			conclude(link, why);
	}
	end_turn(link, why);
	link_flush(link);
}
