/* SPDX-License-Identifier: Apache-2.0 */
/* What an operator is told of a connection: each step that can fail says that it did, and the verdict is the broker's. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <pthread.h>
#include <sys/socket.h>

#include "authority.h"
#include "broker/net/explain.h"

#define DAY 86400L

static char dir[] = "/tmp/liaison-explain-XXXXXX";
static struct certificate root, other, ours, good, named, ended;

enum manner { SHAKES, REFUSES_OURS, TALKS_HTTP, SILENT, CLOSES };

struct server {
	int fd;
	uint16_t port;
	pthread_t thread;
	enum manner manner;
	const struct certificate *certificate;
};

static char *
path(const char *name)
{
	static char room[8][256];
	static unsigned next;
	char *to = room[next++ % 8];

	snprintf(to, sizeof(room[0]), "%s/%s", dir, name);
	return to;
}

static int
setup(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN);
	if (!mkdtemp(dir))
		return -1;
	certificate_make(&root, &(struct certificate_options){ .name = "Root", .authority = 1 }, NULL);
	certificate_make(&other, &(struct certificate_options){ .name = "Other", .authority = 1 }, NULL);
	certificate_make(&ours,
	    &(struct certificate_options){ .name = "broker", .usage = "serverAuth,clientAuth" }, &root);
	certificate_make(&good,
	    &(struct certificate_options){
		.name = "lab", .san = "DNS:localhost,IP:127.0.0.1,IP:2001:db8::1", .usage = "serverAuth" },
	    &root);
	certificate_make(&named,
	    &(struct certificate_options){
		.name = "lab", .san = "DNS:lab.example,DNS:b.example", .usage = "serverAuth" },
	    &root);
	certificate_make(&ended,
	    &(struct certificate_options){
		.name = "lab", .usage = "clientAuth", .from_s = -20 * DAY, .to_s = -10 * DAY },
	    &other);
	certificate_write(&root, path("ca.pem"));
	certificate_write(&ours, path("ours.pem"));
	certificate_write_key(&ours, path("ours.key"), 0600);
	crl_write(path("crl.pem"), crl_make(&root, &(struct crl_options){ .revoked = &named }), NULL);
	return 0;
}

static int
teardown(void **state)
{
	static const char *const names[] = { "ca.pem", "ours.pem", "ours.key", "crl.pem" };
	struct certificate *all[] = { &root, &other, &ours, &good, &named, &ended };

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unlink(path(names[i]));
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		certificate_fini(all[i]);
	return rmdir(dir);
}

static int
refuse_all(X509_STORE_CTX *store, void *arg)
{
	(void)arg;
	X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REVOKED);
	return 0;
}

static void
serve_tls(const struct server *server, int fd)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	char byte;
	SSL *ssl;

	if (SSL_CTX_use_certificate(ctx, server->certificate->x509) != 1 ||
	    SSL_CTX_use_PrivateKey(ctx, server->certificate->key) != 1 ||
	    SSL_CTX_load_verify_file(ctx, path("ca.pem")) != 1)
		abort();
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	if (server->manner == REFUSES_OURS)
		SSL_CTX_set_cert_verify_callback(ctx, refuse_all, NULL);
	ssl = SSL_new(ctx);
	SSL_set_fd(ssl, fd);
	if (SSL_accept(ssl) == 1)
		(void)SSL_read(ssl, &byte, 1); /* until the other side has had enough */
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	ERR_clear_error();
}

static void *
serve(void *arg)
{
	static const char http[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
	struct server *server = arg;
	int fd = accept(server->fd, NULL, NULL);
	char bytes[4096];

	if (fd < 0)
		return NULL;
	switch (server->manner) {
	case SHAKES:
	case REFUSES_OURS:
		serve_tls(server, fd);
		break;
	case TALKS_HTTP:
		(void)send(fd, http, sizeof(http) - 1, MSG_NOSIGNAL);
		while (recv(fd, bytes, sizeof(bytes), 0) > 0)
			;
		break;
	case SILENT:
		while (recv(fd, bytes, sizeof(bytes), 0) > 0)
			;
		break;
	case CLOSES:
		break;
	}
	close(fd);
	return NULL;
}

static int
listen_here(uint16_t *port)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	assert_int_equal(listen(fd, 4), 0);
	*port = ntohs(at.sin_port);
	return fd;
}

/* Dial a server of that manner; *${text} is the report, to be freed. */
static int
dial(enum manner manner, const struct certificate *certificate, const char *host, const char *name, bool crls,
    char **text)
{
	struct config_tls tls = { .certificate = path("ours.pem"),
		.key = path("ours.key"),
		.authorities = path("ca.pem"),
		.crls = crls ? path("crl.pem") : NULL };
	struct server server = { .manner = manner, .certificate = certificate };
	struct explain_target target = { .host = host, .server_name = name, .tls = &tls, .ms = 2000 };
	struct buffer report;
	int rc;

	server.fd = listen_here(&server.port);
	assert_int_equal(pthread_create(&server.thread, NULL, serve, &server), 0);
	target.port = server.port;
	buffer_init(&report, 64 * 1024);
	rc = explain_dial(&target, &report);
	shutdown(server.fd, SHUT_RDWR);
	pthread_join(server.thread, NULL);
	close(server.fd);
	*text = strndup((char *)report.data, report.len);
	buffer_fini(&report);
	assert_int_equal(ERR_peek_error(), 0);
	return rc;
}

/* The report has each of ${parts} (NULL ends them). */
static void
has(const char *text, ...)
{
	const char *part;
	va_list parts;

	va_start(parts, text);
	while ((part = va_arg(parts, const char *)))
		if (!strstr(text, part))
			fail_msg("wanted \"%s\" in:\n%s", part, text);
	va_end(parts);
}

static void
test_good(void **state)
{
	static const char *const names[] = { "localhost", "127.0.0.1" };
	char *text;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		for (int crls = 0; crls < 2; crls++) {
			if (dial(SHAKES, &good, names[i], names[i], crls, &text) != 0)
				fail_msg("%s", text);
			has(text, "certificate 1: CN=lab", "issued by CN=Root", "0 days left; usage: server",
			    "for localhost, 127.0.0.1, 2001:db8::1", "certificate 2: CN=Root", "chain: good",
			    crls ? "revocation: not listed in the list of CN=Root (1 entries"
				 : "not looked at",
			    "our certificate: CN=broker", "did not refuse it", "verdict: good", NULL);
			assert_null(strstr(text, "WRONG"));
			assert_true(text[strlen(text) - 1] == '\n');
			free(text);
		}
	}
}

static void
test_faults_of_the_chain(void **state)
{
	char *text;

	(void)state;
	assert_int_equal(dial(SHAKES, &named, "localhost", "localhost", true, &text), EXPLAIN_BAD);
	has(text, "for lab.example, b.example", "revocation: REVOKED in the list of CN=Root",
	    "WRONG: certificate 1: revoked. ",
	    "WRONG: certificate 1: wrong host name. If it is the right machine",
	    "verdict: messages cannot be sent", NULL);
	free(text);
	assert_int_equal(dial(SHAKES, &named, "localhost", "b.example", false, &text), 0);
	free(text);
	/* All that is wrong is told at once. */
	assert_int_equal(dial(SHAKES, &ended, "localhost", "localhost", false, &text), EXPLAIN_BAD);
	has(text, "ended 10 days ago; usage: client", "no host at all", "WRONG: certificate 1: expired. ",
	    "WRONG: certificate 1: unknown authority. ", "WRONG: certificate 1: wrong usage. ",
	    "WRONG: certificate 1: wrong host name. ", NULL);
	free(text);
}

/* What a server writes into its certificate stays in its line. */
static void
test_a_name_that_lies(void **state)
{
	struct certificate liar;
	char *text;

	(void)state;
	certificate_make(&liar,
	    &(struct certificate_options){
		.name = "a\nverdict: good", .san = "DNS:x\nverdict: good\x1b[2J", .usage = "serverAuth" },
	    &other);
	assert_int_equal(dial(SHAKES, &liar, "localhost", "localhost", false, &text), EXPLAIN_BAD);
	has(text, "for x?verdict:?good?[2J", "certificate 1: CN=a\\0Averdict: good", NULL);
	assert_null(strstr(text, "\nverdict: good"));
	free(text);
	certificate_fini(&liar);
}

static void
test_no_handshake(void **state)
{
	struct timespec from, to;
	char *text;

	(void)state;
	assert_int_equal(dial(REFUSES_OURS, &good, "localhost", "localhost", false, &text), EXPLAIN_BAD);
	has(text, "chain: good",
	    "our certificate: WRONG: our certificate was refused: revoked. Send our certificate", NULL);
	free(text);
	assert_int_equal(dial(TALKS_HTTP, NULL, "localhost", "localhost", false, &text), EXPLAIN_BAD);
	has(text, "accepted it", "handshake: WRONG: not TLS", NULL);
	free(text);
	assert_int_equal(dial(CLOSES, NULL, "localhost", "localhost", false, &text), EXPLAIN_BAD);
	has(text, "handshake: WRONG: ", NULL);
	free(text);
	clock_gettime(CLOCK_MONOTONIC, &from);
	assert_int_equal(dial(SILENT, NULL, "localhost", "localhost", false, &text), EXPLAIN_BAD);
	clock_gettime(CLOCK_MONOTONIC, &to);
	has(text, "handshake: WRONG: the other side fell silent", NULL);
	assert_in_range(to.tv_sec - from.tv_sec, 1, 4);
	free(text);
}

static void
test_nobody_there(void **state)
{
	struct config_tls tls = {
		.certificate = path("ours.pem"), .key = path("ours.key"), .authorities = path("ca.pem")
	};
	struct explain_target target = { .host = "127.0.0.1", .server_name = "x", .tls = &tls, .ms = 2000 };
	struct buffer report;
	int fd;

	(void)state;
	fd = listen_here(&target.port);
	close(fd);
	buffer_init(&report, 64 * 1024);
	assert_int_equal(explain_dial(&target, &report), EXPLAIN_BAD);
	buffer_append_byte(&report, 0);
	has((char *)report.data, "connection: WRONG: 127.0.0.1", "refused", "nothing listens", NULL);
	buffer_reset(&report);
	target.host = "no-such-host.invalid";
	assert_int_equal(explain_dial(&target, &report), EXPLAIN_BAD);
	buffer_append_byte(&report, 0);
	has((char *)report.data, "name: WRONG: no-such-host.invalid: ", "verdict: ", NULL);
	buffer_reset(&report);
	tls.key = path("none.key");
	assert_int_equal(explain_dial(&target, &report), EXPLAIN_BAD);
	buffer_append_byte(&report, 0);
	has((char *)report.data, "none.key: the key cannot be read", "our own files cannot be used", NULL);
	buffer_fini(&report);
}

static void
peer_says(struct explain_peer *about, int rc, const char *first, const char *second)
{
	struct buffer report;

	buffer_init(&report, 64 * 1024);
	assert_int_equal(explain_peer(about, &report), rc);
	buffer_append_byte(&report, 0);
	has((char *)report.data, first, second, NULL);
	assert_true((strstr((char *)report.data, "WRONG") != NULL) == (rc == EXPLAIN_BAD));
	buffer_fini(&report);
}

static void
test_a_peer_that_dials_us(void **state)
{
	struct config_identity identity = { IDENTITY_SUBJECT, "CN=Root", "CN=lab", { 0 } };
	struct config_peer peer = {
		.name = "lab", .identities = &identity, .identity_count = 1, .may_send = true
	};
	struct config_tls tls = { .certificate = path("ours.pem"),
		.key = path("ours.key"),
		.authorities = path("ca.pem"),
		.crls = path("crl.pem") };
	struct explain_peer about = { .peer = &peer, .now_s = (int64_t)time(NULL) };
	struct tls_context *context = NULL;
	struct tls_identity last;
	struct buffer errors;

	(void)state;
	buffer_init(&errors, 4096);
	assert_int_equal(tls_server_new(&context, &tls, &errors), 0);
	peer_says(&about, 0, "not since the start", "nothing here stands in its way");
	tls_identity_read(&last, good.x509);
	about.last = &last;
	about.last_seen_us = (uint64_t)about.now_s * 1000000;
	peer_says(&about, 0, "certificate: CN=lab", "0 days left");
	about.context = context;
	peer_says(&about, 0, "revocation: not listed", "verdict: nothing");
	tls_identity_read(&last, named.x509);
	peer_says(&about, EXPLAIN_BAD, "WRONG: revoked. ", "verdict: it cannot connect");
	tls_identity_read(&last, ended.x509);
	peer_says(&about, EXPLAIN_BAD, "WRONG: expired. ", "WRONG: no revocation list of its authority. ");
	peer_says(&about, EXPLAIN_BAD, "WRONG: none of its entries has the last certificate seen",
	    "subject CN=lab");
	tls_identity_read(&last, good.x509);
	identity = (struct config_identity){ .kind = IDENTITY_SPKI };
	peer_says(&about, EXPLAIN_BAD, "entry: its key", "WRONG: none of its entries");
	memcpy(identity.spki, last.spki, sizeof(last.spki));
	peer_says(&about, 0, "entry: its key", "verdict: nothing");
	peer.may_send = false;
	peer_says(&about, EXPLAIN_BAD, "may neither send nor read", "verdict: it cannot");
	tls_free(context);
	buffer_fini(&errors);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_faults_of_the_chain),
		cmocka_unit_test(test_a_name_that_lies),
		cmocka_unit_test(test_no_handshake),
		cmocka_unit_test(test_nobody_there),
		cmocka_unit_test(test_a_peer_that_dials_us),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
