/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Links, timers and workers that only remember what was asked of them: for tests of doors without a socket, a loop or a thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "broker/net/link.h"
#include "broker/net/loop.h"
#include "broker/store/workers.h"
#include "codecs/buffer.h"

struct link {
	const struct link_handler *handler;
	void *arg;
	struct peer *peer;
	struct buffer out;
	bool full; /* link_send says -ENOBUFS */
	bool paused, closing, dropped, buried;
	enum link_end end;
	uint64_t deadline_ms;
};

/* Open a link of ${peer} at ${door}; false when the door refuses it. */
bool fake_link_open(struct link *link, const struct link_handler *handler, void *door, struct peer *peer);

/* Bytes come, as the link would give them: not while it is paused or closing. */
void fake_link_input(struct link *link, struct span bytes);
void fake_link_text(struct link *link, const char *text);

/* What the door sent since the last call, NUL-ended, in static memory of 1 MiB. */
const char *fake_link_sent(struct link *link);

/* The link is gone. Harmless when it is already. */
void fake_link_end(struct link *link, enum link_end end);

/* Fire the armed timer that is due next; false when none is armed. */
bool fake_timer_fire(void);

/* Move the time that loop_now_us tells. */
void fake_time_add_ms(uint64_t ms);

/* Jobs that wait. With fake_workers_full set, none is taken. */
extern bool fake_workers_full;
size_t fake_workers_waiting(void);
void fake_workers_run(void);
