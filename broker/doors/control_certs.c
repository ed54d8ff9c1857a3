/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `certs`: our certificate, the last one seen of every peer and of every dialled destination, the revocation lists. `peer-test`: whether one of
 * them could be connected with now, each step explained.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "broker/base/clock.h"
#include "broker/doors/control_request.h"
#include "broker/net/explain.h"

#define REPORT_MAX ((size_t)1 << 20)

static const int thresholds[] = { 1, 7, 14, 30, 60 }; /* days */

static int64_t
now_s(void)
{
	return (int64_t)(clock_wall_us() / 1000000);
}

/* The narrowest of the warning periods it is in, days; 0: in none. An expired one is in the narrowest. */
static int
within(int64_t days)
{
	for (size_t i = 0; i < sizeof(thresholds) / sizeof(thresholds[0]); i++)
		if (days <= thresholds[i])
			return thresholds[i];
	return 0;
}

/* What the lists say of a partner's certificate; NULL: nothing that stands in its way. */
static const char *
withdrawn(struct control_request *request, const char *role, const struct tls_identity *identity)
{
	const struct tls_context *context = request->with->tls;
	const char *words = NULL;

	if (context && strcmp(role, "ours") != 0)
		words = tls_serial_words(context, identity, now_s());
	return words && strcmp(words, "good") != 0 ? words : NULL;
}

/* The row of ${identity}, NULL: none was seen since the start. False when an operator should see to it. */
static bool
certificate_row(struct control_request *request, const char *whose, const char *role,
    const struct tls_identity *identity, uint64_t seen_us)
{
	int64_t days = identity ? tls_identity_days(identity, now_s()) : 0;
	const char *words = identity ? withdrawn(request, role, identity) : NULL;

	if (!identity) {
		control_row(request, json_pack("{ss so ss so}", "kind", "certificate", "whose",
					 control_text(whose), "role", role, "last_seen", json_null()));
		return true;
	}
	control_row(
	    request, json_pack("{ss so ss so so so so so so sI si sb ss?}", "kind", "certificate", "whose",
			 control_text(whose), "role", role, "subject", control_text(identity->subject),
			 "issuer", control_text(identity->issuer), "serial", control_text(identity->serial),
			 "not_before", control_time((uint64_t)identity->not_before * 1000000), "not_after",
			 control_time((uint64_t)identity->not_after * 1000000), "last_seen",
			 control_time(seen_us), "days", (json_int_t)days, "within", within(days), "expired",
			 (int)(days < 0), "revocation", words));
	return days > PEERS_OWN_SOON && !words;
}

/* Of all lists the one that is due first. */
static bool
revocation_row(struct control_request *request)
{
	struct tls_crl_status status;
	int64_t left;

	tls_crl_status(request->with->tls, now_s(), &status);
	if (!status.count)
		return true;
	left = status.next_update - now_s();
	control_row(request,
	    json_pack("{ss sI so so sI sb sb}", "kind", "revocation", "lists", (json_int_t)status.count,
		"issuer", control_text(status.issuer), "next_update",
		control_time((uint64_t)status.next_update * 1000000), "hours", (json_int_t)(left / 3600),
		"stale", (int)status.stale, "closed", (int)status.closed));
	return !status.stale;
}

void
control_certs(struct control_request *request)
{
	const struct control_options *with = request->with;
	bool well = true;

	/* Ours is the one that links are given, not what lies on disk. */
	if (with->tls)
		well = certificate_row(request, "broker", "ours", tls_own(with->tls), 0);
	for (size_t i = 0; i < peers_count(with->peers); i++) {
		const struct peer *peer = peers_at(with->peers, i);

		if (!peer->config->identity_count)
			continue; /* gone, or of a plain listener: it shows none */
		well &= certificate_row(
		    request, peer->config->name, "peer", peer_certificate(peer), peer->last_seen_us);
	}
	for (size_t i = 0; i < with->config->destination_count; i++) {
		const struct config_destination *destination = &with->config->destinations[i];
		const struct seen_entry *entry;

		if (destination->kind == DESTINATION_INBOX)
			continue;
		entry = with->seen ? seen_find(with->seen, destination->name) : NULL;
		well &= certificate_row(request, destination->name, "destination",
		    entry ? &entry->last : NULL, entry ? entry->last_seen_us : 0);
	}
	if (with->tls)
		well &= revocation_row(request);
	control_ok(request, json_pack("{sb}", "well", (int)well));
}

/*
 * peer-test
 */
/* Each line of ${report} is a row; ${result} is that of the test. */
static void
tell(struct control_request *request, const struct buffer *report, int result)
{
	struct span rest = buffer_span(report);

	while (rest.len) {
		const uint8_t *end = memchr(rest.ptr, '\n', rest.len);
		size_t len = end ? (size_t)(end - rest.ptr) : rest.len;
		char *text = arena_str(&request->arena, span_cut(rest, 0, len));

		control_row(request, json_pack("{ss so}", "kind", "step", "text", control_text(text)));
		rest = span_cut(rest, len + (end != NULL), rest.len);
	}
	request->result = result;
}

static void
tested(struct control_request *request)
{
	if (request->result < 0)
		control_fail_errno(request, "it could not be tested", request->result);
	else
		control_ok(request, json_pack("{sb}", "well", (int)(request->result == 0)));
}

static void
dial(struct control_request *request)
{
	const struct config_dial *to = request->own;
	const struct explain_target target = {
		.host = to->host,
		.port = to->port,
		.server_name = to->server_name,
		.tls = &request->with->config->tls,
		.ms = to->connect_ms,
	};
	struct buffer report;
	int result;

	buffer_init(&report, REPORT_MAX);
	result = explain_dial(&target, &report);
	tell(request, &report, result);
	buffer_fini(&report);
}

static void
look_at(struct control_request *request, const struct peer *peer)
{
	const struct explain_peer about = {
		.peer = peer->config,
		.last = peer_certificate(peer),
		.last_seen_us = peer->last_seen_us,
		.connections = peer->connections,
		.context = request->with->tls,
		.now_s = now_s(),
	};
	struct buffer report;
	int result;

	buffer_init(&report, REPORT_MAX);
	result = explain_peer(&about, &report);
	tell(request, &report, result);
	buffer_fini(&report);
	tested(request);
}

/* One name may be a destination's and a peer's: what we dial is what can be tested from here. */
void
control_peer_test(struct control_request *request)
{
	const char *name = request->line.peer;
	const struct config_destination *destination = config_destination(request->with->config, name);
	const struct peer *peer = peers_find(request->with->peers, name);

	if (destination && destination->kind != DESTINATION_INBOX) {
		request->own = (void *)(uintptr_t)&destination->dial;
		control_work(request, dial, tested);
	} else if (peer) {
		look_at(request, peer);
	} else {
		control_fail(request, "absent",
		    "no peer and no dialled destination is called so: liaison peers and liaison queue name "
		    "them");
	}
}
