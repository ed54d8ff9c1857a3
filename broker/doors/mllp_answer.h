/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making acknowledgements: from what could be read of a message and what was decided, the bytes that go back.
 *
 * The same record gives the same bytes: MSH-10 is "L" and the record's sequence, MSH-7 the record's time. What could not be journalled has
 * neither; its MSH-10 is "L0-", the process's start and a counter.
 */
#pragma once

#include <stdint.h>

#include "broker/core/decision.h"
#include "codecs/buffer.h"
#include "codecs/fault.h"
#include "codecs/hl7.h"

/* An acknowledgement is a few hundred bytes; past this what it copies of the original's MSH is left out. */
#define MLLP_ANSWER_MAX ((size_t)16 << 10)

struct mllp_answer {
	enum answer answer; /* not ANSWER_NONE */
	const struct hl7_header *original;
	const struct fault *fault; /* NULL when accepted */
	uint64_t seq;		   /* 0: not journalled */
	uint64_t time_us;	   /* of the record; used with seq */
};

/* Append the framed acknowledgement to ${out}; buffer_failed(out) tells whether there was memory. */
void mllp_answer_write(struct buffer *out, const struct mllp_answer *answer);

/* "AA", "AE", "AR", "-" for none. */
const char *mllp_answer_code(enum answer answer);
