/* SPDX-License-Identifier: Apache-2.0 */
/* Growing bytes with a ceiling: see the header for the sticky failure. */
#include "codecs/buffer.h"

#include <stdio.h>
#include <stdlib.h>

#define BUFFER_FIRST 256u /* smallest allocation: an acknowledgement fits */

void
buffer_init(struct buffer *b, size_t ceiling)
{
	*b = (struct buffer){ .ceiling = ceiling };
}

void
buffer_fini(struct buffer *b)
{
	free(b->data);
	buffer_init(b, b->ceiling);
}

void
buffer_reset(struct buffer *b)
{
	b->len = 0;
	b->failed = false;
}

uint8_t *
buffer_reserve(struct buffer *b, size_t extra)
{
	size_t need, cap;
	uint8_t *data;

	if (b->failed)
		return NULL;
	if (extra > b->ceiling - b->len) {
		b->failed = true;
		return NULL;
	}
	need = b->len + extra;
	if (need <= b->cap && b->data)
		return b->data + b->len;
	cap = b->cap ? b->cap : BUFFER_FIRST;
	while (cap < need)
		cap = cap > b->ceiling / 2 ? b->ceiling : cap * 2;
	if (cap > b->ceiling)
		cap = b->ceiling;
	data = realloc(b->data, cap ? cap : 1);
	if (!data) {
		b->failed = true;
		return NULL;
	}
	b->data = data;
	b->cap = cap;
	return b->data + b->len;
}

void
buffer_commit(struct buffer *b, size_t n)
{
	b->len += n;
}

void
buffer_append(struct buffer *b, const void *ptr, size_t len)
{
	uint8_t *to;

	if (len == 0)
		return;
	to = buffer_reserve(b, len);
	if (!to)
		return;
	memcpy(to, ptr, len);
	b->len += len;
}

void
buffer_append_span(struct buffer *b, struct span s)
{
	buffer_append(b, s.ptr, s.len);
}

void
buffer_append_str(struct buffer *b, const char *text)
{
	buffer_append(b, text, strlen(text));
}

void
buffer_append_byte(struct buffer *b, uint8_t byte)
{
	buffer_append(b, &byte, 1);
}

void
buffer_printf(struct buffer *b, const char *format, ...)
{
	va_list args;
	uint8_t *to;
	int n;

	va_start(args, format);
	n = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (n < 0) {
		b->failed = true;
		return;
	}
	/* One more byte for the NUL that vsnprintf insists on; it is not counted. */
	to = buffer_reserve(b, (size_t)n + 1);
	if (!to)
		return;
	va_start(args, format);
	(void)vsnprintf((char *)to, (size_t)n + 1, format, args);
	va_end(args);
	b->len += (size_t)n;
}

void
buffer_drop_front(struct buffer *b, size_t n)
{
	if (n >= b->len) {
		b->len = 0;
		return;
	}
	if (n == 0)
		return;
	memmove(b->data, b->data + n, b->len - n);
	b->len -= n;
}

struct span
buffer_span(const struct buffer *b)
{
	return span_make(b->data, b->len);
}

bool
buffer_failed(const struct buffer *b)
{
	return b->failed;
}
