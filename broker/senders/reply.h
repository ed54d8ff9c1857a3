/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a destination answered: read from the content of a frame into words that can be kept, matched and told.
 *
 * Lenient as to the ends of segments, since nothing is refused to a receiver whose software we cannot mend. What may be told in a log line (code,
 * place) is checked to be nothing but that; the receiver's prose stays apart, for the journal.
 */
#pragma once

#include "codecs/arena.h"
#include "codecs/hl7_ack.h"
#include "codecs/hl7_path.h"
#include "codecs/span.h"

#define REPLY_TEXT_MAX 200u

struct reply {
	enum hl7_ack_code code;
	struct span control;		/* MSA-2, over the content */
	char error[32];			/* the code of its first ERR; "" none, or not fit to be told */
	char place[HL7_PATH_TEXT_MAX];	/* and where in the message; "" */
	char text[REPLY_TEXT_MAX + 64]; /* its prose, printable: may name a patient, never for the log */
};

enum {
	REPLY_GARBAGE = 1, /* no acknowledgement: ${why} says what it lacks */
};

/* 0 or REPLY_GARBAGE. ${arena} is used on the way, and reset. */
int reply_read(struct reply *reply, struct span content, struct arena *arena, const char **why)
    __attribute__((warn_unused_result));
