/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a connected socket to somebody who is known, or to a refusal that tells an operator which certificate and why.
 *
 * Accepted: the certificate is matched to a peer. Dialled: the SSL itself has checked that the server is who was meant. No byte of what was
 * refused is looked at. A resumed session is matched anew; that its chain is still good was seen when its ticket was taken (tls.h).
 */
#include <stddef.h>

#include <event2/event.h>
#include <openssl/err.h>

#include "broker/net/link_state.h"
#include "broker/net/seen.h"

/* It has come to the head of the line. */
static void
turn_come(struct pace_item *item)
{
	struct link *link = (struct link *)((char *)item - offsetof(struct link, turn));

	link_read_events(link, true);
	link_shake(link);
}

void
link_shake_in_turn(struct link *link)
{
	if (link->owner->outward)
		link_shake(link);
	else if (!pace_ask(loop_pace(link_loop(link)), &link->turn))
		link_read_events(link, false);
}

void
link_begin(struct link *link, uint64_t by_us)
{
	link->turn.run = turn_come;
	link->shaken_by_us = by_us;
	link_enter(link, LINK_HANDSHAKE);
	if (link->owner->outward)
		link_shake(link); /* the first word is the client's */
}

void
link_refuse(struct link *link, const char *reason, const struct tls_identity *identity)
{
	struct link_owner *owner = link->owner;

	if (owner->outward) {
		owner->refused(owner, reason, identity);
	} else {
		metric_add(metric_series(METRIC_HANDSHAKES_REFUSED, reason), 1);
		link_tell_refused(link, reason, identity);
	}
	link_linger(link);
}

static void
refuse_unknown(struct link *link, X509 *certificate, const char *why)
{
	struct tls_identity identity;

	tls_identity_read(&identity, certificate);
	link_tell_unknown(link, &identity, why);
	metric_add(metric_series(METRIC_HANDSHAKES_REFUSED, "unknown peer"), 1);
	link_linger(link);
}

/* The link is the door's, or the sender's, from here on. */
static void
become_open(struct link *link)
{
	struct link_owner *owner = link->owner;

	link->known = true;
	owner->known++;
	link_tell_opened(link);
	link_enter(link, LINK_OPEN);
	link_deadline(link, owner->limits.idle_ms);
	link->arg = owner->handler->opened(link, link->peer, owner->door);
	if (!link->arg)
		link_drop(link, LINK_CLOSED_BY_US);
	else if (link->state == LINK_OPEN)
		link_read(link); /* what came with the handshake sits in the SSL */
}

void
link_welcome(struct link *link, struct peer *peer)
{
	if (peer->connections >= peer->config->max_connections) {
		link_tell_crowd(link, peer);
		link_linger(link);
		return;
	}
	link->peer = peer;
	peer->connections++;
	become_open(link);
}

/* Certificates were reloaded while hands were shaken: the context of today has the last word. 0, or it was refused. */
static int
judge_late(struct link *link)
{
	struct tls_identity identity;
	const char *why = tls_verify_words(X509_V_ERR_OUT_OF_MEM);
	int rc = tls_judge(link->owner->tls, link->ssl, &identity, &why);

	if (rc)
		link_refuse(link, why, rc > 0 ? &identity : NULL);
	return rc;
}

static void
shaken(struct link *link)
{
	X509 *certificate = SSL_get0_peer_certificate(link->ssl);
	struct peer *peer = NULL;
	int rc;

	if (!certificate) {
		link_refuse(link, "no certificate", NULL);
		return;
	}
	if (link->owner->outward) {
		if (link->owner->seen)
			seen_certificate(link->owner->seen, link->owner->name, certificate);
		become_open(link);
		return;
	}
	/* A listener that became a plain one meanwhile has none: the context this one began with was good enough. */
	if (link->owner->tls && tls_of(link->ssl) != link->owner->tls && judge_late(link))
		return;
	rc = peers_match(link->owner->peers, certificate, &peer);
	if (rc == PEERS_NONE) {
		refuse_unknown(link, certificate, "no peer of the configuration has it");
	} else if (rc == PEERS_SEVERAL) {
		refuse_unknown(link, certificate, "more than one peer of the configuration has it");
	} else if (rc < 0) {
		link_refuse(link, tls_verify_words(X509_V_ERR_OUT_OF_MEM), NULL);
	} else {
		peer_seen(peer, certificate);
		link_welcome(link, peer);
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
