/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Acknowledgements (HL7 v2.5 §2.9.2, original mode), written from a header and a fault, and read.
 *
 * Written: MSH, MSA and, with a fault, one ERR, each ended by CR, in the delimiters of the message answered when they were legal. To v2.5 and
 * later the ERR has ERR-2, 3, 4, 7, 8; to v2.4 and older ERR-1 and MSA-3. What is copied from the original is copied raw, cut at the
 * first control byte and at HL7_ACK_COPY_MAX, so that the answer is always one well-formed message of bounded size.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "codecs/buffer.h"
#include "codecs/fault.h"
#include "codecs/hl7.h"
#include "codecs/hl7_path.h"
#include "codecs/span.h"

enum hl7_ack_code {
	HL7_AA = 0, /* taken, and on disk */
	HL7_AE,	    /* the content is at fault */
	HL7_AR,	    /* circumstances: resend later */
	HL7_CA,	    /* read only: commit acknowledgements of enhanced mode, from others */
	HL7_CE,
	HL7_CR,
};

#define HL7_ACK_COPY_MAX 1024u /* of one field copied: a hostile MSH must not make a large answer */

/* "AA", "AE", ... */
const char *hl7_ack_code_name(enum hl7_ack_code code);

/* The code that ${fault} asks for: AR for circumstances, AE else; AA for NULL. */
enum hl7_ack_code hl7_ack_code_for(const struct fault *fault);

struct hl7_ack {
	enum hl7_ack_code code;		   /* HL7_AA, HL7_AE or HL7_AR */
	const struct hl7_header *original; /* as hl7_header_read left it, readable or not */
	struct span control_id;		   /* MSH-10 of the answer, our own; plain ASCII */
	struct span time;		   /* MSH-7 with zone: 20251121210500.123+0100 */
	const struct fault *fault;	   /* NULL: no ERR */
};

/* Append the acknowledgement to ${b}; buffer_failed(b) tells whether it fitted. */
void hl7_ack_write(struct buffer *b, const struct hl7_ack *ack);

#define HL7_ACK_ERRORS_MAX 16u /* ERR segments told of a received acknowledgement; more are only counted */

/* One ERR of a received acknowledgement; raw spans over the message. */
struct hl7_ack_error {
	struct hl7_path path; /* where has_path */
	bool has_path;
	struct span location;	  /* ERR-2, or ERR-1 in the old form */
	struct span code;	  /* ERR-3.1, or ERR-1.4.1 */
	struct span text;	  /* ERR-3.2, or ERR-1.4.2 */
	struct span severity;	  /* ERR-4; not there in the old form */
	struct span application;  /* ERR-5.1 */
	struct span diagnostic;	  /* ERR-7 */
	struct span user_message; /* ERR-8 */
};

struct hl7_ack_received {
	enum hl7_ack_code code;
	struct span control_id; /* MSA-2 */
	struct span text;	/* MSA-3 */
	struct hl7_ack_error errors[HL7_ACK_ERRORS_MAX];
	size_t error_count; /* of errors[] */
	size_t err_segments;
};

/*
 * Read the acknowledgement ${m} into ${r}: HL7_OK, or HL7_REFUSED with ${f} when it has no MSA (100 at MSA) or MSA-1 is
 * no code of HL7 table 0008 (103 at MSA-1).
 */
enum hl7_verdict hl7_ack_read(const struct hl7_message *m, struct hl7_ack_received *r, struct fault *f)
    __attribute__((warn_unused_result));
