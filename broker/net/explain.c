/* SPDX-License-Identifier: Apache-2.0 */
/* A peer that dials us, explained from memory: see explain.h. */
#include "broker/net/explain.h"

#include <errno.h>
#include <string.h>

#include "broker/base/clock.h"
#include "broker/net/explain_parts.h"

/* How ${identity} is written in the configuration. */
static void
tell_identity(struct buffer *report, const struct config_identity *identity)
{
	switch (identity->kind) {
	case IDENTITY_SUBJECT:
		buffer_printf(
		    report, "entry: subject %s, issued by %s\n", identity->subject, identity->issuer);
		break;
	case IDENTITY_SAN:
		buffer_printf(report, "entry: alternative name %s, issued by %s\n", identity->subject,
		    identity->issuer);
		break;
	case IDENTITY_SPKI:
		buffer_append_str(report, "entry: its key, whoever issued the certificate\n");
		break;
	}
}

/* Whether ${last} has ${identity}, as far as can be told: alternative names are not kept, and cut names not compared. */
static bool
may_be(const struct config_identity *identity, const struct tls_identity *last)
{
	if (identity->kind == IDENTITY_SPKI)
		return memcmp(identity->spki, last->spki, sizeof(last->spki)) == 0;
	if (strncmp(identity->issuer, last->issuer, sizeof(last->issuer) - 1) != 0)
		return false;
	return identity->kind == IDENTITY_SAN ||
	       strncmp(identity->subject, last->subject, sizeof(last->subject) - 1) == 0;
}

static unsigned
tell_entry(struct buffer *report, const struct config_peer *peer, const struct tls_identity *last)
{
	bool known = false;

	for (size_t i = 0; i < peer->identity_count; i++) {
		tell_identity(report, &peer->identities[i]);
		known |= last && may_be(&peer->identities[i], last);
	}
	if (peer->identity_count == 0)
		buffer_append_str(report, "entry: no certificate; it comes through a plain listener only\n");
	if (!last || known || peer->identity_count == 0)
		return 0;
	buffer_append_str(report, "  WRONG: none of its entries has the last certificate seen. If it is the "
				  "partner's, add it to the peer's "
				  "`certificates`, then `liaison reload`.\n");
	return 1;
}

static unsigned
tell_times(struct buffer *report, const struct tls_identity *last, int64_t now_s)
{
	char from[32], to[32];

	clock_second(last->not_before, from);
	clock_second(last->not_after, to);
	buffer_printf(report,
	    "certificate: %s\n  issued by %s, serial %s\n  valid from %s to %s: ", last->subject,
	    last->issuer, last->serial, from, to);
	if (now_s >= last->not_before && now_s <= last->not_after) {
		buffer_printf(report, "%lld days left\n", (long long)tls_identity_days(last, now_s));
		return 0;
	}
	if (now_s > last->not_after)
		buffer_printf(report, "ended\n  WRONG: expired. %s\n", explain_advice("expired"));
	else
		buffer_printf(
		    report, "not begun\n  WRONG: not yet valid. %s\n", explain_advice("not yet valid"));
	return 1;
}

static unsigned
tell_revocation(struct buffer *report, const struct explain_peer *about)
{
	const char *words;

	if (!about->context)
		return 0;
	words = tls_serial_words(about->context, about->last, about->now_s);
	if (!words) {
		buffer_append_str(report, "  revocation: not looked at (tls.crls is not set)\n");
		return 0;
	}
	if (strcmp(words, "good") == 0) {
		buffer_append_str(report, "  revocation: not listed\n");
		return 0;
	}
	buffer_printf(report, "  WRONG: %s. %s\n", words, explain_advice(words));
	return 1;
}

int
explain_peer(const struct explain_peer *about, struct buffer *report)
{
	const struct config_peer *peer = about->peer;
	unsigned faults;
	char when[32];

	buffer_printf(
	    report, "%s dials us: it cannot be dialled from here; this is what is known\n", peer->name);
	faults = tell_entry(report, peer, about->last);
	if (about->connections)
		buffer_printf(report, "now: %u connection%s open\n", about->connections,
		    about->connections == 1 ? "" : "s");
	if (about->last_seen_us) {
		clock_second((int64_t)(about->last_seen_us / 1000000), when);
		buffer_printf(report, "last connected: %s\n", when);
	} else {
		buffer_append_str(report,
		    "last connected: not since the start. If it tries, the log has `handshake-refused` or "
		    "`peer-unknown` with the "
		    "certificate that it shows; if it has neither, its connections do not arrive here.\n");
	}
	if (about->last && about->last->serial[0]) {
		faults += tell_times(report, about->last, about->now_s);
		faults += tell_revocation(report, about);
	}
	if (!peer->may_send && !peer->may_read) {
		buffer_append_str(report, "  WRONG: it may neither send nor read (`may` of its entry)\n");
		faults++;
	}
	buffer_append_str(report, faults ? "verdict: it cannot connect, or may do nothing\n"
					 : "verdict: nothing here stands in its way\n");
	if (buffer_failed(report))
		return -ENOMEM;
	return faults ? EXPLAIN_BAD : 0;
}
