/* SPDX-License-Identifier: Apache-2.0 */
/* Links outwards: what succeeds, and each way of failing with its words; giving up at any moment. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "broker/base/clock.h"
#include "dial_rig.h"

static void
close_link(struct dial_rig *rig)
{
	link_close(rig->door.link);
}

static void
test_success(void **state)
{
	enum { SIZE = 100000 };
	struct dial_rig rig;

	(void)state;
	dial_rig_init(&rig);
	rig.to_send = SIZE;
	dial_rig_start(&rig);
	assert_int_equal(dial_now(&rig), 0);
	assert_true(wait_for(&rig.door.opened, 1));
	for (int i = 0; i < 1000 && rig.door.received < SIZE; i++)
		usleep(5000);
	assert_int_equal(rig.door.received, SIZE);
	assert_int_equal(dial_now(&rig), -EBUSY);
	dial_on_loop(&rig, close_link);
	assert_true(wait_for(&rig.door.closed, 1));
	assert_int_equal(rig.door.end, LINK_CLOSED_BY_US);
	assert_string_equal(rig.end_why, "");
	assert_true(wait_for(&rig.server.ended, 1));

	/* Once more with the same dialler. */
	assert_int_equal(dial_now(&rig), 0);
	assert_true(wait_for(&rig.door.opened, 2));
	dial_rig_stop(&rig);
	assert_int_equal(rig.door.closed, 2);
	assert_int_equal(rig.door.end, LINK_STOPPING);
	assert_int_equal(rig.failed, 0);
	assert_true(rig_logged(&rig.rig, " dialled ", "link=", "destination=chu-lyon",
	    "address=127.0.0.1:", "tls=TLSv1.3", "cipher=TLS_", "serial=", "not_after=20", NULL));
	assert_true(rig_logged(
	    &rig.rig, "disconnected", "destination=chu-lyon", "end=closed-by-us", "out=100000", NULL));
	assert_false(rig_logged(&rig.rig, "disconnected", "destination=chu-lyon", "listener=", NULL));
	assert_int_equal(rig_lines(&rig.rig, "before-authentication"), 0);
	dial_rig_fini(&rig);
}

static void
test_closed_by_the_server(void **state)
{
	struct server server = { .manner = CLOSES_AFTER };
	struct dial_rig rig;

	(void)state;
	dial_rig_init(&rig);
	server.certificate = &rig.rig.server;
	server_start(&server);
	rig.to.port = server.port;
	rig.again = true; /* closed() may dial anew */
	dial_rig_start(&rig);
	assert_int_equal(dial_now(&rig), 0);
	assert_true(wait_for(&rig.door.closed, 2));
	assert_int_equal(rig.door.opened, 2);
	assert_int_equal(rig.door.end, LINK_CLOSED_BY_PEER);
	assert_int_equal(rig.door.received, 2);
	dial_rig_stop(&rig);
	server_stop(&server);
	dial_rig_fini(&rig);
}

static void
send_later(struct dial_rig *rig)
{
	rig->at_input = NULL;
	usleep(300000); /* the loop is busy meanwhile */
	if (link_send(rig->door.link, span_str("more")) != 0)
		abort();
}

/* What a server said before its reset is read although we notice the reset by writing. */
static void
test_last_words(void **state)
{
	struct server server = { .manner = SAYS_MORE_AND_RESETS };
	struct dial_rig rig;

	(void)state;
	dial_rig_init(&rig);
	server.certificate = &rig.rig.server;
	server_start(&server);
	rig.to.port = server.port;
	rig.at_input = send_later;
	dial_rig_start(&rig);
	assert_int_equal(dial_now(&rig), 0);
	assert_true(wait_for(&rig.door.closed, 1));
	assert_int_equal(rig.door.end, LINK_RESET);
	assert_int_equal(rig.door.received, 11);
	dial_rig_stop(&rig);
	server_stop(&server);
	dial_rig_fini(&rig);
}

static void
send_one(struct dial_rig *rig)
{
	if (link_send(rig->door.link, span_str("x")) != 0)
		abort();
}

static uint64_t
cpu_us(void)
{
	struct timespec t;

	assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t), 0);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* While a message of TLS is half there nothing can be written: the rest is waited for, until the guard ends the link, and not asked for in circles. */
static void
test_half_a_ticket(void **state)
{
	struct server server = { .manner = BEGINS_A_TICKET };
	struct dial_rig rig;
	uint64_t before;

	(void)state;
	dial_rig_init(&rig);
	rig.rig.config.limits.answer_ms = 1000;
	server.certificate = &rig.rig.server;
	server_start(&server);
	rig.to.port = server.port;
	dial_rig_start(&rig);
	assert_int_equal(dial_now(&rig), 0);
	assert_true(wait_for(&rig.door.opened, 1));
	usleep(200000); /* for the ticket */
	dial_on_loop(&rig, send_one);
	before = cpu_us();
	assert_true(wait_for(&rig.door.closed, 1));
	assert_in_range(cpu_us() - before, 0, 400000);
	assert_int_equal(rig.door.end, LINK_SLOW_READER);
	dial_rig_stop(&rig);
	server_stop(&server);
	dial_rig_fini(&rig);
}

static void
test_not_wanted(void **state)
{
	struct dial_rig rig;

	(void)state;
	dial_rig_init(&rig);
	rig.refuse = true;
	dial_rig_start(&rig);
	assert_int_equal(dial_now(&rig), 0);
	assert_true(wait_for(&rig.server.closed, 1));
	dial_rig_stop(&rig);
	assert_int_equal(rig.door.opened, 1);
	assert_int_equal(rig.door.closed, 0);
	dial_rig_fini(&rig);
}

/* What the server shows is refused by us, and told with the certificate. */
static void
refuse_server(const struct certificate_options *options, int by_other, const char *name, const char *why)
{
	struct certificate certificate, other;
	struct dial_rig rig;

	dial_rig_init(&rig);
	certificate_make(&other, &(struct certificate_options){ .name = "Other root", .authority = 1 }, NULL);
	certificate_make(&certificate, options, by_other ? &other : &rig.rig.root);
	dial_rig_server(&rig, &certificate);
	rig.to.server_name = name;
	dial_rig_start(&rig);
	dial_must_fail(&rig, "handshake", why);
	assert_true(rig.identified);
	assert_string_equal(rig.subject, "CN=server");
	assert_memory_equal(rig.address, "127.0.0.1:", 10);
	dial_rig_stop(&rig);
	assert_int_equal(rig.server.opened, 0);
	assert_int_equal(rig_lines(&rig.rig, "destination="), 0);
	certificate_fini(&certificate);
	certificate_fini(&other);
	dial_rig_fini(&rig);
}

static void
test_servers_certificate(void **state)
{
	struct certificate_options good = {
		.name = "server", .san = "DNS:hl7.example.org", .usage = "serverAuth"
	};
	struct certificate_options client = good, expired = good, early = good;

	(void)state;
	client.usage = "clientAuth";
	expired.from_s = -7200;
	expired.to_s = -3600;
	early.from_s = 3600;
	early.to_s = 7200;
	refuse_server(&good, 0, "hl7.example.com", "wrong host name");
	refuse_server(&good, 0, "127.0.0.1", "wrong host name");
	refuse_server(&client, 0, "hl7.example.org", "wrong usage");
	refuse_server(&good, 1, "hl7.example.org", "unknown authority");
	refuse_server(&expired, 0, "hl7.example.org", "expired");
	refuse_server(&early, 0, "hl7.example.org", "not yet valid");
}

/* With TLS 1.3 our certificate is judged when we believe to be through; with 1.2 within the handshake. The words are the same. */
static void
refuse_us(const struct certificate_options *options, int by_other, size_t to_send, const char *why)
{
	struct certificate certificate, other;
	struct dial_rig rig;

	dial_rig_init(&rig);
	certificate_make(&other, &(struct certificate_options){ .name = "Other root", .authority = 1 }, NULL);
	certificate_make(&certificate, options, by_other ? &other : &rig.rig.root);
	dial_rig_client(&rig, &certificate);
	rig.to_send = to_send;
	dial_rig_start(&rig);
	for (unsigned i = 1; i <= 3; i++) {
		assert_int_equal(dial_now(&rig), 0);
		assert_true(wait_for(&rig.door.closed, i));
		assert_int_equal(rig.door.end, LINK_RESET);
		assert_string_equal(rig.end_why, why);
	}
	assert_int_equal(rig.failed, 0);
	SSL_CTX_set_max_proto_version(tls_ssl_ctx(rig.client), TLS1_2_VERSION);
	dial_must_fail(&rig, "handshake", why);
	dial_rig_stop(&rig);
	assert_int_equal(rig.server.opened, 0);
	assert_true(rig_logged(&rig.rig, "disconnected", "destination=chu-lyon", "end=reset", why, NULL));
	certificate_fini(&certificate);
	certificate_fini(&other);
	dial_rig_fini(&rig);
}

static void
test_our_certificate(void **state)
{
	struct certificate_options good = { .name = "client", .usage = "clientAuth" };
	struct certificate_options server = good, expired = good;

	(void)state;
	server.usage = "serverAuth";
	expired.from_s = -7200;
	expired.to_s = -3600;
	refuse_us(&good, 1, 0, "our certificate was refused: unknown authority");
	refuse_us(&expired, 0, 0, "our certificate was refused: expired");
	refuse_us(&server, 0, 0, "our certificate was refused: wrong usage");
	/* Also when we are in the middle of sending. */
	refuse_us(&expired, 0, 200 * 1024, "our certificate was refused: expired");
}

static void
test_no_connection(void **state)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	struct dial_rig rig;
	int fd, fill[8];
	uint64_t start;

	(void)state;
	dial_rig_init(&rig);
	fd = listen_here(0, &rig.to.port);
	dial_rig_start(&rig);

	/* Accepted by the system, by nobody else. */
	rig.to.connect_ms = 150;
	start = clock_mono_us();
	dial_must_fail(&rig, "handshake", "timeout");
	assert_in_range(clock_mono_us() - start, 150000, 2000000);
	assert_false(rig.identified);

	/* Not even that: nobody has taken those before. */
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	at.sin_port = htons(rig.to.port);
	for (size_t i = 0; i < 8; i++) {
		fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)connect(fill[i], (struct sockaddr *)&at, sizeof(at));
	}
	start = clock_mono_us();
	dial_must_fail(&rig, "connect", "timeout");
	assert_in_range(clock_mono_us() - start, 150000, 2000000);
	assert_int_equal(rig.error, -ETIMEDOUT);
	for (size_t i = 0; i < 8; i++)
		close(fill[i]);
	close(fd);

	rig.to.connect_ms = 5000;
	dial_must_fail(&rig, "connect", "connection refused");
	assert_int_equal(rig.error, -ECONNREFUSED);
	assert_memory_equal(rig.address, "127.0.0.1:", 10);

	/* A dialler that is told dials again if it likes. */
	rig.again = true;
	assert_int_equal(dial_now(&rig), 0);
	assert_true(wait_for(&rig.failed, 5));

	/* A broadcast address has no TCP. */
	rig.to.host = "255.255.255.255";
	dial_must_fail(&rig, "connect", "no route");
	dial_rig_stop(&rig);
	dial_rig_fini(&rig);
}

static void
test_servers_without_manners(void **state)
{
	static const struct {
		enum manner manner;
		const char *why;
	} cases[] = {
		{ CLOSES_AT_ONCE, "closed" },
		{ RESETS_IN_HANDSHAKE, "closed" },
		{ CLOSES_IN_HANDSHAKE, "closed" },
		{ SPEAKS_HTTP, "not TLS" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct server server = { .manner = cases[i].manner };
		struct dial_rig rig;

		dial_rig_init(&rig);
		server.certificate = &rig.rig.server;
		server_start(&server);
		rig.to.port = server.port;
		dial_rig_start(&rig);
		for (int n = 0; n < 5; n++)
			dial_must_fail(&rig, "handshake", cases[i].why);
		dial_rig_stop(&rig);
		server_stop(&server);
		dial_rig_fini(&rig);
	}
}

static void
test_impossible_name(void **state)
{
	struct dial_rig rig;
	char name[300];

	(void)state;
	memset(name, 'a', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	dial_rig_init(&rig);
	rig.to.server_name = name; /* longer than SNI takes */
	dial_rig_start(&rig);
	dial_must_fail(&rig, "handshake", "not a server's name");
	dial_rig_stop(&rig);
	dial_rig_fini(&rig);
}

static void
test_descriptors(void **state)
{
	struct rlimit before, tight;
	struct dial_rig rig;
	int probe;

	(void)state;
	dial_rig_init(&rig);
	dial_rig_start(&rig);
	probe = dup(0);
	close(probe);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	tight = before;
	tight.rlim_cur = (rlim_t)probe;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
	dial_must_fail(&rig, "connect", "no descriptor");
	assert_int_equal(rig.error, -EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	dial_rig_stop(&rig);
	dial_rig_fini(&rig);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_success),
		cmocka_unit_test(test_closed_by_the_server),
		cmocka_unit_test(test_last_words),
		cmocka_unit_test(test_half_a_ticket),
		cmocka_unit_test(test_not_wanted),
		cmocka_unit_test(test_servers_certificate),
		cmocka_unit_test(test_our_certificate),
		cmocka_unit_test(test_no_connection),
		cmocka_unit_test(test_servers_without_manners),
		cmocka_unit_test(test_impossible_name),
		cmocka_unit_test(test_descriptors),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
