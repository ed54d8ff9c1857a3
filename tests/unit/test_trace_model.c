/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The trace against a model that keeps every record and looks at all of them: random histories with replays, outcomes, retention that
 * carries and removes, restarts, rebuilds, and files that are damaged or lost. Every question must get the model's answer.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/core/decision.h"
#include "broker/core/facts.h"
#include "broker/views/trace.h"
#include "tests/unit/journal_rig.h"
#include "tests/unit/trace_harm.h"

#define PATIENCE_MS 20000
#define RECORDS_MAX 4000
#define ROUNDS	    12
#define PER_ROUND   150
#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

/* One that is long, one that is no UTF-8, one that is shown otherwise than it is. */
static char long_control[400];
static const char *const peers[] = { "chu", "lab", "h\xf4pital" };
static const char *const shown_peers[] = { "chu", "lab", "h\\xf4pital" };
static const char *const types[] = { "ORU", "ADT", "M" };
static const char *const events[] = { "R01", "A01", "" };
static const char *const places[] = { "lyon", "nice", "lyon-2", "(parked)" };

struct known {
	uint64_t seq, time_us, ref;
	enum record_type type;
	enum outcome outcome;
	size_t peer, kind, event, control; /* which */
	unsigned to;			   /* bits: of an accepted message; of an outcome the one */
	bool there;			   /* the journal has it still */
};

struct bench {
	struct rig rig;
	struct trace *trace;
	struct arena arena;
	uint64_t state;
	struct known records[RECORDS_MAX];
	size_t count;
};

static atomic_bool paused;
static atomic_uint refused;

static uint64_t
any(struct bench *bench, uint64_t below)
{
	return rig_random(&bench->state) % below;
}

static void
put_done(void *arg, int error)
{
	assert_int_equal(error, 0);
	*(bool *)arg = true;
}

static const char *
control_of(const struct known *known, char text[static 32])
{
	if (known->control == 0)
		return long_control;
	if (known->control == 1)
		return "back\\slash";
	snprintf(text, 32, "C%zu", known->control);
	return text;
}

static bool
is_message(const struct known *known)
{
	return known->type <= RECORD_STRAY;
}

static void
encode(const struct known *known, struct buffer *facts, struct buffer *decision)
{
	char control[32];
	struct span to[COUNT(places)];
	size_t count = 0, first = 0;

	for (size_t i = 0; i < COUNT(places); i++)
		if (known->to & 1u << i) {
			first = count ? first : i;
			to[count++] = span_str(places[i]);
		}
	if (is_message(known))
		facts_encode(&(struct facts){ .version = FACTS_VERSION,
				 .peer = span_str(peers[known->peer]),
				 .type = span_str(types[known->kind]),
				 .event = span_str(events[known->event]),
				 .control_id = span_str(control_of(known, control)) },
		    facts);
	if (known->type == RECORD_ACCEPTED)
		decision_encode(
		    &(struct decision){ .answer = ANSWER_ACCEPT, .to = to, .to_count = count }, decision);
	else
		decision_encode(&(struct decision){ .outcome = known->outcome,
				    .destination = known->outcome ? span_str(places[first]) : SPAN_EMPTY,
				    .who = span_str("uid:0") },
		    decision);
}

static void
put(struct bench *bench, struct known *known)
{
	struct journal_entry entry = { .type = known->type,
		.ref = known->ref,
		.size = 700,
		.replayed = known->type == RECORD_ACCEPTED && known->ref };
	uint8_t body[700] = { 0 }, digest[32] = { 0 };
	struct record_head head;
	struct buffer f, d;
	bool done = false;

	buffer_init(&f, 1 << 20);
	buffer_init(&d, 1 << 20);
	encode(known, &f, &d);
	entry.facts = buffer_span(&f);
	entry.decision = buffer_span(&d);
	entry.sha256 = digest;
	if (is_message(known) && !entry.replayed)
		entry.body = span_make(body, sizeof(body));
	assert_int_equal(journal_append(bench->rig.journal, &entry, put_done, &done, &head), 0);
	while (!done)
		(void)rig_poster_run(&bench->rig.poster, 100);
	buffer_fini(&f);
	buffer_fini(&d);
	known->seq = head.seq;
	known->time_us = head.time_us;
	known->there = true;
}

/* An accepted message that the journal has still, the newest ones more often; NULL when the first try finds none. */
static const struct known *
some_message(struct bench *bench)
{
	for (int tries = 0; tries < 20 && bench->count; tries++) {
		size_t back = any(bench, any(bench, bench->count) + 1);
		const struct known *known = &bench->records[bench->count - 1 - back];
		struct journal_place place;

		if (known->type == RECORD_ACCEPTED &&
		    journal_find(bench->rig.journal, known->seq, &place) == 0)
			return known;
	}
	return NULL;
}

static void
put_any(struct bench *bench)
{
	struct known *known = &bench->records[bench->count];
	const struct known *of = some_message(bench);
	unsigned what = (unsigned)any(bench, 10);

	*known = (struct known){ .type = RECORD_ACCEPTED,
		.peer = any(bench, COUNT(peers)),
		.kind = any(bench, COUNT(types)),
		.event = any(bench, COUNT(events)),
		.control = any(bench, 40),
		.to = 1u << any(bench, COUNT(places)) };
	if (any(bench, 3) == 0)
		known->to |= 1u << any(bench, COUNT(places));
	if (what == 0) {
		known->type = any(bench, 2) ? RECORD_REFUSED : RECORD_STRAY;
	} else if (what == 1 && of) {
		known->ref = of->ref ? of->ref : of->seq; /* a replay is of the original */
	} else if (what >= 6 && of) {
		known->type = what == 9 && any(bench, 2) ? RECORD_ACCESS : RECORD_OUTCOME;
		known->ref = of->seq;
		known->to = 1u << any(bench, COUNT(places));
		known->outcome = known->type == RECORD_OUTCOME ? (enum outcome)(1 + any(bench, 4)) : 0;
	}
	put(bench, known);
	bench->count++;
}

/* What is dropped, carried whole, carried without its bytes follows from the sequence. */
static int
judge(void *arg, const struct record_head *heads, size_t count, enum journal_fate *fates)
{
	(void)arg;
	if (paused) {
		refused++;
		return -EAGAIN;
	}
	for (size_t i = 0; i < count; i++)
		fates[i] = heads[i].seq % 3 ? FATE_DROP
			   : heads[i].type == RECORD_ACCEPTED && heads[i].seq % 2 &&
				   !(heads[i].flags & RECORD_REPLAYED)
			       ? FATE_CARRY_BODILESS
			       : FATE_CARRY;
	return 0;
}

static void
start(struct bench *bench)
{
	assert_int_equal(rig_open(&bench->rig, NULL, NULL), 0);
	assert_int_equal(journal_start_retention(bench->rig.journal, judge, NULL), 0);
	assert_int_equal(trace_open(&bench->trace, bench->rig.directory, bench->rig.journal), 0);
}

static void
stop(struct bench *bench)
{
	trace_close(bench->trace);
	rig_close(&bench->rig);
}

static void
settle(struct bench *bench)
{
	assert_true(trace_wait(bench->trace, journal_committed(bench->rig.journal), PATIENCE_MS));
}

/* Retention rests; what it left is what the model has. */
static void
hold_still(struct bench *bench)
{
	struct journal_place place;
	unsigned before = refused;

	paused = true;
	/* Asked again, it has ended what it did; where nothing is old it is not asked. */
	for (int tries = 0; tries < 300 && refused == before; tries++)
		usleep(10000);
	for (size_t i = 0; i < bench->count; i++)
		bench->records[i].there =
		    journal_find(bench->rig.journal, bench->records[i].seq, &place) == 0;
	settle(bench);
}

/* Ask until nothing is being made anew. */
#define ASK(bench, question)                                                                                 \
	for (int tries_ = 0;; tries_++) {                                                                    \
		int r_ = (question);                                                                         \
		if (r_ != -EUCLEAN && r_ != -ENOENT) {                                                       \
			assert_int_equal(r_, 0);                                                             \
			break;                                                                               \
		}                                                                                            \
		assert_true(tries_ < 2000);                                                                  \
		usleep(5000);                                                                                \
		settle(bench);                                                                               \
	}

static const struct known *
find(const struct bench *bench, uint64_t seq)
{
	for (size_t i = 0; i < bench->count; i++)
		if (bench->records[i].seq == seq)
			return bench->records[i].there ? &bench->records[i] : NULL;
	return NULL;
}

static bool
type_is(const struct known *known, const char *asked)
{
	const char *caret = strchr(asked, '^');
	char type[16];

	snprintf(type, sizeof(type), "%.*s", caret ? (int)(caret - asked) : 15, asked);
	return (!type[0] || strcmp(types[known->kind], type) == 0) &&
	       (!caret || !caret[1] || strcmp(events[known->event], caret + 1) == 0);
}

static void
compare_search(struct bench *bench)
{
	static const char *const asked[] = { "", "ORU", "ORU^R01", "ADT^", "M^A01", "X" };
	struct known like = { .control = any(bench, 41) };
	char text[32];
	bool by_control = any(bench, 2);
	const struct trace_query query = { .control = by_control ? control_of(&like, text) : NULL,
		.peer = any(bench, 2) ? shown_peers[any(bench, COUNT(peers))] : NULL,
		.msg_type = any(bench, 2) ? asked[any(bench, COUNT(asked))] : NULL,
		.since_us = any(bench, 4) ? 0 : bench->records[any(bench, bench->count)].time_us,
		.before_seq = any(bench, 4) ? 0 : bench->records[any(bench, bench->count)].seq,
		.refused = any(bench, 5) == 0 };
	struct trace_message found[20];
	size_t max = 1 + any(bench, COUNT(found)), count = 0, at = 0;

	ASK(bench, trace_search(bench->trace, &query, &bench->arena, found, max, &count));
	for (size_t i = bench->count; i-- > 0 && at < max;) {
		const struct known *known = &bench->records[i];

		if (!known->there || !is_message(known) || (by_control && known->control != like.control) ||
		    (query.peer && strcmp(shown_peers[known->peer], query.peer) != 0) ||
		    (query.msg_type && !type_is(known, query.msg_type)) || known->time_us < query.since_us ||
		    (query.before_seq && known->seq >= query.before_seq) ||
		    (query.refused && known->type == RECORD_ACCEPTED))
			continue;
		assert_true(at < count);
		assert_int_equal(found[at].seq, known->seq);
		assert_string_equal(found[at].peer, shown_peers[known->peer]);
		at++;
	}
	assert_int_equal(at, count);
}

static bool
is_picked(const struct known *known, const struct trace_span *asked, size_t place, size_t peer)
{
	return known->there && known->type == RECORD_ACCEPTED && !known->ref && known->seq > asked->after &&
	       known->seq <= asked->last && known->time_us >= asked->since_us &&
	       (!asked->until_us || known->time_us < asked->until_us) &&
	       (!asked->peer || known->peer == peer) && (!asked->destination || known->to & 1u << place) &&
	       (!asked->msg_type || known->kind == 0);
}

static void
compare_pick(struct bench *bench)
{
	size_t place = any(bench, COUNT(places) + 1), peer = any(bench, COUNT(peers) + 1), at = 0;
	struct trace_span span = { .last = bench->records[bench->count - 1 - any(bench, 20)].seq,
		.since_us = any(bench, 2) ? 0 : bench->records[any(bench, bench->count)].time_us,
		.until_us = any(bench, 3) ? 0 : bench->records[any(bench, bench->count)].time_us,
		.after = any(bench, 3) ? 0 : bench->records[any(bench, bench->count)].seq,
		.peer = peer < COUNT(peers) ? shown_peers[peer] : NULL,
		.destination = place < COUNT(places) ? places[place] : NULL,
		.msg_type = any(bench, 2) ? "ORU" : NULL };
	const struct trace_span asked = span;
	struct trace_message found[50];
	size_t max = 1 + any(bench, COUNT(found));

	do {
		size_t count = 0;

		arena_reset(&bench->arena);
		ASK(bench, trace_pick(bench->trace, &span, &bench->arena, found, max, &count, &span.after));
		for (size_t i = 0; i < count; i++) {
			for (; at < bench->count && !is_picked(&bench->records[at], &asked, place, peer);
			     at++)
				continue;
			assert_true(at < bench->count);
			assert_int_equal(found[i].seq, bench->records[at++].seq);
		}
	} while (span.after);
	for (; at < bench->count; at++) /* and there are no more */
		assert_false(is_picked(&bench->records[at], &asked, place, peer));
}

static bool
is_dead(const struct bench *bench, const struct known *known, size_t place)
{
	const struct known *message = find(bench, known->ref);
	uint64_t origin =
	    message && message->type == RECORD_ACCEPTED && message->ref ? message->ref : known->ref;

	if (!known->there || known->outcome < OUTCOME_REJECTED || !(known->to & 1u << place))
		return false;
	for (size_t i = 0; i < bench->count; i++) {
		const struct known *again = &bench->records[i];

		if (again->there && again->type == RECORD_ACCEPTED && again->ref == origin &&
		    (strcmp(places[place], "(parked)") == 0 ||
			(again->seq > known->seq && again->to & 1u << place)))
			return false;
	}
	return true;
}

static int
by_message(const void *a, const void *b)
{
	const struct known *const *x = a, *const *y = b;

	if ((*x)->ref != (*y)->ref)
		return (*x)->ref < (*y)->ref ? -1 : 1;
	return (*x)->seq < (*y)->seq ? -1 : (*x)->seq > (*y)->seq;
}

static void
compare_dead(struct bench *bench)
{
	const struct known *wanted[RECORDS_MAX];
	size_t place = any(bench, COUNT(places)), total = 0, count = 0, max = 1 + any(bench, 60);
	uint64_t after = any(bench, 2) ? 0 : bench->records[any(bench, bench->count)].seq;
	uint64_t last = any(bench, 2) ? 0 : bench->records[any(bench, bench->count)].seq;
	struct trace_hop hops[60];

	for (size_t i = 0; i < bench->count; i++) {
		const struct known *known = &bench->records[i];

		if (known->ref > after && (!last || known->seq <= last) && is_dead(bench, known, place))
			wanted[total++] = known;
	}
	qsort(wanted, total, sizeof(wanted[0]), by_message);
	ASK(bench, trace_dead(bench->trace, places[place], after, last, &bench->arena, hops, max, &count));
	assert_int_equal(count, total < max ? total : max);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(hops[i].record, wanted[i]->seq);
		assert_int_equal(hops[i].ref, wanted[i]->ref);
	}
}

static void
compare_past(struct bench *bench)
{
	const struct known *origin = &bench->records[any(bench, bench->count)];
	size_t place = any(bench, COUNT(places));
	uint64_t acknowledged = 0, replay = 0, trouble = 0;
	struct trace_past past;
	struct trace_hop hop;
	int r = 0;

	for (size_t i = 0; i < bench->count; i++) {
		const struct known *known = &bench->records[i];
		const struct known *of = find(bench, known->ref);
		bool here = known->there && known->to & 1u << place;

		if (here && known->type == RECORD_ACCEPTED && known->ref == origin->seq)
			replay = known->seq;
		if (here && known->outcome == OUTCOME_ACCEPTED &&
		    (known->ref == origin->seq ||
			(of && of->type == RECORD_ACCEPTED && of->ref == origin->seq)))
			acknowledged = known->seq;
		if (here && (known->outcome == OUTCOME_REJECTED || known->outcome == OUTCOME_EXPIRED))
			trouble = known->seq;
	}
	ASK(bench, trace_past(bench->trace, origin->seq, places[place], &bench->arena, &past));
	assert_int_equal(past.acknowledged.record, acknowledged);
	assert_int_equal(past.replay, replay);
	ASK(bench,
	    (r = trace_trouble(bench->trace, places[place], &bench->arena, &hop)) == TRACE_ABSENT ? 0 : r);
	assert_int_equal(r == TRACE_ABSENT ? 0 : hop.record, trouble);
}

static void
compare_show(struct bench *bench)
{
	const struct known *known = &bench->records[any(bench, bench->count)];
	const struct trace_hop *record;
	struct trace_message m;
	uint64_t about;
	size_t hops = 0;
	int r = 0;

	ASK(bench,
	    (r = trace_show(bench->trace, known->seq, &bench->arena, &m, &record)) == TRACE_ABSENT ? 0 : r);
	assert_int_equal(r, known->there ? 0 : TRACE_ABSENT);
	if (!known->there)
		return;
	assert_int_equal(record != NULL, !is_message(known));
	about = is_message(known) ? known->seq : known->ref;
	if (!find(bench, about)) {
		assert_int_equal(m.seq, 0);
		return;
	}
	assert_int_equal(m.seq, about);
	assert_int_equal(m.origin, find(bench, about)->ref);
	for (size_t i = 0; i < bench->count; i++)
		if (bench->records[i].there && bench->records[i].ref == about) {
			assert_true(hops < m.hop_count);
			assert_int_equal(m.hops[hops++].record, bench->records[i].seq);
		}
	assert_int_equal(hops, m.hop_count);
}

static void
compare_all(struct bench *bench)
{
	for (int i = 0; i < 25; i++) {
		arena_reset(&bench->arena);
		compare_search(bench);
		compare_pick(bench);
		arena_reset(&bench->arena);
		compare_dead(bench);
		compare_past(bench);
		compare_show(bench);
	}
}

static void
run_history(uint64_t seed, bool harmed)
{
	struct bench *bench = calloc(1, sizeof(*bench));

	assert_non_null(bench);
	memset(long_control, 'L', sizeof(long_control) - 1);
	bench->state = seed;
	rig_init(&bench->rig);
	bench->rig.options.retention_us = 300000;
	arena_init(&bench->arena, (size_t)64 << 20);
	start(bench);
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t rows;

		paused = false;
		for (int i = 0; i < PER_ROUND; i++)
			put_any(bench);
		hold_still(bench);
		compare_all(bench);
		if (harmed)
			trace_harm(&bench->rig, &bench->state);
		if (any(bench, 2)) {
			stop(bench);
			if (harmed)
				trace_harm(&bench->rig, &bench->state);
			start(bench);
		}
		if (any(bench, 3) == 0)
			assert_int_equal(
			    trace_rebuilt(bench->trace, trace_rebuild(bench->trace), PATIENCE_MS, &rows), 0);
		hold_still(bench);
		compare_all(bench);
	}
	stop(bench);
	arena_fini(&bench->arena);
	rig_fini(&bench->rig);
	free(bench);
}

static void
test_histories(void **state)
{
	(void)state;
	run_history(20261122, false);
}

static void
test_histories_with_damage(void **state)
{
	(void)state;
	run_history(4711, true);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_histories),
		cmocka_unit_test(test_histories_with_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
