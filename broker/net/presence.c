/* SPDX-License-Identifier: Apache-2.0 */
/* Who is there: see presence.h. A list of the destinations that were ever down; of the peers, what struct peer remembers. */
#include "broker/net/presence.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/base/clock.h"
#include "broker/base/log.h"
#include "broker/base/metrics.h"
#include "broker/net/changes.h"
#include "broker/net/peers.h"

#define SECOND_US UINT64_C(1000000)

struct destination {
	struct destination *next;
	struct changes changes;
	char reason[LOG_VALUE_MAX];
	char name[];
};

struct presence {
	struct presence_options options;
	struct destination *destinations;
	uint64_t summary_us; /* when the next is due; 0: nothing is down */
};

int
presence_new(struct presence **presencep, const struct presence_options *options)
{
	struct presence *presence = calloc(1, sizeof(*presence));

	if (!presence)
		return -ENOMEM;
	presence->options = *options;
	if (!presence->options.now_us)
		presence->options.now_us = clock_mono_us;
	*presencep = presence;
	return 0;
}

void
presence_free(struct presence *presence)
{
	if (!presence)
		return;
	while (presence->destinations) {
		struct destination *d = presence->destinations;

		presence->destinations = d->next;
		free(d);
	}
	free(presence);
}

static uint64_t
now(const struct presence *presence)
{
	return presence->options.now_us();
}

static struct destination *
find(const struct presence *presence, const char *name)
{
	struct destination *d = presence->destinations;

	while (d && strcmp(d->name, name) != 0)
		d = d->next;
	return d;
}

static struct destination *
find_or_make(struct presence *presence, const char *name)
{
	size_t size = strlen(name) + 1;
	struct destination *d = find(presence, name);

	if (d)
		return d;
	d = calloc(1, sizeof(*d) + size);
	if (!d)
		return NULL;
	memcpy(d->name, name, size);
	d->next = presence->destinations;
	presence->destinations = d;
	return d;
}

static uint64_t
seconds_since(uint64_t since_us, uint64_t now_us)
{
	return now_us > since_us ? (now_us - since_us) / SECOND_US : 0;
}

/* since=, by the wall, of a moment of the monotonic clock. */
static void
log_since(struct log_line *line, uint64_t since_us, uint64_t now_us)
{
	char text[32];

	clock_format(clock_wall_us() - (now_us - since_us), text);
	log_text(line, "since", text);
}

/* What one that calmed down did before, when there is something to tell. */
static void
log_changes(struct log_line *line, const struct changes *changes)
{
	if (changes->count)
		log_u64(line, "changes", changes->count);
}

static void
tell_flapping(const char *kind, const char *name, const struct changes *changes, const char *present,
    const char *reason)
{
	struct log_line line;

	log_begin(&line, EVENT_FLAPPING);
	log_text(&line, kind, name);
	log_u64(&line, "changes", changes->count);
	log_u64(&line, "seconds", seconds_since(changes->flapping_us, changes->since_us));
	log_text(&line, "now", present);
	if (reason)
		log_text(&line, "reason", reason);
	log_commit(&line);
}

/*
 * Destinations
 */
static void
count_queued(const struct presence *presence, const char *name, uint64_t *waiting, uint64_t *oldest_s)
{
	*waiting = 0;
	*oldest_s = 0;
	if (presence->options.queued)
		presence->options.queued(presence->options.arg, name, waiting, oldest_s);
}

static void
tell_down(const struct presence *presence, const struct destination *d)
{
	uint64_t waiting, oldest_s;
	struct log_line line;

	count_queued(presence, d->name, &waiting, &oldest_s);
	log_begin(&line, EVENT_DESTINATION_DOWN);
	log_text(&line, "destination", d->name);
	log_since(&line, d->changes.since_us, now(presence));
	log_u64(&line, "queued", waiting);
	log_u64(&line, "oldest_s", oldest_s);
	log_text(&line, "reason", d->reason);
	log_changes(&line, &d->changes);
	log_commit(&line);
}

static void
tell_up(const struct presence *presence, const struct destination *d, uint64_t down_s)
{
	uint64_t waiting, oldest_s;
	struct log_line line;

	count_queued(presence, d->name, &waiting, &oldest_s);
	log_begin(&line, EVENT_DESTINATION_UP);
	log_text(&line, "destination", d->name);
	if (d->changes.count == 0)
		log_u64(&line, "down_s", down_s);
	log_u64(&line, "draining", waiting);
	log_changes(&line, &d->changes);
	log_commit(&line);
}

static void
count_change(const struct destination *d)
{
	metric_set(metric_series(METRIC_DESTINATION_DOWN, d->name), d->changes.down);
	metric_add(metric_series(METRIC_DESTINATION_CHANGES, d->name), 1);
}

bool
presence_down(struct presence *presence, const char *destination, const char *reason)
{
	struct destination *d = find_or_make(presence, destination);
	enum changes_tell tell;

	if (!d)
		return true; /* it will be tried again, and told then */
	(void)snprintf(d->reason, sizeof(d->reason), "%s", reason);
	tell = changes_take(&d->changes, true, now(presence));
	if (tell != CHANGES_SAME)
		count_change(d);
	if (tell == CHANGES_TELL)
		tell_down(presence, d);
	else if (tell == CHANGES_FLAPPING)
		tell_flapping("destination", d->name, &d->changes, "down", d->reason);
	return tell != CHANGES_DAMPED;
}

void
presence_up(struct presence *presence, const char *destination)
{
	struct destination *d = find(presence, destination);
	uint64_t since_us = d ? d->changes.since_us : 0;
	enum changes_tell tell;

	if (!d)
		return;
	tell = changes_take(&d->changes, false, now(presence));
	if (tell != CHANGES_SAME)
		count_change(d);
	if (tell == CHANGES_TELL)
		tell_up(presence, d, seconds_since(since_us, now(presence)));
	else if (tell == CHANGES_FLAPPING)
		tell_flapping("destination", d->name, &d->changes, "up", NULL);
}

void
presence_forget(struct presence *presence, const char *destination)
{
	struct destination **at = &presence->destinations, *d;

	while (*at && strcmp((*at)->name, destination) != 0)
		at = &(*at)->next;
	d = *at;
	if (!d)
		return;
	metric_set(metric_series(METRIC_DESTINATION_DOWN, d->name), 0);
	*at = d->next;
	free(d);
}

/*
 * Peers
 */
static void
tell_silent(const struct presence *presence, const struct peer *peer)
{
	struct log_line line;

	log_begin(&line, EVENT_PEER_SILENT);
	log_text(&line, "peer", peer->config->name);
	log_since(&line, peer->heard_us, now(presence));
	log_u64(&line, "silent_s", seconds_since(peer->heard_us, now(presence)));
	log_changes(&line, &peer->silence);
	log_commit(&line);
}

static void
tell_heard(const struct peer *peer, uint64_t silent_s)
{
	struct log_line line;

	log_begin(&line, EVENT_PEER_HEARD);
	log_text(&line, "peer", peer->config->name);
	if (peer->silence.count == 0)
		log_u64(&line, "silent_s", silent_s);
	log_changes(&line, &peer->silence);
	log_commit(&line);
}

static void
count_silence(const struct peer *peer)
{
	metric_set(metric_series(METRIC_PEER_SILENT, peer->config->name), peer->silence.down);
}

void
presence_heard(struct presence *presence, struct peer *peer)
{
	uint64_t before_us = peer->heard_us, now_us = now(presence);
	enum changes_tell tell;

	peer->heard_us = now_us;
	if (!peer->silence.down)
		return;
	tell = changes_take(&peer->silence, false, now_us);
	count_silence(peer);
	if (tell == CHANGES_TELL)
		tell_heard(peer, seconds_since(before_us, now_us));
	else if (tell == CHANGES_FLAPPING)
		tell_flapping("peer", peer->config->name, &peer->silence, "heard", NULL);
}

/* Silence counts from the last message, or from when the broker began to listen for one. */
static void
look_at_peer(const struct presence *presence, struct peer *peer, uint64_t now_us)
{
	uint64_t after_us = peer->config->silent_after_s * SECOND_US;
	enum changes_tell tell;

	if (peer->heard_us == 0)
		peer->heard_us = now_us;
	if (after_us == 0 || !peer->config->may_send) {
		if (peer->silence.down) /* a reload asks no more */
			peer->silence = (struct changes){ 0 };
		else
			return;
		count_silence(peer);
		return;
	}
	if (now_us - peer->heard_us < after_us)
		return;
	tell = changes_take(&peer->silence, true, now_us);
	if (tell == CHANGES_SAME)
		return;
	count_silence(peer);
	if (tell == CHANGES_TELL)
		tell_silent(presence, peer);
	else if (tell == CHANGES_FLAPPING)
		tell_flapping("peer", peer->config->name, &peer->silence, "silent", NULL);
}

/*
 * The summary
 */
struct summary {
	uint64_t down, silent, flapping, named;
	size_t len;
	char names[LOG_VALUE_MAX];
};

/* Add ${name} to those that are named, while there is room for it whole and for ", and N more". */
static void
name_one(struct summary *summary, const char *name, uint64_t seconds, const char *how)
{
	char text[96];
	int len = snprintf(text, sizeof(text), "%s%s %s%" PRIu64 "%s", summary->len ? ", " : "", name, how,
	    seconds < 120 ? seconds : seconds / 60, seconds < 120 ? "s" : "m");

	if (len < 0 || (size_t)len >= sizeof(text) || summary->named == PRESENCE_NAMED ||
	    summary->len + (size_t)len + sizeof(", and 99999 more") > sizeof(summary->names))
		return;
	memcpy(summary->names + summary->len, text, (size_t)len + 1);
	summary->len += (size_t)len;
	summary->named++;
}

static void
add(struct summary *summary, const char *name, const struct changes *changes, uint64_t since_us,
    uint64_t now_us, bool peer)
{
	if (!changes->flapping && !changes->down)
		return;
	if (changes->flapping)
		summary->flapping++;
	else if (peer)
		summary->silent++;
	else
		summary->down++;
	name_one(summary, name, seconds_since(changes->flapping ? changes->flapping_us : since_us, now_us),
	    changes->flapping ? "flapping "
	    : peer	      ? "silent "
			      : "");
}

static void
gather(const struct presence *presence, struct summary *summary, uint64_t now_us)
{
	size_t peers = presence->options.peers ? peers_count(presence->options.peers) : 0;

	for (const struct destination *d = presence->destinations; d; d = d->next)
		add(summary, d->name, &d->changes, d->changes.since_us, now_us, false);
	for (size_t i = 0; i < peers; i++) {
		const struct peer *peer = peers_at(presence->options.peers, i);

		add(summary, peer->config->name, &peer->silence, peer->heard_us, now_us, true);
	}
}

static void
tell_summary(const struct presence *presence, struct summary *summary)
{
	uint64_t all = summary->down + summary->silent + summary->flapping, queued = 0;
	struct log_line line;

	for (const struct destination *d = presence->destinations; d; d = d->next) {
		uint64_t waiting, oldest_s;

		if (!d->changes.down && !d->changes.flapping)
			continue;
		count_queued(presence, d->name, &waiting, &oldest_s);
		queued += waiting;
	}
	if (summary->named < all)
		(void)snprintf(summary->names + summary->len, sizeof(summary->names) - summary->len,
		    "%s%" PRIu64 " more", summary->len ? ", and " : "", all - summary->named);
	log_begin(&line, EVENT_STILL_DOWN);
	log_u64(&line, "down", summary->down);
	log_u64(&line, "silent", summary->silent);
	log_u64(&line, "flapping", summary->flapping);
	log_u64(&line, "queued", queued);
	log_text(&line, "who", summary->names);
	log_commit(&line);
}

static void
summarise(struct presence *presence, uint64_t now_us)
{
	struct summary summary = { 0 };

	gather(presence, &summary, now_us);
	if (summary.down + summary.silent + summary.flapping == 0) {
		presence->summary_us = 0;
	} else if (presence->summary_us == 0) {
		presence->summary_us = now_us + PRESENCE_SUMMARY_US;
	} else if (now_us >= presence->summary_us) {
		tell_summary(presence, &summary);
		presence->summary_us = now_us + PRESENCE_SUMMARY_US;
	}
}

/* Connections that had no lines. */
static void
tell_bounced(struct peer *peer, uint64_t now_us)
{
	uint64_t again = bounces_owed(&peer->bounces, now_us);
	struct log_line line;

	if (again == 0)
		return;
	log_begin(&line, EVENT_BOUNCED);
	log_text(&line, "peer", peer->config->name);
	log_u64(&line, "again", again);
	log_commit(&line);
}

void
presence_tick(struct presence *presence)
{
	uint64_t now_us = now(presence);
	size_t peers = presence->options.peers ? peers_count(presence->options.peers) : 0;

	for (size_t i = 0; i < peers; i++) {
		struct peer *peer = peers_at(presence->options.peers, i);

		tell_bounced(peer, now_us);
		look_at_peer(presence, peer, now_us);
		if (!changes_calm(&peer->silence, now_us))
			continue;
		if (peer->silence.down)
			tell_silent(presence, peer);
		else
			tell_heard(peer, 0);
	}
	for (struct destination *d = presence->destinations; d; d = d->next) {
		if (!changes_calm(&d->changes, now_us))
			continue;
		if (d->changes.down)
			tell_down(presence, d);
		else
			tell_up(presence, d, 0);
	}
	summarise(presence, now_us);
}
