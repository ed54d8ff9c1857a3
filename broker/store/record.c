/* SPDX-License-Identifier: Apache-2.0 */
/* See record.h. */
#include "broker/store/record.h"

#include <string.h>

#include "broker/store/bytes.h"

/* Places in the header; conf/doc/journal.md has the same table. */
enum {
	AT_MAGIC = 0,
	AT_HEADER_CRC = 4,
	AT_FRONT_CRC = 8,
	AT_BODY_CRC = 12,
	AT_TYPE = RECORD_COVERED_AT,
	AT_FLAGS = 18,
	AT_FACTS_LEN = 20,
	AT_DECISION_LEN = 24,
	AT_ZERO = 28,
	AT_BODY_LEN = 32,
	AT_SEQ = 40,
	AT_TIME = 48,
	AT_REF = 56,
	AT_SIZE = 64,
	AT_KEY = 72,
	AT_SHA256 = 88,
	AT_FACTS_SHA256 = 120,
	AT_DECISION_SHA256 = 152,
	AT_ZERO_TOO = 184,
};

uint32_t
record_seed(const uint8_t segment_id[static 16])
{
	return digest_crc32c(0, span_make(segment_id, 16));
}

uint64_t
record_body_at(const struct record_header *header)
{
	return RECORD_HEADER_SIZE + (uint64_t)header->facts_len + header->decision_len;
}

uint64_t
record_length(const struct record_header *header)
{
	uint64_t len = record_body_at(header) + header->body_len;

	return (len + RECORD_ALIGN - 1) & ~(uint64_t)(RECORD_ALIGN - 1);
}

uint32_t
record_front_crc(uint32_t seed, struct span facts, struct span decision)
{
	return digest_crc32c(digest_crc32c(seed, facts), decision);
}

static uint32_t
header_crc(const uint8_t *bytes, uint32_t seed, uint64_t offset)
{
	uint8_t place[8];
	uint32_t crc;

	bytes_put64(place, offset);
	crc = digest_crc32c(seed, span_make(place, sizeof place));
	crc = digest_crc32c(crc, span_make(bytes, AT_HEADER_CRC));
	return digest_crc32c(crc, span_make(bytes + AT_FRONT_CRC, RECORD_HEADER_SIZE - AT_FRONT_CRC));
}

void
record_encode(const struct record_header *header, uint32_t seed, uint64_t offset,
    uint8_t out[static RECORD_HEADER_SIZE])
{
	const struct record_head *head = &header->head;

	memset(out, 0, RECORD_HEADER_SIZE);
	bytes_put32(out + AT_MAGIC, RECORD_MAGIC);
	bytes_put32(out + AT_FRONT_CRC, header->front_crc);
	bytes_put32(out + AT_BODY_CRC, header->body_crc);
	bytes_put16(out + AT_TYPE, head->type);
	bytes_put16(out + AT_FLAGS, head->flags);
	bytes_put32(out + AT_FACTS_LEN, header->facts_len);
	bytes_put32(out + AT_DECISION_LEN, header->decision_len);
	bytes_put64(out + AT_BODY_LEN, header->body_len);
	bytes_put64(out + AT_SEQ, head->seq);
	bytes_put64(out + AT_TIME, head->time_us);
	bytes_put64(out + AT_REF, head->ref);
	bytes_put64(out + AT_SIZE, head->size);
	memcpy(out + AT_KEY, head->key, sizeof head->key);
	memcpy(out + AT_SHA256, head->sha256, sizeof head->sha256);
	memcpy(out + AT_FACTS_SHA256, header->facts_sha256, DIGEST_SHA256_LEN);
	memcpy(out + AT_DECISION_SHA256, header->decision_sha256, DIGEST_SHA256_LEN);
	bytes_put32(out + AT_HEADER_CRC, header_crc(out, seed, offset));
}

/* From the type on. */
static bool
fields_decode(const uint8_t *in, struct record_header *header)
{
	struct record_head *head = &header->head;

	header->facts_len = bytes_get32(in + AT_FACTS_LEN);
	header->decision_len = bytes_get32(in + AT_DECISION_LEN);
	header->body_len = bytes_get64(in + AT_BODY_LEN);
	memcpy(header->facts_sha256, in + AT_FACTS_SHA256, DIGEST_SHA256_LEN);
	memcpy(header->decision_sha256, in + AT_DECISION_SHA256, DIGEST_SHA256_LEN);
	head->type = bytes_get16(in + AT_TYPE);
	head->flags = bytes_get16(in + AT_FLAGS);
	head->seq = bytes_get64(in + AT_SEQ);
	head->time_us = bytes_get64(in + AT_TIME);
	head->ref = bytes_get64(in + AT_REF);
	head->size = bytes_get64(in + AT_SIZE);
	memcpy(head->key, in + AT_KEY, sizeof head->key);
	memcpy(head->sha256, in + AT_SHA256, sizeof head->sha256);
	return head->seq > 0 && head->seq < RECORD_SEQ_LIMIT && header->facts_len <= RECORD_PART_MAX &&
	       header->decision_len <= RECORD_PART_MAX && header->body_len <= RECORD_BODY_MAX;
}

bool
record_decode(
    const uint8_t in[static RECORD_HEADER_SIZE], uint32_t seed, uint64_t offset, struct record_header *header)
{
	if (bytes_get32(in + AT_MAGIC) != RECORD_MAGIC ||
	    bytes_get32(in + AT_HEADER_CRC) != header_crc(in, seed, offset))
		return false;
	header->front_crc = bytes_get32(in + AT_FRONT_CRC);
	header->body_crc = bytes_get32(in + AT_BODY_CRC);
	return fields_decode(in, header);
}

bool
record_uncover(
    const uint8_t covered[static RECORD_HEADER_SIZE - RECORD_COVERED_AT], struct record_header *header)
{
	uint8_t in[RECORD_HEADER_SIZE] = { 0 };

	memcpy(in + RECORD_COVERED_AT, covered, sizeof in - RECORD_COVERED_AT);
	header->front_crc = header->body_crc = 0;
	return fields_decode(in, header) && !(header->head.flags & RECORD_PURGED);
}

void
record_covered(const uint8_t encoded[static RECORD_HEADER_SIZE],
    uint8_t covered[static RECORD_HEADER_SIZE - RECORD_COVERED_AT])
{
	uint8_t *flags = covered + (AT_FLAGS - AT_TYPE);

	memcpy(covered, encoded + AT_TYPE, RECORD_HEADER_SIZE - AT_TYPE);
	bytes_put16(flags, (uint16_t)(bytes_get16(flags) & ~(unsigned)RECORD_PURGED));
}

int
record_chain(struct sha256 *sha, const uint8_t encoded[static RECORD_HEADER_SIZE],
    uint8_t chain[static DIGEST_SHA256_LEN])
{
	uint8_t covered[RECORD_HEADER_SIZE - AT_TYPE], next[DIGEST_SHA256_LEN];
	int r;

	record_covered(encoded, covered);
	sha256_reset(sha);
	sha256_update(sha, span_make(chain, DIGEST_SHA256_LEN));
	sha256_update(sha, span_make(covered, sizeof covered));
	r = sha256_final(sha, next);
	if (r == 0)
		memcpy(chain, next, sizeof next);
	return r;
}
