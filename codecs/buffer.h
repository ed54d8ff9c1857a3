/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growing run of bytes with a ceiling.
 *
 * Failure is sticky: after an append failed (no memory, or past the ceiling) the buffer keeps what it had, every later
 * append does nothing, and buffer_failed() tells. A writer therefore checks once, at its end.
 * Invariant: len <= cap <= ceiling; data is NULL only while cap is 0.
 *
 * The appends are inline: records, answers and lines are made of dozens of small ones, which mostly find room.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codecs/span.h"

struct buffer {
	uint8_t *data;
	size_t len;
	size_t cap;
	size_t ceiling;
	bool failed;
	bool borrowed; /* data is its user's memory (buffer_init_on) */
};

/* Start ${b} empty, allowed to hold ${ceiling} bytes. Allocates nothing. */
void buffer_init(struct buffer *b, size_t ceiling);

/*
 * As buffer_init, but what fits the ${size} bytes at ${memory}, which outlive ${b}'s use of them, is kept there; only more allocates. After
 * buffer_fini it is as after buffer_init.
 */
void buffer_init_on(struct buffer *b, void *memory, size_t size, size_t ceiling);

/* Free what ${b} holds; it may be used again as after buffer_init with the same ceiling. */
void buffer_fini(struct buffer *b);

/* Forget the content and the failure, keep the memory. */
static inline void
buffer_reset(struct buffer *b)
{
	b->len = 0;
	b->failed = false;
}

/* Make room for ${extra} more bytes and return where they begin, or NULL (and fail). Adds nothing: see buffer_commit. */
uint8_t *buffer_reserve(struct buffer *b, size_t extra);

/* Count ${n} bytes written behind the content, within what buffer_reserve gave. */
static inline void
buffer_commit(struct buffer *b, size_t n)
{
	b->len += n;
}

static inline bool
buffer_failed(const struct buffer *b)
{
	return b->failed;
}

static inline void
buffer_append(struct buffer *b, const void *ptr, size_t len)
{
	bool room = len <= b->cap - b->len && !b->failed;

	if (len == 0 || (!room && !buffer_reserve(b, len)))
		return;
	memcpy(b->data + b->len, ptr, len);
	b->len += len;
}

static inline void
buffer_append_span(struct buffer *b, struct span s)
{
	buffer_append(b, s.ptr, s.len);
}

static inline void
buffer_append_str(struct buffer *b, const char *text)
{
	buffer_append(b, text, strlen(text));
}

static inline void
buffer_append_byte(struct buffer *b, uint8_t byte)
{
	if ((b->len == b->cap || b->failed) && !buffer_reserve(b, 1))
		return;
	b->data[b->len++] = byte;
}

void buffer_printf(struct buffer *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Drop the first ${n} bytes (cut to what is there) and move the rest to the front. */
void buffer_drop_front(struct buffer *b, size_t n);

/* The content. Valid until the next change of ${b}. */
static inline struct span
buffer_span(const struct buffer *b)
{
	return span_make(b->data, b->len);
}

/* What ${b} has allocated. */
static inline size_t
buffer_memory(const struct buffer *b)
{
	return b->borrowed ? 0 : b->cap;
}
