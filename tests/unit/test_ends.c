/* SPDX-License-Identifier: Apache-2.0 */
/* Each threshold is told once per certificate, and a stale revocation list at once and every hour. The clock is an argument. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "authority.h"
#include "broker/net/ends.h"
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
		cmocka_unit_test(test_seen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
