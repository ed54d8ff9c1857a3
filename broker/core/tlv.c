/* SPDX-License-Identifier: Apache-2.0 */
/* Tag, length, value: see the header. Little-endian by hand, so that journals travel between machines. */
#include "broker/core/tlv.h"

#define TLV_HEAD 6u

static void
put_head(struct buffer *out, uint16_t tag, uint32_t len)
{
	const uint8_t head[TLV_HEAD] = {
		(uint8_t)tag,
		(uint8_t)(tag >> 8),
		(uint8_t)len,
		(uint8_t)(len >> 8),
		(uint8_t)(len >> 16),
		(uint8_t)(len >> 24),
	};

	buffer_append(out, head, sizeof(head));
}

void
tlv_put_span(struct buffer *out, uint16_t tag, struct span value)
{
	if (value.len > UINT32_MAX) {
		out->failed = true;
		return;
	}
	put_head(out, tag, (uint32_t)value.len);
	buffer_append_span(out, value);
}

void
tlv_put_some(struct buffer *out, uint16_t tag, struct span value)
{
	if (value.len)
		tlv_put_span(out, tag, value);
}

void
tlv_put_u64(struct buffer *out, uint16_t tag, uint64_t value)
{
	uint8_t bytes[8];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(value >> (8 * i));
	tlv_put_span(out, tag, span_make(bytes, sizeof(bytes)));
}

int
tlv_next(struct span *rest, uint16_t *tag, struct span *value)
{
	const uint8_t *p = rest->ptr;
	uint32_t len;

	if (rest->len == 0)
		return 0;
	if (rest->len < TLV_HEAD)
		return -1;
	*tag = (uint16_t)(p[0] | p[1] << 8);
	len = (uint32_t)p[2] | (uint32_t)p[3] << 8 | (uint32_t)p[4] << 16 | (uint32_t)p[5] << 24;
	if (len > rest->len - TLV_HEAD)
		return -1;
	*value = span_make(p + TLV_HEAD, len);
	*rest = span_make(p + TLV_HEAD + len, rest->len - TLV_HEAD - len);
	return 1;
}

bool
tlv_u64(struct span value, uint64_t *number)
{
	uint64_t n = 0;

	if (value.len != 8)
		return false;
	for (size_t i = 0; i < 8; i++)
		n |= (uint64_t)value.ptr[i] << (8 * i);
	*number = n;
	return true;
}

size_t
tlv_count(struct span bytes, uint16_t tag)
{
	size_t count = 0;
	struct span value;
	uint16_t found;

	while (tlv_next(&bytes, &found, &value) == 1)
		if (found == tag)
			count++;
	return count;
}
