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

/* What stands before the fields: it always fits. */
static void
append(struct log_line *line, const char *text)
{
	size_t len = strlen(text);

	memcpy(line->text + line->len, text, len);
	line->len += len;
}

void
log_begin(struct log_line *line, enum log_event event)
{
	const struct event_info *info = &catalogue[event];
	char when[32];

	line->event = event;
	line->len = 0;
	line->full = !log_wants(info->level);
	if (line->full)
		return;
	clock_format(clock_wall_us(), when);
	append(line, when);
	append(line, " ");
	append(line, log_level_name(info->level));
	append(line, info->level == LEVEL_INFO ? "  " : " "); /* "warning" is longer than the column */
	append(line, info->name);
}

/* A field for which there is no room: the line says so and takes no more. */
static void
line_cut(struct log_line *line)
{
	memcpy(line->text + line->len, cut_mark, sizeof(cut_mark) - 1);
	line->len += sizeof(cut_mark) - 1;
	line->full = true;
}

static bool
is_plain(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("._:/@^+-", c));
}

/* The letter of the short escape of ${c}, or 0. */
static char
short_escape(uint8_t c)
{
	switch (c) {
	case '"':
	case '\\':
		return (char)c;
	case '\n':
		return 'n';
	case '\r':
		return 'r';
	case '\t':
		return 't';
	default:
		return 0;
	}
}

/* One byte inside double quotes: at most 4 places at ${to}. */
static size_t
escape(uint8_t c, char *to)
{
	static const char hex[] = "0123456789abcdef";
	char letter = short_escape(c);

	to[0] = '\\';
	if (letter) {
		to[1] = letter;
		return 2;
	}
	if (c < 0x20 || c >= 0x7f) {
		to[1] = 'x';
		to[2] = hex[c >> 4];
		to[3] = hex[c & 15];
		return 4;
	}
	to[0] = (char)c;
	return 1;
}

/* Append " key=value" with at most ${max} bytes of the value, or the cut mark when it does not fit. */
static void
put(struct log_line *line, const char *key, struct span value, size_t max)
{
	char field[LOG_LINE_MAX];
	size_t key_len = strlen(key), len = 0;
	bool cut = value.len > max, plain = value.len > 0;

	if (line->full)
		return;
	if (cut)
		value.len = max - 3;
	for (size_t i = 0; i < value.len; i++)
		plain = plain && is_plain(value.ptr[i]);
	if (key_len + 2 + 4 * value.len + 5 > sizeof(field)) {
		line_cut(line);
		return;
	}
	field[len++] = ' ';
	memcpy(field + len, key, key_len);
	len += key_len;
	field[len++] = '=';
	if (!plain)
		field[len++] = '"';
	for (size_t i = 0; i < value.len; i++)
		len += escape(value.ptr[i], field + len);
	if (cut) {
		memcpy(field + len, "...", 3);
		len += 3;
	}
	if (!plain)
		field[len++] = '"';
	if (len > FIELDS_MAX - line->len) {
		line_cut(line);
		return;
	}
	memcpy(line->text + line->len, field, len);
	line->len += len;
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
	char digits[24];
	size_t at = sizeof(digits);

	do
		digits[--at] = (char)('0' + magnitude % 10);
	while (magnitude /= 10);
	if (negative)
		digits[--at] = '-';
	put(line, key, span_make(digits + at, sizeof(digits) - at), LOG_VALUE_MAX);
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
