/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Content of a message, read back from the journal: the bytes as received, or one document decoded out of them.
 *
 * Blocks (the journal is read): on workers. Base64 is read with the named leniencies, each counted.
 */
#pragma once

#include <stdint.h>

#include "broker/core/facts.h"
#include "broker/store/journal.h"
#include "codecs/arena.h"
#include "codecs/base64.h"
#include "codecs/buffer.h"
#include "codecs/span.h"

#define PULL_MEDIA_MESSAGE "application/hl7-v2"
#define PULL_MEDIA_UNKNOWN "application/octet-stream"
#define PULL_MEDIA_SIZE	   128

struct pull_content {
	struct arena arena;   /* the record, body included; its ceiling is what it takes */
	struct buffer buffer; /* the decoded document */
	struct span bytes;    /* what to send */
	char media[PULL_MEDIA_SIZE];
	uint8_t sha256[32]; /* of bytes */
	struct base64_result base64;
	uint32_t escapes; /* HL7 escapes inside base64 that were decoded first */
};

enum {
	PULL_CONTENT_GONE = 1,	  /* the record is there, its bytes are not any more */
	PULL_CONTENT_UNDECODABLE, /* the document is not in the encoding it says */
	PULL_CONTENT_DAMAGED,
};

/*
 * Read the body of the record whose head, facts and decision are ${known}, and of it ${document} (NULL: all), written with the ${delimiters}
 * (MSH-1 and MSH-2). ${content} is all zeros before, and then the caller's to fini. 0, the above, -errno.
 */
int pull_content_read(struct pull_content *content, struct journal *journal, const struct record *known,
    const struct facts_document *document, struct span delimiters) __attribute__((warn_unused_result));

/* Decode ${document} of ${message} into ${content}'s buffer: the part of the above that needs no journal. */
int pull_content_decode(struct pull_content *content, struct span message,
    const struct facts_document *document, struct span delimiters) __attribute__((warn_unused_result));

/* Count the leniencies that were used. */
void pull_content_count(const struct pull_content *content);

void pull_content_fini(struct pull_content *content);

/* MSH-1 and MSH-2 as journalled, taken apart. */
struct hl7_delimiters;
void pull_delimiters(struct span text, struct hl7_delimiters *delimiters);
