/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HL7 v2 messages in their "vertical bar" encoding (HL7 v2.5 §2.5-2.6), read where they lie.
 *
 * A message is a span; parsing makes an index of its segments (12 bytes each, in the caller's arena) and nothing more: fields,
 * repetitions, components and sub-components are found when asked for, as raw spans with their escapes (codecs/hl7_escape.h reads those).
 * Time is linear in the input, whatever it is. Nothing is copied, changed or trimmed. The bytes must outlive the message.
 *
 * Numbers are HL7's own: fields, repetitions, components and sub-components count from 1, MSH-1 is the field separator itself.
 * Segments are indexed from 0.
 *
 * A part that is not there is a span with a NULL pointer; one that is there and empty has length 0 and a pointer.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codecs/arena.h"
#include "codecs/fault.h"
#include "codecs/span.h"

#define HL7_MESSAGE_MAX	  (1u << 30) /* offsets are 32 bits wide; larger messages are refused, not cut */
#define HL7_HEADER_FIELDS 21u	     /* fields of MSH that are read even from a message that is refused */
#define HL7_NONE	  SIZE_MAX   /* no such segment */

/* Leniencies of a peer whose messages end their segments otherwise than by CR (§2.5.4 knows only CR). */
#define HL7_LENIENT_LF                                                                                       \
	1u /* LF and CRLF end a segment too where a segment may end; empty segments are skipped */
#define HL7_LENIENT_NO_FINAL_CR 2u /* the last segment may lack its end */

struct hl7_delimiters {
	uint8_t field;
	uint8_t component;
	uint8_t repetition;
	uint8_t escape;
	uint8_t subcomponent;
	uint8_t truncation; /* 0: none (before v2.7) */
};

/* "|^~\&" */
extern const struct hl7_delimiters hl7_default_delimiters;

/* How often each leniency was needed. */
struct hl7_leniencies {
	uint32_t lf_ends;	 /* segments ended by LF or CRLF */
	uint32_t empty_segments; /* skipped */
	uint32_t no_final_end;	 /* 1: the last segment had no end */
};

/* One segment: bytes [start, end) of the message, its end not included. */
struct hl7_segment {
	uint32_t start;
	uint32_t end;
	char name[4]; /* three characters and NUL */
};

/*
 * What can be read of an MSH, also when the message is refused: enough to answer. Spans are raw, over the message; what
 * cannot be read has a NULL pointer.
 */
struct hl7_header {
	bool is_msh;   /* the first three bytes are MSH */
	bool readable; /* and MSH-1 is a legal separator: the fields below were read */
	bool legal;    /* and MSH-2 is legal too: delimiters are the message's own */
	struct hl7_delimiters
	    delimiters;	     /* the message's if legal, else "|^~\&" (MSH-1 still splits the fields below) */
	struct span segment; /* the MSH, without its end */
	struct span field[HL7_HEADER_FIELDS + 1]; /* [n] is MSH-n, all its repetitions; [0] is the name */
	struct span type;			  /* MSH-9.1 */
	struct span event;			  /* MSH-9.2 */
	struct span structure;			  /* MSH-9.3 */
	struct span processing;			  /* MSH-11.1 */
	struct span version;			  /* MSH-12.1 */
};

struct hl7_message {
	struct span bytes;
	struct hl7_header header;
	struct hl7_delimiters delimiters;
	const struct hl7_segment *segments; /* in the arena; [0] is the MSH */
	size_t count;
	struct hl7_leniencies used;
};

enum hl7_verdict {
	HL7_OK = 0,
	HL7_STRAY,   /* an acknowledgement: recorded, never answered (only hl7_check gives this) */
	HL7_REFUSED, /* the fault tells */
};

/*
 * Read what can be read of the MSH at the head of ${bytes}, up to the first CR or LF, into ${h}. Never fails.
 */
void hl7_header_read(struct hl7_header *h, struct span bytes);

/*
 * The first three bytes, then the delimiters of the message whose header is ${h}: HL7_OK, or HL7_REFUSED with ${f}
 * (100 at MSH, 102 at MSH-1 or MSH-2).
 */
enum hl7_verdict hl7_header_judge(const struct hl7_header *h, struct span bytes, struct fault *f)
    __attribute__((warn_unused_result));

/* Set ${m} up over ${bytes}: its header and delimiters are read, it has no segment yet. */
void hl7_begin(struct hl7_message *m, struct span bytes);

/*
 * Index the segments of ${m}, as hl7_begin left it, in byte order up to the first fault of structure:
 * HL7_OK, or HL7_REFUSED with ${f} (100 at the segment; FAULT_TOO_LARGE past HL7_MESSAGE_MAX, FAULT_MEMORY past the
 * arena's ceiling, FAULT_OVERLOAD when the machine has no memory). After a refusal ${m} has no segment.
 */
enum hl7_verdict hl7_index(struct hl7_message *m, unsigned leniencies, struct arena *a, struct fault *f)
    __attribute__((warn_unused_result));

/*
 * Read ${bytes} into ${m}: header, delimiters, structure. HL7_OK, or HL7_REFUSED with ${f}; ${m}->header is filled either
 * way. Acknowledgements are messages like any other here, and no value is judged: see codecs/hl7_check.h for that.
 */
enum hl7_verdict hl7_parse(struct hl7_message *m, struct span bytes, unsigned leniencies, struct arena *a,
    struct fault *f) __attribute__((warn_unused_result));

/* Index of the ${occurrence}th (from 1) segment named ${name} ("PID"), or HL7_NONE. */
size_t hl7_find(const struct hl7_message *m, const char *name, size_t occurrence);

/* Index of the first segment named ${name} at or behind index ${from}, or HL7_NONE. */
size_t hl7_find_from(const struct hl7_message *m, const char *name, size_t from);

/* How many segments named as ${segment} stand up to and with it: its occurrence, from 1. */
size_t hl7_occurrence(const struct hl7_message *m, size_t segment);

/* The bytes of a segment from its name on, without its end. */
struct span hl7_segment_span(const struct hl7_message *m, size_t segment);

/* Field ${field} with all its repetitions; 0 gives the name. */
struct span hl7_field_all(const struct hl7_message *m, size_t segment, unsigned field);

/* Repetition ${repetition} of a field. MSH-1 and MSH-2 have exactly one. */
struct span hl7_field(const struct hl7_message *m, size_t segment, unsigned field, unsigned repetition);

/* Fields of a segment, counted with the empty ones up to the last separator; repetitions of a field (0: no such field). */
unsigned hl7_field_count(const struct hl7_message *m, size_t segment);
unsigned hl7_repetition_count(const struct hl7_message *m, size_t segment, unsigned field);

/* Component ${n} of one repetition; sub-component ${n} of one component. */
struct span hl7_component(const struct hl7_delimiters *d, struct span repetition, unsigned n);
struct span hl7_subcomponent(const struct hl7_delimiters *d, struct span component, unsigned n);

/*
 * Cut the part before the next ${delimiter} off ${rest} into ${piece}; false when nothing is left. Start with ${rest} as got from
 * above; a span that is there and empty gives one empty piece. The cheap way through many parts:
 * for (rest = field; hl7_next(&rest, d->repetition, &piece);)
 */
bool hl7_next(struct span *rest, uint8_t delimiter, struct span *piece);

/* The HL7 null: exactly two quotes. */
bool hl7_is_null(struct span value);

/* Not there, empty, or the HL7 null. */
bool hl7_is_absent(struct span value);

/* One of the version numbers 2.1 to 2.9.1 of HL7 table 0104. */
bool hl7_version_known(struct span version);
