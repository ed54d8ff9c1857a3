/* SPDX-License-Identifier: Apache-2.0 */
/* A sender where the parts around it fail: the journal refuses outcomes, reads fail, workers are busy, memory is short, answers come early. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "failmalloc.h"
#include "sender_rig.h"

static void
test_one_by_one(void **state)
{
	(void)state;
	rig_begin(1, "A");
	(void)rig_message("B", NULL);
	rig_read();
	rig_sent(NULL);
	assert_int_equal(rig.link.deadline_ms, 30000);
	rig_answer("AA", "A");
	rig_sent(NULL); /* its outcome is not on disk */
	rig_journal(0);
	rig_sent("B");
	rig_answer("AE", "B");
	rig_journal(0);
	assert_int_equal(rig.messages[1].outcome, OUTCOME_ACCEPTED);
	assert_int_equal(rig.messages[2].outcome, OUTCOME_REJECTED);
	assert_string_equal(rig.messages[2].code, "AE");
	assert_string_equal(rig.messages[2].text, "204 at PID-3: ROSE LILAS");
	assert_int_equal(rig_state().phase, SENDER_IDLE);
	assert_int_equal(rig.link.deadline_ms, 0);
	assert_int_equal(rig.dials, 1);
	assert_int_equal(rig.downs, 0);
	assert_false(senders_state(rig.senders, "elsewhere", &(struct sender_state){ 0 }));
	rig_stop();
}

/* What the destination said is not asked for twice. */
static void
test_the_journal_refuses(void **state)
{
	(void)state;
	rig_begin(1, "A");
	(void)rig_message("B", NULL);
	rig_answer("AA", "A");
	rig_journal(-EIO);
	rig_read();
	rig_sent(NULL);
	rig.settle_error = -ENOSPC;
	rig_pause();
	rig_sent(NULL);
	rig.settle_error = 0;
	rig_pause();
	rig_journal(0);
	rig_read();
	rig_sent("B");
	assert_int_equal(rig.messages[1].outcome, OUTCOME_ACCEPTED);
	assert_int_equal(rig.settles, 3);
	assert_int_equal(rig.dials, 1);
	rig_stop();
}

/* The link ends while the outcome waits for the disk: the message is not sent again. */
static void
test_the_link_ends_before_the_outcome_is_on_disk(void **state)
{
	(void)state;
	rig_begin(1, "A");
	(void)rig_message("B", NULL);
	rig_answer("AA", "A");
	rig_end(LINK_CLOSED_BY_PEER);
	rig_open();
	rig_read();
	rig_sent(NULL);
	rig_journal(0);
	rig_read();
	rig_sent("B");
	rig_stop();
}

static void
test_reads_that_fail(void **state)
{
	static const struct {
		int error;
		const char *code; /* of the dead letter; NULL: it is tried again */
	} rows[] = {
		{ -EIO, NULL },
		{ -ENOMEM, NULL },
		{ JOURNAL_ABSENT, "gone" },
		{ JOURNAL_DAMAGED, "damaged" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		rig_start(1);
		(void)rig_message("A", NULL);
		rig_open();
		rig.read_error = rows[i].error;
		rig_read();
		rig_sent(NULL);
		rig.read_error = 0;
		rig_journal(0);
		if (rows[i].code) {
			assert_int_equal(rig.messages[1].outcome, OUTCOME_REJECTED);
			assert_string_equal(rig.messages[1].code, rows[i].code);
			assert_int_equal(rig_state().phase, SENDER_IDLE);
		} else {
			assert_int_equal(rig.messages[1].outcome, 0);
			rig_pause();
			rig_read();
			rig_sent("A");
		}
		rig_stop();
	}
}

static void
test_what_cannot_be_sent(void **state)
{
	static const struct {
		const char *control, *body, *code;
	} rows[] = {
		{ "A", "MSH|^~\\&|A|B|C|D|2026||ADT^A01|A|T|2.5\rNTE|\x0b\r", "unframable" },
		{ "A", "MSH|^~\\&|A|B|C|D|2026||ADT^A01|A|T|2.5\rNTE|\x1c\r", "unframable" },
		{ "", "MSH|^~\\&|A|B|C|D|2026||ADT^A01||T|2.5\r", "no-control-id" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		rig_start(1);
		(void)rig_message(rows[i].control, rows[i].body);
		(void)rig_message("B", NULL);
		rig_open();
		rig_read();
		rig_journal(0);
		rig_read();
		assert_string_equal(rig.messages[1].code, rows[i].code);
		rig_sent("B");
		rig_stop();
	}
}

static void
test_busy_workers(void **state)
{
	(void)state;
	rig_start(1);
	fake_workers_full = true;
	(void)rig_message("A", NULL);
	rig_open();
	fake_workers_full = false;
	rig_sent(NULL);
	rig_pause();
	rig_read();
	rig_sent("A");
	rig_stop();
}

/* No answer in time: the link is dropped, and nothing is dialled before it is gone and the pause over. */
static void
test_no_answer(void **state)
{
	(void)state;
	rig_begin(1, "A");
	fake_time_add_ms(29000);
	rig.link.handler->deadline(rig.link.arg); /* set for another message: too early */
	assert_false(rig.link.dropped);
	fake_time_add_ms(1000);
	rig.link.handler->deadline(rig.link.arg);
	assert_true(rig.link.dropped);
	assert_false(rig.dialling);
	rig_end(LINK_CLOSED_BY_US);
	assert_int_equal(rig_state().phase, SENDER_WAITING);
	assert_int_equal(rig_state().tries, 1);
	assert_string_equal(rig_state().error, "no acknowledgement within 30 s");
	assert_string_equal(rig.reason, "no acknowledgement within 30 s");
	assert_true(rig_state().next_us > rig.now_us);
	assert_false(rig.dialling);
	rig_pause();
	rig_open();
	rig_read();
	rig_sent("A");
	rig_answer("AA", "A");
	rig_journal(0);
	assert_int_equal(rig_state().tries, 0);
	assert_int_equal(rig.ups, 1);
	rig_stop();
}

static void
test_nobody_there(void **state)
{
	(void)state;
	rig_start(1);
	(void)rig_message("A", NULL);
	rig_refuse("refused");
	assert_int_equal(rig_state().phase, SENDER_WAITING);
	assert_string_equal(rig_state().error, "connect 192.0.2.7:2576: refused");
	(void)rig_message("B", NULL);
	assert_false(rig.dialling); /* what comes behind changes nothing */
	senders_kick(rig.senders, "elsewhere");
	assert_false(rig.dialling);
	senders_kick(rig.senders, "lab");
	assert_true(rig.dialling);
	rig_refuse("refused");
	assert_int_equal(rig_state().tries, 2);
	rig.messages[1].waits = rig.messages[2].waits = false; /* an operator dropped them */
	rig_pause();
	assert_false(rig.dialling);
	assert_int_equal(rig_state().phase, SENDER_IDLE);
	rig_stop();
}

/* AE, AR and AA of a message whose frame is not wholly sent. */
static void
test_answers_that_come_early(void **state)
{
	static const struct {
		const char *code;
		enum outcome outcome;
		bool dropped;
	} rows[] = { { "AE", OUTCOME_REJECTED, true }, { "AR", 0, true }, { "AA", 0, false } };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		rig_start(1);
		(void)rig_message("A", NULL);
		(void)rig_message("B", NULL);
		rig_open();
		rig.link.full = true;
		rig_read();
		rig_sent(NULL);
		assert_int_equal(rig.link.deadline_ms, 0); /* the link sees to a slow reader */
		rig_answer(rows[i].code, "A");
		rig_journal(0);
		assert_int_equal(rig.link.dropped, rows[i].dropped);
		assert_int_equal(rig.messages[1].outcome, rows[i].outcome);
		if (rows[i].dropped) {
			rig_end(LINK_CLOSED_BY_US);
			if (!rig.dialling)
				rig_pause();
			rig_open();
			rig_read();
			rig_sent(rows[i].outcome ? "B" : "A");
		} else {
			rig.link.full = false;
			rig.link.handler->drained(rig.link.arg);
			rig_sent("A");
			rig_answer("AA", "A");
			rig_journal(0);
			rig_sent("B");
		}
		rig_stop();
	}
}

/* What waits no more is not sent, also when it is loaded. */
static void
test_expired_before_it_was_sent(void **state)
{
	(void)state;
	rig_begin(1, "A");
	(void)rig_message("B", NULL);
	(void)rig_message("C", NULL);
	rig_read();
	rig.messages[2].waits = false;
	rig_answer("AA", "A");
	rig_journal(0);
	rig_sent("C");
	rig.messages[3].waits = false; /* while it is on its way: the answer changes nothing any more */
	rig_answer("AA", "C");
	rig_journal(0);
	assert_int_equal(rig.messages[3].outcome, 0);
	assert_int_equal(rig_state().phase, SENDER_IDLE);
	rig_stop();
}

static void
test_held(void **state)
{
	(void)state;
	rig_begin(1, "A");
	(void)rig_message("B", NULL);
	rig.held = true;
	assert_int_equal(rig_state().phase, SENDER_HELD);
	rig_answer("AA", "A");
	rig_journal(0);
	rig_read();
	rig_sent(NULL);
	assert_int_equal(rig.messages[1].outcome, OUTCOME_ACCEPTED);
	rig.held = false;
	rig.watch->woken(rig.watch);
	rig_read();
	rig_sent("B");
	rig.held = true;
	rig_end(LINK_RESET);
	assert_false(rig.dialling);
	rig.held = false;
	senders_kick(rig.senders, "lab");
	assert_true(rig.dialling); /* at once: no pause stands from before */
	rig_open();
	rig_read();
	rig_sent("B");
	rig_stop();
}

static void
idle(void *arg)
{
	++*(unsigned *)arg;
}

static void
test_stop(void **state)
{
	unsigned told = 0;

	(void)state;
	rig_begin(1, "A");
	(void)rig_message("B", NULL);
	senders_stop(rig.senders, idle, &told);
	rig_answer("AA", "A");
	rig_journal(0);
	rig_read();
	rig_sent(NULL);
	assert_true(rig.link.closing);
	assert_int_equal(told, 0);
	rig_end(LINK_CLOSED_BY_US);
	while (fake_timer_fire() && !told)
		;
	assert_int_equal(told, 1);
	assert_false(rig.dialling);
	assert_int_equal(rig.messages[2].outcome, 0);
	senders_stop(NULL, idle, &told);
	assert_int_equal(told, 2);
	rig_stop();
}

/* A second large one waits for the slot; it gets it when the first is handed to its link. */
static void
test_large_ones(void **state)
{
	static const char head[] = "MSH|^~\\&|A|B|C|D|2026||ADT^A01|A|T|2.5\r";
	static char body[(2 << 20) + 1];

	(void)state;
	memset(body, 'x', sizeof(body) - 1);
	memcpy(body, head, sizeof(head) - 1);
	rig_start(4);
	(void)rig_message("A", body);
	(void)rig_message("B", body);
	(void)rig_message("C", NULL);
	rig_open();
	rig.link.full = true;
	rig_read();
	rig.link.full = false;
	rig.link.handler->drained(rig.link.arg);
	while (fake_workers_waiting())
		rig_read();
	assert_int_equal(rig_state().in_flight, 3);
	assert_int_equal(rig.link.out.len, 2 * (sizeof(body) - 1 + 3) + rig.messages[3].body.len + 3);
	rig_stop();
}

/* One turn of everything around the sender. */
static void
turn(void)
{
	if (rig.dialling)
		rig_open();
	rig_read();
	if (rig.linked && !rig.link.dropped)
		rig_answer("AA", "A");
	if (rig.linked && !rig.link.dropped)
		rig_answer("AE", "B");
	rig_journal(0);
	if (rig.linked && (rig.link.dropped || rig.link.closing))
		rig_end(LINK_CLOSED_BY_US);
	(void)fake_timer_fire();
}

/* Whatever allocation fails, and all behind it: once there is memory again everything is delivered. */
static void
test_memory(void **state)
{
	size_t n = 1;
	bool all = false;

	(void)state;
	for (; !all; n++) {
		rig_start(2);
		(void)rig_message("A", NULL);
		(void)rig_message("B", NULL);
		failmalloc_at(n);
		for (unsigned i = 0; i < 10; i++)
			turn();
		all = failmalloc_off();
		for (unsigned i = 0; i < 20; i++)
			turn();
		assert_int_equal(rig.messages[1].outcome, OUTCOME_ACCEPTED);
		assert_int_equal(rig.messages[2].outcome, OUTCOME_REJECTED);
		assert_int_equal(rig_state().phase, SENDER_IDLE);
		rig_stop();
	}
	assert_in_range(n, 10, 200);
}

/* And at the start, and at a reload: all or nothing. */
static void
test_memory_at_the_start(void **state)
{
	struct config other;
	struct config_destination two[2];
	size_t n = 1;
	int r;

	(void)state;
	rig_start(1);
	two[0] = two[1] = rig.destination;
	two[1].name = "archive";
	other = rig.config;
	other.destinations = two;
	other.destination_count = 2;
	for (;; n++) {
		failmalloc_at(n);
		r = senders_reconfigure(rig.senders, &other, NULL);
		(void)failmalloc_off();
		if (r == 0) /* without memory for a metric it goes on */
			break;
		assert_int_equal(r, -ENOMEM);
		assert_false(senders_state(rig.senders, "archive", &(struct sender_state){ 0 }));
	}
	assert_true(senders_state(rig.senders, "archive", &(struct sender_state){ 0 }));
	assert_in_range(n, 4, 50);
	rig_stop();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_by_one),
		cmocka_unit_test(test_the_journal_refuses),
		cmocka_unit_test(test_the_link_ends_before_the_outcome_is_on_disk),
		cmocka_unit_test(test_reads_that_fail),
		cmocka_unit_test(test_what_cannot_be_sent),
		cmocka_unit_test(test_busy_workers),
		cmocka_unit_test(test_no_answer),
		cmocka_unit_test(test_nobody_there),
		cmocka_unit_test(test_answers_that_come_early),
		cmocka_unit_test(test_expired_before_it_was_sent),
		cmocka_unit_test(test_held),
		cmocka_unit_test(test_stop),
		cmocka_unit_test(test_large_ones),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_memory_at_the_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
