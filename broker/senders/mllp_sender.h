/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sender of one destination: its queue goes out over one MLLP link at a time, as window.h says. For broker/senders/ only.
 *
 *     IDLE -> CONNECTING -> SENDING -> IDLE             an idle link stays open
 *               |             |
 *               +-> WAITING <-+                         a failure; the next try when the pause is over
 *
 * HELD lies over all of them: nothing is dialled and nothing sent, answers on their way are awaited. Everything happens in one function, pump,
 * called whenever anything changed; it does a bounded amount of work.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/base/budget.h"
#include "broker/base/config.h"
#include "broker/core/core.h"
#include "broker/net/dial.h"
#include "broker/net/loop.h"
#include "broker/senders/payload.h"
#include "broker/senders/reply.h"
#include "broker/senders/senders.h"
#include "broker/senders/window.h"
#include "codecs/mllp.h"

struct metric_series;

#define SENDER_AHEAD	   4u		       /* messages read ahead of the window */
#define SENDER_AHEAD_BYTES ((size_t)4 << 20)   /* and their bytes, for one destination */
#define SENDER_ANSWER_MAX  ((size_t)256 << 10) /* of one acknowledgement */
#define SENDER_ARENA_MAX   ((size_t)4 << 20)   /* to read it */
#define SENDER_PIECE	   ((size_t)64 << 10)  /* handed to the link at a time */
#define SENDER_STRAYS_MAX  256u		       /* on one link; then it is renewed at the next quiet moment */
#define SENDER_NOISE_MAX   ((size_t)4 << 10)   /* bytes outside of frames at a time */
#define SENDER_TRY_MS	   1000u	       /* when the journal, the workers or the memory failed us */
#define SENDER_TELL_US	   UINT64_C(60000000)  /* stray answers: one line a minute */

/* An outcome on its way to the disk. */
struct sender_outcome {
	struct sender_outcome *next;
	struct mllp_sender *sender;
	struct settlement item;
	char code[32], condition[REPLY_CONDITION_MAX], place[64], text[300]; /* text: for the journal alone */
	uint64_t took_us; /* from the message to its answer */
	uint64_t link_id;
	unsigned sends;
	bool waiting; /* the journal did not take it: to be handed over again */
};

struct mllp_sender {
	struct mllp_sender *next;
	struct senders *senders;
	const struct config *config; /* held */
	const struct config_destination *destination;
	char *name; /* its own copy: outlives configurations */
	size_t number;
	struct core_watch watch;
	struct dialler *dialler;
	struct loop_timer *pause, *again;

	struct window window;
	struct mllp_reader reader;
	struct payload *loaded;	 /* read and not yet handed to the link, any order */
	struct payload *loading; /* being read; at most one */
	struct payload *writing; /* of the loaded: part of its frame is with the link */
	struct sender_outcome *outcomes;

	struct link *link; /* open, or being closed: until closed() */
	uint64_t link_id;
	char address[64];
	bool closing; /* nothing more is read or sent on the link */
	bool ended;   /* the other side has sent its last byte */
	enum window_loss loss;
	bool dialling;
	bool pausing;
	bool again_armed;
	bool renew; /* end the link when nothing is on its way */
	bool large_wanted;
	bool was_held;
	bool gone;     /* not of the configuration any more */
	bool stopping; /* nothing more is sent */
	bool pumping, repump;
	unsigned strays;	 /* on this link */
	uint64_t answer_charged; /* what is held of an answer, in the budget */
	uint64_t strays_untold, strays_told_us;

	struct sender_state state;
	char why[32];	 /* the word of the failure that ends the link */
	uint64_t due_us; /* journal time: since when the first message has been due, at the earliest */
	bool down;	 /* presence and log were told */
	struct metric_series *retries, *stray_count, *in_flight;
};

/* What all senders share; senders.c owns it. */
struct senders {
	struct senders_options options;
	const struct config *config; /* held */
	struct workers *names;	     /* resolve names */
	struct mllp_sender *first;
	struct arena arena;	  /* to read answers */
	struct loop_timer *sweep; /* frees senders that are gone, outside of their callbacks */
	struct loop_timer *judge; /* certificates of open links, every hour */
	unsigned large_used;
	struct budget_seat seat; /* of all that is read ahead */
	uint32_t random;
	bool stopping;
	void (*idle)(void *arg);
	void *idle_arg;
};

/* A sender for ${destination} of ${config}; it begins with mllp_sender_start. 0 or -ENOMEM. */
int mllp_sender_new(struct mllp_sender **senderp, struct senders *senders, const struct config *config,
    const struct config_destination *destination) __attribute__((warn_unused_result));

/* Look at the queue for the first time. After core_reconfigure: the destination has its number by now. */
void mllp_sender_start(struct mllp_sender *sender);

/* Go by ${config} and ${destination} (of the same name) from now on; also brings one back that was to go. */
void mllp_sender_reconfigure(
    struct mllp_sender *sender, const struct config *config, const struct config_destination *destination);

/* Send nothing more; end the link behind the answers on their way. ${gone}: its destination is no more. */
void mllp_sender_stop(struct mllp_sender *sender, bool gone);

/* Whether it stopped, and nothing of it is on its way any more. */
bool mllp_sender_idle(const struct mllp_sender *sender);

/* End a pause, if there is one. */
void mllp_sender_kick(struct mllp_sender *sender);

/* Something changed: do what is to be done. */
void mllp_sender_pump(struct mllp_sender *sender);

void mllp_sender_state(const struct mllp_sender *sender, struct sender_state *state);

/* Drops what is left of it. Not inside a callback of its link. */
void mllp_sender_free(struct mllp_sender *sender);

/*
 * sender_outcome.c: what became of a message, journalled and told.
 */

/*
 * What ${reply} means for the window; an outcome that it gives is handed to the core. 0, or -ENOMEM: nothing was done with it. Not inside a
 * pump: the window may change.
 */
int sender_answered(struct mllp_sender *sender, const struct reply *reply, enum window_answer *meaning)
    __attribute__((warn_unused_result));

/* ${seq} cannot be sent, for a reason of ours: a dead letter. */
void sender_dead_letter(struct mllp_sender *sender, uint64_t seq, const char *code, const char *text);

/* Hand the outcomes that the journal did not take to it again. */
void sender_settle_again(struct mllp_sender *sender);

void sender_outcomes_free(struct mllp_sender *sender);

/*
 * sender_load.c: what is read of the journal, and when.
 */

/* Read what is to be sent next, if it is time. */
void sender_load(struct mllp_sender *sender);

/* The bytes of ${seq} if they are there. */
struct payload *sender_loaded(const struct mllp_sender *sender, uint64_t seq);

/* What ${payload}, read before its turn, counts in the budget. The next message of each destination does not: so that none waits for another. */
void sender_charge(struct mllp_sender *sender, struct payload *payload, uint64_t bytes);

/* Free ${payload}, its large slot, and what it counts in the budget. */
void sender_unload(struct mllp_sender *sender, struct payload *payload);
void sender_unload_all(struct mllp_sender *sender);

/* Whether message ${seq} still waits there. */
bool sender_waits(const struct mllp_sender *sender, uint64_t seq);

/* Forget what waits no more (expired, or dropped by an operator). True when something is to be sent. */
bool sender_has_work(struct mllp_sender *sender);

/* Try again in a second, whatever it was. */
void sender_again(struct mllp_sender *sender);

/* senders.c: a large slot, for all senders together. */
bool senders_take_large(struct senders *senders);
void senders_give_large(struct senders *senders);

/* senders.c: ${sender} may be idle now. */
void senders_check_idle(struct senders *senders);
