/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One line of the control protocol, read: a command and its arguments, each known, of the right type and within its bounds.
 *
 * Pure: no socket, no clock. What the line may not be is said in a sentence for the one who sent it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codecs/span.h"

#define CONTROL_LINE_MAX    65536 /* bytes of one line, its end included */
#define CONTROL_TEXT_MAX    512	  /* bytes of one text argument */
#define CONTROL_IDS_MAX	    1000  /* ids of one line */
#define CONTROL_PROBLEM_MAX 200

enum control_verb {
	CONTROL_STATUS,
	CONTROL_TAIL,
	CONTROL_QUEUE,
	CONTROL_SHOW,
	CONTROL_WHY,
	CONTROL_SEARCH,
	CONTROL_PEERS,
	CONTROL_CERTS,
	CONTROL_CHECK,
	CONTROL_REBUILD,
	CONTROL_EVENTS,
	CONTROL_RELOAD,
	CONTROL_HOLD,
	CONTROL_RELEASE,
	CONTROL_DROP,
	CONTROL_REPLAY,
	CONTROL_PEER_TEST,
	CONTROL_PURGE,
	CONTROL_VERBS,
};

/* Texts are "" when not given, NUL-ended UTF-8 without controls, and live as long as the line. */
struct control_line {
	enum control_verb verb;
	uint64_t id;		 /* show, why: a sequence */
	uint64_t document;	 /* show: number of the document, 0: the message itself */
	bool content;		 /* show: the bytes, too; needs a reason */
	bool proof;		 /* show: what proves it to others, instead */
	const char *reason;	 /* show, and every act */
	const char *peer;	 /* tail, search, replay, peer-test */
	const char *control;	 /* search: MSH-10 */
	const char *type;	 /* search, replay: "ORU^R01" or "ORU" */
	const char *destination; /* queue, hold, release, drop; replay: what was routed or died there */
	const char *to;		 /* replay: the destination, in place of each message's own */
	bool errors;		 /* tail: warnings and errors only */
	bool refused;		 /* search: only what was not accepted */
	bool dead;		 /* queue, replay: dead letters */
	bool yes;		 /* drop, replay: do it; else say what would be done */
	int64_t since, until;	 /* tail, search, replay: Unix seconds; 0: not given */
	bool has_offset;	 /* tail */
	int64_t offset;		 /* tail: in the log file; negative: from its end */
	uint64_t file;		 /* tail: which file ${offset} counts in, as told before */
	uint64_t after;		 /* queue, replay: behind this sequence; search: before it */
	uint64_t last;		 /* replay: not behind this sequence; 0: the newest there is */
	uint64_t limit;		 /* queue, search: rows */
	size_t id_count;	 /* drop, replay: see control_line_id */
	void *ids;		 /* what holds them; part of ${object} */
	void *object;		 /* what holds the texts */
};

/* The ${i}th of ${line}->id_count ids: they ascend, each stands once. */
uint64_t control_line_id(const struct control_line *line, size_t i);

/* Read ${text}, one line without its end. True, and control_line_fini is owed; else ${problem} says what is wrong. */
bool control_line_parse(struct control_line *line, struct span text, char problem[CONTROL_PROBLEM_MAX])
    __attribute__((warn_unused_result));
void control_line_fini(struct control_line *line);

const char *control_verb_name(enum control_verb verb);
