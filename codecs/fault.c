/* SPDX-License-Identifier: Apache-2.0 */
/* The table of faults: our name, the code an HL7 sender sees, and whether it is a circumstance. */
#include "codecs/fault.h"

#include <stdarg.h>
#include <stdio.h>

static const struct fault_entry {
	enum fault_code code;
	const char *name;
} fault_table[] = {
	{ FAULT_NONE, "none" },
	{ FAULT_SEGMENT_SEQUENCE, "segment-sequence" },
	{ FAULT_REQUIRED_FIELD, "required-field" },
	{ FAULT_DATA_TYPE, "data-type" },
	{ FAULT_TABLE_VALUE, "table-value" },
	{ FAULT_CARDINALITY, "cardinality" },
	{ FAULT_UNSUPPORTED_TYPE, "unsupported-type" },
	{ FAULT_UNSUPPORTED_EVENT, "unsupported-event" },
	{ FAULT_UNSUPPORTED_PROCESSING, "unsupported-processing" },
	{ FAULT_UNSUPPORTED_VERSION, "unsupported-version" },
	{ FAULT_UNKNOWN_KEY, "unknown-key" },
	{ FAULT_DUPLICATE_KEY, "duplicate-key" },
	{ FAULT_LOCKED, "locked" },
	{ FAULT_APPLICATION, "application" },
	{ FAULT_TOO_LARGE, "too-large" },
	{ FAULT_FRAME_NOISE, "frame-noise" },
	{ FAULT_FRAME_RESTART, "frame-restart" },
	{ FAULT_FRAME_CUT, "frame-cut" },
	{ FAULT_FRAME_SLOW, "frame-slow" },
	{ FAULT_FRAME_END, "frame-end" },
	{ FAULT_SAME_ID, "same-id-other-bytes" },
	{ FAULT_NO_ROUTE, "no-route" },
	{ FAULT_MEMORY, "memory" },
	{ FAULT_DISK_FLOOR, "disk-floor" },
	{ FAULT_OVERLOAD, "overload" },
	{ FAULT_STOPPING, "stopping" },
	{ FAULT_DEADLINE, "deadline" },
	{ FAULT_STORE, "store" },
};

/* HL7 v2.5 table 0357, with 198 as the French volet adds it. */
static const struct {
	int code;
	const char *text;
} hl7_table[] = {
	{ 0, "Message accepted" },
	{ 100, "Segment sequence error" },
	{ 101, "Required field missing" },
	{ 102, "Data type error" },
	{ 103, "Table value not found" },
	{ 198, "Cardinality error" },
	{ 199, "Other HL7 error" },
	{ 200, "Unsupported message type" },
	{ 201, "Unsupported event code" },
	{ 202, "Unsupported processing id" },
	{ 203, "Unsupported version id" },
	{ 204, "Unknown key identifier" },
	{ 205, "Duplicate key identifier" },
	{ 206, "Application record locked" },
	{ 207, "Application internal error" },
};

void
fault_set(struct fault *f, enum fault_code code, size_t offset, const char *path, const char *format, ...)
{
	va_list args;

	*f = (struct fault){ .code = code, .severity = FAULT_ERROR, .offset = offset };
	(void)snprintf(f->path, sizeof(f->path), "%s", path ? path : "");
	va_start(args, format);
	(void)vsnprintf(f->message, sizeof(f->message), format, args);
	va_end(args);
}

bool
fault_is_circumstance(enum fault_code code)
{
	return code >= FAULT_DISK_FLOOR;
}

int
fault_hl7_code(enum fault_code code)
{
	return code < FAULT_TOO_LARGE ? (int)code : FAULT_APPLICATION;
}

const char *
fault_hl7_text(int hl7_code)
{
	for (size_t i = 0; i < sizeof(hl7_table) / sizeof(hl7_table[0]); i++)
		if (hl7_table[i].code == hl7_code)
			return hl7_table[i].text;
	return "Other HL7 error";
}

const char *
fault_name(enum fault_code code)
{
	for (size_t i = 0; i < sizeof(fault_table) / sizeof(fault_table[0]); i++)
		if (fault_table[i].code == code)
			return fault_table[i].name;
	return "unknown";
}
