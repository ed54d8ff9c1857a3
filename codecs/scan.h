/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking for either of two bytes, at the speed of memchr and in linear time whatever the input.
 *
 * Two plain memchr calls over a whole input would be quadratic when one byte is frequent and the other far away; here
 * the window looked at grows with the distance already covered, so that a call costs what it skips, plus a constant.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define SCAN_WINDOW_FIRST 64u
#define SCAN_WINDOW_MAX	  16384u /* stays in the first-level cache between the two looks */

/* Where the first ${a} or ${b} stands in the ${len} bytes at ${ptr}; ${len} when there is none. */
static inline size_t
scan_either(const uint8_t *ptr, size_t len, uint8_t a, uint8_t b)
{
	size_t at = 0, window = SCAN_WINDOW_FIRST;

	while (at < len) {
		size_t n = len - at < window ? len - at : window;
		const uint8_t *hit = memchr(ptr + at, a, n), *other;

		other = memchr(ptr + at, b, hit ? (size_t)(hit - ptr) - at : n);
		if (other)
			hit = other;
		if (hit)
			return (size_t)(hit - ptr);
		at += n;
		if (window < SCAN_WINDOW_MAX)
			window *= 2;
	}
	return len;
}
