/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of the trace in the order of sequences. Born rows of the parts follow one another; the carried rows of each part, older ones, are a run
 * of their own, and all runs are merged.
 */
#include <errno.h>
#include <stdlib.h>

#include "broker/views/trace_view.h"

/* Some rows of one part, by sequence. */
struct run {
	const struct trace_seen *seen; /* NULL: none */
	uint32_t *order;	       /* in memory: which row is the nth; owned */
	uint32_t first, count;	       /* in a file: its rows from here */
	uint32_t at, left;	       /* the next one, and how many with it */
	bool there;		       /* ${row} is the one before it, not given yet */
	struct trace_row row;
	struct trace_block block;
};

struct trace_scan {
	struct trace_view *view;
	bool down;
	uint64_t bound;
	bool (*wanted)(const void *arg, const struct trace_brief *brief);
	const void *arg;
	size_t next; /* part whose born rows come next; down: one more than that */
	uint64_t given;
	struct run born;
	struct run *carried;
	size_t carried_count;
	size_t best; /* of the carried runs; carried_count: to be found anew */
};

static int
run_row(struct trace_view *view, struct run *run, uint32_t n, struct trace_row *row)
{
	if (!run->order)
		return trace_view_row(view, run->seen, run->first + n, &run->block, row);
	*row = *trace_memory_row(run->seen->part->memory, run->order[n]);
	return 0;
}

static int
run_step(struct trace_scan *scan, struct run *run)
{
	int r;

	run->there = run->left > 0;
	if (!run->there)
		return 0;
	r = run_row(scan->view, run, run->at, &run->row);
	run->at = scan->down ? run->at - 1 : run->at + 1;
	run->left--;
	return r;
}

static int
compare_rows(const void *a, const void *b, void *memory)
{
	uint64_t x = trace_memory_row(memory, *(const uint32_t *)a)->seq;
	uint64_t y = trace_memory_row(memory, *(const uint32_t *)b)->seq;

	return (x > y) - (x < y);
}

static int
order_memory(struct run *run, bool carried)
{
	const struct trace_brief *brief = &run->seen->brief;
	uint32_t n = 0;

	run->order = calloc(run->count + 1, sizeof(*run->order));
	if (!run->order)
		return -ENOMEM;
	for (uint32_t i = 0; i < brief->born + brief->carried && n < run->count; i++) {
		const struct trace_row *row = trace_memory_row(run->seen->part->memory, i);

		if (((row->flags & RECORD_CARRIED) != 0) == carried)
			run->order[n++] = i;
	}
	if (carried)
		qsort_r(run->order, n, sizeof(*run->order), compare_rows, run->seen->part->memory);
	return 0;
}

/* How many rows of the run come before those of interest (down: are of interest). */
static int
find_bound(struct trace_scan *scan, struct run *run, uint32_t *atp)
{
	uint32_t low = 0, high = run->count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		struct trace_row row;
		int r = run_row(scan->view, run, middle, &row);

		if (r)
			return r;
		if (scan->down ? row.seq < scan->bound : row.seq <= scan->bound)
			low = middle + 1;
		else
			high = middle;
	}
	*atp = low;
	return 0;
}

static int
run_begin(struct trace_scan *scan, struct run *run, const struct trace_seen *seen, bool carried)
{
	uint32_t at;
	int r;

	free(run->order);
	run->order = NULL;
	run->seen = seen;
	run->first = carried ? seen->brief.born : 0;
	run->count = carried ? seen->brief.carried : seen->brief.born;
	run->block.part = NULL;
	if (seen->part->memory && (r = order_memory(run, carried)) != 0)
		return r;
	if ((r = find_bound(scan, run, &at)) != 0)
		return r;
	run->at = scan->down ? at - 1 : at;
	run->left = scan->down ? at : run->count - at;
	return run_step(scan, run);
}

/* Born rows: the run of the next part that has any of interest. */
static int
next_born(struct trace_scan *scan)
{
	int r = 0;

	while (!r && !scan->born.there) {
		const struct trace_seen *seen;

		if (scan->down ? scan->next == 0 : scan->next == scan->view->count)
			return 0;
		seen = &scan->view->parts[scan->down ? --scan->next : scan->next++];
		if (!seen->brief.born ||
		    (scan->down ? seen->brief.first_seq >= scan->bound
				: seen->brief.last_seq <= scan->bound) ||
		    (scan->wanted && !scan->wanted(scan->arg, &seen->brief)))
			continue;
		r = run_begin(scan, &scan->born, seen, false);
	}
	return r;
}

int
trace_scan_new(struct trace_scan **scanp, struct trace_view *view, bool down, uint64_t bound,
    bool (*wanted)(const void *arg, const struct trace_brief *brief), const void *arg)
{
	struct trace_scan *scan = calloc(1, sizeof(*scan));
	size_t count = 0;
	int r = 0;

	if (!scan)
		return -ENOMEM;
	for (size_t i = 0; i < view->count; i++)
		count += view->parts[i].brief.carried > 0;
	scan->view = view;
	scan->down = down;
	scan->bound = bound;
	scan->wanted = wanted;
	scan->arg = arg;
	scan->next = down ? view->count : 0;
	scan->carried = calloc(count + 1, sizeof(*scan->carried));
	if (!scan->carried) {
		free(scan);
		return -ENOMEM;
	}
	for (size_t i = view->count; i-- > 0 && !r;) /* the newest first: of two copies it is the one given */
		if (view->parts[i].brief.carried > 0)
			r = run_begin(scan, &scan->carried[scan->carried_count++], &view->parts[i], true);
	scan->best = scan->carried_count;
	if (r) {
		trace_scan_free(scan);
		return r;
	}
	*scanp = scan;
	return 0;
}

void
trace_scan_free(struct trace_scan *scan)
{
	if (!scan)
		return;
	for (size_t i = 0; i < scan->carried_count; i++)
		free(scan->carried[i].order);
	free(scan->carried);
	free(scan->born.order);
	free(scan);
}

static bool
comes_before(const struct trace_scan *scan, const struct run *one, const struct run *other)
{
	if (!one->there || !other->there)
		return one->there;
	return scan->down ? one->row.seq > other->row.seq : one->row.seq < other->row.seq;
}

/* The carried run whose row comes first, or NULL. */
static struct run *
best_carried(struct trace_scan *scan)
{
	if (scan->best == scan->carried_count) {
		for (size_t i = 0; i < scan->carried_count; i++)
			if (scan->carried[i].there &&
			    (scan->best == scan->carried_count ||
				comes_before(scan, &scan->carried[i], &scan->carried[scan->best])))
				scan->best = i;
	}
	return scan->best < scan->carried_count ? &scan->carried[scan->best] : NULL;
}

int
trace_scan_next(struct trace_scan *scan, const struct trace_seen **seenp, struct trace_row *row)
{
	for (;;) {
		struct run *run = best_carried(scan);
		int r = next_born(scan);

		if (r)
			return r;
		if (!run || comes_before(scan, &scan->born, run))
			run = &scan->born;
		if (!run->there)
			return TRACE_END;
		*row = run->row;
		*seenp = run->seen;
		if (run != &scan->born)
			scan->best = scan->carried_count;
		if ((r = run_step(scan, run)) != 0)
			return r;
		if (row->seq != scan->given) {
			scan->given = row->seq;
			return 0;
		}
	}
}
