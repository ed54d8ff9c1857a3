/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Digests of bytes: SHA-256 for the audit chain and for readers, CRC32C for what the disk may damage, a
 * keyed 128-bit XXH3 for finding duplicates, and their hexadecimal spelling.
 *
 * The XXH3 is a fingerprint, not proof: without its secret it cannot be steered, with it collisions can be
 * made. What it finds is confirmed on the bytes. CRC32C finds accidents only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codecs/span.h"

#define DIGEST_SHA256_LEN    32
#define DIGEST_XXH128_LEN    16
#define DIGEST_XXH128_SECRET 192 /* bytes of secret: what XXH3 itself uses; at least 136 are wanted */
#define DIGEST_HEX_SIZE(len) (2 * (len) + 1)

/*
 * A SHA-256 that is set up once and used for many messages: setting up costs a third of hashing 1 KB. One
 * thread at a time. sha256_init gives 0, or -ENOMEM when libcrypto has no memory or no SHA-256; ${s} may
 * then still be given to sha256_fini.
 */
struct sha256 {
	void *ctx; /* EVP_MD_CTX, owned */
	void *md;  /* EVP_MD, owned: fetched once, because fetching takes a lock */
	bool failed;
};

int sha256_init(struct sha256 *s) __attribute__((warn_unused_result));
void sha256_fini(struct sha256 *s);

/* Begin a message; whatever was being hashed is forgotten. Each message begins so. */
void sha256_reset(struct sha256 *s);
void sha256_update(struct sha256 *s, struct span bytes);

/*
 * The digest of what came since sha256_reset. 0, or -EIO when libcrypto failed at any step since then
 * (failure is sticky until the next reset); ${out} is then all zero. A reset must follow before the next
 * message.
 */
int sha256_final(struct sha256 *s, uint8_t out[DIGEST_SHA256_LEN]) __attribute__((warn_unused_result));

/* reset, update, final with the context ${s}. */
int sha256_of(struct sha256 *s, struct span bytes, uint8_t out[DIGEST_SHA256_LEN])
    __attribute__((warn_unused_result));

/* The same without a context at hand: 0 or -ENOMEM / -EIO. */
int digest_sha256(struct span bytes, uint8_t out[DIGEST_SHA256_LEN]) __attribute__((warn_unused_result));

/*
 * CRC32C (Castagnoli, RFC 3720 B.4) of ${bytes}, continuing ${crc}: 0 begins,
 * digest_crc32c(digest_crc32c(0, a), b) is that of a followed by b, and any other start value seeds it.
 * Uses the CPU's instruction where there is one.
 */
uint32_t digest_crc32c(uint32_t crc, struct span bytes);

/* The portable twin, always by table: what the test compares with. */
uint32_t digest_crc32c_portable(uint32_t crc, struct span bytes);

/*
 * A 128-bit XXH3 of the ${count} spans, each with its length (so that "ab","c" and "a","bc" differ), keyed by
 * ${secret}: DIGEST_XXH128_SECRET random bytes that stay with the store. ${out} is the same on every machine.
 */
void digest_xxh128(const uint8_t secret[DIGEST_XXH128_SECRET], const struct span *spans, size_t count,
    uint8_t out[DIGEST_XXH128_LEN]);

/*
 * ${bytes} in lower-case hexadecimal and a NUL into ${out}, which has DIGEST_HEX_SIZE(bytes.len) places.
 * Returns ${out}.
 */
char *digest_hex(struct span bytes, char *out);

/*
 * Read exactly 2 * ${len} hexadecimal digits of either case into ${out}. False (and ${out} undefined) for
 * anything else.
 */
bool digest_unhex(struct span text, uint8_t *out, size_t len) __attribute__((warn_unused_result));
