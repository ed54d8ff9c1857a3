/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The window of one destination: which message is sent next, and what an answer means. No socket and no clock: time is told by argument.
 *
 *     READY -> SENT -> DECIDED -> gone        a loss puts SENT back to READY (go-back-n)
 *
 * Promises:
 *   - Messages are first sent in the order of their queue. At most `limit` are sent and not done; one is done when its outcome is on disk, so
 *     that a kill of the broker makes no more than `limit` messages come twice.
 *   - An answer counts for the message on this link whose MSH-10 it names, and for no other. One that names none of them (late, repeated,
 *     another's) is a stray and confirms nothing. So that a repeated answer cannot be paired with a later message of the same MSH-10, such
 *     a message is not sent on a link that carried that id lately (the last WINDOW_RECENT ids): the link is renewed first. Hence never two
 *     equal MSH-10 in flight either.
 *   - After a loss (the link ended, no answer in time, garbage) or a refusal for now (AR) everything not yet answered is sent again, in order,
 *     from the first, on a new link only. What was answered meanwhile is not.
 *   - What may come twice: a message that was sent and not answered when the link ended or the broker was killed. Not more.
 *
 * With a limit past 1 the receiver may take a later message before an earlier one that it refused for now, or that got lost on the way to its
 * application: it then sees 1 3 2, although each first arrival was in order. Who cannot have that keeps the limit at 1.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codecs/hl7_ack.h"
#include "codecs/span.h"

/* Ids that a link remembers: a receiver repeats an answer at once or not at all. */
#define WINDOW_RECENT 1024u

/* The greatest limit, and the messages looked at: those in flight and the next few. */
#define WINDOW_LIMIT 256u
#define WINDOW_ITEMS (WINDOW_LIMIT + 8u)

enum window_state {
	WINDOW_READY,	/* to be sent on the next occasion */
	WINDOW_SENT,	/* on this link, and not answered */
	WINDOW_DECIDED, /* answered; its outcome is on its way to the disk */
};

struct window_item {
	uint64_t seq;
	uint64_t size;	  /* of the message; not used here */
	uint64_t sent_us; /* WINDOW_WRITING: its last byte has not left */
	uint8_t *control; /* MSH-10, owned */
	size_t control_len;
	unsigned sends; /* how often it was sent, on any link */
	enum window_state state;
};

struct window {
	struct window_item items[WINDOW_ITEMS]; /* a ring of the queue's first messages, in order */
	size_t first, count;
	unsigned limit;
	unsigned sent, decided; /* items in that state */
	bool refused;		/* AR on this link: nothing more is sent on it */
	unsigned progress;	/* answers that settled a message on this link */
	uint64_t recent[WINDOW_RECENT];
	size_t recent_count; /* ids ever sent on this link */
};

/* ${limit} is cut to 1..WINDOW_LIMIT. Allocates nothing. */
void window_init(struct window *w, unsigned limit);
void window_fini(struct window *w);

/* Takes effect for what is sent from now on. */
void window_limit(struct window *w, unsigned limit);

/* Append message ${seq}, greater than all that are there, of ${size} bytes, with the MSH-10 ${control} (copied; not empty). 0, -ENOMEM, -ENOSPC: no room. */
int window_add(struct window *w, uint64_t seq, uint64_t size, struct span control)
    __attribute__((warn_unused_result));

/* The greatest sequence in the window, 0: it is empty. */
uint64_t window_last(const struct window *w);

/* Item ${n} from the front, NULL behind the last. */
const struct window_item *window_at(const struct window *w, size_t n);
const struct window_item *window_find(const struct window *w, uint64_t seq);

/* Sent or decided. */
unsigned window_in_flight(const struct window *w);

enum window_next {
	WINDOW_NOTHING, /* nothing to send, or not on this link any more */
	WINDOW_FULL,	/* answers (or the journal) must come first */
	WINDOW_RENEW,	/* *seqp must not go on this link: close it, dial anew, without a pause */
	WINDOW_SEND,	/* *seqp */
};
enum window_next window_next(const struct window *w, uint64_t *seqp);

#define WINDOW_WRITING UINT64_MAX

/* ${seq}, that window_next named, goes out (WINDOW_WRITING), then: its last byte was handed to the link at ${now_us}. Or the second at once. */
void window_sent(struct window *w, uint64_t seq, uint64_t now_us);

/* When the message that has waited longest for its answer was sent; 0: none waits, or none is wholly sent. */
uint64_t window_oldest_us(const struct window *w);

enum window_answer {
	WINDOW_STRAY,	 /* names nothing in flight on this link */
	WINDOW_ACCEPTED, /* AA, CA: journal OUTCOME_ACCEPTED of *seqp */
	WINDOW_REJECTED, /* AE, CE: journal OUTCOME_REJECTED of *seqp */
	WINDOW_REFUSED, /* AR, CR: not now; nothing more goes on this link. End it when nothing is SENT on it any more */
};

/*
 * An acknowledgement came: ${code} for ${control} (MSA-2). CA is taken as AA: a receiver that commits a message to its storage (HL7 v2.5
 * §2.9.3) has taken it over, which is all that delivery means; the application acknowledgement that may follow is then a stray.
 */
enum window_answer window_answer(
    struct window *w, enum hl7_ack_code code, struct span control, uint64_t *seqp);

/* The outcome of ${seq} is on disk, or it is to be left out (it waits no more): gone from the window. */
void window_remove(struct window *w, uint64_t seq);

/* ${seq}, READY, is answered without being sent (it cannot be): DECIDED. */
void window_decide(struct window *w, uint64_t seq);

/* A new link: nothing is known of it. */
void window_opened(struct window *w);

enum window_loss {
	WINDOW_LOSS_ENDED,   /* the other side or the transport ended the link */
	WINDOW_LOSS_OURS,    /* we closed it: idle, renewed, reconfigured, held */
	WINDOW_LOSS_FAILURE, /* no answer in time, or garbage */
};

/*
 * The link is gone: what was SENT is READY again. True: pause before the next try. A link that ended by itself after it had settled something
 * needs none (a receiver may close behind each answer, or lose patience between two messages); one that settled nothing does.
 */
bool window_ended(struct window *w, enum window_loss why) __attribute__((warn_unused_result));

/*
 * How long to pause before the next try. ${age_us}: since when the first message has been due: since it was received or since the destination
 * last settled one, whichever is later. Half the age, but ${first_ms} at least and ${longest_ms} at most: so the pauses grow by one half each
 * time. No counter is needed that a restart would forget: after one the first try is made at once, and the next pause is again as long as
 * before. ${random} spreads it by 0.75..1.25, so that destinations behind one failure do not come back together.
 */
uint64_t window_pause_ms(uint64_t age_us, uint64_t first_ms, uint64_t longest_ms, uint32_t random);
