/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HL7 times: DTM and the first component of TS (v2.5 §2.A.22, §2.A.77), also the times of CDA:
 *
 *   YYYY[MM[DD[HH[MM[SS[.S[S[S[S]]]]]]]]][+/-ZZZZ]
 *
 * Strict: digits only, no part without those before it, days that exist, hours 00-23, minutes and seconds
 * 00-59, zones from -1200 to +1400. What was not said is not made up: precision and the presence of a zone
 * are kept beside the value.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codecs/span.h"

#define HL7_TIME_SIZE 25 /* YYYYMMDDHHMMSS.SSSS+ZZZZ and a NUL */

enum hl7_time_outcome {
	HL7_TIME_OK = 0,
	HL7_TIME_EMPTY,
	HL7_TIME_BAD_FORM,  /* not written so */
	HL7_TIME_BAD_VALUE, /* written so, but there is no such time */
};

enum hl7_time_precision {
	HL7_TIME_YEAR,
	HL7_TIME_MONTH,
	HL7_TIME_DAY,
	HL7_TIME_HOUR,
	HL7_TIME_MINUTE,
	HL7_TIME_SECOND,
	HL7_TIME_FRACTION,
};

struct hl7_time {
	int year;
	unsigned month, day, hour, minute, second; /* the least possible value where not said */
	unsigned fraction;			   /* in 1/10000 s */
	unsigned fraction_digits;		   /* 1 to 4 with HL7_TIME_FRACTION, else 0 */
	enum hl7_time_precision precision;
	bool has_zone;
	int zone_minutes; /* east of Greenwich; 0 without a zone */
};

/*
 * Read the whole of ${text} into ${t}; ${offset} (may be NULL) is where it goes wrong. ${t} is undefined
 * unless HL7_TIME_OK.
 */
enum hl7_time_outcome hl7_time_parse(struct span text, struct hl7_time *t, size_t *offset)
    __attribute__((warn_unused_result));

/*
 * The beginning of the time ${t} says, in microseconds since 1970-01-01 UTC; ${default_zone_minutes} where
 * it has no zone.
 */
int64_t hl7_time_unix_us(const struct hl7_time *t, int default_zone_minutes);

/*
 * Write ${unix_us} as the clocks of the zone ${zone_minutes} (-720 to 840) show it, with ${fraction_digits}
 * (0 to 4, cut, not rounded) and the zone. Returns the length; 0 and an empty ${out} for what the form
 * cannot say (years outside 0001-9999, no such zone).
 */
size_t hl7_time_format(int64_t unix_us, int zone_minutes, unsigned fraction_digits, char out[HL7_TIME_SIZE]);

/* A short English phrase for logs. */
const char *hl7_time_outcome_text(enum hl7_time_outcome outcome);
