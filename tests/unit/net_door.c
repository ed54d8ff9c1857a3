/* SPDX-License-Identifier: Apache-2.0 */
/* The echoing door, and what tests of links do around it. */
#include "net_door.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct side *
side_new(struct link *link, struct door *door)
{
	struct side *side = calloc(1, sizeof(*side));

	if (!side)
		abort();
	side->link = link;
	side->door = door;
	door->link = link;
	door->opened++;
	return side;
}

void
side_closed(void *arg, enum link_end end)
{
	struct side *side = arg;

	side->door->end = (int)end;
	side->door->closed++;
	free(side);
}

void *
echo_opened(struct link *link, struct peer *peer, void *door)
{
	struct side *side = side_new(link, door);

	if (strcmp(peer->config->name, "chu-test") != 0 || link_peer(link) != peer)
		abort();
	if (side->door->deadline_ms)
		link_deadline(link, side->door->deadline_ms);
	return side;
}

void
echo_input(void *arg, struct span bytes)
{
	struct side *side = arg;

	side->door->inputs++;
	side->door->received += bytes.len;
	if (link_send(side->link, bytes) != 0)
		abort();
}

static void
echo_ended(void *arg)
{
	struct side *side = arg;

	side->door->ended++;
	if (link_send(side->link, span_str("bye")) != 0)
		abort();
	link_close(side->link);
}

const struct link_handler echo = {
	.opened = echo_opened,
	.input = echo_input,
	.input_ended = echo_ended,
	.closed = side_closed,
};

bool
wait_for(atomic_uint *counter, unsigned value)
{
	for (int i = 0; i < 2000; i++) {
		if (atomic_load(counter) >= value)
			return true;
		usleep(5000);
	}
	return false;
}

struct errand {
	struct post_item item;
	void (*work)(struct rig *rig, struct door *door);
	struct rig *rig;
	struct door *door;
	atomic_uint done;
};

static void
errand_run(struct post_item *item)
{
	struct errand *errand = (struct errand *)item;

	errand->work(errand->rig, errand->door);
	errand->done = 1;
}

void
on_loop(struct rig *rig, struct door *door, void (*work)(struct rig *rig, struct door *door))
{
	struct errand errand = { .item.run = errand_run, .work = work, .rig = rig, .door = door };

	post(loop_poster(rig->loop), &errand.item);
	assert_true(wait_for(&errand.done, 1));
}

void *
flood_run(void *arg)
{
	struct flood *flood = arg;
	static const char piece[16 * 1024];

	for (size_t at = 0; at < flood->total; at += sizeof(piece)) {
		if (!client_write(flood->ssl, piece, sizeof(piece)))
			return NULL;
	}
	flood->done = 1;
	return NULL;
}
