/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS contexts of both directions and what a certificate says of who is there.
 *
 * TLS 1.2 (ECDHE, AEAD) and 1.3, mutual, at most one ticket, no renegotiation, no compression, no 0-RTT. A context is immutable once made;
 * links hold a reference, so that a later reload can switch contexts under traffic. Revocation is not looked at yet.
 */
#pragma once

#include <openssl/ssl.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/base/config.h"
#include "codecs/buffer.h"

struct tls_context;

/* What can be told of a certificate in a log line; every text is cut to its field. */
struct tls_identity {
	char subject[256]; /* RFC 2253 */
	char issuer[256];
	char serial[64];	       /* hex */
	int64_t not_before, not_after; /* Unix seconds */
	uint8_t spki[32];	       /* SHA-256 of the SubjectPublicKeyInfo */
};

/* Outcome of tls_server_new and tls_client_new beside 0 and -errno. */
enum {
	TLS_INVALID = 1, /* ${errors} holds one line per error: which file, what is wrong */
};

/* A server context (asks for and requires a client certificate) from ${tls}. On 0 *${contextp} is the caller's: tls_free. */
int tls_server_new(struct tls_context **contextp, const struct config_tls *tls, struct buffer *errors)
    __attribute__((warn_unused_result));

/*
 * What a start with ${tls} would find, and what every partner would: that certificate, key and authorities can be used and fit, that the
 * certificate is one for a server, and that its time has come and not passed. 0, TLS_INVALID (${errors} as above), -errno.
 */
int tls_check(const struct config_tls *tls, struct buffer *errors) __attribute__((warn_unused_result));

/* A client context: our certificate, and the authorities that may vouch for the server. Used by `liaison send` and `liaison pull`. */
int tls_client_new(struct tls_context **contextp, const struct config_tls *tls, struct buffer *errors)
    __attribute__((warn_unused_result));

/* Connections made from it go on. NULL is harmless. */
void tls_free(struct tls_context *context);
SSL_CTX *tls_ssl_ctx(struct tls_context *context);

/* Our own certificate. */
const struct tls_identity *tls_own(const struct tls_context *context);

/*
 * A connection that will check that the server's certificate is for ${host} (a name, or an IP address in text), with SNI when it is a name. The
 * caller sets its descriptor and frees it. -ENOMEM, or -EINVAL for a host that cannot be one.
 */
int tls_client_ssl(struct tls_context *context, const char *host, SSL **sslp)
    __attribute__((warn_unused_result));

void tls_identity_read(struct tls_identity *identity, X509 *certificate);

/* Whole days until ${identity} ends, negative when it has ended. */
int64_t tls_identity_days(const struct tls_identity *identity, int64_t now_s);

/* The name of an X509_V_ERR_* in words of our own. */
const char *tls_verify_words(int verify_error);

/*
 * Why the handshake of ${ssl} failed, in words of our own and never NULL, with the certificate it concerns (*${identity} filled, all zero if
 * none). To be called straight after the failed SSL_* call: it reads, and empties, OpenSSL's error queue. The words are one of a closed
 * list: they are labels of a metric.
 */
const char *tls_refusal(SSL *ssl, struct tls_identity *identity);

/*
 * The other side's alert that ended an established connection, in words of the same list; NULL: it was none. To be called straight after the
 * failed SSL_* call: it empties OpenSSL's error queue. With TLS 1.3 a server judges our certificate only when our handshake is over.
 */
const char *tls_alert_words(void);
