/* SPDX-License-Identifier: Apache-2.0 */
/* Each threshold is told once per certificate, and a stale revocation list at once and every hour. The clock is an argument. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "authority.h"
#include "broker/base/log.h"
#include "broker/net/ends.h"
#include "broker/net/peers.h"
#include "broker/net/seen.h"

#define DAY ((int64_t)86400)

static void
test_thresholds(void **state)
{
	static const struct {
		int64_t left;
		int within;
	} cases[] = {
		{ 1000 * DAY, ENDS_FAR },
		{ 60 * DAY + 1, ENDS_FAR },
		{ 60 * DAY, 60 },
		{ 30 * DAY + 1, 60 },
		{ 30 * DAY, 30 },
		{ 14 * DAY + 1, 30 },
		{ 14 * DAY, 14 },
		{ 7 * DAY + 1, 14 },
		{ 7 * DAY, 7 },
		{ DAY + 1, 7 },
		{ DAY, 1 },
		{ 1, 1 },
		{ 0, 1 },
		{ -1, 0 },
		{ -1000 * DAY, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(ends_threshold(2000000000, 2000000000 - cases[i].left), cases[i].within);
}

/* A year of one certificate, looked at every hour: told six times, with what is left. */
static void
test_a_year(void **state)
{
	static const int wanted[] = { 60, 30, 14, 7, 1, 0 };
	struct tls_identity identity = { .serial = "0A", .not_after = 365 * DAY };
	struct ends_told told = { 0 };
	size_t count = 0;
	int days;

	(void)state;
	for (int64_t now_s = 0; now_s < 400 * DAY; now_s += 3600) {
		if (!ends_due(&told, &identity, now_s, &days))
			continue;
		assert_true(count < sizeof(wanted) / sizeof(wanted[0]));
		assert_int_equal(days, wanted[count++]);
		assert_true(days == 0 || (365 - days) * DAY == now_s);
	}
	assert_int_equal(count, 6);
}

static void
test_starts_and_renewals(void **state)
{
	struct tls_identity old = { .serial = "0A", .not_after = 10 * DAY };
	struct tls_identity renewed = { .serial = "0B", .not_after = 375 * DAY };
	struct ends_told told = { 0 };
	int days;

	(void)state;
	/* A start within 14 days tells that one, not all before it. */
	assert_true(ends_due(&told, &old, 0, &days));
	assert_int_equal(days, 14);
	assert_false(ends_due(&told, &old, 3600, &days));
	assert_true(ends_due(&told, &old, 3 * DAY, &days));
	assert_int_equal(days, 7);
	/* A clock set back tells nothing twice. */
	assert_false(ends_due(&told, &old, 0, &days));
	assert_false(ends_due(&told, &old, 3 * DAY, &days));
	/* The new one is far from its end; the old one, which another machine of the partner's still shows, was told of. */
	for (int i = 0; i < 10; i++) {
		assert_false(ends_due(&told, &renewed, 4 * DAY, &days));
		assert_false(ends_due(&told, &old, 4 * DAY, &days));
	}
	assert_true(ends_due(&told, &old, 9 * DAY, &days));
	assert_int_equal(days, 1);
	/* The next start. */
	told = (struct ends_told){ 0 };
	assert_true(ends_due(&told, &old, 4 * DAY, &days));
}

/* How many lines of the log so far have ${part}. */
static unsigned
lines(const char *file, const char *part)
{
	FILE *stream = fopen(file, "r");
	char line[2048];
	unsigned count = 0;

	assert_non_null(stream);
	while (fgets(line, sizeof(line), stream))
		count += strstr(line, part) != NULL;
	fclose(stream);
	return count;
}

/* Three weeks of a list that nobody renews, looked at every minute: silence, warnings by the hour for 72 hours, then errors by the hour. */
static void
test_a_list_that_grows_old(void **state)
{
	char dir[] = "/tmp/liaison-ends-XXXXXX", files[5][64];
	static const char *const names[] = { "ca.pem", "own.pem", "own.key", "crl.pem", "log" };
	struct config config = { 0 };
	struct config_tls tls = { files[1], files[2], files[0], files[3], false };
	struct tls_context *context = NULL;
	struct certificate root, own;
	struct tls_crl_status status;
	struct ends ends = { 0 };
	struct peers *peers;
	struct buffer errors;
	int64_t due;

	(void)state;
	assert_non_null(mkdtemp(dir));
	for (size_t i = 0; i < 5; i++)
		snprintf(files[i], sizeof(files[i]), "%s/%s", dir, names[i]);
	certificate_make(&root, &(struct certificate_options){ .name = "Root", .authority = 1 }, NULL);
	certificate_make(&own,
	    &(struct certificate_options){ .name = "own", .from_s = -60, .to_s = 1000 * 86400L }, &root);
	certificate_write(&root, files[0]);
	certificate_write(&own, files[1]);
	certificate_write_key(&own, files[2], 0600);
	crl_write(files[3], crl_make(&root, &(struct crl_options){ .from_s = -60, .to_s = 7 * 86400 }), NULL);
	buffer_init(&errors, 4096);
	assert_int_equal(tls_server_new(&context, &tls, &errors), 0);
	assert_int_equal(peers_new(&peers, &config), 0);
	assert_int_equal(log_open(files[4], LEVEL_DEBUG), 0);

	tls_crl_status(context, 0, &status);
	due = status.next_update;
	for (int64_t now_s = due - 7 * DAY; now_s <= due; now_s += 60)
		ends_tell(&ends, context, peers, NULL, now_s);
	log_close();
	assert_int_equal(lines(files[4], ""), 0);

	assert_int_equal(log_open(files[4], LEVEL_DEBUG), 0);
	ends_tell(&ends, context, peers, NULL, due + 1);
	log_close();
	assert_int_equal(lines(files[4], "warning crl-stale issuer=\"CN=Root\""), 1);
	assert_int_equal(log_open(files[4], LEVEL_DEBUG), 0);
	for (int64_t now_s = due + 2; now_s <= due + TLS_CRL_GRACE_S; now_s += 60)
		ends_tell(&ends, context, peers, NULL, now_s);
	log_close();
	assert_in_range(lines(files[4], "crl-stale"), 70, 73);
	assert_int_equal(lines(files[4], "crl-closed"), 0);
	assert_int_equal(log_open(files[4], LEVEL_DEBUG), 0);
	for (int64_t now_s = due + TLS_CRL_GRACE_S + 1; now_s < due + TLS_CRL_GRACE_S + DAY; now_s += 60)
		ends_tell(&ends, context, peers, NULL, now_s);
	log_close();
	assert_in_range(lines(files[4], "error crl-closed"), 23, 25);

	peers_free(peers);
	tls_free(context);
	buffer_fini(&errors);
	certificate_fini(&root);
	certificate_fini(&own);
	for (size_t i = 0; i < 5; i++)
		unlink(files[i]);
	assert_int_equal(rmdir(dir), 0);
}

static void
test_seen(void **state)
{
	struct config_destination to[2] = { { .name = "chu", .kind = DESTINATION_MLLP },
		{ .name = "inbox", .kind = DESTINATION_INBOX } };
	struct config config = { .destinations = to, .destination_count = 2 };
	struct certificate one, two;
	struct seen *seen;

	(void)state;
	certificate_make(&one, &(struct certificate_options){ .name = "one" }, NULL);
	certificate_make(&two, &(struct certificate_options){ .name = "two" }, NULL);
	assert_int_equal(seen_new(&seen), 0);
	assert_null(seen_find(seen, "chu"));
	seen_certificate(seen, "gone", one.x509);
	seen_certificate(seen, "chu", one.x509);
	seen_certificate(seen, "inbox", one.x509);
	assert_string_equal(seen_find(seen, "chu")->last.subject, "CN=one");
	seen_certificate(seen, "chu", two.x509);
	assert_string_equal(seen_find(seen, "chu")->last.subject, "CN=two");
	assert_true(seen_find(seen, "chu")->last_seen_us > 0);
	assert_int_equal(seen_count(seen), 3);
	/* Kept are those that are still dialled. */
	seen_reconfigure(seen, &config);
	assert_int_equal(seen_count(seen), 1);
	assert_string_equal(seen_at(seen, 0)->name, "chu");
	assert_null(seen_find(seen, "gone"));
	seen_free(seen);
	seen_free(NULL);
	certificate_fini(&one);
	certificate_fini(&two);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_thresholds),
		cmocka_unit_test(test_a_year),
		cmocka_unit_test(test_starts_and_renewals),
		cmocka_unit_test(test_a_list_that_grows_old),
		cmocka_unit_test(test_seen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
