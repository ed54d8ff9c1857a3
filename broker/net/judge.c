/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Judging walks each listener's list from its head in every turn, past the links that bear the round's number: links come and go between turns,
 * and a walk over some thousand costs less than one verification.
 */
#include "broker/net/judge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker/base/log.h"
#include "broker/base/metrics.h"
#include "broker/net/link_state.h"

struct link_judge {
	struct loop_timer *turn;
	struct listener **listeners;
	size_t count, at;
	uint64_t round;
	size_t judged, dropped;
	void (*done)(void *arg, size_t judged, size_t dropped);
	void *arg;
};

/* Whether the certificate of ${link} is still its peer's; NULL: it is. */
static const char *
peer_fault(const struct link *link)
{
	struct peer *peer = NULL;
	int rc = peers_match(link->owner->peers, SSL_get0_peer_certificate(link->ssl), &peer);

	if (rc == PEERS_NONE)
		return "no peer of the configuration has its certificate";
	if (rc == PEERS_SEVERAL)
		return "more than one peer of the configuration has its certificate";
	if (rc)
		return "no memory";
	return peer == link->peer ? NULL : "its certificate is another peer's";
}

static const char *
right_fault(const struct link *link)
{
	const struct config_peer *peer = link->peer->config;

	if (link->owner->protocol == PROTOCOL_MLLP)
		return peer->may_send ? NULL : "its peer may not send";
	return peer->may_read ? NULL : "its peer may not read";
}

/* What is wrong with an accepted link today, ${identity} filled if it has a certificate; NULL: nothing. */
static const char *
fault(struct listener *listener, struct link *link, struct tls_identity *identity)
{
	const char *why = NULL;
	int rc;

	memset(identity, 0, sizeof(*identity));
	if (!link->ssl) {
		if (listener_plain_peer(listener) != link->peer)
			why = "the listener's peer is another, or none";
	} else if (!link->owner->tls) {
		why = "the listener takes no TLS any more";
	} else {
		rc = tls_judge(link->owner->tls, link->ssl, identity, &why);
		if (rc < 0)
			why = "no memory"; /* rather a reconnect than a guess */
		else if (rc == 0)
			why = peer_fault(link);
	}
	return why ? why : right_fault(link);
}

static void
drop(struct link *link, const char *why, const struct tls_identity *identity)
{
	metric_add(metric_series(METRIC_LINKS_JUDGED_OUT, why), 1);
	link_tell_judged(link, why, identity->subject[0] || identity->serial[0] ? identity : NULL);
	link_drop(link, LINK_REVOKED);
}

/* A link of ${owner} that is open and was not judged in ${round}; NULL: there is none. */
static struct link *
next_of(const struct link_owner *owner, uint64_t round)
{
	struct link *link = owner->links;

	while (link && (link->judged == round || !link->known ||
			   (link->state != LINK_OPEN && link->state != LINK_FLUSHING)))
		link = link->next;
	return link;
}

static struct link *
next(struct link_judge *judge)
{
	struct link *link = NULL;

	while (judge->at < judge->count) {
		link = next_of(listener_owner(judge->listeners[judge->at]), judge->round);
		if (link)
			break;
		judge->at++;
	}
	return link;
}

static void
turn(void *arg)
{
	struct link_judge *judge = arg;
	struct tls_identity identity;
	struct link *link = NULL;
	const char *why;

	for (size_t i = 0; i < JUDGE_SLICE && (link = next(judge)); i++) {
		link->judged = judge->round;
		judge->judged++;
		why = fault(judge->listeners[judge->at], link, &identity);
		if (!why)
			continue;
		judge->dropped++;
		drop(link, why, &identity);
	}
	if (link) {
		loop_timer_arm(judge->turn, 0);
		return;
	}
	judge->count = 0;
	if (judge->done)
		judge->done(judge->arg, judge->judged, judge->dropped);
}

int
link_judge_new(struct link_judge **judgep, struct loop *loop)
{
	struct link_judge *judge = calloc(1, sizeof(*judge));

	if (!judge)
		return -ENOMEM;
	judge->turn = loop_timer_new(loop, turn, judge);
	if (!judge->turn) {
		free(judge);
		return -ENOMEM;
	}
	*judgep = judge;
	return 0;
}

void
link_judge_free(struct link_judge *judge)
{
	if (!judge)
		return;
	loop_timer_free(judge->turn);
	free(judge->listeners);
	free(judge);
}

int
links_judge(struct link_judge *judge, struct listener *const *listeners, size_t count,
    void (*done)(void *arg, size_t judged, size_t dropped), void *arg)
{
	struct listener **copy = calloc(count + 1, sizeof(struct listener *));

	if (!copy) {
		judge->count = 0; /* of the round before: a listener of it may be freed before the next */
		return -ENOMEM;
	}
	for (size_t i = 0; i < count; i++)
		copy[i] = listeners[i];
	free(judge->listeners);
	judge->listeners = copy;
	judge->count = count;
	judge->at = 0;
	judge->round++;
	judge->judged = judge->dropped = 0;
	judge->done = done;
	judge->arg = arg;
	loop_timer_arm(judge->turn, 0);
	return 0;
}

bool
link_judge_dialled(struct link *link, struct tls_context *client)
{
	struct tls_identity identity;
	const char *why = "no memory";

	if (!link->known || !link->ssl || link->state == LINK_CLOSED ||
	    tls_judge(client, link->ssl, &identity, &why) == 0)
		return true;
	drop(link, why, &identity);
	return false;
}
