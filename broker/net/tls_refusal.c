/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why a handshake failed, in words that an operator can act upon.
 *
 * A verification that fails ends the handshake before OpenSSL keeps the certificate, so the verify callback notes the error and the
 * certificate in a slot of the SSL. Everything else is read from the error queue. The lists below are closed: words are metric labels.
 */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include "broker/net/tls.h"
#include "broker/net/tls_state.h"

struct note {
	int error, depth;
	X509 *certificate;
};

struct words {
	int code;
	const char *words;
};

static int note_slot = -1;
static pthread_once_t note_once = PTHREAD_ONCE_INIT;

static void
note_free(void *parent, void *ptr, CRYPTO_EX_DATA *data, int slot, long argl, void *argp)
{
	struct note *note = ptr;

	(void)parent;
	(void)data;
	(void)slot;
	(void)argl;
	(void)argp;
	if (!note)
		return;
	X509_free(note->certificate);
	OPENSSL_free(note);
}

static void
note_ready(void)
{
	note_slot = SSL_get_ex_new_index(0, NULL, NULL, NULL, note_free);
}

int
tls_verify_ready(void)
{
	pthread_once(&note_once, note_ready);
	return note_slot < 0 ? -ENOMEM : 0;
}

int
tls_verify_note(int ok, X509_STORE_CTX *store)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	X509 *certificate = X509_STORE_CTX_get_current_cert(store);
	struct note *note;

	if (ok || !ssl || SSL_get_ex_data(ssl, note_slot))
		return ok;
	note = OPENSSL_zalloc(sizeof(*note));
	if (!note)
		return ok;
	note->error = X509_STORE_CTX_get_error(store);
	note->depth = X509_STORE_CTX_get_error_depth(store);
	if (!certificate)
		certificate = X509_STORE_CTX_get0_cert(store);
	if (certificate && X509_up_ref(certificate))
		note->certificate = certificate;
	if (!SSL_set_ex_data(ssl, note_slot, note))
		note_free(NULL, note, NULL, 0, 0, NULL);
	return ok;
}

static const char *
look_up(const struct words *list, size_t count, int code)
{
	for (size_t i = 0; i < count; i++) {
		if (list[i].code == code)
			return list[i].words;
	}
	return NULL;
}

#define LOOK_UP(list, code) look_up(list, sizeof(list) / sizeof((list)[0]), code)

const char *
tls_verify_words(int verify_error)
{
	static const struct words list[] = {
		{ X509_V_OK, "good" },
		{ X509_V_ERR_CERT_HAS_EXPIRED, "expired" },
		{ X509_V_ERR_CERT_NOT_YET_VALID, "not yet valid" },
		{ X509_V_ERR_ERROR_IN_CERT_NOT_BEFORE_FIELD, "malformed certificate" },
		{ X509_V_ERR_ERROR_IN_CERT_NOT_AFTER_FIELD, "malformed certificate" },
		{ X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, "unknown authority" },
		{ X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, "unknown authority" },
		{ X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, "unknown authority" },
		{ X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, "unknown authority" },
		{ X509_V_ERR_CERT_UNTRUSTED, "unknown authority" },
		{ X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, "self-signed" },
		{ X509_V_ERR_CERT_SIGNATURE_FAILURE, "bad signature" },
		{ X509_V_ERR_UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY, "bad signature" },
		{ X509_V_ERR_INVALID_PURPOSE, "wrong usage" },
		{ X509_V_ERR_CERT_REJECTED, "wrong usage" },
		{ X509_V_ERR_KEYUSAGE_NO_CERTSIGN, "wrong usage" },
		{ X509_V_ERR_INVALID_CA, "issuer is no authority" },
		{ X509_V_ERR_INVALID_NON_CA, "issuer is no authority" },
		{ X509_V_ERR_PATH_LENGTH_EXCEEDED, "chain too long" },
		{ X509_V_ERR_CERT_CHAIN_TOO_LONG, "chain too long" },
		{ X509_V_ERR_EE_KEY_TOO_SMALL, "weak key" },
		{ X509_V_ERR_CA_KEY_TOO_SMALL, "weak key" },
		{ X509_V_ERR_CA_MD_TOO_WEAK, "weak signature" },
		{ X509_V_ERR_CERT_REVOKED, "revoked" },
		{ X509_V_ERR_UNABLE_TO_GET_CRL, "no revocation list of its authority" },
		{ X509_V_ERR_CRL_HAS_EXPIRED, "revocation list too old" },
		{ X509_V_ERR_CRL_NOT_YET_VALID, "revocation list not yet valid" },
		{ X509_V_ERR_HOSTNAME_MISMATCH, "wrong host name" },
		{ X509_V_ERR_IP_ADDRESS_MISMATCH, "wrong host name" },
		{ X509_V_ERR_OUT_OF_MEM, "no memory" },
	};
	const char *words = LOOK_UP(list, verify_error);

	return words ? words : "certificate refused";
}

const char *
tls_depth_words(int verify_error, int depth)
{
	static const struct words list[] = {
		{ X509_V_ERR_CERT_HAS_EXPIRED, "authority expired" },
		{ X509_V_ERR_CERT_NOT_YET_VALID, "authority not yet valid" },
		{ X509_V_ERR_CERT_REVOKED, "authority revoked" },
	};
	const char *words = depth > 0 ? LOOK_UP(list, verify_error) : NULL;

	return words ? words : tls_verify_words(verify_error);
}

/* ${reason} of the error queue; alerts of the other side have codes of their own from SSL_AD_REASON_OFFSET on. */
static const char *
queue_words(int reason)
{
	static const struct words list[] = {
		{ SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, "no certificate" },
		{ SSL_R_UNSUPPORTED_PROTOCOL, "protocol version" },
		{ SSL_R_NO_PROTOCOLS_AVAILABLE, "protocol version" },
		{ SSL_R_VERSION_TOO_LOW, "protocol version" },
		{ SSL_R_WRONG_SSL_VERSION, "protocol version" },
		{ SSL_R_TLSV1_ALERT_PROTOCOL_VERSION, "protocol version" },
		{ SSL_R_INAPPROPRIATE_FALLBACK, "protocol version" },
		{ SSL_R_WRONG_VERSION_NUMBER, "not TLS" },
		{ SSL_R_HTTP_REQUEST, "not TLS" },
		{ SSL_R_HTTPS_PROXY_REQUEST, "not TLS" },
		{ SSL_R_UNKNOWN_PROTOCOL, "not TLS" },
		{ SSL_R_BAD_RECORD_TYPE, "not TLS" },
		{ SSL_R_NO_SHARED_CIPHER, "no common cipher" },
		{ SSL_R_NO_CIPHERS_AVAILABLE, "no common cipher" },
		{ SSL_R_NO_SHARED_GROUPS, "no common group" },
		{ SSL_R_NO_SUITABLE_KEY_SHARE, "no common group" },
		{ SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS, "no common signature algorithm" },
		{ SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, "no common signature algorithm" },
		{ SSL_R_WRONG_SIGNATURE_TYPE, "no common signature algorithm" },
		{ SSL_R_BAD_SIGNATURE, "key does not fit the certificate" },
		{ SSL_R_DIGEST_CHECK_FAILED, "bad signature" },
		{ SSL_R_EXCESSIVE_MESSAGE_SIZE, "handshake too large" },
		{ ERR_R_ASN1_LIB, "malformed certificate" },
		{ SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC, "bad record" },
		{ SSL_R_UNEXPECTED_EOF_WHILE_READING, "closed" },
		{ SSL_R_TLSV1_ALERT_UNKNOWN_CA, "our certificate was refused: unknown authority" },
		{ SSL_R_SSLV3_ALERT_BAD_CERTIFICATE, "our certificate was refused: bad certificate" },
		{ SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED, "our certificate was refused: expired" },
		{ SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN, "our certificate was refused: certificate unknown" },
		{ SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED, "our certificate was refused: revoked" },
		{ SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE, "our certificate was refused: wrong usage" },
		{ SSL_R_TLSV1_ALERT_ACCESS_DENIED, "our certificate was refused: access denied" },
		{ SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED, "no certificate" },
		{ SSL_R_TLSV1_ALERT_USER_CANCELLED, "closed" },
	};
	const char *words = LOOK_UP(list, reason);

	if (words)
		return words;
	return reason >= SSL_AD_REASON_OFFSET ? "refused by the other side" : "malformed handshake";
}

/* The first error of the TLS library itself, behind those of the libraries below that led to it; 0: none. Empties the queue. */
static unsigned long
queue_first(void)
{
	unsigned long e, first = 0, any = 0;

	while ((e = ERR_get_error())) {
		any = e;
		if (!first && ERR_GET_LIB(e) == ERR_LIB_SSL)
			first = e;
	}
	return first ? first : any;
}

const char *
tls_refusal(SSL *ssl, struct tls_identity *identity)
{
	const struct note *note = SSL_get_ex_data(ssl, note_slot);
	X509 *certificate = note ? note->certificate : SSL_get0_peer_certificate(ssl);
	unsigned long e = queue_first();

	memset(identity, 0, sizeof(*identity));
	if (certificate)
		tls_identity_read(identity, certificate);
	ERR_clear_error();
	if (note)
		return tls_depth_words(note->error, note->depth);
	return e ? queue_words(ERR_GET_REASON(e)) : "closed";
}

const char *
tls_alert_words(void)
{
	unsigned long e = queue_first();
	bool alert = e && ERR_GET_LIB(e) == ERR_LIB_SSL && ERR_GET_REASON(e) >= SSL_AD_REASON_OFFSET;

	if (!alert)
		return NULL;
	/* All else was agreed before. */
	if (ERR_GET_REASON(e) == SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE)
		return "our certificate was refused";
	return queue_words(ERR_GET_REASON(e));
}
