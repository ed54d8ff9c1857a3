/* SPDX-License-Identifier: Apache-2.0 */
/* Who is told that certificates end: see ends.h. */
#include "broker/net/ends.h"

#include <stddef.h>
#include <string.h>

#include "broker/base/log.h"
#include "broker/base/metrics.h"
#include "broker/net/peers.h"
#include "broker/net/seen.h"
#include "broker/store/seal_key.h"

#define DAY ((int64_t)86400)

int
ends_threshold(int64_t not_after, int64_t now_s)
{
	static const int days[] = { 1, 7, 14, 30, 60 };

	if (now_s > not_after)
		return 0;
	for (size_t i = 0; i < sizeof(days) / sizeof(days[0]); i++)
		if (not_after - now_s <= days[i] * DAY)
			return days[i];
	return ENDS_FAR;
}

bool
ends_due(struct ends_told *told, const struct tls_identity *identity, int64_t now_s, int *days)
{
	unsigned i = 0;

	while (i < ENDS_TOLD_KEPT && (told->at[i].not_after != identity->not_after ||
					 strcmp(told->at[i].serial, identity->serial) != 0))
		i++;
	if (i == ENDS_TOLD_KEPT) {
		i = told->next;
		told->next = (told->next + 1) % ENDS_TOLD_KEPT;
		memcpy(told->at[i].serial, identity->serial, sizeof(told->at[i].serial));
		told->at[i].not_after = identity->not_after;
		told->at[i].days = ENDS_FAR;
	}
	*days = ends_threshold(identity->not_after, now_s);
	if (*days >= told->at[i].days)
		return false;
	told->at[i].days = *days;
	return true;
}

static void
tell_end(enum log_event event, const char *kind, const char *whose, const struct tls_identity *identity,
    int within, int64_t now_s)
{
	struct log_line line;

	log_begin(&line, event);
	log_text(&line, kind, whose);
	log_i64(&line, "within", within);
	log_i64(&line, "days", tls_identity_days(identity, now_s));
	log_time(&line, "not_after", identity->not_after);
	log_text(&line, "serial", identity->serial);
	log_text(&line, "subject", identity->subject);
	log_text(&line, "issuer", identity->issuer);
	log_commit(&line);
}

static void
tell_own(struct ends *ends, const struct tls_identity *own, int64_t now_s)
{
	int within;

	metric_set(metric_series(METRIC_CERTIFICATE_DAYS, "broker"), tls_identity_days(own, now_s));
	if (ends_due(&ends->own, own, now_s, &within))
		tell_end(within <= ENDS_NOW_DAYS ? EVENT_CERTIFICATE_ENDING_NOW : EVENT_CERTIFICATE_ENDS,
		    "whose", "broker", own, within, now_s);
}

void
ends_seal(struct ends *ends, const struct seal_key *seal)
{
	const struct seal_names *names = seal ? seal_key_names(seal) : NULL;
	struct tls_identity *identity = &ends->seal_identity;

	memset(identity, 0, sizeof(*identity));
	if (!names)
		return;
	memcpy(identity->subject, names->subject, sizeof(identity->subject));
	memcpy(identity->issuer, names->issuer, sizeof(identity->issuer));
	memcpy(identity->serial, names->serial, sizeof(identity->serial));
	identity->not_before = names->not_before;
	identity->not_after = names->not_after;
}

static void
tell_seal(struct ends *ends, int64_t now_s)
{
	const struct tls_identity *seal = &ends->seal_identity;
	int within;

	if (!seal->not_after)
		return;
	metric_set(metric_series(METRIC_CERTIFICATE_DAYS, "seal"), tls_identity_days(seal, now_s));
	if (ends_due(&ends->seal, seal, now_s, &within))
		tell_end(within <= ENDS_NOW_DAYS ? EVENT_CERTIFICATE_ENDING_NOW : EVENT_CERTIFICATE_ENDS,
		    "whose", "seal", seal, within, now_s);
}

static void
tell_peer(struct peer *peer, int64_t now_s)
{
	int within;

	if (!peer->certificate_days)
		return;
	metric_set(peer->certificate_days, tls_identity_days(&peer->last, now_s));
	if (ends_due(&peer->told, &peer->last, now_s, &within))
		tell_end(EVENT_CERTIFICATE_ENDS, "whose", peer->config->name, &peer->last, within, now_s);
}

static void
tell_destination(struct seen_entry *entry, int64_t now_s)
{
	int within;

	metric_set(metric_series(METRIC_DESTINATION_CERTIFICATE_DAYS, entry->name),
	    tls_identity_days(&entry->last, now_s));
	if (ends_due(&entry->told, &entry->last, now_s, &within))
		tell_end(EVENT_CERTIFICATE_ENDS, "destination", entry->name, &entry->last, within, now_s);
}

static void
tell_list(const struct tls_crl *crl, int64_t now_s)
{
	bool closed = now_s > crl->next_update + TLS_CRL_GRACE_S;
	struct log_line line;

	log_begin(&line, closed ? EVENT_CRL_CLOSED : EVENT_CRL_STALE);
	log_text(&line, "issuer", crl->issuer);
	log_time(&line, "next_update", crl->next_update);
	log_time(&line, "closes", crl->next_update + TLS_CRL_GRACE_S);
	log_commit(&line);
}

static void
tell_lists(struct ends *ends, const struct tls_context *context, int64_t now_s)
{
	struct tls_crl_status status;
	size_t stale = 0, closed = 0;
	struct tls_crl crl;

	tls_crl_status(context, now_s, &status);
	if (status.count)
		metric_set(metric_series(METRIC_CRL_NEXT_UPDATE, NULL), status.next_update);
	for (size_t i = 0; status.stale && tls_crl_at(context, i, &crl); i++) {
		stale += now_s > crl.next_update;
		closed += now_s > crl.next_update + TLS_CRL_GRACE_S;
	}
	if (stale == ends->stale && closed == ends->closed && now_s >= ends->stale_told_s &&
	    now_s < ends->stale_told_s + ENDS_AGAIN_S)
		return;
	ends->stale = stale;
	ends->closed = closed;
	ends->stale_told_s = now_s;
	for (size_t i = 0; stale && tls_crl_at(context, i, &crl); i++)
		if (now_s > crl.next_update)
			tell_list(&crl, now_s);
}

void
ends_tell(struct ends *ends, const struct tls_context *context, struct peers *peers, struct seen *seen,
    int64_t now_s)
{
	tell_own(ends, tls_own(context), now_s);
	tell_seal(ends, now_s);
	for (size_t i = 0; i < peers_count(peers); i++)
		tell_peer(peers_at(peers, i), now_s);
	for (size_t i = 0; seen && i < seen_count(seen); i++)
		tell_destination(seen_at(seen, i), now_s);
	tell_lists(ends, context, now_s);
}
