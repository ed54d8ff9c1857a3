/* SPDX-License-Identifier: Apache-2.0 */
/* Revocation lists: which are believed, what they make of a chain at the handshake, later, and when a session is resumed. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "authority.h"
#include "broker/net/tls.h"
#include "failmalloc.h"

#define HOUR 3600L
#define DAY  (24 * HOUR)

static char dir[] = "/tmp/liaison-crl-XXXXXX";
static struct certificate root, between, stranger, server, client, below, limited;

static char *
path(const char *name)
{
	static char room[8][256];
	static unsigned next;
	char *to = room[next++ % 8];

	snprintf(to, sizeof(room[0]), "%s/%s", dir, name);
	return to;
}

static void
write_pair(const char *name, const struct certificate *one, const struct certificate *two)
{
	FILE *stream = fopen(path(name), "w");

	assert_non_null(stream);
	assert_int_equal(PEM_write_X509(stream, one->x509), 1);
	if (two)
		assert_int_equal(PEM_write_X509(stream, two->x509), 1);
	assert_int_equal(fclose(stream), 0);
}

static int
setup(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	certificate_make(&root, &(struct certificate_options){ .name = "Root", .authority = 1 }, NULL);
	certificate_make(&between, &(struct certificate_options){ .name = "Between", .authority = 1 }, &root);
	certificate_make(
	    &stranger, &(struct certificate_options){ .name = "Stranger", .authority = 1 }, NULL);
	certificate_make(&server,
	    &(struct certificate_options){
		.name = "broker", .san = "DNS:broker.example", .usage = "serverAuth" },
	    &root);
	certificate_make(
	    &client, &(struct certificate_options){ .name = "client", .usage = "clientAuth" }, &root);
	certificate_make(
	    &below, &(struct certificate_options){ .name = "below", .usage = "clientAuth" }, &between);
	certificate_make(&limited,
	    &(struct certificate_options){
		.name = "limited", .usage = "clientAuth", .points = "URI:http://crl.example/7" },
	    &root);
	write_pair("root.pem", &root, NULL);
	write_pair("both.pem", &root, &between);
	write_pair("between.pem", &between, NULL);
	certificate_write(&server, path("server.pem"));
	certificate_write_key(&server, path("server.key"), 0600);
	return 0;
}

static int
teardown(void **state)
{
	static const char *const names[] = { "root.pem", "both.pem", "between.pem", "server.pem",
		"server.key", "crls.pem" };
	struct certificate *all[] = { &root, &between, &stranger, &server, &client, &below, &limited };

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unlink(path(names[i]));
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		certificate_fini(all[i]);
	return rmdir(dir);
}

/* A context of ${authorities} and crls.pem (${crls}), NULL and *${errors} when it is refused. */
static struct tls_context *
context_of(const char *authorities, bool crls, bool as_server, char *said, size_t size)
{
	struct config_tls tls = { .certificate = path("server.pem"),
		.key = path("server.key"),
		.authorities = path(authorities),
		.crls = crls ? path("crls.pem") : NULL };
	struct tls_context *context = NULL;
	struct buffer errors;
	int rc;

	buffer_init(&errors, 8192);
	rc = as_server ? tls_server_new(&context, &tls, &errors) : tls_client_new(&context, &tls, &errors);
	assert_true(rc == 0 || rc == TLS_INVALID);
	assert_true((rc == 0) == (errors.len == 0));
	snprintf(said, size, "%.*s", (int)errors.len, (char *)errors.data);
	buffer_fini(&errors);
	assert_int_equal(ERR_peek_error(), 0);
	return context;
}

static struct tls_context *
must_context(const char *authorities, bool crls)
{
	char said[1024];
	struct tls_context *context = context_of(authorities, crls, true, said, sizeof(said));

	if (!context)
		fail_msg("%s", said);
	return context;
}

/* crls.pem as it lies there is refused, in both directions, with ${words}. */
static void
unbelieved(const char *words)
{
	for (int as_server = 0; as_server < 2; as_server++) {
		char said[1024];
		struct tls_context *context = context_of("both.pem", true, as_server, said, sizeof(said));

		assert_null(context);
		if (!strstr(said, path("crls.pem")) || !strstr(said, words))
			fail_msg("wanted \"%s\" in: %s", words, said);
	}
}

static void
write_text(const char *text)
{
	FILE *stream = fopen(path("crls.pem"), "w");

	assert_non_null(stream);
	assert_true(fputs(text, stream) >= 0);
	assert_int_equal(fclose(stream), 0);
}

static void
one_list(const struct certificate *issuer, struct crl_options options)
{
	crl_write(path("crls.pem"), crl_make(issuer, &options), NULL);
}

static void
test_what_is_not_believed(void **state)
{
	(void)state;
	unlink(path("crls.pem"));
	unbelieved("cannot be read: No such file");
	write_text("");
	unbelieved("no revocation list in PEM form");
	write_text("nothing of the kind\n");
	unbelieved("no revocation list in PEM form");
	write_text("-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n");
	unbelieved("cannot be read");
	one_list(&stranger, (struct crl_options){ 0 });
	unbelieved("of CN=Stranger is of no authority of tls.authorities");
	one_list(&root, (struct crl_options){ .key = stranger.key });
	unbelieved("of CN=Root has a signature that is not its authority's");
	one_list(&root, (struct crl_options){ .digest = "SHA1" });
	unbelieved("weak digest");
	one_list(&root, (struct crl_options){ .delta = 1 });
	unbelieved("is a delta list");
	one_list(&root, (struct crl_options){ .scope = "critical,indirectCRL:TRUE" });
	unbelieved("is an indirect list");
	one_list(&root, (struct crl_options){ .scope = "critical,onlysomereasons:keyCompromise" });
	unbelieved("tells of some certificates or reasons only");
	one_list(&root, (struct crl_options){ .from_s = HOUR, .to_s = DAY });
	unbelieved("is not valid yet");
	/* One bad among good ones refuses the file. */
	crl_write(path("crls.pem"), crl_make(&root, &(struct crl_options){ 0 }),
	    crl_make(&stranger, &(struct crl_options){ 0 }), NULL);
	unbelieved("of CN=Stranger is of no authority");
}

/* A client of ${certificate} that shows ${extra}, too; ${session} resumes. */
static SSL *
client_ssl(const struct certificate *certificate, const struct certificate *extra, SSL_SESSION *session)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl;

	assert_non_null(ctx);
	assert_int_equal(
	    SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION), 1); /* the ticket comes in the handshake */
	assert_int_equal(SSL_CTX_use_certificate(ctx, certificate->x509), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(ctx, certificate->key), 1);
	if (extra)
		assert_int_equal(SSL_CTX_add1_chain_cert(ctx, extra->x509), 1);
	ssl = SSL_new(ctx);
	SSL_CTX_free(ctx);
	if (session)
		assert_int_equal(SSL_set_session(ssl, session), 1);
	return ssl;
}

/* Both ends in memory; NULL, or why ${far} refused. */
static const char *
shake(SSL *near, SSL *far)
{
	struct tls_identity identity;
	BIO *one, *two;
	int rc = 0, far_rc = 0;

	assert_int_equal(BIO_new_bio_pair(&one, 0, &two, 0), 1);
	SSL_set_bio(near, one, one);
	SSL_set_bio(far, two, two);
	SSL_set_connect_state(near);
	SSL_set_accept_state(far);
	for (int i = 0; i < 20 && (rc != 1 || far_rc != 1); i++) {
		ERR_clear_error();
		rc = SSL_do_handshake(near);
		ERR_clear_error();
		far_rc = SSL_do_handshake(far);
		if (far_rc != 1 && SSL_get_error(far, far_rc) == SSL_ERROR_SSL)
			return tls_refusal(far, &identity);
	}
	assert_true(rc == 1 && far_rc == 1);
	return NULL;
}

/* The session of ${near}, and both ends closed in order: a connection that breaks takes its session with it. */
static SSL_SESSION *
session_of(SSL *near, SSL *far)
{
	SSL_SESSION *session = SSL_get1_session(near);

	SSL_shutdown(near);
	SSL_free(near);
	SSL_free(far);
	return session;
}

/* What the lists in crls.pem make of a chain. */
static const char *
verdict(const char *authorities, const struct certificate *certificate, const struct certificate *extra)
{
	struct tls_context *context = must_context(authorities, true);
	SSL *near = client_ssl(certificate, extra, NULL), *far = SSL_new(tls_ssl_ctx(context));
	const char *words = shake(near, far);

	SSL_free(near);
	SSL_free(far);
	tls_free(context);
	return words;
}

static void
good(const char *words)
{
	if (words)
		fail_msg("%s", words);
}

static void
test_revoked(void **state)
{
	(void)state;
	one_list(&root, (struct crl_options){ 0 });
	good(verdict("root.pem", &client, NULL));
	one_list(&root, (struct crl_options){ .revoked = &limited });
	good(verdict("root.pem", &client, NULL));
	one_list(&root, (struct crl_options){ .revoked = &client });
	assert_string_equal(verdict("root.pem", &client, NULL), "revoked");
	/* Of two editions the newer counts, whichever stands first: a certificate put on hold may be released. */
	crl_write(path("crls.pem"),
	    crl_make(&root, &(struct crl_options){ .from_s = -2 * HOUR, .to_s = HOUR, .revoked = &client }),
	    crl_make(&root, &(struct crl_options){ .from_s = -HOUR, .to_s = HOUR }), NULL);
	good(verdict("root.pem", &client, NULL));
	crl_write(path("crls.pem"), crl_make(&root, &(struct crl_options){ .from_s = -HOUR, .to_s = HOUR }),
	    crl_make(&root, &(struct crl_options){ .from_s = -60, .to_s = HOUR, .revoked = &client }), NULL);
	assert_string_equal(verdict("root.pem", &client, NULL), "revoked");
}

static void
test_the_whole_chain(void **state)
{
	(void)state;
	/* An authority without a list fails closed: at the bottom, and above. */
	one_list(&root, (struct crl_options){ 0 });
	good(verdict("both.pem", &client, NULL));
	assert_string_equal(verdict("both.pem", &below, NULL), "no revocation list of its authority");
	assert_string_equal(verdict("root.pem", &below, &between), "no revocation list of its authority");
	one_list(&between, (struct crl_options){ 0 });
	assert_string_equal(verdict("both.pem", &below, NULL), "no revocation list of its authority");
	assert_string_equal(verdict("both.pem", &client, NULL), "no revocation list of its authority");
	/* An intermediate one that is listed alone is trusted as it stands; listed with its root it is looked up. */
	good(verdict("between.pem", &below, NULL));
	crl_write(path("crls.pem"), crl_make(&root, &(struct crl_options){ 0 }),
	    crl_make(&between, &(struct crl_options){ 0 }), NULL);
	good(verdict("both.pem", &below, NULL));
	good(verdict("both.pem", &below, &between));
	crl_write(path("crls.pem"), crl_make(&root, &(struct crl_options){ .revoked = &between }),
	    crl_make(&between, &(struct crl_options){ 0 }), NULL);
	assert_string_equal(verdict("both.pem", &below, NULL), "authority revoked");
	assert_string_equal(verdict("both.pem", &below, &between), "authority revoked");
	good(verdict("both.pem", &client, NULL));
	crl_write(path("crls.pem"), crl_make(&root, &(struct crl_options){ 0 }),
	    crl_make(&between, &(struct crl_options){ .revoked = &below }), NULL);
	assert_string_equal(verdict("both.pem", &below, NULL), "revoked");
}

static void
test_grace(void **state)
{
	const int64_t now_s = (int64_t)time(NULL);
	struct tls_crl_status status;
	struct tls_context *context;
	struct tls_crl crl;

	(void)state;
	one_list(&root, (struct crl_options){ .from_s = -9 * DAY, .to_s = -71 * HOUR });
	good(verdict("root.pem", &client, NULL));
	one_list(&root, (struct crl_options){ .from_s = -9 * DAY, .to_s = -73 * HOUR });
	assert_string_equal(verdict("root.pem", &client, NULL), "revocation list too old");
	/* What a list told stays told. */
	one_list(&root, (struct crl_options){ .from_s = -9 * DAY, .to_s = -73 * HOUR, .revoked = &client });
	assert_string_equal(verdict("root.pem", &client, NULL), "revoked");

	crl_write(path("crls.pem"), crl_make(&root, &(struct crl_options){ .from_s = -DAY, .to_s = DAY }),
	    crl_make(&between, &(struct crl_options){ .from_s = -DAY, .to_s = HOUR, .revoked = &below }),
	    NULL);
	context = must_context("both.pem", true);
	tls_crl_status(context, now_s, &status);
	assert_int_equal(status.count, 2);
	assert_string_equal(status.issuer, "CN=Between");
	assert_true(llabs(status.next_update - now_s - HOUR) < 10);
	assert_true(!status.stale && !status.closed);
	tls_crl_status(context, status.next_update + 1, &status);
	assert_true(status.stale && !status.closed);
	tls_crl_status(context, status.next_update + TLS_CRL_GRACE_S, &status);
	assert_true(status.stale && !status.closed);
	tls_crl_status(context, status.next_update + TLS_CRL_GRACE_S + 1, &status);
	assert_true(status.stale && status.closed);
	assert_true(tls_crl_at(context, 0, &crl) && crl.revoked == 0);
	assert_true(tls_crl_at(context, 1, &crl) && crl.revoked == 1);
	assert_string_equal(crl.issuer, "CN=Between");
	assert_false(tls_crl_at(context, 2, &crl));
	tls_free(context);
	context = must_context("both.pem", false);
	tls_crl_status(context, now_s, &status);
	assert_true(status.count == 0 && !status.stale && !status.closed);
	tls_free(context);
}

static void
test_scopes(void **state)
{
	(void)state;
	/* A list of authorities says nothing of users. */
	one_list(&root, (struct crl_options){ .scope = "critical,onlyCA:TRUE", .revoked = &client });
	assert_string_equal(verdict("root.pem", &client, NULL), "no revocation list of its authority");
	one_list(&root, (struct crl_options){ .scope = "critical,onlyuser:TRUE", .revoked = &client });
	assert_string_equal(verdict("root.pem", &client, NULL), "revoked");
	one_list(&root, (struct crl_options){ .scope = "critical,onlyuser:TRUE" });
	good(verdict("root.pem", &client, NULL));
	/* A part of the certificates is a part by its distribution point. */
	one_list(&root, (struct crl_options){ .scope = "critical,fullname:URI:http://crl.example/7" });
	good(verdict("root.pem", &limited, NULL));
	assert_string_equal(verdict("root.pem", &client, NULL), "no revocation list of its authority");
	one_list(&root, (struct crl_options){ .scope = "critical,fullname:URI:http://crl.example/8" });
	assert_string_equal(verdict("root.pem", &limited, NULL), "no revocation list of its authority");
	/* Parts stand beside each other. */
	crl_write(path("crls.pem"),
	    crl_make(&root, &(struct crl_options){ .scope = "critical,onlyCA:TRUE", .revoked = &between }),
	    crl_make(&root, &(struct crl_options){ .scope = "critical,onlyuser:TRUE" }),
	    crl_make(&between, &(struct crl_options){ 0 }), NULL);
	good(verdict("both.pem", &client, NULL));
	assert_string_equal(verdict("both.pem", &below, NULL), "authority revoked");
}

/* An open connection, judged under other contexts. */
static void
test_judge(void **state)
{
	struct tls_context *before, *revoked, *other;
	struct tls_identity identity;
	const char *why = NULL;
	SSL *near, *far;

	(void)state;
	crl_write(path("crls.pem"), crl_make(&root, &(struct crl_options){ 0 }),
	    crl_make(&between, &(struct crl_options){ .revoked = &below }), NULL);
	revoked = must_context("both.pem", true);
	other = must_context("between.pem", false);
	before = must_context("root.pem", false);
	near = client_ssl(&below, &between, NULL);
	far = SSL_new(tls_ssl_ctx(before));
	good(shake(near, far));
	assert_ptr_equal(tls_of(far), before);
	assert_int_equal(tls_judge(before, far, &identity, &why), 0);
	assert_string_equal(identity.subject, "CN=below");
	assert_int_equal(tls_judge(other, far, &identity, &why), 0);
	assert_int_equal(tls_judge(revoked, far, &identity, &why), TLS_JUDGED_BAD);
	assert_string_equal(why, "revoked");
	assert_string_equal(identity.subject, "CN=below");
	SSL_free(near);
	SSL_free(far);
	near = client_ssl(&client, NULL, NULL);
	far = SSL_new(tls_ssl_ctx(before));
	good(shake(near, far));
	tls_free(before); /* the connection goes on, and can still be judged */
	assert_int_equal(tls_judge(other, far, &identity, &why), TLS_JUDGED_BAD);
	assert_string_equal(why, "unknown authority");
	assert_int_equal(tls_judge(revoked, far, &identity, &why), 0);
	SSL_free(near);
	SSL_free(far);
	tls_free(revoked);
	tls_free(other);
}

/* A ticket holds the leaf alone: its intermediate comes from memory, and the lists have the last word. */
static void
test_resumption(void **state)
{
	struct tls_context *context = must_context("root.pem", false), *today;
	struct certificate brief;
	struct tls_identity identity;
	SSL_SESSION *session;
	const char *why = NULL;
	SSL *near, *far;

	(void)state;
	near = client_ssl(&below, &between, NULL);
	far = SSL_new(tls_ssl_ctx(context));
	good(shake(near, far));
	session = session_of(near, far);
	near = client_ssl(&below, NULL, session);
	far = SSL_new(tls_ssl_ctx(context));
	good(shake(near, far));
	assert_int_equal(SSL_session_reused(far), 1);
	assert_null(SSL_get_peer_cert_chain(far));
	assert_int_equal(tls_judge(context, far, &identity, &why), 0);
	/* Under the context of a reload, with the intermediate that the former context remembers. */
	today = must_context("root.pem", false);
	assert_int_equal(tls_judge(today, far, &identity, &why), 0);
	tls_free(today);
	crl_write(path("crls.pem"), crl_make(&root, &(struct crl_options){ .revoked = &between }),
	    crl_make(&between, &(struct crl_options){ 0 }), NULL);
	today = must_context("both.pem", true);
	assert_int_equal(tls_judge(today, far, &identity, &why), TLS_JUDGED_BAD);
	assert_string_equal(why, "authority revoked");
	assert_string_equal(identity.subject, "CN=Between");
	SSL_free(near);
	SSL_free(far);
	/* A ticket of another context is no ticket. */
	near = client_ssl(&below, &between, session);
	far = SSL_new(tls_ssl_ctx(today));
	assert_string_equal(shake(near, far), "authority revoked");
	SSL_free(near);
	SSL_free(far);
	SSL_SESSION_free(session);
	tls_free(today);

	certificate_make(&brief,
	    &(struct certificate_options){ .name = "brief", .usage = "clientAuth", .from_s = -60, .to_s = 2 },
	    &root);
	near = client_ssl(&brief, NULL, NULL);
	far = SSL_new(tls_ssl_ctx(context));
	good(shake(near, far));
	session = session_of(near, far);
	usleep(3200000);
	near = client_ssl(&brief, NULL, session);
	far = SSL_new(tls_ssl_ctx(context));
	assert_string_equal(shake(near, far), "expired");
	SSL_free(near);
	SSL_free(far);
	SSL_SESSION_free(session);
	certificate_fini(&brief);
	tls_free(context);
}

/* More intermediates than are remembered: the oldest is forgotten, and its ticket makes a full handshake. */
static void
test_memory_is_bounded(void **state)
{
	struct tls_context *context = must_context("root.pem", false);
	SSL_SESSION *first = NULL, *session = NULL;
	struct certificate above, leaf, first_leaf = { 0 }, first_above = { 0 };
	SSL *near, *far;

	(void)state;
	for (int i = 0; i <= TLS_KNOWN; i++) {
		certificate_make(
		    &above, &(struct certificate_options){ .name = "Above", .authority = 1 }, &root);
		certificate_make(
		    &leaf, &(struct certificate_options){ .name = "leaf", .usage = "clientAuth" }, &above);
		near = client_ssl(&leaf, &above, NULL);
		far = SSL_new(tls_ssl_ctx(context));
		good(shake(near, far));
		SSL_SESSION_free(session);
		session = session_of(near, far);
		if (i == 0) {
			first = SSL_SESSION_dup(session);
			first_leaf = leaf;
			first_above = above;
		} else if (i < TLS_KNOWN) {
			certificate_fini(&leaf);
			certificate_fini(&above);
		}
	}
	near = client_ssl(&leaf, &above, session);
	far = SSL_new(tls_ssl_ctx(context));
	good(shake(near, far));
	assert_int_equal(SSL_session_reused(far), 1);
	SSL_shutdown(near);
	SSL_free(near);
	SSL_free(far);
	near = client_ssl(&first_leaf, &first_above, first);
	far = SSL_new(tls_ssl_ctx(context));
	good(shake(near, far));
	assert_int_equal(SSL_session_reused(far), 0);
	SSL_free(near);
	SSL_free(far);
	SSL_SESSION_free(session);
	SSL_SESSION_free(first);
	certificate_fini(&leaf);
	certificate_fini(&above);
	certificate_fini(&first_leaf);
	certificate_fini(&first_above);
	tls_free(context);
}

/* Every allocation of ours fails in turn: -ENOMEM, nothing half made, nothing leaked. */
static void
test_memory_that_fails(void **state)
{
	struct config_tls tls = { .certificate = path("server.pem"),
		.key = path("server.key"),
		.authorities = path("both.pem"),
		.crls = path("crls.pem") };
	struct tls_context *context;
	struct buffer errors;
	size_t n;

	(void)state;
	crl_write(path("crls.pem"), crl_make(&root, &(struct crl_options){ 0 }),
	    crl_make(&between, &(struct crl_options){ 0 }), NULL);
	for (n = 1;; n++) {
		int rc;

		context = NULL;
		buffer_init(&errors, 4096);
		failmalloc_at(n);
		rc = tls_server_new(&context, &tls, &errors);
		if (failmalloc_off()) {
			assert_int_equal(rc, 0);
			break;
		}
		assert_int_equal(rc, -ENOMEM);
		assert_null(context);
		buffer_fini(&errors);
	}
	assert_true(n > 4);
	buffer_fini(&errors);
	tls_free(context);
}

static void
test_check(void **state)
{
	struct config_tls tls = { .certificate = path("server.pem"),
		.key = path("server.key"),
		.authorities = path("both.pem"),
		.crls = path("crls.pem") };
	struct buffer errors;

	(void)state;
	buffer_init(&errors, 8192);
	crl_write(path("crls.pem"), crl_make(&root, &(struct crl_options){ 0 }),
	    crl_make(&between, &(struct crl_options){ 0 }), NULL);
	assert_int_equal(tls_check(&tls, false, &errors), 0);
	crl_write(
	    path("crls.pem"), crl_make(&root, &(struct crl_options){ .from_s = -DAY, .to_s = -HOUR }), NULL);
	assert_int_equal(tls_check(&tls, false, &errors), TLS_INVALID);
	buffer_append_byte(&errors, 0);
	assert_non_null(
	    strstr((char *)errors.data, "the revocation list of CN=Root should have been replaced by"));
	assert_non_null(strstr((char *)errors.data, "no revocation list of CN=Between"));
	buffer_fini(&errors);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_not_believed),
		cmocka_unit_test(test_revoked),
		cmocka_unit_test(test_the_whole_chain),
		cmocka_unit_test(test_grace),
		cmocka_unit_test(test_scopes),
		cmocka_unit_test(test_judge),
		cmocka_unit_test(test_resumption),
		cmocka_unit_test(test_memory_is_bounded),
		cmocka_unit_test(test_memory_that_fails),
		cmocka_unit_test(test_check),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
