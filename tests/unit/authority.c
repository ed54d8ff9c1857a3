/* SPDX-License-Identifier: Apache-2.0 */
/* A test authority over libcrypto. */
#include "authority.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#define MUST(what)                                                                                           \
	do {                                                                                                 \
		if (!(what)) {                                                                               \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what);                           \
			ERR_print_errors_fp(stderr);                                                         \
			abort();                                                                             \
		}                                                                                            \
	} while (0)

static void
name_add(X509_NAME *name, const char *field, const char *value)
{
	if (value)
		MUST(X509_NAME_add_entry_by_txt(
			 name, field, MBSTRING_UTF8, (const unsigned char *)value, -1, -1, 0) == 1);
}

static void
extension_add(X509 *x509, const struct certificate *issuer, int nid, const char *value)
{
	X509_EXTENSION *extension;
	X509V3_CTX context;

	if (!value)
		return;
	X509V3_set_ctx(&context, issuer ? issuer->x509 : x509, x509, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	MUST(extension && X509_add_ext(x509, extension, -1) == 1);
	X509_EXTENSION_free(extension);
}

void
certificate_make(struct certificate *certificate, const struct certificate_options *options,
    const struct certificate *issuer)
{
	static long serial = 4096;
	const EVP_MD *digest = EVP_get_digestbyname(options->digest ? options->digest : "SHA256");
	int dated = options->from_s || options->to_s;
	X509 *x509 = X509_new();
	EVP_PKEY *key;

	key = options->rsa_bits ? EVP_RSA_gen(options->rsa_bits) : EVP_EC_gen("P-256");
	MUST(x509 && key && digest);
	MUST(X509_set_version(x509, 2) == 1);
	MUST(ASN1_INTEGER_set(X509_get_serialNumber(x509), ++serial) == 1);
	MUST(X509_gmtime_adj(X509_getm_notBefore(x509), dated ? options->from_s : -3600));
	MUST(X509_gmtime_adj(X509_getm_notAfter(x509), dated ? options->to_s : 3600));
	name_add(X509_get_subject_name(x509), "O", options->organisation);
	name_add(X509_get_subject_name(x509), "CN", options->name);
	MUST(X509_set_issuer_name(x509, X509_get_subject_name(issuer ? issuer->x509 : x509)) == 1);
	MUST(X509_set_pubkey(x509, key) == 1);
	extension_add(
	    x509, issuer, NID_basic_constraints, options->authority ? "critical,CA:TRUE" : "CA:FALSE");
	extension_add(x509, issuer, NID_key_usage,
	    options->authority ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature");
	extension_add(x509, issuer, NID_subject_key_identifier, "hash");
	extension_add(x509, issuer, NID_ext_key_usage, options->usage);
	extension_add(x509, issuer, NID_subject_alt_name, options->san);
	extension_add(x509, issuer, NID_crl_distribution_points, options->points);
	MUST(X509_sign(x509, issuer ? issuer->key : key, digest) > 0);
	certificate->x509 = x509;
	certificate->key = key;
}

static void
crl_extension(X509_CRL *crl, int nid, const char *value)
{
	X509_EXTENSION *extension;
	X509V3_CTX context;

	X509V3_set_ctx(&context, NULL, NULL, NULL, crl, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	MUST(extension && X509_CRL_add_ext(crl, extension, -1) == 1);
	X509_EXTENSION_free(extension);
}

static void
crl_revoke(X509_CRL *crl, const struct certificate *certificate)
{
	X509_REVOKED *revoked = X509_REVOKED_new();
	ASN1_TIME *when = X509_gmtime_adj(NULL, -60);

	MUST(revoked && when && X509_REVOKED_set_revocationDate(revoked, when) == 1);
	MUST(X509_REVOKED_set_serialNumber(revoked, X509_get_serialNumber(certificate->x509)) == 1);
	MUST(X509_CRL_add0_revoked(crl, revoked) == 1);
	ASN1_TIME_free(when);
}

X509_CRL *
crl_make(const struct certificate *issuer, const struct crl_options *options)
{
	const EVP_MD *digest = EVP_get_digestbyname(options->digest ? options->digest : "SHA256");
	int dated = options->from_s || options->to_s;
	ASN1_TIME *from = X509_gmtime_adj(NULL, dated ? options->from_s : -3600);
	ASN1_TIME *to = X509_gmtime_adj(NULL, dated ? options->to_s : 3600);
	X509_CRL *crl = X509_CRL_new();

	MUST(crl && from && to && digest);
	MUST(X509_CRL_set_version(crl, 1) == 1);
	MUST(X509_CRL_set_issuer_name(crl, X509_get_subject_name(issuer->x509)) == 1);
	MUST(X509_CRL_set1_lastUpdate(crl, from) == 1 && X509_CRL_set1_nextUpdate(crl, to) == 1);
	if (options->revoked)
		crl_revoke(crl, options->revoked);
	if (options->scope)
		crl_extension(crl, NID_issuing_distribution_point, options->scope);
	if (options->delta)
		crl_extension(crl, NID_delta_crl, "critical,DER:020101");
	MUST(X509_CRL_sort(crl) == 1);
	MUST(X509_CRL_sign(crl, (EVP_PKEY *)(options->key ? options->key : issuer->key), digest) > 0);
	ASN1_TIME_free(from);
	ASN1_TIME_free(to);
	return crl;
}

void
crl_write(const char *file, X509_CRL *first, ...)
{
	FILE *stream = fopen(file, "w");
	va_list more;

	MUST(stream);
	va_start(more, first);
	for (X509_CRL *crl = first; crl; crl = va_arg(more, X509_CRL *)) {
		MUST(PEM_write_X509_CRL(stream, crl) == 1);
		X509_CRL_free(crl);
	}
	va_end(more);
	MUST(fclose(stream) == 0);
}

void
certificate_fini(struct certificate *certificate)
{
	X509_free(certificate->x509);
	EVP_PKEY_free(certificate->key);
}

void
certificate_write(const struct certificate *certificate, const char *file)
{
	FILE *stream = fopen(file, "w");

	MUST(stream);
	MUST(PEM_write_X509(stream, certificate->x509) == 1);
	MUST(fclose(stream) == 0);
}

void
certificate_write_key(const struct certificate *certificate, const char *file, unsigned mode)
{
	FILE *stream = fopen(file, "w");

	MUST(stream);
	MUST(PEM_write_PrivateKey(stream, certificate->key, NULL, NULL, 0, NULL, NULL) == 1);
	MUST(fclose(stream) == 0);
	MUST(chmod(file, mode) == 0);
}
