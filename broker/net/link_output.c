/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing: queued in chunks, sent once at the end of the callback that queued, then as the socket takes it.
 *
 * A reader has two duties, or is dropped: to take some bytes within answer_ms, and to take all that waited at any moment within ten times that.
 * The second stops one that takes a byte at a time.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "broker/base/pool.h"
#include "broker/net/link_state.h"

#define CHUNK_SMALL (LOOP_BLOCK - sizeof(struct chunk)) /* a few acknowledgements */
#define CHUNK_LARGE ((size_t)16 * 1024)			/* a full record */
#define TURN_BYTES  ((size_t)256 * 1024)		/* then other links have their turn */
#define DRAIN_TIMES 10

/* An empty chunk, of the loop's blocks when it is small. NULL: no memory. */
static struct chunk *
chunk_new(struct link *link, bool small)
{
	size_t cap = small ? CHUNK_SMALL : CHUNK_LARGE;
	struct chunk *chunk = small ? pool_take(loop_blocks(link_loop(link))) : malloc(sizeof(*chunk) + cap);

	if (chunk)
		*chunk = (struct chunk){ .cap = cap };
	return chunk;
}

static void
chunk_free(struct link *link, struct chunk *chunk)
{
	if (chunk->cap == CHUNK_SMALL)
		pool_give(loop_blocks(link_loop(link)), chunk, true);
	else
		free(chunk);
}

/* A chain with room for ${len} bytes, or NULL. *${lastp} is its end. */
static struct chunk *
chunks_new(struct link *link, size_t len, struct chunk **lastp)
{
	struct chunk *first = NULL, **next = &first;

	while (len > 0) {
		struct chunk *chunk = chunk_new(link, len <= CHUNK_SMALL);

		if (!chunk) {
			while ((chunk = first)) {
				first = chunk->next;
				chunk_free(link, chunk);
			}
			return NULL;
		}
		*next = *lastp = chunk;
		next = &chunk->next;
		len -= chunk->cap < len ? chunk->cap : len;
	}
	return first;
}

/* Copy into ${chunk} and those behind it, which have the room. */
static void
chunks_fill(struct chunk *chunk, struct span bytes)
{
	for (; bytes.len > 0; chunk = chunk->next) {
		size_t n = chunk->cap - chunk->to;

		if (n > bytes.len)
			n = bytes.len;
		memcpy(chunk->data + chunk->to, bytes.ptr, n);
		chunk->to += n;
		bytes = span_cut(bytes, n, bytes.len);
	}
}

int
link_send(struct link *link, struct span bytes)
{
	size_t room = link->last ? link->last->cap - link->last->to : 0;
	struct chunk *from = link->last, *added, *last = NULL;

	if (link->state != LINK_OPEN)
		return -EPIPE;
	if (link->waiting >= link->owner->limits.output_buffer)
		return -ENOBUFS;
	if (bytes.len == 0)
		return 0;
	if (bytes.len > room) {
		added = chunks_new(link, bytes.len - room, &last);
		if (!added)
			return -ENOMEM;
		if (link->last)
			link->last->next = added;
		else
			link->first = from = added;
		link->last = last;
	}
	chunks_fill(from, bytes);
	link->waiting += bytes.len;
	if (link->waiting > LINK_LOW_WATER)
		link->above = true;
	if (!link->in_turn && !link->blocked)
		link_soon(link);
	return 0;
}

void
link_push(struct link *link)
{
	if (link->first && !link->in_turn && !link->blocked)
		link_flush(link);
}

size_t
link_output(const struct link *link)
{
	return link->waiting;
}

void
link_output_free(struct link *link)
{
	struct chunk *chunk;

	while ((chunk = link->first)) {
		link->first = chunk->next;
		chunk_free(link, chunk);
	}
	link->last = NULL;
	link->waiting = 0;
}

/* ${n} bytes left. */
static void
advance(struct link *link, size_t n)
{
	struct chunk *chunk = link->first;

	chunk->from += n;
	link->bytes_out += n;
	link->waiting -= n;
	if (chunk->from < chunk->to)
		return;
	link->first = chunk->next;
	if (!link->first)
		link->last = NULL;
	chunk_free(link, chunk);
}

/*
 * The socket is full, or (${why}) TLS wants the rest of a message first, which reading brings: the socket would take bytes all the while. What waits has
 * its time. ${progress}: some bytes left just now.
 */
static void
block(struct link *link, enum link_io why, bool progress)
{
	uint64_t answer_us = link->owner->limits.answer_ms * 1000;
	uint64_t now_us = loop_now_us(link_loop(link));
	uint64_t by_us = now_us + answer_us;

	link->blocked = true;
	link->write_wants_read = why == LINK_IO_WANTS_READ;
	if (why == LINK_IO_WANTS_WRITE)
		event_add(&link->on_write, NULL);
	if (link->mark == 0 || link->bytes_out >= link->mark) {
		link->mark = link->bytes_out + link->waiting;
		link->mark_by_us = now_us + DRAIN_TIMES * answer_us;
	}
	if (!progress && link->guard.at_us)
		return;
	deadline_set(&link->guard, by_us < link->mark_by_us ? by_us : link->mark_by_us);
}

/*
 * Writing failed. What a server said last may still lie in the socket, an alert that tells why among it: a dialled link reads once more before it
 * is dropped.
 */
static void
broke(struct link *link)
{
	if (link->state == LINK_OPEN && link->owner->outward && !link->ended && !link->why) {
		link->broken = link->blocked = true;
		link_next_turn(link);
	} else {
		link_drop(link, LINK_RESET);
	}
}

/* Give the socket what waits, at most ${budget}. How many bytes went; blocked or dropped when it takes no more. */
static size_t
give(struct link *link, size_t budget)
{
	size_t total = 0, n;
	enum link_io why;

	while (link->first && total < budget) {
		why = link_give(
		    link, link->first->data + link->first->from, link->first->to - link->first->from, &n);
		switch (why) {
		case LINK_IO_DONE:
			advance(link, n);
			total += n;
			break;
		case LINK_IO_WANTS_READ:
		case LINK_IO_WANTS_WRITE:
			block(link, why, total > 0);
			return total;
		case LINK_IO_ENDED:
		case LINK_IO_FAILED:
			broke(link);
			return total;
		}
	}
	return total;
}

/* Tell the door once what it waits for. */
static void
tell_drained(struct link *link)
{
	const struct link_handler *handler = link->owner->handler;

	if (link->waiting > 0 && !(link->above && link->waiting <= LINK_LOW_WATER))
		return;
	link->above = false;
	if (link->state != LINK_OPEN || !handler->drained)
		return;
	link->in_turn = true;
	handler->drained(link->arg);
	link->in_turn = false;
}

void
link_flush(struct link *link)
{
	size_t total = 0, n;

	if (link->broken && !link->read_soon) {
		link_drop(link, LINK_RESET);
		return;
	}
	while ((link->state == LINK_OPEN || link->state == LINK_FLUSHING) && link->first && !link->blocked) {
		if (total >= TURN_BYTES) {
			link_next_turn(link);
			return;
		}
		n = give(link, TURN_BYTES - total);
		total += n;
		if (link->state == LINK_CLOSED)
			return;
		if (!link->blocked) {
			deadline_cancel(&link->guard);
			link->mark = 0;
		}
		if (n > 0)
			tell_drained(link);
	}
	if (link->state == LINK_FLUSHING && !link->first)
		link_linger(link);
}
