/* SPDX-License-Identifier: Apache-2.0 */
/* Digests against published values, twins against each other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "codecs/cpu.h"
#include "codecs/digest.h"

/* FIPS 180-4 examples, and the empty message. */
static void
test_sha256_published(void **state)
{
	static const struct {
		const char *text, *hex;
	} vectors[] = {
		{ "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
		{ "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
		{ "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
		    "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
	};
	uint8_t out[DIGEST_SHA256_LEN];
	char hex[DIGEST_HEX_SIZE(DIGEST_SHA256_LEN)];
	struct sha256 s;

	(void)state;
	assert_int_equal(sha256_init(&s), 0);
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		struct span text = span_str(vectors[i].text);

		assert_int_equal(sha256_of(&s, text, out), 0);
		assert_string_equal(digest_hex(span_make(out, sizeof(out)), hex), vectors[i].hex);
		assert_int_equal(digest_sha256(text, out), 0);
		assert_string_equal(digest_hex(span_make(out, sizeof(out)), hex), vectors[i].hex);
		for (size_t cut = 0; cut <= text.len; cut++) {
			sha256_reset(&s);
			sha256_update(&s, span_cut(text, 0, cut));
			sha256_update(&s, span_cut(text, cut, text.len));
			assert_int_equal(sha256_final(&s, out), 0);
			assert_string_equal(digest_hex(span_make(out, sizeof(out)), hex), vectors[i].hex);
		}
	}
	sha256_fini(&s);
}

/* A context that was not begun again says so and gives no digest that could pass for one. */
static void
test_sha256_misuse(void **state)
{
	static const uint8_t zero[DIGEST_SHA256_LEN];
	uint8_t out[DIGEST_SHA256_LEN];
	struct sha256 s;

	(void)state;
	assert_int_equal(sha256_init(&s), 0);
	assert_int_equal(sha256_of(&s, span_str("abc"), out), 0);
	sha256_update(&s, span_str("more"));
	assert_true(sha256_final(&s, out) < 0);
	assert_memory_equal(out, zero, sizeof(out));
	assert_int_equal(sha256_of(&s, span_str("abc"), out), 0);
	sha256_fini(&s);
	assert_true(sha256_of(&s, span_str("abc"), out) < 0);
}

/* RFC 3720 B.4, and the check value of the CRC catalogue. */
static void
test_crc32c_published(void **state)
{
	uint8_t bytes[32];
	struct span s = span_make(bytes, sizeof(bytes));

	(void)state;
	assert_int_equal(digest_crc32c(0, span_str("123456789")), 0xe3069283);
	assert_int_equal(digest_crc32c_portable(0, span_str("123456789")), 0xe3069283);
	memset(bytes, 0, sizeof(bytes));
	assert_int_equal(digest_crc32c(0, s), 0x8a9136aa);
	memset(bytes, 0xff, sizeof(bytes));
	assert_int_equal(digest_crc32c(0, s), 0x62a8ab43);
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	assert_int_equal(digest_crc32c(0, s), 0x46dd794e);
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(31 - i);
	assert_int_equal(digest_crc32c(0, s), 0x113fdb5c);
}

/* Every length, start and cut: both twins agree, and a sum continues. */
static void
test_crc32c_twins(void **state)
{
	uint8_t bytes[100];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 131 + 17);
	for (size_t from = 0; from < 9; from++)
		for (size_t to = from; to <= sizeof(bytes); to++) {
			struct span s = span_make(bytes + from, to - from);
			uint32_t whole = digest_crc32c(0xdeadbeef, s);

			assert_int_equal(digest_crc32c_portable(0xdeadbeef, s), whole);
			for (size_t cut = 0; cut <= s.len; cut += 7)
				assert_int_equal(
				    digest_crc32c(digest_crc32c_portable(0xdeadbeef, span_cut(s, 0, cut)),
					span_cut(s, cut, s.len)),
				    whole);
		}
	assert_int_not_equal(digest_crc32c(1, span_str("a")), digest_crc32c(0, span_str("a")));
}

/* A machine without the instruction writes what another reads. */
static void
test_crc32c_without_instruction(void **state)
{
	unsigned before = cpu_allow(0);

	test_crc32c_published(state);
	(void)cpu_allow(before);
}

/* The lengths around each way of splitting a long span in three, and all up to a KiB. */
static void
test_crc32c_lengths(void **state)
{
	static uint8_t bytes[7000];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * i + i * 73 + i / 251);
	for (size_t len = 0; len <= sizeof(bytes);
	     len += len < 1100 || len % 64 >= 55 || len % 64 <= 9 ? 1 : 23) {
		struct span s = span_make(bytes + sizeof(bytes) - len, len);

		assert_int_equal(digest_crc32c((uint32_t)len * 77777u, s),
		    digest_crc32c_portable((uint32_t)len * 77777u, s));
	}
}

static void
test_xxh128(void **state)
{
	uint8_t secret[DIGEST_XXH128_SECRET], a[DIGEST_XXH128_LEN], b[DIGEST_XXH128_LEN];
	struct span ab_c[] = { span_str("ab"), span_str("c") };
	struct span a_bc[] = { span_str("a"), span_str("bc") };

	(void)state;
	for (size_t i = 0; i < sizeof(secret); i++)
		secret[i] = (uint8_t)(i * i * 7 + 3 * i + 1);
	digest_xxh128(secret, ab_c, 2, a);
	digest_xxh128(secret, ab_c, 2, b);
	assert_memory_equal(a, b, sizeof(a));
	digest_xxh128(secret, a_bc, 2, b);
	assert_memory_not_equal(a, b, sizeof(a));
	digest_xxh128(secret, ab_c, 1, b);
	assert_memory_not_equal(a, b, sizeof(a));
	for (size_t i = 0; i < sizeof(secret); i++)
		secret[i] ^= 1;
	digest_xxh128(secret, ab_c, 2, b);
	assert_memory_not_equal(a, b, sizeof(a));
}

static void
test_hex(void **state)
{
	uint8_t bytes[3];
	char text[DIGEST_HEX_SIZE(3)];

	(void)state;
	assert_true(digest_unhex(span_str("00aFf1"), bytes, 3));
	assert_string_equal(digest_hex(span_make(bytes, 3), text), "00aff1");
	assert_false(digest_unhex(span_str("00aff"), bytes, 3));
	assert_false(digest_unhex(span_str("00aff12"), bytes, 3));
	assert_false(digest_unhex(span_str("00af g"), bytes, 3));
	assert_false(digest_unhex(span_str("0x00af"), bytes, 3));
	assert_true(digest_unhex(SPAN_EMPTY, bytes, 0));
	assert_string_equal(digest_hex(SPAN_EMPTY, text), "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sha256_published),
		cmocka_unit_test(test_sha256_misuse),
		cmocka_unit_test(test_crc32c_published),
		cmocka_unit_test(test_crc32c_twins),
		cmocka_unit_test(test_crc32c_lengths),
		cmocka_unit_test(test_crc32c_without_instruction),
		cmocka_unit_test(test_xxh128),
		cmocka_unit_test(test_hex),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
