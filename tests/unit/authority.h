/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates for tests, made in memory: good ones, and each kind of bad one. Any failure aborts the test program. */
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

struct certificate {
	X509 *x509;
	EVP_PKEY *key;
};

struct certificate_options {
	const char *organisation; /* NULL: none */
	const char *name;	  /* CN */
	const char *san;	  /* as of x509v3.cnf: "DNS:a.example,email:b@c"; NULL: none */
	const char *usage;	  /* extendedKeyUsage; NULL: none */
	long from_s, to_s;	  /* seconds from now; both 0: an hour ago to an hour ahead */
	unsigned rsa_bits;	  /* 0: P-256 */
	const char *digest;	  /* NULL: SHA256 */
	const char *points;	  /* crlDistributionPoints; NULL: none */
	int authority;
};

/* Made by ${issuer}, or self-signed when NULL. */
void certificate_make(struct certificate *certificate, const struct certificate_options *options,
    const struct certificate *issuer);
void certificate_fini(struct certificate *certificate);

/* A revocation list of ${issuer}. */
struct crl_options {
	long from_s, to_s; /* this and next update, seconds from now; both 0: an hour ago to an hour ahead */
	const struct certificate *revoked; /* NULL: an empty list */
	const char *digest;		   /* NULL: SHA256 */
	const EVP_PKEY *key;		   /* who signs; NULL: ${issuer} */
	const char *scope;		   /* issuingDistributionPoint as of x509v3.cnf; NULL: none */
	int delta;			   /* 1: a delta list */
};
X509_CRL *crl_make(const struct certificate *issuer, const struct crl_options *options);

/* PEM files; ${mode} of the key's. NULL ends the lists, which are freed. */
void crl_write(const char *file, X509_CRL *first, ...) __attribute__((sentinel));
void certificate_write(const struct certificate *certificate, const char *file);
void certificate_write_key(const struct certificate *certificate, const char *file, unsigned mode);
