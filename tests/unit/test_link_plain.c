/* SPDX-License-Identifier: Apache-2.0 */
/* Links without TLS: the same bytes, ends, back-pressure and deadlines; who may come; and listeners that are given another configuration. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "broker/base/metrics.h"
#include "net_door.h"

static void
plain_init(struct rig *rig)
{
	rig_init(rig);
	rig->listener_config.plain = &rig->peer;
}

static bool
get(int fd, void *to, size_t len)
{
	return recv(fd, to, len, MSG_WAITALL) == (ssize_t)len;
}

static bool
put(int fd, const void *from, size_t len)
{
	return send(fd, from, len, MSG_NOSIGNAL) == (ssize_t)len;
}

static void
test_echo(void **state)
{
	enum { COUNT = 500 };
	struct door door = { 0 };
	char sent[COUNT][100], got[COUNT][100];
	struct rig rig;
	int fd;

	(void)state;
	plain_init(&rig);
	rig_start(&rig, &echo, &door);
	fd = rig_dial(&rig);
	for (int i = 0; i < COUNT; i++) {
		memset(sent[i], 'a' + i % 26, sizeof(sent[i]));
		assert_true(put(fd, sent[i], sizeof(sent[i])));
	}
	assert_true(get(fd, got, sizeof(got)));
	assert_memory_equal(sent, got, sizeof(got));
	/* Our end of the talk, then what the door says to it. */
	shutdown(fd, SHUT_WR);
	assert_true(get(fd, got, 3));
	assert_memory_equal(got, "bye", 3);
	assert_int_equal(recv(fd, got, 1, 0), 0);
	close(fd);
	assert_true(wait_for(&door.closed, 1));
	rig_stop(&rig);
	assert_int_equal(door.end, LINK_CLOSED_BY_PEER);
	assert_int_equal(door.ended, 1);
	assert_true(rig_logged(&rig, "listening", "tls=none", "peer=chu-test", NULL));
	assert_true(rig_logged(&rig, " connected ", "peer=chu-test",
	    "address=127.0.0.1:", "listener=mllp-test", "tls=none", NULL));
	assert_false(rig_logged(&rig, " connected ", "cipher=", NULL));
	assert_true(rig_logged(
	    &rig, "disconnected", "peer=chu-test", "end=closed-by-peer", "in=50000", "out=50003", NULL));
	rig_fini(&rig);
}

/* One byte at a time is as good as all at once; nobody speaks TLS. */
static void
test_splits_and_a_tls_client(void **state)
{
	struct door door = { 0 };
	struct rig rig;
	char got[100];
	bool ok;
	SSL *ssl;
	int fd;

	(void)state;
	plain_init(&rig);
	rig_start(&rig, &echo, &door);
	fd = rig_dial(&rig);
	for (int i = 0; i < 100; i++)
		assert_true(put(fd, "x", 1));
	assert_true(get(fd, got, 100));
	close(fd);
	ssl = rig_connect(&rig, &(struct client_options){ .certificate = &rig.client }, &ok);
	assert_false(ok); /* its own first bytes come back */
	client_close(ssl);
	assert_true(wait_for(&door.closed, 2));
	rig_stop(&rig);
	assert_true(door.received > 200);
	assert_int_equal(rig_lines(&rig, "handshake"), 0);
	rig_fini(&rig);
}

static void
test_rude_ends(void **state)
{
	const struct linger hard = { 1, 0 };
	struct door door = { 0 };
	struct rig rig;
	char got[5];
	int good, rude;

	(void)state;
	plain_init(&rig);
	rig_start(&rig, &echo, &door);
	good = rig_dial(&rig);
	rude = rig_dial(&rig);
	assert_true(put(rude, "hello", 5));
	assert_true(get(rude, got, 5));
	setsockopt(rude, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close(rude);
	assert_true(wait_for(&door.closed, 1));
	assert_int_equal(door.end, LINK_RESET);
	assert_true(put(good, "still", 5));
	assert_true(get(good, got, 5));
	close(good);
	rig_stop(&rig);
	rig_fini(&rig);
}

static void
pausing_input(void *arg, struct span bytes)
{
	struct side *side = arg;

	if (side->door->inputs++ == 0)
		link_pause(side->link);
	else if (!side->door->obeyed)
		side->door->full = true; /* input although paused */
	side->door->received += bytes.len;
}

static const struct link_handler pausing = {
	.opened = echo_opened,
	.input = pausing_input,
	.closed = side_closed,
};

static void
resume(struct rig *rig, struct door *door)
{
	(void)rig;
	door->obeyed = true;
	link_resume(door->link);
}

struct torrent {
	int fd;
	size_t total;
	atomic_uint done;
};

static void *
torrent_run(void *arg)
{
	static const char piece[16 * 1024];
	struct torrent *torrent = arg;

	for (size_t at = 0; at < torrent->total; at += sizeof(piece)) {
		if (!put(torrent->fd, piece, sizeof(piece)))
			return NULL;
	}
	torrent->done = 1;
	return NULL;
}

static void
test_pause_and_resume(void **state)
{
	struct torrent torrent = { .total = 64 * 1024 * 1024 };
	struct door door = { 0 };
	struct rig rig;
	pthread_t thread;

	(void)state;
	plain_init(&rig);
	rig_start(&rig, &pausing, &door);
	torrent.fd = rig_dial(&rig);
	assert_int_equal(pthread_create(&thread, NULL, torrent_run, &torrent), 0);
	assert_true(wait_for(&door.inputs, 1));
	usleep(300000);
	assert_true(door.received <= LOOP_SCRATCH);
	assert_int_equal(torrent.done, 0); /* the sender stands still: its window is full */
	on_loop(&rig, &door, resume);
	pthread_join(thread, NULL);
	assert_int_equal(torrent.done, 1);
	for (int i = 0; i < 1000 && door.received < torrent.total; i++)
		usleep(10000);
	assert_int_equal(door.received, torrent.total);
	assert_false(door.full);
	close(torrent.fd);
	assert_true(wait_for(&door.closed, 1));
	assert_int_equal(door.end, LINK_CLOSED_BY_PEER);
	rig_stop(&rig);
	rig_fini(&rig);
}

static void
last_words(void *arg, struct span bytes)
{
	struct side *side = arg;

	side->door->received += bytes.len;
	if (link_send(side->link, span_str("too large")) != 0)
		abort();
	link_close(side->link);
}

static const struct link_handler last = {
	.opened = echo_opened,
	.input = last_words,
	.closed = side_closed,
};

/* The last answer arrives although the client is still sending. */
static void
test_last_answer_arrives(void **state)
{
	static const char more[48 * 1024];
	struct door door = { 0 };
	struct rig rig;
	char got[9];
	int fd;

	(void)state;
	plain_init(&rig);
	rig_start(&rig, &last, &door);
	fd = rig_dial(&rig);
	assert_true(put(fd, more, 10));
	assert_true(wait_for(&door.opened, 1));
	(void)put(fd, more, sizeof(more));
	assert_true(get(fd, got, sizeof(got)));
	assert_memory_equal(got, "too large", 9);
	assert_int_equal(recv(fd, got, 1, 0), 0);
	close(fd);
	assert_true(wait_for(&door.closed, 1));
	rig_stop(&rig);
	rig_fini(&rig);
}

static void *
flooding_opened(struct link *link, struct peer *peer, void *arg)
{
	static const char piece[16 * 1024];
	struct side *side = echo_opened(link, peer, arg);

	while (link_send(link, span_make(piece, sizeof(piece))) == 0)
		;
	return side;
}

static const struct link_handler flooding = {
	.opened = flooding_opened,
	.input = echo_input,
	.closed = side_closed,
};

static void
test_deadlines(void **state)
{
	struct door door = { 0 };
	struct rig rig;
	char got;
	int fd;

	(void)state;
	plain_init(&rig);
	rig.config.limits.idle_ms = 100;
	rig_start(&rig, &echo, &door);
	fd = rig_dial(&rig);
	assert_int_equal(recv(fd, &got, 1, 0), 0);
	close(fd);
	assert_true(wait_for(&door.closed, 1));
	assert_int_equal(door.end, LINK_DEADLINE);
	rig_stop(&rig);
	rig_fini(&rig);

	plain_init(&rig);
	rig.config.limits.answer_ms = 200;
	rig.config.limits.output_buffer = (size_t)8 << 20;
	rig_start(&rig, &flooding, &door);
	fd = rig_dial(&rig);
	assert_true(wait_for(&door.closed, 2));
	assert_int_equal(door.end, LINK_SLOW_READER);
	close(fd);
	rig_stop(&rig);
	rig_fini(&rig);
}

static bool
echoes(int fd)
{
	char got[4];

	return put(fd, "ping", 4) && get(fd, got, 4);
}

static void
test_the_peers_connections(void **state)
{
	struct door door = { 0 };
	struct rig rig;
	int fd[3];

	(void)state;
	plain_init(&rig);
	rig.peer.max_connections = 2;
	rig_start(&rig, &echo, &door);
	for (int i = 0; i < 3; i++)
		fd[i] = rig_dial(&rig);
	assert_true(echoes(fd[0]) && echoes(fd[1]));
	assert_false(echoes(fd[2]));
	close(fd[0]);
	assert_true(wait_for(&door.closed, 1));
	close(fd[2]);
	fd[0] = rig_dial(&rig);
	assert_true(echoes(fd[0]));
	close(fd[0]);
	close(fd[1]);
	assert_true(wait_for(&door.closed, 3));
	rig_stop(&rig);
	assert_true(rig_logged(&rig, "connection-refused", "peer=chu-test",
	    "the peer's greatest number of connections", "limit=2", NULL));
	rig_fini(&rig);
}

/* An address of this machine that is not on the loopback; false: it has none. */
static bool
other_address(struct in_addr *to)
{
	struct ifaddrs *all, *a;
	bool found = false;

	assert_int_equal(getifaddrs(&all), 0);
	for (a = all; a && !found; a = a->ifa_next) {
		const struct sockaddr_in *at = (const struct sockaddr_in *)a->ifa_addr;

		if (!at || at->sin_family != AF_INET || ntohl(at->sin_addr.s_addr) >> 24 == 127)
			continue;
		*to = at->sin_addr;
		found = true;
	}
	freeifaddrs(all);
	return found;
}

/* Even if the configuration let it listen everywhere. */
static void
test_from_another_machine(void **state)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	struct door door = { 0 };
	struct rig rig;
	char got;
	int fd;

	(void)state;
	if (!other_address(&at.sin_addr))
		skip();
	plain_init(&rig);
	rig.listener_config.address = "0.0.0.0";
	rig_start(&rig, &echo, &door);
	at.sin_port = htons(listener_port(rig.listener));
	fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_true(recv(fd, &got, 1, 0) <= 0);
	close(fd);
	fd = rig_dial(&rig); /* from the loopback */
	assert_true(echoes(fd));
	close(fd);
	assert_true(wait_for(&door.closed, 1));
	rig_stop(&rig);
	assert_int_equal(door.opened, 1);
	assert_true(rig_logged(&rig, "connection-refused", "without TLS, from another machine", NULL));
	rig_fini(&rig);
}

static struct tls_context *second;
static struct config_listener changed_listener;
static struct config changed;

static void
reconfigure(struct rig *rig, struct door *door)
{
	(void)door;
	listener_reconfigure(rig->listener, &changed, &changed_listener, second);
}

static void
second_context(const struct rig *rig, const struct certificate *certificate)
{
	char files[3][128];
	struct buffer errors;

	snprintf(files[0], sizeof(files[0]), "%s/server.pem", rig->dir);
	snprintf(files[1], sizeof(files[1]), "%s/server.key", rig->dir);
	snprintf(files[2], sizeof(files[2]), "%s/ca.pem", rig->dir);
	certificate_write(certificate, files[0]);
	certificate_write_key(certificate, files[1], 0600);
	buffer_init(&errors, 4096);
	assert_int_equal(
	    tls_server_new(&second, &(struct config_tls){ files[0], files[1], files[2] }, &errors), 0);
	buffer_fini(&errors);
}

static void
assert_server(SSL *ssl, const struct certificate *certificate)
{
	assert_int_equal(X509_cmp(SSL_get0_peer_certificate(ssl), certificate->x509), 0);
}

static void
test_another_configuration(void **state)
{
	struct certificate renewed;
	struct door door = { 0 };
	struct rig rig;
	char got[4];
	SSL *old, *new;
	bool ok;
	int fd;

	(void)state;
	rig_init(&rig);
	rig_start(&rig, &echo, &door);
	old = rig_connect(&rig, &(struct client_options){ .certificate = &rig.client }, NULL);
	assert_server(old, &rig.server);
	assert_true(wait_for(&door.opened, 1));

	/* Another certificate and other limits. */
	certificate_make(&renewed, &(struct certificate_options){ .name = "renewed" }, &rig.root);
	second_context(&rig, &renewed);
	changed = rig.config;
	changed.limits.idle_ms = 200;
	changed_listener = rig.listener_config;
	changed_listener.max_connections = 2;
	on_loop(&rig, &door, reconfigure);
	memset(&changed, 0xee, sizeof(changed)); /* it was copied */
	new = rig_connect(&rig, &(struct client_options){ .certificate = &rig.client }, NULL);
	assert_server(new, &renewed);
	assert_true(client_write(old, "ping", 4) && client_read(old, got, 4));
	assert_true(client_write(new, "ping", 4) && client_read(new, got, 4));
	fd = rig_dial(&rig);
	assert_true(recv(fd, got, 1, 0) <= 0); /* the third one */
	close(fd);
	client_close(old);
	assert_false(client_read(new, got, 1)); /* idle */
	client_close(new);
	assert_true(wait_for(&door.closed, 2));
	assert_int_equal(door.end, LINK_DEADLINE);

	/* The same socket without TLS, and with it again. */
	changed = rig.config;
	changed_listener.plain = &rig.peer;
	on_loop(&rig, &door, reconfigure);
	fd = rig_dial(&rig);
	assert_true(echoes(fd));
	changed_listener.plain = NULL;
	on_loop(&rig, &door, reconfigure);
	assert_true(echoes(fd)); /* whoever may stay is not asked here */
	new = rig_connect(&rig, &(struct client_options){ .certificate = &rig.client }, &ok);
	assert_true(ok && client_write(new, "ping", 4) && client_read(new, got, 4));
	client_close(new);
	close(fd);
	assert_true(wait_for(&door.closed, 4));
	rig_stop(&rig);
	tls_free(second);
	certificate_fini(&renewed);
	rig_fini(&rig);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_echo),
		cmocka_unit_test(test_splits_and_a_tls_client),
		cmocka_unit_test(test_rude_ends),
		cmocka_unit_test(test_pause_and_resume),
		cmocka_unit_test(test_last_answer_arrives),
		cmocka_unit_test(test_deadlines),
		cmocka_unit_test(test_the_peers_connections),
		cmocka_unit_test(test_from_another_machine),
		cmocka_unit_test(test_another_configuration),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
