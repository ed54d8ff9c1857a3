/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file of a proof: every byte of it counts. A golden one stands in tests/vectors/proof beside its authority; the product must find it good, and any
 * change of one bit, any cut and any addition not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/cli/proof.h"

#define VECTORS SOURCE_ROOT "/tests/vectors/proof/"

static uint8_t *file;
static size_t file_len;
static struct seal_trust *trust;

static bool
good(const uint8_t *bytes, size_t len)
{
	char problem[PROOF_PROBLEM] = "";
	struct proof proof;
	struct arena arena;
	bool answer;

	arena_init(&arena, (size_t)16 << 20);
	answer = proof_verify(span_make(bytes, len), trust, &arena, &proof, problem);
	assert_true(answer || problem[0]);
	arena_fini(&arena);
	return answer;
}

static void
test_golden(void **state)
{
	(void)state;
	assert_true(good(file, file_len));
}

static void
test_every_byte(void **state)
{
	(void)state;
	for (size_t i = 0; i < file_len; i++) {
		uint8_t was = file[i];

		file[i] = (uint8_t)(was ^ 1u << i % 8);
		if (good(file, file_len))
			fail_msg("byte %zu may be changed", i);
		file[i] = was;
	}
	assert_true(good(file, file_len));
}

static void
test_cut_and_longer(void **state)
{
	uint8_t *longer = malloc(file_len + 1);

	(void)state;
	for (size_t len = 0; len < file_len; len += 7)
		assert_false(good(file, len));
	assert_false(good(file, file_len - 1));
	memcpy(longer, file, file_len);
	for (unsigned c = 0; c < 256; c++) {
		longer[file_len] = (uint8_t)c;
		assert_false(good(longer, file_len + 1));
	}
	free(longer);
}

static int
setup(void **state)
{
	FILE *stream = fopen(VECTORS "golden.json", "rb");
	struct buffer errors;
	int r;

	(void)state;
	file = malloc(1 << 20);
	if (!stream || !file)
		return -1;
	file_len = fread(file, 1, 1 << 20, stream);
	fclose(stream);
	buffer_init(&errors, 4096);
	r = seal_trust_load(&trust, VECTORS "ca.pem", &errors);
	buffer_fini(&errors);
	return r;
}

static int
teardown(void **state)
{
	(void)state;
	seal_trust_free(trust);
	free(file);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_every_byte),
		cmocka_unit_test(test_cut_and_longer),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
