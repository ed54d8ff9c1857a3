/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /v1/inboxes/{name}/items: what waits in an inbox, in order, from the journalled facts.
 *
 * `after` only pages: it acknowledges nothing. With `wait` the request waits up to that many seconds for something to list; a peer has at
 * most PULL_POLLS_MAX such requests waiting. A record that cannot be read is named in `unreadable` and hinders no other.
 */
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>

#include "broker/doors/pull_json.h"
#include "broker/doors/pull_request.h"
#include "broker/net/loop.h"
#include "broker/store/workers.h"
#include "codecs/http1_target.h"

#define LIMIT_DEFAULT 100u
#define LIMIT_MAX     1000u
#define WAIT_MAX_S    60u
#define PAGE_MAX      ((size_t)1 << 20)	 /* bytes of one answer; what does not fit is the next page */
#define FACTS_MAX     ((size_t)16 << 20) /* memory for the facts of one message */

struct items {
	struct pull_request base;
	struct workers_job job;
	const struct config_destination *inbox;
	size_t number; /* its queue's */
	uint64_t after, limit;
	uint64_t until_us; /* wait until then */
	struct loop_timer *timer;
	struct core_watch watch;
	bool watching, awake;
	uint64_t *seqs; /* limit + 1 places: one more tells whether there is more */
	size_t count;
	size_t listed;
	bool more;
	int error; /* of the job */
	struct buffer page, unreadable;
};

static struct items *
items_of(struct pull_request *request)
{
	return (struct items *)request;
}

static void
stop_waiting(struct items *items)
{
	struct pull_door *door = items->base.door;

	if (!items->watching)
		return;
	items->watching = false;
	core_unwatch(door->context.core, &items->watch);
	loop_timer_cancel(items->timer);
	items->base.peer->polls--;
}

/*
 * On a worker: the page
 */

/* Append record ${seq} to the page. 0; 1: the page is full; -errno: the journal could not be read. */
static int
add_item(struct items *items, uint64_t seq, struct arena *arena)
{
	struct record record;
	struct facts facts;
	size_t len = items->page.len;
	int error;

	arena_reset(arena);
	error = journal_read(items->base.door->context.journal, seq, false, arena, &record);
	if (error == JOURNAL_ABSENT)
		return 0; /* settled, and removed since it was listed */
	if (error == 0)
		error = facts_decode(record.facts, arena, &facts);
	if (error < 0 && error != -ENOMEM)
		return error;
	if (error) {
		buffer_printf(&items->unreadable, "%s%" PRIu64, items->unreadable.len ? "," : "", seq);
		return 0;
	}
	if (items->listed)
		buffer_append_byte(&items->page, ',');
	if (!pull_json_item(&items->page, &record.head, &facts)) {
		items->page.len = len;
		items->page.failed = false;
		if (items->listed)
			return 1;
		buffer_printf(&items->unreadable, "%s%" PRIu64, items->unreadable.len ? "," : "", seq);
		return 0;
	}
	items->listed++;
	return 0;
}

static void
run(struct workers_job *job)
{
	struct items *items = (struct items *)((char *)job - offsetof(struct items, job));
	struct arena arena;
	int error = 0;

	arena_init(&arena, FACTS_MAX);
	buffer_append_str(&items->page, "{\"inbox\":");
	pull_json_string(&items->page, items->inbox->name);
	buffer_append_str(&items->page, ",\"items\":[");
	for (size_t i = 0; i < items->count && i < items->limit && error == 0; i++)
		error = add_item(items, items->seqs[i], &arena);
	arena_fini(&arena);
	items->more = error > 0 || items->count > items->limit;
	items->error = error < 0 ? error : 0;
	items->page.ceiling += items->unreadable.len + 64;
	buffer_printf(&items->page, "],\"more\":%s,\"unreadable\":[", items->more ? "true" : "false");
	buffer_append_span(&items->page, buffer_span(&items->unreadable));
	buffer_append_str(&items->page, "]}");
}

static void
done(struct workers_job *job)
{
	struct items *items = (struct items *)((char *)job - offsetof(struct items, job));
	struct pull_request *request = &items->base;
	struct log_line line;

	if (!request->connection) {
		pull_let_go(request);
		return;
	}
	if (items->error) {
		pull_later(request, "journal", "The journal cannot be read now.");
	} else if (buffer_failed(&items->page) || buffer_failed(&items->unreadable)) {
		pull_later(request, "overload", "There is no memory for this answer now.");
	} else {
		pull_log(request, &line, EVENT_LISTED);
		log_text(&line, "destination", items->inbox->name);
		log_u64(&line, "after", items->after);
		log_u64(&line, "items", items->listed);
		log_commit(&line);
		pull_answer_json(request, 200, &items->page);
	}
	pull_let_go(request);
}

/*
 * On the loop: what to list, and waiting for it
 */
static void
list(struct items *items)
{
	items->job.run = run;
	items->job.done = done;
	pull_hold(&items->base);
	if (workers_submit(items->base.door->context.workers, &items->job) == 0)
		return;
	pull_later(&items->base, "overload", "The broker is busy.");
	pull_let_go(&items->base);
}

/* List if there is something, or no time is left. False: wait. */
static bool
try_list(struct items *items)
{
	const struct pull_door *door = items->base.door;

	items->count =
	    core_waiting(door->context.core, items->number, items->after, items->seqs, items->limit + 1);
	if (items->count == 0 && loop_now_us(door->context.loop) < items->until_us && !door->stopping)
		return false;
	stop_waiting(items);
	list(items);
	return true;
}

static void
arm(struct items *items)
{
	uint64_t now = loop_now_us(items->base.door->context.loop);

	loop_timer_arm(items->timer, now < items->until_us ? (items->until_us - now + 999) / 1000 : 0);
}

static void
fired(void *arg)
{
	struct items *items = arg;

	items->awake = false;
	if (!try_list(items))
		arm(items);
}

/* Something came. Looked at in the next turn of the loop: many things may come in this one. */
static void
woken(struct core_watch *watch)
{
	struct items *items = (struct items *)((char *)watch - offsetof(struct items, watch));

	if (items->awake)
		return;
	items->awake = true;
	loop_timer_arm(items->timer, 0);
}

static void
wait_for_items(struct items *items)
{
	struct pull_door *door = items->base.door;
	struct peer *peer = items->base.peer;

	if (peer->polls >= PULL_POLLS_MAX) {
		pull_problem(&items->base, &(struct http_problem){ .status = 429,
					       .name = "too-many-polls",
					       .detail = "This peer has too many requests waiting.",
					       .retry_s = 5 });
		return;
	}
	items->timer = loop_timer_new(door->context.loop, fired, items);
	if (!items->timer) {
		pull_later(&items->base, "overload", "There is no memory now.");
		return;
	}
	peer->polls++;
	items->watching = true;
	items->watch.number = items->number;
	items->watch.woken = woken;
	core_watch(door->context.core, &items->watch);
	arm(items);
}

/* The number called ${name} of the query, ${number} unchanged when it is not there; false when it is no number up to ${max}. */
static bool
number_param(const struct pull_request *request, const char *name, uint64_t max, uint64_t *number)
{
	char text[20];

	switch (http1_query_get(request->http->query, name, text, sizeof(text), NULL)) {
	case HTTP1_PARAM_ABSENT:
		return true;
	case HTTP1_PARAM_OK:
		return pull_number(text, number) && *number <= max;
	default:
		return false;
	}
}

static void
start(struct pull_request *request)
{
	struct items *items = items_of(request);
	uint64_t wait = 0;

	items->limit = LIMIT_DEFAULT;
	buffer_init(&items->page, PAGE_MAX);
	buffer_init(&items->unreadable, PAGE_MAX);
	items->inbox = pull_inbox(request);
	if (items->inbox)
		items->number = core_number(request->door->context.core, items->inbox->name);
	if (!items->inbox || items->number == CORE_NONE) {
		pull_absent(request);
		return;
	}
	if (!number_param(request, "after", PULL_SEQ_MAX, &items->after) ||
	    !number_param(request, "limit", LIMIT_MAX, &items->limit) || items->limit == 0 ||
	    !number_param(request, "wait", WAIT_MAX_S, &wait)) {
		pull_bad_request(request, "after is a seq, limit 1 to 1000, wait 0 to 60 seconds.");
		return;
	}
	items->seqs = calloc(items->limit + 1, sizeof(*items->seqs));
	if (!items->seqs) {
		pull_later(request, "overload", "There is no memory now.");
		return;
	}
	items->until_us = loop_now_us(request->door->context.loop) + wait * 1000000;
	if (!try_list(items))
		wait_for_items(items);
}

static void
hurry(struct pull_request *request)
{
	struct items *items = items_of(request);

	if (!items->watching)
		return;
	items->until_us = 0;
	(void)try_list(items);
}

static void
stop(struct pull_request *request)
{
	stop_waiting(items_of(request));
}

static void
fini(struct pull_request *request)
{
	struct items *items = items_of(request);

	stop_waiting(items);
	loop_timer_free(items->timer);
	free(items->seqs);
	buffer_fini(&items->page);
	buffer_fini(&items->unreadable);
}

const struct pull_route pull_route_items = {
	.method = HTTP1_GET,
	.pattern = "/v1/inboxes/{name}/items",
	.size = sizeof(struct items),
	.query = "after limit wait",
	.start = start,
	.hurry = hurry,
	.stop = stop,
	.fini = fini,
	.statuses = { 200, 404, 429 },
};
