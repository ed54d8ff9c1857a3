/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates find their peer: by whole subject and issuer, by one SAN, by key; never by the CN alone, never two at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/x509v3.h>

#include "authority.h"
#include "broker/net/peers.h"

static struct certificate root, other_root;

static int
setup(void **state)
{
	(void)state;
	certificate_make(&root, &(struct certificate_options){ .name = "Test root", .authority = 1 }, NULL);
	certificate_make(
	    &other_root, &(struct certificate_options){ .name = "Other root", .authority = 1 }, NULL);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	certificate_fini(&root);
	certificate_fini(&other_root);
	return 0;
}

/* What the one peer with ${identity} is told of a certificate made as ${options} say. */
static int
match(const struct config_identity *identity, const struct certificate_options *options,
    const struct certificate *issuer)
{
	struct config_peer config_peer = { .name = "chu-test", .identities = identity, .identity_count = 1 };
	struct config config = { .peers = &config_peer, .peer_count = 1 };
	struct certificate certificate;
	struct peer *peer = NULL;
	struct peers *peers;
	int rc;

	assert_int_equal(peers_new(&peers, &config), 0);
	certificate_make(&certificate, options, issuer);
	rc = peers_match(peers, certificate.x509, &peer);
	if (rc == 0)
		assert_ptr_equal(peer, peers_at(peers, 0));
	certificate_fini(&certificate);
	peers_free(peers);
	return rc;
}

static void
test_subject(void **state)
{
	const struct config_identity identity = { IDENTITY_SUBJECT, "CN=Test root",
		"CN=chu.example,O=CHU\\, Test", { 0 } };
	const struct certificate_options good = { .organisation = "CHU, Test", .name = "chu.example" };

	(void)state;
	assert_int_equal(match(&identity, &good, &root), 0);
	assert_int_equal(match(&identity, &good, &other_root), PEERS_NONE);
	assert_int_equal(
	    match(&identity, &(struct certificate_options){ .name = "chu.example" }, &root), PEERS_NONE);
	assert_int_equal(
	    match(&identity,
		&(struct certificate_options){ .organisation = "CHU, Test", .name = "chu.example2" }, &root),
	    PEERS_NONE);
	assert_int_equal(
	    match(&identity,
		&(struct certificate_options){ .organisation = "CHU, Tes", .name = "chu.example" }, &root),
	    PEERS_NONE);
}

static void
test_long_subject_is_not_cut(void **state)
{
	char organisation[129], wanted[512];
	struct config_identity identity = { IDENTITY_SUBJECT, "CN=Test root", wanted, { 0 } };

	(void)state;
	/* 64 characters that each take six in RFC 2253 (\C3\A9): past any field of tls_identity. */
	for (size_t i = 0; i < 128; i += 2)
		memcpy(organisation + i, "\xc3\xa9", 2);
	organisation[128] = '\0';
	strcpy(wanted, "CN=a,O=");
	for (size_t i = 0; i < 64; i++)
		strcat(wanted, "\\C3\\A9");
	assert_int_equal(
	    match(
		&identity, &(struct certificate_options){ .organisation = organisation, .name = "a" }, &root),
	    0);
	wanted[strlen(wanted) - 1] = '8';
	assert_int_equal(
	    match(
		&identity, &(struct certificate_options){ .organisation = organisation, .name = "a" }, &root),
	    PEERS_NONE);
}

static void
test_san(void **state)
{
	const struct certificate_options options = { .name = "x",
		.san = "DNS:Send.CHU.example,email:it@chu.example,URI:urn:oid:1.2.3" };
	const struct {
		const char *san;
		int rc;
	} cases[] = {
		{ "dns:send.chu.example", 0 },
		{ "email:it@chu.example", 0 },
		{ "uri:urn:oid:1.2.3", 0 },
		{ "dns:it@chu.example", PEERS_NONE },
		{ "dns:chu.example", PEERS_NONE },
		{ "email:IT@chu.example", PEERS_NONE },
		{ "dns:", PEERS_NONE },
		{ "send.chu.example", PEERS_NONE },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct config_identity identity = { IDENTITY_SAN, "CN=Test root", cases[i].san, { 0 } };

		assert_int_equal(match(&identity, &options, &root), cases[i].rc);
		assert_int_equal(match(&identity, &options, &other_root), PEERS_NONE);
		assert_int_equal(
		    match(&identity, &(struct certificate_options){ .name = "x" }, &root), PEERS_NONE);
	}
}

static void
test_spki_and_several(void **state)
{
	struct config_identity identities[2] = { { .kind = IDENTITY_SPKI },
		{ IDENTITY_SUBJECT, "CN=Test root", "CN=x", { 0 } } };
	struct config_peer config_peers[2] = {
		{ .name = "by-key", .identities = &identities[0], .identity_count = 1 },
		{ .name = "by-name", .identities = &identities[1], .identity_count = 1 },
	};
	struct config config = { .peers = config_peers, .peer_count = 2 };
	struct certificate one, two;
	struct tls_identity identity;
	struct peer *peer = NULL;
	struct peers *peers;

	(void)state;
	certificate_make(&one, &(struct certificate_options){ .name = "x" }, &root);
	certificate_make(&two, &(struct certificate_options){ .name = "x" }, &root);
	tls_identity_read(&identity, one.x509);
	memcpy(identities[0].spki, identity.spki, sizeof(identity.spki));
	assert_int_equal(peers_new(&peers, &config), 0);
	assert_int_equal(peers_count(peers), 2);
	assert_int_equal(peers_match(peers, two.x509, &peer), 0);
	assert_ptr_equal(peer, peers_at(peers, 1));
	assert_int_equal(peers_match(peers, one.x509, &peer), PEERS_SEVERAL);
	config_peers[1].identity_count = 0;
	assert_int_equal(peers_match(peers, one.x509, &peer), 0);
	assert_ptr_equal(peer, peers_at(peers, 0));

	peer_seen(peer, one.x509);
	assert_string_equal(peer->last.subject, "CN=x");
	assert_true(peer->last_seen_us > 0);
	assert_int_equal(metric_value(peer->certificate_days), 0);
	peers_free(peers);
	certificate_fini(&one);
	certificate_fini(&two);
}

/* By name a peer is the same across configurations; while it is in none its certificate is nobody's and it may do nothing. */
static void
test_reconfigure(void **state)
{
	const struct config_identity x = { IDENTITY_SUBJECT, "CN=Test root", "CN=x", { 0 } },
				     y = { IDENTITY_SUBJECT, "CN=Test root", "CN=y", { 0 } };
	const struct config_peer both[] = { { .name = "y", .identities = &y, .identity_count = 1 },
		{ .name = "x", .identities = &x, .identity_count = 1, .may_send = true } };
	const struct config_peer later[] = { { .name = "z" },
		{ .name = "y", .identities = &y, .identity_count = 1, .max_size = 7 } };
	const struct config one = { .peers = both, .peer_count = 2 },
			    two = { .peers = later, .peer_count = 2 };
	struct peer *peer_x, *peer_y, *peer = NULL;
	struct certificate certificate;
	struct peers *peers;

	(void)state;
	certificate_make(&certificate, &(struct certificate_options){ .name = "x" }, &root);
	assert_int_equal(peers_new(&peers, &one), 0);
	peer_x = peers_find(peers, "x");
	peer_y = peers_find(peers, "y");
	assert_ptr_equal(peers_at(peers, 0), peer_y);
	assert_true(peer_x->config->may_send);
	assert_null(peers_find(peers, "z"));
	for (int i = 0; i < 3; i++) {
		assert_int_equal(peers_prepare(peers, &two), 0);
		assert_int_equal(peers_match(peers, certificate.x509, &peer), 0);
		assert_ptr_equal(peer, peer_x);
		peers_reconfigure(peers, &two);
		assert_int_equal(peers_count(peers), 2);
		assert_int_equal(peers_match(peers, certificate.x509, &peer), PEERS_NONE);
		assert_null(peers_find(peers, "x"));
		assert_false(peer_configured(peer_x));
		assert_string_equal(peer_x->config->name, "x");
		assert_false(peer_x->config->may_send);
		assert_ptr_equal(peers_at(peers, 1), peer_y);
		assert_int_equal(peer_y->config->max_size, 7);
		assert_true(peer_configured(peers_find(peers, "z")));
		assert_int_equal(peers_prepare(peers, &two), 0); /* and then another is switched to */
		assert_int_equal(peers_prepare(peers, &one), 0);
		peers_reconfigure(peers, &one);
		assert_ptr_equal(peers_find(peers, "x"), peer_x);
		assert_true(peer_x->config->may_send);
		assert_int_equal(peer_y->config->max_size, 0);
		assert_null(peers_find(peers, "z"));
	}
	peers_free(peers);
	certificate_fini(&certificate);
}

static void
test_junk(void **state)
{
	const uint64_t hour = (uint64_t)3600 * 1000000;
	struct config_peer config = { .junk_quota = 100 };
	struct peer peer = { .config = &config };

	(void)state;
	assert_false(peer_charge_junk(&peer, 60, 5 * hour));
	assert_false(peer_charge_junk(&peer, 40, 5 * hour + 1));
	assert_true(peer_charge_junk(&peer, 1, 5 * hour + 2));
	assert_false(peer_charge_junk(&peer, 100, 6 * hour));
	assert_true(peer_charge_junk(&peer, UINT64_MAX, 6 * hour));
	assert_true(peer_charge_junk(&peer, 1, 6 * hour));
}

static void
test_days(void **state)
{
	struct tls_identity identity = { .not_after = 10 * 86400 };

	(void)state;
	assert_int_equal(tls_identity_days(&identity, 0), 10);
	assert_int_equal(tls_identity_days(&identity, 1), 9);
	assert_int_equal(tls_identity_days(&identity, 10 * 86400), 0);
	assert_int_equal(tls_identity_days(&identity, 10 * 86400 + 1), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_subject),
		cmocka_unit_test(test_long_subject_is_not_cut),
		cmocka_unit_test(test_san),
		cmocka_unit_test(test_spki_and_several),
		cmocka_unit_test(test_reconfigure),
		cmocka_unit_test(test_junk),
		cmocka_unit_test(test_days),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
