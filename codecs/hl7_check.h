/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The judgement of an HL7 v2 message by a carrier: frame content, MSH and segment structure, nothing else.
 *
 * Rules run in this order and the first fault is the one told:
 *   1 the first three bytes are MSH                    100 MSH
 *   2 delimiters                                       102 MSH-1, MSH-2
 *   3 MSH-9.1 is ACK or MCF: a stray acknowledgement   (no fault: HL7_STRAY)
 *   4 structure, in byte order                         100 at the segment
 *   5 MSH-12.1 version                                 101 MSH-12, 203 MSH-12.1
 *   6 MSH-9 type and event, and the peer's types       101 MSH-9, 200 MSH-9.1, 201 MSH-9.2
 *   7 MSH-10 control id                                101 MSH-10, 102 MSH-10
 *   8 MSH-11.1 processing id, and the peer's           101 MSH-11, 202 MSH-11.1
 *   9 MSH-3, MSH-4 among the peer's senders            207 MSH-3, MSH-4
 * A value is absent when it is empty or the HL7 null.
 */
#pragma once

#include <stddef.h>

#include "codecs/arena.h"
#include "codecs/fault.h"
#include "codecs/hl7.h"
#include "codecs/span.h"

#define HL7_CONTROL_ID_MAX                                                                                   \
	199u /* bytes of MSH-10: the longest any version allows (v2.7), and an index key's bound */

/* Processing ids of HL7 table 0103. */
#define HL7_PROCESSING_P   1u
#define HL7_PROCESSING_T   2u
#define HL7_PROCESSING_D   4u
#define HL7_PROCESSING_ALL (HL7_PROCESSING_P | HL7_PROCESSING_T | HL7_PROCESSING_D)

/* A message type a peer may send. "*" stands for any; an ${event} "" for a message without one. */
struct hl7_type_rule {
	const char *type;
	const char *event;
};

/*
 * A sender a peer may speak for. "*" stands for any, also for none; otherwise the text is compared with the raw field, and
 * with its first component.
 */
struct hl7_sender_rule {
	const char *application; /* MSH-3 */
	const char *facility;	 /* MSH-4 */
};

/* What a peer may send. All zero: strict, any type, any processing id, any sender. Owned by the caller. */
struct hl7_rules {
	unsigned leniencies; /* HL7_LENIENT_* */
	unsigned processing; /* HL7_PROCESSING_*; 0: all */
	const struct hl7_type_rule *types;
	size_t type_count; /* 0: any */
	const struct hl7_sender_rule *senders;
	size_t sender_count; /* 0: any */
};

/*
 * Judge ${bytes} by ${rules} (NULL: all zero). HL7_OK: ${m} is parsed. HL7_STRAY: an acknowledgement, only ${m}->header is
 * there. HL7_REFUSED: ${f} tells why, ${m}->header is there for the answer. ${f}->value is over ${bytes}.
 */
enum hl7_verdict hl7_check(struct hl7_message *m, struct span bytes, const struct hl7_rules *rules,
    struct arena *a, struct fault *f) __attribute__((warn_unused_result));

/* The HL7_PROCESSING_* of MSH-11.1, 0 when it is none of them. */
unsigned hl7_processing(struct span value);
