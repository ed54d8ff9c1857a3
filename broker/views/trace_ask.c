/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked of the trace: each question under the lock of the reading connection. */
#include "broker/views/trace_read.h"

int
trace_show(struct trace *trace, uint64_t seq, struct arena *arena, struct trace_message *message,
    const struct trace_hop **recordp)
{
	struct trace_reader *reader;
	int r = trace_lock_reader(trace, &reader);

	if (!r)
		r = trace_reader_show(reader, seq, arena, message, recordp);
	trace_unlock_reader(trace, r);
	return r;
}

int
trace_list(struct trace *trace, const uint64_t *seqs, size_t count, struct arena *arena,
    struct trace_message *messages)
{
	struct trace_reader *reader;
	int r = trace_lock_reader(trace, &reader);

	if (!r)
		r = trace_reader_list(reader, seqs, count, arena, messages);
	trace_unlock_reader(trace, r);
	return r;
}

int
trace_search(struct trace *trace, const struct trace_query *query, struct arena *arena,
    struct trace_message *messages, size_t max, size_t *countp)
{
	struct trace_reader *reader;
	int r = trace_lock_reader(trace, &reader);

	if (!r)
		r = trace_reader_search(reader, query, arena, messages, max, countp);
	trace_unlock_reader(trace, r);
	return r;
}

int
trace_trouble(struct trace *trace, const char *destination, struct arena *arena, struct trace_hop *hop)
{
	struct trace_reader *reader;
	int r = trace_lock_reader(trace, &reader);

	if (!r)
		r = trace_reader_trouble(reader, destination, arena, hop);
	trace_unlock_reader(trace, r);
	return r;
}

int
trace_pick(struct trace *trace, const struct trace_span *span, struct arena *arena,
    struct trace_message *messages, size_t max, size_t *countp, uint64_t *nextp)
{
	struct trace_reader *reader;
	int r = trace_lock_reader(trace, &reader);

	if (!r)
		r = trace_reader_pick(reader, span, arena, messages, max, countp, nextp);
	trace_unlock_reader(trace, r);
	return r;
}

int
trace_dead(struct trace *trace, const char *destination, uint64_t after, uint64_t last, struct arena *arena,
    struct trace_hop *hops, size_t max, size_t *countp)
{
	struct trace_reader *reader;
	int r = trace_lock_reader(trace, &reader);

	if (!r)
		r = trace_reader_dead(reader, destination, after, last, arena, hops, max, countp);
	trace_unlock_reader(trace, r);
	return r;
}

int
trace_past(struct trace *trace, uint64_t origin, const char *destination, struct arena *arena,
    struct trace_past *past)
{
	struct trace_reader *reader;
	int r = trace_lock_reader(trace, &reader);

	if (!r)
		r = trace_reader_past(reader, origin, destination, arena, past);
	trace_unlock_reader(trace, r);
	return r;
}

int
trace_dump(struct trace *trace, struct buffer *out)
{
	struct trace_reader *reader;
	int r = trace_lock_reader(trace, &reader);

	if (!r)
		r = trace_reader_dump(reader, out);
	trace_unlock_reader(trace, r);
	return r;
}
