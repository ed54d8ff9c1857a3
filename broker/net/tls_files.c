/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of a context: certificate, key, authorities, revocation lists; and what is wrong with them, by file and reason.
 *
 * A start wants them usable; that they are also good today is tls_check's question.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "broker/base/clock.h"
#include "broker/net/tls_state.h"

/* "FILE: WHAT: reason of OpenSSL". */
void
tls_files_say(struct buffer *errors, const char *file, const char *what)
{
	unsigned long first = ERR_peek_error(), last = ERR_peek_last_error();
	const char *reason = last ? ERR_reason_error_string(last) : NULL;

	if (first && ERR_SYSTEM_ERROR(first))
		reason = strerror(ERR_GET_REASON(first));
	buffer_printf(errors, "%s: %s%s%s\n", file, what, reason ? ": " : "", reason ? reason : "");
	ERR_clear_error();
}

/* No passphrase is ever asked for: a daemon has nobody to ask. */
static int
no_passphrase(char *to, int size, int writing, void *arg)
{
	(void)to;
	(void)size;
	(void)writing;
	(void)arg;
	return -1;
}

static int
load_key(SSL_CTX *ctx, const char *file, struct buffer *errors)
{
	EVP_PKEY *key = NULL;
	struct stat st;
	FILE *stream;
	int rc = TLS_INVALID;

	stream = fopen(file, "re");
	if (!stream || fstat(fileno(stream), &st) < 0) {
		buffer_printf(errors, "%s: the key cannot be read: %s\n", file, strerror(errno));
		goto out;
	}
	if (st.st_mode & 077) {
		buffer_printf(errors,
		    "%s: the key's mode is %04o, wanted 0600: nobody but its owner may read it\n", file,
		    (unsigned)(st.st_mode & 07777));
		goto out;
	}
	key = PEM_read_PrivateKey(stream, NULL, no_passphrase, NULL);
	if (!key) {
		tls_files_say(errors, file, "no private key in PEM form without a passphrase");
		goto out;
	}
	if (SSL_CTX_use_PrivateKey(ctx, key) != 1 || SSL_CTX_check_private_key(ctx) != 1) {
		tls_files_say(errors, file, "the key does not fit the certificate");
		goto out;
	}
	rc = 0;
out:
	EVP_PKEY_free(key);
	if (stream)
		fclose(stream);
	return rc;
}

static int
load_authorities(SSL_CTX *ctx, const char *file, struct buffer *errors)
{
	STACK_OF(X509_NAME) * names;

	if (SSL_CTX_load_verify_file(ctx, file) != 1) {
		tls_files_say(errors, file, "no authorities in PEM form");
		return TLS_INVALID;
	}
	/* Some clients choose their certificate by this list. */
	names = SSL_load_client_CA_file(file);
	if (!names) {
		tls_files_say(errors, file, "no authorities in PEM form");
		return TLS_INVALID;
	}
	SSL_CTX_set_client_CA_list(ctx, names);
	return 0;
}

int
tls_files_load(struct tls_context *context, const struct config_tls *tls, struct buffer *errors)
{
	int r, rc = 0;

	if (SSL_CTX_use_certificate_chain_file(context->ctx, tls->certificate) != 1) {
		tls_files_say(errors, tls->certificate, "no usable certificate in PEM form");
		rc = TLS_INVALID;
	} else {
		tls_identity_read(&context->own, SSL_CTX_get0_certificate(context->ctx));
		rc = load_key(context->ctx, tls->key, errors);
	}
	if (load_authorities(context->ctx, tls->authorities, errors))
		return TLS_INVALID;
	if (tls->crls) {
		r = tls_crls_load(&context->crls, SSL_CTX_get_cert_store(context->ctx), tls, errors);
		if (r)
			rc = r;
	}
	return rc;
}

/* Where the lines about authorities without a list go. */
struct missing {
	struct buffer *errors;
	const char *file;
	bool any;
};

static void
say_missing(void *arg, X509 *authority)
{
	struct missing *missing = arg;
	char name[256];

	tls_name_read(name, sizeof(name), X509_get_subject_name(authority));
	buffer_printf(missing->errors, "%s: no revocation list of %s; its certificates will be refused\n",
	    missing->file, name);
	missing->any = true;
}

static bool
check_crls(const struct tls_context *context, const struct config_tls *tls, struct buffer *errors)
{
	struct missing missing = { errors, tls->crls, false };
	const int64_t now_s = (int64_t)time(NULL);
	struct tls_crl crl;
	bool stale = false, revoked = false;
	char when[32];

	if (strcmp(tls_serial_words(context, &context->own, now_s), "revoked") == 0) {
		buffer_printf(
		    errors, "%s: the certificate is revoked; partners will refuse it\n", tls->certificate);
		revoked = true;
	}
	tls_crls_missing(context->crls, say_missing, &missing);
	for (size_t i = 0; tls_crl_at(context, i, &crl); i++) {
		if (now_s <= crl.next_update)
			continue;
		stale = true;
		clock_second(crl.next_update, when);
		buffer_printf(errors, "%s: the revocation list of %s should have been replaced by %s; %s\n",
		    tls->crls, crl.issuer, when,
		    now_s > crl.next_update + TLS_CRL_GRACE_S ? "its certificates are refused"
							      : "72 h later its certificates are refused");
	}
	return !revoked && !stale && !missing.any;
}

int
tls_check(const struct config_tls *tls, bool dials, struct buffer *errors)
{
	struct tls_context *context = NULL;
	X509 *certificate;
	char when[32];
	int rc = tls_server_new(&context, tls, errors);

	if (rc)
		return rc;
	certificate = SSL_CTX_get0_certificate(context->ctx);
	if (X509_check_purpose(certificate, X509_PURPOSE_SSL_SERVER, 0) != 1) {
		buffer_printf(errors,
		    "%s: the certificate is not one for a server; partners will refuse it\n",
		    tls->certificate);
		rc = TLS_INVALID;
	}
	if (dials && X509_check_purpose(certificate, X509_PURPOSE_SSL_CLIENT, 0) != 1) {
		buffer_printf(errors,
		    "%s: the certificate is not one for a client as well; destinations will refuse it\n",
		    tls->certificate);
		rc = TLS_INVALID;
	}
	if (X509_cmp_current_time(X509_get0_notAfter(certificate)) <= 0) {
		clock_second(context->own.not_after, when);
		buffer_printf(errors, "%s: the certificate ended on %s; partners will refuse it\n",
		    tls->certificate, when);
		rc = TLS_INVALID;
	}
	if (X509_cmp_current_time(X509_get0_notBefore(certificate)) >= 0) {
		clock_second(context->own.not_before, when);
		buffer_printf(errors, "%s: the certificate begins on %s only; partners will refuse it\n",
		    tls->certificate, when);
		rc = TLS_INVALID;
	}
	if (context->crls && !check_crls(context, tls, errors))
		rc = TLS_INVALID;
	ERR_clear_error();
	tls_free(context);
	return rc;
}
