/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decisions: what intake, a reader or an operator decided, in the form that is journalled.
 *
 * Same encoding rules as facts.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "broker/base/config.h"
#include "codecs/arena.h"
#include "codecs/buffer.h"
#include "codecs/fault.h"

enum answer {
	ANSWER_ACCEPT = 1, /* AA */
	ANSWER_REFUSE,	   /* AE */
	ANSWER_LATER,	   /* AR */
	ANSWER_NONE,	   /* stray acknowledgements, noise */
};

enum outcome {
	OUTCOME_ACCEPTED = 1, /* the destination has it */
	OUTCOME_REJECTED,     /* the destination refused it */
	OUTCOME_EXPIRED,      /* greatest age or size: dead letter */
	OUTCOME_DROPPED,      /* an operator took it off the queue */
};

struct decision {
	enum answer answer;
	struct fault
	    fault; /* code FAULT_NONE when accepted; for frames and refusals what is wrong (value never stored) */
	enum config_mode mode; /* of the message: production or test */
	bool parked;	       /* accepted, but no route wanted it */
	const struct span *to; /* names of destinations */
	size_t to_count;
	struct span routes;  /* names of the rows that matched, comma between */
	uint64_t frame_size; /* of a frame-level reject */
	uint64_t frame_offset;

	/* Outcomes, accesses, operators' acts */
	enum outcome outcome;
	struct span destination;
	struct span who;	/* peer name, or "uid:1000" */
	struct span what;	/* "message", "document 1", "rebuild" ... */
	struct span code, text; /* a reader's rejection; an operator's reason */
};

void decision_encode(const struct decision *decision, struct buffer *out);

enum {
	DECISION_MALFORMED = 1,
};

int decision_decode(struct span bytes, struct arena *arena, struct decision *decision)
    __attribute__((warn_unused_result));

#define DECISION_GLANCE_TO 16

/* What a follower of every record takes from a decision. */
struct decision_glance {
	enum outcome outcome;
	struct span destination, who;
	struct span to[DECISION_GLANCE_TO]; /* the first of them */
	size_t to_count;		    /* in all */
};

/* The same as decision_decode would give, without the rest; nothing is allocated. */
void decision_glance(struct span bytes, struct decision_glance *glance);
