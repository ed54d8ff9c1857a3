/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CRC32C by the processor's instruction, which begins one step a cycle but needs three for each: three stretches that lie one behind the
 * other are summed at once. A sum is then moved over the stretches behind it by a multiplication without carry: over n bytes by
 * x^(8n-33) modulo the polynomial, bits reversed (33: the product's own shift, and the step of 32 that reduces it).
 */
#include "codecs/crc32c_sse42.h"

#include "codecs/cpu.h"

#if CPU_X86

#include <immintrin.h>

#define SSE42 __attribute__((target("sse4.2,pclmul")))

/* Stretches of three sizes: of a message most bytes go by the middle one, of a document by the largest. */
struct stretch {
	size_t size;
	uint32_t over_one; /* moves a sum over one stretch */
	uint32_t over_two;
};

static const struct stretch stretches[] = {
	{ 1024, 0x170076fa, 0xa51b6135 },
	{ 256, 0xb9e02b86, 0xdd7e3b0c },
	{ 64, 0x9e4addf8, 0x0d3b6092 },
};

SSE42 static inline uint64_t
word(const uint8_t *p)
{
	uint64_t w;

	memcpy(&w, p, sizeof(w));
	return w;
}

SSE42 static inline uint64_t
moved(uint64_t sum, uint32_t by)
{
	__m128i product =
	    _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)sum), _mm_cvtsi64_si128((long long)by), 0);

	return _mm_crc32_u64(0, (unsigned long long)_mm_cvtsi128_si64(product));
}

SSE42 uint32_t
crc32c_sse42(uint32_t crc, struct span bytes)
{
	const uint8_t *p = bytes.ptr;
	size_t len = bytes.len;
	uint64_t sum = (uint32_t)~crc;

	for (size_t i = 0; i < sizeof(stretches) / sizeof(stretches[0]); i++) {
		const struct stretch *s = &stretches[i];

		for (; len >= 3 * s->size; p += 3 * s->size, len -= 3 * s->size) {
			uint64_t second = 0, third = 0;

			for (size_t at = 0; at < s->size; at += sizeof(uint64_t)) {
				sum = _mm_crc32_u64(sum, word(p + at));
				second = _mm_crc32_u64(second, word(p + s->size + at));
				third = _mm_crc32_u64(third, word(p + 2 * s->size + at));
			}
			sum = moved(sum, s->over_two) ^ moved(second, s->over_one) ^ third;
		}
	}
	for (; len >= sizeof(uint64_t); p += sizeof(uint64_t), len -= sizeof(uint64_t))
		sum = _mm_crc32_u64(sum, word(p));
	crc = (uint32_t)sum;
	for (; len > 0; p++, len--)
		crc = _mm_crc32_u8(crc, *p);
	return ~crc;
}

#else
typedef int crc32c_sse42_is_empty; /* a translation unit may not be */
#endif
