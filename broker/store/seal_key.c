/* SPDX-License-Identifier: Apache-2.0 */
/* See seal_key.h. */
#include "broker/store/seal_key.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "broker/base/config.h"

#define RSA_BITS_MIN 2048
#define RUN_MAX	     (STATEMENT_CERTIFICATES * (4 + STATEMENT_CERTIFICATE_MAX))

struct seal_key {
	EVP_PKEY *pkey;
	uint32_t algorithm;
	struct buffer certificates; /* the run */
	uint8_t certificates_sha256[DIGEST_SHA256_LEN];
	struct seal_names names;
};

struct seal_trust {
	X509_STORE *store;
};

/* A key with a password has nobody here to ask for it. */
static int
no_password(char *into, int size, int writing, void *arg)
{
	(void)into;
	(void)size;
	(void)writing;
	(void)arg;
	return -1;
}

static void
name_text(const X509_NAME *name, char *to, size_t size)
{
	BIO *bio = BIO_new(BIO_s_mem());
	int n = 0;

	if (bio &&
	    X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB) >= 0)
		n = BIO_read(bio, to, (int)size - 1);
	to[n > 0 ? n : 0] = '\0';
	BIO_free(bio);
}

static int64_t
asn1_seconds(const ASN1_TIME *time)
{
	struct tm tm = { 0 };

	return ASN1_TIME_to_tm(time, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static void
names_read(X509 *x, struct seal_names *names)
{
	BIGNUM *serial = ASN1_INTEGER_to_BN(X509_get0_serialNumber(x), NULL);
	char *hex = serial ? BN_bn2hex(serial) : NULL;

	name_text(X509_get_subject_name(x), names->subject, sizeof names->subject);
	name_text(X509_get_issuer_name(x), names->issuer, sizeof names->issuer);
	snprintf(names->serial, sizeof names->serial, "%s", hex ? hex : "");
	names->not_before = asn1_seconds(X509_get0_notBefore(x));
	names->not_after = asn1_seconds(X509_get0_notAfter(x));
	OPENSSL_free(hex);
	BN_free(serial);
}

static X509 *
x509_of(struct span der)
{
	const unsigned char *at = der.ptr;
	X509 *x = d2i_X509(NULL, &at, (long)der.len);

	if (x && at != der.ptr + der.len) { /* bytes behind it that nothing would cover */
		X509_free(x);
		x = NULL;
	}
	ERR_clear_error();
	return x;
}

bool
seal_names(struct span der, struct seal_names *names)
{
	X509 *x = x509_of(der);

	if (!x)
		return false;
	names_read(x, names);
	X509_free(x);
	return true;
}

/* Why ${x} cannot be a seal, whatever its time; NULL: it can. */
static const char *
not_a_seal(X509 *x)
{
	uint32_t flags = X509_get_extension_flags(x);

	if (flags & EXFLAG_CA)
		return "the certificate is an authority's";
	if (flags & EXFLAG_KUSAGE && !(X509_get_key_usage(x) & (KU_DIGITAL_SIGNATURE | KU_NON_REPUDIATION)))
		return "the certificate is not for signatures";
	if (flags & EXFLAG_XKUSAGE && X509_get_extended_key_usage(x) & (XKU_SSL_CLIENT | XKU_SSL_SERVER))
		return "the certificate is one for TLS connections, not a seal's";
	return NULL;
}

/* Also for a key that is only in a certificate. 0: none we know. */
static uint32_t
algorithm_of(const EVP_PKEY *pkey)
{
	if (EVP_PKEY_get_base_id(pkey) == EVP_PKEY_EC)
		return STATEMENT_ECDSA_SHA256;
	if (EVP_PKEY_get_base_id(pkey) == EVP_PKEY_RSA && EVP_PKEY_get_bits(pkey) >= RSA_BITS_MIN)
		return STATEMENT_RSA_SHA256;
	return 0;
}

static int
invalid(struct buffer *errors, const char *path, const char *why)
{
	buffer_printf(errors, "%s: %s\n", path, why);
	ERR_clear_error();
	return SEAL_KEY_INVALID;
}

static int
file_open(const char *path, struct buffer *errors, FILE **filep)
{
	*filep = fopen(path, "re");
	if (*filep)
		return 0;
	buffer_printf(errors, "%s: %s\n", path, strerror(errno));
	return SEAL_KEY_INVALID;
}

static const char *
first_check(struct seal_key *key, X509 *x)
{
	const char *why = not_a_seal(x);

	if (why)
		return why;
	if (X509_check_private_key(x, key->pkey) != 1)
		return "the certificate is not that of the key";
	if (X509_cmp_current_time(X509_get0_notBefore(x)) > 0)
		return "the certificate's time has not come yet";
	names_read(x, &key->names);
	return NULL;
}

/* The next certificate of the file, as ${key} keeps it. */
static const char *
certificate_take(struct seal_key *key, X509 *x, size_t number)
{
	unsigned char *der = NULL;
	int len = i2d_X509(x, &der);
	const char *why = NULL;

	if (len <= 0 || (size_t)len > STATEMENT_CERTIFICATE_MAX)
		why = "a certificate of it is larger than can be kept";
	else if (number == STATEMENT_CERTIFICATES)
		why = "it holds more certificates than can be kept";
	else if (number == 0)
		why = first_check(key, x);
	if (!why)
		statement_certificate_add(&key->certificates, span_make(der, (size_t)len));
	OPENSSL_free(der);
	return why;
}

static int
certificates_read(struct seal_key *key, const char *path, struct buffer *errors)
{
	const char *why = NULL;
	size_t count = 0;
	FILE *file;
	X509 *x;
	int r;

	r = file_open(path, errors, &file);
	if (r)
		return r;
	while (!why && (x = PEM_read_X509(file, NULL, no_password, NULL)) != NULL) {
		why = certificate_take(key, x, count++);
		X509_free(x);
	}
	fclose(file);
	ERR_clear_error();
	if (!why && count == 0)
		why = "there is no certificate in it";
	if (why)
		return invalid(errors, path, why);
	if (buffer_failed(&key->certificates))
		return -ENOMEM;
	return digest_sha256(buffer_span(&key->certificates), key->certificates_sha256);
}

static int
key_read(struct seal_key *key, const char *path, struct buffer *errors)
{
	FILE *file;
	int r;

	r = file_open(path, errors, &file);
	if (r)
		return r;
	key->pkey = PEM_read_PrivateKey(file, NULL, no_password, NULL);
	fclose(file);
	if (!key->pkey)
		return invalid(errors, path, "there is no private key in it, or one with a password");
	key->algorithm = algorithm_of(key->pkey);
	return key->algorithm ? 0
			      : invalid(errors, path, "the key is neither EC nor RSA of at least 2048 bits");
}

int
seal_key_load(
    struct seal_key **keyp, const char *certificate_path, const char *key_path, struct buffer *errors)
{
	struct seal_key *key = calloc(1, sizeof *key);
	int r;

	if (!key)
		return -ENOMEM;
	buffer_init(&key->certificates, RUN_MAX);
	r = key_read(key, key_path, errors);
	if (r == 0)
		r = certificates_read(key, certificate_path, errors);
	if (r) {
		seal_key_free(key);
		return r;
	}
	*keyp = key;
	return 0;
}

int
seal_key_configured(struct seal_key **keyp, const struct config_journal *config, struct buffer *errors)
{
	*keyp = NULL;
	return config->seal_key ? seal_key_load(keyp, config->seal_certificate, config->seal_key, errors) : 0;
}

void
seal_key_free(struct seal_key *key)
{
	if (!key)
		return;
	EVP_PKEY_free(key->pkey);
	buffer_fini(&key->certificates);
	free(key);
}

const struct seal_names *
seal_key_names(const struct seal_key *key)
{
	return &key->names;
}

int
seal_key_sign(const struct seal_key *key, struct statement *statement, struct buffer *facts)
{
	uint8_t encoded[STATEMENT_SIZE], signature[STATEMENT_SIGNATURE_MAX];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t len = sizeof signature;
	bool done;

	statement->algorithm = key->algorithm;
	memcpy(statement->certificates_sha256, key->certificates_sha256, DIGEST_SHA256_LEN);
	statement_encode(statement, encoded);
	done = ctx && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key->pkey) == 1 &&
	       EVP_DigestSign(ctx, signature, &len, encoded, sizeof encoded) == 1;
	EVP_MD_CTX_free(ctx);
	ERR_clear_error();
	if (!done)
		return -EIO;
	statement_facts_encode(facts, encoded, span_make(signature, len), buffer_span(&key->certificates));
	return buffer_failed(facts) ? -ENOMEM : 0;
}

bool
seal_signed(const struct statement_facts *facts)
{
	X509 *x = x509_of(facts->certificate[0]);
	EVP_PKEY *pkey = x ? X509_get0_pubkey(x) : NULL;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool good;

	good = ctx && pkey && algorithm_of(pkey) == facts->statement.algorithm &&
	       EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, pkey) == 1 &&
	       EVP_DigestVerify(ctx, facts->signature.ptr, facts->signature.len, facts->encoded.ptr,
		   facts->encoded.len) == 1;
	EVP_MD_CTX_free(ctx);
	X509_free(x);
	ERR_clear_error();
	return good;
}

int
seal_trust_load(struct seal_trust **trustp, const char *path, struct buffer *errors)
{
	struct seal_trust *trust = calloc(1, sizeof *trust);
	size_t count = 0;
	FILE *file;
	X509 *x;
	int r;

	if (!trust)
		return -ENOMEM;
	r = file_open(path, errors, &file);
	if (r) {
		free(trust);
		return r;
	}
	trust->store = X509_STORE_new();
	while (trust->store && (x = PEM_read_X509(file, NULL, no_password, NULL)) != NULL) {
		count += X509_STORE_add_cert(trust->store, x) == 1;
		X509_free(x);
	}
	fclose(file);
	ERR_clear_error();
	if (!trust->store || count == 0) {
		r = trust->store ? invalid(errors, path, "there is no certificate in it") : -ENOMEM;
		seal_trust_free(trust);
		return r;
	}
	*trustp = trust;
	return 0;
}

void
seal_trust_free(struct seal_trust *trust)
{
	if (!trust)
		return;
	X509_STORE_free(trust->store);
	free(trust);
}

static const char *
chain_check(
    const struct seal_trust *trust, const struct statement_facts *facts, X509 *first, STACK_OF(X509) * others)
{
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	X509_VERIFY_PARAM *param;
	const char *why = "there is no memory";

	if (!ctx || X509_STORE_CTX_init(ctx, trust->store, first, others) != 1)
		goto out;
	param = X509_STORE_CTX_get0_param(ctx);
	X509_VERIFY_PARAM_set_time(param, (time_t)(facts->statement.time_us / 1000000));
	if (X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN) != 1)
		goto out;
	why = X509_verify_cert(ctx) == 1 ? not_a_seal(first)
					 : X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx));
out:
	X509_STORE_CTX_free(ctx);
	return why;
}

const char *
seal_trust_check(const struct seal_trust *trust, const struct statement_facts *facts)
{
	X509 *all[STATEMENT_CERTIFICATES] = { 0 };
	STACK_OF(X509) *others = sk_X509_new_null();
	const char *why = others ? NULL : "there is no memory";

	for (size_t i = 0; !why && i < facts->certificate_count; i++) {
		all[i] = x509_of(facts->certificate[i]);
		if (!all[i])
			why = "a certificate of the seal is damaged";
		else if (i > 0 && sk_X509_push(others, all[i]) <= 0)
			why = "there is no memory";
	}
	if (!why)
		why = chain_check(trust, facts, all[0], others);
	sk_X509_free(others);
	for (size_t i = 0; i < STATEMENT_CERTIFICATES; i++)
		X509_free(all[i]);
	ERR_clear_error();
	return why;
}
