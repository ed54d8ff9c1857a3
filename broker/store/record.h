/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One record of the journal as bytes: 192 bytes of header, facts, decision, received bytes, zeros up to a multiple of 16.
 *
 * Pure: no I/O. The layout and its reasons: conf/doc/journal.md. The header's checksum is seeded with the segment's id and the offset, so
 * that neither bytes of another segment nor a record inside somebody's message can pass for one.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/store/journal.h"
#include "codecs/digest.h"
#include "codecs/span.h"

#define RECORD_HEADER_SIZE 192
#define RECORD_COVERED_AT  16 /* the chain covers a header from here on */
#define RECORD_ALIGN	   16
#define RECORD_MAGIC	   0x6365524cU	       /* "LRec" */
#define RECORD_PART_MAX	   ((size_t)16 << 20)  /* facts, decision: replay holds one of each in memory */
#define RECORD_BODY_MAX	   ((uint64_t)1 << 30) /* above what any door lets in */
#define RECORD_SEQ_LIMIT   ((uint64_t)1 << 53) /* exact in every JSON number */

struct record_header {
	struct record_head head;
	uint32_t facts_len;
	uint32_t decision_len;
	uint64_t body_len;  /* stored, not received */
	uint32_t front_crc; /* facts and decision */
	uint32_t body_crc;
	uint8_t facts_sha256[DIGEST_SHA256_LEN]; /* zeros when there are none */
	uint8_t decision_sha256[DIGEST_SHA256_LEN];
};

/* What every checksum of the segment begins with. */
uint32_t record_seed(const uint8_t segment_id[static 16]);

/* Bytes from this header to the next record. */
uint64_t record_length(const struct record_header *header);

/* Offset of the received bytes behind the header's begin. */
uint64_t record_body_at(const struct record_header *header);

uint32_t record_front_crc(uint32_t seed, struct span facts, struct span decision);

void record_encode(const struct record_header *header, uint32_t seed, uint64_t offset,
    uint8_t out[static RECORD_HEADER_SIZE]);

/* False when these are not the bytes of a header at ${offset} of that segment. */
bool record_decode(const uint8_t in[static RECORD_HEADER_SIZE], uint32_t seed, uint64_t offset,
    struct record_header *header) __attribute__((warn_unused_result));

/* What the chain covers of an encoded header: from its type on, the purged flag cleared. */
void record_covered(const uint8_t encoded[static RECORD_HEADER_SIZE],
    uint8_t covered[static RECORD_HEADER_SIZE - RECORD_COVERED_AT]);

/* The fields of a header of which only that is at hand; its checksums are 0. False when they are none, or the purged flag is set. */
bool record_uncover(const uint8_t covered[static RECORD_HEADER_SIZE - RECORD_COVERED_AT],
    struct record_header *header) __attribute__((warn_unused_result));

/*
 * Move the chain over an encoded header: SHA-256(chain || header from its type on, the purged flag cleared). The checksums are left out so
 * that purged content keeps its place in the chain. 0 or -EIO.
 */
int record_chain(struct sha256 *sha, const uint8_t encoded[static RECORD_HEADER_SIZE],
    uint8_t chain[static DIGEST_SHA256_LEN]) __attribute__((warn_unused_result));
