/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The trace: what became of every message, as an index that answers `show`, `why`, `queue` and `search`.
 *
 * A projection of the journal and nothing else: each row is made from one record alone, and rows of records that retention removed go
 * too, so that the index is at any time a function of what the journal holds and can be deleted and rebuilt. One thread of low
 * priority follows the journal and writes in batches, its place in the same transaction; nothing on the way to an acknowledgement
 * waits for it. Metadata only: no title, no identifier of a patient, no byte of a message.
 *
 * Everything here blocks (it reads files): call it on workers. Thread-safe.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/store/journal.h"
#include "codecs/arena.h"
#include "codecs/buffer.h"

struct trace;

#define TRACE_DOCUMENTS_MAX 1024 /* documents of one message that have a row; more are only counted */
#define TRACE_HOPS_MAX	    1000 /* hops of one message that trace_show gives, the newest */

enum {
	TRACE_ABSENT = 1, /* the view knows no record of that sequence */
};

/* One record about a message: what happened to it, where, by whom. Texts are UTF-8 or "" and never NULL. */
struct trace_hop {
	uint64_t record; /* its own sequence */
	uint64_t ref;	 /* the message it is about; 0: none */
	uint64_t time_us;
	unsigned type;		 /* enum record_type */
	unsigned outcome;	 /* enum outcome, 0 where it is none */
	const char *destination; /* where */
	const char *who;	 /* by whom */
	const char *code;
	const char *text; /* a reader's, or an operator's reason */
	const char *what; /* "message", "document 1", "rebuild" */
};

struct trace_document {
	unsigned number; /* from 1 */
	const char *media;
	const char *code; /* type code and its system */
	const char *system;
	uint64_t size; /* of its encoded text */
};

/* A message, a refused one, a rejected frame or a stray acknowledgement. Raw bytes of other than UTF-8 show as \xHH. */
struct trace_message {
	uint64_t seq;
	uint64_t time_us;
	unsigned type;	 /* enum record_type */
	unsigned flags;	 /* enum record_flag */
	unsigned answer; /* enum answer */
	unsigned mode;	 /* enum config_mode */
	bool parked;
	uint64_t size;
	char sha256[65]; /* hexadecimal; empty when it has none */
	const char *peer, *establishment, *listener;
	const char *msg_type, *msg_event, *control, *version, *processing;
	const char *application, *facility;	  /* MSH-3, MSH-4 */
	const char *to_application, *to_facility; /* MSH-5, MSH-6 */
	const char *charset, *charset_used, *charset_reason;
	const char *destinations; /* names, comma between; "" when there is none */
	const char *routes;	  /* names of the rows that matched, comma between */
	unsigned leniencies;	  /* enum config_leniency */
	unsigned fault;		  /* enum fault_code, 0: none */
	const char *fault_path;
	const char *fault_text; /* the fault's sentence, never a value */
	uint64_t frame_size, frame_offset;
	uint64_t document_count; /* in all; ${documents} may be fewer */
	uint64_t origin;	 /* of a replay: the message it is once more; else 0 */
	/* Only by trace_show: */
	const struct trace_document *documents;
	size_t documents_given;
	const struct trace_hop *hops; /* by record, replays of it included */
	size_t hop_count;
	const struct trace_hop *replay; /* of a replay: who wanted it and why, where to; else NULL */
};

/*
 * Open (make, or make anew when it is of another version or another journal) ${state}/views/trace.db and start following ${journal}.
 * 0 or -errno: only when not even a thread could be started; files that cannot be read or written are logged and tried again.
 */
int trace_open(struct trace **tracep, const char *state, struct journal *journal)
    __attribute__((warn_unused_result));

/* Stop and free; NULL is harmless. Call it before journal_close. */
void trace_close(struct trace *trace);

/* Wait until record ${seq} has been seen, at most ${ms}; false when it has not. */
bool trace_wait(struct trace *trace, uint64_t seq, unsigned ms);

/* The newest record seen, and how many are not yet. Neither blocks. */
uint64_t trace_seen(struct trace *trace);
uint64_t trace_lag(struct trace *trace);

/* False while its files cannot be written. Does not block. */
bool trace_well(struct trace *trace);

/*
 * Message ${seq} with documents and hops, everything in ${arena}. When ${seq} is a record about a message (a resend, an outcome, a
 * read), *${recordp} is that record and ${message} the message it is about; else *${recordp} is NULL. A record about no message
 * (an operator's act) gives ${message}->seq 0. 0, TRACE_ABSENT, -errno.
 */
int trace_show(struct trace *trace, uint64_t seq, struct arena *arena, struct trace_message *message,
    const struct trace_hop **recordp) __attribute__((warn_unused_result));

/* The rows of ${count} sequences, in that order, without documents and hops; a row that is absent has seq 0. 0 or -errno. */
int trace_list(struct trace *trace, const uint64_t *seqs, size_t count, struct arena *arena,
    struct trace_message *messages) __attribute__((warn_unused_result));

/* What to look for; NULL and 0 mean any. */
struct trace_query {
	const char *control; /* MSH-10, exactly */
	const char *peer;
	const char *msg_type; /* "ORU^R01" or "ORU" */
	uint64_t since_us;    /* journal time, at or after */
	uint64_t before_seq;  /* for the next page */
	bool refused;	      /* only what was not accepted */
};

/* Up to ${max} messages, newest first, into ${messages}; *${countp} says how many. Reads at most as many rows as fit in a second. */
int trace_search(struct trace *trace, const struct trace_query *query, struct arena *arena,
    struct trace_message *messages, size_t max, size_t *countp) __attribute__((warn_unused_result));

/* Accepted messages in the order of the journal, replays left out: what to look for. NULL and 0 mean any. */
struct trace_span {
	uint64_t since_us, until_us; /* journal time, from and before */
	const char *peer;
	const char *msg_type;	 /* "ORU^R01" or "ORU" */
	const char *destination; /* it was routed there */
	uint64_t after, last;	 /* behind ${after}, not behind ${last} */
};

/*
 * Up to ${max} messages of ${span} into ${messages}; *${countp} says how many. *${nextp} is 0 when there are no more, else the ${after} to go
 * on with: the time for one answer is bounded, so there may be more also when none was found. A failure leaves it as it was.
 */
int trace_pick(struct trace *trace, const struct trace_span *span, struct arena *arena,
    struct trace_message *messages, size_t max, size_t *countp, uint64_t *nextp)
    __attribute__((warn_unused_result));

/*
 * What was rejected at ${destination}, became a dead letter or was dropped there, and was not replayed there since: up to ${max} outcomes
 * recorded not behind ${last} (0: any) of messages behind ${after}, in the order of the messages.
 */
int trace_dead(struct trace *trace, const char *destination, uint64_t after, uint64_t last,
    struct arena *arena, struct trace_hop *hops, size_t max, size_t *countp)
    __attribute__((warn_unused_result));

/* What is known of a message at one destination, its replays included. */
struct trace_past {
	struct trace_hop acknowledged; /* the newest acceptance there; record 0: none */
	uint64_t replay;	       /* its newest replay there, 0: none */
};
int trace_past(struct trace *trace, uint64_t origin, const char *destination, struct arena *arena,
    struct trace_past *past) __attribute__((warn_unused_result));

/* The newest rejection or dead letter of ${destination} into ${hop}. 0, TRACE_ABSENT, -errno. */
int trace_trouble(struct trace *trace, const char *destination, struct arena *arena, struct trace_hop *hop)
    __attribute__((warn_unused_result));

/* Delete its files and follow the journal from its beginning; the answer is a ticket for trace_rebuilt. Does not block. */
uint64_t trace_rebuild(struct trace *trace);

/*
 * Wait, at most ${ms}, until rebuild ${ticket} has come as far as the journal was when it began; *${rowsp} is then how many rows
 * there are. 0 or -ETIMEDOUT: it goes on, ask again.
 */
int trace_rebuilt(struct trace *trace, uint64_t ticket, unsigned ms, uint64_t *rowsp)
    __attribute__((warn_unused_result));

/* Append every row in a canonical order, one a line: equal journals give equal texts. 0 or -errno (-ENOSPC: past the ceiling). */
int trace_dump(struct trace *trace, struct buffer *out) __attribute__((warn_unused_result));
