/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Problem details (RFC 9457) for every HTTP door. Nothing of a request or of content goes into them: our own sentences only.
 */
#include "broker/doors/http.h"

/* Append ${text}, which is ours, as a JSON string. */
static void
json_text(struct buffer *out, const char *text)
{
	buffer_append_byte(out, '"');
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			buffer_append_byte(out, '\\');
		buffer_append_byte(out, (uint8_t)*text);
	}
	buffer_append_byte(out, '"');
}

void
http_problem_write(struct buffer *out, const struct http_problem *problem)
{
	buffer_printf(out, "{\"type\":\"urn:liaison:problem:%s\",\"title\":", problem->name);
	json_text(out, http1_reason(problem->status));
	buffer_printf(out, ",\"status\":%d,\"detail\":", problem->status);
	json_text(out, problem->detail);
	buffer_append_str(out, ",\"code\":");
	json_text(out, problem->name);
	buffer_append_byte(out, '}');
}

const char *
http_problem_name(int status)
{
	switch (status) {
	case 413:
		return "content-too-large";
	case 414:
		return "target-too-long";
	case 417:
		return "expectation";
	case 431:
		return "head-too-large";
	case 501:
		return "not-implemented";
	case 503:
		return "overload";
	case 505:
		return "http-version";
	default:
		return "not-http";
	}
}
