/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growing run of bytes with a ceiling.
 *
 * Failure is sticky: after an append failed (no memory, or past the ceiling) the buffer keeps what it had, every later
 * append does nothing, and buffer_failed() tells. A writer therefore checks once, at its end.
 * Invariant: len <= cap <= ceiling; data is NULL only while cap is 0.
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
};

/* Start ${b} empty, allowed to hold ${ceiling} bytes. Allocates nothing. */
void buffer_init(struct buffer *b, size_t ceiling);

/* Free what ${b} holds; it may be used again as after buffer_init with the same ceiling. */
void buffer_fini(struct buffer *b);

/* Forget the content and the failure, keep the memory. */
void buffer_reset(struct buffer *b);

/* Make room for ${extra} more bytes and return where they begin, or NULL (and fail). Adds nothing: see buffer_commit. */
uint8_t *buffer_reserve(struct buffer *b, size_t extra);

/* Count ${n} bytes written behind the content, within what buffer_reserve gave. */
void buffer_commit(struct buffer *b, size_t n);

void buffer_append(struct buffer *b, const void *ptr, size_t len);
void buffer_append_span(struct buffer *b, struct span s);
void buffer_append_str(struct buffer *b, const char *text);
void buffer_append_byte(struct buffer *b, uint8_t byte);
void buffer_printf(struct buffer *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Drop the first ${n} bytes (cut to what is there) and move the rest to the front. */
void buffer_drop_front(struct buffer *b, size_t n);

/* The content. Valid until the next change of ${b}. */
struct span buffer_span(const struct buffer *b);

bool buffer_failed(const struct buffer *b);
