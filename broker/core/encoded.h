/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Facts and decision of one record as bytes, kept until it is on disk: in place where they are as short as nearly all are, so that a message takes
 * no memory of the system.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "broker/core/decision.h"
#include "broker/core/facts.h"
#include "codecs/buffer.h"
#include "codecs/span.h"

#define ENCODED_ROOM 768u

struct encoded {
	struct span facts, decision; /* in ${room} or ${large} */
	uint8_t *large;
	uint8_t room[ENCODED_ROOM];
};

/* What everything is encoded in before its length is known. */
struct encoder {
	struct buffer facts, decision;
};

/* Facts and decision may come to so many bytes. Allocates nothing. */
void encoder_init(struct encoder *encoder, size_t facts_most, size_t decision_most);
void encoder_fini(struct encoder *encoder);

/* Free ${buffer} when it failed, or one large use made it large; it may be used again. */
void encoder_trim(struct buffer *buffer);

void encoded_init(struct encoded *encoded);
void encoded_fini(struct encoded *encoded);

/* Encode anew; ${facts} may be NULL. 0, or -ENOMEM, also past what the encoder allows: then nothing is kept. */
int encoded_make(struct encoded *encoded, struct encoder *encoder, const struct facts *facts,
    const struct decision *decision) __attribute__((warn_unused_result));
