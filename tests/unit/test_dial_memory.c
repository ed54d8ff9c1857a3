/* SPDX-License-Identifier: Apache-2.0 */
/* The nth allocation failing while a destination is dialled and talked to: -ENOMEM, a failure that is told, or a link that ends. */
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

#include "broker/net/dial.h"
#include "broker/store/workers.h"
#include "failmalloc.h"
#include "net_rig.h"

#define SENT 9000

/* Both ends on one loop, which turns in the test: no other thread allocates. */
struct outcome_counts {
	struct rig rig;
	struct tls_context *client;
	struct workers *workers; /* of one thread that is never given anything */
	struct dialler *dialler;
	struct config_dial to;
	struct link *out, *in;
	unsigned opened, closed, failed;
	char why[64];
	size_t received;
};

static void *
in_opened(struct link *link, struct peer *peer, void *arg)
{
	struct outcome_counts *ends = arg;

	(void)peer;
	ends->in = link;
	return ends;
}

static void
in_input(void *arg, struct span bytes)
{
	struct outcome_counts *ends = arg;

	if (link_send(ends->in, bytes) != 0)
		link_drop(ends->in, LINK_RESET);
}

static void
in_closed(void *arg, enum link_end end)
{
	(void)arg;
	(void)end;
}

static void *
out_opened(struct link *link, struct peer *peer, void *arg)
{
	static const char sent[SENT];
	struct outcome_counts *ends = arg;

	(void)peer;
	ends->out = link;
	ends->opened++;
	if (link_send(link, span_make(sent, sizeof(sent))) != 0)
		link_drop(link, LINK_CLOSED_BY_US);
	return ends;
}

static void
out_input(void *arg, struct span bytes)
{
	struct outcome_counts *ends = arg;

	ends->received += bytes.len;
	if (ends->received == SENT)
		link_close(ends->out);
}

static void
out_closed(void *arg, enum link_end end)
{
	struct outcome_counts *ends = arg;

	(void)end;
	ends->closed++;
	loop_stop(ends->rig.loop);
}

static void
out_failed(void *arg, const struct dial_failure *failure)
{
	struct outcome_counts *ends = arg;

	ends->failed++;
	snprintf(ends->why, sizeof(ends->why), "%s", failure->why);
	loop_stop(ends->rig.loop);
}

static const struct link_handler in = { .opened = in_opened, .input = in_input, .closed = in_closed };
static const struct link_handler out = { .opened = out_opened, .input = out_input, .closed = out_closed };

static const char *const names[] = { "client.pem", "client.key", "ca.pem", "server.pem", "server.key" };

static void
ends_init(struct outcome_counts *ends)
{
	char files[5][128];
	struct rig *rig = &ends->rig;
	struct listener_options options = { .handler = &in, .door = ends };
	struct buffer errors;

	memset(ends, 0, sizeof(*ends));
	rig_init(rig);
	for (size_t i = 0; i < 5; i++)
		snprintf(files[i], sizeof(files[i]), "%s/%s", rig->dir, names[i]);
	certificate_write(&rig->client, files[0]);
	certificate_write_key(&rig->client, files[1], 0600);
	buffer_init(&errors, 4096);
	assert_int_equal(loop_new(&rig->loop), 0);
	assert_int_equal(
	    tls_client_new(&ends->client, &(struct config_tls){ files[0], files[1], files[2] }, &errors), 0);
	assert_int_equal(
	    tls_server_new(&rig->tls, &(struct config_tls){ files[3], files[4], files[2] }, &errors), 0);
	buffer_fini(&errors);
	assert_int_equal(peers_new(&rig->peers, &rig->config), 0);
	options.config = &rig->config;
	options.listener = &rig->listener_config;
	options.loop = rig->loop;
	options.tls = rig->tls;
	options.peers = rig->peers;
	assert_int_equal(listener_new(&rig->listener, &options), 0);
	assert_int_equal(workers_new(&ends->workers, 1, 0, loop_poster(rig->loop)), 0);
	ends->to = (struct config_dial){ .host = "127.0.0.1",
		.server_name = "127.0.0.1",
		.port = listener_port(rig->listener),
		.connect_ms = 3000 };
	unlink(files[0]);
	unlink(files[1]);
}

static int
make_dialler(struct outcome_counts *ends)
{
	struct dialler_options options = { .loop = ends->rig.loop,
		.workers = ends->workers,
		.name = "chu-lyon",
		.handler = &out,
		.door = ends,
		.failed = out_failed };

	return dialler_new(&ends->dialler, &options);
}

static void
ends_fini(struct outcome_counts *ends)
{
	dialler_free(ends->dialler);
	workers_free(ends->workers);
	tls_free(ends->client);
	listener_free(ends->rig.listener);
	peers_free(ends->rig.peers);
	tls_free(ends->rig.tls);
	loop_free(ends->rig.loop);
}

static void
test_dialling(void **state)
{
	struct outcome_counts ends;
	bool all = false;
	unsigned ended = 0;

	(void)state;
	ends_init(&ends);
	assert_int_equal(make_dialler(&ends), 0);
	for (size_t n = 1; !all; n++) {
		int rc;

		assert_true(n < 100);
		ends.received = 0;
		failmalloc_at(n);
		rc = dialler_dial(ends.dialler, &ends.rig.config, &ends.to, ends.client);
		if (rc == 0) {
			assert_int_equal(loop_run(ends.rig.loop), 0);
			assert_int_equal(ends.closed + ends.failed, ++ended);
		} else {
			assert_int_equal(rc, -ENOMEM);
		}
		all = failmalloc_off();
	}
	assert_int_equal(ends.received, SENT);
	assert_true(ends.opened >= 1 && ends.opened == ends.closed);
	ends_fini(&ends);
	rig_fini(&ends.rig);
}

static void
test_making(void **state)
{
	struct outcome_counts ends;

	(void)state;
	ends_init(&ends);
	for (size_t n = 1;; n++) {
		int rc;

		failmalloc_at(n);
		rc = make_dialler(&ends);
		if (failmalloc_off())
			break;
		assert_int_equal(rc, -ENOMEM);
	}
	/* The lookup's own memory; then no room for a lookup. */
	ends.to.host = "two.test";
	failmalloc_at(1);
	assert_int_equal(dialler_dial(ends.dialler, &ends.rig.config, &ends.to, ends.client), -ENOMEM);
	assert_false(failmalloc_off());
	assert_int_equal(dialler_dial(ends.dialler, &ends.rig.config, &ends.to, ends.client), 0);
	assert_int_equal(loop_run(ends.rig.loop), 0);
	assert_int_equal(ends.failed, 1);
	assert_string_equal(ends.why, "too many names are being resolved");
	ends_fini(&ends);
	rig_fini(&ends.rig);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_making),
		cmocka_unit_test(test_dialling),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
