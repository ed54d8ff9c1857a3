/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS contexts: one place that says what we speak, with whom, and which keys we take.
 *
 * Sessions are resumed by ticket only (nothing is cached here), one ticket a handshake: each costs ~120 us. Authorities are anchors as they
 * are listed: an intermediate one alone may be trusted without its root. Why a handshake failed: tls_refusal.c.
 */
#include "broker/net/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <arpa/inet.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "broker/net/tls_state.h"

/* RSA of 2048 bits and more, no SHA-1. */
#define SECURITY_LEVEL 2

/* Leaf, two intermediates, root, and one to spare: IGC-Sante has one intermediate. */
#define VERIFY_DEPTH 4

static const char ciphers_12[] = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
				 "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
				 "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
static const char groups[] = "X25519:P-256:P-384";
static const unsigned char session_context[] = "liaison";

struct tls_context {
	SSL_CTX *ctx;
	struct tls_identity own;
};

/* "FILE: WHAT: reason of OpenSSL". */
static void
say(struct buffer *errors, const char *file, const char *what)
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
		say(errors, file, "no private key in PEM form without a passphrase");
		goto out;
	}
	if (SSL_CTX_use_PrivateKey(ctx, key) != 1 || SSL_CTX_check_private_key(ctx) != 1) {
		say(errors, file, "the key does not fit the certificate");
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
		say(errors, file, "no authorities in PEM form");
		return TLS_INVALID;
	}
	/* Some clients choose their certificate by this list. */
	names = SSL_load_client_CA_file(file);
	if (!names) {
		say(errors, file, "no authorities in PEM form");
		return TLS_INVALID;
	}
	SSL_CTX_set_client_CA_list(ctx, names);
	return 0;
}

static int
load_files(struct tls_context *context, const struct config_tls *tls, struct buffer *errors)
{
	int rc = 0;

	if (SSL_CTX_use_certificate_chain_file(context->ctx, tls->certificate) != 1) {
		say(errors, tls->certificate, "no usable certificate in PEM form");
		rc = TLS_INVALID;
	} else {
		tls_identity_read(&context->own, SSL_CTX_get0_certificate(context->ctx));
		rc = load_key(context->ctx, tls->key, errors);
	}
	if (load_authorities(context->ctx, tls->authorities, errors))
		rc = TLS_INVALID;
	return rc;
}

/* What both directions have in common. */
static bool
harden(SSL_CTX *ctx)
{
	SSL_CTX_set_security_level(ctx, SECURITY_LEVEL);
	SSL_CTX_set_options(ctx,
	    SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
		/* Senders that just close are common; frames tell by themselves whether they are whole. */
		SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(ctx,
	    SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_verify_depth(ctx, VERIFY_DEPTH);
	X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx), X509_V_FLAG_PARTIAL_CHAIN);
	return SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
	       SSL_CTX_set_cipher_list(ctx, ciphers_12) == 1 && SSL_CTX_set1_groups_list(ctx, groups) == 1;
}

static bool
harden_server(SSL_CTX *ctx)
{
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, tls_verify_note);
	return SSL_CTX_set_purpose(ctx, X509_PURPOSE_SSL_CLIENT) == 1 &&
	       SSL_CTX_set_num_tickets(ctx, 1) == 1 && SSL_CTX_set_max_early_data(ctx, 0) == 1 &&
	       SSL_CTX_set_session_id_context(ctx, session_context, sizeof(session_context) - 1) == 1;
}

static bool
harden_client(SSL_CTX *ctx)
{
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, tls_verify_note);
	return SSL_CTX_set_purpose(ctx, X509_PURPOSE_SSL_SERVER) == 1;
}

static int
context_new(struct tls_context **contextp, const struct config_tls *tls, bool server, struct buffer *errors)
{
	struct tls_context *context;
	int rc = -ENOMEM;

	context = calloc(1, sizeof(*context));
	if (!context)
		return rc;
	ERR_clear_error();
	rc = tls_verify_ready();
	if (rc)
		goto fail;
	context->ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
	if (!context->ctx || !harden(context->ctx) ||
	    !(server ? harden_server(context->ctx) : harden_client(context->ctx))) {
		ERR_clear_error();
		rc = -ENOMEM;
		goto fail;
	}
	rc = load_files(context, tls, errors);
	if (rc)
		goto fail;
	*contextp = context;
	return 0;
fail:
	tls_free(context);
	return rc;
}

int
tls_server_new(struct tls_context **contextp, const struct config_tls *tls, struct buffer *errors)
{
	return context_new(contextp, tls, true, errors);
}

/* ISO 8601, to the second. */
static void
time_text(int64_t when, char *text, size_t size)
{
	time_t t = (time_t)when;
	struct tm tm;

	if (!gmtime_r(&t, &tm) || strftime(text, size, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		text[0] = '\0';
}

int
tls_check(const struct config_tls *tls, struct buffer *errors)
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
	if (X509_cmp_current_time(X509_get0_notAfter(certificate)) <= 0) {
		time_text(context->own.not_after, when, sizeof(when));
		buffer_printf(errors, "%s: the certificate ended on %s; partners will refuse it\n",
		    tls->certificate, when);
		rc = TLS_INVALID;
	}
	if (X509_cmp_current_time(X509_get0_notBefore(certificate)) >= 0) {
		time_text(context->own.not_before, when, sizeof(when));
		buffer_printf(errors, "%s: the certificate begins on %s only; partners will refuse it\n",
		    tls->certificate, when);
		rc = TLS_INVALID;
	}
	ERR_clear_error();
	tls_free(context);
	return rc;
}

int
tls_client_new(struct tls_context **contextp, const struct config_tls *tls, struct buffer *errors)
{
	return context_new(contextp, tls, false, errors);
}

void
tls_free(struct tls_context *context)
{
	if (!context)
		return;
	SSL_CTX_free(context->ctx);
	free(context);
}

SSL_CTX *
tls_ssl_ctx(struct tls_context *context)
{
	return context->ctx;
}

const struct tls_identity *
tls_own(const struct tls_context *context)
{
	return &context->own;
}

static bool
is_ip(const char *host)
{
	uint8_t room[16];

	return inet_pton(AF_INET, host, room) == 1 || inet_pton(AF_INET6, host, room) == 1;
}

int
tls_client_ssl(struct tls_context *context, const char *host, SSL **sslp)
{
	SSL *ssl = SSL_new(context->ctx);
	bool ok;

	if (!ssl)
		return -ENOMEM;
	if (is_ip(host))
		ok = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
	else
		ok = SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
	if (!ok) {
		ERR_clear_error();
		SSL_free(ssl);
		return -EINVAL;
	}
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	*sslp = ssl;
	return 0;
}
