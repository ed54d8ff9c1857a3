/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes made safe to show: see printable.h. */
#include "codecs/printable.h"

#include <stdbool.h>

#include "codecs/utf8.h"

static bool
is_shown(uint32_t point)
{
	if (point < 0x20 || (point >= 0x7f && point < 0xa0))
		return false;
	if (point == 0x2028 || point == 0x2029)
		return false;
	/* Direction marks and overrides could make a line read otherwise than it is. */
	if (point == 0x61c || point == 0x200e || point == 0x200f)
		return false;
	return !((point >= 0x202a && point <= 0x202e) || (point >= 0x2066 && point <= 0x2069));
}

void
printable_append(struct buffer *out, struct span raw, size_t max)
{
	static const char hex[] = "0123456789abcdef";
	size_t start = out->len, fits = out->len;

	while (raw.len) {
		uint32_t point = 0;
		size_t n = utf8_next(raw, &point), used = n ? n : 1;
		char escape[4] = { '\\', 'x', 0, 0 };
		size_t before = out->len;

		if (n && point == '\\') {
			buffer_append(out, "\\\\", 2);
		} else if (n && is_shown(point)) {
			buffer_append(out, raw.ptr, n);
		} else {
			for (size_t i = 0; i < used; i++) {
				escape[2] = hex[raw.ptr[i] >> 4];
				escape[3] = hex[raw.ptr[i] & 15];
				buffer_append(out, escape, sizeof(escape));
			}
		}
		if (buffer_failed(out))
			return;
		if (out->len - start > max) {
			out->len = max >= 3 ? fits : before;
			if (max >= 3)
				buffer_append_str(out, "...");
			return;
		}
		if (out->len - start + 3 <= max)
			fits = out->len;
		raw = span_cut(raw, used, raw.len);
	}
}
