/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of the trace, shared by the files that make it up.
 *
 * Two locks, taken in this order and never both for long: ${read} makes questions come one at a time, ${state} guards what the follower and
 * they share. No file is read or written under ${state}.
 */
#pragma once

#include <pthread.h>

#include "broker/views/trace_view.h"

#define TRACE_PATH_MAX 4096

struct trace {
	struct journal *journal;
	char *directory;
	pthread_t thread;

	pthread_mutex_t read;
	uint64_t tick; /* of the last use of a file; under ${read} */

	pthread_mutex_t state;
	pthread_cond_t changed;
	struct trace_part **parts; /* ascending by segment and slice; the last one may be growing */
	size_t part_count, part_cap;
	uint32_t *gone; /* segments whose removal is recorded and that the journal may still have */
	size_t gone_count, gone_cap;
	uint64_t seen;
	bool well;
	bool stop;
	bool broken;				/* a question found a part damaged */
	bool mending;				/* parts are missing that were there */
	unsigned waiting;			/* for ${seen} to come on */
	uint64_t rebuilds_asked, rebuilds_done; /* a rebuild is asked for by counting up */
	uint64_t rebuilt_rows;

	/* The thread's own */
	struct journal_follower *follower;
	struct trace_part *growing; /* also in ${parts}; NULL: none */
	uint32_t next;		    /* the segment to look at */
	uint64_t position;	    /* the newest sequence seen */
	size_t looked_at;	    /* of the files, by turns */
	bool clean;		    /* files of no part have been removed */
	uint64_t rebuild;	    /* the rebuild under way, 0: none */
	uint64_t rebuild_end;	    /* it is done when this record has been seen */
	bool anew;		    /* the same, of our own accord: something was damaged or gone */
	bool failure_told;
};

/*
 * trace_parts.c: the list. For the thread alone; it takes ${state} itself.
 */
int trace_parts_path(const struct trace *trace, uint32_t number, uint32_t slice,
    char path[static TRACE_PATH_MAX]) __attribute__((warn_unused_result));

/* The last part of segment ${number}, or NULL. */
struct trace_part *trace_parts_last(struct trace *trace, uint32_t number);

/* Add at the end of its segment's; the list owns it then. 0 or -ENOMEM. */
int trace_parts_add(struct trace *trace, struct trace_part *part) __attribute__((warn_unused_result));

/* ${file} in place of ${part}, which is let go. */
void trace_parts_swap(struct trace *trace, struct trace_part *part, struct trace_part *file);

/* Take the parts out for which ${chosen} is true, and all later slices of their segments, their files too. */
void trace_parts_drop(
    struct trace *trace, bool (*chosen)(const struct trace_part *part, const void *arg), const void *arg);

/* The removal of segment ${number} is recorded: as good as gone. 0 or -ENOMEM. */
int trace_parts_forget(struct trace *trace, uint32_t number) __attribute__((warn_unused_result));

/* Remove what lies in the directory and is no part's file: of removed segments, of another journal, of an older version. */
void trace_parts_clean(struct trace *trace);

/* False when a file, another one at each call, is not there any more. */
bool trace_parts_look(struct trace *trace);

uint64_t trace_parts_rows(struct trace *trace);

/* trace_follow.c: go on a little. 0: there may be more; JOURNAL_END: all is seen; -errno. */
int trace_follow(struct trace *trace) __attribute__((warn_unused_result));

/* trace.c: log it, once until all is well again. */
void trace_tell_failure(struct trace *trace, int error);
