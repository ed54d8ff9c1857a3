/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The portable twins, and the choice.
 *
 * Two plain memchr calls over a whole input would be quadratic when one byte is frequent and the other far away; in
 * scan_either_portable the window looked at grows with the distance already covered, so that a call costs what it skips, plus a
 * constant.
 */
#include "codecs/scan.h"

#include "codecs/cpu.h"
#include "codecs/scan_avx2.h"

#define CR	     0x0du
#define LF	     0x0au
#define WINDOW_FIRST 64u
#define WINDOW_MAX   16384u /* stays in the first-level cache between the two looks */
#define HIGH_BITS    0x8080808080808080u

size_t
scan_either_portable(const uint8_t *ptr, size_t len, uint8_t a, uint8_t b)
{
	size_t at = 0, window = WINDOW_FIRST;

	while (at < len) {
		size_t n = len - at < window ? len - at : window;
		const uint8_t *hit = memchr(ptr + at, a, n), *other;

		other = memchr(ptr + at, b, hit ? (size_t)(hit - ptr) - at : n);
		if (other)
			hit = other;
		if (hit)
			return (size_t)(hit - ptr);
		at += n;
		if (window < WINDOW_MAX)
			window *= 2;
	}
	return len;
}

size_t
scan_index_portable(
    const uint8_t *ptr, size_t len, uint8_t a, uint8_t b, uint32_t *places, size_t room, size_t *seen)
{
	size_t at = 0, count = 0;

	while (count < room) {
		at += scan_either_portable(ptr + at, len - at, a, b);
		if (at == len)
			break;
		places[count++] = (uint32_t)at++;
	}
	*seen = at;
	return count;
}

size_t
scan_line_portable(
    const uint8_t *ptr, size_t len, uint8_t delimiter, size_t *places, size_t room, size_t *count)
{
	size_t at;

	*count = 0;
	for (at = 0; at < len && ptr[at] != CR && ptr[at] != LF; at++) {
		if (*count == room)
			return at + scan_either_portable(ptr + at, len - at, CR, LF);
		if (ptr[at] == delimiter)
			places[(*count)++] = at;
	}
	return at;
}

/* Where the first ${byte} stands at or behind ${at}; ${len} when there is none. Most are near. */
static size_t
find(const uint8_t *ptr, size_t len, size_t at, uint8_t byte)
{
	size_t near = len - at < SCAN_SHORT ? len : at + SCAN_SHORT;
	const uint8_t *hit;

	for (; at < near; at++)
		if (ptr[at] == byte)
			return at;
	hit = at < len ? memchr(ptr + at, byte, len - at) : NULL;
	return hit ? (size_t)(hit - ptr) : len;
}

bool
scan_part_portable(const uint8_t *ptr, size_t len, uint8_t delimiter, size_t n, size_t *from, size_t *to)
{
	size_t at = 0;

	for (; n > 1; n--) {
		at = find(ptr, len, at, delimiter);
		if (at == len)
			return false;
		at++;
	}
	*from = at;
	*to = find(ptr, len, at, delimiter);
	return true;
}

size_t
scan_count_portable(const uint8_t *ptr, size_t len, uint8_t byte)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++)
		n += ptr[i] == byte;
	return n;
}

size_t
scan_ascii_portable(const uint8_t *ptr, size_t len)
{
	size_t n = 0;
	uint64_t word;

	for (; len - n >= sizeof(word); n += sizeof(word)) {
		memcpy(&word, ptr + n, sizeof(word));
		if (word & HIGH_BITS)
			break;
	}
	while (n < len && ptr[n] < 0x80)
		n++;
	return n;
}

/*
 * The choice
 */

#if CPU_X86
#define CHOOSE(name, ...) (cpu_has(CPU_AVX2) ? name##_avx2(__VA_ARGS__) : name##_portable(__VA_ARGS__))
#else
#define CHOOSE(name, ...) name##_portable(__VA_ARGS__)
#endif

size_t
scan_either(const uint8_t *ptr, size_t len, uint8_t a, uint8_t b)
{
	return CHOOSE(scan_either, ptr, len, a, b);
}

size_t
scan_index(const uint8_t *ptr, size_t len, uint8_t a, uint8_t b, uint32_t *places, size_t room, size_t *seen)
{
	return CHOOSE(scan_index, ptr, len, a, b, places, room, seen);
}

size_t
scan_line(const uint8_t *ptr, size_t len, uint8_t delimiter, size_t *places, size_t room, size_t *count)
{
	return CHOOSE(scan_line, ptr, len, delimiter, places, room, count);
}

bool
scan_part(const uint8_t *ptr, size_t len, uint8_t delimiter, size_t n, size_t *from, size_t *to)
{
	return CHOOSE(scan_part, ptr, len, delimiter, n, from, to);
}

size_t
scan_count(const uint8_t *ptr, size_t len, uint8_t byte)
{
	return CHOOSE(scan_count, ptr, len, byte);
}

size_t
scan_ascii(const uint8_t *ptr, size_t len)
{
	return CHOOSE(scan_ascii, ptr, len);
}
