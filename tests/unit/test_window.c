/* SPDX-License-Identifier: Apache-2.0 */
/* The window of a destination, step by step: order, limit, what each answer means, losses, renewed links, pauses. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/senders/window.h"
#include "failmalloc.h"

static void
add(struct window *w, uint64_t seq, const char *control)
{
	assert_int_equal(window_add(w, seq, 1, span_str(control)), 0);
}

static void
expect_next(const struct window *w, enum window_next expected, uint64_t seq)
{
	uint64_t found = 0;

	assert_int_equal(window_next(w, &found), expected);
	if (seq)
		assert_int_equal(found, seq);
}

static void
send_next(struct window *w, uint64_t seq, uint64_t now_us)
{
	expect_next(w, WINDOW_SEND, seq);
	window_sent(w, seq, now_us);
}

static void
expect_answer(
    struct window *w, enum hl7_ack_code code, const char *control, enum window_answer expected, uint64_t seq)
{
	uint64_t found = 0;

	assert_int_equal(window_answer(w, code, span_str(control), &found), expected);
	assert_int_equal(found, seq);
}

static void
test_one_at_a_time(void **state)
{
	struct window w;

	(void)state;
	window_init(&w, 1);
	expect_next(&w, WINDOW_NOTHING, 0);
	add(&w, 7, "A");
	add(&w, 9, "B");
	assert_int_equal(window_last(&w), 9);
	window_opened(&w);
	send_next(&w, 7, 100);
	expect_next(&w, WINDOW_FULL, 0);
	assert_int_equal(window_oldest_us(&w), 100);
	expect_answer(&w, HL7_AA, "B", WINDOW_STRAY, 0);
	expect_answer(&w, HL7_AA, "", WINDOW_STRAY, 0);
	expect_answer(&w, HL7_AA, "A", WINDOW_ACCEPTED, 7);
	expect_answer(&w, HL7_AE, "A", WINDOW_STRAY, 0); /* a repeated one changes nothing */
	assert_int_equal(window_oldest_us(&w), 0);
	expect_next(&w, WINDOW_FULL, 0); /* until its outcome is on disk */
	assert_int_equal(window_in_flight(&w), 1);
	window_remove(&w, 7);
	assert_int_equal(window_in_flight(&w), 0);
	send_next(&w, 9, 200);
	expect_answer(&w, HL7_AE, "B", WINDOW_REJECTED, 9);
	window_remove(&w, 9);
	expect_next(&w, WINDOW_NOTHING, 0);
	assert_int_equal(window_last(&w), 0);
	window_fini(&w);
}

static void
test_codes(void **state)
{
	static const struct {
		enum hl7_ack_code code;
		enum window_answer means;
	} rows[] = {
		{ HL7_AA, WINDOW_ACCEPTED },
		{ HL7_CA, WINDOW_ACCEPTED },
		{ HL7_AE, WINDOW_REJECTED },
		{ HL7_CE, WINDOW_REJECTED },
		{ HL7_AR, WINDOW_REFUSED },
		{ HL7_CR, WINDOW_REFUSED },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct window w;

		window_init(&w, 2);
		add(&w, 1, "A");
		send_next(&w, 1, 1);
		expect_answer(&w, rows[i].code, "A", rows[i].means, 1);
		assert_int_equal(
		    window_at(&w, 0)->state, rows[i].means == WINDOW_REFUSED ? WINDOW_READY : WINDOW_DECIDED);
		window_fini(&w);
	}
}

/* A refusal for now: nothing more goes on this link, answers on their way still count, then all the rest comes again. */
static void
test_refused_for_now(void **state)
{
	struct window w;

	(void)state;
	window_init(&w, 3);
	add(&w, 1, "A");
	add(&w, 2, "B");
	add(&w, 3, "C");
	add(&w, 4, "D");
	send_next(&w, 1, 1);
	send_next(&w, 2, 2);
	send_next(&w, 3, 3);
	expect_answer(&w, HL7_AR, "A", WINDOW_REFUSED, 1);
	expect_next(&w, WINDOW_NOTHING, 0);
	expect_answer(&w, HL7_AA, "A", WINDOW_STRAY, 0); /* it was answered */
	expect_answer(&w, HL7_AA, "B", WINDOW_ACCEPTED, 2);
	window_remove(&w, 2);
	expect_next(&w, WINDOW_NOTHING, 0);
	assert_int_equal(w.sent, 1);
	assert_true(window_ended(&w, WINDOW_LOSS_OURS)); /* whoever ends it: a pause */
	window_opened(&w);
	send_next(&w, 1, 10);
	send_next(&w, 3, 11);
	send_next(&w, 4, 12);
	assert_int_equal(window_find(&w, 1)->sends, 2);
	window_fini(&w);
}

static void
test_go_back(void **state)
{
	struct window w;

	(void)state;
	window_init(&w, 4);
	for (uint64_t seq = 1; seq <= 6; seq++)
		add(&w, seq, (char[]){ (char)('A' + seq), 0 });
	for (uint64_t seq = 1; seq <= 4; seq++)
		send_next(&w, seq, seq);
	expect_next(&w, WINDOW_FULL, 0);
	expect_answer(&w, HL7_AA, "D", WINDOW_ACCEPTED, 3); /* a later one: that one alone */
	assert_true(window_ended(&w, WINDOW_LOSS_FAILURE));
	assert_int_equal(window_in_flight(&w), 1); /* 3 is on its way to the disk */
	window_opened(&w);
	send_next(&w, 1, 11);
	send_next(&w, 2, 12);
	send_next(&w, 4, 13);
	expect_next(&w, WINDOW_FULL, 0);
	window_remove(&w, 3);
	send_next(&w, 5, 14);
	assert_int_equal(window_oldest_us(&w), 11);
	assert_int_equal(window_at(&w, 2)->seq, 4);
	assert_null(window_at(&w, 5));
	assert_null(window_find(&w, 3));
	window_fini(&w);
}

/* Whether a link that is gone asks for a pause. */
static void
test_pause_or_not(void **state)
{
	struct window w;

	(void)state;
	window_init(&w, 1);
	add(&w, 1, "A");
	add(&w, 2, "B");
	window_opened(&w);
	assert_true(window_ended(&w, WINDOW_LOSS_ENDED)); /* ended before anything was settled */
	window_opened(&w);
	assert_false(window_ended(&w, WINDOW_LOSS_OURS));
	window_opened(&w);
	send_next(&w, 1, 1);
	expect_answer(&w, HL7_AA, "A", WINDOW_ACCEPTED, 1);
	window_remove(&w, 1);
	assert_false(window_ended(&w, WINDOW_LOSS_ENDED)); /* it closes behind each answer */
	window_opened(&w);
	send_next(&w, 2, 2);
	assert_true(window_ended(&w, WINDOW_LOSS_ENDED));
	window_fini(&w);
}

/* Two messages of one id never share a link while an answer to the first might still be repeated. */
static void
test_equal_ids(void **state)
{
	struct window w;

	(void)state;
	window_init(&w, 4);
	add(&w, 1, "SAME");
	add(&w, 2, "SAME");
	add(&w, 3, "OTHER");
	window_opened(&w);
	send_next(&w, 1, 1);
	expect_next(&w, WINDOW_FULL, 0);
	expect_answer(&w, HL7_AA, "SAME", WINDOW_ACCEPTED, 1);
	expect_answer(&w, HL7_AA, "SAME", WINDOW_STRAY, 0);
	expect_next(&w, WINDOW_RENEW, 2);
	window_remove(&w, 1);
	expect_next(&w, WINDOW_RENEW, 2);
	assert_false(window_ended(&w, WINDOW_LOSS_OURS));
	window_opened(&w);
	send_next(&w, 2, 2);
	send_next(&w, 3, 3);
	window_fini(&w);
}

static void
test_old_ids_are_forgotten(void **state)
{
	struct window w;
	uint64_t seq = 1;

	(void)state;
	window_init(&w, 1);
	window_opened(&w);
	for (unsigned round = 0; round < 3; round++)
		for (unsigned i = 0; i <= WINDOW_RECENT; i++, seq++) {
			char control[8];

			(void)snprintf(control, sizeof(control), "C%u", i);
			add(&w, seq, control);
			send_next(&w, seq, seq);
			expect_answer(&w, HL7_AA, control, WINDOW_ACCEPTED, seq);
			window_remove(&w, seq);
			add(&w, seq, control); /* the latest ones are known */
			expect_next(&w, WINDOW_RENEW, seq);
			window_remove(&w, seq);
		}
	window_fini(&w);
}

static void
test_left_out(void **state)
{
	struct window w;

	(void)state;
	window_init(&w, 2);
	add(&w, 1, "A");
	add(&w, 2, "B");
	add(&w, 3, "C");
	window_decide(&w, 2); /* it cannot be sent */
	assert_int_equal(window_in_flight(&w), 1);
	window_remove(&w, 1); /* an operator dropped it */
	send_next(&w, 3, 1);
	window_decide(&w, 3); /* not READY: nothing happens */
	assert_int_equal(window_find(&w, 3)->state, WINDOW_SENT);
	window_sent(&w, 2, 5); /* nor here */
	assert_int_equal(window_find(&w, 2)->state, WINDOW_DECIDED);
	window_remove(&w, 99);
	window_remove(&w, 3); /* it passed its greatest age while it was in flight */
	assert_int_equal(window_in_flight(&w), 1);
	expect_answer(&w, HL7_AA, "C", WINDOW_STRAY, 0);
	window_remove(&w, 2);
	assert_int_equal(window_in_flight(&w), 0);
	window_fini(&w);
}

static void
test_room_and_memory(void **state)
{
	struct window w;
	char control[8];

	(void)state;
	window_init(&w, 1000);
	assert_int_equal(w.limit, WINDOW_LIMIT);
	window_limit(&w, 0);
	assert_int_equal(w.limit, 1);
	failmalloc_at(1);
	assert_int_equal(window_add(&w, 1, 1, span_str("A")), -ENOMEM);
	assert_false(failmalloc_off());
	assert_int_equal(window_last(&w), 0);
	for (unsigned i = 0; i < WINDOW_ITEMS; i++) {
		(void)snprintf(control, sizeof(control), "C%u", i);
		add(&w, i + 1, control);
	}
	assert_int_equal(window_add(&w, 1000, 1, span_str("A")), -ENOSPC);
	window_fini(&w);
	window_fini(&w);
}

static void
test_pauses(void **state)
{
	uint64_t low = UINT64_MAX, high = 0, age = 0;
	unsigned tries = 0;

	(void)state;
	for (uint32_t random = 0; random < 4096; random++) {
		uint64_t pause = window_pause_ms(0, 1000, 300000, random * 2654435761u);

		low = pause < low ? pause : low;
		high = pause > high ? pause : high;
	}
	assert_in_range(low, 750, 760);
	assert_in_range(high, 1240, 1250);
	assert_in_range(window_pause_ms(UINT64_MAX / 4, 1000, 300000, 0), 225000, 225000);
	assert_in_range(window_pause_ms(60000000, 1000, 300000, 512), 29900, 30100);
	/* From the first failure to the longest pause: some twenty tries, not thousands. */
	while (age < 600 * UINT64_C(1000000)) {
		age += window_pause_ms(age, 1000, 300000, 512) * 1000;
		tries++;
	}
	assert_in_range(tries, 12, 20);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_at_a_time),
		cmocka_unit_test(test_codes),
		cmocka_unit_test(test_refused_for_now),
		cmocka_unit_test(test_go_back),
		cmocka_unit_test(test_pause_or_not),
		cmocka_unit_test(test_equal_ids),
		cmocka_unit_test(test_old_ids_are_forgotten),
		cmocka_unit_test(test_left_out),
		cmocka_unit_test(test_room_and_memory),
		cmocka_unit_test(test_pauses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
