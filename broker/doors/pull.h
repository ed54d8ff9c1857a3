/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pull API for DUI software: inboxes are listed, items read and acknowledged over HTTPS. Described by conf/doc/openapi.yaml.
 *
 * What a peer may see is what the configuration makes it a reader of; anything else is the same 404 as what never was. Content is given
 * only after the read is on disk. There is no lease: all readers of an inbox see all its unacknowledged items, the first
 * acknowledgement counts.
 */
#pragma once

#include <stddef.h>

#include "broker/doors/door.h"
#include "codecs/buffer.h"

struct link_handler;
struct pull_door;

/* For listener_options.handler; listener_options.door is a struct pull_door. */
extern const struct link_handler pull_handler;

/* A door for the listener called ${listener} (copied). ${context} is copied, its configuration held. 0 or -ENOMEM. */
int pull_door_new(struct pull_door **doorp, const struct door_context *context, const char *listener)
    __attribute__((warn_unused_result));

/* Requests being answered are answered, waiting ones with what there is, then each link is closed. Calls ${idle} (on the loop thread, perhaps
 * at once) when no link is left; NULL: do not tell. */
void pull_door_stop(struct pull_door *door, void (*idle)(void *arg), void *arg);

/*
 * Go by ${config} from now on, after peers_reconfigure. A request ends by the configuration it began under; those that only wait for items are
 * answered with what there is, so that the next one asks under the new one. Takes a hold of its own.
 */
void pull_door_reconfigure(struct pull_door *door, const struct config *config);

size_t pull_door_links(const struct pull_door *door);

/* Only when its listener is freed. NULL is harmless. */
void pull_door_free(struct pull_door *door);

/* Append one line per route: method, pattern, and every status it can produce. */
void pull_routes_print(struct buffer *out);
