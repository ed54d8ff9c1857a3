/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths: the places of an HL7 v2 message in words.
 *
 *   path    = segment [ "-" field [ "(" repetition ")" ] [ "." component [ "." subcomponent ] ] ]
 *   segment = name [ "(" occurrence ")" ]      the occurrence counts segments of that name: PID(2) is the second PID
 *           | "(" ordinal ")"                  the nth segment of the message, whatever its name
 *   name    = [A-Z][A-Z0-9]{2}, numbers from 1 to HL7_PATH_NUMBER_MAX without leading zero
 *
 *   PID-3(2).4.2  second sub-component of the fourth component of the second repetition of PID-3
 *   OBX(3)-5      field 5 of the third OBX, with all its repetitions
 *   MSH           the whole segment
 *   (4)           the fourth segment
 *
 * A repetition that is not said means the first one when a component follows, all of them when none does.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "codecs/buffer.h"
#include "codecs/hl7.h"
#include "codecs/span.h"

#define HL7_PATH_NUMBER_MAX 99999999u /* more segments than HL7_MESSAGE_MAX bytes are not worth a number */
#define HL7_PATH_TEXT_MAX   64u	      /* any path as text, with its NUL */

struct hl7_path {
	char name[4];	     /* empty when ordinal counts */
	uint32_t ordinal;    /* 0: by name */
	uint32_t occurrence; /* of the name, from 1; 0 only when ordinal counts */
	uint32_t field;	     /* 0: the whole segment */
	uint32_t repetition; /* 0: not said */
	uint32_t component;  /* 0: the whole repetition */
	uint32_t subcomponent;
};

/* Read ${text} into ${p}; false when it is not exactly a path. */
bool hl7_path_parse(struct hl7_path *p, struct span text) __attribute__((warn_unused_result));

/* Write ${p} as text, occurrence 1 and what is not said left out. Cut, always NUL-ended. Returns ${out}. */
char *hl7_path_format(const struct hl7_path *p, char out[HL7_PATH_TEXT_MAX]);

/* Index of the segment of ${m} that ${p} means, or HL7_NONE. */
size_t hl7_path_segment(const struct hl7_message *m, const struct hl7_path *p);

/* The raw bytes that ${p} means in ${m}; a NULL pointer when they are not there. */
struct span hl7_path_get(const struct hl7_message *m, const struct hl7_path *p);

/* The same for a path in text ("PID-3.1"); a text that is no path gives what is not there. */
struct span hl7_get(const struct hl7_message *m, const char *path);

/*
 * ERR-2 (data type ERL, v2.5 §2.A.28): segment ^ sequence ^ field ^ repetition ^ component ^ sub-component, as far as
 * said: PID(2)-3.4 is PID^2^3^1^4, (4) is ^4. ${component} is the separator to use.
 */
void hl7_path_erl(const struct hl7_path *p, uint8_t component, struct buffer *b);

/* ERR-1 of v2.4 and older, its first three components: segment ^ sequence ^ field, always with both separators. */
void hl7_path_eld(const struct hl7_path *p, uint8_t component, struct buffer *b);

/* The path that an ERL or ELD ${value} points at; false when it holds none. */
bool hl7_path_from_erl(struct hl7_path *p, const struct hl7_delimiters *d, struct span value);
