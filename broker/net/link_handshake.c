/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From accept to a known peer, or to a refusal that tells an operator which certificate and why.
 *
 * No byte of what was refused is looked at. A resumed session is matched anew, and its certificate's end looked at anew: the verification behind
 * it may be hours old.
 */
#include <string.h>
#include <time.h>

#include <event2/event.h>
#include <openssl/err.h>

#include "broker/base/log.h"
#include "broker/net/link_state.h"

static void
log_time(struct log_line *line, const char *key, int64_t when)
{
	time_t t = (time_t)when;
	char text[32];
	struct tm tm;

	if (!gmtime_r(&t, &tm) || strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		text[0] = '\0';
	log_text(line, key, text);
}

static void
log_where(struct log_line *line, const struct link *link)
{
	log_u64(line, "link", link->id);
	log_text(line, "address", link->address);
	log_text(line, "listener", link->listener->options.listener->name);
}

static void
log_identity(struct log_line *line, const struct tls_identity *identity)
{
	log_text(line, "subject", identity->subject);
	log_text(line, "issuer", identity->issuer);
	log_text(line, "serial", identity->serial);
	log_time(line, "not_before", identity->not_before);
	log_time(line, "not_after", identity->not_after);
}

/* Begin the line of a refusal; false: others like it were told just now, and it is only counted. */
static bool
begin_refusal(struct log_line *line, enum log_event event, struct link *link, const char *reason,
    const struct tls_identity *identity)
{
	uint64_t again, key = refusals_key(link->address, reason, identity ? identity->serial : "");

	link->untold = !refusals_tell(&link->listener->refusals, key, loop_now_us(link_loop(link)), &again);
	if (link->untold)
		return false;
	log_begin(line, event);
	log_where(line, link);
	if (again)
		log_u64(line, "again", again);
	return true;
}

void
link_refuse(struct link *link, const char *reason, const struct tls_identity *identity)
{
	/* Load balancers look at a port every few seconds: that is nothing to warn of. */
	bool probe = strcmp(reason, "closed") == 0 && BIO_number_read(SSL_get_rbio(link->ssl)) == 0;
	struct log_line line;

	metric_add(metric_series(METRIC_HANDSHAKES_REFUSED, reason), 1);
	if (begin_refusal(&line, probe ? EVENT_PROBED : EVENT_HANDSHAKE_REFUSED, link, reason, identity)) {
		log_text(&line, "reason", reason);
		if (identity)
			log_identity(&line, identity);
		log_commit(&line);
	}
	link_linger(link);
}

static void
refuse_unknown(struct link *link, X509 *certificate, const char *why)
{
	static const char digits[] = "0123456789abcdef";
	struct tls_identity identity;
	struct log_line line;
	char spki[2 * sizeof(identity.spki) + 1];

	tls_identity_read(&identity, certificate);
	for (size_t i = 0; i < sizeof(identity.spki); i++) {
		spki[2 * i] = digits[identity.spki[i] >> 4];
		spki[2 * i + 1] = digits[identity.spki[i] & 15];
	}
	spki[sizeof(spki) - 1] = '\0';
	if (begin_refusal(&line, EVENT_PEER_UNKNOWN, link, why, &identity)) {
		log_text(&line, "why", why);
		log_identity(&line, &identity);
		log_text(&line, "spki", spki);
		log_commit(&line);
	}
	metric_add(metric_series(METRIC_HANDSHAKES_REFUSED, "unknown peer"), 1);
	link_linger(link);
}

static void
refuse_crowd(struct link *link, const struct peer *peer)
{
	struct log_line line;

	static const char why[] = "the peer's greatest number of connections";

	if (begin_refusal(&line, EVENT_CONNECTION_REFUSED, link, why, &peer->last)) {
		log_text(&line, "peer", peer->config->name);
		log_text(&line, "why", why);
		log_u64(&line, "limit", peer->config->max_connections);
		log_commit(&line);
	}
	link_linger(link);
}

/* The peer is known: the link is the door's from here on. */
static void
become_open(struct link *link, struct peer *peer)
{
	const struct listener_options *options = &link->listener->options;
	struct log_line line;

	link->peer = peer;
	peer->connections++;
	link->listener->known++;
	log_begin(&line, EVENT_CONNECTED);
	log_u64(&line, "link", link->id);
	log_text(&line, "peer", peer->config->name);
	log_text(&line, "address", link->address);
	log_text(&line, "listener", options->listener->name);
	log_text(&line, "tls", SSL_get_version(link->ssl));
	log_text(&line, "cipher", SSL_get_cipher_name(link->ssl));
	log_text(&line, "resumed", SSL_session_reused(link->ssl) ? "yes" : "no");
	log_text(&line, "serial", peer->last.serial);
	log_time(&line, "not_after", peer->last.not_after);
	log_commit(&line);

	link_enter(link, LINK_OPEN);
	link_deadline(link, options->config->limits.idle_ms);
	link->arg = options->handler->opened(link, peer, options->door);
	if (!link->arg)
		link_drop(link, LINK_CLOSED_BY_US);
	else if (link->state == LINK_OPEN)
		link_read(link); /* what came with the handshake sits in the SSL */
}

static void
shaken(struct link *link)
{
	X509 *certificate = SSL_get0_peer_certificate(link->ssl);
	struct tls_identity identity;
	struct peer *peer = NULL;
	int rc;

	if (!certificate) {
		link_refuse(link, "no certificate", NULL);
		return;
	}
	if (SSL_session_reused(link->ssl) && X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0) {
		tls_identity_read(&identity, certificate);
		link_refuse(link, tls_verify_words(X509_V_ERR_CERT_HAS_EXPIRED), &identity);
		return;
	}
	rc = peers_match(link->listener->options.peers, certificate, &peer);
	if (rc == PEERS_NONE) {
		refuse_unknown(link, certificate, "no peer of the configuration has it");
	} else if (rc == PEERS_SEVERAL) {
		refuse_unknown(link, certificate, "more than one peer of the configuration has it");
	} else if (rc < 0) {
		link_refuse(link, tls_verify_words(X509_V_ERR_OUT_OF_MEM), NULL);
	} else {
		peer_seen(peer, certificate);
		if (peer->connections >= peer->config->max_connections)
			refuse_crowd(link, peer);
		else
			become_open(link, peer);
	}
}

void
link_shake(struct link *link)
{
	struct tls_identity identity;
	const char *reason;
	int rc, why;

	ERR_clear_error();
	rc = SSL_do_handshake(link->ssl);
	if (rc == 1) {
		shaken(link);
		return;
	}
	why = SSL_get_error(link->ssl, rc);
	if (why == SSL_ERROR_WANT_READ)
		return; /* on_read is there */
	if (why == SSL_ERROR_WANT_WRITE) {
		event_add(&link->on_write, NULL);
		return;
	}
	reason = tls_refusal(link->ssl, &identity);
	link_refuse(link, reason, identity.subject[0] || identity.serial[0] ? &identity : NULL);
}
