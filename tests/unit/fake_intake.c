/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Content and core in memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "broker/net/peers.h"
#include "broker/net/presence.h"
#include "fake_intake.h"

struct fake_submission submitted[SUBMISSIONS_MAX];
size_t submitted_count;
uint64_t charged;
unsigned heard;
bool quota_passed;
uint64_t documents_unread;
unsigned documents_read;

void
core_submit(struct core *core, const struct submission *submission, core_done_fn *done, void *arg)
{
	(void)core;
	assert_true(submitted_count < SUBMISSIONS_MAX);
	submitted[submitted_count].submission = submission;
	submitted[submitted_count].done = done;
	submitted[submitted_count++].arg = arg;
}

bool
peer_charge_junk(struct peer *peer, uint64_t bytes, uint64_t at_us)
{
	(void)peer;
	(void)at_us;
	charged += bytes;
	return quota_passed;
}

void
presence_heard(struct presence *presence, struct peer *peer)
{
	(void)presence;
	assert_non_null(peer);
	heard++;
}

/* Enough of content for a door: the header, and what is an acknowledgement. */
void
content_judge(struct span bytes, const struct config_peer *peer, const char *listener, struct arena *arena,
    struct content *content)
{
	(void)peer;
	(void)arena;
	assert_string_equal(listener, "hl7");
	*content = (struct content){ 0 };
	hl7_header_read(&content->header, bytes);
	content->kind = span_eq_str(content->header.type, "ACK") ? CONTENT_STRAY : CONTENT_MESSAGE;
	content->facts.control_id = content->header.field[10];
	content->unread = documents_unread;
}

void
content_read_documents(
    struct span bytes, const struct config_peer *peer, struct arena *arena, struct content *content)
{
	static const struct fault finding = { .code = FAULT_DATA_TYPE };

	assert_non_null(bytes.ptr);
	assert_non_null(peer);
	assert_non_null(arena);
	content->unread = 0;
	content->finding = &finding;
	documents_read++;
}

void
verdict(size_t i, enum answer answer, uint64_t seq, const struct fault *fault)
{
	struct verdict v = { .answer = answer, .seq = seq, .time_us = 1700000000123456, .fault = fault };

	assert_true(i < submitted_count);
	assert_non_null(submitted[i].submission);
	submitted[i].submission = NULL;
	submitted[i].done(submitted[i].arg, &v);
}
