/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The texts that rows of one part name by a small number: peers, destinations, message types.
 *
 * As they are shown (codecs/printable.h), each once, few and short: what does not fit has no id, and its rows must be looked up in the
 * journal. One thread adds; others may read the texts meanwhile.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codecs/buffer.h"
#include "codecs/span.h"

#define TRACE_NAMES_MAX	  4096		     /* texts */
#define TRACE_NAMES_SIZE  ((size_t)64 << 10) /* bytes of them together: types are their senders' to choose */
#define TRACE_NAMES_BLOCK 64

struct trace_name;

struct trace_names {
	struct trace_name **blocks[TRACE_NAMES_MAX / TRACE_NAMES_BLOCK];
	uint16_t heads[256]; /* by hash: an id */
	_Atomic uint32_t count;
	uint32_t size;
};

/* Start empty: zeros do. */
void trace_names_fini(struct trace_names *names);

/* The id of ${text}, which is added when it is new: TRACE_OTHER when there is no room. The empty text is 0. */
uint16_t trace_names_put(struct trace_names *names, struct span text);

/* The text of ${id}: "" of 0, NULL of one that names none. */
const char *trace_names_text(const struct trace_names *names, uint16_t id);

/* As bytes and back; bytes that are none give false, and what was read so far. */
void trace_names_encode(const struct trace_names *names, struct buffer *out);
bool trace_names_decode(struct trace_names *names, struct span bytes) __attribute__((warn_unused_result));

/* Whether ${name} is one of ${list} (comma between). */
bool trace_names_has(const char *list, const char *name);

/* The id of ${text} if it has one, else TRACE_OTHER; for readers. */
uint16_t trace_names_find(const struct trace_names *names, const char *text);
