/* SPDX-License-Identifier: Apache-2.0 */
/* One question's sight of the trace: see trace_view.h. */
#include "broker/views/trace_view.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker/base/clock.h"
#include "broker/views/trace_private.h"

#define OPEN_MAX 64 /* files of parts kept open */

static int
copy_state(struct trace *trace, struct trace_view *view)
{
	view->parts = calloc(trace->part_count + 1, sizeof(*view->parts));
	view->gone = calloc(trace->gone_count + 1, sizeof(*view->gone));
	if (!view->parts || !view->gone)
		return -ENOMEM;
	for (; view->count < trace->part_count; view->count++) {
		struct trace_part *part = trace->parts[view->count];

		trace_part_ref(part);
		view->parts[view->count] = (struct trace_seen){ part, part->brief };
	}
	if (trace->gone_count)
		memcpy(view->gone, trace->gone, trace->gone_count * sizeof(*view->gone));
	view->gone_count = trace->gone_count;
	view->seen = trace->seen;
	return 0;
}

int
trace_view_open(struct trace *trace, bool whole, struct trace_view *view)
{
	int r;

	pthread_mutex_lock(&trace->read);
	*view = (struct trace_view){
		.journal = trace->journal, .tick = trace->tick, .began_us = clock_mono_us()
	};
	arena_init(&view->scratch, TRACE_RECORD_MEMORY);
	pthread_mutex_lock(&trace->state);
	r = whole && trace->mending ? -ENOENT : copy_state(trace, view);
	pthread_mutex_unlock(&trace->state);
	return r;
}

void
trace_view_close(struct trace *trace, struct trace_view *view, int result)
{
	for (size_t i = 0; i < view->count; i++)
		trace_part_unref(view->parts[i].part);
	free(view->parts);
	free(view->gone);
	arena_fini(&view->scratch);
	trace->tick = view->tick;
	pthread_mutex_unlock(&trace->read);
	if (result != -EUCLEAN)
		return;
	pthread_mutex_lock(&trace->state);
	trace->broken = true; /* the thread makes it anew */
	pthread_cond_broadcast(&trace->changed);
	pthread_mutex_unlock(&trace->state);
}

bool
trace_view_late(const struct trace_view *view, unsigned part)
{
	return clock_mono_us() - view->began_us > (uint64_t)TRACE_READ_MS * 1000 / part;
}

/* A descriptor is about to be opened: let go of the one unused for longest, when there are many. */
static void
make_room(struct trace_view *view)
{
	struct trace_part *idlest = NULL;
	size_t open = 0;

	for (size_t i = 0; i < view->count; i++) {
		struct trace_part *part = view->parts[i].part;

		if (part->fd < 0)
			continue;
		open++;
		if (!idlest || part->used < idlest->used)
			idlest = part;
	}
	if (open >= OPEN_MAX)
		trace_file_close(idlest);
}

int
trace_view_entry(struct trace_view *view, const struct trace_seen *seen, enum trace_section section,
    uint32_t index, struct trace_block *block, const uint8_t **entryp)
{
	if (seen->part->fd < 0)
		make_room(view);
	seen->part->used = ++view->tick;
	return trace_file_entry(seen->part, section, index, block, entryp);
}

int
trace_view_row(struct trace_view *view, const struct trace_seen *seen, uint32_t index,
    struct trace_block *block, struct trace_row *row)
{
	const uint8_t *entry;
	int r = trace_view_entry(view, seen, TRACE_ROWS, index, block, &entry);

	if (!r)
		trace_row_decode(entry, row);
	return r;
}

int
trace_view_load(struct trace_view *view, const struct trace_seen *seen)
{
	if (seen->part->memory || seen->part->loaded)
		return 0;
	if (seen->part->fd < 0)
		make_room(view);
	seen->part->used = ++view->tick;
	return trace_file_load(seen->part);
}
