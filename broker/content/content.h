/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Content: a payload becomes facts and faults, the same for every door.
 *
 * Pure work without I/O; a small message is looked at on the loop thread, a large one on a worker (the door decides by
 * CONTENT_INLINE_MAX). Spans of the result point into the message or the arena.
 */
#pragma once

#include "broker/base/config.h"
#include "broker/core/facts.h"
#include "codecs/arena.h"
#include "codecs/fault.h"
#include "codecs/hl7.h"

/* Above this a message is judged on a worker: 64 KiB cost about 60 µs of SHA-256. */
#define CONTENT_INLINE_MAX ((size_t)64 << 10)

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
};

/* Judge ${bytes}, one HL7 v2 message as framed, sent by ${peer} through ${listener}. Never fails: a lack of memory is a fault (FAULT_MEMORY). */
void content_judge(struct span bytes, const struct config_peer *peer, const char *listener,
    struct arena *arena, struct content *content);
