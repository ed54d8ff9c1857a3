/* SPDX-License-Identifier: Apache-2.0 */
/* See segment.h. */
#include "broker/store/segment.h"

#include <string.h>

#include "broker/store/bytes.h"

#define HEAD_COPY   256	 /* one copy of the head */
#define HEAD_OTHER  2048 /* where the second one stands: another sector */
#define HEAD_MAGIC  "LIAISONJ"
#define FOOT_MAGIC  "LIAISONF"
#define INDEX_MAGIC 0x7864494cU /* "LIdx" */
#define MAGIC_LEN   8

enum {
	AT_VERSION = 8,
	AT_CRC = 12,
};

enum {
	HEAD_ID = 16,
	HEAD_SECRET = 32,
	HEAD_NUMBER = 48,
	HEAD_PREV_NUMBER = 52,
	HEAD_CREATED = 56,
	HEAD_FIRST_SEQ = 64,
	HEAD_PREV_ID = 72,
	HEAD_PREV_END = 88,
	HEAD_PREV_CHAIN = 96,
};

enum {
	FOOT_ID = 16,
	FOOT_NUMBER = 32,
	FOOT_COUNT = 36,
	FOOT_END = 40,
	FOOT_LAST = 48,
	FOOT_NEXT_SEQ = 56,
	FOOT_INDEX_CRC = 64,
	FOOT_CHAIN = 96,
};

enum {
	ENTRY_SEQ = 0,
	ENTRY_OFFSET = 8,
	ENTRY_REF = 16,
	ENTRY_TYPE = 24,
	ENTRY_FLAGS = 26,
	ENTRY_FRONT = 28,
	ENTRY_KEY = 32,
};

enum {
	REMOVAL_NUMBER = 0,
	REMOVAL_ID = 8,
	REMOVAL_FIRST = 24,
	REMOVAL_LAST = 32,
	REMOVAL_RECORDS = 40,
	REMOVAL_END = 48,
	REMOVAL_CHAIN = 64,
};

bool
segment_is_zero(const uint8_t *bytes, size_t len)
{
	return len == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0);
}

/* The checksum of a block that holds its own at AT_CRC. */
static uint32_t
block_crc(const uint8_t *block, size_t len)
{
	static const uint8_t zeros[4];
	uint32_t crc;

	crc = digest_crc32c(0, span_make(block, AT_CRC));
	crc = digest_crc32c(crc, span_make(zeros, sizeof zeros));
	return digest_crc32c(crc, span_make(block + AT_CRC + 4, len - AT_CRC - 4));
}

void
segment_head_encode(const struct segment_head *head, uint8_t out[static SEGMENT_HEAD_SIZE])
{
	memset(out, 0, SEGMENT_HEAD_SIZE);
	memcpy(out, HEAD_MAGIC, MAGIC_LEN);
	bytes_put32(out + AT_VERSION, SEGMENT_VERSION);
	memcpy(out + HEAD_ID, head->id, SEGMENT_ID_LEN);
	memcpy(out + HEAD_SECRET, head->secret, SEGMENT_ID_LEN);
	bytes_put32(out + HEAD_NUMBER, head->number);
	bytes_put32(out + HEAD_PREV_NUMBER, head->prev_number);
	bytes_put64(out + HEAD_CREATED, head->created_us);
	bytes_put64(out + HEAD_FIRST_SEQ, head->first_seq);
	memcpy(out + HEAD_PREV_ID, head->prev_id, SEGMENT_ID_LEN);
	bytes_put64(out + HEAD_PREV_END, head->prev_end);
	memcpy(out + HEAD_PREV_CHAIN, head->prev_chain, DIGEST_SHA256_LEN);
	bytes_put32(out + AT_CRC, block_crc(out, HEAD_COPY));
	memcpy(out + HEAD_OTHER, out, HEAD_COPY);
}

static enum segment_head_outcome
copy_decode(const uint8_t *in, struct segment_head *head)
{
	if (memcmp(in, HEAD_MAGIC, MAGIC_LEN) != 0 || bytes_get32(in + AT_CRC) != block_crc(in, HEAD_COPY))
		return SEGMENT_HEAD_BAD;
	if (bytes_get32(in + AT_VERSION) != SEGMENT_VERSION)
		return SEGMENT_HEAD_FORMAT;
	memcpy(head->id, in + HEAD_ID, SEGMENT_ID_LEN);
	memcpy(head->secret, in + HEAD_SECRET, SEGMENT_ID_LEN);
	head->number = bytes_get32(in + HEAD_NUMBER);
	head->prev_number = bytes_get32(in + HEAD_PREV_NUMBER);
	head->created_us = bytes_get64(in + HEAD_CREATED);
	head->first_seq = bytes_get64(in + HEAD_FIRST_SEQ);
	memcpy(head->prev_id, in + HEAD_PREV_ID, SEGMENT_ID_LEN);
	head->prev_end = bytes_get64(in + HEAD_PREV_END);
	memcpy(head->prev_chain, in + HEAD_PREV_CHAIN, DIGEST_SHA256_LEN);
	return SEGMENT_HEAD_OK;
}

/* A later version may lay its head out otherwise: magic and one and the same foreign version in both places tell it, too. */
static bool
is_foreign(const uint8_t *in)
{
	const uint8_t *other = in + HEAD_OTHER;
	uint32_t version = bytes_get32(in + AT_VERSION);

	return memcmp(in, HEAD_MAGIC, MAGIC_LEN) == 0 && version != SEGMENT_VERSION &&
	       (memcmp(other, HEAD_MAGIC, MAGIC_LEN) != 0 || bytes_get32(other + AT_VERSION) == version);
}

enum segment_head_outcome
segment_head_decode(const uint8_t in[static SEGMENT_HEAD_SIZE], struct segment_head *head, int *copies)
{
	struct segment_head other;
	enum segment_head_outcome first = copy_decode(in, head),
				  second = copy_decode(in + HEAD_OTHER, &other);

	if (copies)
		*copies = (first == SEGMENT_HEAD_OK) + (second == SEGMENT_HEAD_OK);
	if (first == SEGMENT_HEAD_FORMAT || second == SEGMENT_HEAD_FORMAT)
		return SEGMENT_HEAD_FORMAT;
	if (first == SEGMENT_HEAD_OK)
		return SEGMENT_HEAD_OK;
	if (second == SEGMENT_HEAD_OK) {
		*head = other;
		return SEGMENT_HEAD_OK;
	}
	if (segment_is_zero(in, SEGMENT_HEAD_SIZE))
		return SEGMENT_HEAD_BLANK;
	return is_foreign(in) ? SEGMENT_HEAD_FORMAT : SEGMENT_HEAD_BAD;
}

bool
segment_head_clear(const uint8_t in[static SEGMENT_HEAD_SIZE])
{
	const uint8_t *behind = in + HEAD_OTHER + HEAD_COPY;

	return segment_is_zero(in + HEAD_COPY, HEAD_OTHER - HEAD_COPY) &&
	       segment_is_zero(behind, (size_t)(in + SEGMENT_HEAD_SIZE - behind));
}

void
segment_entry_encode(const struct segment_entry *entry, uint8_t out[static SEGMENT_ENTRY_SIZE])
{
	bytes_put64(out + ENTRY_SEQ, entry->seq);
	bytes_put64(out + ENTRY_OFFSET, entry->offset);
	bytes_put64(out + ENTRY_REF, entry->ref);
	bytes_put16(out + ENTRY_TYPE, entry->type);
	bytes_put16(out + ENTRY_FLAGS, entry->flags);
	bytes_put32(out + ENTRY_FRONT, entry->front_len);
	memcpy(out + ENTRY_KEY, entry->key, sizeof entry->key);
}

void
segment_entry_decode(const uint8_t in[static SEGMENT_ENTRY_SIZE], struct segment_entry *entry)
{
	entry->seq = bytes_get64(in + ENTRY_SEQ);
	entry->offset = bytes_get64(in + ENTRY_OFFSET);
	entry->ref = bytes_get64(in + ENTRY_REF);
	entry->type = bytes_get16(in + ENTRY_TYPE);
	entry->flags = bytes_get16(in + ENTRY_FLAGS);
	entry->front_len = bytes_get32(in + ENTRY_FRONT);
	memcpy(entry->key, in + ENTRY_KEY, sizeof entry->key);
}

uint64_t
segment_seal_size(uint64_t count)
{
	return SEGMENT_INDEX_HEAD + count * SEGMENT_ENTRY_SIZE + SEGMENT_FOOT_SIZE;
}

void
segment_index_head(uint32_t count, uint32_t crc, uint8_t out[static SEGMENT_INDEX_HEAD])
{
	memset(out, 0, SEGMENT_INDEX_HEAD);
	bytes_put32(out, INDEX_MAGIC);
	bytes_put32(out + 4, count);
	bytes_put32(out + 8, crc);
}

bool
segment_index_fits(const uint8_t *bytes, const struct segment_foot *foot)
{
	uint8_t head[SEGMENT_INDEX_HEAD];

	segment_index_head(foot->count, foot->index_crc, head);
	return memcmp(bytes, head, sizeof head) == 0;
}

bool
segment_is_index(const uint8_t *bytes)
{
	return bytes_get32(bytes) == INDEX_MAGIC;
}

void
segment_foot_encode(const struct segment_foot *foot, uint8_t out[static SEGMENT_FOOT_SIZE])
{
	memset(out, 0, SEGMENT_FOOT_SIZE);
	memcpy(out, FOOT_MAGIC, MAGIC_LEN);
	bytes_put32(out + AT_VERSION, SEGMENT_VERSION);
	memcpy(out + FOOT_ID, foot->id, SEGMENT_ID_LEN);
	bytes_put32(out + FOOT_NUMBER, foot->number);
	bytes_put32(out + FOOT_COUNT, foot->count);
	bytes_put64(out + FOOT_END, foot->end);
	bytes_put64(out + FOOT_LAST, foot->last_us);
	bytes_put64(out + FOOT_NEXT_SEQ, foot->next_seq);
	bytes_put32(out + FOOT_INDEX_CRC, foot->index_crc);
	memcpy(out + FOOT_CHAIN, foot->chain, DIGEST_SHA256_LEN);
	bytes_put32(out + AT_CRC, block_crc(out, SEGMENT_FOOT_SIZE));
}

bool
segment_foot_decode(const uint8_t in[static SEGMENT_FOOT_SIZE], struct segment_foot *foot)
{
	if (memcmp(in, FOOT_MAGIC, MAGIC_LEN) != 0 || bytes_get32(in + AT_VERSION) != SEGMENT_VERSION ||
	    bytes_get32(in + AT_CRC) != block_crc(in, SEGMENT_FOOT_SIZE))
		return false;
	memcpy(foot->id, in + FOOT_ID, SEGMENT_ID_LEN);
	foot->number = bytes_get32(in + FOOT_NUMBER);
	foot->count = bytes_get32(in + FOOT_COUNT);
	foot->end = bytes_get64(in + FOOT_END);
	foot->last_us = bytes_get64(in + FOOT_LAST);
	foot->next_seq = bytes_get64(in + FOOT_NEXT_SEQ);
	foot->index_crc = bytes_get32(in + FOOT_INDEX_CRC);
	memcpy(foot->chain, in + FOOT_CHAIN, DIGEST_SHA256_LEN);
	return foot->end >= SEGMENT_HEAD_SIZE && foot->end % RECORD_ALIGN == 0;
}

void
segment_removal_encode(const struct segment_removal *removal, uint8_t out[static SEGMENT_REMOVAL_SIZE])
{
	memset(out, 0, SEGMENT_REMOVAL_SIZE);
	bytes_put32(out + REMOVAL_NUMBER, removal->number);
	memcpy(out + REMOVAL_ID, removal->id, SEGMENT_ID_LEN);
	bytes_put64(out + REMOVAL_FIRST, removal->first_seq);
	bytes_put64(out + REMOVAL_LAST, removal->last_seq);
	bytes_put64(out + REMOVAL_RECORDS, removal->records);
	bytes_put64(out + REMOVAL_END, removal->end);
	memcpy(out + REMOVAL_CHAIN, removal->chain, DIGEST_SHA256_LEN);
}

bool
segment_removal_decode(struct span in, struct segment_removal *removal)
{
	if (in.len != SEGMENT_REMOVAL_SIZE)
		return false;
	removal->number = bytes_get32(in.ptr + REMOVAL_NUMBER);
	memcpy(removal->id, in.ptr + REMOVAL_ID, SEGMENT_ID_LEN);
	removal->first_seq = bytes_get64(in.ptr + REMOVAL_FIRST);
	removal->last_seq = bytes_get64(in.ptr + REMOVAL_LAST);
	removal->records = bytes_get64(in.ptr + REMOVAL_RECORDS);
	removal->end = bytes_get64(in.ptr + REMOVAL_END);
	memcpy(removal->chain, in.ptr + REMOVAL_CHAIN, DIGEST_SHA256_LEN);
	return true;
}
