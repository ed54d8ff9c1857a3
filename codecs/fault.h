/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is wrong with an input: one truth that becomes an HL7 ERR segment, an HTTP problem, a journal record, a log line.
 *
 * ${message} names rule and place and never holds a byte of the input; what was found stands in ${value}, which only a
 * reasoned read of content may show (a span over the input: it dies with it).
 * Codes below 300 are those of HL7 table 0357; from 1000 on they are Liaison's own (a frame, a limit, a circumstance) and reach
 * an HL7 sender as 207.
 */
#pragma once

#include <stddef.h>

#include "codecs/span.h"

enum fault_code {
	FAULT_NONE = 0,
	FAULT_SEGMENT_SEQUENCE = 100,
	FAULT_REQUIRED_FIELD = 101,
	FAULT_DATA_TYPE = 102,
	FAULT_TABLE_VALUE = 103,
	FAULT_CARDINALITY = 198,
	FAULT_UNSUPPORTED_TYPE = 200,
	FAULT_UNSUPPORTED_EVENT = 201,
	FAULT_UNSUPPORTED_PROCESSING = 202,
	FAULT_UNSUPPORTED_VERSION = 203,
	FAULT_UNKNOWN_KEY = 204,
	FAULT_DUPLICATE_KEY = 205,
	FAULT_LOCKED = 206,
	FAULT_APPLICATION = 207,

	FAULT_TOO_LARGE = 1000, /* past the peer's size cap */
	FAULT_FRAME_NOISE,	/* bytes outside a frame */
	FAULT_FRAME_RESTART,	/* a start block inside a frame */
	FAULT_FRAME_CUT,	/* the connection ended inside a frame */
	FAULT_FRAME_SLOW,	/* a frame took longer than its deadline */
	FAULT_FRAME_END,	/* an end block that is not one */
	FAULT_SAME_ID,		/* an accepted message's key with other bytes */
	FAULT_NO_ROUTE,		/* no route wants it and the configuration refuses such */
	FAULT_MEMORY,		/* a ceiling of ours was reached */

	FAULT_DISK_FLOOR = 1100, /* circumstances: resend later (AR, 503) */
	FAULT_OVERLOAD,
	FAULT_STOPPING,
	FAULT_DEADLINE,
	FAULT_STORE, /* the journal could not be written */
};

enum fault_severity {
	FAULT_ERROR = 0,
	FAULT_WARNING,
	FAULT_INFORMATION,
};

#define FAULT_PATH_MAX	  48
#define FAULT_MESSAGE_MAX 160

struct fault {
	enum fault_code code;
	enum fault_severity severity;
	int application_code;		 /* HL7 table 0533, 0 for none */
	size_t offset;			 /* in the input, bytes */
	char path[FAULT_PATH_MAX];	 /* "MSH-9.1", "PID-3(2).4.2", "(4)"; empty: the whole */
	char message[FAULT_MESSAGE_MAX]; /* rule and place, English, no value */
	struct span value;		 /* what was found; may be empty */
};

/* Fill ${f} (severity error); ${path} and ${format} are cut to their fields. */
void fault_set(struct fault *f, enum fault_code code, size_t offset, const char *path, const char *format,
    ...) __attribute__((format(printf, 5, 6)));

/* True for circumstances, where the same bytes may pass later: AR rather than AE, 503 rather than 4xx. */
bool fault_is_circumstance(enum fault_code code);

/* The table 0357 code that an HL7 sender is given, and its text in that table. */
int fault_hl7_code(enum fault_code code);
const char *fault_hl7_text(int hl7_code);

/* A stable lower-case name for logs and JSON: "required-field", "disk-floor". */
const char *fault_name(enum fault_code code);
