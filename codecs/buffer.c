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
buffer_init_on(struct buffer *b, void *memory, size_t size, size_t ceiling)
{
	*b = (struct buffer){
		.data = memory, .cap = size < ceiling ? size : ceiling, .ceiling = ceiling, .borrowed = true
	};
}

void
buffer_fini(struct buffer *b)
{
	if (!b->borrowed)
		free(b->data);
	buffer_init(b, b->ceiling);
}

/* ${cap} bytes for what ${b} has. NULL: no memory, and ${b} is as it was. */
static uint8_t *
grow(struct buffer *b, size_t cap)
{
	uint8_t *data = realloc(b->borrowed ? NULL : b->data, cap ? cap : 1);

	if (!data)
		return NULL;
	if (b->borrowed && b->len)
		memcpy(data, b->data, b->len);
	b->borrowed = false;
	b->data = data;
	b->cap = cap;
	return data;
}

uint8_t *
buffer_reserve(struct buffer *b, size_t extra)
{
	size_t need, cap;

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
	if (!grow(b, cap)) {
		b->failed = true;
		return NULL;
	}
	return b->data + b->len;
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
