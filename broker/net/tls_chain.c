/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chains: verified at the handshake, remembered for resumed sessions, and judged again later.
 *
 * All three ways end in OpenSSL's chain building with the same store, parameters and revocation check; only who asks differs. A ticket
 * is refused by making the handshake full (never by an error: a client that keeps its ticket would come back with it for ever).
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include "broker/net/tls_state.h"

static int context_slot = -1, store_slot = -1;
static pthread_once_t slots_once = PTHREAD_ONCE_INIT;

/* With the last reference to the SSL_CTX, a connection's or tls_free's. */
static void
context_free(void *parent, void *ptr, CRYPTO_EX_DATA *data, int slot, long argl, void *argp)
{
	struct tls_context *context = ptr;

	(void)parent;
	(void)data;
	(void)slot;
	(void)argl;
	(void)argp;
	if (!context)
		return;
	for (size_t i = 0; i < TLS_KNOWN; i++)
		X509_free(context->known[i]);
	tls_crls_free(context->crls);
	pthread_mutex_destroy(&context->lock);
	free(context);
}

static void
slots_ready(void)
{
	context_slot = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, context_free);
	store_slot = X509_STORE_get_ex_new_index(0, NULL, NULL, NULL, NULL);
}

int
tls_chain_ready(void)
{
	pthread_once(&slots_once, slots_ready);
	return context_slot < 0 || store_slot < 0 ? -ENOMEM : 0;
}

static bool
is_known(const struct tls_context *context, const X509 *certificate)
{
	for (size_t i = 0; i < TLS_KNOWN && context->known[i]; i++)
		if (X509_cmp(context->known[i], certificate) == 0)
			return true;
	return false;
}

/* Of a chain that was found good: what the other side sent of it, but for its own certificate. */
static void
remember(struct tls_context *context, X509_STORE_CTX *store)
{
	STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(store);
	int sent = X509_STORE_CTX_get_num_untrusted(store);

	if (sent <= 1)
		return;
	pthread_mutex_lock(&context->lock);
	for (int i = 1; i < sent; i++) {
		X509 *certificate = sk_X509_value(chain, i), **place = &context->known[context->known_next];

		if (!certificate || is_known(context, certificate) || X509_up_ref(certificate) != 1)
			continue;
		X509_free(*place);
		*place = certificate;
		context->known_next = (context->known_next + 1) % TLS_KNOWN;
	}
	pthread_mutex_unlock(&context->lock);
}

/* A stack with references of its own; NULL when there is no memory. */
static STACK_OF(X509) * known_copy(struct tls_context *context)
{
	STACK_OF(X509) *copy = sk_X509_new_null();
	bool ok = copy;

	pthread_mutex_lock(&context->lock);
	for (size_t i = 0; ok && i < TLS_KNOWN && context->known[i]; i++)
		ok = X509_add_cert(copy, context->known[i], X509_ADD_FLAG_UP_REF) == 1;
	pthread_mutex_unlock(&context->lock);
	if (ok)
		return copy;
	sk_X509_pop_free(copy, X509_free);
	return NULL;
}

/* The store's own revocation check, instead of OpenSSL's. */
static int
revocation_check(X509_STORE_CTX *store)
{
	const struct tls_context *context =
	    X509_STORE_get_ex_data(X509_STORE_CTX_get0_store(store), store_slot);

	return context && context->crls ? tls_crls_check(store, context->crls) : 1;
}

/* Of a handshake: verify as always, and remember. */
static int
handshake_check(X509_STORE_CTX *store, void *arg)
{
	int ok = X509_verify_cert(store);

	if (ok == 1)
		remember(arg, store);
	return ok;
}

static int
watch_error(int ok, X509_STORE_CTX *store)
{
	struct tls_chain_watch *watch = X509_STORE_CTX_get_app_data(store);

	if (!ok)
		watch->error(watch->arg, X509_STORE_CTX_get_error(store),
		    X509_STORE_CTX_get_error_depth(store), X509_STORE_CTX_get_current_cert(store));
	return 1;
}

int
tls_chain_verify(struct tls_context *context, SSL *ssl, X509 *leaf, STACK_OF(X509) * untrusted,
    struct tls_chain_watch *watch, int *depthp, X509 **atp)
{
	X509_STORE_CTX *store = X509_STORE_CTX_new();
	X509_VERIFY_PARAM *param;
	X509 *at;
	int rc = -ENOMEM;

	*depthp = 0;
	*atp = NULL;
	if (!store || X509_STORE_CTX_init(store, SSL_CTX_get_cert_store(context->ctx), leaf, untrusted) != 1)
		goto out;
	param = X509_STORE_CTX_get0_param(store);
	if (X509_VERIFY_PARAM_set1(param, SSL_get0_param(ssl)) != 1)
		goto out;
	X509_VERIFY_PARAM_set_auth_level(param, TLS_SECURITY_LEVEL);
	if (watch) {
		X509_STORE_CTX_set_app_data(store, watch);
		X509_STORE_CTX_set_verify_cb(store, watch_error);
	}
	rc = 0;
	if (X509_verify_cert(store) != 1) {
		rc = X509_STORE_CTX_get_error(store);
		if (rc == X509_V_OK)
			rc = X509_V_ERR_UNSPECIFIED;
		*depthp = X509_STORE_CTX_get_error_depth(store);
		at = X509_STORE_CTX_get_current_cert(store);
		*atp = at ? at : leaf;
		X509_up_ref(*atp);
	}
	if (watch)
		watch->built = X509_STORE_CTX_get1_chain(store);
out:
	X509_STORE_CTX_free(store);
	ERR_clear_error();
	return rc;
}

/* Whether ${leaf}, of which a ticket of this context tells, would still be taken. */
static bool
ticket_good(struct tls_context *context, SSL *ssl, X509 *leaf)
{
	STACK_OF(X509) *known = known_copy(context);
	X509 *at = NULL;
	int depth, rc = -ENOMEM;

	if (known)
		rc = tls_chain_verify(context, ssl, leaf, known, NULL, &depth, &at);
	X509_free(at);
	sk_X509_pop_free(known, X509_free);
	return rc == 0;
}

static SSL_TICKET_RETURN
ticket_decrypted(SSL *ssl, SSL_SESSION *session, const unsigned char *name, size_t len,
    SSL_TICKET_STATUS status, void *arg)
{
	X509 *leaf;

	(void)name;
	(void)len;
	if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW)
		return SSL_TICKET_RETURN_IGNORE_RENEW;
	leaf = SSL_SESSION_get0_peer(session);
	if (!leaf || !ticket_good(arg, ssl, leaf))
		return SSL_TICKET_RETURN_IGNORE_RENEW;
	return status == SSL_TICKET_SUCCESS_RENEW || SSL_version(ssl) >= TLS1_3_VERSION
		   ? SSL_TICKET_RETURN_USE_RENEW
		   : SSL_TICKET_RETURN_USE;
}

int
tls_chain_attach(struct tls_context *context, bool server)
{
	X509_STORE *store = SSL_CTX_get_cert_store(context->ctx);

	if (X509_STORE_set_ex_data(store, store_slot, context) != 1 ||
	    (server && SSL_CTX_set_session_ticket_cb(context->ctx, NULL, ticket_decrypted, context) != 1) ||
	    SSL_CTX_set_ex_data(context->ctx, context_slot, context) != 1)
		return -ENOMEM;
	X509_STORE_set_check_revocation(store, revocation_check);
	SSL_CTX_set_cert_verify_callback(context->ctx, handshake_check, context);
	return 0;
}

const struct tls_context *
tls_of(const SSL *ssl)
{
	return SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), context_slot);
}

int
tls_judge(struct tls_context *context, SSL *ssl, struct tls_identity *identity, const char **why)
{
	struct tls_context *of = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), context_slot);
	X509 *leaf = SSL_get0_peer_certificate(ssl), *at = NULL;
	STACK_OF(X509) *shown = SSL_get_peer_cert_chain(ssl), *known = NULL;
	int depth = 0, rc;

	memset(identity, 0, sizeof(*identity));
	if (!leaf) {
		*why = "no certificate";
		return TLS_JUDGED_BAD;
	}
	if (SSL_session_reused(ssl)) {
		known = known_copy(of);
		if (!known)
			return -ENOMEM;
		shown = known;
	}
	rc = tls_chain_verify(context, ssl, leaf, shown, NULL, &depth, &at);
	sk_X509_pop_free(known, X509_free);
	if (rc < 0)
		return rc;
	tls_identity_read(identity, at ? at : leaf);
	X509_free(at);
	if (rc == 0)
		return 0;
	*why = tls_depth_words(rc, depth);
	return TLS_JUDGED_BAD;
}
