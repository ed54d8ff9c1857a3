/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The destinations as the core knows them: numbers, names, what is configured, who watches. One that was ever heard of stays.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/base/log.h"
#include "broker/base/metrics.h"
#include "broker/core/core.h"
#include "broker/core/route.h"
#include "broker/core/state.h"

#define PARKED_NAME "(parked)"

static void
destination_free(struct destination *destination)
{
	if (!destination)
		return;
	queue_free(destination->queue);
	free(destination->name);
	free(destination);
}

/* NULL: no memory. */
static struct destination *
destination_new(struct span name)
{
	struct destination *destination = calloc(1, sizeof(*destination));

	if (!destination)
		return NULL;
	destination->name = name.len ? strndup((const char *)name.ptr, name.len) : calloc(1, 1);
	if (!destination->name || queue_new(&destination->queue) != 0) {
		destination_free(destination);
		return NULL;
	}
	return destination;
}

static void
make_series(struct destination *destination)
{
	const char *name = destination->name;

	destination->waiting = metric_series(METRIC_WAITING, name);
	destination->oldest = metric_series(METRIC_OLDEST, name);
	destination->delivered = metric_series(METRIC_DELIVERED, name);
	destination->rejected = metric_series(METRIC_ITEMS_REJECTED, name);
	destination->dead = metric_series(METRIC_DEAD_LETTERS, name);
	destination->dropped = metric_series(METRIC_DROPPED, name);
}

int
core_destinations_init(struct core *core)
{
	core->parked = destination_new(span_str(PARKED_NAME));
	if (!core->parked)
		return -ENOMEM;
	core->parked->number = CORE_PARKED;
	return 0;
}

void
core_destinations_fini(struct core *core)
{
	for (size_t i = 0; i < core->destination_count; i++)
		destination_free(core->destinations[i]);
	destination_free(core->parked);
	free(core->destinations);
	free(core->by_name);
	free(core->configured);
	free(core->chosen);
	route_index_free(core->routes);
}

/*
 * By name.
 */
static int
compare(struct span name, const struct destination *destination)
{
	int order = strncmp((const char *)name.ptr, destination->name, name.len);

	return order ? order : -(destination->name[name.len] != '\0');
}

/* Where ${name} stands among the sorted, or is to be put. */
static size_t
place_of(const struct core *core, struct span name, bool *found)
{
	size_t low = 0, high = core->destination_count;

	*found = false;
	while (low < high && !*found) {
		size_t middle = low + (high - low) / 2;
		int order = compare(name, core->by_name[middle]);

		if (order > 0)
			low = middle + 1;
		else
			high = middle;
		*found = order == 0;
	}
	return high;
}

static int
make_room(struct core *core)
{
	size_t room = core->destination_room ? core->destination_room * 2 : 16;
	struct destination **more;

	if (core->destination_count < core->destination_room)
		return 0;
	more = realloc(core->destinations, room * sizeof(struct destination *));
	if (!more)
		return -ENOMEM;
	core->destinations = more;
	more = realloc(core->by_name, room * sizeof(struct destination *));
	if (!more)
		return -ENOMEM;
	core->by_name = more;
	core->destination_room = room;
	return 0;
}

/* A queue that is made after replay has nothing to put in order. */
static int
add(struct core *core, struct span name, size_t at)
{
	struct destination *destination = destination_new(name);

	if (!destination)
		return -ENOMEM;
	if (make_room(core) != 0 || (core->journal && queue_order(destination->queue) != 0)) {
		destination_free(destination);
		return -ENOMEM;
	}
	make_series(destination);
	destination->number = core->destination_count;
	core->destinations[core->destination_count] = destination;
	memmove(core->by_name + at + 1, core->by_name + at,
	    (core->destination_count - at) * sizeof(struct destination *));
	core->by_name[at] = destination;
	core->destination_count++;
	return 0;
}

/* Replay asks for every record. */
struct destination *
core_destination(struct core *core, struct span name)
{
	bool found;
	size_t at;

	if (span_eq_str(name, PARKED_NAME))
		return core->parked;
	/* No name that was ever configured has a NUL: of one that is damaged so, what stands before it. */
	if (name.len && memchr(name.ptr, '\0', name.len))
		name.len = strnlen((const char *)name.ptr, name.len);
	if (!name.len)
		name = span_str("");
	at = place_of(core, name, &found);
	if (!found && add(core, name, at) != 0)
		return NULL;
	return core->by_name[at];
}

/*
 * By number.
 */
struct destination *
core_at(const struct core *core, size_t number)
{
	if (number == CORE_PARKED)
		return core->parked;
	return number < core->destination_count ? core->destinations[number] : NULL;
}

size_t
core_number(const struct core *core, const char *name)
{
	bool found;
	size_t at = place_of(core, span_str(name), &found);

	return found && core->by_name[at]->configured ? core->by_name[at]->number : CORE_NONE;
}

size_t
core_numbers(const struct core *core)
{
	return core->destination_count;
}

const char *
core_name(const struct core *core, size_t number)
{
	return core_at(core, number)->name;
}

bool
core_configured(const struct core *core, size_t number)
{
	return core_at(core, number)->configured != NULL;
}

/*
 * Another configuration.
 */
int
core_reconfigure(struct core *core, const struct config *config)
{
	const struct config *before = core->config;
	size_t count = config->destination_count, room;
	struct destination **configured = calloc(count + 1, sizeof(struct destination *));
	const struct config_destination **chosen = calloc(count + 1, sizeof(struct config_destination *));
	struct window_mark *marks = core_window_new(config, &room);
	struct route_index *routes = NULL;

	if (!configured || !chosen || !marks || route_index_new(&routes, config))
		goto fail;
	/* One made here and not used after all is one of which nothing waits. */
	for (size_t i = 0; i < count; i++) {
		configured[i] = core_destination(core, span_str(config->destinations[i].name));
		if (!configured[i])
			goto fail;
	}
	/* From here on nothing fails. */
	core->config = config_hold(config);
	core_window_take(core, marks, room);
	for (size_t i = 0; i < core->destination_count; i++)
		core->destinations[i]->configured = NULL;
	for (size_t i = 0; i < count; i++)
		configured[i]->configured = &config->destinations[i];
	free(core->configured);
	core->configured = configured;
	free(core->chosen);
	core->chosen = chosen;
	route_index_free(core->routes);
	core->routes = routes;
	config_release(before);
	core_tell_orphans(core);
	return 0;
fail:
	free(configured);
	free(chosen);
	free(marks);
	route_index_free(routes);
	return -ENOMEM;
}

uint64_t
core_orphaned(const struct core *core)
{
	uint64_t count = 0;

	for (size_t i = 0; i < core->destination_count; i++)
		if (!core->destinations[i]->configured)
			count += queue_count(core->destinations[i]->queue);
	return count;
}

/* Destinations that were taken out of the configuration while items waited in them. */
void
core_tell_orphans(const struct core *core)
{
	char names[LOG_VALUE_MAX + 1] = "";
	uint64_t count = core_orphaned(core);
	struct log_line line;
	size_t len = 0;

	if (count == 0)
		return;
	for (size_t i = 0; i < core->destination_count && len < sizeof(names); i++) {
		const struct destination *destination = core->destinations[i];

		if (!destination->configured && queue_count(destination->queue))
			len += (size_t)snprintf(
			    names + len, sizeof(names) - len, "%s%s", len ? "," : "", destination->name);
	}
	log_begin(&line, EVENT_ORPHANED);
	log_u64(&line, "count", count);
	log_text(&line, "destinations", names);
	log_commit(&line);
}

/*
 * Who waits for something new.
 */
void
core_watch(struct core *core, struct core_watch *watch)
{
	struct destination *destination = core_at(core, watch->number);

	watch->prev = NULL;
	watch->next = destination->watches;
	if (watch->next)
		watch->next->prev = watch;
	destination->watches = watch;
}

void
core_unwatch(struct core *core, struct core_watch *watch)
{
	if (watch->prev)
		watch->prev->next = watch->next;
	else
		core_at(core, watch->number)->watches = watch->next;
	if (watch->next)
		watch->next->prev = watch->prev;
	watch->prev = watch->next = NULL;
}

void
core_wake(struct destination *destination)
{
	struct core_watch *next;

	/* A woken watch may take itself off. */
	for (struct core_watch *watch = destination->watches; watch; watch = next) {
		next = watch->next;
		watch->woken(watch);
	}
}

/*
 * Queues as others see them.
 */
size_t
core_waiting(const struct core *core, size_t number, uint64_t after, uint64_t *seqs, size_t max)
{
	const struct destination *destination = core_at(core, number);
	struct queue_entry entries[64];
	size_t n = 0;

	while (destination && n < max) {
		size_t want = max - n < 64 ? max - n : 64;
		size_t got = queue_list(destination->queue, after, entries, want);

		for (size_t i = 0; i < got; i++)
			seqs[n++] = entries[i].seq;
		if (got < want)
			break;
		after = entries[got - 1].seq;
	}
	return n;
}

size_t
core_waiting_count(const struct core *core, size_t number)
{
	const struct destination *destination = core_at(core, number);

	return destination ? queue_count(destination->queue) : 0;
}

uint64_t
core_oldest_us(const struct core *core, size_t number)
{
	const struct destination *destination = core_at(core, number);
	struct queue_entry entry;

	return destination && queue_list(destination->queue, 0, &entry, 1) ? entry.time_s * 1000000 : 0;
}

enum core_standing
core_standing(const struct core *core, size_t number, uint64_t seq, enum outcome *outcome)
{
	const struct destination *destination = core_at(core, number);

	switch (destination ? queue_state(destination->queue, seq, outcome) : QUEUE_ABSENT) {
	case QUEUE_WAITING:
	case QUEUE_SETTLING:
		return STANDING_WAITING;
	case QUEUE_SETTLED:
		return STANDING_SETTLED;
	default:
		return STANDING_ABSENT;
	}
}
