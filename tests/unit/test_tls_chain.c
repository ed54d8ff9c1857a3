/* SPDX-License-Identifier: Apache-2.0 */
/* Chains after their handshake: judged under another context, and when a session is resumed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "chain_rig.h"

/* An open connection, judged under other contexts. */
static void
test_judge(void **state)
{
	struct tls_context *before, *revoked, *other;
	struct tls_identity identity;
	const char *why = NULL;
	SSL *near, *far;

	(void)state;
	crl_write(chain_path("crls.pem"), crl_make(&root, &(struct crl_options){ 0 }),
	    crl_make(&between, &(struct crl_options){ .revoked = &below }), NULL);
	revoked = chain_must("both.pem", true);
	other = chain_must("between.pem", false);
	before = chain_must("root.pem", false);
	near = chain_client(&below, &between, NULL);
	far = SSL_new(tls_ssl_ctx(before));
	chain_good(chain_shake(near, far));
	assert_ptr_equal(tls_of(far), before);
	assert_int_equal(tls_judge(before, far, &identity, &why), 0);
	assert_string_equal(identity.subject, "CN=below");
	assert_int_equal(tls_judge(other, far, &identity, &why), 0);
	assert_int_equal(tls_judge(revoked, far, &identity, &why), TLS_JUDGED_BAD);
	assert_string_equal(why, "revoked");
	assert_string_equal(identity.subject, "CN=below");
	SSL_free(near);
	SSL_free(far);
	near = chain_client(&client, NULL, NULL);
	far = SSL_new(tls_ssl_ctx(before));
	chain_good(chain_shake(near, far));
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
	struct tls_context *context = chain_must("root.pem", false), *today;
	struct certificate brief;
	struct tls_identity identity;
	SSL_SESSION *session;
	const char *why = NULL;
	SSL *near, *far;

	(void)state;
	near = chain_client(&below, &between, NULL);
	far = SSL_new(tls_ssl_ctx(context));
	chain_good(chain_shake(near, far));
	session = chain_session(near, far);
	near = chain_client(&below, NULL, session);
	far = SSL_new(tls_ssl_ctx(context));
	chain_good(chain_shake(near, far));
	assert_int_equal(SSL_session_reused(far), 1);
	assert_null(SSL_get_peer_cert_chain(far));
	assert_int_equal(tls_judge(context, far, &identity, &why), 0);
	/* Under the context of a reload, with the intermediate that the former context remembers. */
	today = chain_must("root.pem", false);
	assert_int_equal(tls_judge(today, far, &identity, &why), 0);
	tls_free(today);
	crl_write(chain_path("crls.pem"), crl_make(&root, &(struct crl_options){ .revoked = &between }),
	    crl_make(&between, &(struct crl_options){ 0 }), NULL);
	today = chain_must("both.pem", true);
	assert_int_equal(tls_judge(today, far, &identity, &why), TLS_JUDGED_BAD);
	assert_string_equal(why, "authority revoked");
	assert_string_equal(identity.subject, "CN=Between");
	SSL_free(near);
	SSL_free(far);
	/* A ticket of another context is no ticket. */
	near = chain_client(&below, &between, session);
	far = SSL_new(tls_ssl_ctx(today));
	assert_string_equal(chain_shake(near, far), "authority revoked");
	SSL_free(near);
	SSL_free(far);
	SSL_SESSION_free(session);
	tls_free(today);

	certificate_make(&brief,
	    &(struct certificate_options){ .name = "brief", .usage = "clientAuth", .from_s = -60, .to_s = 2 },
	    &root);
	near = chain_client(&brief, NULL, NULL);
	far = SSL_new(tls_ssl_ctx(context));
	chain_good(chain_shake(near, far));
	session = chain_session(near, far);
	usleep(3200000);
	near = chain_client(&brief, NULL, session);
	far = SSL_new(tls_ssl_ctx(context));
	assert_string_equal(chain_shake(near, far), "expired");
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
	struct tls_context *context = chain_must("root.pem", false);
	SSL_SESSION *first = NULL, *session = NULL;
	struct certificate above, leaf, first_leaf = { 0 }, first_above = { 0 };
	SSL *near, *far;

	(void)state;
	for (int i = 0; i <= TLS_KNOWN; i++) {
		certificate_make(
		    &above, &(struct certificate_options){ .name = "Above", .authority = 1 }, &root);
		certificate_make(
		    &leaf, &(struct certificate_options){ .name = "leaf", .usage = "clientAuth" }, &above);
		near = chain_client(&leaf, &above, NULL);
		far = SSL_new(tls_ssl_ctx(context));
		chain_good(chain_shake(near, far));
		SSL_SESSION_free(session);
		session = chain_session(near, far);
		if (i == 0) {
			first = SSL_SESSION_dup(session);
			first_leaf = leaf;
			first_above = above;
		} else if (i < TLS_KNOWN) {
			certificate_fini(&leaf);
			certificate_fini(&above);
		}
	}
	near = chain_client(&leaf, &above, session);
	far = SSL_new(tls_ssl_ctx(context));
	chain_good(chain_shake(near, far));
	assert_int_equal(SSL_session_reused(far), 1);
	SSL_shutdown(near);
	SSL_free(near);
	SSL_free(far);
	near = chain_client(&first_leaf, &first_above, first);
	far = SSL_new(tls_ssl_ctx(context));
	chain_good(chain_shake(near, far));
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_judge),
		cmocka_unit_test(test_resumption),
		cmocka_unit_test(test_memory_is_bounded),
	};

	return cmocka_run_group_tests(tests, chain_setup, chain_teardown);
}
