/* SPDX-License-Identifier: Apache-2.0 */
/* Series are made once, counted from any thread, printed as Prometheus reads them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "broker/base/metrics.h"

static void
assert_rendered(const char *text)
{
	struct buffer out;

	buffer_init(&out, 1 << 24);
	metrics_render(&out);
	buffer_append_byte(&out, 0);
	assert_false(buffer_failed(&out));
	if (!strstr((char *)out.data, text))
		fail_msg("not there: %s", text);
	buffer_fini(&out);
}

static void
test_series(void **state)
{
	struct metric_series *a = metric_series(METRIC_MESSAGES, "chu-lyon");

	(void)state;
	assert_ptr_equal(a, metric_series(METRIC_MESSAGES, "chu-lyon"));
	assert_ptr_not_equal(a, metric_series(METRIC_MESSAGES, "other"));
	assert_ptr_not_equal(a, metric_series(METRIC_MESSAGE_BYTES, "chu-lyon"));
	metric_add(a, 2);
	metric_add(a, 3);
	metric_set(metric_series(METRIC_WAITING, "ehpad"), -7);
	metric_count(METRIC_JOURNAL_SYNCS, 9);
	assert_int_equal(metric_value(a), 5);
	assert_ptr_equal(metric_series(METRIC_UP, NULL), metric_series(METRIC_UP, "ignored"));
	metric_set(metric_series(METRIC_UP, NULL), 1);
	(void)metric_series(METRIC_REFUSED, "a\"b\\c\nd\x01");
	assert_rendered(
	    "# HELP liaison_messages_total Messages accepted\n# TYPE liaison_messages_total counter\n"
	    "liaison_messages_total{peer=\"chu-lyon\"} 5\n");
	assert_rendered("\nliaison_waiting{destination=\"ehpad\"} -7\n");
	assert_rendered("# TYPE liaison_up gauge\nliaison_up 1\n");
	assert_rendered("\nliaison_journal_syncs_total 9\n");
	assert_rendered("\nliaison_refused_total{peer=\"a\\\"b\\\\c\\nd?\"} 0\n");
}

static void *
count_up(void *arg)
{
	char label[16];

	(void)arg;
	for (int i = 0; i < 10000; i++) {
		(void)snprintf(label, sizeof(label), "%d", i % 50);
		metric_add(metric_series(METRIC_STRAY, label), 1);
		metric_count(METRIC_JOURNAL_RECORDS, 1);
	}
	return NULL;
}

static void
test_threads(void **state)
{
	pthread_t threads[4];

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, count_up, NULL), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(metric_value(metric_series(METRIC_JOURNAL_RECORDS, NULL)), 40000);
	assert_int_equal(metric_value(metric_series(METRIC_STRAY, "49")), 800);
}

/* Labels past the bound share one series. */
static void
test_bound(void **state)
{
	char label[16];

	(void)state;
	for (int i = 0; i < METRIC_SERIES_MAX; i++) {
		(void)snprintf(label, sizeof(label), "s%d", i);
		metric_add(metric_series(METRIC_HTTP_REQUESTS, label), 1);
	}
	assert_ptr_equal(metric_series(METRIC_HTTP_REQUESTS, "x"), metric_series(METRIC_HTTP_REQUESTS, "y"));
	metric_add(metric_series(METRIC_HTTP_REQUESTS, "z"), 3);
	assert_rendered("\nliaison_http_requests_total{status=\"s4095\"} 1\n"
			"liaison_http_requests_total{status=\"(other)\"} 3\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_series),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
