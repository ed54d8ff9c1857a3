/* SPDX-License-Identifier: Apache-2.0 */
/* Limits of links: output that is paced, readers that are slow, connections past their number, no descriptors; and 1,000 of them. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "broker/base/clock.h"
#include "net_door.h"

/* Produces to_produce bytes as fast as it may, then closes. */
static void
produce(struct side *side)
{
	uint8_t piece[16 * 1024];
	int rc;

	while (side->produced < side->door->to_produce) {
		memset(piece, (int)(side->produced / sizeof(piece)), sizeof(piece));
		rc = link_send(side->link, span_make(piece, sizeof(piece)));
		if (rc == -ENOBUFS) {
			side->door->full = true;
			if (link_output(side->link) > 256 * 1024 + sizeof(piece))
				abort();
			return;
		}
		if (rc != 0)
			abort();
		side->produced += sizeof(piece);
	}
	link_close(side->link);
}

static void *
produce_opened(struct link *link, struct peer *peer, void *door)
{
	struct side *side = side_new(link, door);

	(void)peer;
	produce(side);
	return side;
}

static void
produce_input(void *arg, struct span bytes)
{
	(void)arg;
	(void)bytes;
}

static void
produce_drained(void *arg)
{
	produce(arg);
}

static const struct link_handler producer = {
	.opened = produce_opened,
	.input = produce_input,
	.drained = produce_drained,
	.closed = side_closed,
};

static void
test_paced_output(void **state)
{
	struct door door = { .to_produce = 32 * 1024 * 1024 };
	uint8_t *piece = malloc(16 * 1024);
	struct rig rig;
	SSL *ssl;

	(void)state;
	assert_non_null(piece);
	rig_init(&rig);
	rig_start(&rig, &producer, &door);
	ssl = rig_connect(&rig, &(struct client_options){ .certificate = &rig.client }, NULL);
	usleep(100000); /* let it fill */
	for (size_t at = 0; at < door.to_produce; at += 16 * 1024) {
		assert_true(client_read(ssl, piece, 16 * 1024));
		assert_int_equal(piece[0], (uint8_t)(at / (16 * 1024)));
		assert_int_equal(piece[16 * 1024 - 1], piece[0]);
	}
	assert_false(client_read(ssl, piece, 1));
	client_close(ssl);
	assert_true(wait_for(&door.closed, 1));
	assert_true(door.full);
	assert_int_equal(door.end, LINK_CLOSED_BY_US);
	rig_stop(&rig);
	rig_fini(&rig);
	free(piece);
}

static void
test_slow_reader(void **state)
{
	struct door door = { .to_produce = SIZE_MAX - 16 * 1024 };
	struct rig rig;
	uint64_t start;
	SSL *ssl;

	(void)state;
	rig_init(&rig);
	rig.config.limits.answer_ms = 200;
	rig_start(&rig, &producer, &door);
	start = clock_mono_us();
	ssl = rig_connect(&rig, &(struct client_options){ .certificate = &rig.client }, NULL);
	assert_true(wait_for(&door.closed, 1));
	assert_true(clock_mono_us() - start >= 200000);
	assert_int_equal(door.end, LINK_SLOW_READER);
	client_close(ssl);
	rig_stop(&rig);
	assert_true(rig_logged(&rig, "disconnected", "end=slow-reader", NULL));
	rig_fini(&rig);
}

/* Some progress now and then is not enough: what waited must leave within ten times answer_ms. */
static void
test_trickling_reader(void **state)
{
	struct door door = { .to_produce = SIZE_MAX - 16 * 1024 };
	char piece[2048];
	const int small = 4096;
	struct rig rig;
	uint64_t start;
	SSL *ssl;

	(void)state;
	rig_init(&rig);
	rig.config.limits.answer_ms = 150;
	rig_start(&rig, &producer, &door);
	start = clock_mono_us();
	ssl = rig_connect(&rig, &(struct client_options){ .certificate = &rig.client }, NULL);
	setsockopt(SSL_get_fd(ssl), SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	while (door.closed == 0 && clock_mono_us() - start < 30000000) {
		if (!client_read(ssl, piece, sizeof(piece)))
			break;
		usleep(20000);
	}
	assert_true(wait_for(&door.closed, 1));
	assert_int_equal(door.end, LINK_SLOW_READER);
	client_close(ssl);
	rig_stop(&rig);
	rig_fini(&rig);
}

static void
test_thousand_links(void **state)
{
	enum { COUNT = 1000 };
	struct door door = { 0 };
	struct rig rig;
	int64_t before;
	char got[4];
	size_t told;
	SSL *ssl;

	(void)state;
	rig_init(&rig);
	before = metric_value(metric_series(METRIC_CONNECTED, "chu-test"));
	rig_start(&rig, &echo, &door);
	for (int i = 0; i < COUNT; i++) {
		ssl = rig_connect(&rig, &(struct client_options){ .certificate = &rig.client }, NULL);
		if (i % 4 == 0) {
			assert_true(client_write(ssl, "ping", 4));
			assert_true(client_read(ssl, got, 4));
		}
		client_close(ssl);
	}
	assert_true(wait_for(&door.closed, COUNT));
	rig_stop(&rig);
	assert_int_equal(door.opened, COUNT);
	assert_int_equal(door.closed, COUNT);
	/* All are counted; the log has some of them, and their ends. */
	assert_int_equal(metric_value(metric_series(METRIC_CONNECTED, "chu-test")) - before, COUNT);
	told = rig_lines(&rig, " connected ");
	assert_true(told >= BOUNCES_AT_ONCE && told <= BOUNCES_AT_ONCE + 2); /* a minute may pass */
	assert_int_equal(rig_lines(&rig, "disconnected"), told);
	assert_int_equal(metric_value(metric_series(METRIC_CONNECTIONS, "mllp-test")), 0);
	rig_fini(&rig);
}

/* One that is let in, once those that hung up have had their turn. */
static SSL *
admitted(struct rig *rig)
{
	char byte;
	bool ok;
	SSL *ssl;

	for (int i = 0; i < 100; i++) {
		ssl = rig_connect(rig, &(struct client_options){ .certificate = &rig->client }, &ok);
		if (ok && client_write(ssl, "c", 1) && client_read(ssl, &byte, 1))
			return ssl;
		client_close(ssl);
		usleep(20000);
	}
	fail_msg("nobody is let in any more: %s", rig->log);
	return NULL;
}

/* A connection past a limit is closed before or after its handshake, and told. */
static void
expect_refused(struct rig *rig, const struct link_handler *handler, unsigned allowed, const char *why)
{
	struct door door = { 0 };
	SSL *good[4];
	char byte;
	int fd;
	bool ok;
	SSL *ssl;

	rig_start(rig, handler, &door);
	for (unsigned i = 0; i < allowed; i++) {
		good[i] = rig_connect(rig, &(struct client_options){ .certificate = &rig->client }, NULL);
		assert_true(client_write(good[i], "a", 1));
		assert_true(client_read(good[i], &byte, 1));
	}
	ssl = rig_connect(rig, &(struct client_options){ .certificate = &rig->client }, &ok);
	if (ok)
		assert_false(client_read(ssl, &byte, 1));
	client_close(ssl);
	for (int i = 0; i < 20; i++) {
		fd = rig_dial(rig);
		close(fd);
	}
	assert_true(client_write(good[0], "b", 1));
	assert_true(client_read(good[0], &byte, 1));
	client_close(good[0]);
	assert_true(wait_for(&door.closed, 1));
	good[0] = admitted(rig);
	for (unsigned i = 0; i < allowed; i++)
		client_close(good[i]);
	rig_stop(rig);
	assert_int_equal(door.opened, allowed + 1);
	assert_int_equal(door.closed, allowed + 1);
	if (!rig_logged(rig, "connection-refused", why, NULL))
		fail_msg("%s: %s", why, rig->log);
	assert_true(rig_lines(rig, "connection-refused") <= 3);
	rig_fini(rig);
}

static void
test_connection_limits(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig);
	rig.listener_config.max_connections = 2;
	expect_refused(&rig, &echo, 2, "the listener's greatest number");
	rig_init(&rig);
	rig.config.limits.connections = 3;
	expect_refused(&rig, &echo, 3, "the broker's greatest number");
	rig_init(&rig);
	rig.peer.max_connections = 2;
	expect_refused(&rig, &echo, 2, "the peer's greatest number");
}

/* Without descriptors accepting rests, and comes back. */
static void
test_no_descriptors(void **state)
{
	struct rlimit before, tight;
	struct door door = { 0 };
	struct rig rig;
	char got[4];
	SSL *ssl;
	int fd, probe;

	(void)state;
	rig_init(&rig);
	rig_start(&rig, &echo, &door);
	ssl = rig_connect(&rig, &(struct client_options){ .certificate = &rig.client }, NULL);
	assert_true(client_write(ssl, "ping", 4));
	assert_true(client_read(ssl, got, 4));
	probe = dup(0);
	close(probe);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	tight = before;
	tight.rlim_cur = (rlim_t)probe + 1; /* one left: the client's */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
	fd = rig_dial(&rig);
	usleep(200000);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	close(fd);
	/* Open links do not care. */
	assert_true(client_write(ssl, "pong", 4));
	assert_true(client_read(ssl, got, 4));
	client_close(ssl);
	ssl = rig_connect(&rig, &(struct client_options){ .certificate = &rig.client }, NULL);
	assert_true(client_write(ssl, "ping", 4));
	assert_true(client_read(ssl, got, 4));
	client_close(ssl);
	rig_stop(&rig);
	assert_int_equal(rig_lines(&rig, "no more descriptors"), 1);
	assert_true(rig_logged(&rig, "connection-refused", "error=EMFILE", NULL));
	rig_fini(&rig);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paced_output),
		cmocka_unit_test(test_slow_reader),
		cmocka_unit_test(test_trickling_reader),
		cmocka_unit_test(test_thousand_links),
		cmocka_unit_test(test_connection_limits),
		cmocka_unit_test(test_no_descriptors),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
