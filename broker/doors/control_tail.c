/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `tail`: lines of the log, filtered, from a place in its file on. Following is the client's: it asks again from the place it was told.
 *
 * One answer scans at most SCAN_MAX bytes and gives at most GIVEN_MAX: the worker is soon free again. A file that was rotated away or
 * cut begins anew at its start.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "broker/base/log.h"
#include "broker/doors/control_request.h"

#define SCAN_MAX  ((size_t)4 << 20)
#define GIVEN_MAX ((size_t)256 << 10)

/* What a line must have. Keys are looked for as the log writes them, so that no value can pretend to be one. */
struct filter {
	char peer[LOG_VALUE_MAX * 2];
	char id[32];
	bool errors;
	int64_t since;
};

/* Whether " key=value" of ${needle} stands in ${line} outside quotes, ended by a blank or the end. */
static bool
has_key(struct span line, const char *needle)
{
	size_t len = strlen(needle);
	bool quoted = false;

	for (size_t i = 0; i < line.len; i++) {
		if (quoted && line.ptr[i] == '\\')
			i++;
		else if (line.ptr[i] == '"')
			quoted = !quoted;
		else if (!quoted && line.ptr[i] == ' ' && line.len - i >= len &&
			 memcmp(line.ptr + i, needle, len) == 0 &&
			 (line.len - i == len || line.ptr[i + len] == ' '))
			return true;
	}
	return false;
}

/* "2026-11-21T18:57:11.084+01:00" in Unix seconds; -1 when it is none. */
static int64_t
line_time(struct span line)
{
	int year, month, day, hour, minute, second, zone_hour, zone_minute;
	char text[32], sign;
	struct tm tm;

	if (line.len < 29)
		return -1;
	memcpy(text, line.ptr, 29);
	text[29] = '\0';
	if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d.%*3d%c%2d:%2d", &year, &month, &day, &hour, &minute,
		&second, &sign, &zone_hour, &zone_minute) != 9)
		return -1;
	tm = (struct tm){ .tm_year = year - 1900,
		.tm_mon = month - 1,
		.tm_mday = day,
		.tm_hour = hour,
		.tm_min = minute,
		.tm_sec = second };
	return timegm(&tm) - (sign == '-' ? -1 : 1) * (zone_hour * 3600 + zone_minute * 60);
}

/* The second word of a line is its level. */
static bool
is_trouble(struct span line)
{
	const uint8_t *blank = memchr(line.ptr, ' ', line.len);
	struct span rest = blank ? span_cut(line, (size_t)(blank - line.ptr) + 1, line.len) : SPAN_EMPTY;

	return span_eq_str(span_cut(rest, 0, 4), "warn") || span_eq_str(span_cut(rest, 0, 5), "error");
}

static bool
wanted(const struct filter *filter, struct span line)
{
	if (filter->errors && !is_trouble(line))
		return false;
	if (filter->id[0] && !has_key(line, filter->id))
		return false;
	if (filter->peer[0] && !has_key(line, filter->peer))
		return false;
	return !filter->since || line_time(line) >= filter->since;
}

static void
make_filter(const struct control_line *line, struct filter *filter)
{
	*filter = (struct filter){ .errors = line->errors, .since = line->since };
	if (line->id)
		snprintf(filter->id, sizeof(filter->id), " id=%llu", (unsigned long long)line->id);
	if (line->peer[0])
		snprintf(filter->peer, sizeof(filter->peer), " peer=%.200s", line->peer);
}

struct scan {
	struct filter filter;
	uint64_t offset; /* behind the last whole line looked at */
	uint64_t file;
	bool end;   /* nothing more for now */
	bool anew;  /* the file is another one, or was cut */
	bool first; /* ${offset} may stand inside a line */
};

/* Whole lines of ${text}; returns the bytes used. */
static size_t
take_lines(struct control_request *request, struct scan *scan, struct span text)
{
	size_t at = 0;

	while (at < text.len && request->out.len < GIVEN_MAX) {
		const uint8_t *end = memchr(text.ptr + at, '\n', text.len - at);
		struct span line;

		if (!end)
			break;
		line = span_make(text.ptr + at, (size_t)(end - text.ptr) - at);
		at += line.len + 1;
		if (scan->first) {
			scan->first = false;
			continue;
		}
		if (line.len && wanted(&scan->filter, line)) {
			char copy[LOG_LINE_MAX * 2];

			snprintf(copy, sizeof(copy), "%.*s", (int)line.len, (const char *)line.ptr);
			control_row(
			    request, json_pack("{ss so}", "kind", "line", "text", control_text(copy)));
		}
	}
	return at;
}

static uint64_t
file_number(const struct stat *st)
{
	return (uint64_t)st->st_ino & (((uint64_t)1 << 53) - 1);
}

static void
place_offset(const struct control_line *line, struct scan *scan, const struct stat *st)
{
	uint64_t size = (uint64_t)st->st_size;

	scan->file = file_number(st);
	if (line->offset < 0) {
		uint64_t back = (uint64_t)-line->offset;

		scan->offset = size > back ? size - back : 0;
		scan->first = scan->offset > 0;
		return;
	}
	scan->offset = (uint64_t)line->offset;
	scan->anew = (line->file && line->file != scan->file) || scan->offset > size;
	if (scan->anew)
		scan->offset = 0;
}

/*
 * The file to read. Whoever was reading one that was renamed since (logrotate: FILE.1) gets its last lines first, and FILE from its beginning
 * once they are read: else those written between two questions would be missed at every rotation.
 */
static int
open_log(const struct control_request *request, bool *rotatedp)
{
	const char *path = request->with->config->log_file;
	uint64_t file = request->line.file;
	char rotated[4096];
	struct stat st, now = { 0 };
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), old = -1;

	*rotatedp = false;
	if (!file || (fd >= 0 && fstat(fd, &now) == 0 && file_number(&now) == file) ||
	    (size_t)snprintf(rotated, sizeof(rotated), "%s.1", path) >= sizeof(rotated))
		return fd < 0 ? -errno : fd;
	old = open(rotated, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (old >= 0 && fstat(old, &st) == 0 && file_number(&st) == file) {
		/* no line in the new one yet: the old one may still be written to */
		*rotatedp = now.st_size > 0;
		if (fd >= 0)
			close(fd);
		return old;
	}
	if (old >= 0)
		close(old);
	return fd < 0 ? -ENOENT : fd;
}

static int
scan_file(struct control_request *request, struct scan *scan, int fd)
{
	uint8_t *text = malloc(SCAN_MAX);
	ssize_t n;
	size_t used;

	if (!text)
		return -ENOMEM;
	n = pread(fd, text, SCAN_MAX, (off_t)scan->offset);
	if (n < 0) {
		free(text);
		return -errno;
	}
	used = take_lines(request, scan, span_make(text, (size_t)n));
	if (!used && (size_t)n == SCAN_MAX)
		used = (size_t)n; /* not a log of ours: no line is so long */
	scan->offset += used;
	scan->end = (size_t)n < SCAN_MAX && request->out.len < GIVEN_MAX;
	free(text);
	return 0;
}

static void
tail_work(struct control_request *request)
{
	struct scan *scan = request->own;
	struct stat st;
	bool rotated;
	int fd = open_log(request, &rotated);

	if (fd < 0) {
		request->result = fd;
		return;
	}
	if (fstat(fd, &st) != 0) {
		request->result = -errno;
	} else {
		make_filter(&request->line, &scan->filter);
		place_offset(&request->line, scan, &st);
		request->result = scan_file(request, scan, fd);
		if (rotated && scan->end) { /* read to its end: on with the new one */
			scan->file = 0;
			scan->offset = 0;
			scan->end = false;
			scan->anew = true;
		}
	}
	close(fd);
}

static void
tail_done(struct control_request *request)
{
	const struct scan *scan = request->own;

	if (request->result)
		control_fail_errno(request, "the log cannot be read", request->result);
	else
		control_ok(
		    request, json_pack("{sI sI sb sb}", "offset", (json_int_t)scan->offset, "file",
				 (json_int_t)scan->file, "end", (int)scan->end, "anew", (int)scan->anew));
}

void
control_tail(struct control_request *request)
{
	if (!request->with->config->log_file) {
		control_fail(request, "absent",
		    "the log goes to standard error, not to a file: journalctl -u liaison");
		return;
	}
	request->own = arena_calloc(&request->arena, 1, sizeof(struct scan));
	if (!request->own)
		control_fail_errno(request, "tail", ENOMEM);
	else
		control_work(request, tail_work, tail_done);
}
