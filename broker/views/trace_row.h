/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the trace keeps of one record: enough to find it, not to show it. Whatever is shown is decoded from the record itself.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "broker/store/bytes.h"
#include "broker/store/journal.h"

/* In place of the id of a text that has none (too long, too many): only the record tells. 0 is the empty text. */
#define TRACE_OTHER 0xffffu

struct trace_row {
	uint64_t seq;
	uint64_t time_us;
	uint64_t ref;
	uint32_t control; /* hash of the control id as it is shown; 0: it has none */
	uint16_t peer;	  /* of the part's names */
	uint16_t
	    places; /* of an accepted message: where it was routed to, comma between; else the destination. Of the names */
	uint16_t kind;	 /* "ORU^R01", of the part's kinds */
	uint16_t flags;	 /* enum record_flag */
	uint8_t type;	 /* enum record_type */
	uint8_t outcome; /* enum outcome */
};

#define TRACE_ROW_SIZE 40

static inline void
trace_row_encode(const struct trace_row *row, uint8_t out[static TRACE_ROW_SIZE])
{
	bytes_put64(out, row->seq);
	bytes_put64(out + 8, row->time_us);
	bytes_put64(out + 16, row->ref);
	bytes_put32(out + 24, row->control);
	bytes_put16(out + 28, row->peer);
	bytes_put16(out + 30, row->places);
	bytes_put16(out + 32, row->kind);
	bytes_put16(out + 34, row->flags);
	out[36] = row->type;
	out[37] = row->outcome;
	out[38] = out[39] = 0;
}

static inline void
trace_row_decode(const uint8_t in[static TRACE_ROW_SIZE], struct trace_row *row)
{
	row->seq = bytes_get64(in);
	row->time_us = bytes_get64(in + 8);
	row->ref = bytes_get64(in + 16);
	row->control = bytes_get32(in + 24);
	row->peer = bytes_get16(in + 28);
	row->places = bytes_get16(in + 30);
	row->kind = bytes_get16(in + 32);
	row->flags = bytes_get16(in + 34);
	row->type = in[36];
	row->outcome = in[37];
}

/* A message, a refused one, a rejected frame or a stray acknowledgement; everything else is about one, or about none. */
static inline bool
trace_is_message(unsigned type)
{
	return type >= RECORD_ACCEPTED && type <= RECORD_STRAY;
}

/* Something became of message ${row}->ref that was not its acceptance. */
static inline bool
trace_is_dead(const struct trace_row *row)
{
	return row->outcome > 1 && !trace_is_message(row->type);
}
