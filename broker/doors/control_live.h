/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The destinations as they are at one moment: what waits in each, whether it is held, how the sending to it stands. Taken on the loop, read
 * on a worker.
 */
#pragma once

#include "broker/doors/control_request.h"

struct control_live {
	const char *name;
	const struct config_destination
	    *destination; /* NULL: what is parked, or a name that is not configured (any more) */
	bool parked;
	uint64_t waiting, oldest_us;
	uint64_t hold_record; /* 0: it is not held */
	bool dialled;	      /* and ${state} is filled */
	struct sender_state state;
};

struct control_lives {
	struct control_live *list;
	size_t count;
	uint64_t now_us; /* journal time */
};

/*
 * All destinations of the configuration, then names that are not configured and have something waiting, then what is parked; in the request's
 * arena. -ENOMEM.
 */
int control_lives_take(struct control_request *request, struct control_lives *lives)
    __attribute__((warn_unused_result));

/* NULL: none of that name was there. */
const struct control_live *control_live_find(const struct control_lives *lives, const char *name);

/* "up", "connecting", "back-off", "down", "held"; "-" of what is not dialled. */
const char *control_live_state(const struct control_live *live);

/* Who holds ${live}, since when and why, from the trace: on a worker. False: it is not held, or the view does not know. */
bool control_live_hold(
    struct control_request *request, const struct control_live *live, struct trace_hop *hop);

/* The number of the queue called ${name}: of a destination that is or was configured, or of what is parked; CORE_NONE. */
size_t control_queue_number(const struct core *core, const char *name);

/* ${name} as records of the journal have it. */
const char *control_recorded(const char *name);

/* What became of ${message}, in sentences; *${wellp} false when somebody should look at it. On a worker. control_why.c */
void control_why_sentence(struct control_request *request, const struct control_lives *lives,
    const struct trace_message *message, const struct trace_hop *record, struct buffer *out, bool *wellp);
