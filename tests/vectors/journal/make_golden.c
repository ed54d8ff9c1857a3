/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes the golden journals of format version 1: `make_golden DIRECTORY` writes the two segment files that stand beside this program, and
 * `make_golden DIRECTORY replayed` the one of replayed/.
 *
 * Nothing in them is random. Segment 1 was removed; segment 2 is sealed; segment 3 is as a crash leaves it, with a record carried from
 * segment 1, the record of its removal, and zeros behind. In replayed/ a message was delivered, replayed, and delivered again. The files are never
 * made anew: a journal written once must be read for ever.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/store/record.h"
#include "broker/store/segment.h"
#include "codecs/digest.h"

#define FILE_MAX 32768
#define TIME	 1767225600000000u /* 2026-01-01T00:00:00Z in microseconds */

struct golden {
	uint8_t bytes[FILE_MAX];
	uint64_t at;
	uint32_t seed;
	struct sha256 sha;
	uint8_t chain[DIGEST_SHA256_LEN];
	uint8_t entries[64 * SEGMENT_ENTRY_SIZE];
	uint32_t count;
	uint64_t last_us;
};

struct line {
	uint64_t seq;
	enum record_type type;
	unsigned flags;
	uint64_t ref;
	const char *facts, *decision, *body;
	bool gone; /* the body was received but is not stored */
	bool keyed;
};

static const uint8_t secret[SEGMENT_ID_LEN] = "golden-secret-01";
static const char body_long[] =
    "MSH|^~\\&|GOLDEN|EXAMPLE|LIAISON|EXAMPLE|20260101||ACK^A01|1|T|2.5\rMSA|AA|1\r";

static void
check(bool ok, const char *what)
{
	if (!ok) {
		fprintf(stderr, "make_golden: %s\n", what);
		exit(1);
	}
}

static void
begin(struct golden *g, const struct segment_head *head)
{
	memset(g->bytes, 0, sizeof g->bytes);
	segment_head_encode(head, g->bytes);
	g->at = SEGMENT_HEAD_SIZE;
	g->seed = record_seed(head->id);
	memcpy(g->chain, head->prev_chain, DIGEST_SHA256_LEN);
	g->count = 0;
	g->last_us = head->created_us;
}

static void
add_bytes(struct golden *g, const struct line *line, struct span facts)
{
	struct span decision = span_str(line->decision), body = span_str(line->body);
	struct record_header h = { .facts_len = (uint32_t)facts.len, .decision_len = (uint32_t)decision.len };
	struct segment_entry entry;
	uint8_t *out = g->bytes + g->at;

	h.head = (struct record_head){ .seq = line->seq,
		.time_us = TIME + line->seq * 1000,
		.ref = line->ref,
		.size = body.len,
		.type = (uint16_t)line->type,
		.flags = (uint16_t)line->flags };
	h.body_len = line->gone ? 0 : body.len;
	if (line->keyed)
		for (unsigned i = 0; i < 16; i++)
			h.head.key[i] = (uint8_t)(line->seq * 16 + i);
	if (body.len)
		check(sha256_of(&g->sha, body, h.head.sha256) == 0, "digest");
	if (facts.len)
		check(sha256_of(&g->sha, facts, h.facts_sha256) == 0, "digest");
	if (decision.len)
		check(sha256_of(&g->sha, decision, h.decision_sha256) == 0, "digest");
	if (line->gone)
		body = SPAN_EMPTY;
	h.front_crc = record_front_crc(g->seed, facts, decision);
	h.body_crc = digest_crc32c(g->seed, body);
	check(g->at + record_length(&h) < FILE_MAX, "the file is full");
	record_encode(&h, g->seed, g->at, out);
	check(record_chain(&g->sha, out, g->chain) == 0, "chain");
	out += RECORD_HEADER_SIZE;
	memcpy(out, facts.ptr, facts.len);
	memcpy(out + facts.len, decision.ptr ? decision.ptr : facts.ptr, decision.len);
	if (body.len)
		memcpy(out + facts.len + decision.len, body.ptr, body.len);
	entry = (struct segment_entry){ .seq = h.head.seq,
		.offset = g->at,
		.ref = h.head.ref,
		.type = h.head.type,
		.flags = h.head.flags,
		.front_len = h.facts_len + h.decision_len };
	memcpy(entry.key, h.head.key, sizeof entry.key);
	segment_entry_encode(&entry, g->entries + g->count++ * SEGMENT_ENTRY_SIZE);
	if (!(line->flags & RECORD_CARRIED))
		g->last_us = h.head.time_us;
	g->at += record_length(&h);
}

static void
add(struct golden *g, const struct line *line)
{
	add_bytes(g, line, span_str(line->facts));
}

static uint64_t
seal(struct golden *g, const struct segment_head *head, uint64_t next_seq)
{
	struct segment_foot foot = { .number = head->number,
		.count = g->count,
		.end = g->at,
		.last_us = g->last_us,
		.next_seq = next_seq };
	uint8_t *out = g->bytes + g->at;
	size_t len = (size_t)g->count * SEGMENT_ENTRY_SIZE;

	check(g->at + segment_seal_size(g->count) <= FILE_MAX, "the file is full");
	memcpy(foot.id, head->id, SEGMENT_ID_LEN);
	memcpy(foot.chain, g->chain, DIGEST_SHA256_LEN);
	foot.index_crc = digest_crc32c(0, span_make(g->entries, len));
	segment_index_head(g->count, foot.index_crc, out);
	memcpy(out + SEGMENT_INDEX_HEAD, g->entries, len);
	segment_foot_encode(&foot, out + SEGMENT_INDEX_HEAD + len);
	return g->at + segment_seal_size(g->count);
}

static void
save(const struct golden *g, const char *directory, unsigned number, uint64_t len)
{
	char path[512];
	FILE *file;

	snprintf(path, sizeof path, "%s/%010u.seg", directory, number);
	file = fopen(path, "wb");
	check(file != NULL, path);
	check(fwrite(g->bytes, 1, len, file) == len, path);
	check(fclose(file) == 0, path);
}

/* A message that was removed, carried, refused ...: all types. */
static void
make_first(struct golden *g, const char *directory)
{
	struct segment_removal removal = {
		.number = 1, .first_seq = 1, .last_seq = 4, .records = 4, .end = 5456
	};
	struct segment_head two = {
		.number = 2, .prev_number = 1, .created_us = TIME + 4500, .first_seq = 5, .prev_end = 5456
	};
	struct segment_head three = {
		.number = 3, .prev_number = 2, .created_us = TIME + 14500, .first_seq = 15
	};
	uint8_t facts[SEGMENT_REMOVAL_SIZE];
	static const struct line lines[] = {
		{ 5, RECORD_STARTED, 0, 0, "version=1", "", "", false, false },
		{ 6, RECORD_ACCEPTED, 0, 0, "facts of six", "route=ehpad", body_long, false, true },
		{ 7, RECORD_REFUSED, 0, 0, "facts of seven", "AE", "x", false, false },
		{ 8, RECORD_FRAME, 0, 0, "cause=no-start", "", "", false, false },
		{ 9, RECORD_STRAY, 0, 0, "", "", "MSH|stray", false, false },
		{ 10, RECORD_DUPLICATE, RECORD_BODILESS, 6, "", "AA", body_long, true, true },
		{ 11, RECORD_OUTCOME, 0, 6, "delivered", "", "", false, false },
		{ 12, RECORD_ACCESS, 0, 6, "why=example", "", "", false, false },
		{ 13, RECORD_OPERATOR, 0, 0, "act", "yes", "", false, false },
		{ 14, RECORD_ACCEPTED, 0, 0, "", "", "", false, false },
	};
	static const struct line carried = { 3, RECORD_ACCEPTED, RECORD_CARRIED | RECORD_BODILESS, 0,
		"facts of three", "route=dmp", "forgotten bytes", true, true };
	static const struct line removed = { 15, RECORD_REMOVED, 0, 0, "", "", "", false, false };
	static const struct line last = { 16, RECORD_ACCEPTED, 0, 0, "facts of sixteen", "parked", "the last",
		false, true };

	memcpy(two.id, "segment-two-id-2", SEGMENT_ID_LEN);
	memcpy(two.secret, secret, SEGMENT_ID_LEN);
	memcpy(two.prev_id, "segment-one-id-1", SEGMENT_ID_LEN);
	memset(two.prev_chain, 0x11, DIGEST_SHA256_LEN);
	memcpy(removal.id, two.prev_id, SEGMENT_ID_LEN);
	memcpy(removal.chain, two.prev_chain, DIGEST_SHA256_LEN);
	begin(g, &two);
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
		add(g, &lines[i]);
	save(g, directory, 2, seal(g, &two, 15));
	memcpy(three.id, "segment-three-id", SEGMENT_ID_LEN);
	memcpy(three.secret, secret, SEGMENT_ID_LEN);
	memcpy(three.prev_id, two.id, SEGMENT_ID_LEN);
	memcpy(three.prev_chain, g->chain, DIGEST_SHA256_LEN);
	three.prev_end = g->at;
	begin(g, &three);
	add(g, &carried);
	segment_removal_encode(&removal, facts);
	add_bytes(g, &removed, span_make(facts, sizeof facts));
	add(g, &last);
	save(g, directory, 3, (g->at + 4095) / 4096 * 4096);
}

static void
make_replayed(struct golden *g, const char *directory)
{
	static const struct line lines[] = {
		{ 1, RECORD_STARTED, 0, 0, "version=1", "", "", false, false },
		{ 2, RECORD_ACCEPTED, 0, 0, "facts of two", "route=chu", body_long, false, true },
		{ 3, RECORD_OUTCOME, 0, 2, "", "delivered", "", false, false },
		{ 4, RECORD_ACCEPTED, RECORD_REPLAYED, 2, "facts of two", "route=chu who=root why=lost",
		    body_long, true, false },
		{ 5, RECORD_OUTCOME, 0, 4, "", "delivered", "", false, false },
	};
	struct segment_head one = { .number = 1, .created_us = TIME, .first_seq = 1 };

	memcpy(one.id, "segment-one-id-1", SEGMENT_ID_LEN);
	memcpy(one.secret, secret, SEGMENT_ID_LEN);
	begin(g, &one);
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
		add(g, &lines[i]);
	save(g, directory, 1, (g->at + 4095) / 4096 * 4096);
}

int
main(int argc, char **argv)
{
	static struct golden g;

	check(argc == 2 || (argc == 3 && strcmp(argv[2], "replayed") == 0),
	    "usage: make_golden DIRECTORY [replayed]");
	check(sha256_init(&g.sha) == 0, "no SHA-256");
	if (argc == 2)
		make_first(&g, argv[1]);
	else
		make_replayed(&g, argv[1]);
	sha256_fini(&g.sha);
	return 0;
}
