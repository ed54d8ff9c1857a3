/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The AVX2 twins of codecs/scan.c: 32 bytes are compared at once and become a word of 32 bits, one per byte, bit 0 the first.
 *
 * Nothing outside the input is loaded: the last block of a long input lies over the one before and its known bits are shifted out; one
 * shorter than a block is looked at in two overlapping halves of 16, 8 or 4 bytes.
 */
#include "codecs/scan_avx2.h"

#include "codecs/cpu.h"

#if CPU_X86

#include <immintrin.h>
#include <string.h>

#define AVX2  __attribute__((target("avx2,bmi,bmi2,popcnt")))
#define CR    0x0d
#define LF    0x0a
#define BLOCK 32u
#define WIDE  (4 * BLOCK)

/* What is looked for: either of two bytes, the same twice for one. */
struct pair {
	__m256i a, b;
};

AVX2 static inline struct pair
pair(uint8_t a, uint8_t b)
{
	return (struct pair){ _mm256_set1_epi8((char)a), _mm256_set1_epi8((char)b) };
}

AVX2 static inline __m256i
load(const uint8_t *p)
{
	return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

AVX2 static inline __m256i
equal(__m256i v, struct pair c)
{
	return _mm256_or_si256(_mm256_cmpeq_epi8(v, c.a), _mm256_cmpeq_epi8(v, c.b));
}

AVX2 static inline uint32_t
block(const uint8_t *p, struct pair c)
{
	return (uint32_t)_mm256_movemask_epi8(equal(load(p), c));
}

AVX2 static inline uint32_t
half(__m128i v, struct pair c)
{
	__m128i a = _mm_cmpeq_epi8(v, _mm256_castsi256_si128(c.a)),
		b = _mm_cmpeq_epi8(v, _mm256_castsi256_si128(c.b));

	return (uint32_t)_mm_movemask_epi8(_mm_or_si128(a, b));
}

AVX2 static inline uint32_t
eight(const uint8_t *p, struct pair c)
{
	return half(_mm_loadl_epi64((const __m128i *)(const void *)p), c) & 0xffu;
}

AVX2 static inline uint32_t
four(const uint8_t *p, struct pair c)
{
	int32_t word;

	memcpy(&word, p, sizeof(word));
	return half(_mm_cvtsi32_si128(word), c) & 0xfu;
}

/* Fewer than 32 bytes. */
AVX2 static inline uint32_t
less(const uint8_t *p, size_t len, struct pair c)
{
	uint32_t bits = 0;

	if (len >= 16)
		return half(_mm_loadu_si128((const __m128i *)(const void *)p), c) |
		       half(_mm_loadu_si128((const __m128i *)(const void *)(p + len - 16)), c) << (len - 16);
	if (len >= 8)
		return eight(p, c) | eight(p + len - 8, c) << (len - 8);
	if (len >= 4)
		return four(p, c) | four(p + len - 4, c) << (len - 4);
	for (size_t i = 0; i < len; i++)
		bits |= (half(_mm_cvtsi32_si128(p[i]), c) & 1u) << i;
	return bits;
}

/* The hits among the up to 32 bytes at ${at} of the ${len} at ${ptr}. */
AVX2 static inline uint32_t
hits(const uint8_t *ptr, size_t len, size_t at, struct pair c)
{
	if (len - at >= BLOCK)
		return block(ptr + at, c);
	if (len >= BLOCK)
		return (uint32_t)((uint64_t)block(ptr + len - BLOCK, c) >> (BLOCK - (len - at)));
	return less(ptr, len, c);
}

/* Step ${at} over blocks of 128 bytes without a hit. */
AVX2 static inline size_t
skip_wide(const uint8_t *ptr, size_t len, size_t at, struct pair c)
{
	for (; len - at >= WIDE; at += WIDE) {
		__m256i first = _mm256_or_si256(equal(load(ptr + at), c), equal(load(ptr + at + BLOCK), c)),
			second = _mm256_or_si256(
			    equal(load(ptr + at + 2 * BLOCK), c), equal(load(ptr + at + 3 * BLOCK), c)),
			any = _mm256_or_si256(first, second);

		if (!_mm256_testz_si256(any, any))
			break;
	}
	return at;
}

AVX2 size_t
scan_either_avx2(const uint8_t *ptr, size_t len, uint8_t a, uint8_t b)
{
	struct pair c = pair(a, b);

	for (size_t at = skip_wide(ptr, len, 0, c); at < len; at += BLOCK) {
		uint32_t bits = hits(ptr, len, at, c);

		if (bits)
			return at + _tzcnt_u32(bits);
	}
	return len;
}

/* Write the places of the hits ${bits} of the bytes from ${at} on: as many as there is room for. */
AVX2 static inline size_t
put_places(uint64_t bits, size_t at, uint32_t *places, size_t room)
{
	size_t n = 0;

	for (; bits && n < room; bits = _blsr_u64(bits))
		places[n++] = (uint32_t)(at + _tzcnt_u64(bits));
	return n;
}

AVX2 static inline uint64_t
two_blocks(__m256i first, __m256i second)
{
	return (uint32_t)_mm256_movemask_epi8(first) | (uint64_t)(uint32_t)_mm256_movemask_epi8(second) << 32;
}

AVX2 size_t
scan_index_avx2(
    const uint8_t *ptr, size_t len, uint8_t a, uint8_t b, uint32_t *places, size_t room, size_t *seen)
{
	struct pair c = pair(a, b);
	size_t count = 0, at = 0;

	for (; len - at >= WIDE && count < room; at += WIDE) {
		__m256i one = equal(load(ptr + at), c), two = equal(load(ptr + at + BLOCK), c),
			three = equal(load(ptr + at + 2 * BLOCK), c),
			four = equal(load(ptr + at + 3 * BLOCK), c),
			any = _mm256_or_si256(_mm256_or_si256(one, two), _mm256_or_si256(three, four));

		if (_mm256_testz_si256(any, any))
			continue;
		count += put_places(two_blocks(one, two), at, places + count, room - count);
		count += put_places(two_blocks(three, four), at + 2 * BLOCK, places + count, room - count);
	}
	for (; at < len && count < room; at += BLOCK)
		count += put_places(hits(ptr, len, at, c), at, places + count, room - count);
	if (count < room)
		*seen = len;
	else
		*seen = room ? (size_t)places[room - 1] + 1 : 0;
	return count;
}

AVX2 size_t
scan_line_avx2(const uint8_t *ptr, size_t len, uint8_t delimiter, size_t *places, size_t room, size_t *count)
{
	struct pair ends = pair(CR, LF), cuts = pair(delimiter, delimiter);
	size_t n = 0, line = len;

	for (size_t at = 0; at < len && line == len; at += BLOCK) {
		uint32_t stop = hits(ptr, len, at, ends), bits = n < room ? hits(ptr, len, at, cuts) : 0;

		if (stop) {
			line = at + _tzcnt_u32(stop);
			bits &= _blsmsk_u32(stop) >> 1; /* those before the first end */
		}
		for (; bits && n < room; bits = _blsr_u32(bits))
			places[n++] = at + _tzcnt_u32(bits);
	}
	*count = n;
	return line;
}

AVX2 bool
scan_part_avx2(const uint8_t *ptr, size_t len, uint8_t delimiter, size_t n, size_t *from, size_t *to)
{
	struct pair c = pair(delimiter, delimiter);
	size_t left = n - 1, at = 0; /* delimiters before the part */
	bool begun = left == 0;

	if (begun)
		*from = 0;
	while (at < len) {
		uint32_t bits = hits(ptr, len, at, c);
		size_t here = (size_t)_mm_popcnt_u32(bits), block_at = at;

		at = len - at > BLOCK ? at + BLOCK : len;
		if (here == 0)
			at = skip_wide(ptr, len, at, c);
		if (here < left) {
			left -= here;
			continue;
		}
		if (left) {
			while (--left)
				bits = _blsr_u32(bits);
			*from = block_at + _tzcnt_u32(bits) + 1;
			bits = _blsr_u32(bits);
			begun = true;
		}
		if (bits) {
			*to = block_at + _tzcnt_u32(bits);
			return true;
		}
	}
	*to = len;
	return begun;
}

AVX2 size_t
scan_count_avx2(const uint8_t *ptr, size_t len, uint8_t byte)
{
	struct pair c = pair(byte, byte);
	size_t n = 0;

	for (size_t at = 0; at < len; at += BLOCK)
		n += (size_t)_mm_popcnt_u32(hits(ptr, len, at, c));
	return n;
}

AVX2 size_t
scan_ascii_avx2(const uint8_t *ptr, size_t len)
{
	size_t at = 0;
	uint64_t word;

	for (; len - at >= WIDE; at += WIDE) {
		__m256i any = _mm256_or_si256(_mm256_or_si256(load(ptr + at), load(ptr + at + BLOCK)),
		    _mm256_or_si256(load(ptr + at + 2 * BLOCK), load(ptr + at + 3 * BLOCK)));

		if (_mm256_movemask_epi8(any))
			break;
	}
	for (; len - at >= BLOCK; at += BLOCK) {
		uint32_t bits = (uint32_t)_mm256_movemask_epi8(load(ptr + at));

		if (bits)
			return at + _tzcnt_u32(bits);
	}
	for (; len - at >= sizeof(word); at += sizeof(word)) {
		memcpy(&word, ptr + at, sizeof(word));
		word &= 0x8080808080808080u;
		if (word)
			return at + _tzcnt_u64(word) / 8;
	}
	while (at < len && ptr[at] < 0x80)
		at++;
	return at;
}

#else
typedef int scan_avx2_is_empty; /* a translation unit may not be */
#endif
