/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS contexts of both directions and what a certificate says of who is there.
 *
 * TLS 1.2 (ECDHE, AEAD) and 1.3, mutual, at most one ticket, no renegotiation, no compression, no 0-RTT. A context is immutable once made;
 * links hold a reference, so that a reload can switch contexts under traffic. Making one reads files and checks signatures: on a worker once
 * the loop runs.
 *
 * Revocation (RFC 5280, 6.3), when the configuration names lists: every certificate of a chain is looked up in the list of its authority,
 * but the last one of it, which is trusted as it stands - unless its own authority is listed, too, as an intermediate one with its root is.
 * An authority without a list fails closed. A list past its next update is good for TLS_CRL_GRACE_S more, then fails closed, too. The lists
 * are verified when they are loaded, against the listed authorities; a handshake only looks serial numbers up.
 *
 * Resumption: a ticket holds the leaf alone, so a context remembers the intermediates of the chains it has verified (TLS_KNOWN at most, the
 * oldest forgotten). A ticket is only taken when the whole chain of its leaf is still good at that moment; if it is not, or an intermediate was
 * forgotten, the handshake is made in full, and a certificate that has become bad is refused there with its reason.
 */
#pragma once

#include <openssl/ssl.h>
#include <stdbool.h>
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
	uint8_t sha256[32];	       /* SHA-256 of the whole certificate */
};

/* Outcome of tls_server_new and tls_client_new beside 0 and -errno. */
enum {
	TLS_INVALID = 1, /* ${errors} holds one line per error: which file, what is wrong */
};

/* How long a revocation list is good past its next update: a publisher that breaks down on a Friday evening is mended on Monday. */
#define TLS_CRL_GRACE_S ((int64_t)72 * 3600)

/* Intermediate certificates remembered by a context. */
#define TLS_KNOWN 64

/* How the revocation lists of a context stand. */
struct tls_crl_status {
	size_t count;	     /* lists; 0: revocation is not looked at, and the rest is empty */
	int64_t next_update; /* Unix seconds: the earliest of all */
	char issuer[256];    /* whose list that is, RFC 2253, cut */
	bool stale;	     /* next_update has passed */
	bool closed;	     /* the grace, too: certificates of that authority are refused */
};

/* A server context (asks for and requires a client certificate) from ${tls}. On 0 *${contextp} is the caller's: tls_free. */
int tls_server_new(struct tls_context **contextp, const struct config_tls *tls, struct buffer *errors)
    __attribute__((warn_unused_result));

/*
 * What a start with ${tls} would find, and what every partner would: that certificate, key and authorities can be used and fit, that the
 * certificate is one for a server (and, with ${dials}, for a client), and that its time has come and not passed. 0, TLS_INVALID (${errors} as above), -errno.
 */
int tls_check(const struct config_tls *tls, bool dials, struct buffer *errors)
    __attribute__((warn_unused_result));

/* A client context: our certificate, and the authorities that may vouch for the server. Used by `liaison send` and `liaison pull`. */
int tls_client_new(struct tls_context **contextp, const struct config_tls *tls, struct buffer *errors)
    __attribute__((warn_unused_result));

/* One more tls_free is owed. Any thread. */
struct tls_context *tls_hold(struct tls_context *context);

/* Connections made from it go on. NULL is harmless. */
void tls_free(struct tls_context *context);
SSL_CTX *tls_ssl_ctx(struct tls_context *context);

/*
 * Whether the peer of an open connection would still be let in: the chain that the peer of ${ssl} (open, made by this or another context of the
 * same direction) showed, verified under ${context}: authorities, times, usage, revocation and, of a server, its name. 0: still good, ${identity} is
 * the peer's own certificate. TLS_JUDGED_BAD: *${why} is one of the words of tls_refusal, ${identity} the certificate it is about. -ENOMEM.
 * ~0.2 ms. On the loop thread, or any while ${ssl} is the caller's own.
 */
enum {
	TLS_JUDGED_BAD = 1,
};
int tls_judge(struct tls_context *context, SSL *ssl, struct tls_identity *identity, const char **why)
    __attribute__((warn_unused_result));

/* The context that ${ssl} was made by: to be compared only, or handed to tls_judge, as long as ${ssl} lives. */
const struct tls_context *tls_of(const SSL *ssl);

/* How the revocation lists stand at ${now_s} (Unix seconds). */
void tls_crl_status(const struct tls_context *context, int64_t now_s, struct tls_crl_status *status);

/* One revocation list, for a table of them. */
struct tls_crl {
	char issuer[256];		  /* RFC 2253, cut */
	int64_t this_update, next_update; /* Unix seconds */
	size_t revoked;			  /* certificates */
};

/* List ${index} of ${context}, from 0; false: there are no more. */
bool tls_crl_at(const struct tls_context *context, size_t index, struct tls_crl *crl);

/*
 * What the revocation lists say at ${now_s} of a certificate of which only ${identity} is at hand: "good", or one of the words of tls_refusal; NULL:
 * there are no lists. For reports: a decision looks at the certificate.
 */
const char *tls_serial_words(
    const struct tls_context *context, const struct tls_identity *identity, int64_t now_s);

/* Our own certificate. */
const struct tls_identity *tls_own(const struct tls_context *context);

/*
 * A connection that will check that the server's certificate is for ${host} (a name, or an IP address in text), with SNI when it is a name. The
 * caller sets its descriptor and frees it. -ENOMEM, or -EINVAL for a host that cannot be one.
 */
int tls_client_ssl(struct tls_context *context, const char *host, SSL **sslp)
    __attribute__((warn_unused_result));

/* ${name} in RFC 2253 form, cut to ${size}. */
void tls_name_read(char *to, size_t size, const X509_NAME *name);
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
