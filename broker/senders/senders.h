/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All senders: one for each destination that is dialled.
 *
 * A sender empties its destination's queue in order over MLLP and mutual TLS and has every answer journalled before it goes on. Destinations
 * do not see one another: a dead one costs the others nothing. What a receiver must do, and what may come twice, stands in
 * conf/doc/destinations.md. On the loop thread only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/net/sending.h"

struct budget;
struct config;
struct core;
struct journal;
struct loop;
struct presence;
struct seen;
struct senders;
struct tls_context;
struct workers;

/* All are outlived by the senders but ${config}, of which they take a hold. */
struct senders_options {
	struct loop *loop;
	struct workers *workers;
	const struct config *config;
	struct core *core;
	struct journal *journal;
	struct tls_context *tls;   /* the client's; until senders_reconfigure gives another */
	struct budget *budget;	   /* what is read ahead counts in it; NULL: in none */
	struct seen *seen;	   /* the last certificate of each destination; NULL: nobody asks */
	struct presence *presence; /* NULL: nobody is told of destinations that go down and come up */
};

/* A sender for each dialled destination of the configuration; what waits is sent as soon as the loop runs. 0 or -errno. */
int senders_new(struct senders **sendersp, const struct senders_options *options)
    __attribute__((warn_unused_result));

/*
 * Go by ${config} and ${tls} from now on, behind core_reconfigure. A destination that is no longer there is sent nothing more: answers on their
 * way are awaited, its queue stays the core's. One whose address or name changed ends its link behind the answers on their way and is dialled
 * anew. Links that are open are judged under ${tls}; the former context is not used after the call.
 * 0, or -ENOMEM: all is as before.
 */
int senders_reconfigure(struct senders *senders, const struct config *config, struct tls_context *tls)
    __attribute__((warn_unused_result));

/*
 * Send nothing more; answers on their way are awaited (each has its own deadline), then the links are closed. ${idle} is called once, on the
 * loop thread, perhaps at once, when there is none left; NULL: do not tell. NULL senders are harmless (idle is called).
 */
void senders_stop(struct senders *senders, void (*idle)(void *arg), void *arg);

/* Drops the links that are left, without a word about what was in flight on them: it is sent again after the next start. Behind
 * workers_stop and journal_close, both of which call back. NULL is harmless. */
void senders_free(struct senders *senders);

/* False: no destination of that name is dialled. */
bool senders_state(const struct senders *senders, const char *name, struct sender_state *state);

/* Look at ${name} now: after a release, or because an operator will not wait for the pause to end. Harmless for any name. */
void senders_kick(struct senders *senders, const char *name);

/* The two above as the doors see them. */
struct sending senders_sending(struct senders *senders);
