/* SPDX-License-Identifier: Apache-2.0 */
/* Dead letters: what became of messages at a destination that was not their acceptance, and was not made good since. */
#include <errno.h>
#include <string.h>

#include "broker/core/decision.h"
#include "broker/views/trace_few.h"
#include "broker/views/trace_view.h"

#define PARKED "(parked)" /* in place of a destination: any replay makes it good */

struct dead {
	struct trace_view *view;
	const char *destination;
	struct trace_pair after; /* message, record */
	uint64_t last;
	struct trace_few few;
	uint64_t bound; /* message behind which nothing is of interest */
	struct arena trial;
};

static int
gather(void *arg, const struct trace_seen *seen, const struct trace_row *row)
{
	struct dead *dead = arg;

	(void)seen;
	if (row->seq > dead->last || row->ref > dead->bound || row->ref < dead->after.major ||
	    (row->ref == dead->after.major && row->seq <= dead->after.minor))
		return 0;
	if (dead->few.count == 2 * dead->few.max) {
		trace_few_end(&dead->few);
		dead->bound = dead->few.pairs[dead->few.count - 1].major;
	}
	trace_few_add(&dead->few, row->ref, row->seq);
	return 0;
}

struct again {
	struct trace_view *view;
	const char *destination; /* NULL: wherever */
	uint64_t since;
};

static int
is_again(void *arg, const struct trace_seen *seen, const struct trace_row *row)
{
	const struct again *again = arg;

	if (row->type != RECORD_ACCEPTED)
		return 0;
	if (!again->destination)
		return 1;
	return row->seq > again->since ? trace_row_at(again->view, seen, row, again->destination) : 0;
}

/* Whether message ${ref} was replayed there behind record ${record}. 1, 0, -errno. */
static int
is_replayed(struct dead *dead, uint64_t ref, uint64_t record)
{
	struct again again = { .view = dead->view,
		.destination = strcmp(dead->destination, PARKED) == 0 ? NULL : dead->destination,
		.since = record };
	struct trace_message m;
	int r;

	arena_reset(&dead->trial);
	r = trace_read_message(dead->view, ref, &dead->trial, &m);
	if (r < 0)
		return r;
	return trace_find_ref(dead->view, r == 0 && m.origin ? m.origin : ref, is_again, &again);
}

/* The next few of them. */
static int
gather_few(struct dead *dead)
{
	int r;

	trace_few_reset(&dead->few);
	dead->bound = UINT64_MAX;
	r = trace_find_dead(
	    dead->view, dead->destination, dead->after.major, &dead->bound, NULL, gather, dead);
	trace_few_end(&dead->few);
	return r;
}

static int
list(struct dead *dead, struct arena *arena, struct trace_hop *hops, size_t max, size_t *countp)
{
	int r = 0;

	while (!r && *countp < max) {
		if ((r = gather_few(dead)) != 0)
			break;
		for (size_t i = 0; i < dead->few.count && *countp < max && !r; i++) {
			dead->after = dead->few.pairs[i];
			if (trace_view_late(dead->view, 1))
				return -ETIMEDOUT;
			r = is_replayed(dead, dead->after.major, dead->after.minor);
			if (r) {
				r = r > 0 ? 0 : r;
				continue;
			}
			r = trace_read_hop(dead->view, dead->after.minor, arena, &hops[*countp]);
			*countp += r == 0 && strcmp(hops[*countp].destination, dead->destination) == 0;
			r = r == TRACE_ABSENT ? 0 : r;
		}
		if (!dead->few.cut)
			break;
	}
	return r;
}

int
trace_dead(struct trace *trace, const char *destination, uint64_t after, uint64_t last, struct arena *arena,
    struct trace_hop *hops, size_t max, size_t *countp)
{
	struct trace_view view;
	struct dead dead = { .view = &view,
		.destination = destination,
		.after = { after, UINT64_MAX },
		.last = last ? last : UINT64_MAX };
	int r = trace_view_open(trace, true, &view);

	*countp = 0;
	arena_init(&dead.trial, TRACE_RECORD_MEMORY);
	if (!r && (r = trace_few_init(&dead.few, 2 * max + 64)) == 0) {
		r = list(&dead, arena, hops, max, countp);
		trace_few_fini(&dead.few);
	}
	arena_fini(&dead.trial);
	trace_view_close(trace, &view, r);
	return r;
}

/* The newest rejection or dead letter; drops are an operator's own. */
struct trouble {
	struct trace_view *view;
	const char *destination;
	uint64_t newest;
};

static int
look_at_trouble(void *arg, const struct trace_seen *seen, const struct trace_row *row)
{
	struct trouble *trouble = arg;
	int there;

	if (row->seq <= trouble->newest || row->outcome >= OUTCOME_DROPPED)
		return 0;
	there = trace_row_at(trouble->view, seen, row, trouble->destination);
	if (there > 0)
		trouble->newest = row->seq;
	return there < 0 ? there : 0;
}

int
trace_trouble(struct trace *trace, const char *destination, struct arena *arena, struct trace_hop *hop)
{
	struct trace_view view;
	struct trouble trouble = { .view = &view, .destination = destination };
	int r = trace_view_open(trace, true, &view);

	if (!r)
		r = trace_find_dead(&view, destination, 0, NULL, &trouble.newest, look_at_trouble, &trouble);
	if (!r)
		r = trouble.newest ? trace_read_hop(&view, trouble.newest, arena, hop) : TRACE_ABSENT;
	trace_view_close(trace, &view, r);
	return r;
}
