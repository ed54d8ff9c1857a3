/* SPDX-License-Identifier: Apache-2.0 */
/* Listeners and doors, kept by name across configurations: see the header. */
#include "broker/entrances.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker/base/clock.h"
#include "broker/base/config.h"
#include "broker/doors/mllp.h"
#include "broker/doors/pull.h"

/* A listener and the door behind it. */
struct entrance {
	struct entrances *all;
	struct entrance *next; /* among those that are left */
	struct listener *listener;
	struct mllp_door *mllp; /* one of the two */
	struct pull_door *pull;
	uint64_t leave_by_us;
	bool idle;
};

/* One for each listener of ${config}, in its order. */
struct entrance_set {
	const struct config *config; /* held */
	struct entrance **at;
	struct listener **listeners;
	bool *fresh; /* made for this set */
};

struct entrances {
	struct door_context context;
	struct entrance_set present, prepared; /* all NULL: there is none */
	struct entrance *leaving;
	void (*idle)(void *arg);
	void *arg;
};

int
entrances_new(
    struct entrances **entrancesp, const struct door_context *context, void (*idle)(void *arg), void *arg)
{
	struct entrances *entrances = calloc(1, sizeof(*entrances));

	if (!entrances)
		return -ENOMEM;
	entrances->context = *context;
	entrances->idle = idle;
	entrances->arg = arg;
	*entrancesp = entrances;
	return 0;
}

static void
entrance_free(struct entrance *entrance)
{
	if (!entrance)
		return;
	listener_free(entrance->listener);
	mllp_door_free(entrance->mllp);
	pull_door_free(entrance->pull);
	free(entrance);
}

static void
set_fini(struct entrance_set *set)
{
	config_release(set->config);
	free(set->at);
	free(set->listeners);
	free(set->fresh);
	*set = (struct entrance_set){ 0 };
}

static int
entrance_new(struct entrance **entrancep, struct entrances *all, const struct config *config,
    const struct config_listener *listener, struct tls_context *tls)
{
	struct entrance *entrance = calloc(1, sizeof(*entrance));
	struct door_context context = all->context;
	struct listener_options options = {
		.loop = context.loop,
		.config = config,
		.listener = listener,
		.tls = tls,
		.peers = context.peers,
	};
	int r;

	if (!entrance)
		return -ENOMEM;
	entrance->all = all;
	context.config = config;
	if (listener->protocol == PROTOCOL_MLLP) {
		r = mllp_door_new(&entrance->mllp, &context, listener->name);
		options.handler = &mllp_handler;
		options.door = entrance->mllp;
	} else {
		r = pull_door_new(&entrance->pull, &context, listener->name);
		options.handler = &pull_handler;
		options.door = entrance->pull;
	}
	if (r == 0)
		r = listener_new(&entrance->listener, &options);
	if (r) {
		entrance_free(entrance);
		return r;
	}
	*entrancep = entrance;
	return 0;
}

/* Whether both can be one socket and one door. */
static bool
same_place(const struct config_listener *a, const struct config_listener *b)
{
	return strcmp(a->name, b->name) == 0 && a->protocol == b->protocol && a->port == b->port &&
	       strcmp(a->address, b->address) == 0;
}

static struct entrance *
find_same(const struct entrance_set *set, const struct config_listener *listener)
{
	for (size_t i = 0; set->config && i < set->config->listener_count; i++)
		if (same_place(&set->config->listeners[i], listener))
			return set->at[i];
	return NULL;
}

static void
tell_refused(struct buffer *errors, const struct config_listener *listener, int error)
{
	buffer_printf(errors, "listener %s: port %u of %s cannot be listened on: %s%s\n", listener->name,
	    listener->port, listener->address, strerror(-error),
	    error == -EADDRINUSE ? "; if it is a listener of the broker that has it now, restart" : "");
}

static int
prepare_each(struct entrances *entrances, struct tls_context *tls, struct buffer *errors)
{
	struct entrance_set *set = &entrances->prepared;
	int r = 0;

	for (size_t i = 0; i < set->config->listener_count; i++) {
		const struct config_listener *listener = &set->config->listeners[i];
		int error;

		set->at[i] = find_same(&entrances->present, listener);
		if (set->at[i])
			continue;
		error = entrance_new(&set->at[i], entrances, set->config, listener, tls);
		if (error == -ENOMEM)
			return error;
		set->fresh[i] = error == 0;
		if (error) {
			tell_refused(errors, listener, error);
			r = ENTRANCES_REFUSED;
		}
	}
	return r;
}

int
entrances_prepare(
    struct entrances *entrances, const struct config *config, struct tls_context *tls, struct buffer *errors)
{
	struct entrance_set *set = &entrances->prepared;
	size_t room = config->listener_count + 1;
	int r = -ENOMEM;

	entrances_cancel(entrances);
	set->config = config_hold(config);
	set->at = calloc(room, sizeof(struct entrance *));
	set->listeners = calloc(room, sizeof(struct listener *));
	set->fresh = calloc(room, sizeof(*set->fresh));
	if (set->at && set->listeners && set->fresh)
		r = prepare_each(entrances, tls, errors);
	if (r)
		entrances_cancel(entrances);
	return r;
}

void
entrances_cancel(struct entrances *entrances)
{
	struct entrance_set *set = &entrances->prepared;

	for (size_t i = 0; set->fresh && set->at && i < set->config->listener_count; i++)
		if (set->fresh[i])
			entrance_free(set->at[i]);
	set_fini(set);
}

static void
entrance_idle(void *arg)
{
	struct entrance *entrance = arg;

	entrance->idle = true;
	entrance->all->idle(entrance->all->arg);
}

static void
entrance_stop(struct entrance *entrance)
{
	listener_stop(entrance->listener);
	if (entrance->mllp)
		mllp_door_stop(entrance->mllp, entrance_idle, entrance);
	else
		pull_door_stop(entrance->pull, entrance_idle, entrance);
}

static void
leave(struct entrances *entrances, struct entrance *entrance, const struct config *config)
{
	entrance->leave_by_us = clock_mono_us() + config->limits.stop_ms * 1000;
	entrance->next = entrances->leaving;
	entrances->leaving = entrance;
	entrance_stop(entrance);
}

static bool
is_in(const struct entrance_set *set, const struct entrance *entrance)
{
	for (size_t i = 0; i < set->config->listener_count; i++)
		if (set->at[i] == entrance)
			return true;
	return false;
}

void
entrances_switch(struct entrances *entrances, struct tls_context *tls)
{
	struct entrance_set before = entrances->present;
	struct entrance_set *set = &entrances->present;

	*set = entrances->prepared;
	entrances->prepared = (struct entrance_set){ 0 };
	for (size_t i = 0; i < set->config->listener_count; i++) {
		struct entrance *entrance = set->at[i];

		set->listeners[i] = entrance->listener;
		listener_reconfigure(entrance->listener, set->config, &set->config->listeners[i], tls);
		if (set->fresh[i]) {
			listener_tell(entrance->listener, &set->config->listeners[i]);
			continue;
		}
		if (entrance->mllp)
			mllp_door_reconfigure(entrance->mllp, set->config);
		else
			pull_door_reconfigure(entrance->pull, set->config);
	}
	for (size_t i = 0; before.config && i < before.config->listener_count; i++)
		if (!is_in(set, before.at[i]))
			leave(entrances, before.at[i], set->config);
	set_fini(&before);
}

struct listener *const *
entrances_listeners(const struct entrances *entrances, size_t *count)
{
	*count = entrances->present.config ? entrances->present.config->listener_count : 0;
	return entrances->present.listeners;
}

void
entrances_sweep(struct entrances *entrances)
{
	struct entrance **place = &entrances->leaving;
	uint64_t now_us = clock_mono_us();

	while (*place) {
		struct entrance *entrance = *place;

		if (!entrance->idle && now_us < entrance->leave_by_us) {
			place = &entrance->next;
			continue;
		}
		*place = entrance->next;
		entrance_free(entrance);
	}
}

void
entrances_stop(struct entrances *entrances)
{
	size_t count;

	entrances_cancel(entrances);
	(void)entrances_listeners(entrances, &count);
	for (size_t i = 0; i < count; i++)
		entrance_stop(entrances->present.at[i]);
}

bool
entrances_idle(const struct entrances *entrances)
{
	size_t count;

	(void)entrances_listeners(entrances, &count);
	for (size_t i = 0; i < count; i++)
		if (!entrances->present.at[i]->idle)
			return false;
	for (const struct entrance *left = entrances->leaving; left; left = left->next)
		if (!left->idle)
			return false;
	return true;
}

void
entrances_free(struct entrances *entrances)
{
	size_t count;

	if (!entrances)
		return;
	entrances_cancel(entrances);
	(void)entrances_listeners(entrances, &count);
	for (size_t i = 0; i < count; i++)
		entrance_free(entrances->present.at[i]);
	set_fini(&entrances->present);
	while (entrances->leaving) {
		struct entrance *entrance = entrances->leaving;

		entrances->leaving = entrance->next;
		entrance_free(entrance);
	}
	free(entrances);
}
