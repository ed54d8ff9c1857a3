/* SPDX-License-Identifier: Apache-2.0 */
/* Revocation lists: which are believed, and what they make of a chain. */
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

#include "chain_rig.h"
#include "failmalloc.h"

#define HOUR 3600L
#define DAY  (24 * HOUR)

/* crls.pem as it lies there is refused, in both directions, with ${words}. */
static void
unbelieved(const char *words)
{
	for (int as_server = 0; as_server < 2; as_server++) {
		char said[1024];
		struct tls_context *context = chain_context("both.pem", true, as_server, said, sizeof(said));

		assert_null(context);
		if (!strstr(said, chain_path("crls.pem")) || !strstr(said, words))
			fail_msg("wanted \"%s\" in: %s", words, said);
	}
}

static void
write_text(const char *text)
{
	FILE *stream = fopen(chain_path("crls.pem"), "w");

	assert_non_null(stream);
	assert_true(fputs(text, stream) >= 0);
	assert_int_equal(fclose(stream), 0);
}

static void
one_list(const struct certificate *issuer, struct crl_options options)
{
	crl_write(chain_path("crls.pem"), crl_make(issuer, &options), NULL);
}

static void
test_what_is_not_believed(void **state)
{
	(void)state;
	unlink(chain_path("crls.pem"));
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
	crl_write(chain_path("crls.pem"), crl_make(&root, &(struct crl_options){ 0 }),
	    crl_make(&stranger, &(struct crl_options){ 0 }), NULL);
	unbelieved("of CN=Stranger is of no authority");
}

/* What the lists in crls.pem make of a chain. */
static const char *
verdict(const char *authorities, const struct certificate *certificate, const struct certificate *extra)
{
	struct tls_context *context = chain_must(authorities, true);
	SSL *near = chain_client(certificate, extra, NULL), *far = SSL_new(tls_ssl_ctx(context));
	const char *words = chain_shake(near, far);

	SSL_free(near);
	SSL_free(far);
	tls_free(context);
	return words;
}

static void
test_revoked(void **state)
{
	(void)state;
	one_list(&root, (struct crl_options){ 0 });
	chain_good(verdict("root.pem", &client, NULL));
	one_list(&root, (struct crl_options){ .revoked = &limited });
	chain_good(verdict("root.pem", &client, NULL));
	one_list(&root, (struct crl_options){ .revoked = &client });
	assert_string_equal(verdict("root.pem", &client, NULL), "revoked");
	/* Of two editions the newer counts, whichever stands first: a certificate put on hold may be released. */
	crl_write(chain_path("crls.pem"),
	    crl_make(&root, &(struct crl_options){ .from_s = -2 * HOUR, .to_s = HOUR, .revoked = &client }),
	    crl_make(&root, &(struct crl_options){ .from_s = -HOUR, .to_s = HOUR }), NULL);
	chain_good(verdict("root.pem", &client, NULL));
	crl_write(chain_path("crls.pem"),
	    crl_make(&root, &(struct crl_options){ .from_s = -HOUR, .to_s = HOUR }),
	    crl_make(&root, &(struct crl_options){ .from_s = -60, .to_s = HOUR, .revoked = &client }), NULL);
	assert_string_equal(verdict("root.pem", &client, NULL), "revoked");
}

static void
test_the_whole_chain(void **state)
{
	(void)state;
	/* An authority without a list fails closed: at the bottom, and above. */
	one_list(&root, (struct crl_options){ 0 });
	chain_good(verdict("both.pem", &client, NULL));
	assert_string_equal(verdict("both.pem", &below, NULL), "no revocation list of its authority");
	assert_string_equal(verdict("root.pem", &below, &between), "no revocation list of its authority");
	one_list(&between, (struct crl_options){ 0 });
	assert_string_equal(verdict("both.pem", &below, NULL), "no revocation list of its authority");
	assert_string_equal(verdict("both.pem", &client, NULL), "no revocation list of its authority");
	/* An intermediate one that is listed alone is trusted as it stands; listed with its root it is looked up. */
	chain_good(verdict("between.pem", &below, NULL));
	crl_write(chain_path("crls.pem"), crl_make(&root, &(struct crl_options){ 0 }),
	    crl_make(&between, &(struct crl_options){ 0 }), NULL);
	chain_good(verdict("both.pem", &below, NULL));
	chain_good(verdict("both.pem", &below, &between));
	crl_write(chain_path("crls.pem"), crl_make(&root, &(struct crl_options){ .revoked = &between }),
	    crl_make(&between, &(struct crl_options){ 0 }), NULL);
	assert_string_equal(verdict("both.pem", &below, NULL), "authority revoked");
	assert_string_equal(verdict("both.pem", &below, &between), "authority revoked");
	chain_good(verdict("both.pem", &client, NULL));
	crl_write(chain_path("crls.pem"), crl_make(&root, &(struct crl_options){ 0 }),
	    crl_make(&between, &(struct crl_options){ .revoked = &below }), NULL);
	assert_string_equal(verdict("both.pem", &below, NULL), "revoked");
}

/* Listed authorities above one another are looked up to the top, though the chain ends at the first of them. */
static void
test_authorities_of_authorities(void **state)
{
	struct certificate deep, leaf;
	FILE *stream = fopen(chain_path("three.pem"), "w");

	(void)state;
	certificate_make(&deep, &(struct certificate_options){ .name = "Deep", .authority = 1 }, &between);
	certificate_make(
	    &leaf, &(struct certificate_options){ .name = "leaf", .usage = "clientAuth" }, &deep);
	assert_non_null(stream);
	assert_int_equal(PEM_write_X509(stream, root.x509), 1);
	assert_int_equal(PEM_write_X509(stream, between.x509), 1);
	assert_int_equal(PEM_write_X509(stream, deep.x509), 1);
	assert_int_equal(fclose(stream), 0);
	for (int bad = 0; bad < 2; bad++) {
		crl_write(chain_path("crls.pem"),
		    crl_make(&root, &(struct crl_options){ .revoked = bad ? &between : NULL }),
		    crl_make(&between, &(struct crl_options){ 0 }),
		    crl_make(&deep, &(struct crl_options){ 0 }), NULL);
		if (bad)
			assert_string_equal(verdict("three.pem", &leaf, NULL), "authority revoked");
		else
			chain_good(verdict("three.pem", &leaf, NULL));
	}
	unlink(chain_path("three.pem"));
	certificate_fini(&deep);
	certificate_fini(&leaf);
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
	chain_good(verdict("root.pem", &client, NULL));
	one_list(&root, (struct crl_options){ .from_s = -9 * DAY, .to_s = -73 * HOUR });
	assert_string_equal(verdict("root.pem", &client, NULL), "revocation list too old");
	/* What a list told stays told. */
	one_list(&root, (struct crl_options){ .from_s = -9 * DAY, .to_s = -73 * HOUR, .revoked = &client });
	assert_string_equal(verdict("root.pem", &client, NULL), "revoked");

	crl_write(chain_path("crls.pem"),
	    crl_make(&root, &(struct crl_options){ .from_s = -DAY, .to_s = DAY }),
	    crl_make(&between, &(struct crl_options){ .from_s = -DAY, .to_s = HOUR, .revoked = &below }),
	    NULL);
	context = chain_must("both.pem", true);
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
	context = chain_must("both.pem", false);
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
	chain_good(verdict("root.pem", &client, NULL));
	/* A part of the certificates is a part by its distribution point. */
	one_list(&root, (struct crl_options){ .scope = "critical,fullname:URI:http://crl.example/7" });
	chain_good(verdict("root.pem", &limited, NULL));
	assert_string_equal(verdict("root.pem", &client, NULL), "no revocation list of its authority");
	one_list(&root, (struct crl_options){ .scope = "critical,fullname:URI:http://crl.example/8" });
	assert_string_equal(verdict("root.pem", &limited, NULL), "no revocation list of its authority");
	/* Parts stand beside each other. */
	crl_write(chain_path("crls.pem"),
	    crl_make(&root, &(struct crl_options){ .scope = "critical,onlyCA:TRUE", .revoked = &between }),
	    crl_make(&root, &(struct crl_options){ .scope = "critical,onlyuser:TRUE" }),
	    crl_make(&between, &(struct crl_options){ 0 }), NULL);
	chain_good(verdict("both.pem", &client, NULL));
	assert_string_equal(verdict("both.pem", &below, NULL), "authority revoked");
}

/* Every allocation of ours fails in turn: -ENOMEM, nothing half made, nothing leaked. */
static void
test_memory_that_fails(void **state)
{
	struct config_tls tls = { .certificate = chain_path("server.pem"),
		.key = chain_path("server.key"),
		.authorities = chain_path("both.pem"),
		.crls = chain_path("crls.pem") };
	struct tls_context *context;
	struct buffer errors;
	size_t n;

	(void)state;
	crl_write(chain_path("crls.pem"), crl_make(&root, &(struct crl_options){ 0 }),
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
	struct config_tls tls = { .certificate = chain_path("server.pem"),
		.key = chain_path("server.key"),
		.authorities = chain_path("both.pem"),
		.crls = chain_path("crls.pem") };
	struct buffer errors;

	(void)state;
	buffer_init(&errors, 8192);
	crl_write(chain_path("crls.pem"), crl_make(&root, &(struct crl_options){ 0 }),
	    crl_make(&between, &(struct crl_options){ 0 }), NULL);
	assert_int_equal(tls_check(&tls, false, &errors), 0);
	crl_write(chain_path("crls.pem"),
	    crl_make(&root, &(struct crl_options){ .from_s = -DAY, .to_s = -HOUR }), NULL);
	assert_int_equal(tls_check(&tls, false, &errors), TLS_INVALID);
	buffer_append_byte(&errors, 0);
	assert_non_null(
	    strstr((char *)errors.data, "the revocation list of CN=Root should have been replaced by"));
	assert_non_null(strstr((char *)errors.data, "no revocation list of CN=Between"));
	buffer_reset(&errors);
	crl_write(chain_path("crls.pem"), crl_make(&root, &(struct crl_options){ .revoked = &server }),
	    crl_make(&between, &(struct crl_options){ 0 }), NULL);
	assert_int_equal(tls_check(&tls, false, &errors), TLS_INVALID);
	buffer_append_byte(&errors, 0);
	assert_non_null(strstr((char *)errors.data, "server.pem: the certificate is revoked"));
	buffer_fini(&errors);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_not_believed),
		cmocka_unit_test(test_revoked),
		cmocka_unit_test(test_the_whole_chain),
		cmocka_unit_test(test_authorities_of_authorities),
		cmocka_unit_test(test_grace),
		cmocka_unit_test(test_scopes),
		cmocka_unit_test(test_memory_that_fails),
		cmocka_unit_test(test_check),
	};

	return cmocka_run_group_tests(tests, chain_setup, chain_teardown);
}
