/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HL7 door: MLLP frames of a known peer become submissions, verdicts become acknowledgements.
 *
 * It holds no policy: content judges, core decides and journals, and what is answered is their verdict. Messages are pipelined up to the
 * peer's max_in_flight; answers leave in the order of arrival, per connection. Bytes of a frame live until its answer is made. Every byte
 * received belongs to a submission or to a frame-level reject. Original acknowledgement mode, whatever MSH-15/16 ask.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "broker/doors/door.h"

struct link_handler;
struct mllp_door;

/* For listener_options.handler; listener_options.door is a struct mllp_door. */
extern const struct link_handler mllp_handler;

/* A door for the listener called ${listener} (copied). ${context} is copied, its configuration held. 0 or -ENOMEM. */
int mllp_door_new(struct mllp_door **doorp, const struct door_context *context, const char *listener)
    __attribute__((warn_unused_result));

/* No further frame is read: what is in flight is answered, then each link is closed. A frame cut short by this has no answer: its
 * sender sends it again. Call ${idle} (on the loop thread, perhaps at once) when no link is left; NULL: do not tell. */
void mllp_door_stop(struct mllp_door *door, void (*idle)(void *arg), void *arg);

/*
 * Go by ${config} from now on, after peers_reconfigure: bounds and deadlines hold for open connections too; what is being received or judged ends
 * as it began. A connection whose peer may no longer send is closed once what is in flight is answered. Takes a hold of its own.
 */
void mllp_door_reconfigure(struct mllp_door *door, const struct config *config);

/* Links that are open, and messages read and not yet answered on them. */
size_t mllp_door_links(const struct mllp_door *door);
size_t mllp_door_in_flight(const struct mllp_door *door);

/* Only when its listener is freed. NULL is harmless. */
void mllp_door_free(struct mllp_door *door);
