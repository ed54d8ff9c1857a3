/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8 read by the table of well-formed sequences (Unicode 15, table 3-7), runs of ASCII by codecs/scan.h. */
#include "codecs/utf8.h"

#include "codecs/scan.h"

size_t
utf8_next(struct span s, uint32_t *code)
{
	uint8_t first, low = 0x80, high = 0xbf;
	size_t len;

	if (s.len == 0)
		return 0;
	first = s.ptr[0];
	if (first < 0x80) {
		*code = first;
		return 1;
	}
	if (first < 0xc2 || first > 0xf4)
		return 0;
	len = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
	if (s.len < len)
		return 0;
	switch (first) { /* the second byte's range where it is not the whole of 80..BF */
	case 0xe0:
		low = 0xa0;
		break;
	case 0xed:
		high = 0x9f;
		break;
	case 0xf0:
		low = 0x90;
		break;
	case 0xf4:
		high = 0x8f;
		break;
	default:
		break;
	}
	if (s.ptr[1] < low || s.ptr[1] > high)
		return 0;
	*code = first & (0x7fu >> len);
	for (size_t i = 1; i < len; i++) {
		if ((s.ptr[i] & 0xc0) != 0x80)
			return 0;
		*code = *code << 6 | (s.ptr[i] & 0x3f);
	}
	return len;
}

bool
utf8_valid(struct span s, size_t *offset)
{
	size_t at = 0;

	while (at < s.len) {
		uint32_t code;
		size_t n;

		if (s.ptr[at] < 0x80) {
			at += scan_ascii(s.ptr + at, s.len - at);
			continue;
		}
		n = utf8_next(span_cut(s, at, s.len), &code);
		if (n == 0) {
			if (offset)
				*offset = at;
			return false;
		}
		at += n;
	}
	return true;
}

bool
utf8_ascii(struct span s)
{
	return s.len == 0 || scan_ascii(s.ptr, s.len) == s.len;
}

size_t
utf8_put(uint32_t code, uint8_t out[4])
{
	if (code < 0x80) {
		out[0] = (uint8_t)code;
		return 1;
	}
	if (code < 0x800) {
		out[0] = (uint8_t)(0xc0 | code >> 6);
		out[1] = (uint8_t)(0x80 | (code & 0x3f));
		return 2;
	}
	if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	if (code < 0x10000) {
		out[0] = (uint8_t)(0xe0 | code >> 12);
		out[1] = (uint8_t)(0x80 | (code >> 6 & 0x3f));
		out[2] = (uint8_t)(0x80 | (code & 0x3f));
		return 3;
	}
	out[0] = (uint8_t)(0xf0 | code >> 18);
	out[1] = (uint8_t)(0x80 | (code >> 12 & 0x3f));
	out[2] = (uint8_t)(0x80 | (code >> 6 & 0x3f));
	out[3] = (uint8_t)(0x80 | (code & 0x3f));
	return 4;
}
