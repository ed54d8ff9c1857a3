/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All senders: see senders.h. They share two threads that resolve names, the bound on large messages, and nothing else.
 */
#include "broker/senders/senders.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker/base/clock.h"
#include "broker/net/judge.h"
#include "broker/net/presence.h"
#include "broker/senders/mllp_sender.h"

#define NAME_THREADS 2u
#define NAME_QUEUE   1024u /* destinations that are resolved at one time */

static struct mllp_sender *
find(const struct senders *senders, const char *name)
{
	struct mllp_sender *sender = senders->first;

	while (sender && strcmp(sender->name, name) != 0)
		sender = sender->next;
	return sender;
}

/*
 * Large messages: a number of slots of their own, so that none of those for what comes in is ever held by a slow destination.
 */
bool
senders_take_large(struct senders *senders)
{
	if (senders->large_used >= senders->config->limits.large_slots)
		return false;
	senders->large_used++;
	return true;
}

void
senders_give_large(struct senders *senders)
{
	senders->large_used--;
	for (struct mllp_sender *sender = senders->first; sender; sender = sender->next)
		if (sender->large_wanted) {
			loop_timer_arm(senders->sweep, 0); /* not inside whatever gave it back */
			return;
		}
}

/* The first that wanted a slot gets it, and stands last from then on. */
static void
offer_large(struct senders *senders)
{
	struct mllp_sender **place = &senders->first, *sender;

	while ((sender = *place) && !sender->large_wanted)
		place = &sender->next;
	if (!sender)
		return;
	*place = sender->next;
	sender->next = NULL;
	for (place = &senders->first; *place; place = &(*place)->next)
		;
	*place = sender;
	sender->large_wanted = false;
	mllp_sender_pump(sender);
	if (senders->large_used < senders->config->limits.large_slots)
		loop_timer_arm(senders->sweep, 0);
}

/*
 * Ends
 */
void
senders_check_idle(struct senders *senders)
{
	loop_timer_arm(senders->sweep, 0);
}

static void
sweep(void *arg)
{
	struct senders *senders = arg;
	struct mllp_sender **place = &senders->first;
	bool idle = true;

	while (*place) {
		struct mllp_sender *sender = *place;

		if (!mllp_sender_idle(sender)) {
			idle = false;
		} else if (sender->gone) {
			*place = sender->next;
			mllp_sender_free(sender);
			continue;
		}
		place = &sender->next;
	}
	offer_large(senders);
	if (senders->stopping && idle && senders->idle) {
		void (*tell)(void *) = senders->idle;

		senders->idle = NULL;
		tell(senders->idle_arg);
	}
}

void
senders_stop(struct senders *senders, void (*idle)(void *arg), void *arg)
{
	if (!senders) {
		if (idle)
			idle(arg);
		return;
	}
	senders->stopping = true;
	senders->idle = idle;
	senders->idle_arg = arg;
	for (struct mllp_sender *sender = senders->first; sender; sender = sender->next)
		mllp_sender_stop(sender, false);
	loop_timer_arm(senders->sweep, 0);
}

void
senders_free(struct senders *senders)
{
	if (!senders)
		return;
	while (senders->first) {
		struct mllp_sender *sender = senders->first;

		senders->first = sender->next;
		mllp_sender_free(sender);
	}
	/* A name that is being resolved is told to nobody. */
	workers_free(senders->names);
	loop_drain(senders->options.loop);
	loop_timer_free(senders->sweep);
	loop_timer_free(senders->judge);
	arena_fini(&senders->arena);
	budget_leave(&senders->seat);
	config_release(senders->config);
	free(senders);
}

/*
 * Configurations
 */

/* Senders for what ${config} dials and we do not yet; as a list of their own. */
static int
new_senders(struct senders *senders, const struct config *config, struct mllp_sender **listp)
{
	struct mllp_sender **place = listp;

	*listp = NULL;
	for (size_t i = 0; i < config->destination_count; i++) {
		const struct config_destination *destination = &config->destinations[i];

		if (destination->kind != DESTINATION_MLLP || find(senders, destination->name))
			continue;
		if (mllp_sender_new(place, senders, config, destination))
			goto fail;
		place = &(*place)->next;
	}
	return 0;
fail:
	while (*listp) {
		struct mllp_sender *sender = *listp;

		*listp = sender->next;
		mllp_sender_free(sender);
	}
	return -ENOMEM;
}

/* Put ${list} behind those that are there, and let them begin. */
static void
begin(struct senders *senders, struct mllp_sender *list)
{
	struct mllp_sender **place = &senders->first;

	while (*place)
		place = &(*place)->next;
	*place = list;
	for (; list; list = list->next)
		mllp_sender_start(list);
}

static void
judge_links(struct senders *senders)
{
	for (struct mllp_sender *sender = senders->first; sender; sender = sender->next)
		if (sender->link && !sender->closing)
			(void)link_judge_dialled(sender->link, senders->options.tls);
}

static void
judge_in_time(void *arg)
{
	struct senders *senders = arg;

	judge_links(senders);
	loop_timer_arm(senders->judge, JUDGE_EVERY_S * 1000);
}

int
senders_reconfigure(struct senders *senders, const struct config *config, struct tls_context *tls)
{
	const struct config *former = senders->config;
	struct mllp_sender *added;
	int r = new_senders(senders, config, &added);

	if (r)
		return r;
	senders->config = config_hold(config);
	config_release(former);
	senders->options.tls = tls;
	judge_links(senders); /* first: what follows may send */
	for (struct mllp_sender *sender = senders->first; sender; sender = sender->next) {
		const struct config_destination *destination = config_destination(config, sender->name);

		if (destination && destination->kind == DESTINATION_MLLP) {
			mllp_sender_reconfigure(sender, config, destination);
			continue;
		}
		mllp_sender_stop(sender, true);
		if (senders->options.presence)
			presence_forget(senders->options.presence, sender->name);
	}
	begin(senders, added);
	return 0;
}

int
senders_new(struct senders **sendersp, const struct senders_options *options)
{
	struct senders *senders = calloc(1, sizeof(*senders));
	struct mllp_sender *list = NULL;
	int r;

	if (!senders)
		return -ENOMEM;
	senders->options = *options;
	senders->config = config_hold(options->config);
	senders->random = (uint32_t)clock_mono_us();
	arena_init(&senders->arena, SENDER_ARENA_MAX);
	budget_sit(&senders->seat, options->budget, NULL);
	senders->sweep = loop_timer_new(options->loop, sweep, senders);
	senders->judge = loop_timer_new(options->loop, judge_in_time, senders);
	r = senders->sweep && senders->judge ? 0 : -ENOMEM;
	if (r == 0)
		r = workers_new(&senders->names, NAME_THREADS, NAME_QUEUE, loop_poster(options->loop));
	if (r == 0)
		r = new_senders(senders, options->config, &list);
	if (r) {
		senders_free(senders);
		return r;
	}
	loop_timer_arm(senders->judge, JUDGE_EVERY_S * 1000);
	begin(senders, list);
	*sendersp = senders;
	return 0;
}

/*
 * As others see them
 */
bool
senders_state(const struct senders *senders, const char *name, struct sender_state *state)
{
	const struct mllp_sender *sender = find(senders, name);

	if (!sender)
		return false;
	mllp_sender_state(sender, state);
	return true;
}

void
senders_kick(struct senders *senders, const char *name)
{
	struct mllp_sender *sender = find(senders, name);

	if (sender)
		mllp_sender_kick(sender);
}

static bool
sending_state(void *senders, const char *name, struct sender_state *state)
{
	return senders_state(senders, name, state);
}

static void
sending_kick(void *senders, const char *name)
{
	senders_kick(senders, name);
}

struct sending
senders_sending(struct senders *senders)
{
	return (struct sending){ senders, sending_state, sending_kick };
}
