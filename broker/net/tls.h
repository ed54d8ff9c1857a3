/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS contexts of both directions and what a certificate says of who is there.
 *
 * TLS 1.2 (ECDHE, AEAD) and 1.3, mutual, at most one ticket, no renegotiation, no compression, no 0-RTT. A context is immutable once made;
 * links hold a reference, so that a later reload can switch contexts under traffic.
 */
#pragma once

#include <openssl/ssl.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/base/config.h"
#include "codecs/buffer.h"

struct tls_context;

/* A server context (asks for and requires a client certificate) from ${tls}. Errors are one line each in ${errors}: which file, what is wrong. */
int tls_server_new(struct tls_context **contextp, const struct config_tls *tls, struct buffer *errors)
    __attribute__((warn_unused_result));

/* A client context: our certificate, and the authorities that may vouch for the server. Used by `liaison send` and `liaison pull`. */
int tls_client_new(struct tls_context **contextp, const struct config_tls *tls, struct buffer *errors)
    __attribute__((warn_unused_result));

void tls_free(struct tls_context *context);
SSL_CTX *tls_ssl_ctx(struct tls_context *context);

/* What can be told of a certificate in a log line; every text is cut to its field. */
struct tls_identity {
	char subject[256]; /* RFC 2253 */
	char issuer[256];
	char serial[64];	       /* hex */
	int64_t not_before, not_after; /* Unix seconds */
	uint8_t spki[32];	       /* SHA-256 of the SubjectPublicKeyInfo */
};

void tls_identity_read(struct tls_identity *identity, X509 *certificate);

/* The verify error recorded for ${ssl} in words of our own with the certificate it concerns (*${identity} filled, subject empty if none). */
const char *tls_refusal(SSL *ssl, struct tls_identity *identity);
