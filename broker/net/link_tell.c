/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log lines of a link's life: opened, refused, closed. Accepted links are told by listener and peer, dialled ones by destination; of what
 * a dialled one fails at nothing is told here: its owner knows whether it is news. Of a peer or a destination that connects over and over not
 * every connection is told (bounces.h), but all are counted.
 */
#include <string.h>

#include "broker/base/log.h"
#include "broker/net/link_state.h"

static void
log_where(struct log_line *line, const struct link *link)
{
	log_text(line, "address", link->address);
	if (!link->owner->outward)
		log_text(line, "listener", link->owner->name);
}

/* Who is at the other end. */
static void
log_who(struct log_line *line, const struct link *link)
{
	log_u64(line, "link", link->id);
	if (link->peer)
		log_text(line, "peer", link->peer->config->name);
	else if (link->owner->outward)
		log_text(line, "destination", link->owner->name);
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

static struct bounces *
bounces_of(struct link *link)
{
	return link->peer ? &link->peer->bounces : &link->owner->bounces;
}

static void
count_opened(const struct link *link)
{
	if (link->peer)
		metric_add(metric_series(METRIC_CONNECTED, link->peer->config->name), 1);
	else
		metric_add(metric_series(METRIC_DIALLED, link->owner->name), 1);
}

/* Whether a link that opened without a line ends without one, too: not when we had a reason to end it. */
static bool
ends_untold(const struct link *link)
{
	if (!link->untold)
		return false;
	switch (link->end) {
	case LINK_CLOSED_BY_PEER:
	case LINK_RESET:
	case LINK_CLOSED_BY_US:
		return true;
	default:
		return false;
	}
}

void
link_tell_opened(struct link *link)
{
	struct tls_identity identity;
	X509 *certificate = link->ssl ? SSL_get0_peer_certificate(link->ssl) : NULL;
	uint64_t again = 0;
	struct log_line line;

	count_opened(link);
	link->untold = !bounces_tell(bounces_of(link), loop_now_us(link_loop(link)));
	if (link->untold)
		return;
	log_begin(&line, link->owner->outward ? EVENT_DIALLED : EVENT_CONNECTED);
	log_who(&line, link);
	log_where(&line, link);
	if (link->owner->outward) /* a peer's are told by presence.c */
		again = bounces_take(&link->owner->bounces);
	if (again)
		log_u64(&line, "again", again);
	log_text(&line, "tls", link->ssl ? SSL_get_version(link->ssl) : "none");
	if (link->ssl)
		log_text(&line, "cipher", SSL_get_cipher_name(link->ssl));
	if (link->ssl && !link->owner->outward)
		log_text(&line, "resumed", SSL_session_reused(link->ssl) ? "yes" : "no");
	if (certificate) {
		tls_identity_read(&identity, certificate);
		log_text(&line, "serial", identity.serial);
		log_time(&line, "not_after", identity.not_after);
	}
	log_commit(&line);
}

/* What came before the peer was known: counted, never looked at. */
static void
tell_unauthenticated(struct link *link)
{
	uint64_t bytes = link->bytes_dropped;
	struct log_line line;

	if (link->owner->outward || (link->ssl && SSL_is_init_finished(link->ssl)))
		return;
	if (link->ssl)
		bytes += BIO_number_read(SSL_get_rbio(link->ssl));
	if (bytes == 0)
		return;
	metric_count(METRIC_UNAUTHENTICATED_BYTES, bytes);
	if (link->untold)
		return;
	log_begin(&line, EVENT_BEFORE_AUTHENTICATION);
	log_u64(&line, "link", link->id);
	log_where(&line, link);
	log_u64(&line, "bytes", bytes);
	log_commit(&line);
}

void
link_tell_closed(struct link *link)
{
	struct log_line line;

	if (!link->known) {
		tell_unauthenticated(link);
		return;
	}
	metric_add(metric_series(METRIC_DISCONNECTED, link_end_name(link->end)), 1);
	if (ends_untold(link))
		return;
	log_begin(&line, EVENT_DISCONNECTED);
	log_who(&line, link);
	log_where(&line, link);
	log_text(&line, "end", link_end_name(link->end));
	if (link->why)
		log_text(&line, "why", link->why);
	log_u64(&line, "seconds", (loop_now_us(link_loop(link)) - link->opened_us) / 1000000);
	log_u64(&line, "in", link->bytes_in);
	log_u64(&line, "out", link->bytes_out);
	log_commit(&line);
}

/* Begin the line of a refusal; false: others like it were told just now, and it is only counted. */
static bool
begin_refusal(struct log_line *line, enum log_event event, struct link *link, const char *reason,
    const struct tls_identity *identity)
{
	uint64_t again, key = refusals_key(link->address, reason, identity ? identity->serial : "");

	link->untold = !refusals_tell(link->owner->refusals, key, loop_now_us(link_loop(link)), &again);
	if (link->untold)
		return false;
	log_begin(line, event);
	log_u64(line, "link", link->id);
	log_where(line, link);
	if (again)
		log_u64(line, "again", again);
	return true;
}

void
link_tell_refused(struct link *link, const char *reason, const struct tls_identity *identity)
{
	/* Load balancers look at a port every few seconds: that is nothing to warn of. */
	bool probe = strcmp(reason, "closed") == 0 && BIO_number_read(SSL_get_rbio(link->ssl)) == 0;
	struct log_line line;

	if (!begin_refusal(&line, probe ? EVENT_PROBED : EVENT_HANDSHAKE_REFUSED, link, reason, identity))
		return;
	log_text(&line, "reason", reason);
	if (identity)
		log_identity(&line, identity);
	log_commit(&line);
}

void
link_tell_unknown(struct link *link, const struct tls_identity *identity, const char *why)
{
	static const char digits[] = "0123456789abcdef";
	char spki[2 * sizeof(identity->spki) + 1];
	struct log_line line;

	for (size_t i = 0; i < sizeof(identity->spki); i++) {
		spki[2 * i] = digits[identity->spki[i] >> 4];
		spki[2 * i + 1] = digits[identity->spki[i] & 15];
	}
	spki[sizeof(spki) - 1] = '\0';
	if (!begin_refusal(&line, EVENT_PEER_UNKNOWN, link, why, identity))
		return;
	log_text(&line, "why", why);
	log_identity(&line, identity);
	log_text(&line, "spki", spki);
	log_commit(&line);
}

void
link_tell_crowd(struct link *link, const struct peer *peer)
{
	static const char why[] = "the peer's greatest number of connections";
	struct log_line line;

	if (!begin_refusal(&line, EVENT_CONNECTION_REFUSED, link, why, link->ssl ? &peer->last : NULL))
		return;
	log_text(&line, "peer", peer->config->name);
	log_text(&line, "why", why);
	log_u64(&line, "limit", peer->config->max_connections);
	log_commit(&line);
}

void
link_tell_judged(struct link *link, const char *why, const struct tls_identity *identity)
{
	struct log_line line;

	log_begin(&line, EVENT_LINK_JUDGED_OUT);
	log_who(&line, link);
	log_where(&line, link);
	log_text(&line, "why", why);
	if (identity)
		log_identity(&line, identity);
	log_commit(&line);
}
