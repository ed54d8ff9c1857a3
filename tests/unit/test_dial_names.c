/* SPDX-License-Identifier: Apache-2.0 */
/* Links outwards: names and several addresses, giving up in every state, rude transports, slow readers. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/base/clock.h"
#include "dial_rig.h"

static void
test_names(void **state)
{
	struct dial_rig rig;

	(void)state;
	dial_rig_init(&rig);
	dial_rig_start(&rig);
	rig.to.host = "none.test";
	dial_must_fail(&rig, "resolve", "unknown name");
	assert_string_equal(rig.address, "");
	rig.to.host = "down.test";
	dial_must_fail(&rig, "resolve", "no name server answers");

	/* Nobody listens at the first of its addresses. */
	rig.to.host = "two.test";
	assert_int_equal(dial_now(&rig), 0);
	assert_true(wait_for(&rig.door.opened, 1));
	dial_rig_stop(&rig);
	assert_true(rig_logged(&rig.rig, " dialled ", "address=127.0.0.1:", NULL));
	dial_rig_fini(&rig);
}

/* A lookup that hangs fails within the deadline, goes on by itself, and is not begun again by later tries. */
static void
test_silent_name_server(void **state)
{
	struct dial_rig rig;
	uint64_t start;

	(void)state;
	dial_rig_init(&rig);
	rig.to.host = "silent.test";
	dial_rig_start(&rig);
	names_silence();
	rig.to.connect_ms = 100;
	for (int i = 0; i < 4; i++) {
		start = clock_mono_us();
		dial_must_fail(&rig, "resolve", "timeout");
		assert_in_range(clock_mono_us() - start, 100000, 2000000);
	}
	assert_int_equal(names_asked, 1);
	rig.to.connect_ms = 5000;
	assert_int_equal(dial_now(&rig), 0);
	names_speak();
	assert_true(wait_for(&rig.door.opened, 1));
	assert_int_equal(names_asked, 1);
	dial_rig_stop(&rig);
	dial_rig_fini(&rig);
}

/* Another name is looked up although the first one still hangs; freed in the midst of it all. */
static void
test_freed_while_resolving(void **state)
{
	struct dial_rig rig;

	(void)state;
	dial_rig_init(&rig);
	rig.to.host = "silent.test";
	dial_rig_start(&rig);
	names_silence();
	assert_int_equal(dial_now(&rig), 0);
	assert_true(wait_for(&names_asked, 1));
	dial_cancel(&rig);
	rig.to.host = "none.test";
	dial_must_fail(&rig, "resolve", "unknown name");
	rig.to.host = "silent.test";
	assert_int_equal(dial_now(&rig), 0);
	assert_true(wait_for(&names_asked, 3));
	usleep(10000);
	dial_free(&rig);
	names_speak();
	dial_rig_stop(&rig);
	assert_int_equal(rig.failed, 1);
	assert_int_equal(rig.door.opened, 0);
	dial_rig_fini(&rig);
}

static void
dial_and_cancel(struct dial_rig *rig)
{
	if (dialler_dial(rig->dialler, &rig->rig.config, &rig->to, rig->client) != 0)
		abort();
	dialler_cancel(rig->dialler);
}

static void
cancel_at_input(struct dial_rig *rig)
{
	dialler_cancel(rig->dialler);
}

/* No callback comes behind it, and the next try works. */
static void
test_cancel(void **state)
{
	struct dial_rig rig;
	uint16_t port = 0;
	int fd;

	(void)state;
	dial_rig_init(&rig);
	fd = listen_here(4, &port);
	dial_rig_start(&rig);
	dial_cancel(&rig); /* nothing to cancel */

	dial_on_loop(&rig, dial_and_cancel); /* connecting */
	rig.to.host = "two.test";
	dial_on_loop(&rig, dial_and_cancel); /* resolving */
	rig.to.host = "::1";
	dial_on_loop(&rig, dial_and_cancel); /* failed, perhaps, and not yet told */
	rig.to.host = "127.0.0.1";
	port = rig.to.port ^ port;
	rig.to.port ^= port;
	assert_int_equal(dial_now(&rig), 0); /* shaking hands with nobody */
	usleep(50000);
	dial_cancel(&rig);
	rig.to.port ^= port;
	usleep(50000);
	assert_int_equal(rig.failed, 0);
	assert_int_equal(rig.door.opened, 0);

	assert_int_equal(dial_now(&rig), 0); /* open */
	assert_true(wait_for(&rig.door.opened, 1));
	dial_cancel(&rig);
	assert_true(wait_for(&rig.door.closed, 1));
	assert_int_equal(rig.door.end, LINK_CLOSED_BY_US);

	rig.to_send = 10;
	rig.at_input = cancel_at_input; /* inside a callback of its link */
	assert_int_equal(dial_now(&rig), 0);
	assert_true(wait_for(&rig.door.closed, 2));
	assert_int_equal(dial_now(&rig), 0);
	assert_true(wait_for(&rig.door.closed, 3));
	close(fd);
	dial_rig_stop(&rig);
	assert_int_equal(rig.failed, 0);
	assert_int_equal(rig.door.opened, 3);
	dial_rig_fini(&rig);
}

static void
test_byte_by_byte(void **state)
{
	enum { SIZE = 20000 };
	struct dial_rig rig;
	struct drip drip;

	(void)state;
	dial_rig_init(&rig);
	rig.to_send = SIZE;
	drip_start(&drip);
	rig.to.port = drip.port;
	dial_rig_start(&rig);
	drip.to = listener_port(rig.rig.listener);
	assert_int_equal(dial_now(&rig), 0);
	assert_true(wait_for(&rig.door.opened, 1));
	for (int i = 0; i < 2000 && rig.door.received < SIZE; i++)
		usleep(5000);
	assert_int_equal(rig.door.received, SIZE);
	dial_rig_stop(&rig);
	drip_stop(&drip);
	dial_rig_fini(&rig);
}

/* What a destination does not read has a bound in time, and what is queued for it one in memory. */
static void
test_slow_reader(void **state)
{
	struct server server = { .manner = READS_NOTHING };
	struct dial_rig rig;
	uint64_t start;

	(void)state;
	dial_rig_init(&rig);
	server.certificate = &rig.rig.server;
	server_start(&server);
	rig.to.port = server.port;
	rig.to_send = SIZE_MAX; /* until link_send has enough */
	rig.rig.config.limits.output_buffer = (size_t)8 << 20;
	rig.rig.config.limits.answer_ms = 200;
	dial_rig_start(&rig);
	start = clock_mono_us();
	assert_int_equal(dial_now(&rig), 0);
	assert_true(wait_for(&rig.door.closed, 1));
	assert_in_range(clock_mono_us() - start, 200000, 5000000);
	assert_int_equal(rig.door.end, LINK_SLOW_READER);
	dial_rig_stop(&rig);
	server_stop(&server);
	dial_rig_fini(&rig);
}

/* The other address is tried first after a handshake that failed at one. */
static void
test_bad_one_of_two(void **state)
{
	struct server bad = { .manner = CLOSES_AT_ONCE };
	struct dial_rig rig;

	(void)state;
	dial_rig_init(&rig);
	rig.rig.listener_config.address = "127.0.0.2";
	dial_rig_start(&rig);
	bad.port = listener_port(rig.rig.listener);
	server_start(&bad);
	rig.to.host = "turned.test"; /* 127.0.0.1 first */
	dial_must_fail(&rig, "handshake", "closed");
	assert_memory_equal(rig.address, "127.0.0.1:", 10);
	assert_int_equal(dial_now(&rig), 0);
	assert_true(wait_for(&rig.door.opened, 1));
	dial_rig_stop(&rig);
	server_stop(&bad);
	assert_true(rig_logged(&rig.rig, " dialled ", "address=127.0.0.2:", NULL));
	dial_rig_fini(&rig);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_silent_name_server),
		cmocka_unit_test(test_freed_while_resolving),
		cmocka_unit_test(test_bad_one_of_two),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_byte_by_byte),
		cmocka_unit_test(test_slow_reader),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
