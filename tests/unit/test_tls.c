/* SPDX-License-Identifier: Apache-2.0 */
/* Contexts refuse what they should, in words; a client knows a wrong server. Handshakes run in memory. */
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

#include "authority.h"
#include "broker/net/tls.h"

static char dir[] = "/tmp/liaison-tls-XXXXXX";
static struct certificate root, server, client;

static char *
path(const char *name)
{
	static char room[4][256];
	static unsigned next;
	char *to = room[next++ % 4];

	snprintf(to, sizeof(room[0]), "%s/%s", dir, name);
	return to;
}

static int
setup(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	certificate_make(&root, &(struct certificate_options){ .name = "Test root", .authority = 1 }, NULL);
	certificate_make(&server,
	    &(struct certificate_options){
		.name = "broker", .san = "DNS:broker.example,IP:127.0.0.1", .usage = "serverAuth" },
	    &root);
	certificate_make(
	    &client, &(struct certificate_options){ .name = "client", .usage = "clientAuth" }, &root);
	certificate_write(&root, path("ca.pem"));
	certificate_write(&server, path("server.pem"));
	certificate_write_key(&server, path("server.key"), 0600);
	certificate_write(&client, path("client.pem"));
	certificate_write_key(&client, path("client.key"), 0400);
	certificate_write_key(&client, path("open.key"), 0640);
	return 0;
}

static int
teardown(void **state)
{
	static const char *const names[] = { "ca.pem", "server.pem", "server.key", "client.pem", "client.key",
		"open.key" };

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unlink(path(names[i]));
	certificate_fini(&root);
	certificate_fini(&server);
	certificate_fini(&client);
	return rmdir(dir);
}

/* A context of these files is refused, and the error names ${file} and says ${words}. */
static void
refused(
    const char *certificate, const char *key, const char *authorities, const char *file, const char *words)
{
	struct config_tls tls = { path(certificate), path(key), path(authorities) };
	struct tls_context *context = NULL;
	struct buffer errors;

	buffer_init(&errors, 4096);
	assert_int_equal(tls_server_new(&context, &tls, &errors), TLS_INVALID);
	assert_null(context);
	buffer_append_byte(&errors, 0);
	if (!strstr((char *)errors.data, path(file)) || !strstr((char *)errors.data, words))
		fail_msg("wanted %s and \"%s\" in: %s", file, words, (char *)errors.data);
	buffer_fini(&errors);
	assert_int_equal(ERR_peek_error(), 0);
}

static void
test_files(void **state)
{
	(void)state;
	refused("none.pem", "server.key", "ca.pem", "none.pem", "No such file");
	refused("server.pem", "none.key", "ca.pem", "none.key", "No such file");
	refused("server.pem", "server.key", "none.pem", "none.pem", "No such file");
	refused("server.pem", "client.key", "ca.pem", "client.key", "does not fit the certificate");
	refused("client.pem", "open.key", "ca.pem", "open.key", "mode is 0640, wanted 0600");
	refused("server.key", "server.key", "ca.pem", "server.key", "no usable certificate");
	refused("server.pem", "server.pem", "ca.pem", "server.pem", "mode is 06");
	refused("server.pem", "server.key", "server.key", "server.key", "no authorities");
}

static struct tls_context *
context_new(bool is_server)
{
	struct config_tls tls = { path(is_server ? "server.pem" : "client.pem"),
		path(is_server ? "server.key" : "client.key"), path("ca.pem") };
	struct tls_context *context = NULL;
	struct buffer errors;
	int rc;

	buffer_init(&errors, 4096);
	rc = is_server ? tls_server_new(&context, &tls, &errors) : tls_client_new(&context, &tls, &errors);
	if (rc)
		fail_msg("%.*s", (int)errors.len, (char *)errors.data);
	buffer_fini(&errors);
	return context;
}

/* Both ends in memory. True when both are satisfied; otherwise *${words} is why the client refused. */
static bool
shake(SSL *near, SSL *far, const char **words)
{
	struct tls_identity identity;
	BIO *one, *two;
	int rc = 0, far_rc = 0;

	*words = NULL;
	assert_int_equal(BIO_new_bio_pair(&one, 0, &two, 0), 1);
	SSL_set_bio(near, one, one);
	SSL_set_bio(far, two, two);
	SSL_set_connect_state(near);
	SSL_set_accept_state(far);
	for (int i = 0; i < 20 && (rc != 1 || far_rc != 1); i++) {
		ERR_clear_error();
		rc = SSL_do_handshake(near);
		if (rc != 1 && SSL_get_error(near, rc) == SSL_ERROR_SSL) {
			*words = tls_refusal(near, &identity);
			return false;
		}
		ERR_clear_error();
		far_rc = SSL_do_handshake(far);
		if (far_rc != 1 && SSL_get_error(far, far_rc) == SSL_ERROR_SSL) {
			*words = tls_refusal(far, &identity);
			return false;
		}
	}
	return rc == 1 && far_rc == 1;
}

/* A client that looks for ${host}: what it says of our server. NULL: content. */
static const char *
client_of(const char *host)
{
	struct tls_context *ours = context_new(true), *theirs = context_new(false);
	SSL *near = NULL, *far = SSL_new(tls_ssl_ctx(ours));
	const char *words;

	assert_int_equal(tls_client_ssl(theirs, host, &near), 0);
	if (shake(near, far, &words)) {
		assert_null(words);
		assert_string_equal(SSL_get_version(near), "TLSv1.3");
		assert_string_equal(tls_own(ours)->subject, "CN=broker");
	} else {
		assert_non_null(words);
	}
	SSL_free(near);
	SSL_free(far);
	tls_free(ours);
	tls_free(theirs);
	return words;
}

static void
test_host(void **state)
{
	(void)state;
	assert_null(client_of("broker.example"));
	assert_null(client_of("127.0.0.1"));
	assert_string_equal(client_of("other.example"), "wrong host name");
	assert_string_equal(client_of("127.0.0.2"), "wrong host name");
	assert_string_equal(client_of("::1"), "wrong host name");
}

/* TLS 1.2 with one suite: whether a server of ours takes it. */
static const char *
suite(const char *list, bool compatible)
{
	struct tls_context *ours = context_new(true), *theirs = context_new(false);
	SSL *near = SSL_new(tls_ssl_ctx(theirs)), *far = SSL_new(tls_ssl_ctx(ours));
	const char *words;

	SSL_set_security_level(near, 0);
	assert_int_equal(SSL_set_max_proto_version(near, TLS1_2_VERSION), 1);
	assert_int_equal(SSL_set_cipher_list(near, list), 1);
	assert_int_equal(shake(near, far, &words), compatible);
	if (compatible) {
		assert_string_equal(SSL_get_version(near), "TLSv1.2");
		assert_int_equal(SSL_get_secure_renegotiation_support(near), 1);
		assert_int_equal(SSL_renegotiate(far), 0);
	}
	SSL_free(near);
	SSL_free(far);
	tls_free(ours);
	tls_free(theirs);
	ERR_clear_error();
	return words;
}

static void
test_suites(void **state)
{
	(void)state;
	assert_null(suite("ECDHE-ECDSA-AES128-GCM-SHA256", true));
	assert_null(suite("ECDHE-ECDSA-CHACHA20-POLY1305", true));
	assert_string_equal(suite("ECDHE-ECDSA-AES128-SHA256", false), "no common cipher");
	assert_string_equal(suite("ECDHE-ECDSA-AES256-SHA", false), "no common cipher");
}

static void
test_words(void **state)
{
	(void)state;
	assert_string_equal(tls_verify_words(X509_V_OK), "good");
	assert_string_equal(tls_verify_words(X509_V_ERR_CERT_HAS_EXPIRED), "expired");
	assert_string_equal(tls_verify_words(-5), "certificate refused");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_host),
		cmocka_unit_test(test_suites),
		cmocka_unit_test(test_words),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
