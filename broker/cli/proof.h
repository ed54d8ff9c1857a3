/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A proof: records of a journal, each with what leads from it to something the broker signed, and the file it is kept in. Format:
 * conf/doc/proof.md.
 *
 * A file is good only when it is, byte for byte, what encoding its content gives, and its content hangs together from the first byte to the
 * signatures: so no byte of it can be changed. The sentences in it are made from the proven bytes and never believed. Pure but for proof_check's
 * signatures: no I/O.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/store/journal.h"
#include "broker/store/record.h"
#include "broker/store/seal_key.h"
#include "broker/store/statement.h"
#include "codecs/arena.h"
#include "codecs/buffer.h"

#define PROOF_RECORDS	 1001
#define PROOF_SIGNATURES 1001
#define PROOF_FILE_MAX	 ((size_t)64 << 20)
#define PROOF_PROBLEM	 256

struct proof_record {
	uint8_t header[JOURNAL_COVERED];
	uint8_t before[DIGEST_SHA256_LEN];
	struct span facts, decision;
	bool has_facts, has_decision; /* else they are not shown: purged */
	size_t signature;	      /* which */
	uint64_t index;
	size_t path_count;
	uint8_t path[JOURNAL_PATH][DIGEST_SHA256_LEN];
	struct record_header fields; /* of ${header}: proof_check */
};

/* Lists and bytes lie in an arena. */
struct proof {
	struct proof_record *records;
	size_t record_count;
	struct span *signatures; /* facts of a RECORD_SIGNED each */
	size_t signature_count;
};

/*
 * Whether ${proof} hangs together: digests, chain values, paths, statements, signatures, and, unless ${trust} is NULL, the certificates of the seal. False:
 * ${problem} says what is wrong first. To be called before proof_says and proof_encode.
 */
bool proof_check(struct proof *proof, const struct seal_trust *trust, char problem[PROOF_PROBLEM])
    __attribute__((warn_unused_result));

/* Call ${line} with each sentence that a checked proof shows, in order. 0, -ENOMEM. */
typedef void proof_line(void *arg, struct span text);
int proof_says(const struct proof *proof, proof_line *line, void *arg) __attribute__((warn_unused_result));

/* Append the file of a checked proof. 0 or -ENOMEM. */
int proof_encode(const struct proof *proof, struct buffer *out) __attribute__((warn_unused_result));

/* Read a file: content into ${arena}. False with ${problem}. That the file is the one encoding of its content is proof_is_file's question. */
bool proof_decode(struct span file, struct arena *arena, struct proof *proof, char problem[PROOF_PROBLEM])
    __attribute__((warn_unused_result));

/* Decode, check, compare: true when ${file} is good from its first byte to its last. ${proof} is filled then. */
bool proof_verify(struct span file, const struct seal_trust *trust, struct arena *arena, struct proof *proof,
    char problem[PROOF_PROBLEM]) __attribute__((warn_unused_result));
