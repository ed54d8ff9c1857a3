/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pull API without sockets: rights, paging, long polls, content journalled before it is given, acknowledgements, and the HTTP around.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/core/core.h"
#include "broker/core/decision.h"
#include "broker/core/facts.h"
#include "broker/doors/pull.h"
#include "broker/doors/slots.h"
#include "fake_link.h"

/* A core with one queue per inbox, and a journal of three messages. */
static uint64_t waiting[2][8];
static size_t waiting_count[2];
static struct core_watch *watched; /* the newest */
static size_t watches;
static struct {
	char what[64];
	char who[64];
	uint64_t seq;
	core_settled_fn *done;
	void *arg;
} access_asked;
static int settle_error;
static struct settlement settled_seen[8];
static size_t settled_count;

size_t
core_waiting(const struct core *core, size_t index, uint64_t after, uint64_t *seqs, size_t max)
{
	size_t n = 0;

	(void)core;
	for (size_t i = 0; i < waiting_count[index] && n < max; i++)
		if (waiting[index][i] > after)
			seqs[n++] = waiting[index][i];
	return n;
}

size_t
core_waiting_count(const struct core *core, size_t index)
{
	(void)core;
	return waiting_count[index];
}

uint64_t
core_oldest_us(const struct core *core, size_t index)
{
	(void)core;
	return waiting_count[index] ? 1763751600123000 : 0;
}

void
core_watch(struct core *core, struct core_watch *watch)
{
	(void)core;
	watched = watch;
	watches++;
}

void
core_unwatch(struct core *core, struct core_watch *watch)
{
	(void)core;
	if (watched == watch)
		watched = NULL;
	watches--;
}

void
core_access(struct core *core, uint64_t seq, const char *who, const char *what, const char *reason,
    core_settled_fn *done, void *arg)
{
	(void)core;
	(void)reason;
	access_asked.seq = seq;
	(void)snprintf(access_asked.who, sizeof(access_asked.who), "%s", who);
	(void)snprintf(access_asked.what, sizeof(access_asked.what), "%s", what);
	access_asked.done = done;
	access_asked.arg = arg;
}

static void
access_journalled(int error)
{
	core_settled_fn *done = access_asked.done;

	assert_non_null(done);
	access_asked.done = NULL;
	done(access_asked.arg, error);
}

void
core_settle(struct core *core, size_t index, const struct config_peer *who, struct settlement *items,
    size_t count, core_settled_fn *done, void *arg)
{
	(void)core;
	(void)who;
	assert_int_equal(index, 0);
	for (size_t i = 0; i < count; i++) {
		items[i].result = items[i].seq == 1   ? SETTLED_NOW
				  : items[i].seq == 2 ? SETTLED_BEFORE
						      : SETTLED_ABSENT;
		items[i].standing = OUTCOME_REJECTED;
		settled_seen[i] = items[i];
	}
	settled_count = count;
	done(arg, settle_error);
}

#define MESSAGE_1                                                                                            \
	"MSH|^~\\&|LIS^1.2.3^ISO|CHU|DUI|E|20251121||ORU^R01|A1|P|2.5\r"                                     \
	"OBX|1|ED|11502-2^CR d'examens \xe9\\T\\c^LN||^text^xml^Base64^PENsaW5pY2FsRG9jdW1lbnQvPg\r"
#define ENCODED "PENsaW5pY2FsRG9jdW1lbnQvPg"

static struct buffer facts_bytes, decision_bytes[2];

static void
make_records(void)
{
	static const char message[] = MESSAGE_1;
	const char *data = strstr(message, ENCODED);
	struct span to_a = span_str("ehpad-a"), to_b = span_str("ehpad-b");
	struct facts_document document = { .offset = (uint64_t)(data - message),
		.size = sizeof(ENCODED) - 1,
		.encoding = DOCUMENT_BASE64,
		.media = span_str("text/xml"),
		.type_code = span_str("11502-2"),
		.type_system = span_str("LN"),
		.title = span_str("CR d'examens \xe9\\T\\c") };
	struct facts facts = { .version = FACTS_VERSION,
		.door = DOOR_MLLP,
		.peer = span_str("chu-demo"),
		.sending_application = span_str("LIS^1.2.3^ISO"),
		.sending_facility = span_str("CHU"),
		.time = span_str("20251121"),
		.type = span_str("ORU"),
		.event = span_str("R01"),
		.control_id = span_str("A1"),
		.processing = span_str("P"),
		.charset_used = span_str("ISO-8859-1"),
		.delimiters = span_str("|^~\\&"),
		.documents = &document,
		.document_count = 1 };
	struct decision a = { .answer = ANSWER_ACCEPT, .to = &to_a, .to_count = 1 };
	struct decision b = { .answer = ANSWER_ACCEPT, .to = &to_b, .to_count = 1 };

	buffer_init(&facts_bytes, 65536);
	buffer_init(&decision_bytes[0], 65536);
	buffer_init(&decision_bytes[1], 65536);
	facts_encode(&facts, &facts_bytes);
	decision_encode(&a, &decision_bytes[0]);
	decision_encode(&b, &decision_bytes[1]);
}

/* 1 and 2 are for ehpad-a, 3 is for ehpad-b, 4 is a record but no message, 5 is damaged. */
int
journal_read(struct journal *journal, uint64_t seq, bool body, struct arena *arena, struct record *record)
{
	(void)journal;
	if (seq == 5)
		return JOURNAL_DAMAGED;
	if (seq == 0 || seq > 5)
		return JOURNAL_ABSENT;
	*record = (struct record){ .head = { .seq = seq,
				       .time_us = 1763751600123000,
				       .size = sizeof(MESSAGE_1) - 1,
				       .type = seq == 4 ? RECORD_REFUSED : RECORD_ACCEPTED } };
	memset(record->head.sha256, 0xab, sizeof(record->head.sha256));
	record->facts = arena_copy(arena, buffer_span(&facts_bytes));
	record->decision = arena_copy(arena, buffer_span(&decision_bytes[seq == 3]));
	if (body)
		record->body = arena_copy(arena, span_str(MESSAGE_1));
	return 0;
}

static struct config_establishment establishment = { .name = "ehpad", .mode = MODE_TEST };
static struct config_peer peer_config = { .name = "dui-demo", .may_read = true };
static const struct config_peer *readers[] = { &peer_config };
static struct config_destination destinations[] = {
	{ .name = "ehpad-a",
	    .index = 0,
	    .establishment = &establishment,
	    .readers = readers,
	    .reader_count = 1 },
	{ .name = "ehpad-b", .index = 1, .establishment = &establishment },
};
static struct peer peer = { .config = &peer_config };
static struct config config = {
	.limits = { .large_size = 1 << 16, .idle_ms = 1000, .head_ms = 100, .body_ms = 200 },
	.destinations = destinations,
	.destination_count = 2,
	.peers = &peer_config,
	.peer_count = 1,
};
static struct slots slots;
static struct pull_door *door;
static struct link link_;

static int
setup(void **state)
{
	struct door_context context = { .config = &config, .slots = &slots };

	(void)state;
	watched = NULL;
	access_asked.done = NULL;
	settle_error = 0;
	settled_count = 0;
	fake_workers_full = false;
	peer_config.may_read = true;
	waiting[0][0] = 1;
	waiting[0][1] = 2;
	waiting_count[0] = 2;
	waiting_count[1] = 0;
	slots_init(&slots, 1);
	config.limits.large_size = 1 << 16;
	assert_int_equal(pull_door_new(&door, &context, "pull"), 0);
	assert_true(fake_link_open(&link_, &pull_handler, door, &peer));
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	fake_link_end(&link_, LINK_CLOSED_BY_PEER);
	fake_workers_run();
	assert_int_equal(watches, 0);
	assert_int_equal(slots.used, 0);
	pull_door_free(door);
	return 0;
}

#define HOST	    "Host: broker\r\n"
#define GET(target) "GET " target " HTTP/1.1\r\n" HOST "\r\n"

/* What is answered to ${request} when everything works at once. */
static const char *
ask(const char *request)
{
	fake_link_text(&link_, request);
	fake_workers_run();
	return fake_link_sent(&link_);
}

static void
starts(const char *text, const char *with)
{
	if (strncmp(text, with, strlen(with)) != 0)
		print_error("%s\n", text);
	assert_int_equal(strncmp(text, with, strlen(with)), 0);
}

static void
has(const char *text, const char *part)
{
	if (!strstr(text, part))
		print_error("%s\n", text);
	assert_non_null(strstr(text, part));
}

static void
inboxes_are_those_the_peer_reads(void **state)
{
	const char *sent = ask(GET("/v1/inboxes"));

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
	const char *sent = ask(GET("/v1/inboxes/ehpad-a/items?limit=1"));

	(void)state;
	starts(sent, "HTTP/1.1 200 ");
	has(sent, "{\"inbox\":\"ehpad-a\",\"items\":[{\"seq\":1,\"received\":\"2025-11-21T19:00:00.123Z\","
		  "\"message_time\":\"20251121\",\"sender\":{\"peer\":\"chu-demo\",\"application\":\"LIS\","
		  "\"facility\":\"CHU\"},\"type\":\"ORU^R01\",\"control_id\":\"A1\",\"processing\":\"P\",");
	has(sent, "\"documents\":[{\"index\":1,\"media_type\":\"text/xml\",\"type_code\":\"11502-2\","
		  "\"type_system\":\"LN\",\"title\":\"CR d'examens "
		  "\xc3\xa9&c\",\"unique_id\":null,\"size\":26}]}]");
	has(sent, "\"more\":true,\"unreadable\":[]}");
}

static void
after_only_pages(void **state)
{
	(void)state;
	has(ask(GET("/v1/inboxes/ehpad-a/items?after=1")), "\"items\":[{\"seq\":2,");
	has(ask(GET("/v1/inboxes/ehpad-a/items?after=2")), "\"items\":[],\"more\":false");
	has(ask(GET("/v1/inboxes/ehpad-a/items")), "\"items\":[{\"seq\":1,");
}

static void
a_damaged_record_hinders_no_other(void **state)
{
	const char *sent;

	(void)state;
	waiting[0][0] = 5;
	waiting[0][1] = 6;
	sent = ask(GET("/v1/inboxes/ehpad-a/items"));
	has(sent, "\"items\":[],\"more\":false,\"unreadable\":[5]}");
}

static void
a_foreign_inbox_is_as_absent_as_one_that_never_was(void **state)
{
	char foreign[4096];

	(void)state;
	(void)snprintf(foreign, sizeof(foreign), "%s", ask(GET("/v1/inboxes/ehpad-b/items")));
	starts(foreign, "HTTP/1.1 404 ");
	has(foreign, "Content-Type: application/problem+json\r\n");
	assert_string_equal(
	    strstr(foreign, "\r\n\r\n"), strstr(ask(GET("/v1/inboxes/none/items")), "\r\n\r\n"));
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
	(void)snprintf(foreign, sizeof(foreign), "%s", ask(GET("/v1/messages/3")));
	starts(foreign, "HTTP/1.1 404 ");
	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++)
		assert_string_equal(strstr(foreign, "\r\n\r\n"), strstr(ask(targets[i]), "\r\n\r\n"));
	assert_null(access_asked.done);
}

static void
content_is_given_after_the_read_is_journalled(void **state)
{
	const char *sent;

	(void)state;
	assert_string_equal(ask(GET("/v1/messages/2")), "");
	assert_int_equal(access_asked.seq, 2);
	assert_string_equal(access_asked.who, "dui-demo");
	assert_string_equal(access_asked.what, "message");
	access_journalled(0);
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
	(void)ask(GET("/v1/messages/2"));
	access_journalled(-28);
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
	(void)ask(GET("/v1/messages/1/documents/1"));
	assert_string_equal(access_asked.what, "document 1");
	access_journalled(0);
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
	(void)ask("HEAD /v1/messages/1/documents/1 HTTP/1.1\r\n" HOST "\r\n");
	access_journalled(0);
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
	assert_true(slots_take(&slots));
	starts(ask(GET("/v1/messages/1")), "HTTP/1.1 503 ");
	slots_give(&slots);
	(void)ask(GET("/v1/messages/1"));
	assert_int_equal(slots.used, 1);
	access_journalled(0);
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
	assert_string_equal(ask(GET("/v1/inboxes/ehpad-a/items?wait=30")), "");
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
	assert_string_equal(ask(GET("/v1/inboxes/ehpad-a/items?wait=30")), "");
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
	(void)ask(GET("/v1/inboxes/ehpad-a/items?wait=30"));
	fake_link_end(&link_, LINK_RESET);
	assert_null(watched);
}

static void
a_poll_is_answered_when_the_broker_stops(void **state)
{
	const char *sent;

	(void)state;
	waiting_count[0] = 0;
	(void)ask(GET("/v1/inboxes/ehpad-a/items?wait=30"));
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
	has(ask(GET("/v1/inboxes/ehpad-a/items?wait=60")), "HTTP/1.1 429 ");
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
	return ask(text);
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
other_methods_and_targets_are_told(void **state)
{
	const char *sent;

	(void)state;
	sent = ask("DELETE /v1/inboxes HTTP/1.1\r\n" HOST "\r\n");
	starts(sent, "HTTP/1.1 405 ");
	has(sent, "Allow: GET, HEAD\r\n");
	has(ask(GET("/v1/inboxes/ehpad-a/ack")), "Allow: POST\r\n");
	starts(ask(GET("/v2/inboxes")), "HTTP/1.1 404 ");
	starts(ask(GET("/v1/inboxes/")), "HTTP/1.1 404 ");
	starts(ask(GET("/v1/inboxes?x=1")), "HTTP/1.1 400 ");
	starts(ask(GET("/v1/inboxes/ehpad-a/items?limit=0")), "HTTP/1.1 400 ");
	starts(ask(GET("/v1/inboxes/ehpad-a/items?limit=1001")), "HTTP/1.1 400 ");
	starts(ask(GET("/v1/inboxes/ehpad-a/items?wait=61")), "HTTP/1.1 400 ");
	starts(ask(GET("/v1/inboxes/ehpad-a/items?after=1&after=2")), "HTTP/1.1 400 ");
	assert_false(link_.closing);
}

static void
a_peer_that_may_not_read_is_refused(void **state)
{
	(void)state;
	peer_config.may_read = false;
	starts(ask(GET("/v1/inboxes")), "HTTP/1.1 403 ");
}

static void
busy_workers_are_told(void **state)
{
	(void)state;
	fake_workers_full = true;
	starts(ask(GET("/v1/messages/1")), "HTTP/1.1 503 ");
	starts(ask(GET("/v1/inboxes/ehpad-a/items")), "HTTP/1.1 503 ");
	starts(POST("{\"accepted\":[1]}"), "HTTP/1.1 503 ");
}

static void
what_is_not_http_is_refused_and_closed(void **state)
{
	const char *sent = ask("GET /v1/inboxes HTTP/1.1\nHost: a\n\n");

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
	sent = ask("{}");
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
	(void)ask(GET("/v1/messages/1"));
	fake_link_end(&link_, LINK_RESET);
	access_journalled(0);
	assert_int_equal(fake_workers_waiting(), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

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
		T(other_methods_and_targets_are_told),
		T(a_peer_that_may_not_read_is_refused),
		T(busy_workers_are_told),
		T(what_is_not_http_is_refused_and_closed),
		T(a_slow_head_has_its_end),
		T(pipelined_requests_wait_for_their_turn),
		T(a_client_that_waits_is_told_to_continue),
		T(any_split_gives_the_same),
		T(a_client_that_goes_leaves_nothing),
	};
	int failed;

	make_records();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	buffer_fini(&facts_bytes);
	buffer_fini(&decision_bytes[0]);
	buffer_fini(&decision_bytes[1]);
	return failed;
}
