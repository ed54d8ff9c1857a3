/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of the HL7 door: connections and the slots of their messages. For doors/mllp*.c only.
 *
 * A slot is one thing received (a message, a stray acknowledgement, a rejected frame) from its last byte to its answer. A connection keeps its
 * slots in the order of arrival; a slot is answered when it is decided and all before it are answered. A connection whose link is gone stays
 * until its slots are decided.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/base/budget.h"
#include "broker/base/pool.h"
#include "broker/content/content.h"
#include "broker/core/core.h"
#include "broker/doors/mllp.h"
#include "broker/doors/slots.h"
#include "broker/net/link.h"
#include "broker/store/workers.h"
#include "codecs/arena.h"
#include "codecs/buffer.h"
#include "codecs/mllp.h"

struct mllp_connection;

/* A slot lies in a block with what belongs to it: bytes of a small message, an arena, an answer. */
#define MLLP_BLOCK	 ((size_t)8 << 10)
#define MLLP_BLOCKS_KEPT 1024u
#define MLLP_ANSWER_ROOM 256u /* more than an `AA` takes */

struct mllp_slot {
	struct workers_job job;
	const struct config *config; /* held: that of its beginning... */
	const struct config_peer
	    *peer; /* ...and what it says of the peer, by which the message is judged and decided */
	struct mllp_slot *next;
	struct mllp_connection *connection;
	struct submission submission;
	struct fault fault;  /* what the door itself found; code FAULT_NONE: nothing */
	struct arena arena;  /* facts and what else content makes: the rest of the block, first */
	struct buffer owned; /* the bytes of a message that is not small */
	struct span bytes;   /* of the message: in owned, or behind this struct */
	uint64_t received_us;
	bool answered; /* answer holds what is to be sent, perhaps nothing */
	bool answers;  /* a frame-level reject that is answered nevertheless */
	bool no_end_cr;
	bool large;	  /* holds one of the large slots */
	uint64_t charged; /* what it holds, as accounted for */
	uint64_t offset;  /* where it began in the stream... */
	uint64_t frame;	  /* ...and its bytes there, start and end block included */
	struct buffer answer;
	uint64_t seq;
	enum answer verdict;
	size_t head_len;
	/* From here on nothing is cleared at the beginning. */
	struct content content;	     /* set when it is judged; of a rejected frame only the header */
	uint8_t head[MLLP_HEAD_MAX]; /* of a rejected frame */
	uint8_t answer_room[MLLP_ANSWER_ROOM];
};

struct mllp_door {
	struct door_context context;
	char *listener;
	struct mllp_connection *first;
	struct mllp_connection *due; /* they have slots that were decided in this turn of the loop */
	struct post_item due_item;   /* with the loop while there are any */
	struct pool blocks;	     /* of slots */
	struct loop_timer *trim;     /* of the pool; armed while trimming */
	size_t links, in_flight;
	bool trimming;
	bool stopping, dying;
	void (*idle)(void *arg);
	void *idle_arg;
};

struct mllp_connection {
	struct mllp_connection *prev, *next;
	struct mllp_door *door;
	struct link *link; /* NULL: gone */
	uint64_t link_id;
	struct peer *peer;
	struct tls_identity certificate; /* what the peer showed; serial empty: none */
	struct mllp_reader reader;
	struct buffer rest; /* received, not looked at yet: while reading is held back */
	struct mllp_slot *first, *last;
	struct mllp_connection *next_due;
	uint64_t read_us; /* when what is being read was received */
	unsigned in_flight;
	unsigned pins;		   /* functions up the stack that still use it */
	bool due;		   /* on the door's list of those, and pinned by that */
	bool heard;		   /* a message was decided since presence was told */
	bool reading;		   /* in read_frames */
	bool stuck;		   /* an answer waits until the link has drained */
	bool judging;		   /* the newest slot is on a worker: nothing may overtake it */
	bool closing;		   /* nothing is read any more; closed when all is answered */
	bool mode_told;		   /* EVENT_ORIGINAL_MODE was logged */
	bool large;		   /* the frame being gathered holds a large slot */
	bool ticking;		   /* the timer is armed */
	uint64_t frame_start;	   /* stream offset of the frame whose deadline is set */
	uint64_t paced_since_us;   /* since when it must keep large_rate; 0: it need not */
	uint64_t paced_since_held; /* and what was held then */
	uint64_t drained;	   /* bytes that came while closing */
	bool ended;		   /* the other side has sent its last byte */
	bool shut;		   /* link_close was called */
	bool paused;
	struct slot_waiter waiter;
	struct budget_seat seat; /* what it holds of the budget, and its place in the line */
	uint64_t slots_charged;	 /* by its slots */
	struct loop_timer *tick;
};

/* Below: mllp_slot.c */

/* What slots of ${door} are made of. -ENOMEM. */
int mllp_slots_init(struct mllp_door *door) __attribute__((warn_unused_result));
void mllp_slots_fini(struct mllp_door *door);

/* A slot at the end of ${c}'s list holding a copy of ${content} or, when ${event} allows, the reader's memory. NULL: no memory. */
struct mllp_slot *mllp_slot_new(
    struct mllp_connection *c, const struct mllp_event *event, struct span content);

/* Judge the message of ${slot}, here or on a worker, and submit it. */
void mllp_slot_judge(struct mllp_slot *slot);

/* Submit the message of ${slot}, all that came of it, refused by the door for ${cause}; its digest is made on a worker when it is not small. */
void mllp_slot_refuse(struct mllp_slot *slot, enum fault_code cause, const char *why);

/* Submit ${slot} as a frame that circumstances turn away: told by size and first bytes, answered AR. */
void mllp_slot_turn_away(struct mllp_slot *slot, const char *why);

/* Submit ${slot} as a frame-level reject for ${cause}; ${answers}: its sender waits for an answer, if it was a message. */
void mllp_slot_reject(struct mllp_slot *slot, enum fault_code cause, bool answers);

/* Free the oldest slot of ${c}. */
void mllp_slot_pop(struct mllp_connection *c);

/* The leniencies of the reader that ${peer} has. */
unsigned mllp_leniency(const struct config_peer *peer);

/* Below: mllp_frames.c */

/* Whether the next byte of ${c} may be looked at. When only memory is missing, ${c} then stands in line for it. */
bool mllp_may_read(struct mllp_connection *c);

/* Take frames from the front of ${input} as long as that is so. */
void mllp_read_frames(struct mllp_connection *c, struct span *input);

/* End what is held for ${why} and record it; unanswered, for its sender stopped sending. */
void mllp_end_frame(struct mllp_connection *c, enum mllp_end why);

/* The frame being read waited too long for a large slot or for memory: refused, answered; nothing more is read. */
void mllp_give_up_frame(struct mllp_connection *c);

/* Record and charge a frame-level reject. */
void mllp_reject_frame(struct mllp_connection *c, const struct mllp_event *event, bool answers);

/* Drop the link: nothing can be said any more in the protocol's terms; what was in flight is decided without it. */
void mllp_out_of_memory(struct mllp_connection *c);

/* Below: mllp.c */

/* Tell the budget what ${c} and its slots hold now: after each frame, and after each turn of answers. */
void mllp_connection_account(struct mllp_connection *c);

/* After anything happened: close, or read what was held back, then set the deadlines. ${c} is pinned. */
void mllp_connection_settle(struct mllp_connection *c);

/* ${c} may be gone afterwards, and its door. */
void mllp_connection_unpin(struct mllp_connection *c);

/* Read nothing more; close when all is answered. ${c} lives at least until the caller's callback returns. */
void mllp_connection_finish(struct mllp_connection *c);

/* Charge the peer for a piece of junk of ${bytes}, a small one for what it costs; past its quota ${c} is finished. */
void mllp_connection_charge(struct mllp_connection *c, uint64_t bytes);

/* Below: mllp_send.c */

/* A slot of ${c} was decided: send what can be sent, read on. */
void mllp_connection_go_on(struct mllp_connection *c);

/* The same, once for all that are decided in this turn of the loop. */
void mllp_connection_due(struct mllp_connection *c);
