/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is there: destinations that are up or down, sending peers that are heard or have fallen silent; and what the log says of it.
 *
 * Two lines at most for a state and its end (destination-down and destination-up, peer-silent and peer-heard), however often a sender tries
 * meanwhile; one line for all of them every five minutes while there is any (still-down); of one that flaps that line only, after one that says so
 * (flapping), until it has been still (changes.h). Metrics follow every change.
 *
 * Connections of a peer that had no lines of their own (bounces.h) are told here by their number.
 *
 * At the start all destinations are up and all peers just heard: the first that is told of a destination is that it is down. On the loop
 * thread, or any one thread. Reasons are words of ours and of the network, never of a message.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct peer;
struct peers;
struct presence;

#define PRESENCE_SUMMARY_US (UINT64_C(300) * 1000000)
#define PRESENCE_NAMED	    8 /* of those that are down, in a summary; the rest is counted */

struct presence_options {
	struct peers *peers; /* outlive it; NULL: none */
	/* What waits for ${destination}: how many, and the age of the oldest in seconds. NULL: not told. */
	void (*queued)(void *arg, const char *destination, uint64_t *waiting, uint64_t *oldest_s);
	void *arg;
	uint64_t (*now_us)(void); /* NULL: clock_mono_us */
};

int presence_new(struct presence **presencep, const struct presence_options *options)
    __attribute__((warn_unused_result));
void presence_free(struct presence *presence); /* NULL is harmless */

/* ${destination} cannot be reached, or does not take messages, for ${reason}. Told once; afterwards only the reason is remembered. False when it
 * comes and goes so often that nothing should be told of it: neither here nor by the caller. */
bool presence_down(struct presence *presence, const char *destination, const char *reason);
/* It takes messages. Nothing but a comparison of names when it was up. */
void presence_up(struct presence *presence, const char *destination);
/* It is no more of the configuration: nothing more is told of it. */
void presence_forget(struct presence *presence, const char *destination);

/* ${peer} sent a message, whatever was answered. Cheap. */
void presence_heard(struct presence *presence, struct peer *peer);

/* To be called every second or so: who has fallen silent, who has calmed down, who bounced, the summary. */
void presence_tick(struct presence *presence);
