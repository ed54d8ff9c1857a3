/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which peer a certificate is.
 *
 * A scan over all identities of all peers: a handshake costs a millisecond, 400 comparisons do not. Names are compared as whole texts, never cut,
 * so that a long subject cannot pass for another.
 */
#include <errno.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "broker/base/clock.h"
#include "broker/net/peers_state.h"

/* A certificate as it is compared. */
struct claim {
	BIO *issuer, *subject;
	GENERAL_NAMES *names;
	uint8_t spki[32];
};

static BIO *
name_text(const X509_NAME *name)
{
	BIO *bio = BIO_new(BIO_s_mem());

	if (bio && X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) < 0) {
		BIO_free(bio);
		bio = NULL;
	}
	return bio;
}

static bool
text_is(BIO *bio, const char *wanted)
{
	char *text;
	long len = BIO_get_mem_data(bio, &text);

	return wanted && len >= 0 && strlen(wanted) == (size_t)len && memcmp(text, wanted, (size_t)len) == 0;
}

/* ${wanted} without its prefix against one name; DNS names compare without regard to case. */
static bool
san_is(const GENERAL_NAME *name, int type, const char *wanted)
{
	const ASN1_IA5STRING *text;
	const uint8_t *data;
	size_t len = strlen(wanted);

	if (name->type != type)
		return false;
	text = name->d.ia5; /* dNSName, rfc822Name and URI are all IA5Strings */
	data = ASN1_STRING_get0_data(text);
	if ((size_t)ASN1_STRING_length(text) != len)
		return false;
	for (size_t i = 0; i < len; i++) {
		int a = data[i], b = (uint8_t)wanted[i];

		if (type == GEN_DNS) {
			a = a >= 'A' && a <= 'Z' ? a + 32 : a;
			b = b >= 'A' && b <= 'Z' ? b + 32 : b;
		}
		if (a != b)
			return false;
	}
	return true;
}

static bool
san_match(const GENERAL_NAMES *names, const char *wanted)
{
	static const struct {
		const char *prefix;
		int type;
	} kinds[] = { { "dns:", GEN_DNS }, { "email:", GEN_EMAIL }, { "uri:", GEN_URI } };

	for (size_t k = 0; wanted && names && k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		size_t skip = strlen(kinds[k].prefix);

		if (strncmp(wanted, kinds[k].prefix, skip) != 0)
			continue;
		for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
			if (san_is(sk_GENERAL_NAME_value(names, i), kinds[k].type, wanted + skip))
				return true;
		}
	}
	return false;
}

static bool
identity_match(const struct config_identity *identity, const struct claim *claim)
{
	switch (identity->kind) {
	case IDENTITY_SUBJECT:
		return text_is(claim->issuer, identity->issuer) && text_is(claim->subject, identity->subject);
	case IDENTITY_SAN:
		return text_is(claim->issuer, identity->issuer) && san_match(claim->names, identity->subject);
	case IDENTITY_SPKI:
		return memcmp(claim->spki, identity->spki, sizeof(claim->spki)) == 0;
	}
	return false;
}

static bool
peer_match(const struct config_peer *peer, const struct claim *claim)
{
	for (size_t i = 0; i < peer->identity_count; i++) {
		if (identity_match(&peer->identities[i], claim))
			return true;
	}
	return false;
}

static int
claim_init(struct claim *claim, X509 *certificate)
{
	uint8_t *der = NULL;
	int len, done = 0;

	claim->issuer = name_text(X509_get_issuer_name(certificate));
	claim->subject = name_text(X509_get_subject_name(certificate));
	claim->names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL); /* NULL: none */
	len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
	if (len > 0)
		done = EVP_Digest(der, (size_t)len, claim->spki, NULL, EVP_sha256(), NULL);
	OPENSSL_free(der);
	ERR_clear_error();
	return claim->issuer && claim->subject && done == 1 ? 0 : -ENOMEM;
}

static void
claim_fini(struct claim *claim)
{
	BIO_free(claim->issuer);
	BIO_free(claim->subject);
	GENERAL_NAMES_free(claim->names);
}

int
peers_match(struct peers *peers, X509 *certificate, struct peer **peerp)
{
	struct peer *found = NULL;
	struct claim claim;
	int rc;

	rc = claim_init(&claim, certificate);
	for (size_t i = 0; rc == 0 && i < peers->count; i++) {
		if (!peer_match(peers->at[i]->config, &claim))
			continue;
		if (found)
			rc = PEERS_SEVERAL;
		found = peers->at[i];
	}
	claim_fini(&claim);
	if (rc)
		return rc;
	if (!found)
		return PEERS_NONE;
	*peerp = found;
	return 0;
}

void
peer_seen(struct peer *peer, X509 *certificate)
{
	peer->last_seen_us = clock_wall_us();
	peer->shown = certificate != NULL;
	if (!certificate)
		return;
	tls_identity_read(&peer->last, certificate);
	if (!peer->certificate_days)
		peer->certificate_days = metric_series(METRIC_CERTIFICATE_DAYS, peer->config->name);
	metric_set(
	    peer->certificate_days, tls_identity_days(&peer->last, (int64_t)(peer->last_seen_us / 1000000)));
}
