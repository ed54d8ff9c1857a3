/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log: one event a line, `key=value`, from one catalogue (events.def).
 *
 *     2026-11-21T18:57:11.084+01:00 info  received id=4711 peer=chu-lyon type=ORU^R01 control=98 bytes=1042
 *
 * time, level, event name, then the keys in the order given. Values with anything but [A-Za-z0-9._:/@^+-] stand in double quotes with
 * \" \\ \n \r \t and \xHH escapes, and are cut to LOG_VALUE_MAX bytes (a cut value ends in "..."): no value can forge a line or a key.
 * Never patient data: ids, sizes, digests, peers, reasons.
 *
 * One log per process. A commit copies the line into a bounded ring and returns at once; a thread writes. When the ring is full
 * lines are dropped, counted, and the count is logged. Any thread may log. Grammar: conf/doc/log-grammar.md.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codecs/buffer.h"
#include "codecs/fault.h"

enum log_level {
	LEVEL_DEBUG = 0,
	LEVEL_INFO,    /* the life of a message */
	LEVEL_WARNING, /* look at it today */
	LEVEL_ERROR,   /* a human must act */
};

enum log_event {
#define EVENT(id, name, level, sentence, action) EVENT_##id,
#include "broker/base/events.def"
#undef EVENT
	EVENT_COUNT
};

struct event_info {
	const char *name; /* stable: never renamed, never reused */
	enum log_level level;
	const char *sentence;
	const char *action; /* what the operator should do; "none" */
};

#define LOG_LINE_MAX  1024
#define LOG_VALUE_MAX 128

/* A line in the making, on the caller's stack. A field that does not fit is left out whole and the line says cut=1. */
struct log_line {
	enum log_event event;
	size_t len;
	bool full; /* a field was left out, or the level is not wanted: later fields do nothing */
	char text[LOG_LINE_MAX];
};

/* Open the process's log: ${file} is appended to (made with mode 0640, whatever the umask), NULL means standard error. Lines below
 * ${least} are not written. -errno on failure. */
int log_open(const char *file, enum log_level least) __attribute__((warn_unused_result));

/* Write lines of ${least} and above from now on, once the log is open. */
void log_level_set(enum log_level least);

/* Write what is left, stop the thread. Later commits go nowhere. */
void log_close(void);

/* Ask the writer to open its file anew (after rotation). Async-signal-safe it is not. */
void log_reopen(void);

const struct event_info *event_info(enum log_event event);

/* "debug", "info", "warning", "error". */
const char *log_level_name(enum log_level level);

/* Whether lines of ${level} are written now. */
bool log_wants(enum log_level level);

/* A line: log_begin, fields in the order they shall stand, log_commit. ${key} is a constant [a-z][a-z0-9_]*; a NULL value is an empty one. */
void log_begin(struct log_line *line, enum log_event event);
void log_u64(struct log_line *line, const char *key, uint64_t value);
void log_i64(struct log_line *line, const char *key, int64_t value);
void log_text(struct log_line *line, const char *key, const char *value);
void log_span(struct log_line *line, const char *key, struct span value);
/* clock_second of ${when_s}. */
void log_time(struct log_line *line, const char *key, int64_t when_s);
/* code= (its name), path= (unless empty) and why= of ${fault}; its value is never logged. */
void log_fault(struct log_line *line, const struct fault *fault);
/* error= of a -errno: its name, e.g. ENOSPC. */
void log_errno(struct log_line *line, int error);
void log_commit(struct log_line *line);

/* Lines dropped because the ring was full or the write failed. */
uint64_t log_dropped(void);

/* Whether the last of them was dropped within ${seconds}. */
bool log_dropped_lately(unsigned seconds);
