/* SPDX-License-Identifier: Apache-2.0 */
/* The list of the trace's parts and their files in views/. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/store/disk.h"
#include "broker/views/trace_private.h"

int
trace_parts_path(const struct trace *trace, uint32_t number, uint32_t slice, char path[static TRACE_PATH_MAX])
{
	int n = snprintf(path, TRACE_PATH_MAX, "%s/%010u-%03u.trace", trace->directory, number, slice);

	return n < 0 || n >= TRACE_PATH_MAX ? -ENAMETOOLONG : 0;
}

struct trace_part *
trace_parts_last(struct trace *trace, uint32_t number)
{
	for (size_t i = trace->part_count; i-- > 0 && trace->parts[i]->number >= number;)
		if (trace->parts[i]->number == number)
			return trace->parts[i];
	return NULL;
}

int
trace_parts_add(struct trace *trace, struct trace_part *part)
{
	size_t at;

	pthread_mutex_lock(&trace->state);
	if (trace->part_count == trace->part_cap) {
		size_t cap = trace->part_cap ? 2 * trace->part_cap : 16;
		struct trace_part **parts = reallocarray(trace->parts, cap, sizeof(struct trace_part *));

		if (!parts) {
			pthread_mutex_unlock(&trace->state);
			return -ENOMEM;
		}
		trace->parts = parts;
		trace->part_cap = cap;
	}
	for (at = trace->part_count; at > 0 && trace->parts[at - 1]->number > part->number; at--)
		trace->parts[at] = trace->parts[at - 1];
	trace->parts[at] = part;
	trace->part_count++;
	pthread_mutex_unlock(&trace->state);
	return 0;
}

void
trace_parts_swap(struct trace *trace, struct trace_part *part, struct trace_part *file)
{
	pthread_mutex_lock(&trace->state);
	for (size_t i = 0; i < trace->part_count; i++)
		if (trace->parts[i] == part)
			trace->parts[i] = file;
	pthread_mutex_unlock(&trace->state);
	trace_part_unref(part);
}

/* Take the next chosen one at or behind *${at} out of the list, or one whose earlier slice was taken out, ${before}. NULL: there is none. */
static struct trace_part *
take_out(struct trace *trace, bool (*chosen)(const struct trace_part *part, const void *arg), const void *arg,
    size_t *at, uint32_t before)
{
	struct trace_part *part = NULL;

	pthread_mutex_lock(&trace->state);
	while (
	    *at < trace->part_count && !chosen(trace->parts[*at], arg) && trace->parts[*at]->number != before)
		++*at;
	if (*at < trace->part_count) {
		part = trace->parts[*at];
		memmove(trace->parts + *at, trace->parts + *at + 1,
		    (--trace->part_count - *at) * sizeof(struct trace_part *));
	}
	pthread_mutex_unlock(&trace->state);
	return part;
}

void
trace_parts_drop(
    struct trace *trace, bool (*chosen)(const struct trace_part *part, const void *arg), const void *arg)
{
	struct trace_part *part;
	uint32_t before = 0; /* no segment has this number */
	size_t at = 0;

	while ((part = take_out(trace, chosen, arg, &at, before)) != NULL) {
		before = part->number;
		if (part == trace->growing)
			trace->growing = NULL;
		if (part->path)
			disk_discard(part->path);
		trace_part_unref(part);
	}
}

static bool
is_number(const struct trace_part *part, const void *number)
{
	return part->number == *(const uint32_t *)number;
}

/* Segments that the journal does not have any more need not be remembered. */
static size_t
still_there(struct trace *trace, uint32_t *gone, size_t count)
{
	struct journal_segment segment;
	size_t kept = 0;

	for (size_t i = 0; i < count; i++)
		if (journal_segment(trace->journal, gone[i], &segment) && segment.number == gone[i])
			gone[kept++] = gone[i];
	return kept;
}

int
trace_parts_forget(struct trace *trace, uint32_t number)
{
	uint32_t *gone = calloc(trace->gone_count + 1, sizeof(*gone)), *old;
	size_t count;

	if (!gone)
		return -ENOMEM;
	if (trace->gone_count)
		memcpy(gone, trace->gone, trace->gone_count * sizeof(*gone));
	gone[trace->gone_count] = number;
	count = still_there(trace, gone, trace->gone_count + 1);
	pthread_mutex_lock(&trace->state);
	old = trace->gone;
	trace->gone = gone;
	trace->gone_count = count;
	pthread_mutex_unlock(&trace->state);
	free(old);
	trace_parts_drop(trace, is_number, &number);
	return 0;
}

/* Whether ${name} is of ours, now or of an earlier version. */
static bool
is_ours(const char *name)
{
	static const char *const ends[] = { ".trace", ".trace.tmp" };
	size_t len = strlen(name);

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		if (len > strlen(ends[i]) && strcmp(name + len - strlen(ends[i]), ends[i]) == 0)
			return true;
	return strcmp(name, "trace.db") == 0 || strcmp(name, "trace.db-wal") == 0 ||
	       strcmp(name, "trace.db-shm") == 0;
}

static bool
is_listed(const struct trace *trace, const char *path)
{
	for (size_t i = 0; i < trace->part_count; i++)
		if (trace->parts[i]->path && strcmp(trace->parts[i]->path, path) == 0)
			return true;
	return false;
}

void
trace_parts_clean(struct trace *trace)
{
	DIR *directory = opendir(trace->directory);
	struct dirent *entry;
	char path[TRACE_PATH_MAX];

	while (directory && (entry = readdir(directory)) != NULL) {
		int n = snprintf(path, sizeof(path), "%s/%s", trace->directory, entry->d_name);

		if (n > 0 && n < TRACE_PATH_MAX && is_ours(entry->d_name) && !is_listed(trace, path))
			disk_discard(path);
	}
	if (directory)
		closedir(directory);
}

bool
trace_parts_look(struct trace *trace)
{
	struct trace_part *part;

	if (!trace->part_count)
		return true;
	part = trace->parts[trace->looked_at++ % trace->part_count];
	if (!part->path || access(part->path, F_OK) == 0 || errno != ENOENT)
		return true;
	atomic_store(&part->broken, true);
	return false;
}

uint64_t
trace_parts_rows(struct trace *trace)
{
	uint64_t rows = 0;

	for (size_t i = 0; i < trace->part_count; i++)
		rows += (uint64_t)trace->parts[i]->brief.born + trace->parts[i]->brief.carried;
	return rows;
}
