/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who there is. A peer is known by its name for the life of the process: others keep its address across configurations.
 *
 * One that is not configured (any more) has a configuration of its own in which it may do nothing, so that whoever still holds it, a link that
 * is about to be dropped or a message on its way to the journal, needs no case for it; nothing of an old configuration is kept by it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker/net/peers_state.h"

static const struct config_establishment nowhere = { .name = "", .mode = MODE_TEST };

static int
compare_names(const void *a, const void *b)
{
	const struct peer *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

static int
compare_to_name(const void *key, const void *element)
{
	const struct peer *const *peer = element;

	return strcmp(key, (*peer)->name);
}

/* The peer called ${name}, configured or not, among the first ${count} known. */
static struct peer *
find_known(const struct peers *peers, const char *name, size_t count)
{
	struct peer **found = NULL;

	if (count)
		found = bsearch(name, peers->known, count, sizeof(struct peer *), compare_to_name);
	return found ? *found : NULL;
}

static struct peer *
peer_new(const char *name)
{
	struct peer *peer = calloc(1, sizeof(*peer));

	if (!peer)
		return NULL;
	peer->name = strdup(name);
	if (!peer->name) {
		free(peer);
		return NULL;
	}
	peer->gone = (struct config_peer){ .name = peer->name, .establishment = &nowhere };
	peer->config = &peer->gone;
	peer->messages = metric_series(METRIC_MESSAGES, name);
	peer->message_bytes = metric_series(METRIC_MESSAGE_BYTES, name);
	peer->refused = metric_series(METRIC_REFUSED, name);
	peer->deferred = metric_series(METRIC_DEFERRED, name);
	peer->duplicates = metric_series(METRIC_DUPLICATES, name);
	peer->restamped = metric_series(METRIC_RESTAMPED, name);
	peer->same_id = metric_series(METRIC_SAME_ID, name);
	peer->stray = metric_series(METRIC_STRAY, name);
	return peer;
}

/* Those of ${config} that are not known yet; when memory ends some are missing. */
static void
make_unknown(struct peers *peers, const struct config *config)
{
	size_t before = peers->known_count;

	for (size_t i = 0; i < config->peer_count; i++) {
		const char *name = config->peers[i].name;

		if (find_known(peers, name, before))
			continue;
		peers->known[peers->known_count] = peer_new(name);
		if (!peers->known[peers->known_count])
			break;
		peers->known_count++;
	}
	if (peers->known_count > before)
		qsort(peers->known, peers->known_count, sizeof(struct peer *), compare_names);
}

int
peers_prepare(struct peers *peers, const struct config *config)
{
	size_t count = config->peer_count, most = peers->known_count + count + 1;
	struct peer **known = realloc(peers->known, most * sizeof(struct peer *));

	if (!known)
		return -ENOMEM;
	peers->known = known;
	free(peers->next);
	peers->next = calloc(count + 1, sizeof(struct peer *));
	if (!peers->next)
		return -ENOMEM;
	make_unknown(peers, config);
	for (size_t i = 0; i < count; i++) {
		peers->next[i] = find_known(peers, config->peers[i].name, peers->known_count);
		if (!peers->next[i])
			return -ENOMEM;
	}
	return 0;
}

/* Nobody listens for ${peer} any more: it is not silent, and when it comes back its silence counts from then. */
static void
forget_silence(struct peer *peer)
{
	if (peer->silence.down)
		metric_set(metric_series(METRIC_PEER_SILENT, peer->name), 0);
	peer->silence = (struct changes){ 0 };
	peer->heard_us = 0;
}

void
peers_reconfigure(struct peers *peers, const struct config *config)
{
	for (size_t i = 0; i < peers->count; i++)
		peers->at[i]->config = &peers->at[i]->gone;
	free(peers->at);
	peers->at = peers->next;
	peers->next = NULL;
	peers->count = config->peer_count;
	for (size_t i = 0; i < peers->count; i++)
		peers->at[i]->config = &config->peers[i];
	for (size_t i = 0; i < peers->known_count; i++)
		if (!peer_configured(peers->known[i]))
			forget_silence(peers->known[i]);
	config_hold(config);
	config_release(peers->config);
	peers->config = config;
}

int
peers_new(struct peers **peersp, const struct config *config)
{
	struct peers *peers = calloc(1, sizeof(*peers));

	if (!peers)
		return -ENOMEM;
	if (peers_prepare(peers, config) != 0) {
		peers_free(peers);
		return -ENOMEM;
	}
	peers_reconfigure(peers, config);
	*peersp = peers;
	return 0;
}

void
peers_free(struct peers *peers)
{
	if (!peers)
		return;
	for (size_t i = 0; i < peers->known_count; i++) {
		free(peers->known[i]->name);
		free(peers->known[i]);
	}
	free(peers->known);
	free(peers->at);
	free(peers->next);
	config_release(peers->config);
	free(peers);
}

struct peer *
peers_at(struct peers *peers, size_t index)
{
	return peers->at[index];
}

struct peer *
peers_find(struct peers *peers, const char *name)
{
	struct peer *peer = find_known(peers, name, peers->known_count);

	return peer && peer_configured(peer) ? peer : NULL;
}

size_t
peers_count(const struct peers *peers)
{
	return peers->count;
}

bool
peer_charge_junk(struct peer *peer, uint64_t bytes, uint64_t now_us)
{
	uint64_t hour = now_us / ((uint64_t)3600 * 1000000);

	if (hour != peer->junk_hour) {
		peer->junk_hour = hour;
		peer->junk_bytes = 0;
	}
	peer->junk_bytes = bytes > UINT64_MAX - peer->junk_bytes ? UINT64_MAX : peer->junk_bytes + bytes;
	return peer->junk_bytes > peer->config->junk_quota;
}
