/* SPDX-License-Identifier: Apache-2.0 */
/* What a certificate says, cut to what a log line carries. Matching it with a peer is done on the whole: peers.c. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "broker/net/tls_state.h"

void
tls_name_read(char *to, size_t size, const X509_NAME *name)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *text;
	long len;

	to[0] = '\0';
	if (!bio)
		return;
	if (X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) >= 0) {
		len = BIO_get_mem_data(bio, &text);
		if (len < 0)
			len = 0;
		if ((size_t)len >= size)
			len = (long)size - 1;
		memcpy(to, text, (size_t)len);
		to[len] = '\0';
	}
	BIO_free(bio);
}

static void
serial_read(char *to, size_t size, const X509 *certificate)
{
	BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), NULL);
	char *hex = number ? BN_bn2hex(number) : NULL;

	to[0] = '\0';
	if (hex) {
		strncpy(to, hex, size - 1);
		to[size - 1] = '\0';
	}
	OPENSSL_free(hex);
	BN_free(number);
}

int64_t
tls_time_read(const ASN1_TIME *when)
{
	struct tm tm;

	return when && ASN1_TIME_to_tm(when, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

void
tls_identity_read(struct tls_identity *identity, X509 *certificate)
{
	uint8_t *der = NULL;
	int len;

	memset(identity, 0, sizeof(*identity));
	tls_name_read(identity->subject, sizeof(identity->subject), X509_get_subject_name(certificate));
	tls_name_read(identity->issuer, sizeof(identity->issuer), X509_get_issuer_name(certificate));
	serial_read(identity->serial, sizeof(identity->serial), certificate);
	identity->not_before = tls_time_read(X509_get0_notBefore(certificate));
	identity->not_after = tls_time_read(X509_get0_notAfter(certificate));
	len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
	if (len > 0)
		EVP_Digest(der, (size_t)len, identity->spki, NULL, EVP_sha256(), NULL);
	OPENSSL_free(der);
	(void)X509_digest(certificate, EVP_sha256(), identity->sha256, NULL);
	ERR_clear_error();
}

int64_t
tls_identity_days(const struct tls_identity *identity, int64_t now_s)
{
	int64_t left = identity->not_after - now_s;

	return left >= 0 ? left / 86400 : -((-left + 86399) / 86400);
}
