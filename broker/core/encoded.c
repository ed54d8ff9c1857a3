/* SPDX-License-Identifier: Apache-2.0 */
/* See encoded.h. */
#include "broker/core/encoded.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define KEPT_MOST ((size_t)64 << 10) /* of an encoder's buffer between two uses */

void
encoder_init(struct encoder *encoder, size_t facts_most, size_t decision_most)
{
	buffer_init(&encoder->facts, facts_most);
	buffer_init(&encoder->decision, decision_most);
}

void
encoder_fini(struct encoder *encoder)
{
	buffer_fini(&encoder->facts);
	buffer_fini(&encoder->decision);
}

void
encoder_trim(struct buffer *buffer)
{
	if (buffer->cap > KEPT_MOST || buffer_failed(buffer))
		buffer_fini(buffer);
}

void
encoded_init(struct encoded *encoded)
{
	encoded->facts = encoded->decision = SPAN_EMPTY;
	encoded->large = NULL;
}

void
encoded_fini(struct encoded *encoded)
{
	free(encoded->large);
	encoded_init(encoded);
}

static int
keep(struct encoded *encoded, struct span facts, struct span decision)
{
	uint8_t *at = encoded->room;

	if (facts.len + decision.len > sizeof(encoded->room))
		at = encoded->large = malloc(facts.len + decision.len);
	if (!at)
		return -ENOMEM;
	if (facts.len)
		memcpy(at, facts.ptr, facts.len);
	if (decision.len)
		memcpy(at + facts.len, decision.ptr, decision.len);
	encoded->facts = span_make(at, facts.len);
	encoded->decision = span_make(at + facts.len, decision.len);
	return 0;
}

int
encoded_make(struct encoded *encoded, struct encoder *encoder, const struct facts *facts,
    const struct decision *decision)
{
	int r = -ENOMEM;

	encoded_fini(encoded);
	buffer_reset(&encoder->facts);
	buffer_reset(&encoder->decision);
	if (facts)
		facts_encode(facts, &encoder->facts);
	decision_encode(decision, &encoder->decision);
	if (!buffer_failed(&encoder->facts) && !buffer_failed(&encoder->decision))
		r = keep(encoded, buffer_span(&encoder->facts), buffer_span(&encoder->decision));
	encoder_trim(&encoder->facts);
	encoder_trim(&encoder->decision);
	return r;
}
