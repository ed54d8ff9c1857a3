/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HL7 door in memory.
 */
#include "mllp_rig.h"

struct config_peer peer_config = {
	.name = "chu-demo", .max_size = 1 << 20, .max_in_flight = 8, .may_send = true, .junk_quota = 1 << 20
};
struct peer peer = { .config = &peer_config };
struct config config = {
	.limits = { .large_size = 1 << 16, .large_rate = 1000, .frame_ms = 30000, .idle_ms = 600000 },
};
struct slots slots;
struct budget budget;
bool turn_asked;
struct mllp_door *door;
struct link link_;

static void
soon(void *arg)
{
	(void)arg;
	turn_asked = true;
}

int
rig_setup(void **state)
{
	struct door_context context = { .config = &config, .slots = &slots, .budget = &budget };

	(void)state;
	submitted_count = 0;
	quota_passed = false;
	charged = 0;
	heard = 0;
	documents_unread = 0;
	documents_read = 0;
	fake_workers_full = false;
	peer_config.max_in_flight = 8;
	peer_config.max_size = 1 << 20;
	peer_config.lenient = 0;
	peer.messages = peer.message_bytes = peer.refused = peer.deferred = peer.duplicates = peer.restamped =
	    peer.same_id = peer.stray = metric_series(METRIC_MESSAGES, "test");
	slots_init(&slots, 1);
	turn_asked = false;
	budget_init(&budget, 64 << 20, soon, NULL);
	assert_int_equal(mllp_door_new(&door, &context, "hl7"), 0);
	assert_true(fake_link_open(&link_, &mllp_handler, door, &peer));
	return 0;
}

int
rig_teardown(void **state)
{
	(void)state;
	fake_link_end(&link_, LINK_CLOSED_BY_PEER);
	for (size_t i = 0; i < submitted_count; i++)
		if (submitted[i].submission)
			verdict(i, ANSWER_NONE, 99, NULL);
	assert_int_equal(mllp_door_in_flight(door), 0);
	assert_int_equal(slots.used, 0);
	assert_int_equal(budget.used, 0); /* whatever happened, nothing is left in the account */
	assert_null(budget.first);
	assert_null(budget.guest);
	mllp_door_free(door);
	return 0;
}

void
reopen(void)
{
	fake_link_end(&link_, LINK_CLOSED_BY_PEER);
	assert_true(fake_link_open(&link_, &mllp_handler, door, &peer));
}

struct buffer
big(size_t size)
{
	static const char head[] = "\vMSH|^~\\&|LIS|CHU|DUI|EHPAD|20251121||ORU^R01|BIG|P|2.5\rOBX|";
	struct buffer b;

	buffer_init(&b, size + 1024);
	buffer_append_str(&b, head);
	while (b.len < size)
		buffer_append_byte(&b, 'x');
	buffer_append_str(&b, "\r\x1c\r");
	return b;
}
