/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands around the records of a segment file: its head, and at the seal its index and foot.
 *
 * Pure: no I/O. Layout and reasons: conf/doc/journal.md. A head names the segment before it and where that one's records end: what
 * stands behind is void, and so are whole segments numbered between the two.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/store/record.h"
#include "codecs/digest.h"
#include "codecs/span.h"

#define SEGMENT_VERSION	   1
#define SEGMENT_HEAD_SIZE  4096 /* records begin here: the head shares no block with them */
#define SEGMENT_ENTRY_SIZE 48
#define SEGMENT_INDEX_HEAD 16
#define SEGMENT_FOOT_SIZE  128
#define SEGMENT_ID_LEN	   16

struct segment_head {
	uint8_t id[SEGMENT_ID_LEN];	/* random */
	uint8_t secret[SEGMENT_ID_LEN]; /* of the journal: the same in all its segments */
	uint32_t number;
	uint32_t prev_number; /* the last segment before this that holds committed records; 0: none */
	uint64_t created_us;  /* journal time */
	uint64_t first_seq;   /* the next sequence when it was begun */
	uint8_t prev_id[SEGMENT_ID_LEN];
	uint64_t prev_end; /* where that segment's records end */
	uint8_t prev_chain[DIGEST_SHA256_LEN];
};

enum segment_head_outcome {
	SEGMENT_HEAD_OK = 0,
	SEGMENT_HEAD_BLANK,  /* all zero: made ahead and never used, or its first write never arrived */
	SEGMENT_HEAD_BAD,    /* neither copy is whole */
	SEGMENT_HEAD_FORMAT, /* of a version we do not know */
};

/* The whole first block of a segment: the head stands twice in it. */
void segment_head_encode(const struct segment_head *head, uint8_t out[static SEGMENT_HEAD_SIZE]);

/* One whole copy suffices; *${copies} (may be NULL) tells how many were. */
enum segment_head_outcome segment_head_decode(const uint8_t in[static SEGMENT_HEAD_SIZE],
    struct segment_head *head, int *copies) __attribute__((warn_unused_result));

/* Whether all of the block that is neither copy of the head is zero, as it was made. */
bool segment_head_clear(const uint8_t in[static SEGMENT_HEAD_SIZE]) __attribute__((warn_unused_result));

/* What the index of a sealed segment says of one record. */
struct segment_entry {
	uint64_t seq;
	uint64_t offset;
	uint64_t ref;
	uint16_t type;
	uint16_t flags;
	uint32_t front_len; /* facts and decision */
	uint8_t key[16];
};

void segment_entry_encode(const struct segment_entry *entry, uint8_t out[static SEGMENT_ENTRY_SIZE]);
void segment_entry_decode(const uint8_t in[static SEGMENT_ENTRY_SIZE], struct segment_entry *entry);

struct segment_foot {
	uint8_t id[SEGMENT_ID_LEN];
	uint32_t number;
	uint32_t count;	   /* entries of the index */
	uint64_t end;	   /* where records end and the index begins */
	uint64_t last_us;  /* the newest journal time in it, carried records apart */
	uint64_t next_seq; /* the next sequence when it was sealed */
	uint32_t index_crc;
	uint8_t chain[DIGEST_SHA256_LEN]; /* behind the last record */
};

/* Bytes that index and foot take for ${count} records. */
uint64_t segment_seal_size(uint64_t count);

void segment_index_head(uint32_t count, uint32_t crc, uint8_t out[static SEGMENT_INDEX_HEAD]);

/* Whether these SEGMENT_INDEX_HEAD bytes are the head that ${foot} goes with, all of them. */
bool segment_index_fits(const uint8_t *bytes, const struct segment_foot *foot)
    __attribute__((warn_unused_result));

/* Whether the bytes are the head of an index: the end of the records, however the rest looks. */
bool segment_is_index(const uint8_t *bytes);

void segment_foot_encode(const struct segment_foot *foot, uint8_t out[static SEGMENT_FOOT_SIZE]);
bool segment_foot_decode(const uint8_t in[static SEGMENT_FOOT_SIZE], struct segment_foot *foot)
    __attribute__((warn_unused_result));

/* What RECORD_REMOVED holds as facts: which segment went, and where the chain stood at its end. */
#define SEGMENT_REMOVAL_SIZE 96

struct segment_removal {
	uint32_t number;
	uint8_t id[SEGMENT_ID_LEN];
	uint64_t first_seq, last_seq; /* of the records born in it; 0: none */
	uint64_t records;
	uint64_t end;
	uint8_t chain[DIGEST_SHA256_LEN];
};

void segment_removal_encode(const struct segment_removal *removal, uint8_t out[static SEGMENT_REMOVAL_SIZE]);
bool segment_removal_decode(struct span in, struct segment_removal *removal)
    __attribute__((warn_unused_result));

/* Whether all ${len} bytes are zero. */
bool segment_is_zero(const uint8_t *bytes, size_t len);
