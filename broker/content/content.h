/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Content: a payload becomes facts and faults, the same for every door.
 *
 * Pure work without I/O; a small message is looked at on the loop thread, a large one on a worker (the door decides by
 * CONTENT_INLINE_MAX and CONTENT_DOCUMENTS_INLINE_MAX). Spans of the result point into the message or the arena.
 */
#pragma once

#include "broker/base/config.h"
#include "broker/core/facts.h"
#include "codecs/arena.h"
#include "codecs/fault.h"
#include "codecs/hl7.h"

/* Above this a message is judged on a worker: 64 KiB cost about 60 µs of SHA-256. */
#define CONTENT_INLINE_MAX ((size_t)64 << 10)

/* More of documents is read on a worker: 16 KiB of base64 cost about 50 µs of XML. */
#define CONTENT_DOCUMENTS_INLINE_MAX ((size_t)16 << 10)

enum content_kind {
	CONTENT_MESSAGE, /* facts; fault.code FAULT_NONE when nothing is wrong */
	CONTENT_STRAY,	 /* an acknowledgement */
};

struct content {
	enum content_kind kind;
	struct hl7_header header; /* what could be read of the MSH: the answer is made from it */
	struct facts facts;
	struct fault fault;
	uint8_t sha256[32];
	struct facts_document *documents; /* those of the facts */
	uint64_t unread;	     /* bytes of documents that content_read_documents has still to read */
	const struct fault *finding; /* in a document of a message that is taken all the same; or NULL */
};

/* Judge ${bytes}, one HL7 v2 message as framed, sent by ${peer} through ${listener}. Never fails: a lack of memory is a fault (FAULT_MEMORY). XML
 * documents are not read yet: content_read_documents. */
void content_judge(struct span bytes, const struct config_peer *peer, const char *listener,
    struct arena *arena, struct content *content);

/*
 * What content_judge left to do, when content->unread is not 0: read the documents, with the arguments of that call. The form of each goes into
 * the facts; a faulty one is a finding, or a fault when ${peer}'s well_formed says so.
 */
void content_read_documents(
    struct span bytes, const struct config_peer *peer, struct arena *arena, struct content *content);
