/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pull API without sockets: rights, paging, long polls, content journalled before it is given, acknowledgements.
 */
#include "pull_rig.h"

static void
inboxes_are_those_the_peer_reads(void **state)
{
	const char *sent = rig_ask(GET("/v1/inboxes"));

	(void)state;
	starts(sent, "HTTP/1.1 200 ");
	has(sent, "Cache-Control: no-store\r\n");
	has(sent, "X-Content-Type-Options: nosniff\r\n");
	has(sent, "{\"inboxes\":[{\"name\":\"ehpad-a\",\"establishment\":\"ehpad\",\"mode\":\"test\","
		  "\"waiting\":2,\"oldest\":\"2025-11-21T19:00:00.123Z\"}]}");
}

static void
items_are_made_from_the_facts(void **state)
{
	const char *sent = rig_ask(GET("/v1/inboxes/ehpad-a/items?limit=1"));

	(void)state;
	starts(sent, "HTTP/1.1 200 ");
	has(sent, "{\"inbox\":\"ehpad-a\",\"items\":[{\"seq\":1,\"received\":\"2025-11-21T19:00:00.123Z\","
		  "\"message_time\":\"20251121\",\"sender\":{\"peer\":\"chu-demo\",\"application\":\"LIS\","
		  "\"facility\":\"CHU\"},\"type\":\"ORU^R01\",\"control_id\":\"A1\",\"processing\":\"P\",");
	has(sent, "\"documents\":[{\"index\":1,\"media_type\":\"text/xml\",\"type_code\":\"11502-2\","
		  "\"type_system\":\"LN\",\"title\":\"CR d'examens "
		  "\xc3\xa9&c\",\"unique_id\":null,\"form\":null,\"size\":26}]}]");
	has(sent, "\"more\":true,\"unreadable\":[]}");
}

static void
after_only_pages(void **state)
{
	(void)state;
	has(rig_ask(GET("/v1/inboxes/ehpad-a/items?after=1")), "\"items\":[{\"seq\":2,");
	has(rig_ask(GET("/v1/inboxes/ehpad-a/items?after=2")), "\"items\":[],\"more\":false");
	has(rig_ask(GET("/v1/inboxes/ehpad-a/items")), "\"items\":[{\"seq\":1,");
}

static void
a_damaged_record_hinders_no_other(void **state)
{
	const char *sent;

	(void)state;
	waiting[0][0] = 5;
	waiting[0][1] = 6;
	sent = rig_ask(GET("/v1/inboxes/ehpad-a/items"));
	has(sent, "\"items\":[],\"more\":false,\"unreadable\":[5]}");
}

static void
a_foreign_inbox_is_as_absent_as_one_that_never_was(void **state)
{
	char foreign[4096];

	(void)state;
	(void)snprintf(foreign, sizeof(foreign), "%s", rig_ask(GET("/v1/inboxes/ehpad-b/items")));
	starts(foreign, "HTTP/1.1 404 ");
	has(foreign, "Content-Type: application/problem+json\r\n");
	assert_string_equal(
	    strstr(foreign, "\r\n\r\n"), strstr(rig_ask(GET("/v1/inboxes/none/items")), "\r\n\r\n"));
}

static void
a_foreign_message_is_as_absent_as_one_that_never_was(void **state)
{
	static const char *const targets[] = { GET("/v1/messages/9"), GET("/v1/messages/4"),
		GET("/v1/messages/5"), GET("/v1/messages/x"), GET("/v1/messages/01"),
		GET("/v1/messages/99999999999999999999"), GET("/v1/messages/3/documents/1"),
		GET("/v1/messages/1/documents/2"), GET("/v1/messages/1/documents/0") };
	char foreign[4096];

	(void)state;
	(void)snprintf(foreign, sizeof(foreign), "%s", rig_ask(GET("/v1/messages/3")));
	starts(foreign, "HTTP/1.1 404 ");
	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++)
		assert_string_equal(strstr(foreign, "\r\n\r\n"), strstr(rig_ask(targets[i]), "\r\n\r\n"));
	assert_null(access_asked.done);
}

static void
content_is_given_after_the_read_is_journalled(void **state)
{
	const char *sent;

	(void)state;
	assert_string_equal(rig_ask(GET("/v1/messages/2")), "");
	assert_int_equal(access_asked.seq, 2);
	assert_string_equal(access_asked.who, "dui-demo");
	assert_string_equal(access_asked.what, "message");
	rig_access_journalled(0);
	assert_string_equal(fake_link_sent(&link_), "");
	fake_workers_run();
	sent = fake_link_sent(&link_);
	starts(sent, "HTTP/1.1 200 ");
	has(sent, "Content-Type: application/hl7-v2\r\n");
	has(sent, "Repr-Digest: sha-256=:q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=:\r\n");
	assert_string_equal(strstr(sent, "\r\n\r\n") + 4, MESSAGE_1);
}

static void
content_is_not_given_when_the_read_cannot_be_journalled(void **state)
{
	const char *sent;

	(void)state;
	(void)rig_ask(GET("/v1/messages/2"));
	rig_access_journalled(-28);
	fake_workers_run();
	sent = fake_link_sent(&link_);
	starts(sent, "HTTP/1.1 503 ");
	has(sent, "Retry-After: 5\r\n");
	assert_null(strstr(sent, "MSH"));
}

static void
a_document_is_decoded(void **state)
{
	const char *sent;

	(void)state;
	(void)rig_ask(GET("/v1/messages/1/documents/1"));
	assert_string_equal(access_asked.what, "document 1");
	rig_access_journalled(0);
	fake_workers_run();
	sent = fake_link_sent(&link_);
	starts(sent, "HTTP/1.1 200 ");
	has(sent, "Content-Type: text/xml\r\n");
	/* The padding is missing: a leniency, counted. */
	assert_string_equal(strstr(sent, "\r\n\r\n") + 4, "<ClinicalDocument/>");
	assert_int_equal(metric_value(metric_series(METRIC_LENIENCIES, "base64-padding")), 1);
}

static void
head_has_no_content(void **state)
{
	const char *sent;

	(void)state;
	(void)rig_ask("HEAD /v1/messages/1/documents/1 HTTP/1.1\r\n" HOST "\r\n");
	rig_access_journalled(0);
	fake_workers_run();
	sent = fake_link_sent(&link_);
	has(sent, "Content-Length: 19\r\n");
	assert_string_equal(strstr(sent, "\r\n\r\n"), "\r\n\r\n");
}

static void
large_content_takes_a_slot(void **state)
{
	(void)state;
	config.limits.large_size = 10;
	assert_true(slots_take(&slots, NULL));
	starts(rig_ask(GET("/v1/messages/1")), "HTTP/1.1 503 ");
	slots_give(&slots, NULL);
	(void)rig_ask(GET("/v1/messages/1"));
	assert_int_equal(slots.used, 1);
	rig_access_journalled(0);
	fake_workers_run();
	starts(fake_link_sent(&link_), "HTTP/1.1 200 ");
	assert_int_equal(slots.used, 0);
}

static void
a_poll_waits_for_the_next_item(void **state)
{
	const char *sent;

	(void)state;
	waiting_count[0] = 0;
	assert_string_equal(rig_ask(GET("/v1/inboxes/ehpad-a/items?wait=30")), "");
	assert_non_null(watched);
	waiting_count[0] = 1;
	watched->woken(watched);
	assert_true(fake_timer_fire());
	assert_null(watched);
	fake_workers_run();
	sent = fake_link_sent(&link_);
	has(sent, "\"items\":[{\"seq\":1,");
}

static void
a_poll_ends_at_its_time(void **state)
{
	(void)state;
	waiting_count[0] = 0;
	assert_string_equal(rig_ask(GET("/v1/inboxes/ehpad-a/items?wait=30")), "");
	watched->woken(watched); /* for something that another node settled at once */
	assert_true(fake_timer_fire());
	assert_non_null(watched);
	assert_true(fake_timer_fire());
	fake_workers_run();
	has(fake_link_sent(&link_), "\"items\":[],\"more\":false");
}

static void
a_poll_ends_with_its_client(void **state)
{
	(void)state;
	waiting_count[0] = 0;
	(void)rig_ask(GET("/v1/inboxes/ehpad-a/items?wait=30"));
	fake_link_end(&link_, LINK_RESET);
	assert_null(watched);
}

static void
a_poll_is_answered_when_the_broker_stops(void **state)
{
	const char *sent;

	(void)state;
	waiting_count[0] = 0;
	(void)rig_ask(GET("/v1/inboxes/ehpad-a/items?wait=30"));
	pull_door_stop(door, NULL, NULL);
	fake_workers_run();
	sent = fake_link_sent(&link_);
	starts(sent, "HTTP/1.1 200 ");
	has(sent, "Connection: close\r\n");
	assert_true(link_.closing);
}

static void
polls_of_a_peer_are_bounded(void **state)
{
	static struct link links[64];

	(void)state;
	waiting_count[0] = 0;
	for (size_t i = 0; i < 64; i++) {
		assert_true(fake_link_open(&links[i], &pull_handler, door, &peer));
		fake_link_text(&links[i], GET("/v1/inboxes/ehpad-a/items?wait=60"));
	}
	has(rig_ask(GET("/v1/inboxes/ehpad-a/items?wait=60")), "HTTP/1.1 429 ");
	for (size_t i = 0; i < 64; i++)
		fake_link_end(&links[i], LINK_RESET);
}

#define POST(body) acknowledge(body, "application/json")

static const char *
acknowledge(const char *body, const char *type)
{
	char text[4096];

	(void)snprintf(text, sizeof(text),
	    "POST /v1/inboxes/ehpad-a/ack HTTP/1.1\r\n" HOST
	    "Content-Type: %s\r\nContent-Length: %zu\r\n\r\n%s",
	    type, strlen(body), body);
	return rig_ask(text);
}

static void
items_are_acknowledged_each_on_its_own(void **state)
{
	const char *sent;

	(void)state;
	sent = POST("{\"accepted\":[1,2],\"rejected\":[{\"seq\":3,\"code\":\"E1\",\"text\":\"unknown\"}]}");
	starts(sent, "HTTP/1.1 200 ");
	has(sent, "{\"results\":[{\"seq\":1,\"result\":\"accepted\"},"
		  "{\"seq\":2,\"result\":\"already\",\"standing\":\"rejected\"},"
		  "{\"seq\":3,\"result\":\"absent\"}]}");
	assert_int_equal(settled_count, 3);
	assert_int_equal(settled_seen[2].outcome, OUTCOME_REJECTED);
}

static void
an_acknowledgement_that_cannot_be_journalled_settles_nothing(void **state)
{
	(void)state;
	settle_error = -28;
	starts(POST("{\"accepted\":[1]}"), "HTTP/1.1 503 ");
}

static void
acknowledgements_are_read_strictly(void **state)
{
	static const char *const bad[] = { "", "[]", "{", "{\"accepted\":1}", "{\"accepted\":[1.5]}",
		"{\"accepted\":[0]}", "{\"accepted\":[-1]}", "{\"accepted\":[9007199254740992]}",
		"{\"accepted\":[1,1]}", "{\"accepted\":[1],\"accepted\":[2]}", "{\"accept\":[1]}",
		"{\"rejected\":[1]}", "{\"rejected\":[{\"seq\":1}]}",
		"{\"rejected\":[{\"seq\":1,\"code\":\"\"}]}",
		"{\"rejected\":[{\"seq\":1,\"code\":\"x\",\"more\":1}]}",
		"{\"accepted\":[1],\"rejected\":[{\"seq\":1,\"code\":\"x\"}]}", "{\"accepted\":[1]} x" };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		starts(POST(bad[i]), "HTTP/1.1 400 ");
	assert_int_equal(settled_count, 0);
	starts(acknowledge("{\"accepted\":[1]}", "text/plain"), "HTTP/1.1 415 ");
	starts(acknowledge("{\"accepted\":[1]}", "application/json; charset=utf-8"), "HTTP/1.1 200 ");
	has(POST("{}"), "{\"results\":[]}");
}

static void
a_peer_that_may_not_read_is_refused(void **state)
{
	(void)state;
	peer_config.may_read = false;
	starts(rig_ask(GET("/v1/inboxes")), "HTTP/1.1 403 ");
}

static void
busy_workers_are_told(void **state)
{
	(void)state;
	fake_workers_full = true;
	starts(rig_ask(GET("/v1/messages/1")), "HTTP/1.1 503 ");
	starts(rig_ask(GET("/v1/inboxes/ehpad-a/items")), "HTTP/1.1 503 ");
	starts(POST("{\"accepted\":[1]}"), "HTTP/1.1 503 ");
}

#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(inboxes_are_those_the_peer_reads),
		T(items_are_made_from_the_facts),
		T(after_only_pages),
		T(a_damaged_record_hinders_no_other),
		T(a_foreign_inbox_is_as_absent_as_one_that_never_was),
		T(a_foreign_message_is_as_absent_as_one_that_never_was),
		T(content_is_given_after_the_read_is_journalled),
		T(content_is_not_given_when_the_read_cannot_be_journalled),
		T(a_document_is_decoded),
		T(head_has_no_content),
		T(large_content_takes_a_slot),
		T(a_poll_waits_for_the_next_item),
		T(a_poll_ends_at_its_time),
		T(a_poll_ends_with_its_client),
		T(a_poll_is_answered_when_the_broker_stops),
		T(polls_of_a_peer_are_bounded),
		T(items_are_acknowledged_each_on_its_own),
		T(an_acknowledgement_that_cannot_be_journalled_settles_nothing),
		T(acknowledgements_are_read_strictly),
		T(a_peer_that_may_not_read_is_refused),
		T(busy_workers_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
