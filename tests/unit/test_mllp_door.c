/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HL7 door without sockets: what it submits, what it answers and in which order, when it holds back, when it closes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "failmalloc.h"
#include "mllp_rig.h"

static void
is_answered_once_decided(void **state)
{
	const char *sent;

	(void)state;
	fake_link_text(&link_, MESSAGE("A1"));
	assert_int_equal(submitted_count, 1);
	assert_int_equal(submitted[0].submission->kind, SUBMIT_MESSAGE);
	assert_int_equal(submitted[0].submission->size, strlen(MESSAGE("A1")) - 3);
	assert_string_equal(fake_link_sent(&link_), "");
	verdict(0, ANSWER_ACCEPT, 42, NULL);
	sent = fake_link_sent(&link_);
	assert_int_equal(sent[0], '\v');
	assert_non_null(strstr(sent, "|DUI|EHPAD|LIS|CHU|20231114221320.123+0000||ACK^R01^ACK|L42|P|2.5"));
	assert_non_null(strstr(sent, "\rMSA|AA|A1\r\x1c\r"));
}

/* Whatever is answered, its sender is there; noise and acknowledgements do not say so. */
static void
a_message_is_a_sign_of_life(void **state)
{
	const struct fault fault = { .code = FAULT_OVERLOAD };

	(void)state;
	fake_link_text(&link_, MESSAGE("A") MESSAGE("B") MESSAGE("C") "noise" MESSAGE("D"));
	assert_int_equal(heard, 0);
	verdict(0, ANSWER_ACCEPT, 1, NULL);
	verdict(1, ANSWER_REFUSE, 2, &fault);
	verdict(2, ANSWER_LATER, 0, &fault);
	assert_int_equal(heard, 3);
	verdict(3, ANSWER_NONE, 3, NULL);
	assert_int_equal(heard, 3);
	verdict(4, ANSWER_ACCEPT, 4, NULL);
	assert_int_equal(heard, 4);
	fake_link_text(&link_, "\vMSH|^~\\&|LIS|CHU|DUI|EHPAD|20251121||ACK|X|P|2.5\rMSA|AA|1\r\x1c\r");
	verdict(5, ANSWER_NONE, 5, NULL);
	assert_int_equal(heard, 4);
}

static void
the_same_record_gives_the_same_bytes(void **state)
{
	char first[1024];

	(void)state;
	fake_link_text(&link_, MESSAGE("A1") MESSAGE("A1"));
	verdict(0, ANSWER_ACCEPT, 42, NULL);
	(void)snprintf(first, sizeof(first), "%s", fake_link_sent(&link_));
	verdict(1, ANSWER_ACCEPT, 42, NULL);
	assert_string_equal(fake_link_sent(&link_), first);
}

static void
answers_keep_their_order(void **state)
{
	const char *sent, *a, *b, *c;

	(void)state;
	fake_link_text(&link_, MESSAGE("A") MESSAGE("B") MESSAGE("C"));
	assert_int_equal(submitted_count, 3);
	verdict(2, ANSWER_ACCEPT, 3, NULL);
	verdict(1, ANSWER_ACCEPT, 2, NULL);
	assert_string_equal(fake_link_sent(&link_), "");
	verdict(0, ANSWER_ACCEPT, 1, NULL);
	sent = fake_link_sent(&link_);
	a = strstr(sent, "MSA|AA|A\r");
	b = strstr(sent, "MSA|AA|B\r");
	c = strstr(sent, "MSA|AA|C\r");
	assert_true(a && b && c && a < b && b < c);
}

static void
no_more_than_the_peer_may_have_in_flight(void **state)
{
	(void)state;
	peer_config.max_in_flight = 2;
	fake_link_text(&link_, MESSAGE("A") MESSAGE("B") MESSAGE("C") MESSAGE("D"));
	assert_int_equal(submitted_count, 2);
	assert_true(link_.paused);
	verdict(0, ANSWER_ACCEPT, 1, NULL);
	assert_int_equal(submitted_count, 3);
	assert_true(link_.paused);
	verdict(1, ANSWER_ACCEPT, 2, NULL);
	verdict(2, ANSWER_ACCEPT, 3, NULL);
	assert_int_equal(submitted_count, 4);
	assert_false(link_.paused);
}

static void
nothing_overtakes_what_a_worker_judges(void **state)
{
	struct buffer frame = big(CONTENT_INLINE_MAX + 100);

	(void)state;
	config.limits.large_size = 1 << 20;
	buffer_append_str(&frame, MESSAGE("SMALL"));
	fake_link_input(&link_, buffer_span(&frame));
	assert_int_equal(submitted_count, 0);
	assert_int_equal(fake_workers_waiting(), 1);
	assert_true(link_.paused);
	fake_workers_run();
	assert_int_equal(submitted_count, 2);
	assert_true(submitted[0].submission->size > CONTENT_INLINE_MAX);
	assert_false(link_.paused);
	config.limits.large_size = 1 << 16;
	buffer_fini(&frame);
}

static void
small_documents_are_read_at_once(void **state)
{
	(void)state;
	fake_link_text(&link_, MESSAGE("NONE"));
	assert_int_equal(documents_read, 0);
	documents_unread = CONTENT_DOCUMENTS_INLINE_MAX;
	fake_link_text(&link_, MESSAGE("SMALL"));
	assert_int_equal(documents_read, 1);
	assert_int_equal(fake_workers_waiting(), 0);
	assert_int_equal(submitted_count, 2);
	verdict(0, ANSWER_ACCEPT, 1, NULL);
	verdict(1, ANSWER_ACCEPT, 2, NULL);
}

static void
long_documents_are_read_by_a_worker(void **state)
{
	(void)state;
	documents_unread = CONTENT_DOCUMENTS_INLINE_MAX + 1;
	fake_link_text(&link_, MESSAGE("LONG") MESSAGE("NEXT"));
	assert_int_equal(documents_read, 0);
	assert_int_equal(submitted_count, 0);
	assert_int_equal(fake_workers_waiting(), 1);
	assert_true(link_.paused);
	documents_unread = 0;
	fake_workers_run();
	assert_int_equal(documents_read, 1);
	assert_int_equal(submitted_count, 2);
	assert_false(link_.paused);
	fake_workers_full = true;
	documents_unread = CONTENT_DOCUMENTS_INLINE_MAX + 1;
	fake_link_text(&link_, MESSAGE("LATER"));
	assert_int_equal(submitted_count, 3);
	assert_int_equal(submitted[2].submission->fault->code, FAULT_OVERLOAD);
}

static void
noise_is_recorded_and_not_answered(void **state)
{
	(void)state;
	fake_link_text(&link_, "GET / HTTP/1.1\r\n\r\n" MESSAGE("A"));
	assert_int_equal(submitted_count, 2);
	assert_int_equal(submitted[0].submission->kind, SUBMIT_FRAME);
	assert_int_equal(submitted[0].submission->fault->code, FAULT_FRAME_NOISE);
	assert_int_equal(submitted[0].submission->frame_size, 18);
	assert_int_equal(submitted[0].submission->frame_offset, 0);
	assert_int_equal(charged, 128); /* the least that a piece costs */
	verdict(0, ANSWER_REFUSE, 1, submitted[0].submission->fault);
	verdict(1, ANSWER_ACCEPT, 2, NULL);
	assert_null(strstr(fake_link_sent(&link_), "MSA|AE"));
}

static void
a_frame_cut_by_the_next_is_refused_in_its_turn(void **state)
{
	const char *sent, *refused, *taken;

	(void)state;
	fake_link_text(&link_, "\vMSH|^~\\&|LIS|CHU|||||ORU^R01|CUT|P|2.5\rPID" MESSAGE("A"));
	assert_int_equal(submitted_count, 2);
	assert_int_equal(submitted[0].submission->fault->code, FAULT_FRAME_RESTART);
	verdict(1, ANSWER_ACCEPT, 2, NULL);
	verdict(0, ANSWER_REFUSE, 1, submitted[0].submission->fault);
	sent = fake_link_sent(&link_);
	refused = strstr(sent, "MSA|AE|CUT");
	taken = strstr(sent, "MSA|AA|A");
	assert_true(refused && taken && refused < taken);
	assert_non_null(strstr(sent, "ERR||"
				     "|207^"));
}

static void
an_empty_frame_cut_by_the_next_is_not_answered(void **state)
{
	(void)state;
	fake_link_text(&link_, "\v" MESSAGE("A"));
	assert_int_equal(submitted_count, 2);
	verdict(0, ANSWER_REFUSE, 1, submitted[0].submission->fault);
	assert_string_equal(fake_link_sent(&link_), "");
}

static void
a_frame_past_its_deadline_is_recorded_and_the_link_closed(void **state)
{
	(void)state;
	fake_link_text(&link_, "\vMSH|^~\\&|");
	assert_int_equal(link_.deadline_ms, config.limits.frame_ms);
	link_.deadline_ms = 1;
	fake_link_text(&link_, "LIS|");
	assert_int_equal(link_.deadline_ms, 1); /* absolute: more bytes do not move it */
	mllp_handler.deadline(link_.arg);
	assert_int_equal(submitted[0].submission->fault->code, FAULT_FRAME_SLOW);
	verdict(0, ANSWER_REFUSE, 1, submitted[0].submission->fault);
	assert_string_equal(fake_link_sent(&link_), "");
	assert_true(link_.closing);
}

static void
an_idle_link_is_closed(void **state)
{
	(void)state;
	assert_int_equal(link_.deadline_ms, config.limits.idle_ms);
	mllp_handler.deadline(link_.arg);
	assert_true(link_.closing);
	assert_int_equal(submitted_count, 0);
}

static void
an_end_block_without_cr_ends_a_frame_of_the_lenient_after_a_second(void **state)
{
	(void)state;
	peer_config.lenient = LENIENT_NO_END_CR;
	reopen();
	fake_link_text(&link_, "\vMSH|^~\\&|LIS|CHU|||||ORU^R01|A|P|2.5\r\x1c");
	assert_int_equal(submitted_count, 0);
	assert_true(fake_timer_fire());
	assert_int_equal(submitted_count, 1);
	assert_true(submitted[0].submission->facts->leniencies & LENIENT_NO_END_CR);
}

static void
become_idle(void *idle)
{
	*(bool *)idle = true;
}

static void
stopping_answers_what_is_in_flight(void **state)
{
	bool idle = false;

	(void)state;
	fake_link_text(&link_, MESSAGE("A") "\vMSH|half");
	mllp_door_stop(door, become_idle, &idle);
	assert_false(link_.closing);
	verdict(0, ANSWER_ACCEPT, 1, NULL);
	assert_non_null(strstr(fake_link_sent(&link_), "MSA|AA|A"));
	assert_true(link_.closing);
	assert_false(idle);
	fake_link_end(&link_, LINK_CLOSED_BY_US);
	assert_int_equal(submitted_count, 2); /* the half frame is recorded as well */
	assert_false(idle);
	verdict(1, ANSWER_REFUSE, 2, submitted[1].submission->fault);
	assert_true(idle);
}

static void
a_link_that_goes_leaves_its_messages_to_be_decided(void **state)
{
	(void)state;
	fake_link_text(&link_, MESSAGE("A") MESSAGE("B"));
	fake_link_end(&link_, LINK_RESET);
	assert_int_equal(mllp_door_links(door), 0);
	assert_int_equal(mllp_door_in_flight(door), 2);
	verdict(0, ANSWER_ACCEPT, 1, NULL);
	verdict(1, ANSWER_ACCEPT, 2, NULL);
	assert_int_equal(mllp_door_in_flight(door), 0);
}

static void
the_last_byte_of_the_other_side_ends_after_the_answers(void **state)
{
	(void)state;
	fake_link_text(&link_, MESSAGE("A") "noise");
	mllp_handler.input_ended(link_.arg);
	assert_int_equal(submitted_count, 2);
	verdict(1, ANSWER_REFUSE, 2, submitted[1].submission->fault);
	assert_false(link_.closing);
	verdict(0, ANSWER_ACCEPT, 1, NULL);
	assert_non_null(strstr(fake_link_sent(&link_), "MSA|AA|A"));
	assert_true(link_.closing);
}

/* What came of ${text} cut at ${at}: kinds and sizes, one character a submission. */
static void
outcome_of(const char *text, size_t at, char *out)
{
	size_t n = 0, len = strlen(text);

	submitted_count = 0;
	assert_true(fake_link_open(&link_, &mllp_handler, door, &peer));
	fake_link_input(&link_, span_make(text, at));
	fake_link_input(&link_, span_make(text + at, len - at));
	mllp_handler.input_ended(link_.arg);
	for (size_t i = 0; i < submitted_count; i++) {
		const struct submission *s = submitted[i].submission;

		n += (size_t)sprintf(
		    out + n, "%d:%d:%zu ", (int)s->kind, s->fault ? (int)s->fault->code : 0, (size_t)s->size);
	}
	for (size_t i = 0; i < submitted_count; i++)
		verdict(i, ANSWER_ACCEPT, i + 1, NULL);
	fake_link_end(&link_, LINK_CLOSED_BY_US);
}

static void
any_split_gives_the_same(void **state)
{
	static const char text[] = "no" MESSAGE("A") "\r\n" MESSAGE("B") "\vcut" MESSAGE("C") "\vend";
	char whole[512], split[512];

	(void)state;
	fake_link_end(&link_, LINK_CLOSED_BY_PEER);
	outcome_of(text, 0, whole);
	assert_int_equal(submitted_count, 7);
	for (size_t at = 1; at < sizeof(text) - 1; at++) {
		outcome_of(text, at, split);
		assert_string_equal(split, whole);
	}
}

static void
a_peer_that_may_not_send_is_refused(void **state)
{
	struct link other;

	(void)state;
	peer_config.may_send = false;
	assert_false(fake_link_open(&other, &mllp_handler, door, &peer));
	peer_config.may_send = true;
}

/* Whatever allocation fails: nothing crashes, nothing leaks, and each message is submitted or its link dropped. */
static void
any_allocation_may_fail(void **state)
{
	struct buffer frame = big(CONTENT_INLINE_MAX + 5000);
	struct span all = buffer_span(&frame);
	size_t n;

	(void)state;
	fake_link_end(&link_, LINK_CLOSED_BY_PEER);
	for (n = 1;; n++) {
		bool opened, tried;

		while (fake_timer_fire()) /* what the door kept of the last round goes */
			continue;
		submitted_count = 0;
		failmalloc_at(n);
		opened = fake_link_open(&link_, &mllp_handler, door, &peer);
		if (opened) {
			fake_link_text(&link_, "noise" MESSAGE("A") "\vMSH|cut" MESSAGE("B"));
			fake_link_input(&link_, span_cut(all, 0, 40000));
			fake_link_input(&link_, span_cut(all, 40000, all.len));
			fake_workers_run();
		}
		for (size_t i = 0; i < submitted_count; i++)
			verdict(i, ANSWER_ACCEPT, i + 1, NULL);
		tried = failmalloc_off();
		assert_true(!opened || link_.dropped || link_.closing || submitted_count == 5);
		assert_true(!tried || (submitted_count == 5 && !link_.dropped));
		fake_link_end(&link_, LINK_RESET);
		for (size_t i = 0; i < submitted_count; i++)
			if (submitted[i].submission)
				verdict(i, ANSWER_NONE, 1, NULL);
		if (tried)
			break;
	}
	assert_true(n > 10);
	buffer_fini(&frame);
}

/* In the steady state the door allocates nothing: not for a message, not for its answer. A frame spread over reads may. */
static void
messages_take_no_memory_of_the_system(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 20; round++) {
		if (round == 1)
			failmalloc_at(1);
		submitted_count = 0;
		fake_link_text(&link_, MESSAGE("A") MESSAGE("B") MESSAGE("C"));
		assert_int_equal(submitted_count, 3);
		for (size_t i = 0; i < 3; i++)
			verdict(i, ANSWER_ACCEPT, 1000 + 3 * round + i, NULL); /* of equal length */
		assert_non_null(strstr(fake_link_sent(&link_), "MSA|AA|C"));
	}
	assert_true(failmalloc_off()); /* it was never asked for */
}

#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(is_answered_once_decided),
		T(a_message_is_a_sign_of_life),
		T(the_same_record_gives_the_same_bytes),
		T(answers_keep_their_order),
		T(no_more_than_the_peer_may_have_in_flight),
		T(nothing_overtakes_what_a_worker_judges),
		T(small_documents_are_read_at_once),
		T(long_documents_are_read_by_a_worker),
		T(noise_is_recorded_and_not_answered),
		T(a_frame_cut_by_the_next_is_refused_in_its_turn),
		T(an_empty_frame_cut_by_the_next_is_not_answered),
		T(a_frame_past_its_deadline_is_recorded_and_the_link_closed),
		T(an_idle_link_is_closed),
		T(an_end_block_without_cr_ends_a_frame_of_the_lenient_after_a_second),
		T(stopping_answers_what_is_in_flight),
		T(a_link_that_goes_leaves_its_messages_to_be_decided),
		T(the_last_byte_of_the_other_side_ends_after_the_answers),
		T(any_split_gives_the_same),
		T(a_peer_that_may_not_send_is_refused),
		T(any_allocation_may_fail),
		T(messages_take_no_memory_of_the_system),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
