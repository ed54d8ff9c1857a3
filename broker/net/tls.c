/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS contexts: one place that says what we speak, with whom, and which keys we take.
 *
 * Sessions are resumed by ticket only (nothing is cached here), one ticket a handshake: each costs ~120 us. Authorities are anchors as they
 * are listed: an intermediate one alone may be trusted without its root. Files: tls_files.c. Chains: tls_chain.c. Why a handshake failed:
 * tls_refusal.c.
 */
#include "broker/net/tls.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "broker/net/tls_state.h"

/* Leaf, two intermediates, root, and one to spare: IGC-Sante has one intermediate. */
#define VERIFY_DEPTH 4

/* All certificates of a handshake together; a real chain has 8 KiB at most. */
#define CHAIN_MAX (32 * 1024)

static const char ciphers_12[] = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
				 "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
				 "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
static const char groups[] = "X25519:P-256:P-384";
static const unsigned char session_context[] = "liaison";

/* What both directions have in common. */
static bool
harden(SSL_CTX *ctx)
{
	SSL_CTX_set_security_level(ctx, TLS_SECURITY_LEVEL);
	SSL_CTX_set_options(ctx,
	    SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
		/* Senders that just close are common; frames tell by themselves whether they are whole. */
		SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(ctx,
	    SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	/* A read ends behind a record that has no data for us: those who send nothing but key updates would keep it, and the loop, for ever. */
	SSL_CTX_clear_mode(ctx, SSL_MODE_AUTO_RETRY);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_verify_depth(ctx, VERIFY_DEPTH);
	SSL_CTX_set_max_cert_list(ctx, CHAIN_MAX);
	X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx), X509_V_FLAG_PARTIAL_CHAIN);
	return SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
	       SSL_CTX_set_cipher_list(ctx, ciphers_12) == 1 && SSL_CTX_set1_groups_list(ctx, groups) == 1;
}

static bool
harden_server(SSL_CTX *ctx)
{
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, tls_verify_note);
	/* Ours is the order of the ciphers, but for those who put ChaCha20 first: they have no AES in hardware. */
	SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
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

/* A context with nothing in it yet, which tls_free frees; NULL: no memory. */
static struct tls_context *
context_alloc(bool server)
{
	struct tls_context *context;

	ERR_clear_error();
	if (tls_verify_ready() || tls_chain_ready())
		return NULL;
	context = calloc(1, sizeof(*context));
	if (!context)
		return NULL;
	pthread_mutex_init(&context->lock, NULL);
	context->ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
	if (context->ctx && tls_chain_attach(context, server) == 0)
		return context;
	ERR_clear_error();
	SSL_CTX_free(context->ctx);
	pthread_mutex_destroy(&context->lock);
	free(context);
	return NULL;
}

static int
context_new(struct tls_context **contextp, const struct config_tls *tls, bool server, struct buffer *errors)
{
	struct tls_context *context;
	int rc = -ENOMEM;

	context = context_alloc(server);
	if (!context)
		return rc;
	if (!harden(context->ctx) || !(server ? harden_server(context->ctx) : harden_client(context->ctx))) {
		ERR_clear_error();
		goto fail;
	}
	rc = tls_files_load(context, tls, errors);
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

int
tls_client_new(struct tls_context **contextp, const struct config_tls *tls, struct buffer *errors)
{
	return context_new(contextp, tls, false, errors);
}

struct tls_context *
tls_hold(struct tls_context *context)
{
	SSL_CTX_up_ref(context->ctx);
	return context;
}

void
tls_free(struct tls_context *context)
{
	if (context)
		SSL_CTX_free(context->ctx);
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
	/* Names of the extension alone: a common name says nothing certain of a host (RFC 9525 §2). */
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
	*sslp = ssl;
	return 0;
}
