/* SPDX-License-Identifier: Apache-2.0 */
/* The nth allocation failing: loops, contexts, peers, listeners and links give up cleanly, and serve again as soon as there is memory. */
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

#include "broker/net/link.h"
#include "failmalloc.h"
#include "net_rig.h"

/* The rig's parts without its thread: the loop turns in the test, so that no other thread allocates. */
struct parts {
	struct rig rig;
	struct config_tls tls;
	char files[3][128];
};

static void
parts_init(struct parts *parts)
{
	static const char *const names[] = { "server.pem", "server.key", "ca.pem" };

	rig_init(&parts->rig);
	for (size_t i = 0; i < 3; i++)
		snprintf(parts->files[i], sizeof(parts->files[i]), "%s/%s", parts->rig.dir, names[i]);
	parts->tls = (struct config_tls){ parts->files[0], parts->files[1], parts->files[2] };
}

static int
parts_open(struct parts *parts, const struct link_handler *handler, void *door)
{
	struct rig *rig = &parts->rig;
	struct listener_options options = {
		.config = &rig->config,
		.listener = &rig->listener_config,
		.handler = handler,
		.door = door,
	};
	struct buffer errors;
	int rc;

	buffer_init(&errors, 4096);
	rc = loop_new(&rig->loop);
	if (rc)
		goto out;
	rc = tls_server_new(&rig->tls, &parts->tls, &errors);
	if (rc)
		goto out;
	rc = peers_new(&rig->peers, &rig->config);
	if (rc)
		goto out;
	options.loop = rig->loop;
	options.tls = rig->tls;
	options.peers = rig->peers;
	rc = listener_new(&rig->listener, &options);
out:
	buffer_fini(&errors);
	return rc;
}

static void
parts_close(struct parts *parts)
{
	struct rig *rig = &parts->rig;

	listener_free(rig->listener);
	peers_free(rig->peers);
	tls_free(rig->tls);
	loop_free(rig->loop);
	rig->listener = NULL;
	rig->peers = NULL;
	rig->tls = NULL;
	rig->loop = NULL;
}

struct echo {
	struct link *link;
	unsigned opened, closed;
};

static void *
opened(struct link *link, struct peer *peer, void *arg)
{
	struct echo *echo = arg;

	(void)peer;
	echo->link = link;
	echo->opened++;
	return echo;
}

static void
input(void *arg, struct span bytes)
{
	struct echo *echo = arg;
	int rc = link_send(echo->link, bytes);

	if (rc == -ENOMEM) {
		if (link_output(echo->link) != 0)
			abort(); /* all or nothing: this was the first */
		link_drop(echo->link, LINK_RESET);
	} else if (rc != 0) {
		abort();
	}
}

static void
closed(void *arg, enum link_end end)
{
	struct echo *echo = arg;

	(void)end;
	echo->closed++;
}

static const struct link_handler handler = { .opened = opened, .input = input, .closed = closed };

#define SENT 9000

struct talk {
	struct parts *parts;
	bool echoed;
};

/* Our own code allocates nothing here: what fails, fails on the other side. */
static void *
talk_run(void *arg)
{
	static const char sent[SENT];
	char got[SENT];
	struct talk *talk = arg;
	bool ok;
	SSL *ssl;

	ssl = rig_connect(
	    &talk->parts->rig, &(struct client_options){ .certificate = &talk->parts->rig.client }, &ok);
	talk->echoed = ok && client_write(ssl, sent, sizeof(sent)) && client_read(ssl, got, sizeof(got));
	client_close(ssl);
	loop_stop(talk->parts->rig.loop);
	return NULL;
}

static void
test_opening(void **state)
{
	struct parts parts;
	struct echo echo = { 0 };
	int rc;

	(void)state;
	parts_init(&parts);
	for (size_t n = 1;; n++) {
		failmalloc_at(n);
		rc = parts_open(&parts, &handler, &echo);
		if (failmalloc_off()) {
			assert_int_equal(rc, 0);
			parts_close(&parts);
			break;
		}
		/* A metric's series may have to do without: then nothing fails. */
		if (rc != 0)
			assert_int_equal(rc, -ENOMEM);
		parts_close(&parts);
	}
	rig_fini(&parts.rig);
}

static void
test_serving(void **state)
{
	struct parts parts;
	struct echo echo = { 0 };
	struct talk talk = { .parts = &parts };
	pthread_t thread;
	bool all = false;

	(void)state;
	parts_init(&parts);
	assert_int_equal(parts_open(&parts, &handler, &echo), 0);
	for (size_t n = 1; !all; n++) {
		assert_int_equal(pthread_create(&thread, NULL, talk_run, &talk), 0);
		failmalloc_at(n);
		assert_int_equal(loop_run(parts.rig.loop), 0);
		all = failmalloc_off();
		pthread_join(thread, NULL);
		/* The loop may have stopped before it saw the end. */
		if (all)
			assert_true(talk.echoed);
		assert_true(n < 100);
	}
	assert_true(echo.opened >= 1);
	parts_close(&parts);
	assert_int_equal(echo.opened, echo.closed);
	rig_fini(&parts.rig);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_opening),
		cmocka_unit_test(test_serving),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
