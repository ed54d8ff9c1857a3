/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where others come in: each listener of the configuration with the door behind it, through all configurations.
 *
 * To go by another configuration takes two steps. The first opens the sockets of listeners that are new or have another address, and can fail: then all
 * is as before. The second cannot: what stays (the same name, protocol, address and port) keeps its socket and its links, what is gone
 * takes no connection more, has its messages in flight answered and its links closed, and is freed when none is left.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "broker/doors/door.h"
#include "broker/net/link.h"
#include "broker/net/tls.h"
#include "codecs/buffer.h"

struct entrances;

/* None yet. ${context} is copied, but for its configuration. ${idle} is called (on the loop) when one has no link left after entrances_stop. */
int entrances_new(struct entrances **entrancesp, const struct door_context *context, void (*idle)(void *arg),
    void *arg) __attribute__((warn_unused_result));

/*
 * The first step: what ${config} needs and there is not. 0; ENTRANCES_REFUSED: a socket cannot be had, ${errors} says which in a line for each;
 * -ENOMEM. Then nothing has changed. What an earlier call prepared is undone.
 */
enum {
	ENTRANCES_REFUSED = 1,
};
int entrances_prepare(struct entrances *entrances, const struct config *config, struct tls_context *tls,
    struct buffer *errors) __attribute__((warn_unused_result));

/* Undo what was prepared. Harmless when nothing was. */
void entrances_cancel(struct entrances *entrances);

/* The second step, for the configuration that was prepared; after peers_reconfigure. ${tls} is used until the next call. */
void entrances_switch(struct entrances *entrances, struct tls_context *tls);

/* The listeners in the order of the configuration; until the next switch. */
struct listener *const *entrances_listeners(const struct entrances *entrances, size_t *count);

/* To be called every second or so: free those that were left and are empty, or had limits.stop_ms for it. */
void entrances_sweep(struct entrances *entrances);

/* Take no connection more, answer what is in flight, close. */
void entrances_stop(struct entrances *entrances);

/* After entrances_stop: whether no link is left. */
bool entrances_idle(const struct entrances *entrances);

/* Drops the links that are left. NULL is harmless. */
void entrances_free(struct entrances *entrances);
