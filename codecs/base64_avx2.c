/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Base64 in blocks of 32 characters, after Wojciech Muła and Daniel Lemire, "Faster Base64 Encoding and Decoding using AVX2
 * Instructions" (ACM TWEB 12(3), 2018): a character is of the alphabet when what its two halves look up has no bit in common, and a
 * third look-up by its high half gives what to add to make it six bits.
 */
#include "codecs/base64_avx2.h"

#include "codecs/cpu.h"

#if CPU_X86

#include <immintrin.h>
#include <stdbool.h>

#define AVX2	 __attribute__((target("avx2,bmi,bmi2,popcnt")))
#define GROUPS	 8u  /* of a block */
#define CHARS	 32u /* of a block */
#define BYTES	 24u /* that it gives */
#define LANE	 12u /* half of them */
#define AT_LEAST 10u /* groups left that make room for what is written */

/* The same 16 entries for both lanes. */
#define TABLE(...) _mm256_setr_epi8(__VA_ARGS__, __VA_ARGS__)

/* Replace each character of ${c} by its six bits; false when one has none. */
AVX2 static inline bool
six_bits(__m256i *c)
{
	const __m256i by_low = TABLE(
	    0x15, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x13, 0x1a, 0x1b, 0x1b, 0x1b, 0x1a);
	const __m256i by_high = TABLE(
	    0x10, 0x10, 0x01, 0x02, 0x04, 0x08, 0x04, 0x08, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10);
	const __m256i steps = TABLE(0, 16, 19, 4, -65, -65, -71, -71, 0, 0, 0, 0, 0, 0, 0, 0);
	const __m256i slash = _mm256_set1_epi8('/'); /* 0x2f: also the mask, for a look-up takes four bits */
	__m256i high = _mm256_and_si256(_mm256_srli_epi32(*c, 4), slash), low = _mm256_and_si256(*c, slash);

	if (!_mm256_testz_si256(_mm256_shuffle_epi8(by_low, low), _mm256_shuffle_epi8(by_high, high)))
		return false;
	/* '/' shares its high half with '+' and has an entry of its own, one below. */
	*c = _mm256_add_epi8(
	    *c, _mm256_shuffle_epi8(steps, _mm256_add_epi8(_mm256_cmpeq_epi8(*c, slash), high)));
	return true;
}

/* 4 times 6 bits to 24, highest first, 12 bytes at the front of each lane. */
AVX2 static inline __m256i
pack(__m256i six)
{
	const __m256i order = TABLE(2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1);
	__m256i twelve = _mm256_maddubs_epi16(six, _mm256_set1_epi32(0x01400140));

	return _mm256_shuffle_epi8(_mm256_madd_epi16(twelve, _mm256_set1_epi32(0x00011000)), order);
}

AVX2 size_t
base64_groups_avx2(const uint8_t *text, size_t groups, uint8_t *to)
{
	size_t done = 0;

	for (; groups - done >= AT_LEAST; done += GROUPS, text += CHARS, to += BYTES) {
		__m256i c = _mm256_loadu_si256((const __m256i *)(const void *)text);

		if (!six_bits(&c))
			break;
		c = pack(c);
		_mm_storeu_si128((__m128i *)(void *)to, _mm256_castsi256_si128(c));
		_mm_storeu_si128((__m128i *)(void *)(to + LANE), _mm256_extracti128_si256(c, 1));
	}
	return done;
}

#else
typedef int base64_avx2_is_empty; /* a translation unit may not be */
#endif
