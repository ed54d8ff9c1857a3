/* SPDX-License-Identifier: Apache-2.0 */
/* See verify_seals.h. */
#include "broker/store/verify_seals.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker/store/seal_key.h"

int
verify_runs_take(struct verify_runs *runs, const struct segment *segment)
{
	memset(runs, 0, sizeof *runs);
	runs->runs = calloc(segment->signature_count + 1, sizeof *runs->runs);
	if (!runs->runs)
		return -ENOMEM;
	for (size_t i = 0; i < segment->signature_count; i++) {
		struct statement *read = &runs->runs[runs->count++].read;

		read->segment = segment->number;
		memcpy(read->segment_id, segment->id, SEGMENT_ID_LEN);
		read->from = segment->signatures[i].from;
		read->to = segment->signatures[i].to;
	}
	return 0;
}

void
verify_runs_fini(struct verify_runs *runs)
{
	free(runs->runs);
	runs->runs = NULL;
}

int
verify_runs_before(struct verify_runs *runs, uint64_t offset, const uint8_t *chain)
{
	struct verify_run *run;

	while (runs->at < runs->count && runs->runs[runs->at].read.to <= offset)
		runs->at++;
	if (runs->at == runs->count)
		return 0;
	run = &runs->runs[runs->at];
	if (offset == run->read.from) {
		run->begun = true;
		memcpy(run->read.chain_from, chain, DIGEST_SHA256_LEN);
	}
	return 0;
}

int
verify_runs_behind(
    struct verify_runs *runs, uint64_t end, bool signature, struct sha256 *sha, const uint8_t *chain)
{
	struct verify_run *run;

	if (runs->at == runs->count || !runs->runs[runs->at].begun) {
		runs->not_signed += !signature;
		return 0;
	}
	run = &runs->runs[runs->at];
	if (tree_add(&run->tree, sha, chain))
		return -EIO;
	if (end != run->read.to)
		return 0;
	run->whole = true;
	run->read.count = run->tree.count;
	memcpy(run->read.chain_to, chain, DIGEST_SHA256_LEN);
	return tree_root(&run->tree, sha, run->read.root);
}

int
verify_seals_runs(struct verify_seals *seals, const struct verify_runs *runs)
{
	struct statement *all;

	seals->not_signed += runs->not_signed;
	if (runs->count == 0)
		return 0;
	all = reallocarray(seals->runs, seals->count + runs->count, sizeof *all);
	if (!all)
		return -ENOMEM;
	seals->runs = all;
	for (size_t i = 0; i < runs->count; i++) {
		all[seals->count] = runs->runs[i].read;
		if (!runs->runs[i].whole)
			all[seals->count].count = 0; /* it has not the records that were signed */
		seals->count++;
	}
	return 0;
}

static bool
seal_is(const struct journal_seal *seal, const struct statement_facts *facts)
{
	struct statement_facts first;

	return statement_facts_decode(buffer_span(&seal->first), &first) &&
	       span_eq(first.certificates, facts->certificates);
}

/* Count one of its signatures; without memory the seal is left out, which a verifier of certificates is told as one that is missing. */
static void
seal_count(struct verify_seals *seals, struct span facts, const struct statement_facts *decoded)
{
	struct journal_seal *all, *seal = NULL;

	for (size_t i = 0; i < seals->seal_count && !seal; i++)
		if (seal_is(&seals->seals[i], decoded))
			seal = &seals->seals[i];
	if (!seal) {
		all = reallocarray(seals->seals, seals->seal_count + 1, sizeof *all);
		if (!all)
			return;
		seals->seals = all;
		seal = &all[seals->seal_count++];
		seal->count = 0;
		buffer_init(&seal->first, STATEMENT_FACTS_MAX);
		buffer_init(&seal->last, STATEMENT_FACTS_MAX);
		buffer_append_span(&seal->first, facts);
	}
	seal->count++;
	buffer_reset(&seal->last);
	buffer_append_span(&seal->last, facts);
}

static bool
is_about(const struct statement *read, const struct statement *said)
{
	return read->segment == said->segment && read->from == said->from && read->to == said->to &&
	       memcmp(read->segment_id, said->segment_id, SEGMENT_ID_LEN) == 0;
}

static const char *
run_judge(const struct statement *read, const struct statement *said)
{
	if (read->count != said->count ||
	    memcmp(read->chain_from, said->chain_from, DIGEST_SHA256_LEN) != 0 ||
	    memcmp(read->chain_to, said->chain_to, DIGEST_SHA256_LEN) != 0 ||
	    memcmp(read->root, said->root, DIGEST_SHA256_LEN) != 0)
		return "the records before are not those that were signed";
	return NULL;
}

const char *
verify_seals_record(struct verify_seals *seals, const struct verify_runs *here, struct span facts)
{
	struct statement_facts decoded;

	if (!statement_facts_decode(facts, &decoded))
		return "the signature is none";
	if (!seal_signed(&decoded))
		return "the signature is not that of its certificate";
	seals->signatures++;
	seal_count(seals, facts, &decoded);
	for (size_t i = 0; i < here->count; i++)
		if (is_about(&here->runs[i].read, &decoded.statement))
			return run_judge(&here->runs[i].read, &decoded.statement);
	for (size_t i = seals->count; i-- > 0;)
		if (is_about(&seals->runs[i], &decoded.statement))
			return run_judge(&seals->runs[i], &decoded.statement);
	return NULL; /* about a segment that is not there any more */
}

void
verify_seals_give(struct verify_seals *seals, struct journal_verified *verified)
{
	verified->signatures = seals->signatures;
	verified->not_signed = seals->not_signed;
	verified->seals = seals->seals;
	verified->seal_count = seals->seal_count;
	seals->seals = NULL;
	seals->seal_count = 0;
}

static void
seals_free(struct journal_seal *seals, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		buffer_fini(&seals[i].first);
		buffer_fini(&seals[i].last);
	}
	free(seals);
}

void
verify_seals_fini(struct verify_seals *seals)
{
	free(seals->runs);
	seals_free(seals->seals, seals->seal_count);
}

void
journal_verified_fini(struct journal_verified *verified)
{
	seals_free(verified->seals, verified->seal_count);
}
