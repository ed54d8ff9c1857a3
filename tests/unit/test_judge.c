/* SPDX-License-Identifier: Apache-2.0 */
/* Open links judged anew: who must go goes within seconds, with the reason; who may stay notices nothing. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <sys/socket.h>

#include "broker/net/judge.h"
#include "net_door.h"

#ifndef LINKS
#define LINKS 200
#endif

/* Two peers: one shows `client`, two shows `second`. */
struct trial {
	struct rig rig; /* first */
	struct door door;
	struct certificate second;
	struct config_identity identities[2];
	struct config_peer peers[2];
	/* For the loop thread. */
	struct config today;
	struct config_peer today_peers[2];
	struct tls_context *today_tls;
	struct link_judge *judge;
	atomic_uint done;
	size_t judged, dropped;
};

static void *
any_opened(struct link *link, struct peer *peer, void *door)
{
	(void)peer;
	return side_new(link, door);
}

static const struct link_handler any = { .opened = any_opened, .input = echo_input, .closed = side_closed };

static void
trial_init(struct trial *trial)
{
	memset(trial, 0, sizeof(*trial));
	rig_init(&trial->rig);
	certificate_make(&trial->second,
	    &(struct certificate_options){ .name = "second", .usage = "clientAuth" }, &trial->rig.root);
	trial->identities[0] =
	    (struct config_identity){ IDENTITY_SUBJECT, "CN=Test root", "CN=client", { 0 } };
	trial->identities[1] =
	    (struct config_identity){ IDENTITY_SUBJECT, "CN=Test root", "CN=second", { 0 } };
	for (size_t i = 0; i < 2; i++)
		trial->peers[i] = (struct config_peer){ .name = i ? "two" : "one",
			.identities = &trial->identities[i],
			.identity_count = 1,
			.max_connections = 2000,
			.may_send = true };
	trial->rig.config.peers = trial->peers;
	trial->rig.config.peer_count = 2;
	memcpy(trial->today_peers, trial->peers, sizeof(trial->peers));
	rig_start(&trial->rig, &any, &trial->door);
	trial->today = trial->rig.config;
	trial->today.peers = trial->today_peers;
}

static void
judged(void *arg, size_t count, size_t dropped)
{
	struct trial *trial = arg;

	trial->judged = count;
	trial->dropped = dropped;
	trial->done = 1;
}

/* What a reload does on the loop. */
static void
go_by_today(struct rig *rig, struct door *door)
{
	struct trial *trial = (struct trial *)rig;

	(void)door;
	if (!trial->judge)
		assert_int_equal(link_judge_new(&trial->judge, rig->loop), 0);
	assert_int_equal(peers_prepare(rig->peers, &trial->today), 0);
	peers_reconfigure(rig->peers, &trial->today);
	listener_reconfigure(rig->listener, &trial->today, &rig->listener_config,
	    trial->today_tls ? trial->today_tls : rig->tls);
	assert_int_equal(links_judge(trial->judge, &rig->listener, 1, judged, trial), 0);
}

static void
reload(struct trial *trial)
{
	trial->done = 0;
	on_loop(&trial->rig, &trial->door, go_by_today);
	assert_true(wait_for(&trial->done, 1));
}

/* A context whose list of the root revokes ${revoked}. */
static struct tls_context *
context_revoking(struct trial *trial, const struct certificate *revoked)
{
	char names[4][128];
	static const char *const files[] = { "server.pem", "server.key", "ca.pem", "crls.pem" };
	struct config_tls tls = { 0 };
	struct tls_context *context = NULL;
	struct buffer errors;

	for (size_t i = 0; i < 4; i++)
		snprintf(names[i], sizeof(names[i]), "%s/%s", trial->rig.dir, files[i]);
	tls.certificate = names[0];
	tls.key = names[1];
	tls.authorities = names[2];
	tls.crls = names[3];
	crl_write(tls.crls, crl_make(&trial->rig.root, &(struct crl_options){ .revoked = revoked }), NULL);
	buffer_init(&errors, 4096);
	if (tls_server_new(&context, &tls, &errors))
		fail_msg("%.*s", (int)errors.len, (char *)errors.data);
	buffer_fini(&errors);
	unlink(tls.crls);
	return context;
}

static SSL *
connect_as(struct trial *trial, const struct certificate *certificate)
{
	unsigned before = trial->door.opened;
	SSL *ssl = rig_connect(&trial->rig, &(struct client_options){ .certificate = certificate }, NULL);

	assert_true(wait_for(&trial->door.opened, before + 1));
	return ssl;
}

static bool
lives(SSL *ssl)
{
	char back[4];

	return client_write(ssl, "ping", 4) && client_read(ssl, back, 4) && memcmp(back, "ping", 4) == 0;
}

static void
end_judging(struct rig *rig, struct door *door)
{
	(void)door;
	link_judge_free(((struct trial *)rig)->judge);
}

static void
trial_stop(struct trial *trial)
{
	on_loop(&trial->rig, &trial->door, end_judging);
	rig_stop(&trial->rig);
	tls_free(trial->today_tls);
}

static void
trial_fini(struct trial *trial)
{
	rig_fini(&trial->rig);
	certificate_fini(&trial->second);
}

static void
test_nothing_changed(void **state)
{
	struct trial trial;
	SSL *one, *two;

	(void)state;
	trial_init(&trial);
	one = connect_as(&trial, &trial.rig.client);
	two = connect_as(&trial, &trial.second);
	for (int i = 0; i < 3; i++) {
		reload(&trial);
		assert_int_equal(trial.judged, 2);
		assert_int_equal(trial.dropped, 0);
		assert_true(lives(one) && lives(two));
	}
	client_close(one);
	client_close(two);
	trial_stop(&trial);
	assert_int_equal(rig_lines(&trial.rig, "link-judged-out"), 0);
	trial_fini(&trial);
}

static void
test_revoked(void **state)
{
	struct trial trial;
	SSL *one, *two;
	bool ok;

	(void)state;
	trial_init(&trial);
	one = connect_as(&trial, &trial.rig.client);
	two = connect_as(&trial, &trial.second);
	trial.today_tls = context_revoking(&trial, &trial.second);
	reload(&trial);
	assert_int_equal(trial.judged, 2);
	assert_int_equal(trial.dropped, 1);
	assert_true(lives(one));
	assert_false(lives(two));
	assert_true(wait_for(&trial.door.closed, 1));
	assert_int_equal(trial.door.end, LINK_REVOKED);
	client_close(two);
	two = rig_connect(&trial.rig, &(struct client_options){ .certificate = &trial.second }, &ok);
	assert_false(ok && lives(two));
	client_close(two);
	client_close(one);
	trial_stop(&trial);
	assert_true(rig_logged(&trial.rig, "link-judged-out", "peer=two", "why=revoked", "CN=second", NULL));
	assert_true(rig_logged(&trial.rig, "disconnected", "peer=two", "end=revoked", NULL));
	assert_true(rig_logged(&trial.rig, "handshake-refused", "reason=revoked", NULL));
	trial_fini(&trial);
}

/* A handshake that began before the reload and ends behind it: the context of today has the last word. */
static void
test_in_the_middle_of_a_handshake(void **state)
{
	struct trial trial;
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	char hello[4096], byte;
	int fd, len;
	SSL *ssl;

	(void)state;
	trial_init(&trial);
	assert_int_equal(SSL_CTX_use_certificate(ctx, trial.second.x509), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(ctx, trial.second.key), 1);
	ssl = SSL_new(ctx);
	SSL_CTX_free(ctx);
	fd = rig_dial(&trial.rig);
	SSL_set_connect_state(ssl);
	BIO_set_mem_eof_return(in, -1);
	SSL_set_bio(ssl, in, out);
	assert_true(SSL_do_handshake(ssl) < 0);
	len = BIO_read(out, hello, sizeof(hello));
	assert_int_equal(send(fd, hello, (size_t)len, 0), len);
	/* Its answer shows that the SSL of the link is there. */
	assert_int_equal(recv(fd, &byte, 1, MSG_PEEK), 1);
	trial.today_tls = context_revoking(&trial, &trial.second);
	reload(&trial);
	assert_int_equal(trial.judged, 0);
	assert_int_equal(SSL_set_fd(ssl, fd), 1);
	if (SSL_do_handshake(ssl) == 1)
		assert_false(client_read(ssl, &byte, 1));
	client_close(ssl);
	trial_stop(&trial);
	assert_int_equal(trial.door.opened, 0);
	assert_true(rig_logged(&trial.rig, "handshake-refused", "reason=revoked", "CN=second", NULL));
	trial_fini(&trial);
}

static void
test_peers_that_changed(void **state)
{
	struct trial trial;
	SSL *one, *two;

	(void)state;
	trial_init(&trial);
	one = connect_as(&trial, &trial.rig.client);
	two = connect_as(&trial, &trial.second);
	trial.today_peers[1].may_send = false;
	reload(&trial);
	assert_int_equal(trial.dropped, 1);
	assert_true(lives(one));
	assert_false(lives(two));
	client_close(two);

	/* The certificates change hands. */
	trial.today_peers[1].may_send = true;
	reload(&trial);
	two = connect_as(&trial, &trial.second);
	trial.today_peers[0].identities = &trial.identities[1];
	trial.today_peers[1].identities = &trial.identities[0];
	reload(&trial);
	assert_int_equal(trial.dropped, 2);
	assert_false(lives(one) || lives(two));
	client_close(one);
	client_close(two);

	/* Two claim it; and one is gone. */
	one = connect_as(&trial, &trial.rig.client);
	trial.today_peers[0].identities = &trial.identities[0];
	reload(&trial);
	assert_int_equal(trial.dropped, 1);
	client_close(one);
	trial.today_peers[1].identities = &trial.identities[1];
	reload(&trial);
	two = connect_as(&trial, &trial.second);
	trial.today.peer_count = 1;
	reload(&trial);
	assert_int_equal(trial.dropped, 1);
	assert_false(lives(two));
	client_close(two);
	trial_stop(&trial);
	assert_true(rig_logged(&trial.rig, "link-judged-out", "why=\"its peer may not send\"", NULL));
	assert_true(
	    rig_logged(&trial.rig, "link-judged-out", "why=\"its certificate is another peer's\"", NULL));
	assert_true(rig_logged(&trial.rig, "link-judged-out", "why=\"more than one peer", NULL));
	assert_true(rig_logged(&trial.rig, "link-judged-out", "why=\"no peer of the configuration", NULL));
	trial_fini(&trial);
}

/* Many links, half of them losers, and one that works all the while. */
static void
test_many(void **state)
{
	struct timespec from, to;
	struct trial trial;
	SSL *links[LINKS];

	(void)state;
	trial_init(&trial);
	for (int i = 0; i < LINKS; i++)
		links[i] = connect_as(&trial, i % 2 ? &trial.second : &trial.rig.client);
	trial.today_tls = context_revoking(&trial, &trial.second);
	clock_gettime(CLOCK_MONOTONIC, &from);
	reload(&trial);
	clock_gettime(CLOCK_MONOTONIC, &to);
	assert_int_equal(trial.judged, LINKS);
	assert_int_equal(trial.dropped, LINKS / 2);
	for (int i = 0; i < LINKS; i++)
		assert_int_equal(lives(links[i]), i % 2 == 0);
	for (int i = 0; i < LINKS; i++)
		client_close(links[i]);
	trial_stop(&trial);
	assert_int_equal(rig_lines(&trial.rig, "link-judged-out"), LINKS / 2);
	print_message("%d links in %.0f ms\n", LINKS,
	    (double)(to.tv_sec - from.tv_sec) * 1e3 + (double)(to.tv_nsec - from.tv_nsec) / 1e6);
	trial_fini(&trial);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_changed),
		cmocka_unit_test(test_revoked),
		cmocka_unit_test(test_in_the_middle_of_a_handshake),
		cmocka_unit_test(test_peers_that_changed),
		cmocka_unit_test(test_many),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
