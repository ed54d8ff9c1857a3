/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of TLS contexts share: tls.c, tls_files.c, tls_chain.c, tls_crl.c, tls_refusal.c. Nobody else includes this. */
#pragma once

#include <pthread.h>
#include <stdbool.h>

#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "broker/net/tls.h"

/* RSA of 2048 bits and more, no SHA-1. */
#define TLS_SECURITY_LEVEL 2

struct tls_crls;

/*
 * A context belongs to its SSL_CTX and is freed with it: connections hold the SSL_CTX, and their callbacks come here after a reload has let the
 * context go.
 */
struct tls_context {
	SSL_CTX *ctx;
	struct tls_identity own;
	struct tls_crls *crls; /* NULL: revocation is not looked at */
	pthread_mutex_t lock;  /* of the rest: client contexts are used on workers, too */
	X509 *known[TLS_KNOWN];
	size_t known_next; /* the place of the oldest */
};

/* tls_files.c: certificate, key, authorities and revocation lists into ${context}. 0, TLS_INVALID, -ENOMEM. */
int tls_files_load(struct tls_context *context, const struct config_tls *tls, struct buffer *errors)
    __attribute__((warn_unused_result));
/* "FILE: WHAT: reason of OpenSSL", and empty its queue. */
void tls_files_say(struct buffer *errors, const char *file, const char *what);

/* tls_chain.c */
/* Once per process: the slot of an SSL_CTX that holds its context. */
int tls_chain_ready(void) __attribute__((warn_unused_result));
/* ${context} is ${context}->ctx's from here on, and judges its chains. */
int tls_chain_attach(struct tls_context *context, bool server) __attribute__((warn_unused_result));
/* Who wants to hear of every error of a chain, and not the first one only. */
struct tls_chain_watch {
	void (*error)(void *arg, int error, int depth, X509 *at);
	void *arg;
	STACK_OF(X509) * built; /* the chain as it was built; the caller's */
};
/*
 * Verify ${leaf} with what ${untrusted} (may be NULL) has of intermediates, with the parameters (purpose, name) of ${ssl}, under ${context}. 0; an X509_V_ERR_*
 * with *${depthp} and *${atp} (a reference of the caller's); -ENOMEM. With ${watch} (may be NULL) it goes on behind errors, and 0 says nothing.
 */
int tls_chain_verify(struct tls_context *context, SSL *ssl, X509 *leaf, STACK_OF(X509) * untrusted,
    struct tls_chain_watch *watch, int *depthp, X509 **atp) __attribute__((warn_unused_result));

/* tls_crl.c */
/* The lists of ${tls}->crls, verified against the authorities in ${store}. 0, TLS_INVALID, -ENOMEM. */
int tls_crls_load(struct tls_crls **crlsp, X509_STORE *store, const struct config_tls *tls,
    struct buffer *errors) __attribute__((warn_unused_result));
void tls_crls_free(struct tls_crls *crls);
/* Look every certificate of the chain that ${store} has built up in the lists; errors go to its verify callback. */
int tls_crls_check(X509_STORE_CTX *store, const struct tls_crls *crls);
/* What a certificate of ${issuer} is worth: X509_V_OK, X509_V_ERR_CERT_REVOKED, X509_V_ERR_UNABLE_TO_GET_CRL, X509_V_ERR_CRL_HAS_EXPIRED,
 * X509_V_ERR_CRL_NOT_YET_VALID. */
int tls_crls_look_up(const struct tls_crls *crls, X509 *certificate, X509 *issuer, int64_t now_s);
/* Who vouches for ${certificate} if it is a listed authority; NULL: it is none, or self-issued, or its issuer is not listed. */
X509 *tls_crls_issuer(const struct tls_crls *crls, const X509 *certificate);
/* Which list (of tls_crl_at) a certificate of ${issuer} is looked up in; false: there is none. */
bool tls_crls_which(const struct tls_crls *crls, X509 *certificate, X509 *issuer, size_t *index);
/* ${each} for every listed authority without a list. */
void tls_crls_missing(const struct tls_crls *crls, void (*each)(void *arg, X509 *authority), void *arg);

/* tls_identity.c: Unix seconds; 0: none, or malformed. */
int64_t tls_time_read(const ASN1_TIME *when);

/* tls_refusal.c */
/* Once per process: the slot of an SSL that holds the note. */
int tls_verify_ready(void) __attribute__((warn_unused_result));
/* The verify callback: keeps the first error and its certificate with the SSL, changes no verdict. */
int tls_verify_note(int ok, X509_STORE_CTX *store);
/* tls_verify_words, where it makes a difference which certificate of the chain it is; the peer's own has depth 0. */
const char *tls_depth_words(int verify_error, int depth);
