/* SPDX-License-Identifier: Apache-2.0 */
/* Every handshake that must fail does, and the log says which certificate and why. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <sys/socket.h>

#include "broker/base/metrics.h"
#include "net_rig.h"

struct door {
	unsigned opened, closed;
};

static void *
opened(struct link *link, struct peer *peer, void *arg)
{
	struct door *door = arg;

	(void)link;
	(void)peer;
	door->opened++;
	return door;
}

static void
input(void *arg, struct span bytes)
{
	(void)arg;
	(void)bytes;
}

static void
closed(void *arg, enum link_end end)
{
	struct door *door = arg;

	(void)end;
	door->closed++;
}

static const struct link_handler handler = { .opened = opened, .input = input, .closed = closed };

static int64_t
unauthenticated(void)
{
	return metric_value(metric_series(METRIC_UNAUTHENTICATED_BYTES, NULL));
}

/* A refused link lingers until it has seen our end; then what it counted is told. */
static void
wait_unauthenticated(int64_t value)
{
	for (int i = 0; i < 1000 && unauthenticated() < value; i++)
		usleep(10000);
	assert_int_equal(unauthenticated(), value);
}

static int64_t
refusals(const char *reason)
{
	return metric_value(metric_series(METRIC_HANDSHAKES_REFUSED, reason));
}

/* The connection is of no use: a read ends without a byte. */
static void
assert_dead(SSL *ssl, bool ok)
{
	char byte;

	if (ok)
		assert_false(client_read(ssl, &byte, 1));
	client_close(ssl);
}

struct bad {
	const char *reason;
	struct certificate_options options;
	enum { BY_ROOT, BY_OTHER, BY_ITSELF } by;
	int version;
};

static void
refuse_one(const struct bad *bad)
{
	const int64_t before = refusals(bad->reason), bytes = unauthenticated();
	struct certificate certificate, other;
	struct door door = { 0 };
	struct rig rig;
	char reason[64];
	bool ok;
	SSL *ssl;

	rig_init(&rig);
	certificate_make(&other, &(struct certificate_options){ .name = "Other root", .authority = 1 }, NULL);
	certificate_make(&certificate, &bad->options,
	    bad->by == BY_ROOT	  ? &rig.root
	    : bad->by == BY_OTHER ? &other
				  : NULL);
	rig_start(&rig, &handler, &door);
	ssl = rig_connect(
	    &rig, &(struct client_options){ .certificate = &certificate, .version = bad->version }, &ok);
	if (bad->version == TLS1_2_VERSION)
		assert_false(ok);
	assert_dead(ssl, ok);
	rig_stop(&rig);
	snprintf(
	    reason, sizeof(reason), strchr(bad->reason, ' ') ? " reason=\"%s\"" : " reason=%s", bad->reason);
	if (!rig_logged(&rig, "handshake-refused", "address=127.0.0.1:", "listener=mllp-test", reason,
		bad->options.organisation ? "subject=\"CN=client,O=Test hospital\"" : "subject=\"CN=client\"",
		"issuer=\"CN=", "serial=", "not_before=", "not_after=", NULL))
		fail_msg("%s: %s", bad->reason, rig.log);
	assert_true(rig_logged(&rig, "before-authentication", "bytes=", NULL));
	assert_int_equal(rig_lines(&rig, "handshake-refused"), 1);
	assert_int_equal(rig_lines(&rig, " connected "), 0);
	assert_int_equal(refusals(bad->reason), before + 1);
	assert_true(unauthenticated() > bytes + 200);
	assert_int_equal(door.opened, 0);
	certificate_fini(&certificate);
	certificate_fini(&other);
	rig_fini(&rig);
}

static void
test_bad_certificates(void **state)
{
	const struct bad cases[] = {
		{ "expired",
		    { .name = "client", .from_s = -7200, .to_s = -60, .organisation = "Test hospital" },
		    BY_ROOT, 0 },
		{ "not yet valid", { .name = "client", .from_s = 600, .to_s = 7200 }, BY_ROOT, 0 },
		{ "unknown authority", { .name = "client" }, BY_OTHER, 0 },
		{ "self-signed", { .name = "client" }, BY_ITSELF, 0 },
		{ "wrong usage", { .name = "client", .usage = "serverAuth" }, BY_ROOT, 0 },
		{ "weak key", { .name = "client", .rsa_bits = 1024 }, BY_ROOT, 0 },
		{ "weak signature", { .name = "client", .digest = "SHA1" }, BY_ROOT, 0 },
		{ "expired", { .name = "client", .from_s = -7200, .to_s = -60 }, BY_ROOT, TLS1_2_VERSION },
		{ "unknown authority", { .name = "client" }, BY_OTHER, TLS1_2_VERSION },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		refuse_one(&cases[i]);
}

/* A certificate of the right names whose signature is not the authority's. */
static void
test_bad_signature(void **state)
{
	struct certificate liar, forged;
	struct door door = { 0 };
	struct rig rig;
	bool ok;
	SSL *ssl;

	(void)state;
	rig_init(&rig);
	certificate_make(&liar, &(struct certificate_options){ .name = "Test root", .authority = 1 }, NULL);
	certificate_make(&forged, &(struct certificate_options){ .name = "client" }, &rig.root);
	assert_true(X509_sign(forged.x509, liar.key, EVP_sha256()) > 0);
	rig_start(&rig, &handler, &door);
	ssl = rig_connect(&rig, &(struct client_options){ .certificate = &forged }, &ok);
	assert_dead(ssl, ok);
	rig_stop(&rig);
	assert_true(
	    rig_logged(&rig, "handshake-refused", "reason=\"bad signature\"", "subject=\"CN=client\"", NULL));
	certificate_fini(&liar);
	certificate_fini(&forged);
	rig_fini(&rig);
}

static void
test_no_certificate_and_old_version(void **state)
{
	struct door door = { 0 };
	struct rig rig;
	bool ok;
	SSL *ssl;

	(void)state;
	rig_init(&rig);
	rig_start(&rig, &handler, &door);
	ssl = rig_connect(&rig, &(struct client_options){ 0 }, &ok);
	assert_dead(ssl, ok);
	ssl = rig_connect(
	    &rig, &(struct client_options){ .certificate = &rig.client, .version = TLS1_1_VERSION }, &ok);
	assert_false(ok);
	assert_dead(ssl, ok);
	rig_stop(&rig);
	assert_true(rig_logged(&rig, "handshake-refused", "reason=\"no certificate\"", NULL));
	assert_true(rig_logged(&rig, "handshake-refused", "reason=\"protocol version\"", NULL));
	assert_int_equal(door.opened, 0);
	rig_fini(&rig);
}

static void
test_plain_text(void **state)
{
	static const char mllp[] = "\x0bMSH|^~\\&|A|B|C|D|20260101||ADT^A01|1|P|2.5\r\x1c\r";
	static const char http[] = "GET /v1/inboxes HTTP/1.1\r\nHost: a\r\n\r\n";
	const int64_t before = unauthenticated();
	struct door door = { 0 };
	struct rig rig;
	char rest[64];
	int fd;

	(void)state;
	rig_init(&rig);
	rig_start(&rig, &handler, &door);
	fd = rig_dial(&rig);
	assert_int_equal(send(fd, mllp, sizeof(mllp) - 1, 0), sizeof(mllp) - 1);
	while (recv(fd, rest, sizeof(rest), 0) > 0)
		;
	close(fd);
	fd = rig_dial(&rig);
	assert_int_equal(send(fd, http, sizeof(http) - 1, 0), sizeof(http) - 1);
	while (recv(fd, rest, sizeof(rest), 0) > 0)
		;
	close(fd);
	wait_unauthenticated(before + 46 + 37);
	rig_stop(&rig);
	assert_int_equal(rig_lines(&rig, "reason=\"not TLS\""), 2);
	/* All that was sent is counted, nothing of it is shown. */
	assert_true(rig_logged(&rig, "before-authentication", "bytes=46", NULL));
	assert_true(rig_logged(&rig, "before-authentication", "bytes=37", NULL));
	assert_false(rig_logged(&rig, "MSH", NULL));
	assert_int_equal(door.opened, 0);
	rig_fini(&rig);
}

static void
test_time_out_and_silence(void **state)
{
	const int64_t before = unauthenticated();
	struct door door = { 0 };
	struct rig rig;
	char byte;
	int silent, slow, gone;

	(void)state;
	rig_init(&rig);
	rig.config.limits.handshake_ms = 300;
	rig_start(&rig, &handler, &door);
	silent = rig_dial(&rig);
	slow = rig_dial(&rig);
	gone = rig_dial(&rig);
	close(gone);
	/* The deadline is absolute: a byte now and then does not move it. */
	assert_int_equal(send(slow, "\x16", 1, MSG_NOSIGNAL), 1);
	usleep(150000);
	assert_int_equal(send(slow, "\x03", 1, MSG_NOSIGNAL), 1);
	assert_int_equal(recv(silent, &byte, 1, 0), 0);
	assert_int_equal(recv(slow, &byte, 1, 0), 0);
	close(silent);
	close(slow);
	wait_unauthenticated(before + 2);
	rig_stop(&rig);
	assert_int_equal(rig_lines(&rig, "reason=timeout"), 2);
	assert_int_equal(rig_lines(&rig, "reason=closed"), 1);
	assert_int_equal(rig_lines(&rig, "before-authentication"), 1);
	assert_true(rig_logged(&rig, "before-authentication", "bytes=2", NULL));
	rig_fini(&rig);
}

static void
test_unknown_peer(void **state)
{
	struct certificate stranger;
	struct door door = { 0 };
	struct rig rig;
	bool ok;
	SSL *ssl;

	(void)state;
	rig_init(&rig);
	certificate_make(
	    &stranger, &(struct certificate_options){ .name = "client", .organisation = "Other" }, &rig.root);
	rig_start(&rig, &handler, &door);
	ssl = rig_connect(&rig, &(struct client_options){ .certificate = &stranger }, &ok);
	assert_true(ok);
	assert_dead(ssl, ok);
	rig_stop(&rig);
	assert_true(rig_logged(&rig, "peer-unknown", "subject=\"CN=client,O=Other\"",
	    "issuer=\"CN=Test root\"", "spki=", "no peer of the configuration", NULL));
	assert_int_equal(rig_lines(&rig, "handshake-refused"), 0);
	assert_int_equal(rig_lines(&rig, "before-authentication"), 0);
	assert_int_equal(door.opened, 0);
	certificate_fini(&stranger);
	rig_fini(&rig);
}

/* A session may be resumed; the certificate behind it must still be a peer's, and not have ended meanwhile. */
static void
test_resumption(void **state)
{
	struct certificate brief;
	struct door door = { 0 };
	struct rig rig;
	SSL_SESSION *session;
	char byte;
	bool ok;
	SSL *ssl;

	(void)state;
	rig_init(&rig);
	certificate_make(
	    &brief, &(struct certificate_options){ .name = "client", .from_s = -60, .to_s = 2 }, &rig.root);
	rig_start(&rig, &handler, &door);
	/* TLS 1.2 gives the ticket within the handshake. */
	ssl = rig_connect(
	    &rig, &(struct client_options){ .certificate = &brief, .version = TLS1_2_VERSION }, &ok);
	assert_true(ok);
	session = SSL_get1_session(ssl);
	client_close(ssl);
	ssl = rig_connect(&rig,
	    &(struct client_options){ .certificate = &brief, .version = TLS1_2_VERSION, .resume = session },
	    &ok);
	assert_true(ok);
	assert_int_equal(SSL_session_reused(ssl), 1);
	client_close(ssl);
	usleep(3200000);
	ssl = rig_connect(&rig,
	    &(struct client_options){ .certificate = &brief, .version = TLS1_2_VERSION, .resume = session },
	    &ok);
	if (ok)
		assert_false(client_read(ssl, &byte, 1));
	client_close(ssl);
	rig_stop(&rig);
	assert_true(
	    rig_logged(&rig, " connected ", "resumed=no", "tls=TLSv1.2", "cipher=ECDHE-ECDSA-", NULL));
	assert_true(rig_logged(&rig, " connected ", "resumed=yes", NULL));
	assert_true(rig_logged(&rig, "handshake-refused", "reason=expired", "subject=\"CN=client\"", NULL));
	assert_int_equal(door.opened, 2);
	assert_int_equal(door.closed, 2);
	SSL_SESSION_free(session);
	certificate_fini(&brief);
	rig_fini(&rig);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad_certificates),
		cmocka_unit_test(test_bad_signature),
		cmocka_unit_test(test_no_certificate_and_old_version),
		cmocka_unit_test(test_plain_text),
		cmocka_unit_test(test_time_out_and_silence),
		cmocka_unit_test(test_unknown_peer),
		cmocka_unit_test(test_resumption),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
