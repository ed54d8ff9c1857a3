/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verify: everything on disk against everything that is said of it.
 *
 * Reads what is committed while the journal works. A line of the report is `segment=N offset=O finding`.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker/store/disk.h"
#include "broker/store/journal_private.h"
#include "broker/store/verify_seals.h"

/* A segment that is not there though another names it as the one before. */
struct missing {
	uint32_t number, by;
	uint64_t end;
	uint8_t id[SEGMENT_ID_LEN], chain[DIGEST_SHA256_LEN];
};

struct verify {
	struct journal *journal;
	struct buffer *report;
	struct sha256 sha;
	struct missing *missing;
	struct segment_removal *removed;
	size_t missing_count, removed_count;
	uint64_t findings, records, purged;
	struct verify_seals seals;
	uint64_t last_seq; /* of records born so far */
	uint32_t oldest;
	uint32_t *
	    there; /* the segments when it began: the newest may still grow, others may be removed meanwhile */
	size_t there_count;
	/* the segment before, as read */
	uint32_t prev_number;
	uint8_t prev_id[SEGMENT_ID_LEN], prev_chain[DIGEST_SHA256_LEN];
	uint64_t prev_end;
};

/* One segment, as memory has it at the moment it is looked at. */
struct view {
	struct segment *segment;
	uint64_t end, size, records;
	uint8_t chain[DIGEST_SHA256_LEN]; /* the one its head begins with, then moved along */
	uint8_t want[DIGEST_SHA256_LEN];
	bool finished;
	struct reader reader;
	struct verify_runs runs; /* what was signed of it */
};

static void
finding(struct verify *verify, uint32_t segment, uint64_t offset, const char *text)
{
	verify->findings++;
	buffer_printf(
	    verify->report, "segment=%u offset=%llu %s\n", segment, (unsigned long long)offset, text);
}

static int
missing_add(struct verify *verify, const struct segment_head *head)
{
	struct missing *all = reallocarray(verify->missing, verify->missing_count + 1, sizeof *all);

	if (!all)
		return -ENOMEM;
	verify->missing = all;
	all[verify->missing_count] =
	    (struct missing){ head->prev_number, head->number, head->prev_end, { 0 }, { 0 } };
	memcpy(all[verify->missing_count].id, head->prev_id, SEGMENT_ID_LEN);
	memcpy(all[verify->missing_count].chain, head->prev_chain, DIGEST_SHA256_LEN);
	verify->missing_count++;
	return 0;
}

static int
removed_add(struct verify *verify, const struct segment_removal *removal)
{
	struct segment_removal *all = reallocarray(verify->removed, verify->removed_count + 1, sizeof *all);

	if (!all)
		return -ENOMEM;
	verify->removed = all;
	all[verify->removed_count++] = *removal;
	return 0;
}

static int
head_verify(struct verify *verify, struct view *view)
{
	uint32_t number = view->segment->number;
	struct segment_head head;
	const uint8_t *block;
	int copies, r;

	r = reader_get(&view->reader, 0, SEGMENT_HEAD_SIZE, &block);
	if (r < 0)
		return r;
	memcpy(view->chain, verify->prev_chain, DIGEST_SHA256_LEN);
	if (r || segment_head_decode(block, &head, &copies) != SEGMENT_HEAD_OK || head.number != number) {
		finding(verify, number, 0, "the head is damaged");
		return 0;
	}
	if (copies < 2)
		finding(verify, number, 0, "one copy of the head is damaged");
	if (!segment_head_clear(block))
		finding(verify, number, 0, "bytes of the head that nobody writes");
	memcpy(view->chain, head.prev_chain, DIGEST_SHA256_LEN);
	if (memcmp(head.secret, verify->journal->secret, SEGMENT_ID_LEN) != 0)
		finding(verify, number, 0, "the head is of another journal");
	if (head.prev_number == 0)
		return 0;
	if (head.prev_number != verify->prev_number)
		return missing_add(verify, &head);
	if (memcmp(head.prev_id, verify->prev_id, SEGMENT_ID_LEN) != 0 || head.prev_end != verify->prev_end)
		finding(verify, number, 0, "the head does not fit the segment before");
	else if (memcmp(head.prev_chain, verify->prev_chain, DIGEST_SHA256_LEN) != 0)
		finding(verify, number, 0, "the chain does not go on from the segment before");
	return 0;
}

static int
digest_verify(struct verify *verify, struct view *view, uint64_t at, uint64_t len, const uint8_t *want,
    uint64_t offset, const char *text)
{
	uint8_t digest[DIGEST_SHA256_LEN];
	int r;

	if (len == 0)
		return 0;
	sha256_reset(&verify->sha);
	r = reader_hash(&view->reader, at, len, &verify->sha);
	if (r)
		return r < 0 ? r : 0; /* the checksum has told that the file is short */
	r = sha256_final(&verify->sha, digest);
	if (r == 0 && memcmp(digest, want, sizeof digest) != 0)
		finding(verify, view->segment->number, offset, text);
	return r;
}

static int
record_verify(struct verify *verify, struct view *view, uint64_t offset, const struct record_header *h)
{
	uint32_t number = view->segment->number;
	uint64_t front = offset + RECORD_HEADER_SIZE, used;
	struct segment_removal removal;
	const uint8_t *bytes;
	bool ok, body_ok;
	const char *why;
	int r;

	r = reader_check_front(&view->reader, offset, h, &ok);
	if (r == 0)
		r = reader_check_body(&view->reader, offset, h, &body_ok);
	if (r)
		return r;
	if (!ok)
		finding(verify, number, offset, "facts or decision do not match their checksum");
	if (!body_ok)
		finding(verify, number, offset, "the received bytes do not match their checksum");
	used = record_body_at(h) + h->body_len;
	r = reader_get(&view->reader, offset + used, (size_t)(record_length(h) - used), &bytes);
	if (r < 0)
		return r;
	if (r == 0 && !segment_is_zero(bytes, (size_t)(record_length(h) - used)))
		finding(verify, number, offset, "the bytes behind the record are not zero");
	if (!(h->head.flags & RECORD_CARRIED)) {
		if (h->head.seq <= verify->last_seq)
			finding(verify, number, offset, "the sequence goes backwards");
		verify->last_seq = h->head.seq;
	}
	if (!(h->head.flags & RECORD_PURGED)) {
		if (ok)
			r = digest_verify(verify, view, front, h->facts_len, h->facts_sha256, offset,
			    "the facts do not match their digest");
		if (ok && r == 0)
			r = digest_verify(verify, view, front + h->facts_len, h->decision_len,
			    h->decision_sha256, offset, "the decision does not match its digest");
		if (body_ok && r == 0 && h->body_len == h->head.size &&
		    !segment_is_zero(h->head.sha256, sizeof h->head.sha256))
			r = digest_verify(verify, view, offset + record_body_at(h), h->body_len,
			    h->head.sha256, offset, "the received bytes do not match their digest");
	}
	if (r == 0 && ok && h->head.type == RECORD_REMOVED) {
		r = reader_get(&view->reader, front, h->facts_len, &bytes);
		if (r == 0 && segment_removal_decode(span_make(bytes, h->facts_len), &removal))
			r = removed_add(verify, &removal);
	}
	if (r == 0 && ok && h->head.type == RECORD_SIGNED) {
		r = reader_get(&view->reader, front, h->facts_len, &bytes);
		if (r == 0 && (why = verify_seals_record(
				   &verify->seals, &view->runs, span_make(bytes, h->facts_len))) != NULL)
			finding(verify, number, offset, why);
	}
	verify->records++;
	verify->purged += (h->head.flags & RECORD_PURGED) != 0;
	return r;
}

static int
records_verify(struct verify *verify, struct view *view)
{
	uint32_t number = view->segment->number;
	uint64_t offset = SEGMENT_HEAD_SIZE, from, records = 0;
	uint8_t encoded[RECORD_HEADER_SIZE];
	struct record_header header;
	enum reader_step step;
	bool broken = false;
	int r;

	while (offset < view->end) {
		from = offset;
		r = reader_step(&view->reader, &offset, &step, &header, encoded);
		if (r)
			return r;
		if (step == READER_END) {
			finding(verify, number, from, "records are missing");
			broken = true;
			break;
		}
		if (step == READER_DAMAGE) {
			finding(verify, number, from, "bytes that are no record");
			broken = true;
			continue;
		}
		r = record_verify(verify, view, offset, &header);
		if (r == 0)
			r = verify_runs_before(&view->runs, offset, view->chain);
		if (r == 0)
			r = record_chain(&verify->sha, encoded, view->chain);
		if (r == 0)
			r = verify_runs_behind(&view->runs, offset + record_length(&header),
			    header.head.type == RECORD_SIGNED, &verify->sha, view->chain);
		if (r)
			return r;
		offset += record_length(&header);
		records++;
	}
	if (memcmp(view->chain, view->want, DIGEST_SHA256_LEN) != 0)
		finding(verify, number, view->end,
		    broken ? "the chain is broken by the damage" : "the chain does not match");
	if (!broken && records != view->records)
		finding(verify, number, view->end, "the number of records is not what the index says");
	return 0;
}

/* Index and foot of a sealed segment, against the records in it. */
static int
seal_verify(struct verify *verify, struct view *view)
{
	uint32_t number = view->segment->number, count;
	uint8_t encoded[RECORD_HEADER_SIZE];
	struct record_header header;
	struct segment_entry entry;
	struct segment_foot foot;
	const uint8_t *bytes;
	uint64_t offset = SEGMENT_HEAD_SIZE, at;
	enum reader_step step;
	bool whole;
	int r;

	view->reader.limit = view->size;
	r = reader_get(&view->reader, view->size - SEGMENT_FOOT_SIZE, SEGMENT_FOOT_SIZE, &bytes);
	whole = r == 0 && segment_foot_decode(bytes, &foot) && foot.end == view->end &&
		foot.number == number && foot.end + segment_seal_size(foot.count) == view->size;
	if (r < 0)
		return r;
	if (!whole) {
		finding(verify, number, view->size, "the foot is damaged or missing");
		return 0;
	}
	if (memcmp(foot.chain, view->want, DIGEST_SHA256_LEN) != 0)
		finding(verify, number, view->size, "the foot's chain does not match");
	count = foot.count;
	r = reader_get(
	    &view->reader, foot.end, SEGMENT_INDEX_HEAD + (size_t)count * SEGMENT_ENTRY_SIZE, &bytes);
	if (r < 0)
		return r;
	if (r || !segment_index_fits(bytes, &foot) ||
	    digest_crc32c(0, span_make(bytes + SEGMENT_INDEX_HEAD, (size_t)count * SEGMENT_ENTRY_SIZE)) !=
		foot.index_crc) {
		finding(verify, number, foot.end, "the index is damaged");
		return 0;
	}
	for (uint32_t i = 0; i < count; i++) {
		at = foot.end + SEGMENT_INDEX_HEAD + (uint64_t)i * SEGMENT_ENTRY_SIZE;
		view->reader.limit = view->size;
		r = reader_get(&view->reader, at, SEGMENT_ENTRY_SIZE, &bytes);
		if (r)
			return r < 0 ? r : 0;
		segment_entry_decode(bytes, &entry);
		view->reader.limit = view->end;
		offset = entry.offset;
		r = reader_step(&view->reader, &offset, &step, &header, encoded);
		if (r)
			return r;
		if (step == READER_RECORD && (header.head.seq != entry.seq || header.head.type != entry.type))
			finding(verify, number, at, "the index does not match its record");
	}
	return 0;
}

/* Note which segments there are. 0 or -ENOMEM. */
static int
there_note(struct verify *verify)
{
	struct journal *journal = verify->journal;
	int r = 0;

	pthread_mutex_lock(&journal->lock);
	verify->there = calloc(journal->segment_count + 1, sizeof *verify->there);
	if (!verify->there)
		r = -ENOMEM;
	for (size_t i = 0; r == 0 && i < journal->segment_count; i++)
		verify->there[verify->there_count++] = journal->segments[i]->number;
	pthread_mutex_unlock(&journal->lock);
	return r;
}

static bool
was_there(const struct verify *verify, uint32_t number)
{
	for (size_t i = 0; i < verify->there_count; i++)
		if (verify->there[i] == number)
			return true;
	return false;
}

/* Under the lock: the first segment numbered ${number} to ${newest}, raised and noted. */
static bool
view_take(struct journal *journal, uint32_t number, uint32_t newest, struct view *view)
{
	struct segment *segment;

	do {
		segment = segments_from(journal, number);
		if (!segment || segment->number > newest)
			return false;
		number = segment->number + 1;
	} while (segment->voided);
	memset(view, 0, sizeof *view);
	segment->users++;
	view->segment = segment;
	if (verify_runs_take(&view->runs, segment)) /* no memory: told by the caller */
		view->runs.failed = true;
	view->end = segment->end;
	view->size = segment->size;
	view->records = segment->records;
	view->finished = segment->finished;
	memcpy(view->want, segment->chain, DIGEST_SHA256_LEN);
	return true;
}

static int
view_verify(struct verify *verify, struct view *view)
{
	struct segment *segment = view->segment;
	uint64_t size;
	bool gone;
	int fd, r;

	if (view->runs.failed)
		return -ENOMEM;
	r = segment_use(verify->journal, segment, &fd);
	if (r == -ENOENT) {
		pthread_mutex_lock(&verify->journal->lock);
		gone = segment->gone;
		pthread_mutex_unlock(&verify->journal->lock);
		if (!gone)
			finding(verify, segment->number, 0, "the segment's file is missing");
		return 0;
	}
	if (r)
		return r;
	r = disk_size(fd, &size);
	if (r)
		return r;
	if (size < view->end)
		finding(verify, segment->number, size, "the segment's file is cut");
	view->size = size;
	r = reader_init(&view->reader, fd, segment->seed,
	    view->end > SEGMENT_HEAD_SIZE ? view->end : SEGMENT_HEAD_SIZE, true);
	if (r)
		return r;
	r = head_verify(verify, view);
	if (r == 0)
		r = records_verify(verify, view);
	if (r == 0)
		r = verify_seals_runs(&verify->seals, &view->runs);
	if (r == 0 && view->finished)
		r = seal_verify(verify, view);
	reader_fini(&view->reader);
	verify->prev_number = segment->number;
	memcpy(verify->prev_id, segment->id, SEGMENT_ID_LEN);
	memcpy(verify->prev_chain, view->want, DIGEST_SHA256_LEN);
	verify->prev_end = view->end;
	return r;
}

/* A segment that is missing was removed by us, or is older than all there is; else somebody took it away. */
static void
missing_judge(struct verify *verify)
{
	for (size_t i = 0; i < verify->missing_count; i++) {
		const struct missing *missing = &verify->missing[i];
		const struct segment_removal *found = NULL;

		for (size_t k = 0; k < verify->removed_count; k++)
			if (verify->removed[k].number == missing->number)
				found = &verify->removed[k];
		if (!found && missing->number >= verify->oldest && !was_there(verify, missing->number))
			finding(verify, missing->number, 0,
			    "the segment is missing and no record tells of its removal");
		else if (found &&
			 (memcmp(found->id, missing->id, SEGMENT_ID_LEN) != 0 || found->end != missing->end ||
			     memcmp(found->chain, missing->chain, DIGEST_SHA256_LEN) != 0))
			finding(verify, missing->by, 0,
			    "the chain does not go on from the removed segment before");
	}
}

void
journal_hurry(struct journal *journal)
{
	atomic_store(&journal->hurried, true);
}

int
journal_verify(struct journal *journal, struct buffer *report)
{
	return journal_verify_seals(journal, report, NULL);
}

int
journal_verify_seals(struct journal *journal, struct buffer *report, struct journal_verified *verified)
{
	struct verify verify = { .journal = journal, .report = report };
	struct view view;
	uint32_t number = 0, newest;
	bool more;
	int r;

	r = sha256_init(&verify.sha);
	if (r == 0)
		r = there_note(&verify);
	newest = verify.there_count ? verify.there[verify.there_count - 1] : 0;
	while (r == 0) {
		if (atomic_load(&journal->hurried)) {
			r = -ECANCELED;
			break;
		}
		pthread_mutex_lock(&journal->lock);
		more = view_take(journal, number, newest, &view);
		pthread_mutex_unlock(&journal->lock);
		if (!more)
			break;
		if (verify.oldest == 0)
			verify.oldest = view.segment->number;
		number = view.segment->number + 1;
		r = view_verify(&verify, &view);
		verify_runs_fini(&view.runs);
		segment_release(journal, view.segment);
	}
	if (r == 0)
		missing_judge(&verify);
	if (verified) {
		verified->records = verify.records;
		verified->purged = verify.purged;
		verify_seals_give(&verify.seals, verified);
	}
	verify_seals_fini(&verify.seals);
	sha256_fini(&verify.sha);
	free(verify.missing);
	free(verify.there);
	free(verify.removed);
	if (r == 0 && buffer_failed(report))
		r = -ENOMEM;
	if (r)
		return r;
	pthread_mutex_lock(&journal->lock);
	journal->check_failed = verify.findings > 0;
	pthread_mutex_unlock(&journal->lock);
	return verify.findings ? JOURNAL_DAMAGED : 0;
}
