/* SPDX-License-Identifier: Apache-2.0 */
/* Segment ends made CR: see segment_end.h. */
#include "broker/cli/segment_end.h"

#include <stdbool.h>

#define NAME_LEN 3

static bool
is_end(uint8_t byte)
{
	return byte == '\r' || byte == '\n';
}

static bool
begins_segment(struct span rest, uint8_t separator)
{
	if (rest.len < NAME_LEN)
		return false;
	for (size_t i = 0; i < NAME_LEN; i++) {
		uint8_t c = rest.ptr[i];

		if (!(c >= 'A' && c <= 'Z') && !(i && c >= '0' && c <= '9'))
			return false;
	}
	return rest.len == NAME_LEN || rest.ptr[NAME_LEN] == separator || is_end(rest.ptr[NAME_LEN]);
}

/* Whether the run of LF at ${at} ends a segment: what stands behind it decides. */
static bool
run_ends_segment(struct span message, size_t at, uint8_t separator)
{
	while (at < message.len && message.ptr[at] == '\n')
		at++;
	return at == message.len || message.ptr[at] == '\r' ||
	       begins_segment(span_cut(message, at, message.len), separator);
}

void
segment_end_to_cr(struct buffer *out, struct span message)
{
	uint8_t separator;
	bool open = false; /* bytes since the last end */

	while (message.len && is_end(message.ptr[0]))
		message = span_cut(message, 1, message.len);
	separator = message.len > NAME_LEN ? message.ptr[NAME_LEN] : '|';
	for (size_t i = 0; i < message.len; i++) {
		uint8_t c = message.ptr[i];
		bool data = !is_end(c) || (c == '\n' && open && !run_ends_segment(message, i, separator));

		if (data)
			buffer_append_byte(out, c);
		else if (open)
			buffer_append_byte(out, '\r');
		/* A run of LF is data or end as a whole. */
		while (data && c == '\n' && i + 1 < message.len && message.ptr[i + 1] == '\n')
			buffer_append_byte(out, message.ptr[++i]);
		open = data;
	}
	if (open)
		buffer_append_byte(out, '\r');
}
