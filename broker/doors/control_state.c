/* SPDX-License-Identifier: Apache-2.0 */
/* `status`, `peers` and `events`: how the broker is now. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "broker/base/clock.h"
#include "broker/base/log.h"
#include "broker/base/metrics.h"
#include "broker/doors/control_live.h"

#define LAG_ALERT     10000 /* records the view may be behind before `status` says so */
#define LOG_DROPPED_S 3600

static int64_t
days_left(const struct tls_identity *identity)
{
	return tls_identity_days(identity, (int64_t)(clock_wall_us() / 1000000));
}

static json_t *
listener_rows(const struct control_options *with)
{
	json_t *rows = json_array();

	for (size_t i = 0; i < with->listener_count; i++) {
		const struct config_listener *configured = NULL;

		if (i < with->config->listener_count)
			configured = &with->config->listeners[i];
		if (!configured || !with->listeners[i])
			continue;
		json_array_append_new(rows,
		    json_pack("{so ss so si sI}", "name", control_text(configured->name), "protocol",
			configured->protocol == PROTOCOL_MLLP ? "mllp" : "https", "address",
			control_text(configured->address), "port", (int)listener_port(with->listeners[i]),
			"links", (json_int_t)listener_links(with->listeners[i])));
	}
	return rows;
}

static void
alert(json_t *row, const char *sentence)
{
	json_array_append_new(json_object_get(row, "alerts"), json_string(sentence));
}

static void
add_certificate(struct control_request *request, json_t *row)
{
	int64_t days;

	if (!request->with->tls)
		return;
	days = days_left(tls_own(request->with->tls));
	json_object_set_new(row, "certificate_days", json_integer(days));
	if (days < 0)
		alert(row, "our certificate has expired");
	else if (days <= PEERS_OWN_SOON)
		alert(row, "our certificate expires soon: see liaison certs");
}

static void
add_partner(json_t *row, const char *name, const struct tls_identity *identity)
{
	int64_t days = days_left(identity);
	char text[160];

	if (days > PEERS_PARTNER_SOON)
		return;
	if (days < 0)
		snprintf(text, sizeof(text), "the certificate of %s has expired", name);
	else
		snprintf(text, sizeof(text), "the certificate of %s expires in %lld days: call the partner",
		    name, (long long)days);
	alert(row, text);
}

/* A partner's end is ours to tell: it hears of it from nobody else before it is refused. */
static void
add_partners(struct control_request *request, json_t *row)
{
	const struct control_options *with = request->with;

	for (size_t i = 0; i < peers_count(with->peers); i++) {
		const struct peer *peer = peers_at(with->peers, i);

		if (peer_configured(peer) && peer_certificate(peer))
			add_partner(row, peer->config->name, peer_certificate(peer));
	}
	for (size_t i = 0; with->seen && i < seen_count(with->seen); i++) {
		const struct seen_entry *entry = seen_at(with->seen, i);

		add_partner(row, entry->name, &entry->last);
	}
}

/* Revocation that nobody keeps up closes the door on everybody: to be told long before. */
static void
add_revocation(struct control_request *request, json_t *row)
{
	int64_t now_s = (int64_t)(clock_wall_us() / 1000000);
	struct tls_crl_status status;
	char text[420];

	if (!request->with->tls)
		return;
	tls_crl_status(request->with->tls, now_s, &status);
	if (status.closed)
		snprintf(text, sizeof(text),
		    "the revocation list of %s is too old: its certificates are refused; get a new one, "
		    "liaison "
		    "reload",
		    status.issuer);
	else if (status.stale)
		snprintf(text, sizeof(text),
		    "the revocation list of %s is past its next update: in %lld h its certificates will be "
		    "refused; get a new one, liaison reload",
		    status.issuer, (long long)((status.next_update + TLS_CRL_GRACE_S - now_s) / 3600));
	if (status.stale || status.closed)
		alert(row, text);
}

static void
add_silent(struct control_request *request, json_t *row)
{
	char text[160];

	for (size_t i = 0; i < peers_count(request->with->peers); i++) {
		const struct peer *peer = peers_at(request->with->peers, i);

		if (!peer->silence.down)
			continue;
		snprintf(text, sizeof(text), "%s is silent for %llu min: call the partner",
		    peer->config->name, (unsigned long long)((clock_mono_us() - peer->heard_us) / 60000000));
		alert(row, text);
	}
}

static void
add_log(json_t *row)
{
	if (log_dropped_lately(LOG_DROPPED_S))
		alert(row, "log lines were dropped within the last hour: look at the disk of the log");
}

/* Held ones are told, too: a hold outlives the reason it was made for. */
static void
add_destination_alert(json_t *row, const struct control_live *live)
{
	char text[400];

	if (live->hold_record)
		snprintf(text, sizeof(text), "%s is held, %llu waiting: liaison queue tells by whom and why",
		    live->name, (unsigned long long)live->waiting);
	else if (live->dialled && live->state.tries)
		snprintf(text, sizeof(text), "%s does not take messages, %llu waiting: %s", live->name,
		    (unsigned long long)live->waiting, live->state.error);
	else
		return;
	alert(row, text);
}

/* 0 or -ENOMEM. */
static int
add_queues(struct control_request *request, json_t *row)
{
	uint64_t waiting = 0, oldest = 0;
	size_t dialled = 0, down = 0, held = 0, configured = request->with->config->destination_count;
	struct control_lives lives;

	if (control_lives_take(request, &lives) != 0)
		return -ENOMEM;
	for (size_t i = 0; i < configured; i++) {
		const struct control_live *live = &lives.list[i];

		waiting += live->waiting;
		if (live->oldest_us && (!oldest || live->oldest_us < oldest))
			oldest = live->oldest_us;
		dialled += live->destination->kind != DESTINATION_INBOX;
		held += live->hold_record != 0;
		down += !live->hold_record && live->dialled && live->state.tries;
		add_destination_alert(row, live);
	}
	json_object_set_new(row, "waiting", json_integer((json_int_t)waiting));
	json_object_set_new(row, "destinations", json_integer((json_int_t)configured));
	json_object_set_new(row, "dialled", json_integer((json_int_t)dialled));
	json_object_set_new(row, "down", json_integer((json_int_t)down));
	json_object_set_new(row, "held", json_integer((json_int_t)held));
	json_object_set_new(row, "oldest_s",
	    oldest ? json_integer((json_int_t)(lives.now_us > oldest ? (lives.now_us - oldest) / 1000000 : 0))
		   : json_null());
	return 0;
}

static void
add_peers(struct control_request *request, json_t *row)
{
	size_t connected = 0, connections = 0;

	for (size_t i = 0; i < peers_count(request->with->peers); i++) {
		unsigned n = peers_at(request->with->peers, i)->connections;

		connected += n > 0;
		connections += n;
	}
	json_object_set_new(row, "peers", json_integer((json_int_t)peers_count(request->with->peers)));
	json_object_set_new(row, "peers_connected", json_integer((json_int_t)connected));
	json_object_set_new(row, "connections", json_integer((json_int_t)connections));
}

/* On a worker: what asks the disk. */
static void
status_work(struct control_request *request)
{
	json_t *row = request->row;
	struct journal_status j;
	uint64_t lag = trace_lag(request->with->trace);
	bool well = trace_well(request->with->trace);

	journal_status(request->with->journal, &j);
	json_object_set_new(row, "journal",
	    json_pack("{sI sI sI sI sI sI sI sI sI sb sb}", "first", (json_int_t)j.first_seq, "last",
		(json_int_t)j.committed_seq, "records", (json_int_t)j.records, "bytes", (json_int_t)j.bytes,
		"segments", (json_int_t)j.segments, "disk_free", (json_int_t)j.disk_free, "disk_total",
		(json_int_t)j.disk_total, "quarantined", (json_int_t)j.quarantined, "sync_us",
		(json_int_t)j.sync_us_p50, "below_floor", (int)j.below_floor, "failed", (int)j.failed));
	json_object_set_new(row, "view", json_pack("{sI sb}", "lag", (json_int_t)lag, "well", (int)well));
	if (j.failed)
		alert(row, "the journal cannot be written: nothing is acknowledged");
	if (j.below_floor)
		alert(row, "disk space is below the floor: pushes are answered AR");
	if (j.quarantined)
		alert(row, "damaged bytes were put into quarantine: liaison check");
	if (j.damaged || j.check_failed)
		alert(row, "records are damaged on disk: liaison check, and record-damaged in the log");
	if (!well)
		alert(row,
		    "the view cannot be written: show, why and search are behind; tried again by itself");
	else if (lag > LAG_ALERT)
		alert(row, "the view is far behind the journal");
}

static void
status_done(struct control_request *request)
{
	json_t *row = request->row;
	bool well = json_array_size(json_object_get(row, "alerts")) == 0;

	control_row(request, row);
	request->row = NULL;
	control_ok(request, json_pack("{sb}", "well", (int)well));
}

void
control_status(struct control_request *request)
{
	const struct control_options *with = request->with;
	struct core_status s;
	json_t *row;

	core_status(with->core, &s);
	row = json_pack("{ss sI sI sI sI sI sI sI sI sI sI so so}", "kind", "status", "up_s",
	    (json_int_t)((clock_mono_us() - control_since_us(request->control)) / 1000000), "accepted",
	    (json_int_t)s.accepted, "refused", (json_int_t)s.refused, "deferred", (json_int_t)s.deferred,
	    "duplicates", (json_int_t)s.duplicates, "stray", (json_int_t)s.stray, "frames",
	    (json_int_t)s.frames, "parked", (json_int_t)s.parked, "remembered", (json_int_t)s.remembered,
	    "log_dropped", (json_int_t)log_dropped(), "listeners", listener_rows(with), "alerts",
	    json_array());
	if (!row) {
		control_fail_errno(request, "status", ENOMEM);
		return;
	}
	if (add_queues(request, row) != 0) {
		json_decref(row);
		control_fail_errno(request, "status", ENOMEM);
		return;
	}
	add_peers(request, row);
	add_certificate(request, row);
	add_partners(request, row);
	add_revocation(request, row);
	add_silent(request, row);
	add_log(row);
	if (s.orphaned)
		alert(row, "items wait for destinations that are not configured: liaison queue names them");
	if (s.parked)
		alert(row, "messages are parked: no route wants them (liaison queue parked)");
	if (s.stopping)
		alert(row, "the broker is stopping");
	request->row = row;
	control_work(request, status_work, status_done);
}

static json_t *
counted(struct metric_series *series)
{
	return json_integer(metric_value(series));
}

void
control_peers(struct control_request *request)
{
	for (size_t i = 0; i < peers_count(request->with->peers); i++) {
		const struct peer *peer = peers_at(request->with->peers, i);
		const struct config_peer *c = peer->config;

		control_row(
		    request, json_pack("{ss so so ss sb sb sI so so so so so so so}", "kind", "peer", "name",
				 control_text(c->name), "establishment", control_text(c->establishment->name),
				 "mode", config_mode_name(c->establishment->mode), "may_send",
				 (int)c->may_send, "may_read", (int)c->may_read, "connections",
				 (json_int_t)peer->connections, "last_seen", control_time(peer->last_seen_us),
				 "messages", counted(peer->messages), "bytes", counted(peer->message_bytes),
				 "refused", counted(peer->refused), "deferred", counted(peer->deferred),
				 "duplicates", counted(peer->duplicates), "same_id", counted(peer->same_id)));
	}
	control_ok(request, NULL);
}

void
control_events(struct control_request *request)
{
	static const char *const levels[] = { "debug", "info", "warning", "error" };

	for (unsigned i = 0; i < EVENT_COUNT; i++) {
		const struct event_info *info = event_info((enum log_event)i);

		control_row(
		    request, json_pack("{ss ss ss ss ss}", "kind", "event", "name", info->name, "level",
				 levels[info->level], "sentence", info->sentence, "action", info->action));
	}
	control_ok(request, NULL);
}
