/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a proof hangs together: see proof.h. */
#include "broker/cli/proof.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "broker/store/tree.h"

static bool wrong(char *problem, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool
wrong(char *problem, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(problem, PROOF_PROBLEM, format, arguments);
	va_end(arguments);
	return false;
}

static bool
part_is(struct span part, uint32_t len, const uint8_t *want)
{
	static const uint8_t none[DIGEST_SHA256_LEN];
	uint8_t digest[DIGEST_SHA256_LEN];

	if (part.len != len)
		return false;
	if (len == 0)
		return memcmp(want, none, sizeof none) == 0;
	return digest_sha256(part, digest) == 0 && memcmp(digest, want, sizeof digest) == 0;
}

static bool
is_message(unsigned type)
{
	return type >= RECORD_ACCEPTED && type <= RECORD_STRAY;
}

/* What the record at ${i} may be: the message first, then outcomes and acts about it, ascending. */
static bool
place_check(const struct proof *proof, size_t i, char *problem)
{
	const struct record_head *head = &proof->records[i].fields.head,
				 *first = &proof->records[0].fields.head;

	if (i == 0)
		return is_message(head->type) || wrong(problem, "record 1 is no message");
	if ((head->type != RECORD_OUTCOME && head->type != RECORD_OPERATOR) || head->ref != first->seq)
		return wrong(problem, "record %zu is not about the message", i + 1);
	if (i > 1 && head->seq <= proof->records[i - 1].fields.head.seq)
		return wrong(problem, "record %zu is not in its place", i + 1);
	return true;
}

static bool
climbs(const struct proof_record *record, const struct statement *statement, struct sha256 *sha)
{
	uint8_t chain[DIGEST_SHA256_LEN], root[DIGEST_SHA256_LEN];

	sha256_reset(sha);
	sha256_update(sha, span_make(record->before, sizeof record->before));
	sha256_update(sha, span_make(record->header, sizeof record->header));
	return sha256_final(sha, chain) == 0 &&
	       tree_climb(sha, chain, record->index, statement->count,
		   (const uint8_t(*)[DIGEST_SHA256_LEN])record->path, record->path_count, root) &&
	       memcmp(root, statement->root, sizeof root) == 0;
}

static bool
record_check(struct proof *proof, size_t i, struct sha256 *sha, char *problem)
{
	struct proof_record *record = &proof->records[i];
	struct statement_facts facts;

	if (!record_uncover(record->header, &record->fields))
		return wrong(problem, "the header of record %zu is none", i + 1);
	if (!place_check(proof, i, problem))
		return false;
	if (record->has_facts &&
	    !part_is(record->facts, record->fields.facts_len, record->fields.facts_sha256))
		return wrong(problem, "the facts of record %zu are not those of its header", i + 1);
	if (record->has_decision &&
	    !part_is(record->decision, record->fields.decision_len, record->fields.decision_sha256))
		return wrong(problem, "the decision of record %zu is not that of its header", i + 1);
	if (record->signature >= proof->signature_count ||
	    !statement_facts_decode(proof->signatures[record->signature], &facts))
		return wrong(problem, "record %zu names no signature", i + 1);
	if (!climbs(record, &facts.statement, sha))
		return wrong(problem, "record %zu is not among what signature %zu signed", i + 1,
		    record->signature + 1);
	return true;
}

static bool
signature_check(const struct proof *proof, size_t i, const struct seal_trust *trust, char *problem)
{
	struct statement_facts facts;
	const char *why;

	if (!statement_facts_decode(proof->signatures[i], &facts))
		return wrong(problem, "signature %zu is none", i + 1);
	if (!seal_signed(&facts))
		return wrong(problem, "signature %zu is not that of its certificate", i + 1);
	why = trust ? seal_trust_check(trust, &facts) : NULL;
	return !why || wrong(problem, "signature %zu: %s", i + 1, why);
}

bool
proof_check(struct proof *proof, const struct seal_trust *trust, char problem[PROOF_PROBLEM])
{
	struct sha256 sha;
	size_t used = 0; /* signatures come in the order of their first use, each once */
	bool good;

	if (proof->record_count == 0)
		return wrong(problem, "there is no record");
	good = sha256_init(&sha) == 0 || wrong(problem, "there is no memory");
	for (size_t i = 0; good && i < proof->record_count; i++) {
		good = record_check(proof, i, &sha, problem);
		if (good && proof->records[i].signature > used)
			good = wrong(problem, "signatures are not in the order of their use");
		else if (good && proof->records[i].signature == used)
			used++;
	}
	sha256_fini(&sha);
	if (good && used != proof->signature_count)
		good = wrong(problem, "a signature is of no use");
	for (size_t i = 0; good && i < proof->signature_count; i++) {
		good = signature_check(proof, i, trust, problem);
		for (size_t k = 0; good && k < i; k++)
			if (span_eq(proof->signatures[i], proof->signatures[k]))
				good = wrong(problem, "a signature stands twice");
	}
	return good;
}
