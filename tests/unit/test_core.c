/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The core over a journal in memory: nothing positive before the commit, duplicates, floor, routes by mode, settlement, replay, and what
 * retention is told.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "codecs/digest.h"
#include "tests/unit/fake_journal.h"

static const struct config_establishment chu = { .name = "chu", .mode = MODE_PRODUCTION };
static const struct config_establishment test_chu = { .name = "chu-test", .mode = MODE_TEST };
static const struct config_establishment ehpad = { .name = "ehpad", .mode = MODE_PRODUCTION };
static const struct config_peer peers[] = {
	{ .name = "lab", .establishment = &chu },
	{ .name = "lab-test", .establishment = &test_chu },
	{ .name = "dui", .establishment = &ehpad },
};
static const struct config_destination inboxes[] = {
	{ .name = "lilas", .establishment = &ehpad, .max_age_s = 3600, .max_disk_percent = 20 },
	{ .name = "roses", .establishment = &ehpad, .max_age_s = 7200, .max_disk_percent = 20 },
	{ .name = "essai", .establishment = &test_chu, .max_age_s = 3600, .max_disk_percent = 20 },
};
static const struct config_destination *const to_lilas[] = { &inboxes[0] };
static const struct config_destination *const to_both[] = { &inboxes[0], &inboxes[1] };
static const struct config_destination *const to_test[] = { &inboxes[2] };
static const struct config_route routes[] = {
	{ .name = "adt", .type = "ADT", .event = "A0*", .to = to_lilas, .to_count = 1 },
	{ .name = "results", .type = "ORU", .to = to_both, .to_count = 2, .go_on = true },
	{ .name = "copies",
	    .type = "ORU",
	    .sending_application = "LIS",
	    .to = to_lilas,
	    .to_count = 1,
	    .go_on = true },
	{ .name = "tests", .mode = "test", .to = to_test, .to_count = 1 },
};
static struct config config = {
	.unrouted = UNROUTED_PARK,
	.journal = { .duplicate_window_s = 3600 },
	.peers = peers,
	.peer_count = 3,
	.destinations = inboxes,
	.destination_count = 3,
	.routes = routes,
	.route_count = 4,
};

/* One message and what became of it. */
struct sent {
	struct facts facts;
	struct submission submission;
	uint8_t sha256[32];
	unsigned answers;
	enum answer answer;
	enum fault_code code;
	uint64_t seq, time_us;
	bool duplicate;
};

static void
answered(void *arg, const struct verdict *verdict)
{
	struct sent *sent = arg;

	sent->answers++;
	sent->answer = verdict->answer;
	sent->code = verdict->fault ? verdict->fault->code : FAULT_NONE;
	sent->seq = verdict->seq;
	sent->time_us = verdict->time_us;
	sent->duplicate = verdict->duplicate;
}

static void
prepare(struct sent *sent, size_t peer, const char *type, const char *control, const char *bytes)
{
	*sent = (struct sent){ 0 };
	sent->facts.version = FACTS_VERSION;
	sent->facts.door = DOOR_MLLP;
	sent->facts.peer = span_str(peers[peer].name);
	sent->facts.sending_application = span_str("LIS^1.2^ISO");
	sent->facts.sending_facility = span_str("CHU");
	sent->facts.type = span_str(type);
	sent->facts.event = span_str("A01");
	sent->facts.control_id = span_str(control);
	sent->facts.processing = span_str("P");
	sent->facts.delimiters = span_str("|^~\\&");
	assert_int_equal(digest_sha256(span_str(bytes), sent->sha256), 0);
	sent->submission = (struct submission){ .kind = SUBMIT_MESSAGE,
		.peer = &peers[peer],
		.bytes = span_str(bytes),
		.size = strlen(bytes),
		.sha256 = sent->sha256,
		.facts = &sent->facts };
}

static struct core *
start(void)
{
	struct core *core;

	assert_int_equal(core_new(&core, &config), 0);
	assert_int_equal(fake_replay(core), 0);
	assert_int_equal(core_start(core, (struct journal *)&fake, (struct workers *)&fake), 0);
	fake_commit(0);
	return core;
}

static void
send_and_commit(struct core *core, struct sent *sent)
{
	core_submit(core, &sent->submission, answered, sent);
	fake_work();
	fake_commit(0);
}

static void
test_nothing_before_commit(void **state)
{
	struct sent sent;
	struct core *core;
	uint64_t seqs[4];

	(void)state;
	fake_reset();
	core = start();
	prepare(&sent, 0, "ORU", "1", "bytes");
	core_submit(core, &sent.submission, answered, &sent);
	assert_int_equal(sent.answers, 0);
	assert_int_equal(core_waiting_count(core, 0), 0);
	assert_int_equal(core_in_flight(core), 1);
	fake_commit(0);
	assert_int_equal(sent.answers, 1);
	assert_int_equal(sent.answer, ANSWER_ACCEPT);
	assert_int_equal(sent.seq, 2); /* behind RECORD_STARTED */
	assert_int_equal(core_waiting(core, 0, 0, seqs, 4), 1);
	assert_int_equal(core_waiting(core, 1, 0, seqs, 4), 1);
	assert_int_equal(seqs[0], 2);
	assert_int_equal(core_in_flight(core), 0);
	assert_true(span_eq_str(buffer_span(&fake.records[1].body), "bytes"));

	/* A commit that fails gives AR, queues nothing and remembers nothing. */
	prepare(&sent, 0, "ORU", "2", "other");
	core_submit(core, &sent.submission, answered, &sent);
	fake_commit(-EIO);
	assert_int_equal(sent.answer, ANSWER_LATER);
	assert_int_equal(sent.code, FAULT_STORE);
	assert_int_equal(core_waiting_count(core, 0), 1);
	prepare(&sent, 0, "ORU", "2", "other");
	send_and_commit(core, &sent);
	assert_int_equal(sent.answer, ANSWER_ACCEPT);
	assert_false(sent.duplicate);
	core_free(core);
	fake_reset();
}

static void
test_duplicates(void **state)
{
	struct sent first, again, other, racing;
	struct core *core;

	(void)state;
	fake_reset();
	core = start();
	prepare(&first, 0, "ORU", "1", "bytes");
	prepare(&racing, 0, "ORU", "1", "bytes");
	core_submit(core, &first.submission, answered, &first);
	core_submit(core, &racing.submission, answered, &racing); /* before the first is on disk */
	assert_int_equal(racing.answers, 0);
	fake_commit(0);
	assert_true(racing.duplicate);
	assert_int_equal(racing.answer, ANSWER_ACCEPT);
	assert_int_equal(racing.seq, first.seq);
	assert_int_equal(racing.time_us, first.time_us);
	fake.now_us += 1000000;
	prepare(&again, 0, "ORU", "1", "bytes");
	send_and_commit(core, &again);
	assert_true(again.duplicate);
	assert_int_equal(again.seq, first.seq);
	assert_int_equal(again.time_us, first.time_us);
	assert_int_equal(core_waiting_count(core, 0), 1);
	prepare(&other, 0, "ORU", "1", "changed");
	send_and_commit(core, &other);
	assert_int_equal(other.answer, ANSWER_REFUSE);
	assert_int_equal(other.code, FAULT_SAME_ID);
	/* Another peer's, or another sender's, same id is another message. */
	prepare(&other, 1, "ORU", "1", "changed");
	send_and_commit(core, &other);
	assert_int_equal(other.answer, ANSWER_ACCEPT);
	prepare(&other, 0, "ORU", "1", "changed");
	other.facts.sending_facility = span_str("CHU2");
	send_and_commit(core, &other);
	assert_int_equal(other.answer, ANSWER_ACCEPT);
	/* A resend whose first try failed must not be answered by it. */
	prepare(&first, 0, "ORU", "9", "nine");
	prepare(&racing, 0, "ORU", "9", "nine");
	core_submit(core, &first.submission, answered, &first);
	core_submit(core, &racing.submission, answered, &racing);
	fake.records[fake.committed].done(fake.records[fake.committed].arg, -EIO);
	fake.committed++;
	fake_commit(0);
	assert_int_equal(first.answer, ANSWER_LATER);
	assert_int_equal(racing.answer, ANSWER_LATER);
	core_free(core);
	fake_reset();
}

static void
test_window_and_restamped(void **state)
{
	static const uint8_t comparable[32] = { 1 };
	struct sent first, again;
	struct core *core;

	(void)state;
	fake_reset();
	core = start();
	prepare(&first, 0, "ORU", "1", "stamp 1");
	first.facts.comparable = span_make(comparable, 32);
	send_and_commit(core, &first);
	prepare(&again, 0, "ORU", "1", "stamp 2");
	again.facts.comparable = span_make(comparable, 32);
	send_and_commit(core, &again);
	assert_true(again.duplicate);
	core_free(core);
	core = start(); /* what is remembered survives a restart */
	prepare(&again, 0, "ORU", "1", "stamp 3");
	again.facts.comparable = span_make(comparable, 32);
	send_and_commit(core, &again);
	assert_true(again.duplicate);
	/* The window: an hour and a minute later the id is free again. */
	for (int minute = 0; minute < 63; minute++) {
		char control[8];

		fake.now_us += (uint64_t)60 * 1000000;
		(void)snprintf(control, sizeof(control), "m%d", minute);
		prepare(&again, 0, "ADT", control, "x");
		send_and_commit(core, &again);
		assert_int_equal(again.answer, ANSWER_ACCEPT);
	}
	prepare(&again, 0, "ORU", "1", "much later");
	send_and_commit(core, &again);
	assert_int_equal(again.answer, ANSWER_ACCEPT);
	assert_false(again.duplicate);
	core_free(core);
	fake_reset();
}

static void
test_routes(void **state)
{
	struct sent sent;
	struct core *core;

	(void)state;
	fake_reset();
	core = start();
	prepare(&sent, 0, "ADT", "1", "a");
	send_and_commit(core, &sent);
	assert_int_equal(core_waiting_count(core, 0), 1);
	assert_int_equal(core_waiting_count(core, 1), 0);
	prepare(&sent, 0, "ORU", "2", "b"); /* two rows, each inbox once */
	send_and_commit(core, &sent);
	assert_int_equal(core_waiting_count(core, 0), 2);
	assert_int_equal(core_waiting_count(core, 1), 1);
	prepare(&sent, 0, "ORU", "3", "c"); /* a debugging message enters no production inbox */
	sent.facts.processing = span_str("D");
	send_and_commit(core, &sent);
	assert_int_equal(core_waiting_count(core, 0), 2);
	assert_int_equal(core_waiting_count(core, 2), 1);
	prepare(&sent, 1, "ORU", "4", "d"); /* nor does anything of a test establishment */
	send_and_commit(core, &sent);
	assert_int_equal(core_waiting_count(core, 0), 2);
	assert_int_equal(core_waiting_count(core, 2), 2);
	prepare(&sent, 0, "SIU", "5", "e"); /* nobody wants it */
	send_and_commit(core, &sent);
	assert_int_equal(sent.answer, ANSWER_ACCEPT);
	assert_int_equal(core_waiting_count(core, CORE_PARKED), 1);
	config.unrouted = UNROUTED_REFUSE;
	prepare(&sent, 0, "SIU", "6", "f");
	send_and_commit(core, &sent);
	config.unrouted = UNROUTED_PARK;
	assert_int_equal(sent.answer, ANSWER_REFUSE);
	assert_int_equal(sent.code, FAULT_NO_ROUTE);
	core_free(core);
	core = start();
	assert_int_equal(core_waiting_count(core, 0), 2);
	assert_int_equal(core_waiting_count(core, 1), 1);
	assert_int_equal(core_waiting_count(core, 2), 2);
	assert_int_equal(core_waiting_count(core, CORE_PARKED), 1);
	core_free(core);
	/* An inbox leaves the configuration and comes back: what waits in it is not lost meanwhile. */
	config.destination_count = 2;
	config.route_count = 3;
	core = start();
	assert_int_equal(core_waiting_count(core, 0), 2);
	core_free(core);
	config.destination_count = 3;
	config.route_count = 4;
	core = start();
	assert_int_equal(core_waiting_count(core, 2), 2);
	/* What nobody wants is kept for a week, then it is a dead letter, also after a restart. */
	fake.now_us += (uint64_t)8 * 24 * 3600 * 1000000;
	core_expire(core);
	fake_commit(0);
	assert_int_equal(core_waiting_count(core, CORE_PARKED), 0);
	core_free(core);
	core = start();
	assert_int_equal(core_waiting_count(core, CORE_PARKED), 0);
	core_free(core);
	fake_reset();
}

static void
test_circumstances(void **state)
{
	struct sent sent, other;
	struct core *core;
	struct fault fault;

	(void)state;
	fake_reset();
	core = start();
	fake.below_floor = true;
	prepare(&sent, 0, "ORU", "1", "bytes");
	send_and_commit(core, &sent);
	assert_int_equal(sent.answer, ANSWER_LATER);
	assert_int_equal(sent.code, FAULT_DISK_FLOOR);
	assert_true(sent.seq > 0); /* the refusal itself is recorded, in the reserve */
	assert_false(fake.records[fake.count - 1].push);
	fake.full = true;
	prepare(&sent, 0, "ORU", "1", "bytes");
	core_submit(core, &sent.submission, answered, &sent);
	assert_int_equal(sent.answers, 1); /* not journalled, but answered */
	assert_int_equal(sent.answer, ANSWER_LATER);
	assert_int_equal(sent.seq, 0);
	fake.full = fake.below_floor = false;
	/* Neither has its id been taken when its record failed behind the back of another with that id. */
	prepare(&sent, 0, "ORU", "1", "bytes");
	core_submit(core, &sent.submission, answered, &sent);
	prepare(&other, 0, "ORU", "1", "other bytes");
	core_submit(core, &other.submission, answered, &other);
	fake_commit(-EIO);
	assert_int_equal(sent.answer, ANSWER_LATER);
	assert_int_equal(other.answer, ANSWER_LATER);
	assert_int_equal(other.code, FAULT_STORE);
	prepare(&sent, 0, "ORU", "1", "bytes"); /* recovery by itself, and the refused id is free */
	send_and_commit(core, &sent);
	assert_int_equal(sent.answer, ANSWER_ACCEPT);
	assert_false(sent.duplicate);
	prepare(&sent, 0, "ORU", "2", "bad");
	fault_set(&fault, FAULT_REQUIRED_FIELD, 0, "MSH-10", "required");
	sent.submission.fault = &fault;
	send_and_commit(core, &sent);
	assert_int_equal(sent.answer, ANSWER_REFUSE);
	assert_int_equal(sent.code, FAULT_REQUIRED_FIELD);
	prepare(&sent, 0, "ACK", "", "ack");
	sent.submission.kind = SUBMIT_STRAY;
	send_and_commit(core, &sent);
	assert_int_equal(sent.answer, ANSWER_NONE);
	assert_int_equal(fake.records[fake.count - 1].head.type, RECORD_STRAY);
	/* What is rejected at the frame is at fault, or came at a bad time. */
	prepare(&sent, 0, "", "", "VT...");
	sent.submission.kind = SUBMIT_FRAME;
	sent.submission.facts = NULL;
	sent.submission.sha256 = NULL;
	sent.submission.fault = &fault;
	fault_set(&fault, FAULT_FRAME_NOISE, 0, "", "noise");
	send_and_commit(core, &sent);
	assert_int_equal(sent.answer, ANSWER_REFUSE);
	fault_set(&fault, FAULT_OVERLOAD, 0, "", "too much at once");
	send_and_commit(core, &sent);
	assert_int_equal(sent.answer, ANSWER_LATER);
	assert_int_equal(fake.records[fake.count - 1].head.type, RECORD_FRAME);
	core_stop(core);
	prepare(&sent, 0, "ORU", "3", "late");
	send_and_commit(core, &sent);
	assert_int_equal(sent.answer, ANSWER_LATER);
	assert_int_equal(sent.code, FAULT_STOPPING);
	core_free(core);
	fake_reset();
}

static int settled_error;
static unsigned settled_calls;

static void
settled(void *arg, int error)
{
	(void)arg;
	settled_error = error;
	settled_calls++;
}

static void
test_settlement(void **state)
{
	struct settlement items[3] = { 0 }, again[1] = { 0 };
	struct sent sent[3];
	struct core *core;
	uint64_t seqs[4];

	(void)state;
	fake_reset();
	settled_calls = 0;
	core = start();
	for (int i = 0; i < 3; i++) {
		prepare(&sent[i], 0, "ORU", i == 0 ? "1" : i == 1 ? "2" : "3", "bytes");
		send_and_commit(core, &sent[i]);
	}
	items[0] = (struct settlement){ .seq = sent[0].seq, .outcome = OUTCOME_ACCEPTED };
	items[1] = (struct settlement){ .seq = sent[1].seq,
		.outcome = OUTCOME_REJECTED,
		.code = span_str("X1"),
		.text = span_str("no such resident") };
	items[2] = (struct settlement){ .seq = 999, .outcome = OUTCOME_ACCEPTED };
	core_settle(core, 0, "dui", items, 3, settled, NULL);
	assert_int_equal(settled_calls, 0);
	/* Another node says otherwise before that is on disk: the first counts, and the answer waits. */
	again[0] = (struct settlement){ .seq = sent[0].seq, .outcome = OUTCOME_REJECTED };
	core_settle(core, 0, "dui", again, 1, settled, NULL);
	assert_int_equal(settled_calls, 0);
	fake_commit(0);
	assert_int_equal(settled_calls, 2);
	assert_int_equal(settled_error, 0);
	assert_int_equal(items[0].result, SETTLED_NOW);
	assert_int_equal(items[1].result, SETTLED_NOW);
	assert_int_equal(items[2].result, SETTLED_ABSENT);
	assert_int_equal(again[0].result, SETTLED_BEFORE);
	assert_int_equal(again[0].standing, OUTCOME_ACCEPTED);
	assert_int_equal(core_waiting_count(core, 0), 1);
	assert_int_equal(core_waiting_count(core, 1), 3);
	/* A failed commit settles nothing. */
	items[0] = (struct settlement){ .seq = sent[2].seq, .outcome = OUTCOME_ACCEPTED };
	core_settle(core, 0, "dui", items, 1, settled, NULL);
	core_settle(core, 0, "dui", again, 1, settled, NULL);
	fake_commit(-ENOSPC);
	assert_int_equal(settled_calls, 4);
	assert_int_equal(core_waiting(core, 0, 0, seqs, 4), 1);
	assert_int_equal(seqs[0], sent[2].seq);
	core_free(core);
	core = start();
	assert_int_equal(core_waiting_count(core, 0), 1);
	assert_int_equal(core_waiting_count(core, 1), 3);
	/* Past the greatest age: dead letters in lilas, not yet in roses. */
	fake.now_us += (uint64_t)3700 * 1000000;
	core_expire(core);
	fake_commit(0);
	assert_int_equal(core_waiting_count(core, 0), 0);
	assert_int_equal(core_waiting_count(core, 1), 3);
	/* Past the greatest size: as many as it takes, the oldest first, and no more while those are on their way. */
	fake.disk_total = 12000;
	core_expire(core);
	core_expire(core);
	fake_commit(0);
	assert_int_equal(core_waiting_count(core, 1), 2);
	assert_int_equal(core_waiting(core, 1, 0, seqs, 4), 2);
	assert_int_equal(seqs[0], sent[1].seq);
	fake.disk_total = 4096;
	core_expire(core);
	fake_commit(0);
	assert_int_equal(core_waiting_count(core, 1), 0);
	/* As fast as they came: a queue that nobody reads does not outgrow its bounds. */
	fake.disk_total = 0;
	for (int i = 0; i < 200; i++) {
		char control[16];

		snprintf(control, sizeof(control), "many%d", i);
		prepare(&sent[0], 0, "ORU", control, "bytes");
		send_and_commit(core, &sent[0]);
	}
	assert_int_equal(core_waiting_count(core, 0), 200);
	fake.now_us += (uint64_t)3700 * 1000000;
	core_expire(core);
	fake_commit(0);
	assert_int_equal(core_waiting_count(core, 0), 0);
	core_free(core);
	fake_reset();
}

static void
test_retention(void **state)
{
	struct settlement items[1];
	struct sent both, adt, dead;
	struct record_head heads[8];
	enum journal_fate fates[8];
	struct core *core;
	size_t count;

	(void)state;
	fake_reset();
	core = start();
	prepare(&both, 0, "ORU", "1", "both");
	send_and_commit(core, &both);
	prepare(&adt, 0, "ADT", "2", "adt");
	send_and_commit(core, &adt);
	prepare(&dead, 0, "ADT", "3", "dead");
	dead.facts.control_id = SPAN_EMPTY; /* not remembered */
	send_and_commit(core, &dead);
	for (int i = 0; i < 3; i++) {
		items[0] = (struct settlement){ .seq = i == 0	? both.seq
						       : i == 1 ? adt.seq
								: dead.seq,
			.outcome = OUTCOME_ACCEPTED };
		core_settle(core, 0, "dui", items, 1, settled, NULL);
		fake_commit(0);
	}
	count = fake.count;
	assert_int_equal(count, 7);
	for (size_t i = 0; i < count; i++)
		heads[i] = fake.records[i].head;
	core_judge(core, heads, count, fates);
	assert_int_equal(fates[0], FATE_DROP);		 /* started */
	assert_int_equal(fates[1], FATE_CARRY);		 /* still waits in roses */
	assert_int_equal(fates[2], FATE_CARRY_BODILESS); /* delivered, but in the duplicate window */
	assert_int_equal(fates[3], FATE_DROP);
	assert_int_equal(fates[4], FATE_CARRY); /* its outcome in lilas must not be forgotten */
	assert_int_equal(fates[5], FATE_DROP);
	assert_int_equal(fates[6], FATE_DROP);
	core_free(core);

	/* Replay after the carry: the outcome stands before its message, and the dropped ones are gone. */
	{
		struct fake_record message = fake.records[1], remembered = fake.records[2];

		fake.records[3].committed = fake.records[5].committed = fake.records[6].committed = false;
		fake.records[1] = fake.records[4]; /* the outcome first */
		fake.records[4] = message;
		fake.records[4].head.flags = RECORD_CARRIED;
		remembered.head.flags = RECORD_CARRIED | RECORD_BODILESS;
		fake.records[2] = remembered;
	}
	core = start();
	assert_int_equal(core_waiting_count(core, 0), 0);
	assert_int_equal(core_waiting_count(core, 1), 1);
	core_free(core);
	fake_reset();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_before_commit),
		cmocka_unit_test(test_duplicates),
		cmocka_unit_test(test_window_and_restamped),
		cmocka_unit_test(test_routes),
		cmocka_unit_test(test_circumstances),
		cmocka_unit_test(test_settlement),
		cmocka_unit_test(test_retention),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
