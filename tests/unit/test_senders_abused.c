/* SPDX-License-Identifier: Apache-2.0 */
/* A sender whose destination means no good: answers for nothing that was sent, noise, prose where codes belong, a certificate that is no longer good. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "sender_rig.h"

/* A destination that answers for everything but what it is sent, before it is sent anything, is not dialled anew at once. */
static void
test_strays_alone(void **state)
{
	(void)state;
	rig_start(1);
	(void)rig_message("A", NULL);
	rig_open();
	for (int i = 0; i < 255; i++)
		rig_answer("AA", "X");
	assert_false(rig.link.closing);
	rig_answer("AA", "X");
	assert_true(rig.link.closing);
	rig_end(LINK_CLOSED_BY_US);
	assert_false(rig.dialling);
	assert_int_equal(rig_state().phase, SENDER_WAITING);
	assert_string_equal(rig.reason, "answered for messages that were not on their way, and for no other");
	rig_pause();
	assert_true(rig.dialling);
	rig_open();
	rig_read();
	rig_sent("A");
	for (int i = 0; i < 256; i++) /* beside one that counts they renew the link, and no more */
		rig_answer("AA", "X");
	assert_false(rig.link.closing);
	(void)rig_message("B", NULL);
	rig_answer("AA", "A");
	assert_true(rig.link.closing);
	rig_end(LINK_CLOSED_BY_US);
	assert_true(rig.dialling);
	rig_journal(0);
	rig_read();
	rig_stop();
}

/* A reload that takes a destination's certificate away and lets more be sent to it: no more is sent. */
static void
test_judged_before_more_is_sent(void **state)
{
	struct config_destination wider;
	struct config other;

	(void)state;
	rig_begin(1, "A");
	(void)rig_message("B", NULL);
	rig_read();
	wider = rig.destination;
	wider.dial.window = 2;
	other = rig.config;
	other.destinations = &wider;
	rig.judged_out = true;
	assert_int_equal(senders_reconfigure(rig.senders, &other, NULL), 0);
	rig_sent(NULL);
	rig_end(LINK_CLOSED_BY_US);
	assert_string_equal(rig.reason, "its certificate is no longer good");
	rig_stop();
}

/* Bytes without a start block have an end, also while nothing is awaited. */
static void
test_endless_noise(void **state)
{
	static const char line[] = "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n";

	(void)state;
	rig_begin(1, "A");
	rig_answer("AA", "A");
	rig_journal(0);
	for (int i = 0; i < 4096 / 16; i++)
		fake_link_text(&rig.link, line);
	assert_false(rig.link.dropped);
	fake_link_text(&rig.link, line);
	assert_true(rig.link.dropped);
	rig_end(LINK_CLOSED_BY_US);
	assert_false(rig.dialling);
	rig_stop();
}

/* Where a code belongs there may be anything: what can be a patient's is for the journal alone. */
static void
test_codes_that_are_none(void **state)
{
	static const struct {
		const char *code, *told, *kept;
	} rows[] = {
		{ "204", "answered AR 204 at PID-3", "204 at PID-3" },
		{ "E-1021", "answered AR E-1021 at PID-3", "E-1021 at PID-3" },
		{ "DUPONT", "answered AR at PID-3", "DUPONT at PID-3" },
		{ "185057800608436", "answered AR at PID-3", "185057800608436 at PID-3" },
		{ "10012345", "answered AR at PID-3", "10012345 at PID-3" },
		{ "DUPONT Jean", "answered AR at PID-3", " at PID-3" },
	};
	char text[256];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		rig_begin(1, "A");
		(void)snprintf(text, sizeof(text),
		    "\x0bMSH|^~\\&|C|D|A|B|2026||ACK|1|T|2.5\rMSA|AR|A\rERR||PID^1^3|%s|E\r\x1c\r",
		    rows[i].code);
		fake_link_text(&rig.link, text);
		rig_end(LINK_CLOSED_BY_US);
		assert_string_equal(rig.reason, rows[i].told);
		rig_pause();
		rig_open();
		rig_read();
		rig_sent("A");
		memcpy(strstr(text, "AR|A"), "AE", 2);
		fake_link_text(&rig.link, text);
		rig_journal(0);
		assert_string_equal(rig.messages[1].text, rows[i].kept);
		rig_stop();
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_strays_alone),
		cmocka_unit_test(test_judged_before_more_is_sent),
		cmocka_unit_test(test_endless_noise),
		cmocka_unit_test(test_codes_that_are_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
