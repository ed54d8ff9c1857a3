/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Digests: libcrypto's SHA-256 behind a context that is fetched once, our CRC32C in two twins, libxxhash's
 * XXH3.
 */
#include "codecs/digest.h"

#include <errno.h>

#include <openssl/evp.h>
#include <xxhash.h>

#include "codecs/cpu.h"
#include "codecs/crc32c_sse42.h"
#include "codecs/hex.h"

_Static_assert(DIGEST_XXH128_SECRET >= XXH3_SECRET_SIZE_MIN, "XXH3 wants a longer secret");

int
sha256_init(struct sha256 *s)
{
	*s = (struct sha256){ .ctx = EVP_MD_CTX_new(), .md = EVP_MD_fetch(NULL, "SHA256", NULL) };
	s->failed = !s->ctx || !s->md;
	return s->failed ? -ENOMEM : 0;
}

void
sha256_fini(struct sha256 *s)
{
	EVP_MD_CTX_free(s->ctx);
	EVP_MD_free(s->md);
	*s = (struct sha256){ .failed = true };
}

void
sha256_reset(struct sha256 *s)
{
	s->failed = !s->ctx || !s->md || EVP_DigestInit_ex2(s->ctx, s->md, NULL) != 1;
}

void
sha256_update(struct sha256 *s, struct span bytes)
{
	if (!s->failed && bytes.len > 0)
		s->failed = EVP_DigestUpdate(s->ctx, bytes.ptr, bytes.len) != 1;
}

int
sha256_final(struct sha256 *s, uint8_t out[DIGEST_SHA256_LEN])
{
	bool done = !s->failed && EVP_DigestFinal_ex(s->ctx, out, NULL) == 1;

	s->failed = true; /* until the next reset */
	if (!done)
		memset(out, 0, DIGEST_SHA256_LEN);
	return done ? 0 : -EIO;
}

int
sha256_of(struct sha256 *s, struct span bytes, uint8_t out[DIGEST_SHA256_LEN])
{
	sha256_reset(s);
	sha256_update(s, bytes);
	return sha256_final(s, out);
}

int
digest_sha256(struct span bytes, uint8_t out[DIGEST_SHA256_LEN])
{
	struct sha256 s;
	int r;

	r = sha256_init(&s);
	if (r == 0)
		r = sha256_of(&s, bytes, out);
	else
		memset(out, 0, DIGEST_SHA256_LEN);
	sha256_fini(&s);
	return r;
}

/*
 * CRC32C by table, eight bytes a step: entry [k][i] is what byte i becomes after k more zero bytes. A CRC
 * is linear, so an entry is the exclusive or of the entries of its single bits, and those are the 64
 * constants below (polynomial 0x82f63b78, bits reversed); the compiler lays the tables out.
 */
#define CRC_BIT(i, b, v) ((i)&1u << (b) ? (v) : 0u)
#define CRC_ENTRY(i, a, b, c, d, e, f, g, h)                                                                 \
	(CRC_BIT(i, 0, a) ^ CRC_BIT(i, 1, b) ^ CRC_BIT(i, 2, c) ^ CRC_BIT(i, 3, d) ^ CRC_BIT(i, 4, e) ^      \
	    CRC_BIT(i, 5, f) ^ CRC_BIT(i, 6, g) ^ CRC_BIT(i, 7, h))
#define CRC_4(i, ...)                                                                                        \
	CRC_ENTRY(i, __VA_ARGS__), CRC_ENTRY((i) + 1u, __VA_ARGS__), CRC_ENTRY((i) + 2u, __VA_ARGS__),       \
	    CRC_ENTRY((i) + 3u, __VA_ARGS__)
#define CRC_16(i, ...)                                                                                       \
	CRC_4(i, __VA_ARGS__), CRC_4((i) + 4u, __VA_ARGS__), CRC_4((i) + 8u, __VA_ARGS__),                   \
	    CRC_4((i) + 12u, __VA_ARGS__)
#define CRC_64(i, ...)                                                                                       \
	CRC_16(i, __VA_ARGS__), CRC_16((i) + 16u, __VA_ARGS__), CRC_16((i) + 32u, __VA_ARGS__),              \
	    CRC_16((i) + 48u, __VA_ARGS__)
#define CRC_256(...)                                                                                         \
	{                                                                                                    \
		CRC_64(0u, __VA_ARGS__), CRC_64(64u, __VA_ARGS__), CRC_64(128u, __VA_ARGS__),                \
		    CRC_64(192u, __VA_ARGS__)                                                                \
	}

static const uint32_t crc_tables[8][256] = {
	CRC_256(
	    0xf26b8303, 0xe13b70f7, 0xc79a971f, 0x8ad958cf, 0x105ec76f, 0x20bd8ede, 0x417b1dbc, 0x82f63b78),
	CRC_256(
	    0x13a29877, 0x274530ee, 0x4e8a61dc, 0x9d14c3b8, 0x3fc5f181, 0x7f8be302, 0xff17c604, 0xfbc3faf9),
	CRC_256(
	    0xa541927e, 0x4f6f520d, 0x9edea41a, 0x38513ec5, 0x70a27d8a, 0xe144fb14, 0xc76580d9, 0x8b277743),
	CRC_256(
	    0xdd45aab8, 0xbf672381, 0x7b2231f3, 0xf64463e6, 0xe964b13d, 0xd725148b, 0xaba65fe7, 0x52a0c93f),
	CRC_256(
	    0x38116fac, 0x7022df58, 0xe045beb0, 0xc5670b91, 0x8f2261d3, 0x1ba8b557, 0x37516aae, 0x6ea2d55c),
	CRC_256(
	    0xef306b19, 0xdb8ca0c3, 0xb2f53777, 0x6006181f, 0xc00c303e, 0x85f4168d, 0x0e045beb, 0x1c08b7d6),
	CRC_256(
	    0x68032cc8, 0xd0065990, 0xa5e0c5d1, 0x4e2dfd53, 0x9c5bfaa6, 0x3d5b83bd, 0x7ab7077a, 0xf56e0ef4),
	CRC_256(
	    0x493c7d27, 0x9278fa4e, 0x211d826d, 0x423b04da, 0x847609b4, 0x0d006599, 0x1a00cb32, 0x34019664),
};

uint32_t
digest_crc32c_portable(uint32_t crc, struct span bytes)
{
	const uint8_t *p = bytes.ptr;
	size_t len = bytes.len;

	crc = ~crc;
	for (; len >= 8; p += 8, len -= 8) {
		uint32_t low = crc ^ ((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
					 (uint32_t)p[3] << 24);

		crc = crc_tables[7][low & 0xff] ^ crc_tables[6][low >> 8 & 0xff] ^
		      crc_tables[5][low >> 16 & 0xff] ^ crc_tables[4][low >> 24] ^ crc_tables[3][p[4]] ^
		      crc_tables[2][p[5]] ^ crc_tables[1][p[6]] ^ crc_tables[0][p[7]];
	}
	for (; len > 0; p++, len--)
		crc = crc >> 8 ^ crc_tables[0][(crc ^ *p) & 0xff];
	return ~crc;
}

uint32_t
digest_crc32c(uint32_t crc, struct span bytes)
{
#if CPU_X86
	if (cpu_has(CPU_CRC32C))
		return crc32c_sse42(crc, bytes);
#endif
	return digest_crc32c_portable(crc, bytes);
}

static void
put_xxh128(const uint8_t *secret, struct span bytes, uint8_t *out)
{
	XXH128_canonical_t canonical;

	XXH128_canonicalFromHash(
	    &canonical, XXH3_128bits_withSecret(bytes.ptr, bytes.len, secret, DIGEST_XXH128_SECRET));
	memcpy(out, canonical.digest, DIGEST_XXH128_LEN);
}

/*
 * A chain: (sum so far, length, hash of the span) is hashed into the next sum. One-shot hashes of a few
 * bytes cost less than a streaming state, whose layout the library keeps to itself anyway.
 */
void
digest_xxh128(const uint8_t secret[DIGEST_XXH128_SECRET], const struct span *spans, size_t count,
    uint8_t out[DIGEST_XXH128_LEN])
{
	uint8_t link[DIGEST_XXH128_LEN + 8 + DIGEST_XXH128_LEN] = { 0 };

	for (size_t i = 0; i < count; i++) {
		for (size_t k = 0; k < 8; k++)
			link[DIGEST_XXH128_LEN + k] = (uint8_t)((uint64_t)spans[i].len >> 8 * k);
		put_xxh128(secret, spans[i], link + DIGEST_XXH128_LEN + 8);
		put_xxh128(secret, span_make(link, sizeof(link)), link);
	}
	memcpy(out, link, DIGEST_XXH128_LEN);
}

char *
digest_hex(struct span bytes, char *out)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < bytes.len; i++) {
		out[2 * i] = digits[bytes.ptr[i] >> 4];
		out[2 * i + 1] = digits[bytes.ptr[i] & 15];
	}
	out[2 * bytes.len] = '\0';
	return out;
}

bool
digest_unhex(struct span text, uint8_t *out, size_t len)
{
	if (len > SIZE_MAX / 2 || text.len != 2 * len)
		return false;
	for (size_t i = 0; i < len; i++) {
		int high = hex_value(text.ptr[2 * i]), low = hex_value(text.ptr[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		out[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}
