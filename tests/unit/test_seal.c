/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The seal: which keys may be one, whom a verifier believes, and that every record of a journal comes to be signed and can be proven.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/store/record.h"
#include "broker/store/seal_key.h"
#include "broker/store/statement.h"
#include "broker/store/tree.h"
#include "tests/unit/authority.h"
#include "tests/unit/journal_rig.h"

#define PATIENCE 10000 /* ms */

static struct certificate root, foreign;
static char directory[] = "/tmp/test_seal_XXXXXX", paths[4][64];

enum {
	ROOT,
	FOREIGN,
	SEAL,
	KEY,
};

static const struct certificate_options seal_options = { .organisation = "CHU", .name = "seal" };

/* Make a seal by ${options} and write it where the tests find it. */
static void
seal_make(const struct certificate_options *options, const struct certificate *issuer)
{
	struct certificate seal;

	certificate_make(&seal, options, issuer);
	certificate_write(&seal, paths[SEAL]);
	certificate_write_key(&seal, paths[KEY], 0600);
	certificate_fini(&seal);
}

static struct seal_key *
seal_load(void)
{
	struct seal_key *key = NULL;
	struct buffer errors;

	buffer_init(&errors, 4096);
	assert_int_equal(seal_key_load(&key, paths[SEAL], paths[KEY], &errors), 0);
	assert_int_equal(errors.len, 0);
	buffer_fini(&errors);
	return key;
}

static void
refused(const char *why)
{
	struct seal_key *key = NULL;
	struct buffer errors;

	buffer_init(&errors, 4096);
	assert_int_equal(seal_key_load(&key, paths[SEAL], paths[KEY], &errors), SEAL_KEY_INVALID);
	buffer_append_byte(&errors, 0);
	if (!strstr((const char *)errors.data, why))
		fail_msg("%s instead of %s", (const char *)errors.data, why);
	buffer_fini(&errors);
}

static void
test_keys(void **state)
{
	struct certificate_options options = seal_options;
	struct certificate other;

	(void)state;
	seal_make(&options, &root);
	seal_key_free(seal_load());
	options.usage = "1.3.6.1.5.5.7.3.36";
	seal_make(&options, &root);
	seal_key_free(seal_load());
	options.usage = "clientAuth";
	seal_make(&options, &root);
	refused("one for TLS connections");
	options = seal_options;
	options.rsa_bits = 2048;
	seal_make(&options, &root);
	seal_key_free(seal_load());
	options.rsa_bits = 1024;
	seal_make(&options, &root);
	refused("neither EC nor RSA of at least 2048");
	options = seal_options;
	options.from_s = -7200;
	options.to_s = -3600;
	seal_make(&options, &root);
	seal_key_free(seal_load()); /* a broker starts with it, but does not sign */
	options.from_s = 3600;
	options.to_s = 7200;
	seal_make(&options, &root);
	refused("has not come yet");
	options = seal_options;
	options.authority = 1;
	seal_make(&options, &root);
	refused("is an authority's");
	seal_make(&seal_options, &root);
	certificate_make(&other, &seal_options, &root);
	certificate_write_key(&other, paths[KEY], 0600);
	certificate_fini(&other);
	refused("not that of the key");
	unlink(paths[KEY]);
	refused("No such file");
}

/* A statement, signed; ${facts} is to be freed. */
static void
sign(const struct seal_key *key, uint64_t time_us, struct buffer *facts)
{
	struct statement statement = {
		.time_us = time_us, .segment = 7, .from = 4096, .to = 8192, .count = 3
	};

	buffer_init(facts, STATEMENT_FACTS_MAX);
	assert_int_equal(seal_key_sign(key, &statement, facts), 0);
}

static uint64_t
now_us(void)
{
	return (uint64_t)time(NULL) * 1000000;
}

static void
test_every_byte_is_signed(void **state)
{
	struct statement_facts decoded;
	struct seal_key *key;
	struct buffer facts;

	(void)state;
	seal_make(&seal_options, &root);
	key = seal_load();
	sign(key, now_us(), &facts);
	assert_true(statement_facts_decode(buffer_span(&facts), &decoded));
	assert_true(seal_signed(&decoded));
	assert_int_equal(decoded.statement.segment, 7);
	for (size_t i = 0; i < facts.len; i++)
		for (unsigned bit = 0; bit < 8; bit += 3) {
			facts.data[i] ^= (uint8_t)(1u << bit);
			assert_false(
			    statement_facts_decode(buffer_span(&facts), &decoded) && seal_signed(&decoded));
			facts.data[i] ^= (uint8_t)(1u << bit);
		}
	for (size_t len = 0; len < facts.len; len++)
		assert_false(
		    statement_facts_decode(span_make(facts.data, len), &decoded) && seal_signed(&decoded));
	buffer_fini(&facts);
	seal_key_free(key);
}

/* What a verifier who trusts ${authority} says of a seal made by ${options} under ${issuer}, of a signature made ${later} seconds from now. */
static const char *
trusts(
    int authority, const struct certificate_options *options, const struct certificate *issuer, int64_t later)
{
	struct statement_facts decoded;
	struct seal_trust *trust = NULL;
	struct seal_key *key;
	struct buffer facts, errors;
	const char *why;

	seal_make(options, issuer);
	key = seal_load();
	sign(key, now_us() + (uint64_t)later * 1000000, &facts);
	assert_true(statement_facts_decode(buffer_span(&facts), &decoded));
	buffer_init(&errors, 4096);
	assert_int_equal(seal_trust_load(&trust, paths[authority], &errors), 0);
	why = seal_trust_check(trust, &decoded);
	seal_trust_free(trust);
	buffer_fini(&errors);
	buffer_fini(&facts);
	seal_key_free(key);
	return why;
}

static void
test_trust(void **state)
{
	(void)state;
	assert_null(trusts(ROOT, &seal_options, &root, 0));
	assert_non_null(trusts(FOREIGN, &seal_options, &root, 0));
	assert_non_null(trusts(ROOT, &seal_options, &foreign, 0));
	assert_non_null(trusts(ROOT, &seal_options, &root, 7200)); /* signed when its time had passed */
	assert_non_null(trusts(ROOT, &seal_options, &root, -7200));
}

/*
 * Over a journal
 */
static void
many_put(struct rig *rig, uint64_t from, uint64_t to)
{
	for (uint64_t n = from; n <= to; n++)
		assert_int_equal(rig_put(rig, n, SIZE_MAX, RECORD_ACCEPTED, true, NULL), 0);
}

static void
proven(struct rig *rig, uint64_t seq)
{
	struct statement_facts decoded;
	struct journal_proof proof;
	uint8_t chain[32], climbed[32];
	struct sha256 sha;
	struct arena arena;
	int r;

	arena_init(&arena, (size_t)64 << 20);
	r = journal_prove(rig->journal, seq, &arena, &proof);
	if (r)
		fail_msg("record %llu is not proven: %d", (unsigned long long)seq, r);
	assert_int_equal(proof.record.head.seq, seq);
	assert_true(statement_facts_decode(proof.signature, &decoded));
	assert_true(seal_signed(&decoded));
	assert_int_equal(sha256_init(&sha), 0);
	sha256_reset(&sha);
	sha256_update(&sha, span_make(proof.chain_before, 32));
	sha256_update(&sha, span_make(proof.covered, sizeof proof.covered));
	assert_int_equal(sha256_final(&sha, chain), 0);
	assert_true(tree_climb(&sha, chain, proof.index, decoded.statement.count,
	    (const uint8_t(*)[32])proof.path, proof.path_count, climbed));
	assert_memory_equal(climbed, decoded.statement.root, 32);
	sha256_fini(&sha);
	arena_fini(&arena);
}

static void
test_journal(void **state)
{
	struct journal_status status;
	struct journal_proof proof;
	struct buffer report;
	struct arena arena;
	struct rig rig;
	uint64_t last;

	(void)state;
	seal_make(&seal_options, &root);
	rig_init(&rig);
	rig.options.segment_size = 64 << 10;
	assert_int_equal(rig_open(&rig, NULL, NULL), 0);
	many_put(&rig, 1, 150); /* before there is a key */
	arena_init(&arena, (size_t)64 << 20);
	assert_int_equal(journal_prove(rig.journal, 3, &arena, &proof), JOURNAL_UNSIGNED);
	assert_int_equal(journal_prove(rig.journal, 100000, &arena, &proof), JOURNAL_ABSENT);
	arena_fini(&arena);
	journal_seal(rig.journal, seal_load());
	proven(&rig, 3);
	many_put(&rig, 151, 300);
	last = journal_committed(rig.journal);
	for (uint64_t seq = 1; seq <= last; seq++)
		proven(&rig, seq); /* signatures, too */
	journal_status(rig.journal, &status);
	assert_true(status.signs && status.signed_us > 0 && !status.sign_failed);
	rig_close(&rig);
	assert_int_equal(rig_open(&rig, NULL, NULL), 0);
	for (uint64_t seq = 1; seq <= last; seq += 7) /* what was signed is found again */
		proven(&rig, seq);
	buffer_init(&report, 1 << 20);
	assert_int_equal(journal_verify(rig.journal, &report), 0);
	buffer_fini(&report);
	rig_close(&rig);
	rig_fini(&rig);
}

/* Proofs are asked for while others write: the tree is taken in the middle of batches. */
static void
test_under_load(void **state)
{
	struct rig_record *records;
	struct rig rig;

	(void)state;
	seal_make(&seal_options, &root);
	rig_init(&rig);
	assert_int_equal(rig_open(&rig, NULL, NULL), 0);
	journal_seal(rig.journal, seal_load());
	many_put(&rig, 1, 3);
	records = calloc(2000, sizeof *records);
	for (size_t i = 0; i < 2000; i++) {
		rig_record_init(&records[i], i + 4, 100);
		assert_int_equal(rig_append(&rig, &records[i], RECORD_ACCEPTED, true), 0);
		if (i % 50 == 0)
			proven(&rig, 1 + i / 50 % 3);
		if (i % 100 == 99)
			assert_int_equal(rig_wait(&rig, &records[i - 60]), 0);
		if (i % 100 == 99)
			proven(&rig, records[i - 60].head.seq);
	}
	for (size_t i = 0; i < 2000; i++) {
		assert_int_equal(rig_wait(&rig, &records[i]), 0);
		if (i % 37 == 0)
			proven(&rig, records[i].head.seq);
		rig_record_fini(&records[i]);
	}
	free(records);
	rig_close(&rig);
	rig_fini(&rig);
}

static int
setup(void **state)
{
	static const struct certificate_options options = { .organisation = "CHU",
		.name = "root",
		.authority = 1 },
						others = { .name = "another", .authority = 1 };
	static const char *const names[] = { "root.pem", "foreign.pem", "seal.pem", "seal.key" };

	(void)state;
	if (!mkdtemp(directory))
		return -1;
	for (size_t i = 0; i < 4; i++)
		snprintf(paths[i], sizeof paths[i], "%s/%s", directory, names[i]);
	certificate_make(&root, &options, NULL);
	certificate_make(&foreign, &others, NULL);
	certificate_write(&root, paths[ROOT]);
	certificate_write(&foreign, paths[FOREIGN]);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	for (size_t i = 0; i < 4; i++)
		unlink(paths[i]);
	rmdir(directory);
	certificate_fini(&root);
	certificate_fini(&foreign);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_every_byte_is_signed),
		cmocka_unit_test(test_trust),
		cmocka_unit_test(test_journal),
		cmocka_unit_test(test_under_load),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
