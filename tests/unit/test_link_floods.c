/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Peers that send as many TLS records as they can, with next to nothing in them: the loop serves the others meanwhile.
 *
 * The records are made beforehand, so that they come faster than they can be read.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/err.h>
#include <sys/socket.h>

#include "broker/base/clock.h"
#include "net_door.h"

/* A turn of the loop may take this long at most, on the slowest machine and under sanitizers. */
#define TURN_US ((uint64_t)250000)

/* Records as they stand on the wire. */
struct records {
	SSL *ssl;
	char *bytes;
	size_t len;
};

/* ${make} writes one record; ${count} of them. */
static void
records_make(struct records *records, SSL *ssl, void (*make)(SSL *ssl), size_t count)
{
	BIO *memory = BIO_new(BIO_s_mem()), *wire = SSL_get_wbio(ssl);
	char *bytes;

	assert_non_null(memory);
	*records = (struct records){ .ssl = ssl };
	BIO_up_ref(wire);
	SSL_set0_wbio(ssl, memory);
	for (size_t i = 0; i < count; i++)
		make(ssl);
	records->len = (size_t)BIO_get_mem_data(memory, &bytes);
	records->bytes = malloc(records->len);
	assert_non_null(records->bytes);
	memcpy(records->bytes, bytes, records->len);
	SSL_set0_wbio(ssl, wire);
}

/* All of them, and behind them one with a byte. */
static void *
records_send(void *arg)
{
	struct records *records = arg;
	size_t at = 0;

	while (at < records->len) {
		ssize_t n =
		    send(SSL_get_fd(records->ssl), records->bytes + at, records->len - at, MSG_NOSIGNAL);

		if (n <= 0)
			break;
		at += (size_t)n;
	}
	if (!client_write(records->ssl, "y", 1))
		abort();
	return NULL;
}

static void
key_update(SSL *ssl)
{
	if (SSL_key_update(ssl, SSL_KEY_UPDATE_NOT_REQUESTED) != 1 || SSL_do_handshake(ssl) != 1)
		abort();
}

static void
one_byte(SSL *ssl)
{
	if (SSL_write(ssl, "x", 1) != 1)
		abort();
}

static void
nothing(struct rig *rig, struct door *door)
{
	(void)rig;
	(void)door;
}

static void
swallow(void *arg, struct span bytes)
{
	struct side *side = arg;

	side->door->received += bytes.len;
}

static const struct link_handler swallower = {
	.opened = echo_opened,
	.input = swallow,
	.closed = side_closed,
};

/* The longest that the loop keeps somebody waiting while ${count} records of ${make}, with ${content} bytes in all, come. */
static uint64_t
longest_turn(void (*make)(SSL *ssl), size_t count, size_t content)
{
	struct door door = { 0 };
	struct records records;
	uint64_t longest = 0;
	pthread_t thread;
	struct rig rig;
	SSL *ssl;

	rig_init(&rig);
	rig_start(&rig, &swallower, &door);
	ssl = rig_connect(&rig, &(struct client_options){ .certificate = &rig.client }, NULL);
	assert_true(wait_for(&door.opened, 1));
	records_make(&records, ssl, make, count);
	assert_int_equal(pthread_create(&thread, NULL, records_send, &records), 0);
	while (door.received < content + 1 && door.closed == 0) {
		uint64_t before = clock_mono_us(), took;

		on_loop(&rig, &door, nothing);
		took = clock_mono_us() - before;
		longest = took > longest ? took : longest;
	}
	pthread_join(thread, NULL);
	assert_int_equal(door.received, content + 1);
	client_close(ssl);
	assert_true(wait_for(&door.closed, 1));
	rig_stop(&rig);
	rig_fini(&rig);
	free(records.bytes);
	return longest;
}

static void
test_key_updates(void **state)
{
	(void)state;
	assert_in_range(longest_turn(key_update, 60000, 0), 0, TURN_US);
}

static void
test_one_byte_each(void **state)
{
	(void)state;
	assert_in_range(longest_turn(one_byte, 400000, 400000), 0, TURN_US);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_key_updates),
		cmocka_unit_test(test_one_byte_each),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
