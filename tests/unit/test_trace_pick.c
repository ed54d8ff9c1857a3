/* SPDX-License-Identifier: Apache-2.0 */
/* What a replay asks of the trace: spans of time page by page, dead letters not yet replayed, what is known of a message at a place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/core/decision.h"
#include "broker/core/facts.h"
#include "broker/views/trace.h"
#include "tests/unit/journal_rig.h"

#define PATIENCE_MS 10000
#define TEXT(text)  span_str(text)

struct bench {
	struct rig rig;
	struct trace *trace;
	struct arena arena;
};

static void
put_done(void *arg, int error)
{
	assert_int_equal(error, 0);
	*(bool *)arg = true;
}

static uint64_t
put(struct bench *bench, enum record_type type, uint64_t ref, const struct facts *facts,
    const struct decision *decision)
{
	struct journal_entry entry = { .type = type, .ref = ref, .size = 42 };
	struct record_head head;
	struct buffer f, d;
	bool done = false;

	buffer_init(&f, 1 << 20);
	buffer_init(&d, 1 << 20);
	if (facts)
		facts_encode(facts, &f);
	decision_encode(decision, &d);
	entry.facts = buffer_span(&f);
	entry.decision = buffer_span(&d);
	assert_int_equal(journal_append(bench->rig.journal, &entry, put_done, &done, &head), 0);
	while (!done)
		(void)rig_poster_run(&bench->rig.poster, 100);
	buffer_fini(&f);
	buffer_fini(&d);
	return head.seq;
}

/* A message, or once more message ${origin}, of ${peer} to ${to} (two names, the second may be NULL). */
static uint64_t
put_message(struct bench *bench, uint64_t origin, const char *peer, const char *event, const char *to,
    const char *also)
{
	const struct span places[] = { TEXT(to), TEXT(also) };
	const struct facts facts = {
		.version = FACTS_VERSION, .peer = TEXT(peer), .type = TEXT("ORU"), .event = TEXT(event)
	};
	const struct decision decision = { .answer = ANSWER_ACCEPT,
		.to = places,
		.to_count = also ? 2 : 1,
		.who = TEXT(origin ? "uid:0(root)" : ""),
		.text = TEXT(origin ? "they lost it" : "") };

	return put(bench, RECORD_ACCEPTED, origin, &facts, &decision);
}

static uint64_t
put_outcome(struct bench *bench, uint64_t ref, enum outcome outcome, const char *destination)
{
	const struct decision decision = { .outcome = outcome,
		.destination = TEXT(destination),
		.who = TEXT(destination),
		.code = TEXT("AA") };

	return put(bench, RECORD_OUTCOME, ref, NULL, &decision);
}

static int
ignore(void *arg, const struct record *record)
{
	(void)arg;
	(void)record;
	return 0;
}

static void
bench_init(struct bench *bench)
{
	rig_init(&bench->rig);
	arena_init(&bench->arena, (size_t)16 << 20);
	assert_int_equal(rig_open(&bench->rig, ignore, NULL), 0);
	assert_int_equal(trace_open(&bench->trace, bench->rig.directory, bench->rig.journal), 0);
}

static void
bench_fini(struct bench *bench)
{
	trace_close(bench->trace);
	rig_close(&bench->rig);
	arena_fini(&bench->arena);
	rig_fini(&bench->rig);
}

static uint64_t
settle(struct bench *bench)
{
	uint64_t last = journal_committed(bench->rig.journal);

	assert_true(trace_wait(bench->trace, last, PATIENCE_MS));
	return last;
}

static uint64_t
time_of(struct bench *bench, uint64_t seq)
{
	struct trace_message m;

	assert_int_equal(trace_list(bench->trace, &seq, 1, &bench->arena, &m), 0);
	assert_int_equal(m.seq, seq);
	return m.time_us;
}

/* All of ${span} in pages of ${max}, as "1 2 3 ". */
static void
expect(struct bench *bench, struct trace_span span, size_t max, const char *expected)
{
	struct trace_message messages[16];
	char text[256] = "";
	size_t len = 0;

	do {
		size_t count = 99;

		assert_int_equal(
		    trace_pick(bench->trace, &span, &bench->arena, messages, max, &count, &span.after), 0);
		assert_true(count <= max);
		for (size_t i = 0; i < count; i++)
			len += (size_t)snprintf(
			    text + len, sizeof(text) - len, "%llu ", (unsigned long long)messages[i].seq);
	} while (span.after);
	assert_string_equal(text, expected);
}

static void
test_spans(void **state)
{
	struct bench bench;
	uint64_t a, b, c, d, last;
	char text[128];

	(void)state;
	bench_init(&bench);
	a = put_message(&bench, 0, "chu", "R01", "ehpad", NULL);
	(void)put(&bench, RECORD_REFUSED, 0, NULL, &(struct decision){ .answer = ANSWER_REFUSE });
	b = put_message(&bench, 0, "lab", "R01", "ehpad", "chu-lyon");
	(void)put_outcome(&bench, a, OUTCOME_ACCEPTED, "ehpad");
	(void)put_message(&bench, a, "chu", "R01", "ehpad", NULL);
	c = put_message(&bench, 0, "chu", "R03", "chu-lyon-2", NULL);
	d = put_message(&bench, 0, "chu", "R01", "chu-lyon", NULL);
	last = settle(&bench);

	snprintf(text, sizeof(text), "%llu %llu %llu %llu ", (unsigned long long)a, (unsigned long long)b,
	    (unsigned long long)c, (unsigned long long)d);
	for (size_t max = 1; max <= 5; max++)
		expect(&bench, (struct trace_span){ .last = last }, max, text);
	expect(&bench, (struct trace_span){ .last = last, .since_us = time_of(&bench, a) }, 2, text);
	snprintf(text, sizeof(text), "%llu %llu ", (unsigned long long)b, (unsigned long long)c);
	expect(&bench,
	    (struct trace_span){
		.last = last, .since_us = time_of(&bench, a) + 1, .until_us = time_of(&bench, d) },
	    1, text);
	expect(&bench, (struct trace_span){ .last = c, .after = a }, 1, text);
	snprintf(text, sizeof(text), "%llu %llu ", (unsigned long long)b, (unsigned long long)d);
	expect(&bench, (struct trace_span){ .last = last, .destination = "chu-lyon" }, 1, text);
	snprintf(text, sizeof(text), "%llu %llu ", (unsigned long long)a, (unsigned long long)d);
	expect(&bench, (struct trace_span){ .last = last, .peer = "chu", .msg_type = "ORU^R01" }, 5, text);
	expect(&bench, (struct trace_span){ .last = last, .since_us = time_of(&bench, d) + 1 }, 5, "");
	expect(&bench, (struct trace_span){ .last = last, .until_us = time_of(&bench, a) }, 5, "");
	expect(&bench, (struct trace_span){ .last = last, .peer = "ch" }, 5, "");
	bench_fini(&bench);
}

static void
test_dead_letters(void **state)
{
	struct trace_hop hops[8];
	struct bench bench;
	uint64_t a, b, c, again, o;
	size_t count;

	(void)state;
	bench_init(&bench);
	a = put_message(&bench, 0, "chu", "R01", "lyon", "nice");
	b = put_message(&bench, 0, "chu", "R01", "lyon", NULL);
	c = put_message(&bench, 0, "chu", "R01", "lyon", NULL);
	(void)put_outcome(&bench, b, OUTCOME_DROPPED, "lyon");
	(void)put_outcome(&bench, a, OUTCOME_REJECTED, "lyon");
	(void)put_outcome(&bench, a, OUTCOME_EXPIRED, "nice");
	(void)put_outcome(&bench, c, OUTCOME_ACCEPTED, "lyon");
	(void)settle(&bench);
	assert_int_equal(trace_dead(bench.trace, "lyon", 0, 0, &bench.arena, hops, 8, &count), 0);
	assert_int_equal(count, 2);
	assert_int_equal(hops[0].ref, a);
	assert_int_equal(hops[0].outcome, OUTCOME_REJECTED);
	assert_int_equal(hops[1].ref, b);
	assert_int_equal(trace_dead(bench.trace, "lyon", a, 0, &bench.arena, hops, 8, &count), 0);
	assert_int_equal(count, 1);
	assert_int_equal(trace_dead(bench.trace, "lyon", 0, 0, &bench.arena, hops, 1, &count), 0);
	assert_int_equal(count, 1);

	/* Replayed elsewhere it is still dead here; replayed here it is not, until the replay dies, too. */
	(void)put_message(&bench, a, "chu", "R01", "nice", NULL);
	(void)settle(&bench);
	assert_int_equal(trace_dead(bench.trace, "lyon", 0, 0, &bench.arena, hops, 8, &count), 0);
	assert_int_equal(count, 2);
	again = put_message(&bench, a, "chu", "R01", "lyon", NULL);
	(void)settle(&bench);
	assert_int_equal(trace_dead(bench.trace, "lyon", 0, 0, &bench.arena, hops, 8, &count), 0);
	assert_int_equal(count, 1);
	assert_int_equal(hops[0].ref, b);
	o = put_outcome(&bench, again, OUTCOME_EXPIRED, "lyon");
	(void)settle(&bench);
	assert_int_equal(trace_dead(bench.trace, "lyon", 0, 0, &bench.arena, hops, 8, &count), 0);
	assert_int_equal(count, 2);
	assert_int_equal(hops[1].ref, again);
	assert_int_equal(trace_dead(bench.trace, "lyon", 0, o - 1, &bench.arena, hops, 8, &count), 0);
	assert_int_equal(count, 1);
	bench_fini(&bench);
}

static void
test_what_is_known_of_it_there(void **state)
{
	const struct trace_hop *record;
	struct trace_message m;
	struct trace_past past;
	struct bench bench;
	uint64_t a, again, o;

	(void)state;
	bench_init(&bench);
	a = put_message(&bench, 0, "chu", "R01", "lyon", NULL);
	(void)put_outcome(&bench, a, OUTCOME_REJECTED, "lyon");
	(void)settle(&bench);
	assert_int_equal(trace_past(bench.trace, a, "lyon", &bench.arena, &past), 0);
	assert_int_equal(past.acknowledged.record, 0);
	assert_int_equal(past.replay, 0);
	again = put_message(&bench, a, "chu", "R01", "lyon", NULL);
	o = put_outcome(&bench, again, OUTCOME_ACCEPTED, "lyon");
	(void)settle(&bench);
	assert_int_equal(trace_past(bench.trace, a, "lyon", &bench.arena, &past), 0);
	assert_int_equal(past.acknowledged.record, o);
	assert_int_equal(past.acknowledged.ref, again);
	assert_string_equal(past.acknowledged.code, "AA");
	assert_int_equal(past.replay, again);
	assert_int_equal(trace_past(bench.trace, a, "nice", &bench.arena, &past), 0);
	assert_int_equal(past.acknowledged.record, 0);
	assert_int_equal(past.replay, 0);

	/* `show` tells both ways. */
	assert_int_equal(trace_show(bench.trace, a, &bench.arena, &m, &record), 0);
	assert_int_equal(m.origin, 0);
	assert_null(m.replay);
	assert_int_equal(m.hop_count, 2);
	assert_int_equal(m.hops[1].record, again);
	assert_int_equal(m.hops[1].type, RECORD_ACCEPTED);
	assert_string_equal(m.hops[1].destination, "lyon");
	assert_string_equal(m.hops[1].who, "uid:0(root)");
	assert_string_equal(m.hops[1].text, "they lost it");
	assert_int_equal(trace_show(bench.trace, again, &bench.arena, &m, &record), 0);
	assert_null(record);
	assert_int_equal(m.seq, again);
	assert_int_equal(m.origin, a);
	assert_non_null(m.replay);
	assert_string_equal(m.replay->who, "uid:0(root)");
	assert_string_equal(m.peer, "chu");
	assert_int_equal(m.hop_count, 1);
	bench_fini(&bench);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spans),
		cmocka_unit_test(test_dead_letters),
		cmocka_unit_test(test_what_is_known_of_it_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
