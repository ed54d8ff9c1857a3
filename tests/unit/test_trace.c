/* SPDX-License-Identifier: Apache-2.0 */
/* The trace over a real journal: rows of each kind of record, its place over a restart, what is foreign, retention, rebuild. */
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
#include "codecs/printable.h"
#include "tests/unit/journal_rig.h"

#define PATIENCE_MS 10000
#define TEXT(text)  span_str(text)

struct put {
	bool done;
	int error;
};

static void
put_done(void *arg, int error)
{
	struct put *put = arg;

	put->done = true;
	put->error = error;
}

/* One record on disk; its sequence. */
static uint64_t
put(struct rig *rig, enum record_type type, uint64_t ref, const struct facts *facts,
    const struct decision *decision)
{
	struct put state = { 0 };
	struct record_head head;
	struct buffer f, d;
	struct journal_entry entry = { .type = type, .ref = ref, .size = 42 };

	buffer_init(&f, 1 << 20);
	buffer_init(&d, 1 << 20);
	if (facts)
		facts_encode(facts, &f);
	decision_encode(decision, &d);
	entry.facts = buffer_span(&f);
	entry.decision = buffer_span(&d);
	entry.body = TEXT("MSH|^~\\&|the bytes");
	assert_int_equal(journal_append(rig->journal, &entry, put_done, &state, &head), 0);
	while (!state.done)
		(void)rig_poster_run(&rig->poster, 100);
	assert_int_equal(state.error, 0);
	buffer_fini(&f);
	buffer_fini(&d);
	return head.seq;
}

static uint64_t
put_message(struct rig *rig, const char *control)
{
	const struct facts_document document = { .size = 100,
		.encoding = DOCUMENT_BASE64,
		.media = TEXT("text/xml"),
		.type_code = TEXT("11502-2"),
		.type_system = TEXT("LN"),
		.title = TEXT("CANARY TITLE") };
	const struct facts facts = { .version = FACTS_VERSION,
		.door = DOOR_MLLP,
		.peer = TEXT("chu"),
		.establishment = TEXT("chu-test"),
		.listener = TEXT("mllp"),
		.sending_application = TEXT("LABO"),
		.sending_facility = TEXT("H\xf4pital"),
		.type = TEXT("ORU"),
		.event = TEXT("R01"),
		.control_id = TEXT(control),
		.version_id = TEXT("2.5"),
		.leniencies = LENIENT_LF,
		.documents = &document,
		.document_count = 1 };
	const struct span to[] = { TEXT("ehpad"), TEXT("archive") };
	const struct decision decision = {
		.answer = ANSWER_ACCEPT, .mode = MODE_TEST, .to = to, .to_count = 2, .routes = TEXT("all")
	};

	return put(rig, RECORD_ACCEPTED, 0, &facts, &decision);
}

static uint64_t
put_outcome(struct rig *rig, uint64_t ref, enum outcome outcome, const char *destination)
{
	const struct decision decision = { .outcome = outcome,
		.destination = TEXT(destination),
		.who = TEXT("ehpad"),
		.code = TEXT(outcome == OUTCOME_REJECTED ? "no-such-resident" : ""),
		.text = TEXT("line\nbreak") };

	return put(rig, RECORD_OUTCOME, ref, NULL, &decision);
}

static int
ignore(void *arg, const struct record *record)
{
	(void)arg;
	(void)record;
	return 0;
}

struct bench {
	struct rig rig;
	struct trace *trace;
	struct arena arena;
};

static void
bench_open(struct bench *bench)
{
	assert_int_equal(rig_open(&bench->rig, ignore, NULL), 0);
	assert_int_equal(trace_open(&bench->trace, bench->rig.directory, bench->rig.journal), 0);
}

static void
bench_close(struct bench *bench)
{
	trace_close(bench->trace);
	rig_close(&bench->rig);
}

static void
bench_init(struct bench *bench)
{
	rig_init(&bench->rig);
	arena_init(&bench->arena, (size_t)16 << 20);
	bench_open(bench);
}

static void
bench_fini(struct bench *bench)
{
	bench_close(bench);
	arena_fini(&bench->arena);
	rig_fini(&bench->rig);
}

static void
settle(struct bench *bench)
{
	int tries = 0;

	do { /* again when something was found missing meanwhile */
		assert_true(tries++ < 100);
		assert_true(trace_wait(bench->trace, journal_committed(bench->rig.journal), PATIENCE_MS));
	} while (trace_lag(bench->trace) > 0);
	assert_true(trace_well(bench->trace));
}

/* Message ${seq}, also while what was lost is being made anew. */
static void
show(struct bench *bench, uint64_t seq, struct trace_message *m)
{
	const struct trace_hop *record;
	int r = -1;

	for (int tries = 0; tries < 1000 && r != 0; tries++) {
		arena_reset(&bench->arena);
		r = trace_show(bench->trace, seq, &bench->arena, m, &record);
		if (r)
			usleep(10000);
	}
	assert_int_equal(r, 0);
}

/* Every row as text, to be freed. */
static char *
dump(struct bench *bench)
{
	struct buffer out;
	int r = -EUCLEAN;

	buffer_init(&out, (size_t)64 << 20);
	for (int tries = 0; tries < 1000 && (r == -EUCLEAN || r == -ENOENT);
	     tries++) { /* what is found damaged is made anew meanwhile */
		buffer_reset(&out);
		r = trace_dump(bench->trace, &out);
		if (r)
			usleep(10000);
		settle(bench);
	}
	assert_int_equal(r, 0);
	buffer_append_byte(&out, 0);
	assert_false(buffer_failed(&out));
	return (char *)out.data;
}

static void
test_rows_of_each_kind(void **state)
{
	const struct decision refused = { .answer = ANSWER_REFUSE,
		.fault = { .code = FAULT_REQUIRED_FIELD, .path = "MSH-10", .message = "MSH-10 is absent" } };
	const struct decision act_of = {
		.who = TEXT("uid:0(root)"), .what = TEXT("rebuild"), .text = TEXT("why")
	};
	const struct facts stranger = { .version = FACTS_VERSION, .peer = TEXT("chu") };
	const struct trace_hop *record;
	struct trace_message m;
	struct bench bench;
	uint64_t a, b, c, o, act;
	char *rows;

	(void)state;
	bench_init(&bench);
	a = put_message(&bench.rig, "98");
	b = put(&bench.rig, RECORD_REFUSED, 0, &stranger, &refused);
	c = put(&bench.rig, RECORD_DUPLICATE, a, &stranger, &(struct decision){ .answer = ANSWER_ACCEPT });
	o = put_outcome(&bench.rig, a, OUTCOME_REJECTED, "ehpad");
	act = put(&bench.rig, RECORD_OPERATOR, 0, NULL, &act_of);
	settle(&bench);

	assert_int_equal(trace_show(bench.trace, a, &bench.arena, &m, &record), 0);
	assert_null(record);
	assert_int_equal(m.seq, a);
	assert_string_equal(m.control, "98");
	assert_string_equal(m.facility, "H\\xf4pital");
	assert_string_equal(m.destinations, "ehpad,archive");
	assert_int_equal(m.leniencies, LENIENT_LF);
	assert_int_equal(m.documents_given, 1);
	assert_string_equal(m.documents[0].code, "11502-2");
	assert_int_equal(m.hop_count, 2);
	assert_int_equal(m.hops[0].record, c);
	assert_string_equal(m.hops[0].who, "chu");
	assert_string_equal(m.hops[1].text, "line\\x0abreak");

	assert_int_equal(trace_show(bench.trace, b, &bench.arena, &m, &record), 0);
	assert_int_equal(m.answer, ANSWER_REFUSE);
	assert_int_equal(m.fault, FAULT_REQUIRED_FIELD);
	assert_string_equal(m.fault_path, "MSH-10");

	assert_int_equal(trace_show(bench.trace, o, &bench.arena, &m, &record), 0);
	assert_int_equal(m.seq, a);
	assert_int_equal(record->outcome, OUTCOME_REJECTED);

	assert_int_equal(trace_show(bench.trace, act, &bench.arena, &m, &record), 0);
	assert_int_equal(m.seq, 0);
	assert_string_equal(record->what, "rebuild");

	assert_int_equal(trace_show(bench.trace, 4711, &bench.arena, &m, &record), TRACE_ABSENT);
	rows = dump(&bench);
	assert_null(strstr(rows, "CANARY"));
	free(rows);
	bench_fini(&bench);
}

static void
test_lists_and_searches(void **state)
{
	struct trace_message found[10];
	struct trace_hop hop = { 0 };
	struct bench bench;
	uint64_t seqs[6];
	size_t count;

	(void)state;
	bench_init(&bench);
	for (int i = 0; i < 5; i++)
		seqs[i] = put_message(&bench.rig, i % 2 ? "odd" : "even");
	seqs[5] = 4711;
	settle(&bench);
	assert_int_equal(trace_list(bench.trace, seqs, 6, &bench.arena, found), 0);
	assert_int_equal(found[4].seq, seqs[4]);
	assert_int_equal(found[5].seq, 0);

	assert_int_equal(trace_search(bench.trace,
			     &(struct trace_query){ .control = "odd", .peer = "chu", .msg_type = "ORU^R01" },
			     &bench.arena, found, 10, &count),
	    0);
	assert_int_equal(count, 2);
	assert_int_equal(found[0].seq, seqs[3]);
	assert_int_equal(found[1].seq, seqs[1]);
	assert_int_equal(trace_search(bench.trace, &(struct trace_query){ .before_seq = seqs[3] },
			     &bench.arena, found, 2, &count),
	    0);
	assert_int_equal(count, 2);
	assert_int_equal(found[0].seq, seqs[2]);
	assert_int_equal(trace_search(bench.trace, &(struct trace_query){ .peer = "ehpad" }, &bench.arena,
			     found, 10, &count),
	    0);
	assert_int_equal(count, 0);
	assert_int_equal(trace_search(bench.trace, &(struct trace_query){ .refused = true }, &bench.arena,
			     found, 10, &count),
	    0);
	assert_int_equal(count, 0);

	assert_int_equal(trace_trouble(bench.trace, "ehpad", &bench.arena, &hop), TRACE_ABSENT);
	(void)put_outcome(&bench.rig, seqs[0], OUTCOME_REJECTED, "ehpad");
	(void)put_outcome(&bench.rig, seqs[1], OUTCOME_ACCEPTED, "ehpad");
	settle(&bench);
	assert_int_equal(trace_trouble(bench.trace, "ehpad", &bench.arena, &hop), 0);
	assert_int_equal(hop.ref, seqs[0]);
	bench_fini(&bench);
}

/* Closed and opened, deleted, damaged, of another journal: the same rows each time. */
static void
test_it_is_a_function_of_the_journal(void **state)
{
	static const char *const harms[] = { "", "rm -f %s/views/0*2-*.trace", "rm -rf %s/views",
		"for f in %s/views/0*; do printf 'not a view at all' > $f; done",
		("for f in %s/views/0*; do dd if=/dev/urandom of=$f bs=1024 seek=5 count=8 conv=notrunc "
		 "2>/dev/null; done") };
	struct bench bench;
	char *before, *after;
	uint64_t seq, ticket, rows;

	(void)state;
	bench_init(&bench);
	for (int i = 0; i < 300; i++) {
		seq = put_message(&bench.rig, "98");
		if (i % 3 == 0)
			(void)put_outcome(&bench.rig, seq, OUTCOME_ACCEPTED, "ehpad");
	}
	settle(&bench);
	before = dump(&bench);
	for (size_t i = 0; i < sizeof(harms) / sizeof(harms[0]); i++) {
		char command[256];

		bench_close(&bench);
		snprintf(command, sizeof(command), harms[i], bench.rig.directory);
		if (command[0])
			assert_int_equal(system(command), 0);
		bench_open(&bench);
		settle(&bench);
		after = dump(&bench);
		assert_string_equal(before, after);
		free(after);
	}
	ticket = trace_rebuild(bench.trace);
	assert_int_equal(trace_rebuilt(bench.trace, ticket, PATIENCE_MS, &rows), 0);
	assert_int_equal(rows, 300 + 100);
	settle(&bench);
	after = dump(&bench);
	assert_string_equal(before, after);
	free(before);
	free(after);
	bench_fini(&bench);
}

static void
test_a_database_of_another_journal_is_not_believed(void **state)
{
	struct bench one, other;
	struct trace_message m;
	const struct trace_hop *record;
	char command[256];
	uint64_t seq;

	(void)state;
	bench_init(&one);
	for (int i = 0; i < 300; i++)
		(void)put_message(&one.rig, "one");
	settle(&one);
	bench_close(&one);
	bench_init(&other);
	for (int i = 0; i < 300; i++)
		seq = put_message(&other.rig, "other");
	settle(&other);
	bench_close(&other);
	snprintf(command, sizeof(command), "cp %s/views/* %s/views/", one.rig.directory, other.rig.directory);
	assert_int_equal(system(command), 0);
	bench_open(&other);
	settle(&other);
	assert_int_equal(trace_show(other.trace, seq, &other.arena, &m, &record), 0);
	assert_string_equal(m.control, "other");
	bench_fini(&other);
	bench_open(&one);
	bench_fini(&one);
}

/* Deleted by somebody, damaged on disk while it is read: told, and made anew without being asked. */
static void
test_a_lost_database_is_made_anew(void **state)
{
	static const char *const ways[] = { "rm -f %s/views/*", "rm -rf %s/views",
		("for f in %s/views/0*; do [ ! -f $f ] || dd if=/dev/urandom of=$f bs=4096 count=64 "
		 "conv=notrunc 2>/dev/null; done") };
	struct bench bench;
	struct trace_message m;
	char command[512];
	uint64_t seq = 0, later;

	(void)state;
	bench_init(&bench);
	for (int i = 0; i < 300; i++)
		seq = put_message(&bench.rig, "lost");
	settle(&bench);
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		snprintf(command, sizeof(command), ways[i], bench.rig.directory, bench.rig.directory);
		assert_int_equal(system(command), 0);
		show(&bench, seq, &m);
		assert_string_equal(m.control, "lost");
		later = put_message(&bench.rig, "later");
		settle(&bench);
		show(&bench, later, &m);
		assert_string_equal(m.control, "later");
	}
	bench_fini(&bench);
}

/* One bit of the facts of the first message of which ${mark} stands there is turned. */
static void
damage(struct bench *bench, const char *mark)
{
	const char *path = rig_segment(&bench->rig, 1);
	uint8_t *bytes, *at;
	size_t len;
	FILE *file;

	bytes = rig_load(path, &len);
	assert_non_null(bytes);
	at = memmem(bytes, len, mark, strlen(mark));
	assert_non_null(at);
	file = fopen(path, "r+b");
	assert_non_null(file);
	assert_int_equal(fseek(file, at - bytes, SEEK_SET), 0);
	fputc(*at ^ 1, file);
	fclose(file);
	free(bytes);
}

/* A record that cannot be read any more: when it came, from whom, where it went, and what became of it there is known still. */
static void
test_a_damaged_message_is_told_by_its_row(void **state)
{
	struct trace_message m, found[2];
	struct bench bench;
	uint64_t seq, outcome;
	size_t count;

	(void)state;
	bench_init(&bench);
	seq = put_message(&bench.rig, "CTL-DAMAGED");
	outcome = put_outcome(&bench.rig, seq, OUTCOME_ACCEPTED, "ehpad");
	for (int i = 0; i < 300; i++)
		(void)put_message(&bench.rig, "98");
	settle(&bench);
	damage(&bench, "CTL-DAMAGED");
	show(&bench, seq, &m);
	assert_int_equal(m.seq, seq);
	assert_int_equal(m.type, RECORD_ACCEPTED);
	assert_int_equal(m.answer, ANSWER_ACCEPT);
	assert_true(m.time_us > 0);
	assert_string_equal(m.peer, "chu");
	assert_string_equal(m.msg_type, "ORU");
	assert_string_equal(m.msg_event, "R01");
	assert_string_equal(m.control, "");
	assert_string_equal(m.destinations, "ehpad,archive");
	assert_int_equal(m.hop_count, 1);
	assert_int_equal(m.hops[0].record, outcome);
	assert_int_equal(trace_search(bench.trace, &(struct trace_query){ .control = "CTL-DAMAGED" },
			     &bench.arena, found, 2, &count),
	    0);
	assert_int_equal(count, 0);
	bench_fini(&bench);
}

static atomic_bool retention_paused;

/* Messages with an even number are still wanted. */
static int
judge(void *arg, const struct record_head *heads, size_t count, enum journal_fate *fates)
{
	(void)arg;
	if (retention_paused)
		return -EAGAIN;
	for (size_t i = 0; i < count; i++)
		fates[i] = heads[i].type != RECORD_ACCEPTED ? FATE_DROP
			   : heads[i].seq % 2		    ? FATE_DROP
			   : heads[i].seq % 4		    ? FATE_CARRY_BODILESS
							    : FATE_CARRY;
	return 0;
}

/* What retention removed has no row; what it carried has; and a rebuild gives the same. */
static void
test_retention_then_rebuild(void **state)
{
	struct journal_status status;
	struct bench bench;
	struct journal_place place;
	char *before, *after;
	uint64_t ticket, rows, committed;
	unsigned rounds = 0;

	(void)state;
	rig_init(&bench.rig);
	arena_init(&bench.arena, (size_t)16 << 20);
	bench.rig.options.retention_us = 200000;
	bench_open(&bench);
	assert_int_equal(journal_start_retention(bench.rig.journal, judge, NULL), 0);
	do {
		for (int i = 0; i < 100; i++)
			(void)put_message(&bench.rig, "98");
		usleep(50000);
		journal_status(bench.rig.journal, &status);
		assert_true(rounds++ < 100);
	} while (status.first_seq <= 4 && journal_find(bench.rig.journal, 1, &place) != JOURNAL_ABSENT);
	retention_paused = true;
	do { /* the pass under way ends */
		committed = journal_committed(bench.rig.journal);
		usleep(300000);
	} while (journal_committed(bench.rig.journal) != committed);
	settle(&bench);
	before = dump(&bench);
	ticket = trace_rebuild(bench.trace);
	assert_int_equal(trace_rebuilt(bench.trace, ticket, PATIENCE_MS, &rows), 0);
	settle(&bench);
	after = dump(&bench);
	assert_string_equal(before, after);
	assert_null(strstr(before, "message\t1\t"));
	assert_non_null(strstr(before, "message\t4\t"));
	free(before);
	free(after);
	bench_fini(&bench);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows_of_each_kind),
		cmocka_unit_test(test_lists_and_searches),
		cmocka_unit_test(test_it_is_a_function_of_the_journal),
		cmocka_unit_test(test_a_database_of_another_journal_is_not_believed),
		cmocka_unit_test(test_a_lost_database_is_made_anew),
		cmocka_unit_test(test_a_damaged_message_is_told_by_its_row),
		cmocka_unit_test(test_retention_then_rebuild),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
