/* SPDX-License-Identifier: Apache-2.0 */
/* Open links: bytes both ways, rude ends, back-pressure, deadlines, doors that drop in any callback, stopping. */
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
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "net_door.h"

static void
test_pipelined_echo(void **state)
{
	enum { COUNT = 500 };
	struct door door = { 0 };
	char sent[COUNT][100], got[COUNT][100];
	struct rig rig;
	SSL *ssl;

	(void)state;
	rig_init(&rig);
	rig_start(&rig, &echo, &door);
	ssl = rig_connect(&rig, &(struct client_options){ .certificate = &rig.client }, NULL);
	for (int i = 0; i < COUNT; i++) {
		memset(sent[i], 'a' + i % 26, sizeof(sent[i]));
		assert_true(client_write(ssl, sent[i], sizeof(sent[i])));
	}
	assert_true(client_read(ssl, got, sizeof(got)));
	assert_memory_equal(sent, got, sizeof(got));
	/* Our end of the talk, then what the door says to it. */
	assert_int_equal(SSL_shutdown(ssl), 0);
	assert_true(client_read(ssl, got, 3));
	assert_memory_equal(got, "bye", 3);
	assert_false(client_read(ssl, got, 1));
	assert_int_equal(SSL_get_shutdown(ssl) & SSL_RECEIVED_SHUTDOWN, SSL_RECEIVED_SHUTDOWN);
	client_close(ssl);
	assert_true(wait_for(&door.closed, 1));
	rig_stop(&rig);
	assert_int_equal(door.end, LINK_CLOSED_BY_PEER);
	assert_int_equal(door.ended, 1);
	assert_true(rig_logged(&rig, " connected ", "link=", "peer=chu-test",
	    "address=127.0.0.1:", "listener=mllp-test", "tls=TLSv1.3", "cipher=TLS_", NULL));
	assert_true(rig_logged(&rig, "disconnected", "peer=chu-test", "end=closed-by-peer",
	    "seconds=", "in=50000", "out=50003", NULL));
	rig_fini(&rig);
}

/* A client that just closes its socket is not an error either, and one that resets does no harm to another. */
static void
test_rude_ends(void **state)
{
	const struct linger hard = { 1, 0 };
	struct door door = { 0 };
	struct rig rig;
	SSL *good, *rude;
	char got[5];

	(void)state;
	rig_init(&rig);
	rig_start(&rig, &echo, &door);
	good = rig_connect(&rig, &(struct client_options){ .certificate = &rig.client }, NULL);
	rude = rig_connect(&rig, &(struct client_options){ .certificate = &rig.client }, NULL);
	assert_true(client_write(rude, "hello", 5));
	assert_true(client_read(rude, got, 5));
	close(SSL_get_fd(rude));
	SSL_free(rude);
	assert_true(wait_for(&door.closed, 1));
	assert_int_equal(door.end, LINK_CLOSED_BY_PEER);

	rude = rig_connect(&rig, &(struct client_options){ .certificate = &rig.client }, NULL);
	assert_true(client_write(rude, "hello", 5));
	assert_true(client_read(rude, got, 5));
	setsockopt(SSL_get_fd(rude), SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close(SSL_get_fd(rude));
	SSL_free(rude);
	assert_true(wait_for(&door.closed, 2));
	assert_int_equal(door.end, LINK_RESET);

	rude = rig_connect(&rig, &(struct client_options){ .certificate = &rig.client }, NULL);
	assert_int_equal(send(SSL_get_fd(rude),
			     "\x17\x03\x03\x00\x20"
			     "not a record of this session....",
			     37, MSG_NOSIGNAL),
	    37);
	assert_true(wait_for(&door.closed, 3));
	assert_int_equal(door.end, LINK_RESET);
	client_close(rude);

	assert_true(client_write(good, "still", 5));
	assert_true(client_read(good, got, 5));
	assert_memory_equal(got, "still", 5);
	client_close(good);
	rig_stop(&rig);
	rig_fini(&rig);
}

/* Pauses at the first input; a door that obeys gets no byte more. */
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

/* Asked before it is read: while the door pauses then, not a byte comes. */
static void
gate_before(void *arg)
{
	struct side *side = arg;

	if (side->door->obeyed)
		return;
	side->door->ended++;
	link_pause(side->link);
}

static void
gate_input(void *arg, struct span bytes)
{
	struct side *side = arg;

	if (!side->door->obeyed)
		side->door->full = true; /* input although paused */
	side->door->received += bytes.len;
}

static const struct link_handler gated = {
	.opened = echo_opened,
	.before_input = gate_before,
	.input = gate_input,
	.closed = side_closed,
};

static void
test_pause_before_reading(void **state)
{
	struct door door = { 0 };
	struct rig rig;
	SSL *client;

	(void)state;
	rig_init(&rig);
	rig_start(&rig, &gated, &door);
	client = rig_connect(&rig, &(struct client_options){ .certificate = &rig.client }, NULL);
	assert_true(client_write(client, "hello", 5));
	assert_true(wait_for(&door.ended, 1));
	usleep(100000);
	assert_int_equal(door.received, 0);
	assert_int_equal(door.ended, 1); /* once: it is paused */
	on_loop(&rig, &door, resume);
	for (int i = 0; i < 1000 && door.received < 5; i++)
		usleep(10000);
	assert_int_equal(door.received, 5);
	assert_false(door.full);
	client_close(client);
	assert_true(wait_for(&door.closed, 1));
	rig_stop(&rig);
	rig_fini(&rig);
}

/* What a link takes in one turn, and so many more that one call of the system fetches all of them. */
#define RECORDS_TURN 256
#define RECORDS_MORE 12
#define RECORD_SIZE  100

static SSL *record_writer;

/* On the loop: it sees them all at once. */
static void
write_records(struct rig *rig, struct door *door)
{
	char text[RECORD_SIZE] = { 0 };
	int one = 1, waiting = 1;

	(void)rig;
	(void)door;
	assert_int_equal(
	    setsockopt(SSL_get_fd(record_writer), IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)), 0);
	for (int i = 0; i < RECORDS_TURN + RECORDS_MORE; i++)
		assert_true(client_write(record_writer, text, sizeof(text)));
	for (int i = 0; i < 2000 && waiting; i++) { /* small segments are let through by and by */
		usleep(5000);
		assert_int_equal(ioctl(SSL_get_fd(record_writer), SIOCOUTQ, &waiting), 0);
	}
	assert_int_equal(waiting, 0);
}

/* A door pauses while the rest of what came is off the socket already: it comes when the door resumes, though the socket tells of nothing. */
static void
test_pause_behind_what_was_read_ahead(void **state)
{
	struct door door = { 0 };
	struct rig rig;

	(void)state;
	rig_init(&rig);
	rig_start(&rig, &pausing, &door);
	record_writer = rig_connect(&rig, &(struct client_options){ .certificate = &rig.client }, NULL);
	on_loop(&rig, &door, write_records);
	assert_true(wait_for(&door.inputs, 1));
	usleep(100000);
	assert_int_equal(door.received, RECORDS_TURN * RECORD_SIZE);
	on_loop(&rig, &door, resume);
	for (int i = 0; i < 500 && door.received < (RECORDS_TURN + RECORDS_MORE) * RECORD_SIZE; i++)
		usleep(10000);
	assert_int_equal(door.received, (RECORDS_TURN + RECORDS_MORE) * RECORD_SIZE);
	assert_false(door.full);
	client_close(record_writer);
	assert_true(wait_for(&door.closed, 1));
	rig_stop(&rig);
	rig_fini(&rig);
}

static void
test_pause_and_resume(void **state)
{
	struct flood flood = { .total = 64 * 1024 * 1024 };
	struct door door = { 0 };
	struct rig rig;
	pthread_t thread;
	size_t held;

	(void)state;
	rig_init(&rig);
	rig_start(&rig, &pausing, &door);
	flood.ssl = rig_connect(&rig, &(struct client_options){ .certificate = &rig.client }, NULL);
	assert_int_equal(pthread_create(&thread, NULL, flood_run, &flood), 0);
	assert_true(wait_for(&door.inputs, 1));
	usleep(500000);
	held = door.received;
	assert_true(held <= LOOP_SCRATCH);
	assert_int_equal(flood.done, 0); /* the sender stands still: its window is full */
	on_loop(&rig, &door, resume);
	pthread_join(thread, NULL);
	assert_int_equal(flood.done, 1);
	for (int i = 0; i < 1000 && door.received < flood.total; i++)
		usleep(10000);
	assert_int_equal(door.received, flood.total);
	assert_false(door.full);
	client_close(flood.ssl);
	assert_true(wait_for(&door.closed, 1));
	assert_int_equal(door.end, LINK_CLOSED_BY_PEER); /* no input_ended: the link closes by itself */
	rig_stop(&rig);
	rig_fini(&rig);
}

static void
late_deadline(void *arg)
{
	struct side *side = arg;

	side->door->deadlines++;
	if (link_send(side->link, span_str("late")) != 0)
		abort();
	link_close(side->link);
}

static const struct link_handler impatient = {
	.opened = echo_opened,
	.input = echo_input,
	.deadline = late_deadline,
	.closed = side_closed,
};

static void
test_deadlines(void **state)
{
	struct door door = { .deadline_ms = 150 };
	struct rig rig;
	char got[4];
	SSL *ssl;

	(void)state;
	rig_init(&rig);
	rig_start(&rig, &impatient, &door);
	ssl = rig_connect(&rig, &(struct client_options){ .certificate = &rig.client }, NULL);
	assert_true(client_read(ssl, got, 4));
	assert_memory_equal(got, "late", 4);
	assert_false(client_read(ssl, got, 1));
	client_close(ssl);
	assert_true(wait_for(&door.closed, 1));
	assert_int_equal(door.deadlines, 1);
	rig_stop(&rig);
	rig_fini(&rig);

	/* Without a callback the link is dropped; without a deadline of the door's, idle_ms is one. */
	door.deadline_ms = 0;
	rig_init(&rig);
	rig.config.limits.idle_ms = 100;
	rig_start(&rig, &echo, &door);
	ssl = rig_connect(&rig, &(struct client_options){ .certificate = &rig.client }, NULL);
	assert_false(client_read(ssl, got, 1));
	client_close(ssl);
	assert_true(wait_for(&door.closed, 2));
	assert_int_equal(door.end, LINK_DEADLINE);
	rig_stop(&rig);
	rig_fini(&rig);
}

/* Doors may drop or close in any callback. */
enum when { IN_OPENED, IN_INPUT, IN_ENDED, IN_DRAINED, REFUSING };

struct quitter {
	struct door door;
	enum when when;
	bool gently;
	struct link *link;
};

static void
quit(struct quitter *quitter, enum when when)
{
	if (quitter->when != when)
		return;
	if (quitter->gently)
		link_close(quitter->link);
	else
		link_drop(quitter->link, LINK_CLOSED_BY_US);
	/* Harmless from here on. */
	if (link_send(quitter->link, span_str("x")) != -EPIPE)
		abort();
	link_pause(quitter->link);
	link_resume(quitter->link);
	link_deadline(quitter->link, 1);
	link_drop(quitter->link, LINK_CLOSED_BY_US);
	if (quitter->door.closed)
		abort();
}

static void *
quit_opened(struct link *link, struct peer *peer, void *arg)
{
	struct quitter *quitter = arg;

	(void)peer;
	quitter->link = link;
	quitter->door.opened++;
	quit(quitter, IN_OPENED);
	return quitter->when == REFUSING ? NULL : quitter;
}

static void
quit_input(void *arg, struct span bytes)
{
	struct quitter *quitter = arg;

	if (quitter->when == IN_DRAINED && link_send(quitter->link, bytes) != 0)
		abort();
	quit(quitter, IN_INPUT);
}

static void
quit_ended(void *arg)
{
	struct quitter *quitter = arg;

	quit(quitter, IN_ENDED);
	link_close(quitter->link);
}

static void
quit_drained(void *arg)
{
	quit(arg, IN_DRAINED);
}

static void
quit_closed(void *arg, enum link_end end)
{
	struct quitter *quitter = arg;

	quitter->door.end = (int)end;
	quitter->door.closed++;
}

static const struct link_handler quitting = {
	.opened = quit_opened,
	.input = quit_input,
	.input_ended = quit_ended,
	.drained = quit_drained,
	.closed = quit_closed,
};

static void
test_dropping_inside_callbacks(void **state)
{
	struct rig rig;
	char byte;
	SSL *ssl;

	(void)state;
	for (int when = IN_OPENED; when <= REFUSING; when++) {
		struct quitter quitter = { .when = (enum when)when };

		rig_init(&rig);
		rig_start(&rig, &quitting, &quitter);
		ssl = rig_connect(&rig, &(struct client_options){ .certificate = &rig.client }, NULL);
		client_write(ssl, "hello", 5);
		if (when == IN_ENDED)
			SSL_shutdown(ssl);
		while (client_read(ssl, &byte, 1))
			;
		client_close(ssl);
		if (when != REFUSING)
			assert_true(wait_for(&quitter.door.closed, 1));
		rig_stop(&rig);
		assert_int_equal(quitter.door.opened, 1);
		assert_int_equal(quitter.door.closed, when == REFUSING ? 0 : 1);
		assert_int_equal(rig_lines(&rig, "disconnected"), 1);
		rig_fini(&rig);
	}
}

/* The last answer arrives although the client is still sending, and no more than a little of that is read. */
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

static void
test_last_answer_arrives(void **state)
{
	struct flood flood = { .total = 256 * 1024 * 1024 };
	struct door door = { 0 };
	struct rig rig;
	pthread_t thread;
	char got[9];
	SSL *ssl;

	(void)state;
	rig_init(&rig);
	rig_start(&rig, &last, &door);
	ssl = rig_connect(&rig, &(struct client_options){ .certificate = &rig.client }, NULL);
	flood.ssl = ssl;
	assert_int_equal(pthread_create(&thread, NULL, flood_run, &flood), 0);
	pthread_join(thread, NULL); /* ends by a reset */
	assert_int_equal(flood.done, 0);
	SSL_set_shutdown(ssl, 0);
	assert_true(wait_for(&door.closed, 1));
	assert_true(door.received <= LOOP_SCRATCH);
	client_close(ssl);

	/* A client that looks up now and then finds it. */
	ssl = rig_connect(&rig, &(struct client_options){ .certificate = &rig.client }, NULL);
	flood.ssl = ssl;
	flood.total = 48 * 1024;
	flood_run(&flood);
	assert_true(client_read(ssl, got, sizeof(got)));
	assert_memory_equal(got, "too large", 9);
	assert_false(client_read(ssl, got, 1));
	client_close(ssl);
	rig_stop(&rig);
	rig_fini(&rig);
}

static void
count_link(void *arg, struct link *link)
{
	struct link_stat stat;
	unsigned *count = arg;

	link_stat(link, &stat);
	if (strcmp(stat.peer, "chu-test") != 0 || strcmp(stat.state, "open") != 0 || stat.bytes_in != 4)
		abort();
	(*count)++;
}

static void
close_link(void *arg, struct link *link)
{
	(void)arg;
	link_close(link);
}

static void
stop_listening(struct rig *rig, struct door *door)
{
	unsigned count = 0;

	(void)door;
	listener_each(rig->listener, count_link, &count);
	if (count != 2 || listener_links(rig->listener) != 2)
		abort();
	listener_stop(rig->listener);
}

static void
close_all(struct rig *rig, struct door *door)
{
	(void)door;
	listener_each(rig->listener, close_link, NULL);
}

static void
test_stopping(void **state)
{
	struct door door = { 0 };
	struct rig rig;
	SSL *ssl[2];
	char got[4];

	(void)state;
	rig_init(&rig);
	rig_start(&rig, &echo, &door);
	for (int i = 0; i < 2; i++) {
		ssl[i] = rig_connect(&rig, &(struct client_options){ .certificate = &rig.client }, NULL);
		assert_true(client_write(ssl[i], "ping", 4));
		assert_true(client_read(ssl[i], got, 4));
	}
	on_loop(&rig, &door, stop_listening);
	/* Open links outlive the listening. */
	assert_true(client_write(ssl[0], "pong", 4));
	assert_true(client_read(ssl[0], got, 4));
	on_loop(&rig, &door, close_all);
	assert_false(client_read(ssl[0], got, 1));
	assert_false(client_read(ssl[1], got, 1));
	client_close(ssl[0]);
	assert_true(wait_for(&door.closed, 1));
	/* The second one is left to listener_free. */
	rig_stop(&rig);
	assert_int_equal(door.closed, 2);
	client_close(ssl[1]);
	rig_fini(&rig);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pipelined_echo),
		cmocka_unit_test(test_rude_ends),
		cmocka_unit_test(test_pause_before_reading),
		cmocka_unit_test(test_pause_behind_what_was_read_ahead),
		cmocka_unit_test(test_pause_and_resume),
		cmocka_unit_test(test_deadlines),
		cmocka_unit_test(test_dropping_inside_callbacks),
		cmocka_unit_test(test_last_answer_arrives),
		cmocka_unit_test(test_stopping),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
