/* SPDX-License-Identifier: Apache-2.0 */
/* A door for tests of links: it counts what it is told, and echoes. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net_rig.h"

/* What doors below remember. Counters are read while the loop runs. */
struct door {
	atomic_uint opened, closed, ended, deadlines, inputs;
	atomic_size_t received;
	_Atomic(struct link *) link; /* the last one opened */
	atomic_int end;
	atomic_bool full, obeyed;
	size_t to_produce;
	uint64_t deadline_ms;
};

/* The state of one link: itself and its door. */
struct side {
	struct link *link;
	struct door *door;
	size_t produced;
};

/* The state of ${link}; counted. Freed by side_closed. */
struct side *side_new(struct link *link, struct door *door);
void side_closed(void *arg, enum link_end end);

/* opened() of a peer that must be chu-test; sets deadline_ms when it is not 0. */
void *echo_opened(struct link *link, struct peer *peer, void *door);
void echo_input(void *arg, struct span bytes);

/* Sends back what comes; says "bye" to the end. */
extern const struct link_handler echo;

/* False after 10 s. */
bool wait_for(atomic_uint *counter, unsigned value);

/* Run ${work} on the loop thread, and wait for it. */
void on_loop(struct rig *rig, struct door *door, void (*work)(struct rig *rig, struct door *door));

/* A thread that writes ${total} bytes; done is 1 when all were taken. */
struct flood {
	SSL *ssl;
	size_t total;
	atomic_uint done;
};
void *flood_run(void *arg);
