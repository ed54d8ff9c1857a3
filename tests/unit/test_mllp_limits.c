/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HL7 door's limits: caps, large slots, memory, quotas, and readers that do not read.
 */
#include "codecs/digest.h"
#include "mllp_rig.h"

/* What the loop does in its next turn. */
static void
turn(void)
{
	assert_true(turn_asked);
	turn_asked = false;
	budget_wake(&budget);
}

/* The digest and the size are those of ${content}. */
static void
is_digest_of(const struct submission *submission, struct span content)
{
	uint8_t want[DIGEST_SHA256_LEN];

	assert_int_equal(digest_sha256(content, want), 0);
	assert_memory_equal(submission->sha256, want, sizeof(want));
	assert_int_equal(submission->size, content.len);
}

static void
stray_acknowledgements_past_the_quota_close(void **state)
{
	(void)state;
	quota_passed = true;
	fake_link_text(&link_, "\vMSH|^~\\&|A|B|C|D|1||ACK|9|P|2.5\rMSA|AA|1\r\x1c\r");
	verdict(0, ANSWER_NONE, 5, NULL);
	assert_true(link_.closing);
}

static void
what_is_held_is_in_the_account(void **state)
{
	struct buffer frame = big(40000);
	uint64_t one;

	(void)state;
	assert_int_equal(budget.used, 0);
	fake_link_text(&link_, "\vMSH|");
	assert_int_equal(budget.used, 256); /* the least allocation */
	fake_link_input(&link_, span_cut(buffer_span(&frame), 5, 30000));
	assert_true(budget.used >= 30000 && budget.used <= 65536);
	fake_link_input(&link_, span_cut(buffer_span(&frame), 30000, frame.len));
	one = budget.used;
	assert_true(one > 40000 && one < 40000 + 40000);
	fake_link_input(&link_, buffer_span(&frame));
	assert_true(budget.used > one + 40000);
	/* Decided but unread: no more than the answers. */
	link_.full = true;
	verdict(0, ANSWER_ACCEPT, 1, NULL);
	verdict(1, ANSWER_ACCEPT, 2, NULL);
	assert_true(budget.used <= LINK_LOW_WATER + 2 * 8192);
	link_.full = false;
	mllp_handler.drained(link_.arg);
	assert_int_equal(budget.used, 0);
	buffer_fini(&frame);
}

static void
a_large_frame_is_in_its_slot_not_in_the_account(void **state)
{
	struct buffer frame = big(200000);

	(void)state;
	fake_link_input(&link_, span_cut(buffer_span(&frame), 0, 100000));
	assert_int_equal(slots.used, 1);
	assert_int_equal(budget.used, 0);
	budget_resize(&budget, 1); /* nor does it wait for others */
	fake_link_input(&link_, span_cut(buffer_span(&frame), 100000, frame.len));
	fake_workers_run();
	assert_int_equal(submitted_count, 1);
	assert_true(budget.used <= 8192);
	verdict(0, ANSWER_ACCEPT, 1, NULL);
	assert_int_equal(slots.used, 0);
	buffer_fini(&frame);
}

static void
without_memory_nothing_is_begun(void **state)
{
	struct budget_seat other;

	(void)state;
	budget_sit(&other, &budget, NULL);
	budget_hold(&other, 49 << 20);
	fake_link_text(&link_, MESSAGE("A"));
	assert_true(link_.paused);
	assert_int_equal(submitted_count, 0);
	assert_int_equal(budget.waits, 1);
	budget_leave(&other);
	assert_true(link_.paused);
	turn();
	assert_false(link_.paused);
	fake_link_text(&link_, MESSAGE("A"));
	assert_int_equal(submitted_count, 1);
}

static void
without_memory_one_frame_goes_on(void **state)
{
	static struct link second;
	struct budget_seat other;

	(void)state;
	assert_true(fake_link_open(&second, &mllp_handler, door, &peer));
	budget_sit(&other, &budget, NULL);
	fake_link_text(&link_, "\vMSH|^~\\&|LIS|CHU|");
	fake_link_text(&second, "\vMSH|^~\\&|LIS|CHU|");
	budget_hold(&other, 63 << 20);
	fake_link_text(&link_, "DUI|EHPAD|20251121||ORU^R01|A|P|2.5\rPID|1\r\x1c\r" MESSAGE("B"));
	assert_int_equal(submitted_count, 1);
	assert_true(link_.paused); /* B is not begun */
	fake_link_text(&second, "DUI|EHPAD|20251121||ORU^R01|C|P|2.5\rPID|1\r");
	assert_true(second.paused);
	assert_false(turn_asked);
	/* A is answered: the next one may end what it began. */
	verdict(0, ANSWER_ACCEPT, 1, NULL);
	turn();
	assert_false(second.paused);
	assert_true(link_.paused);
	fake_link_text(&second, "DUI|EHPAD|20251121||ORU^R01|C|P|2.5\rPID|1\r\x1c\r");
	assert_int_equal(submitted_count, 2);
	verdict(1, ANSWER_ACCEPT, 2, NULL);
	assert_false(turn_asked);
	budget_leave(&other);
	turn();
	assert_int_equal(submitted_count, 3);
	assert_false(link_.paused);
	fake_link_end(&second, LINK_CLOSED_BY_PEER);
}

static void
a_frame_that_waits_too_long_for_memory_is_answered_later(void **state)
{
	static struct link guest;
	struct budget_seat other;

	(void)state;
	assert_true(fake_link_open(&guest, &mllp_handler, door, &peer));
	budget_sit(&other, &budget, NULL);
	fake_link_text(&guest, "\vMSH|");
	fake_link_text(&link_, "\vMSH|^~\\&|LIS|CHU|DUI|EHPAD|20251121||ORU^R01|W|P|2.5\r");
	budget_hold(&other, 63 << 20);
	fake_link_text(&guest, "^");
	fake_link_text(&link_, "PID");
	assert_true(link_.paused);
	mllp_handler.deadline(link_.arg);
	assert_int_equal(submitted[0].submission->fault->code, FAULT_OVERLOAD);
	verdict(0, ANSWER_LATER, 0, submitted[0].submission->fault);
	assert_non_null(strstr(fake_link_sent(&link_), "MSA|AR|W"));
	assert_true(link_.closing);
	fake_link_end(&guest, LINK_CLOSED_BY_PEER);
	verdict(1, ANSWER_REFUSE, 1, submitted[1].submission->fault);
	budget_leave(&other);
}

static void
all_that_came_past_the_cap_is_digested(void **state)
{
	struct buffer frame = big(300000);

	(void)state;
	config.limits.large_size = 1 << 20;
	peer_config.max_size = 200000;
	reopen();
	for (size_t at = 0; at < frame.len; at += 50000)
		fake_link_input(&link_, span_cut(buffer_span(&frame), at, at + 50000));
	assert_int_equal(submitted_count, 0);
	fake_workers_run();
	assert_int_equal(submitted_count, 1);
	assert_int_equal(submitted[0].submission->fault->code, FAULT_TOO_LARGE);
	is_digest_of(submitted[0].submission, span_make(frame.data + 1, 200001));
	verdict(0, ANSWER_REFUSE, 1, submitted[0].submission->fault);
	assert_non_null(strstr(fake_link_sent(&link_), "MSA|AE|BIG"));
	assert_true(link_.closing);
	config.limits.large_size = 1 << 16;
	buffer_fini(&frame);
}

static void
a_large_frame_waits_for_a_slot(void **state)
{
	struct buffer frame = big(200000);
	struct span first = span_cut(buffer_span(&frame), 0, 100000);

	(void)state;
	assert_true(slots_take(&slots, NULL));
	fake_link_input(&link_, first);
	assert_true(link_.paused);
	slots_give(&slots, NULL);
	assert_int_equal(slots.used, 1);
	assert_false(link_.paused);
	fake_link_input(&link_, span_cut(buffer_span(&frame), 100000, frame.len));
	fake_workers_run();
	assert_int_equal(submitted_count, 1);
	assert_null(submitted[0].submission->fault);
	assert_int_equal(slots.used, 1);
	verdict(0, ANSWER_ACCEPT, 1, NULL);
	assert_int_equal(slots.used, 0);
	buffer_fini(&frame);
}

static void
a_large_frame_without_a_slot_is_answered_later(void **state)
{
	struct buffer frame = big(200000);

	(void)state;
	assert_true(slots_take(&slots, NULL));
	fake_link_input(&link_, span_cut(buffer_span(&frame), 0, 100000));
	assert_int_equal(link_.deadline_ms, config.limits.frame_ms);
	mllp_handler.deadline(link_.arg);
	fake_workers_run();
	assert_int_equal(submitted_count, 1);
	assert_int_equal(submitted[0].submission->fault->code, FAULT_OVERLOAD);
	is_digest_of(submitted[0].submission, span_make(frame.data + 1, 100000 - 1));
	verdict(0, ANSWER_LATER, 0, submitted[0].submission->fault);
	assert_non_null(strstr(fake_link_sent(&link_), "MSA|AR|BIG"));
	assert_true(link_.closing);
	slots_give(&slots, NULL);
	buffer_fini(&frame);
}

static void
a_frame_past_the_cap_is_refused_and_the_link_closed(void **state)
{
	struct buffer frame = big(3000);

	(void)state;
	peer_config.max_size = 1000;
	reopen();
	fake_link_input(&link_, buffer_span(&frame));
	assert_int_equal(submitted_count, 1);
	assert_int_equal(submitted[0].submission->fault->code, FAULT_TOO_LARGE);
	assert_true(submitted[0].submission->size > 1000);
	assert_true(link_.paused);
	assert_false(link_.closing);
	verdict(0, ANSWER_REFUSE, 1, submitted[0].submission->fault);
	assert_non_null(strstr(fake_link_sent(&link_), "MSA|AE|BIG"));
	assert_true(link_.closing);
	/* What was not looked at is told as well. */
	fake_link_end(&link_, LINK_CLOSED_BY_US);
	assert_int_equal(submitted_count, 2);
	assert_int_equal(submitted[1].submission->kind, SUBMIT_FRAME);
	assert_int_equal(submitted[1].submission->frame_size + 1002, frame.len);
	buffer_fini(&frame);
}

static void
junk_past_the_quota_closes(void **state)
{
	(void)state;
	quota_passed = true;
	fake_link_text(&link_, "junk" MESSAGE("A"));
	assert_int_equal(submitted_count, 1);
	assert_false(link_.closing);
	verdict(0, ANSWER_REFUSE, 1, submitted[0].submission->fault);
	assert_true(link_.closing);
}

static void
busy_workers_are_a_circumstance(void **state)
{
	struct buffer frame = big(CONTENT_INLINE_MAX + 100);

	(void)state;
	fake_workers_full = true;
	fake_link_input(&link_, buffer_span(&frame));
	assert_int_equal(submitted_count, 1);
	assert_int_equal(submitted[0].submission->kind, SUBMIT_FRAME);
	assert_int_equal(submitted[0].submission->fault->code, FAULT_OVERLOAD);
	assert_int_equal(submitted[0].submission->frame_size, frame.len);
	assert_int_equal(submitted[0].submission->bytes.len, 64);
	verdict(0, ANSWER_REFUSE, 0, submitted[0].submission->fault);
	assert_non_null(strstr(fake_link_sent(&link_), "MSA|AR|BIG"));
	buffer_fini(&frame);
}

static void
answers_that_are_not_read_hold_back_reading(void **state)
{
	(void)state;
	peer_config.max_in_flight = 1;
	link_.full = true;
	fake_link_text(&link_, MESSAGE("A") MESSAGE("B"));
	verdict(0, ANSWER_ACCEPT, 1, NULL);
	assert_int_equal(submitted_count, 1);
	link_.full = false;
	mllp_handler.drained(link_.arg);
	assert_non_null(strstr(fake_link_sent(&link_), "MSA|AA|A"));
	assert_int_equal(submitted_count, 2);
}

static void
stray_acknowledgements_are_not_answered(void **state)
{
	(void)state;
	fake_link_text(&link_, "\vMSH|^~\\&|A|B|C|D|1||ACK|9|P|2.5\rMSA|AA|1\r\x1c\r");
	assert_int_equal(submitted[0].submission->kind, SUBMIT_STRAY);
	assert_int_equal(charged, 0);
	verdict(0, ANSWER_NONE, 5, NULL);
	assert_string_equal(fake_link_sent(&link_), "");
	assert_int_equal(charged, 128); /* junk as well: nobody asked for it */
}

#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(stray_acknowledgements_past_the_quota_close),
		T(what_is_held_is_in_the_account),
		T(a_large_frame_is_in_its_slot_not_in_the_account),
		T(without_memory_nothing_is_begun),
		T(without_memory_one_frame_goes_on),
		T(a_frame_that_waits_too_long_for_memory_is_answered_later),
		T(all_that_came_past_the_cap_is_digested),
		T(a_large_frame_waits_for_a_slot),
		T(a_large_frame_without_a_slot_is_answered_later),
		T(a_frame_past_the_cap_is_refused_and_the_link_closed),
		T(junk_past_the_quota_closes),
		T(busy_workers_are_a_circumstance),
		T(answers_that_are_not_read_hold_back_reading),
		T(stray_acknowledgements_are_not_answered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
