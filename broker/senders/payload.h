/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A message on its way from the journal to a destination: read on a worker, checked to be one that a frame can hold, kept until its last byte
 * is handed to the link. Never a copy in a queue: after a loss it is read again.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/store/workers.h"
#include "codecs/arena.h"
#include "codecs/span.h"

struct journal;

/* Outcomes of a read beside 0 and -errno (try again later). */
enum {
	PAYLOAD_UNSENDABLE = 1, /* and never will be: ${code} and ${text} say why */
};

struct payload {
	struct payload *next; /* the owner's */
	struct workers_job job;
	struct journal *journal;
	uint64_t seq;
	size_t body_max; /* its bytes are read when there are no more than so many */
	void (*done)(struct payload *payload, void *arg);
	void *arg;

	/* The result. */
	int result;
	const char *code, *text;
	uint64_t size;	     /* of the message */
	struct span control; /* MSH-10, in the arena */
	struct span bytes;   /* exactly as received, in the arena; none when they were not read */
	bool whole;	     /* they were read */
	size_t sent;	     /* of the frame, handed to the link */
	bool large;	     /* holds one of the large slots */
	uint64_t charged;    /* to the budget, when it was read before its turn */
	struct arena arena;
};

/*
 * Read message ${seq}: its size and MSH-10, and its bytes when there are at most ${body_max}. 0: ${done} comes on the loop thread, and the
 * payload is its receiver's to payload_free. WORKERS_FULL, -ENOMEM: it does not.
 */
int payload_read(struct workers *workers, struct journal *journal, uint64_t seq, size_t body_max,
    void (*done)(struct payload *payload, void *arg), void *arg, struct payload **payloadp)
    __attribute__((warn_unused_result));

/* The next piece of the frame behind ${sent}, of at most ${max} bytes, never empty before the end of the frame. */
struct span payload_piece(const struct payload *payload, size_t max);

/* Bytes of the whole frame. */
size_t payload_frame(const struct payload *payload);

/* NULL is harmless. */
void payload_free(struct payload *payload);
