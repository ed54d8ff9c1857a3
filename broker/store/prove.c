/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A proof of one record: its header, the chain value before it, and the hashes between it and a signed root. It is small wherever the record
 * lies: the reading of its neighbours is done here, once, and not by whoever checks it.
 */
#include <errno.h>
#include <string.h>

#include "broker/store/journal_private.h"
#include "broker/store/statement.h"

#define SIGNED_WITHIN_MS 10000
#define TRIES		 4 /* retention may move records meanwhile */

_Static_assert(
    JOURNAL_COVERED == RECORD_HEADER_SIZE - RECORD_COVERED_AT, "what the chain covers of a header");

/* Where a record lies, and what was signed of that place. */
struct place {
	struct segment *segment; /* raised */
	uint64_t offset;
	struct segment_signature signature;
};

/* Under the lock. 0, JOURNAL_ABSENT or JOURNAL_UNSIGNED. */
static int
place_find(struct journal *journal, uint64_t seq, struct place *place)
{
	struct segment *segment = NULL;
	size_t i;

	for (i = journal->segment_count; i-- > 0;)
		if (index_find(&journal->segments[i]->index, seq, &place->offset)) {
			segment = journal->segments[i];
			break;
		}
	if (!segment)
		return JOURNAL_ABSENT;
	for (i = segment->signature_count; i-- > 0;)
		if (place->offset >= segment->signatures[i].from && place->offset < segment->signatures[i].to)
			break;
	if (i == SIZE_MAX)
		return JOURNAL_UNSIGNED;
	place->signature = segment->signatures[i];
	place->segment = segment;
	segment->users++;
	return 0;
}

/* From the first record of the signature to its last: the header and the path of the one at place->offset. */
static int
records_walk(struct reader *reader, const struct place *place, const struct statement *statement,
    struct journal_proof *proof)
{
	uint8_t encoded[RECORD_HEADER_SIZE], chain[DIGEST_SHA256_LEN], root[DIGEST_SHA256_LEN];
	uint64_t offset = statement->from, index = 0;
	struct record_header header;
	struct tree_path path;
	struct sha256 sha;
	enum reader_step step;
	bool here, seen = false;
	int r;

	memcpy(chain, statement->chain_from, sizeof chain);
	/* until the record comes, no leaf is the one: then its index is known */
	tree_path_init(&path, UINT64_MAX);
	r = sha256_init(&sha);
	for (; r == 0 && offset < statement->to; index++) {
		r = reader_step(reader, &offset, &step, &header, encoded);
		if (r == 0 && step != READER_RECORD)
			r = JOURNAL_DAMAGED;
		if (r)
			break;
		here = offset == place->offset;
		if (here) {
			path.index = proof->index = index;
			seen = true;
			memcpy(proof->chain_before, chain, sizeof chain);
			record_covered(encoded, proof->covered);
		}
		r = record_chain(&sha, encoded, chain);
		if (r == 0)
			r = tree_path_add(&path, &sha, chain);
		offset += record_length(&header);
	}
	if (r == 0)
		r = seen ? tree_path_end(&path, &sha, root) : JOURNAL_DAMAGED;
	if (r == 0 && (index != statement->count || memcmp(root, statement->root, sizeof root) != 0))
		r = JOURNAL_DAMAGED;
	sha256_fini(&sha);
	proof->path_count = path.count;
	memcpy(proof->path, path.nodes, sizeof proof->path);
	return r;
}

/* Whether ${part} is what its digest in the header says: not when it was purged. */
static bool
is_original(struct span part, const uint8_t *digest)
{
	uint8_t own[DIGEST_SHA256_LEN];

	if (part.len == 0)
		return segment_is_zero(digest, DIGEST_SHA256_LEN);
	return digest_sha256(part, own) == 0 && memcmp(own, digest, sizeof own) == 0;
}

static int
prove_at(struct journal *journal, const struct place *place, struct arena *arena, struct journal_proof *proof)
{
	struct segment *segment = place->segment;
	struct statement_facts facts;
	struct record_header header;
	struct record signature;
	struct reader reader = { 0 };
	int fd, r;

	r = journal_read(journal, place->signature.seq, false, arena, &signature);
	if (r)
		return r;
	if (!statement_facts_decode(signature.facts, &facts))
		return JOURNAL_DAMAGED;
	proof->signature = signature.facts;
	r = segment_use(journal, segment, &fd);
	if (r == 0)
		r = journal_read_at(fd, segment->seed, place->offset, facts.statement.to, false, arena,
		    &proof->record, &header);
	if (r == 0)
		r = reader_init(&reader, fd, segment->seed, facts.statement.to, true);
	if (r == 0)
		r = records_walk(&reader, place, &facts.statement, proof);
	reader_fini(&reader);
	if (r)
		return r;
	proof->has_facts = is_original(proof->record.facts, header.facts_sha256);
	proof->has_decision = is_original(proof->record.decision, header.decision_sha256);
	return 0;
}

int
journal_prove(struct journal *journal, uint64_t seq, struct arena *arena, struct journal_proof *proof)
{
	struct journal_place found;
	struct place place;
	int r = JOURNAL_ABSENT;

	memset(proof, 0, sizeof *proof);
	for (unsigned i = 0; i < TRIES; i++) {
		r = journal_find(journal, seq, &found);
		if (r)
			return r;
		if (!sign_wait(journal, found.segment, found.offset, SIGNED_WITHIN_MS)) {
			r = JOURNAL_UNSIGNED;
			if (journal_find(journal, seq, &(struct journal_place){ 0 }) == 0)
				return r;
			continue;
		}
		pthread_mutex_lock(&journal->lock);
		r = place_find(journal, seq, &place);
		pthread_mutex_unlock(&journal->lock);
		if (r == JOURNAL_UNSIGNED) /* it was carried meanwhile */
			continue;
		if (r)
			return r;
		r = prove_at(journal, &place, arena, proof);
		segment_release(journal, place.segment);
		if (r != -ENOENT && r != JOURNAL_ABSENT)
			return r;
	}
	return r;
}
