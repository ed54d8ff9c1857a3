/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP over a link, under the pull API: what is refused, deadlines, pipelining, any split of the input, clients that go.
 */
#include "failmalloc.h"
#include "pull_rig.h"

static void
other_methods_and_targets_are_told(void **state)
{
	const char *sent;

	(void)state;
	sent = rig_ask("DELETE /v1/inboxes HTTP/1.1\r\n" HOST "\r\n");
	starts(sent, "HTTP/1.1 405 ");
	has(sent, "Allow: GET, HEAD\r\n");
	has(rig_ask(GET("/v1/inboxes/ehpad-a/ack")), "Allow: POST\r\n");
	starts(rig_ask(GET("/v2/inboxes")), "HTTP/1.1 404 ");
	starts(rig_ask(GET("/v1/inboxes/")), "HTTP/1.1 404 ");
	starts(rig_ask(GET("/v1/inboxes?x=1")), "HTTP/1.1 400 ");
	starts(rig_ask(GET("/v1/inboxes/ehpad-a/items?limit=0")), "HTTP/1.1 400 ");
	starts(rig_ask(GET("/v1/inboxes/ehpad-a/items?limit=1001")), "HTTP/1.1 400 ");
	starts(rig_ask(GET("/v1/inboxes/ehpad-a/items?wait=61")), "HTTP/1.1 400 ");
	starts(rig_ask(GET("/v1/inboxes/ehpad-a/items?after=1&after=2")), "HTTP/1.1 400 ");
	assert_false(link_.closing);
}

static void
what_is_not_http_is_refused_and_closed(void **state)
{
	const char *sent = rig_ask("GET /v1/inboxes HTTP/1.1\nHost: a\n\n");

	(void)state;
	starts(sent, "HTTP/1.1 400 ");
	has(sent, "Connection: close\r\n");
	assert_true(link_.closing);
}

static void
a_slow_head_has_its_end(void **state)
{
	(void)state;
	assert_int_equal(link_.deadline_ms, 1000);
	fake_link_text(&link_, "GET /v1");
	assert_int_equal(link_.deadline_ms, 100);
	pull_handler.deadline(link_.arg);
	starts(fake_link_sent(&link_), "HTTP/1.1 408 ");
	assert_true(link_.closing);
}

static void
pipelined_requests_wait_for_their_turn(void **state)
{
	const char *sent, *second;

	(void)state;
	fake_link_text(&link_, GET("/v1/inboxes/ehpad-a/items") GET("/v1/inboxes"));
	assert_true(link_.paused);
	assert_string_equal(fake_link_sent(&link_), "");
	fake_workers_run();
	sent = fake_link_sent(&link_);
	has(sent, "\"items\":[");
	second = strstr(sent + 1, "HTTP/1.1 200 ");
	assert_non_null(second);
	has(second, "\"inboxes\":[");
	assert_false(link_.paused);
}

static void
a_client_that_waits_is_told_to_continue(void **state)
{
	const char *sent;

	(void)state;
	fake_link_text(&link_, "POST /v1/inboxes/ehpad-a/ack HTTP/1.1\r\n" HOST
			       "Content-Type: application/json\r\nExpect: 100-continue\r\n"
			       "Content-Length: 2\r\n\r\n");
	starts(fake_link_sent(&link_), "HTTP/1.1 100 ");
	sent = rig_ask("{}");
	starts(sent, "HTTP/1.1 200 ");
}

static void
any_split_gives_the_same(void **state)
{
	static const char text[] =
	    GET("/v1/inboxes") "POST /v1/inboxes/ehpad-a/ack HTTP/1.1\r\n" HOST
			       "Content-Type: application/json\r\n"
			       "Transfer-Encoding: chunked\r\n\r\n"
			       "e\r\n{\"accepted\":[1\r\n2\r\n]}\r\n0\r\n\r\n" GET("/none");

	(void)state;
	for (size_t at = 0; at < sizeof(text); at++) {
		const char *sent;

		fake_link_input(&link_, span_make(text, at));
		fake_workers_run();
		if (!link_.paused)
			fake_link_input(&link_, span_make(text + at, sizeof(text) - 1 - at));
		fake_workers_run();
		sent = fake_link_sent(&link_);
		starts(sent, "HTTP/1.1 200 ");
		has(sent, "{\"results\":[{\"seq\":1,\"result\":\"accepted\"}]}HTTP/1.1 404 ");
	}
}

static void
a_client_that_goes_leaves_nothing(void **state)
{
	static const char *const requests[] = { GET("/v1/messages/1"), GET("/v1/inboxes/ehpad-a/items"),
		"POST /v1/inboxes/ehpad-a/ack HTTP/1.1\r\n" HOST
		"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}" };

	(void)state;
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		fake_link_text(&link_, requests[i]);
		fake_link_end(&link_, LINK_RESET);
		fake_workers_run();
		assert_true(fake_link_open(&link_, &pull_handler, door, &peer));
	}
	(void)rig_ask(GET("/v1/messages/1"));
	fake_link_end(&link_, LINK_RESET);
	rig_access_journalled(0);
	assert_int_equal(fake_workers_waiting(), 0);
}

/* Whatever allocation fails: nothing crashes, nothing leaks, and what is answered is well-formed. */
static void
any_allocation_may_fail(void **state)
{
	static const char *const requests[] = { GET("/v1/inboxes"), GET("/v1/inboxes/ehpad-a/items"),
		GET("/v1/inboxes/ehpad-a/items?after=2&wait=1"), GET("/v1/messages/1"),
		GET("/v1/messages/1/documents/1"), GET("/none"),
		"POST /v1/inboxes/ehpad-a/ack HTTP/1.1\r\n" HOST
		"Content-Type: application/json\r\nContent-Length: 54\r\n\r\n"
		"{\"accepted\":[1,2],\"rejected\":[{\"seq\":3,\"code\":\"E12\"}]}" };
	size_t failed = 0;

	(void)state;
	fake_link_end(&link_, LINK_CLOSED_BY_PEER);
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		for (size_t n = 1;; n++, failed++) {
			const char *sent;
			bool opened, tried;

			failmalloc_at(n);
			opened = fake_link_open(&link_, &pull_handler, door, &peer);
			if (opened)
				fake_link_text(&link_, requests[i]);
			fake_workers_run();
			if (access_asked.done)
				rig_access_journalled(0);
			fake_workers_run();
			while (watches && fake_timer_fire())
				;
			fake_workers_run();
			tried = failmalloc_off();
			sent = opened ? fake_link_sent(&link_) : "";
			assert_true(!*sent || strncmp(sent, "HTTP/1.1 ", 9) == 0);
			assert_true(!tried || *sent);
			fake_link_end(&link_, LINK_RESET);
			if (tried)
				break;
		}
	}
	assert_true(failed > 50);
}

/* Past the ceiling of memory: told to come again, on a connection that goes on where all was read. */
static void
without_memory_requests_come_again_later(void **state)
{
	struct budget_seat other;
	const char *sent;

	(void)state;
	budget_sit(&other, &budget, NULL);
	budget_hold(&other, 64 << 20);
	sent = rig_ask(GET("/v1/inboxes"));
	starts(sent, "HTTP/1.1 503 ");
	has(sent, "Retry-After: 5\r\n");
	assert_false(link_.closing);
	budget_hold(&other, 0);
	starts(rig_ask(GET("/v1/inboxes")), "HTTP/1.1 200 ");
	/* A body that there is no room for is not read on. */
	fake_link_text(&link_,
	    "POST /v1/inboxes/ehpad-a/ack HTTP/1.1\r\n" HOST "Content-Length: 2000\r\n\r\n{\"accepted\":");
	assert_true(budget.used > 0);
	budget_hold(&other, 64 << 20);
	fake_link_text(&link_, "[1");
	starts(fake_link_sent(&link_), "HTTP/1.1 503 ");
	assert_true(link_.closing);
	budget_leave(&other);
}

#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(other_methods_and_targets_are_told),
		T(what_is_not_http_is_refused_and_closed),
		T(a_slow_head_has_its_end),
		T(pipelined_requests_wait_for_their_turn),
		T(a_client_that_waits_is_told_to_continue),
		T(any_split_gives_the_same),
		T(a_client_that_goes_leaves_nothing),
		T(without_memory_requests_come_again_later),
		T(any_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
