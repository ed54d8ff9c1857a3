/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a destination answered: read from the content of a frame into words that can be kept, matched and told.
 *
 * Lenient as to the ends of segments, since nothing is refused to a receiver whose software we cannot mend. What may be told in a log line (condition,
 * place) is checked to be nothing but that, since receivers put patients' names and numbers where a code belongs; everything else stays
 * apart, for the journal.
 */
#pragma once

#include "codecs/arena.h"
#include "codecs/hl7_ack.h"
#include "codecs/hl7_path.h"
#include "codecs/span.h"

#define REPLY_TEXT_MAX	    200u
#define REPLY_CONDITION_MAX 9u

struct reply {
	enum hl7_ack_code code;
	struct span control; /* MSA-2, over the content */
	char error[32];	     /* the code of its first ERR, for the journal; "" none, or prose */
	char condition
	    [REPLY_CONDITION_MAX];	/* the same for the log: short, with one to four digits; else "" */
	char place[HL7_PATH_TEXT_MAX];	/* and where in the message; "" */
	char text[REPLY_TEXT_MAX + 64]; /* its prose, printable: may name a patient, never for the log */
};

enum {
	REPLY_GARBAGE = 1, /* no acknowledgement: ${why} says what it lacks */
};

/* 0 or REPLY_GARBAGE. ${arena} is used on the way, and reset. */
int reply_read(struct reply *reply, struct span content, struct arena *arena, const char **why)
    __attribute__((warn_unused_result));
