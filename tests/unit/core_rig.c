/* SPDX-License-Identifier: Apache-2.0 */
/* See the header. */
#include "tests/unit/core_rig.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/core/state.h"
#include "codecs/digest.h"

static const struct config_establishment chu = { .name = "chu", .mode = MODE_PRODUCTION };
static const struct config_establishment trial = { .name = "trial", .mode = MODE_TEST };
static const struct config_peer peers[] = {
	{ .name = "lab", .establishment = &chu },
	{ .name = "lab-test", .establishment = &trial },
};

#define BOUNDS .max_age_s = 3600, .max_disk_percent = 20
#define INBOX(n)                                                                                             \
	{                                                                                                    \
		.name = n, .kind = DESTINATION_INBOX, .establishment = &chu, BOUNDS                          \
	}
#define DIALLED(n)                                                                                           \
	{                                                                                                    \
		.name = n, .kind = DESTINATION_MLLP, .establishment = &chu, BOUNDS                           \
	}
#define TRIAL(n)                                                                                             \
	{                                                                                                    \
		.name = n, .kind = DESTINATION_INBOX, .establishment = &trial, BOUNDS                        \
	}

static const struct config_destination usual[] = { INBOX("lilas"), DIALLED("chu"), TRIAL("essai") };
static const struct config_destination wide[] = { DIALLED("roses"), TRIAL("essai"), INBOX("lilas"),
	DIALLED("chu") };
static const struct config_destination narrow[] = { INBOX("lilas") };

#define TO(name, ...) static const struct config_destination *const name[] = { __VA_ARGS__ }
TO(usual_adt, &usual[0]);
TO(usual_oru, &usual[0], &usual[1]);
TO(usual_mdm, &usual[1]);
TO(usual_test, &usual[2]);
TO(wide_adt, &wide[2]);
TO(wide_oru, &wide[2], &wide[3], &wide[0]);
TO(wide_mdm, &wide[3]);
TO(wide_test, &wide[1]);
TO(narrow_all, &narrow[0]);

static const struct config_route usual_routes[] = {
	{ .name = "adt", .type = "ADT", .mode = "production", .to = usual_adt, .to_count = 1 },
	{ .name = "oru", .type = "ORU", .mode = "production", .to = usual_oru, .to_count = 2 },
	{ .name = "mdm", .type = "MDM", .mode = "production", .to = usual_mdm, .to_count = 1 },
	{ .name = "tests", .mode = "test", .to = usual_test, .to_count = 1 },
};
static const struct config_route wide_routes[] = {
	{ .name = "adt", .type = "ADT", .mode = "production", .to = wide_adt, .to_count = 1 },
	{ .name = "oru", .type = "ORU", .mode = "production", .to = wide_oru, .to_count = 3 },
	{ .name = "mdm", .type = "MDM", .mode = "production", .to = wide_mdm, .to_count = 1 },
	{ .name = "siu", .type = "SIU", .mode = "production", .to = wide_adt, .to_count = 1 },
	{ .name = "tests", .mode = "test", .to = wide_test, .to_count = 1 },
};
static const struct config_route narrow_routes[] = {
	{ .name = "all", .type = "ADT", .to = narrow_all, .to_count = 1 },
};

#define COUNT(array) (sizeof(array) / sizeof(*(array)))
#define CONFIG(d, r)                                                                                         \
	{                                                                                                    \
		.unrouted = UNROUTED_PARK, .journal = { .duplicate_window_s = 600 }, .peers = peers,         \
		.peer_count = 2, .destinations = d, .destination_count = COUNT(d), .routes = r,              \
		.route_count = COUNT(r)                                                                      \
	}

const struct config rig_config = CONFIG(usual, usual_routes);
const struct config rig_wide = CONFIG(wide, wide_routes);
const struct config rig_narrow = CONFIG(narrow, narrow_routes);

unsigned rig_calls;
int rig_error;

void
rig_done(void *arg, int error)
{
	(void)arg;
	rig_calls++;
	rig_error = error;
}

struct core *
rig_core(const struct config *config)
{
	struct core *core;

	assert_int_equal(core_new(&core, config), 0);
	assert_int_equal(fake_replay(core), 0);
	assert_int_equal(core_start(core, (struct journal *)&fake, (struct workers *)&fake), 0);
	fake_commit(0);
	return core;
}

/* One message on its way; freed by its answer. */
struct sent {
	struct facts facts;
	struct submission submission;
	uint8_t sha256[32];
	char control[32];
};

static void
answered(void *arg, const struct verdict *verdict)
{
	(void)verdict;
	free(arg);
}

void
rig_submit(struct core *core, const char *type, bool test)
{
	static unsigned number;
	struct sent *sent = calloc(1, sizeof(*sent));
	struct span bytes;

	assert_non_null(sent);
	snprintf(sent->control, sizeof(sent->control), "c%u", ++number);
	bytes = span_str(sent->control); /* each message has its own bytes */
	assert_int_equal(digest_sha256(bytes, sent->sha256), 0);
	sent->facts = (struct facts){ .version = FACTS_VERSION,
		.door = DOOR_MLLP,
		.peer = span_str(peers[test].name),
		.type = span_str(type),
		.event = span_str("A01"),
		.control_id = bytes,
		.processing = span_str("P"),
		.delimiters = span_str("|^~\\&") };
	sent->submission = (struct submission){ .kind = SUBMIT_MESSAGE,
		.peer = &peers[test],
		.bytes = bytes,
		.size = bytes.len,
		.sha256 = sent->sha256,
		.facts = &sent->facts };
	core_submit(core, &sent->submission, answered, sent);
}

uint64_t
rig_send(struct core *core, const char *type)
{
	rig_submit(core, type, false);
	fake_work();
	fake_commit(0);
	return fake.count;
}

void
rig_settle(struct core *core, size_t number, uint64_t seq, enum outcome outcome)
{
	static struct settlement items[256];
	static unsigned next;
	struct settlement *item = &items[next++ % 256];

	*item = (struct settlement){ .seq = seq, .outcome = outcome, .text = span_str("because") };
	core_settle(core, number, "uid:0(root)", item, 1, rig_done, NULL);
}

struct replay
rig_replay(struct core *core, uint64_t seq, size_t number)
{
	struct replay item = { .seq = seq, .number = number };
	unsigned calls = rig_calls;

	core_replay_message(core, &item, 1, "uid:0(root)", "the partner lost it", rig_done, NULL);
	for (int i = 0; i < 3 && rig_calls == calls; i++) { /* itself, and what is parked by it */
		fake_work();
		fake_commit(0);
	}
	assert_int_equal(rig_calls, calls + 1);
	return item;
}

/*
 * State.
 */
static int
compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void
queue_text(const struct core *core, const struct destination *destination, struct buffer *out)
{
	struct queue_entry entries[512];
	size_t count = queue_list(destination->queue, 0, entries, COUNT(entries));

	assert_true(count < COUNT(entries));
	assert_int_equal(count, queue_count(destination->queue));
	for (size_t i = 0; i < count; i++)
		buffer_printf(out, "%s %" PRIu64 "@%" PRIu64 " (%" PRIu64 ") <- %" PRIu64 "\n",
		    destination->name, entries[i].seq, entries[i].time_s, entries[i].size,
		    originals_of(core->originals, entries[i].seq));
	if (destination->held)
		buffer_printf(out, "%s held by %" PRIu64 "\n", destination->name, destination->hold_seq);
}

void
rig_state(const struct core *core, struct buffer *out)
{
	const char *names[16];
	size_t count = core_numbers(core);

	assert_true(count < COUNT(names));
	buffer_reset(out);
	for (size_t i = 0; i < count; i++)
		names[i] = core_name(core, i);
	qsort(names, count, sizeof(*names), compare_names);
	for (size_t i = 0; i < count; i++)
		queue_text(core, core_destination((struct core *)(uintptr_t)core, span_str(names[i])), out);
	queue_text(core, core->parked, out);
	buffer_printf(out, "%zu replays\n", originals_count(core->originals));
}

void
rig_same_state(const struct buffer *a, const struct buffer *b)
{
	if (a->len == b->len && memcmp(a->data, b->data, a->len) == 0)
		return;
	print_error("before:\n%.*safter:\n%.*s", (int)a->len, (const char *)a->data, (int)b->len,
	    (const char *)b->data);
	fail_msg("two states that should be one");
}

struct decision
rig_decision(uint64_t seq, struct arena *arena)
{
	struct decision decision;

	assert_int_equal(decision_decode(buffer_span(&fake.records[seq - 1].decision), arena, &decision), 0);
	return decision;
}
