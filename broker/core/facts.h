/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Facts: what content extracted from a message, in the form that is journalled with it.
 *
 * Once journalled they are read back instead of parsing again. Spans are raw bytes of the message as received (no escapes decoded, no
 * character set converted). The encoding is tag, length, value; unknown tags are skipped, so that older brokers read newer facts.
 */
#pragma once

#include <stdint.h>

#include "codecs/arena.h"
#include "codecs/buffer.h"
#include "codecs/span.h"

/* Version of the extractor that wrote the facts: raised whenever the same bytes would give other facts. */
#define FACTS_VERSION 3 /* 2: with the certificate of the peer; 3: with the form of documents */

enum door {
	DOOR_MLLP = 1,
	DOOR_HTTP,
	DOOR_CONTROL,
};

/* How the bytes of a document stand in the message. */
enum document_encoding {
	DOCUMENT_BASE64 = 1,
	DOCUMENT_HEX,
	DOCUMENT_PLAIN, /* encoding "A": as they stand, HL7 escapes and all */
};

/* A document is an OBX-5 of type ED. */
struct facts_document {
	uint64_t offset; /* of its encoded data in the received bytes */
	uint64_t size;
	enum document_encoding encoding;
	struct span media;	 /* "text/xml", made from OBX-5.2 and 5.3 */
	struct span type_code;	 /* OBX-3.1 */
	struct span type_system; /* OBX-3.3 */
	struct span title;	 /* OBX-3.2 */
	struct span unique_id;	 /* TXA-12 where there is a TXA */
	struct span
	    form; /* "well-formed", or what is wrong with it: "malformed", "doctype"; empty: not looked at */
	unsigned segment; /* the nth OBX holds it; not journalled */
};

struct facts {
	uint32_t version;
	enum door door;
	struct span peer; /* configured name */
	struct span establishment;
	struct span listener;
	struct span certificate_issuer,
	    certificate_subject;	/* RFC 2253; of what the peer showed, all empty when it showed none */
	struct span certificate_serial; /* hexadecimal */
	struct span certificate_sha256; /* 32 bytes, of the whole certificate */
	struct span sending_application, sending_facility, receiving_application,
	    receiving_facility;			   /* MSH-3..6 */
	struct span time;			   /* MSH-7 */
	struct span type, event, structure;	   /* MSH-9.1..3 */
	struct span control_id;			   /* MSH-10 */
	struct span processing;			   /* MSH-11.1 */
	struct span version_id;			   /* MSH-12 */
	struct span accept_mode, application_mode; /* MSH-15, MSH-16 as asked */
	struct span charset;			   /* MSH-18 as it stands */
	struct span charset_used;		   /* the decision, e.g. "utf-8" */
	struct span charset_reason;
	struct span delimiters; /* MSH-1 and MSH-2 */
	struct span profile;	/* MSH-21 */
	uint32_t leniencies;	/* enum config_leniency: those that were used */
	struct span
	    comparable; /* SHA-256 of the bytes without the peer's restamped fields; empty when it has none */
	const struct span *authorities; /* PID-3.4 namespaces and universal ids */
	size_t authority_count;
	const struct facts_document *documents;
	size_t document_count;
};

void facts_encode(const struct facts *facts, struct buffer *out);

/* At least so many bytes will facts_encode append. */
size_t facts_size(const struct facts *facts);

/* Overwrite in encoded facts what may tell of a patient: titles and ids of documents. What routes, counts and finds resends stays. */
void facts_blank(uint8_t *bytes, size_t len);

enum {
	FACTS_MALFORMED = 1,
};

/* Spans of ${facts} point into ${bytes}; its lists into ${arena}. 0, FACTS_MALFORMED, -ENOMEM. */
int facts_decode(struct span bytes, struct arena *arena, struct facts *facts)
    __attribute__((warn_unused_result));

/* What a follower of every record takes from facts. */
struct facts_glance {
	struct span peer, type, event, control_id;
};

/* The same fields as facts_decode would give, without the rest: nothing is allocated, nothing behind MSH-10 is looked at. */
void facts_glance(struct span bytes, struct facts_glance *glance);
