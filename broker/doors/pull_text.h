/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values of a message as UTF-8, for reading: HL7 escapes decoded, then the recorded character set. What has no reading is shown escaped
 * (\xHH); nothing is guessed anew.
 */
#pragma once

#include <stddef.h>

#include "broker/core/facts.h"
#include "codecs/buffer.h"
#include "codecs/charset.h"
#include "codecs/hl7.h"
#include "codecs/span.h"

struct pull_text {
	struct hl7_delimiters delimiters;
	enum charset charset;
};

void pull_text_init(struct pull_text *how, const struct facts *facts);

/* Append the text of the raw ${value} to ${out}, cut to ${max} bytes at a character; see buffer_failed. */
void pull_text_decode(const struct pull_text *how, struct span value, size_t max, struct buffer *out);

/* The same for the first component of ${field}, or its second where the first is empty (a universal id without a name). */
void pull_text_name(const struct pull_text *how, struct span field, size_t max, struct buffer *out);
