/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a line of the log is made: the catalogue, the fields, the escaping. Where it goes: log.c.
 *
 * Invariant of a line in the making: text[0..len) parses by the grammar, and there is room behind it for " cut=1\n".
 */
#include <string.h>

#include "broker/base/clock.h"
#include "broker/base/log.h"

static const char cut_mark[] = " cut=1";

/* What a field may fill: the mark and the line's end always find room behind it. */
#define FIELDS_MAX (LOG_LINE_MAX - sizeof(cut_mark))

static const struct event_info catalogue[EVENT_COUNT] = {
#define EVENT(id, name, level, sentence, action) [EVENT_##id] = { name, LEVEL_##level, sentence, action },
#include "broker/base/events.def"
#undef EVENT
};

/* What stands between the time and the fields; "warning" is longer than the column. */
#define COLUMN_DEBUG   " debug "
#define COLUMN_INFO    " info  "
#define COLUMN_WARNING " warning "
#define COLUMN_ERROR   " error "

static const struct {
	const char *text;
	size_t len;
} begins[EVENT_COUNT] = {
#define EVENT(id, name, level, sentence, action)                                                             \
	[EVENT_##id] = { (COLUMN_##level name), sizeof(COLUMN_##level name) - 1 },
#include "broker/base/events.def"
#undef EVENT
};

const struct event_info *
event_info(enum log_event event)
{
	return &catalogue[event];
}

const char *
log_level_name(enum log_level level)
{
	static const char *const names[] = { "debug", "info", "warning", "error" };

	return names[level];
}

void
log_begin(struct log_line *line, enum log_event event)
{
	char when[32];

	line->event = event;
	line->len = 0;
	line->full = !log_wants(catalogue[event].level);
	if (line->full)
		return;
	clock_format(clock_wall_us(), when);
	memcpy(line->text, when, CLOCK_FORMAT_LEN);
	memcpy(line->text + CLOCK_FORMAT_LEN, begins[event].text, begins[event].len);
	line->len = CLOCK_FORMAT_LEN + begins[event].len;
}

/* A field for which there is no room: the line says so and takes no more. */
static void
line_cut(struct log_line *line)
{
	memcpy(line->text + line->len, cut_mark, sizeof(cut_mark) - 1);
	line->len += sizeof(cut_mark) - 1;
	line->full = true;
}

/* How many places each byte takes: 1 as it stands, also without quotes; PLACES_QUOTED as it stands within quotes; else its escape. */
#define PLACES_QUOTED 0u

static const uint8_t places[256] = {
	[0 ... 8] = 4,
	['\t' ... '\n'] = 2,
	[11 ... 12] = 4,
	['\r'] = 2,
	[14 ... 31] = 4,
	['"'] = 2,
	['+'] = 1,
	['-' ... ':'] = 1,
	['@' ... 'Z'] = 1,
	['\\'] = 2,
	['^' ... '_'] = 1,
	['a' ... 'z'] = 1,
	[127 ... 255] = 4,
	/* The rest of ASCII: PLACES_QUOTED. */
};

/* The letter of a short escape. */
static char
short_escape(uint8_t c)
{
	switch (c) {
	case '\n':
		return 'n';
	case '\r':
		return 'r';
	case '\t':
		return 't';
	default:
		return (char)c; /* quote, backslash */
	}
}

/* One byte inside double quotes: at most 4 places at ${to}, of which the end is returned. */
static char *
escape(uint8_t c, char *to)
{
	static const char hex[] = "0123456789abcdef";

	if (places[c] < 2) {
		*to++ = (char)c;
		return to;
	}
	*to++ = '\\';
	if (places[c] == 2) {
		*to++ = short_escape(c);
		return to;
	}
	*to++ = 'x';
	*to++ = hex[c >> 4];
	*to++ = hex[c & 15];
	return to;
}

/* What the bytes of ${value} take within quotes. */
static size_t
quoted_len(struct span value)
{
	size_t len = 0;

	for (size_t i = 0; i < value.len; i++)
		len += places[value.ptr[i]] == PLACES_QUOTED ? 1 : places[value.ptr[i]];
	return len;
}

/* Begin a field whose value takes ${len} places; NULL, and the line is cut, when it does not fit. */
static char *
field(struct log_line *line, const char *key, size_t len)
{
	size_t key_len = strlen(key);
	char *to = line->text + line->len;

	if (key_len + 2 + len > FIELDS_MAX - line->len) {
		line_cut(line);
		return NULL;
	}
	line->len += key_len + 2 + len;
	*to++ = ' ';
	memcpy(to, key, key_len);
	to += key_len;
	*to++ = '=';
	return to;
}

static bool
is_plain(struct span value)
{
	size_t i = 0;

	while (i < value.len && places[value.ptr[i]] == 1)
		i++;
	return i == value.len && value.len > 0;
}

/* Append " key=value" with at most ${max} bytes of the value, or the cut mark when it does not fit. */
static void
put(struct log_line *line, const char *key, struct span value, size_t max)
{
	static const char dots[] = "...";
	size_t more = 0;
	char *to;

	if (line->full)
		return;
	if (value.len > max) {
		more = sizeof(dots) - 1;
		value.len = max - more;
	}
	if (is_plain(value)) {
		to = field(line, key, value.len + more);
		if (to)
			memcpy(mempcpy(to, value.ptr, value.len), dots, more);
		return;
	}
	to = field(line, key, quoted_len(value) + more + 2);
	if (!to)
		return;
	*to++ = '"';
	for (size_t i = 0; i < value.len; i++)
		to = escape(value.ptr[i], to);
	to = mempcpy(to, dots, more);
	*to = '"';
}

void
log_span(struct log_line *line, const char *key, struct span value)
{
	put(line, key, value, LOG_VALUE_MAX);
}

void
log_time(struct log_line *line, const char *key, int64_t when_s)
{
	char text[32];

	clock_second(when_s, text);
	log_text(line, key, text);
}

void
log_text(struct log_line *line, const char *key, const char *value)
{
	put(line, key, span_str(value), LOG_VALUE_MAX);
}

/* By hand: there are several numbers in each line. */
static void
put_number(struct log_line *line, const char *key, bool negative, uint64_t magnitude)
{
	char digits[24], *to;
	size_t at = sizeof(digits);

	if (line->full)
		return;
	do
		digits[--at] = (char)('0' + magnitude % 10);
	while (magnitude /= 10);
	if (negative)
		digits[--at] = '-';
	to = field(line, key, sizeof(digits) - at);
	if (to)
		memcpy(to, digits + at, sizeof(digits) - at);
}

void
log_u64(struct log_line *line, const char *key, uint64_t value)
{
	put_number(line, key, false, value);
}

void
log_i64(struct log_line *line, const char *key, int64_t value)
{
	put_number(line, key, value < 0, value < 0 ? -(uint64_t)value : (uint64_t)value);
}

void
log_fault(struct log_line *line, const struct fault *fault)
{
	log_text(line, "code", fault_name(fault->code));
	if (fault->path[0])
		log_text(line, "path", fault->path);
	put(line, "why", span_str(fault->message), FAULT_MESSAGE_MAX);
}

void
log_errno(struct log_line *line, int error)
{
	int positive = error < 0 ? -error : error;
	const char *name = strerrorname_np(positive);

	if (name)
		log_text(line, "error", name);
	else
		log_i64(line, "error", positive);
}
