/* SPDX-License-Identifier: Apache-2.0 */
/* See sign.h. */
#include "broker/store/sign.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "broker/base/log.h"
#include "broker/base/metrics.h"
#include "broker/store/journal_private.h"
#include "broker/store/seal_key.h"
#include "broker/store/statement.h"

#define SIGN_EVERY_US ((uint64_t)300 * 1000000)
#define AGAIN_US      ((uint64_t)1000000) /* after a signature that could not be had */

enum {
	CUT_NOTHING = 1, /* only signatures stand there */
	CUT_UNREADABLE,	 /* damaged: verifying tells of it */
	CUT_ENDED,	 /* the seal certificate's time has passed */
};

/* What one signature is to be about, taken from a segment at one moment. */
struct cut {
	struct segment *segment; /* raised */
	struct statement statement;
	struct tree *tree; /* NULL: to be made from the records */
	bool sealed;	   /* nothing more will stand there: what is signed may be signatures alone */
};

void
sign_segment_begin(struct journal *journal, struct segment *segment)
{
	memcpy(segment->signed_chain, segment->chain, DIGEST_SHA256_LEN);
	segment->tree_from = SEGMENT_HEAD_SIZE;
	if (atomic_load(&journal->signs))
		segment->tree =
		    calloc(1, sizeof *segment->tree); /* NULL: made from the records when it is wanted */
}

void
sign_batch_begin(struct journal *journal, struct segment *segment, struct sign_batch *batch)
{
	batch->kept = atomic_load_explicit(&journal->signs, memory_order_relaxed);
	if (!batch->kept)
		return;
	pthread_mutex_lock(&journal->lock);
	batch->cuts = segment->cuts;
	batch->kept = segment->tree != NULL;
	if (batch->kept)
		tree_copy(&batch->tree, segment->tree);
	pthread_mutex_unlock(&journal->lock);
}

void
sign_batch_done(struct segment *segment, const struct sign_batch *batch)
{
	if (!segment->tree)
		return;
	if (batch->kept && batch->cuts == segment->cuts) {
		tree_copy(segment->tree, &batch->tree);
		return;
	}
	free(segment->tree);
	segment->tree = NULL;
}

void
sign_sealed(struct segment *segment)
{
	segment->sealed = true;
	segment->news |= sign_end(segment) < segment->end;
}

uint64_t
sign_end(const struct segment *segment)
{
	return segment->signature_count ? segment->signatures[segment->signature_count - 1].to
					: SEGMENT_HEAD_SIZE;
}

/* Under the lock, or single-threaded: room for one more signature of ${segment}. 0 or -ENOMEM. */
static int
signatures_reserve(struct segment *segment)
{
	struct segment_signature *all;

	all = reallocarray(segment->signatures, segment->signature_count + 1, sizeof *all);
	if (!all)
		return -ENOMEM;
	segment->signatures = all;
	return 0;
}

/* Put one where it belongs; a repeated one is the same. */
static void
signature_add(struct segment *segment, const struct statement *statement, uint64_t seq)
{
	struct segment_signature *all = segment->signatures;
	size_t at = segment->signature_count;

	while (at > 0 && all[at - 1].to >= statement->to)
		at--;
	if (at < segment->signature_count && all[at].to == statement->to)
		return;
	memmove(all + at + 1, all + at, (segment->signature_count - at) * sizeof *all);
	all[at] = (struct segment_signature){ statement->from, statement->to, seq };
	if (++segment->signature_count == at + 1)
		memcpy(segment->signed_chain, statement->chain_to, DIGEST_SHA256_LEN);
}

static struct segment *
segment_numbered(struct journal *journal, uint32_t number)
{
	struct segment *segment = segments_from(journal, number);

	return segment && segment->number == number && !segment->voided ? segment : NULL;
}

int
sign_replayed(struct journal *journal, const struct record *record)
{
	struct statement_facts facts;
	struct segment *segment;
	int r;

	if (record->head.type != RECORD_SIGNED || !statement_facts_decode(record->facts, &facts))
		return 0;
	segment = segment_numbered(journal, facts.statement.segment);
	if (!segment || memcmp(segment->id, facts.statement.segment_id, SEGMENT_ID_LEN) != 0 ||
	    facts.statement.to > segment->end)
		return 0;
	r = signatures_reserve(segment);
	if (r)
		return r;
	signature_add(segment, &facts.statement, record->head.seq);
	if (facts.statement.time_us > journal->signed_us)
		journal->signed_us = facts.statement.time_us;
	return 0;
}

void
sign_recovered(struct journal *journal)
{
	for (size_t i = 0; i < journal->segment_count; i++)
		journal->segments[i]->news = !journal->segments[i]->voided &&
					     sign_end(journal->segments[i]) < journal->segments[i]->end;
}

/* Under the lock: take what is to be signed of ${segment}. */
static void
cut_take(struct journal *journal, struct segment *segment, struct cut *cut)
{
	uint64_t from = sign_end(segment);

	*cut = (struct cut){ .segment = segment, .sealed = segment->sealed };
	cut->statement = (struct statement){
		.time_us = journal_clock_now(&journal->clock),
		.segment = segment->number,
		.from = from,
		.to = segment->end,
	};
	memcpy(cut->statement.segment_id, segment->id, SEGMENT_ID_LEN);
	memcpy(cut->statement.chain_from, segment->signed_chain, DIGEST_SHA256_LEN);
	memcpy(cut->statement.chain_to, segment->chain, DIGEST_SHA256_LEN);
	if (segment->tree && segment->tree_from == from && segment->tree->count > 0) {
		cut->tree = segment->tree;
		segment->tree = segment->sealed ? NULL : calloc(1, sizeof *segment->tree);
	} else if (segment->sealed) {
		free(segment->tree);
		segment->tree = NULL;
	} else {
		free(segment->tree);
		segment->tree = calloc(1, sizeof *segment->tree);
	}
	segment->tree_from = segment->end;
	segment->cuts++;
	segment->news = false;
	segment->users++;
}

/* Under the lock: a segment that has something to be signed; the open one only with ${all}. */
static bool
cut_find(struct journal *journal, bool all, struct cut *cut)
{
	for (size_t i = 0; i < journal->segment_count; i++) {
		struct segment *segment = journal->segments[i];

		if (segment->news && !segment->voided && (all || segment->sealed) &&
		    segment->end > sign_end(segment)) {
			cut_take(journal, segment, cut);
			return true;
		}
	}
	return false;
}

/* Make the tree from the records themselves. 0, CUT_NOTHING, CUT_UNREADABLE, -errno. */
static int
tree_read(struct journal *journal, const struct cut *cut, struct sha256 *sha, struct tree *tree)
{
	const struct statement *s = &cut->statement;
	uint8_t encoded[RECORD_HEADER_SIZE], chain[DIGEST_SHA256_LEN];
	uint64_t offset = s->from;
	struct record_header header;
	struct reader reader;
	enum reader_step step;
	bool news = false;
	int fd, r;

	memcpy(chain, s->chain_from, sizeof chain);
	r = segment_use(journal, cut->segment, &fd);
	if (r == 0)
		r = reader_init(&reader, fd, cut->segment->seed, s->to, false);
	if (r)
		return r;
	while (r == 0 && offset < s->to) {
		r = reader_step(&reader, &offset, &step, &header, encoded);
		if (r == 0 && step != READER_RECORD)
			r = CUT_UNREADABLE;
		if (r == 0)
			r = record_chain(sha, encoded, chain);
		if (r == 0)
			r = tree_add(tree, sha, chain);
		if (r == 0) {
			news |= header.head.type != RECORD_SIGNED;
			offset += record_length(&header);
		}
	}
	reader_fini(&reader);
	if (r == 0 && memcmp(chain, s->chain_to, sizeof chain) != 0)
		r = CUT_UNREADABLE;
	return r == 0 && !news && !cut->sealed ? CUT_NOTHING : r;
}

/* Append ${facts} as a record of our own and wait until it is on disk. */
static int
record_commit(struct journal *journal, struct span facts, uint64_t *seqp)
{
	struct pending *pending = calloc(1, sizeof *pending);
	struct ticket ticket = { .left = 1 };
	int r = 0;

	if (!pending)
		return -ENOMEM;
	pending->header.head.type = RECORD_SIGNED;
	pending->header.facts_len = (uint32_t)facts.len;
	pending->facts = facts;
	pending->ticket = &ticket;
	pthread_mutex_lock(&journal->lock);
	if (journal->failed || journal->stopping || journal->next_seq >= RECORD_SEQ_LIMIT) {
		r = -EIO;
		free(pending);
	} else {
		*seqp = pending->header.head.seq = journal->next_seq++;
		pending->header.head.time_us = journal_clock_now(&journal->clock);
		journal_enqueue(journal, pending);
		while (ticket.left > 0)
			pthread_cond_wait(&journal->committed_changed, &journal->lock);
		r = ticket.error;
	}
	pthread_mutex_unlock(&journal->lock);
	return r;
}

static int
cut_sign(struct journal *journal, struct cut *cut, uint64_t *seqp)
{
	struct statement *s = &cut->statement;
	struct buffer facts;
	struct sha256 sha;
	int r;

	buffer_init(&facts, STATEMENT_FACTS_MAX);
	r = sha256_init(&sha);
	if (r == 0 && !cut->tree) {
		cut->tree = calloc(1, sizeof *cut->tree);
		r = cut->tree ? tree_read(journal, cut, &sha, cut->tree) : -ENOMEM;
	}
	if (r == 0) {
		s->count = cut->tree->count;
		r = tree_root(cut->tree, &sha, s->root);
	}
	sha256_fini(&sha);
	if (r == 0)
		r = seal_key_sign(journal->seal, s, &facts);
	if (r == 0)
		r = record_commit(journal, buffer_span(&facts), seqp);
	buffer_fini(&facts);
	return r;
}

static void
failure_tell(int r)
{
	struct log_line line;

	log_begin(&line, EVENT_SIGN_FAILED);
	if (r < 0)
		log_errno(&line, r);
	else
		log_text(&line, "why", "the seal certificate's time has passed");
	log_commit(&line);
}

/* Sign ${cut} and let go of it. False when it is to be tried again later. */
static bool
cut_finish(struct journal *journal, struct cut *cut)
{
	struct segment *segment = cut->segment;
	uint64_t seq = 0;
	bool later, tell;
	int r;

	if (seal_key_names(journal->seal)->not_after < (int64_t)(cut->statement.time_us / 1000000))
		r = CUT_ENDED;
	else
		r = cut_sign(journal, cut, &seq);
	later = r < 0 || r == CUT_ENDED;
	pthread_mutex_lock(&journal->lock);
	if (r == 0 && signatures_reserve(segment) == 0) {
		signature_add(segment, &cut->statement, seq);
		journal->signed_us = cut->statement.time_us;
	}
	tell = later && !journal->sign_failed && !journal->failed && !journal->sign_stopping;
	if (later)
		segment->news = true;
	if (r == 0)
		journal->sign_failed = false;
	else if (tell)
		journal->sign_failed = true;
	pthread_cond_broadcast(&journal->committed_changed);
	pthread_mutex_unlock(&journal->lock);
	if (tell)
		failure_tell(r);
	free(cut->tree);
	segment_release(journal, segment);
	return !later;
}

/* Under the lock: use the key that was given last. */
static void
key_take(struct journal *journal)
{
	if (!journal->seal_changed)
		return;
	seal_key_free(journal->seal);
	journal->seal = journal->seal_next;
	journal->seal_next = NULL;
	journal->seal_changed = journal->sign_failed = false;
}

/* Under the lock, which is let go meanwhile: sign what there is. False when some of it is to be tried again. */
static bool
sign_round(struct journal *journal, bool all)
{
	struct cut cut;
	bool done = true;

	while (done && journal->seal && cut_find(journal, all, &cut)) {
		pthread_mutex_unlock(&journal->lock);
		done = cut_finish(journal, &cut);
		pthread_mutex_lock(&journal->lock);
	}
	return done;
}

void *
sign_main(void *arg)
{
	struct journal *journal = arg;
	uint64_t now, due = clock_mono_us() + SIGN_EVERY_US, wait_us;
	struct timespec until;
	bool all, done;

	pthread_mutex_lock(&journal->lock);
	while (!journal->sign_stopping) {
		key_take(journal);
		now = clock_mono_us();
		all = journal->sign_asked || now >= due;
		journal->sign_asked = false;
		done = sign_round(journal, all);
		now = clock_mono_us();
		if (all && done)
			due = now + SIGN_EVERY_US;
		if (journal->sign_stopping || journal->seal_changed || (journal->sign_asked && done))
			continue;
		wait_us = done ? (due > now ? due - now : 0) : AGAIN_US;
		until = clock_after_ms((unsigned)(wait_us / 1000 + 1));
		pthread_cond_timedwait(&journal->sign_wake, &journal->lock, &until);
	}
	key_take(journal);
	(void)sign_round(journal, true);
	pthread_mutex_unlock(&journal->lock);
	return NULL;
}

/* Under the lock. */
static bool
is_signed(const struct segment *segment, uint64_t offset)
{
	for (size_t i = segment->signature_count; i-- > 0;)
		if (offset >= segment->signatures[i].from && offset < segment->signatures[i].to)
			return true;
	return false;
}

bool
sign_wait(struct journal *journal, uint32_t number, uint64_t offset, unsigned ms)
{
	struct timespec until = clock_after_ms(ms);
	const struct segment *segment;
	bool there = false, late = false;

	pthread_mutex_lock(&journal->lock);
	for (;;) {
		segment = segment_numbered(journal, number);
		there = segment && is_signed(segment, offset);
		if (there || late || !segment || !atomic_load(&journal->signs) || journal->sign_stopping)
			break;
		journal->sign_asked = true;
		pthread_cond_signal(&journal->sign_wake);
		late = pthread_cond_timedwait(&journal->committed_changed, &journal->lock, &until) != 0;
	}
	pthread_mutex_unlock(&journal->lock);
	return there;
}

void
journal_seal(struct journal *journal, struct seal_key *key)
{
	struct seal_key *before;

	pthread_mutex_lock(&journal->lock);
	before = journal->seal_next; /* that nothing was signed with yet */
	journal->seal_next = key;
	journal->seal_changed = true;
	atomic_store(&journal->signs, key != NULL);
	pthread_cond_signal(&journal->sign_wake);
	pthread_mutex_unlock(&journal->lock);
	seal_key_free(before);
}
