/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open links judged anew: after a reload, and from time to time, since time alone ends certificates and revocation lists.
 *
 * A link that would not be let in today is dropped (LINK_REVOKED) with a line `link-judged-out`: its chain is not good any more, its certificate is no
 * peer's, another peer's or two peers', its peer is no longer configured, or may no longer do what its listener is for. Each link is judged by
 * what its listener (listener_reconfigure) uses now. Nothing is decided here about links that are still in their handshake: they are
 * judged when they open, if the context has changed meanwhile.
 *
 * Judging goes in slices of JUDGE_SLICE links a turn of the loop, so that messages flow meanwhile. On the loop thread only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "broker/net/link.h"
#include "broker/net/loop.h"

#define JUDGE_SLICE 16

struct link_judge;

int link_judge_new(struct link_judge **judgep, struct loop *loop) __attribute__((warn_unused_result));

/* Nothing is judged any more. Before the listeners are freed. NULL is harmless. */
void link_judge_free(struct link_judge *judge);

/*
 * Judge all links that are open now, of all listeners, from the next turn on. While it goes on, a further call begins anew. ${done}
 * (may be NULL) is called once all are judged, with how many were judged and how many of them dropped; a call that begins anew replaces
 * that of the one before, which is not called. The array is copied; a listener that is freed meanwhile must be left out by a further call
 * before it is freed. -ENOMEM: nothing is judged, and ${done} not called.
 */
int links_judge(struct link_judge *judge, struct listener *const *listeners, size_t count,
    void (*done)(void *arg, size_t judged, size_t dropped), void *arg) __attribute__((warn_unused_result));

/*
 * A dialled link, judged under ${client} (the context of today): dropped like the others when the server's certificate is no longer good. True:
 * it lives, or is still in its handshake (cancel tries that began before a reload). Few links, so at once; for who owns the diallers, after a reload and every JUDGE_EVERY_S.
 */
bool link_judge_dialled(struct link *link, struct tls_context *client);

/* How often all links are to be judged without a reload. */
#define JUDGE_EVERY_S 3600
