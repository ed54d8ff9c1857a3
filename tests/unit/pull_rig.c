/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pull API over a link, a core and a journal in memory.
 */
#include "pull_rig.h"

#include <errno.h>

#include "broker/core/decision.h"
#include "broker/core/facts.h"

/* A core with one queue per inbox, and a journal of three messages. */
uint64_t waiting[2][8];
size_t waiting_count[2];
struct core_watch *watched; /* the newest */
size_t watches;
struct rig_access access_asked;
int settle_error;
struct settlement settled_seen[8];
size_t settled_count;

size_t
core_number(const struct core *core, const char *name)
{
	(void)core;
	return strcmp(name, "ehpad-a") == 0 ? 0 : 1;
}

size_t
core_waiting(const struct core *core, size_t number, uint64_t after, uint64_t *seqs, size_t max)
{
	size_t n = 0;

	(void)core;
	for (size_t i = 0; i < waiting_count[number] && n < max; i++)
		if (waiting[number][i] > after)
			seqs[n++] = waiting[number][i];
	return n;
}

size_t
core_waiting_count(const struct core *core, size_t number)
{
	(void)core;
	return waiting_count[number];
}

uint64_t
core_oldest_us(const struct core *core, size_t number)
{
	(void)core;
	return waiting_count[number] ? 1763751600123000 : 0;
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

void
rig_access_journalled(int error)
{
	core_settled_fn *done = access_asked.done;

	assert_non_null(done);
	access_asked.done = NULL;
	done(access_asked.arg, error);
}

void
core_settle(struct core *core, size_t number, const char *who, struct settlement *items, size_t count,
    core_settled_fn *done, void *arg)
{
	(void)core;
	assert_string_equal(who, "dui-demo");
	assert_int_equal(number, 0);
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
	if (!record->facts.ptr || !record->decision.ptr || (body && !record->body.ptr))
		return -ENOMEM;
	return 0;
}

static struct config_establishment establishment = { .name = "ehpad", .mode = MODE_TEST };
struct config_peer peer_config = { .name = "dui-demo", .may_read = true };
static const struct config_peer *readers[] = { &peer_config };
static struct config_destination destinations[] = {
	{ .name = "ehpad-a", .establishment = &establishment, .readers = readers, .reader_count = 1 },
	{ .name = "ehpad-b", .establishment = &establishment },
};
static char peer_name[] = "dui-demo";
struct peer peer = { .config = &peer_config, .name = peer_name };
struct config config = {
	.limits = { .large_size = 1 << 16, .idle_ms = 1000, .head_ms = 100, .body_ms = 200 },
	.destinations = destinations,
	.destination_count = 2,
	.peers = &peer_config,
	.peer_count = 1,
};
struct slots slots;
struct budget budget;
struct pull_door *door;
struct link link_;

int
rig_setup(void **state)
{
	struct door_context context = { .config = &config, .slots = &slots, .budget = &budget };

	(void)state;
	make_records();
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
	budget_init(&budget, 64 << 20, NULL, NULL); /* nobody waits: what there is no room for is refused */
	config.limits.large_size = 1 << 16;
	assert_int_equal(pull_door_new(&door, &context, "pull"), 0);
	assert_true(fake_link_open(&link_, &pull_handler, door, &peer));
	return 0;
}

int
rig_teardown(void **state)
{
	(void)state;
	fake_link_end(&link_, LINK_CLOSED_BY_PEER);
	fake_workers_run();
	assert_int_equal(watches, 0);
	assert_int_equal(slots.used, 0);
	assert_int_equal(budget.used, 0); /* whatever happened, nothing is left in the account */
	pull_door_free(door);
	buffer_fini(&facts_bytes);
	buffer_fini(&decision_bytes[0]);
	buffer_fini(&decision_bytes[1]);
	return 0;
}

/* What is answered to ${request} when everything works at once. */
const char *
rig_ask(const char *request)
{
	fake_link_text(&link_, request);
	fake_workers_run();
	return fake_link_sent(&link_);
}

void
starts(const char *text, const char *with)
{
	if (strncmp(text, with, strlen(with)) != 0)
		print_error("%s\n", text);
	assert_int_equal(strncmp(text, with, strlen(with)), 0);
}

void
has(const char *text, const char *part)
{
	if (!strstr(text, part))
		print_error("%s\n", text);
	assert_non_null(strstr(text, part));
}
