/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A span is a pointer and a length over bytes that somebody else owns.
 *
 * Every codec takes its input as a span and gives places in it as spans. A span never relies on a final NUL, never
 * owns, and is valid only as long as the bytes it was made from. An empty span may have any pointer, NULL included.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
	const uint8_t *ptr;
	size_t len;
};

#define SPAN_EMPTY ((struct span){ NULL, 0 })

/* The ${len} bytes at ${ptr}. */
static inline struct span
span_make(const void *ptr, size_t len)
{
	return (struct span){ ptr, len };
}

/* The bytes of the C string ${text} without its NUL; NULL gives the empty span. */
static inline struct span
span_str(const char *text)
{
	return (struct span){ (const uint8_t *)text, text ? strlen(text) : 0 };
}

/* Bytes [from, to) of ${s}; both ends are cut to what is there. */
static inline struct span
span_cut(struct span s, size_t from, size_t to)
{
	if (to > s.len)
		to = s.len;
	if (from > to)
		from = to;
	return (struct span){ s.len ? s.ptr + from : s.ptr, to - from };
}

static inline bool
span_eq(struct span a, struct span b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool
span_eq_str(struct span a, const char *text)
{
	return span_eq(a, span_str(text));
}
