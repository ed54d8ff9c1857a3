/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way of the trace's thread along the journal: segment by segment, each made a part. A part whose file is whole is taken as it is; else
 * its records are read, and when the segment is left they become a file.
 */
#include <errno.h>
#include <sys/stat.h>

#include "broker/store/segment.h"
#include "broker/views/trace_private.h"

#define BATCH_RECORDS 1024 /* between two looks at what else is wanted */

static void
advance_to(struct trace *trace, uint64_t seen)
{
	if (trace->position < seen)
		trace->position = seen;
}

/* The part is a file that is whole: taken as it is. 0, TRACE_FOREIGN, -errno. */
static int
adopt(struct trace *trace, const struct journal_segment *segment, uint32_t slice, uint64_t begin)
{
	char path[TRACE_PATH_MAX];
	struct trace_part *part;
	bool damaged = false;
	int r = trace_parts_path(trace, segment->number, slice, path);

	if (!r)
		r = trace_file_open(&part, path, segment, slice, begin, &damaged);
	if (r == TRACE_FOREIGN && damaged) {
		trace_tell_failure(trace, -EUCLEAN);
		trace->anew = true;
		trace->rebuild_end = journal_committed(trace->journal);
	}
	if (r)
		return r;
	if ((r = trace_parts_add(trace, part)) != 0) {
		trace_part_unref(part);
		return r;
	}
	advance_to(trace, part->brief.seen);
	for (size_t i = 0; i < part->removed_count && !r; i++)
		r = trace_parts_forget(trace, part->removed[i]);
	return r;
}

static int
begin_part(struct trace *trace, const struct journal_segment *segment, uint32_t slice, uint64_t begin)
{
	struct trace_part *part;
	int r = journal_follower_seek(trace->follower, segment->number, begin);

	if (r)
		return r;
	if ((r = trace_part_new(&part, segment, slice, begin)) != 0)
		return r;
	if ((r = trace_parts_add(trace, part)) != 0) {
		trace_part_unref(part);
		return r;
	}
	trace->growing = part;
	return 0;
}

/* What comes next: 0, JOURNAL_END, -errno. */
static int
open_next(struct trace *trace)
{
	struct journal_segment segment;
	const struct trace_part *last;
	uint64_t begin;
	uint32_t slice;
	int r;

	if (!journal_segment(trace->journal, trace->next, &segment))
		return JOURNAL_END;
	trace->next = segment.number;
	last = trace_parts_last(trace, segment.number);
	begin = last ? last->end : JOURNAL_SEGMENT_BEGIN;
	slice = last ? last->slice + 1 : 0;
	if (last)
		advance_to(trace, last->brief.seen);
	if (segment.done && begin >= segment.end) {
		trace->next++;
		return 0;
	}
	r = adopt(trace, &segment, slice, begin);
	if (r == TRACE_FOREIGN)
		r = begin_part(trace, &segment, slice, begin);
	if (r == JOURNAL_ABSENT) { /* removed meanwhile */
		trace->next++;
		r = 0;
	}
	return r;
}

/* One record into the growing part. A removal is recorded before the segment goes: what lies there is as good as gone. */
static int
take_record(struct trace *trace, const struct record *record)
{
	struct trace_part *part = trace->growing;
	struct segment_removal removal;
	struct trace_row row;
	int r = 0;

	if (record->head.type != RECORD_SIGNED) { /* about none: not to be found, only to be shown */
		if ((r = trace_row_of(record, part, &row)) == 0)
			r = trace_part_add(part, &row);
	}
	if (!r && record->head.type == RECORD_REMOVED && segment_removal_decode(record->facts, &removal)) {
		r = trace_part_removed(part, removal.number);
		if (!r)
			r = trace_parts_forget(trace, removal.number);
	}
	if (!r)
		advance_to(trace, record->head.seq);
	return r;
}

/* Records until the batch is full, the part is, or there are no more for now. 0, JOURNAL_END, -errno. */
static int
fill(struct trace *trace)
{
	for (unsigned n = 0; n < BATCH_RECORDS && !trace_part_full(trace->growing); n++) {
		struct record record;
		int r = journal_follower_next(trace->follower, &record);

		if (r || (r = take_record(trace, &record)) != 0)
			return r;
	}
	return 0;
}

/* The growing part becomes a file. */
static int
finish_part(struct trace *trace, const struct journal_segment *segment)
{
	struct trace_part *part = trace->growing, *file;
	char path[TRACE_PATH_MAX];
	bool damaged;
	int r = trace_parts_path(trace, part->number, part->slice, path);

	if (r)
		return r;
	part->end = journal_follower_place(trace->follower).offset;
	if (mkdir(trace->directory, 0700) != 0 && errno != EEXIST)
		return -errno;
	if ((r = trace_file_write(part, path)) != 0)
		return r;
	r = trace_file_open(&file, path, segment, part->slice, part->begin, &damaged);
	if (r)
		return r < 0 ? r : -EIO;
	trace_parts_swap(trace, part, file);
	trace->growing = NULL;
	journal_follower_leave(trace->follower);
	return 0;
}

static bool
is_part(const struct trace_part *part, const void *arg)
{
	return part == arg;
}

/* Whether the growing part is to be left: it is full, its segment is done, or was removed. 0, JOURNAL_END (go on with it later), -errno. */
static int
leave_part(struct trace *trace)
{
	struct journal_segment segment;
	uint32_t number = trace->growing->number;

	if (!journal_segment(trace->journal, number, &segment) || segment.number != number) {
		journal_follower_leave(trace->follower);
		trace_parts_drop(trace, is_part, trace->growing);
		return 0;
	}
	if (trace_part_full(trace->growing) ||
	    (segment.done && journal_follower_place(trace->follower).offset >= segment.end))
		return finish_part(trace, &segment);
	return JOURNAL_END;
}

/* The next batch of records, or the next part. */
int
trace_follow(struct trace *trace)
{
	int r = 0;

	if (!trace->growing)
		r = open_next(trace);
	if (r || !trace->growing)
		return r;
	r = fill(trace);
	if (r < 0) /* a record may have been passed over: the part is read again */
		trace_parts_drop(trace, is_part, trace->growing);
	else if (r == JOURNAL_END || trace_part_full(trace->growing))
		r = leave_part(trace);
	return r;
}
