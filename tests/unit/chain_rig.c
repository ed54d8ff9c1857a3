/* SPDX-License-Identifier: Apache-2.0 */
/* Authorities, certificates, contexts and handshakes in memory: see chain_rig.h. */
#include "chain_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/err.h>
#include <openssl/pem.h>

static char dir[] = "/tmp/liaison-chain-XXXXXX";
struct certificate root, between, stranger, server, client, below, limited;

char *
chain_path(const char *name)
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
	FILE *stream = fopen(chain_path(name), "w");

	assert_non_null(stream);
	assert_int_equal(PEM_write_X509(stream, one->x509), 1);
	if (two)
		assert_int_equal(PEM_write_X509(stream, two->x509), 1);
	assert_int_equal(fclose(stream), 0);
}

int
chain_setup(void **state)
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
	certificate_write(&server, chain_path("server.pem"));
	certificate_write_key(&server, chain_path("server.key"), 0600);
	return 0;
}

int
chain_teardown(void **state)
{
	static const char *const names[] = { "root.pem", "both.pem", "between.pem", "server.pem",
		"server.key", "crls.pem" };
	struct certificate *all[] = { &root, &between, &stranger, &server, &client, &below, &limited };

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unlink(chain_path(names[i]));
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		certificate_fini(all[i]);
	return rmdir(dir);
}

/* A context of ${authorities} and crls.pem (${crls}), NULL and *${errors} when it is refused. */
struct tls_context *
chain_context(const char *authorities, bool crls, bool as_server, char *said, size_t size)
{
	struct config_tls tls = { .certificate = chain_path("server.pem"),
		.key = chain_path("server.key"),
		.authorities = chain_path(authorities),
		.crls = crls ? chain_path("crls.pem") : NULL };
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

struct tls_context *
chain_must(const char *authorities, bool crls)
{
	char said[1024];
	struct tls_context *context = chain_context(authorities, crls, true, said, sizeof(said));

	if (!context)
		fail_msg("%s", said);
	return context;
}

/* A client of ${certificate} that shows ${extra}, too; ${session} resumes. */
SSL *
chain_client(const struct certificate *certificate, const struct certificate *extra, SSL_SESSION *session)
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
const char *
chain_shake(SSL *near, SSL *far)
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
SSL_SESSION *
chain_session(SSL *near, SSL *far)
{
	SSL_SESSION *session = SSL_get1_session(near);

	SSL_shutdown(near);
	SSL_free(near);
	SSL_free(far);
	return session;
}

void
chain_good(const char *words)
{
	if (words)
		fail_msg("%s", words);
}
