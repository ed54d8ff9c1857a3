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

void
segment_end_to_cr(struct buffer *out, struct span message)
{
	uint8_t separator = message.len > NAME_LEN ? message.ptr[NAME_LEN] : '|';
	bool open = false; /* bytes since the last end */

	for (size_t i = 0; i < message.len; i++) {
		uint8_t c = message.ptr[i];
		struct span rest = span_cut(message, i + 1, message.len);

		if (c == '\n' && rest.len && !is_end(rest.ptr[0]) && !begins_segment(rest, separator) &&
		    open) {
			buffer_append_byte(out, c);
		} else if (!is_end(c)) {
			buffer_append_byte(out, c);
			open = true;
		} else if (open) {
			buffer_append_byte(out, '\r');
			open = false;
		}
	}
	if (open)
		buffer_append_byte(out, '\r');
}
