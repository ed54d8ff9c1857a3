/* SPDX-License-Identifier: Apache-2.0 */
/* Starting on what a crash, a bad disk or a stranger left: every whole record is read, every loss is told, nothing is invented. */
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/store/bytes.h"
#include "broker/store/record.h"
#include "broker/store/segment.h"
#include "codecs/arena.h"
#include "codecs/buffer.h"
#include "tests/unit/disk_faults.h"
#include "tests/unit/failmalloc.h"
#include "tests/unit/journal_rig.h"

#define FEW	   6
#define SMALL	   90 /* bytes of body: sweeps touch every byte */
#define SMALL_FILE (16 << 10)

/* One segment file in memory, and where its records lie. */
struct image {
	uint8_t *bytes;
	size_t len;
	uint64_t from[FEW + 1], to[FEW + 1]; /* of record n */
	uint32_t seed;
};

static void
image_load(struct image *image, const struct rig *rig, unsigned number)
{
	struct segment_head head;
	struct record_header header;
	uint64_t at = SEGMENT_HEAD_SIZE;

	memset(image, 0, sizeof *image);
	image->bytes = rig_load(rig_segment(rig, number), &image->len);
	assert_non_null(image->bytes);
	assert_int_equal(segment_head_decode(image->bytes, &head, NULL), SEGMENT_HEAD_OK);
	image->seed = record_seed(head.id);
	while (at + RECORD_HEADER_SIZE <= image->len &&
	       record_decode(image->bytes + at, image->seed, at, &header)) {
		if (header.head.seq <= FEW) {
			image->from[header.head.seq] = at;
			image->to[header.head.seq] = at + record_length(&header);
		}
		at += record_length(&header);
	}
}

static void
image_save(const struct image *image, const struct rig *rig, unsigned number)
{
	rig_save(rig_segment(rig, number), image->bytes, image->len);
}

static void
image_free(struct image *image)
{
	free(image->bytes);
}

/* The header of record n, to be changed and put back with right checksums. */
static void
image_header(const struct image *image, unsigned n, struct record_header *header)
{
	assert_true(record_decode(image->bytes + image->from[n], image->seed, image->from[n], header));
}

static void
image_reseal(struct image *image, unsigned n, struct record_header *header)
{
	uint8_t *bytes = image->bytes + image->from[n];
	struct span facts = span_make(bytes + RECORD_HEADER_SIZE, header->facts_len);
	struct span decision =
	    span_make(bytes + RECORD_HEADER_SIZE + header->facts_len, header->decision_len);

	header->front_crc = record_front_crc(image->seed, facts, decision);
	header->body_crc =
	    digest_crc32c(image->seed, span_make(bytes + record_body_at(header), header->body_len));
	record_encode(header, image->seed, image->from[n], bytes);
}

/* ${kept}: a journal of FEW small records; ${killed}: as it lay on disk while it was open. */
static void
few_make(struct rig *kept, struct rig *killed)
{
	faults_install();
	faults_skip_sync(true);
	rig_init_fast(kept);
	rig_init_fast(killed);
	kept->options.segment_size = killed->options.segment_size = SMALL_FILE;
	kept->options.reserve = killed->options.reserve = 0;
	assert_int_equal(rig_open(kept, NULL, NULL), 0);
	for (uint64_t n = 1; n <= FEW; n++)
		assert_int_equal(rig_put(kept, n, SMALL, RECORD_ACCEPTED, true, NULL), 0);
	rig_copy(kept, killed);
	rig_close(kept);
}

static void
few_drop(struct rig *kept, struct rig *killed)
{
	rig_fini(kept);
	rig_fini(killed);
	faults_remove();
}

static int
verify(struct rig *rig, const char *expect)
{
	struct buffer report;
	int r;

	buffer_init(&report, 1 << 20);
	r = journal_verify(rig->journal, &report);
	buffer_append_byte(&report, 0);
	if (expect && !strstr((char *)report.data, expect))
		fail_msg("verify says: %s", (char *)report.data);
	buffer_fini(&report);
	return r;
}

static int
count_replayed(void *arg, const struct record *record)
{
	uint64_t *seen = arg;

	*seen |= (uint64_t)1 << record->head.seq;
	return 0;
}

/*
 * The file ends anywhere in the last two records, cut or zeros behind: what is whole is there, what is torn is told, and
 * the journal goes on.
 */
static void
test_torn_end(void **state)
{
	struct rig kept, killed, trial;
	struct image image;

	(void)state;
	few_make(&kept, &killed);
	rig_init_fast(&trial);
	trial.options = killed.options;
	trial.options.directory = trial.directory;
	trial.options.poster = &trial.poster.poster;
	trial.options.arg = &trial;
	image_load(&image, &killed, 1);
	for (int zeros = 0; zeros < 2; zeros++)
		for (uint64_t end = image.from[FEW - 1]; end <= image.to[FEW]; end++) {
			struct image cut = image;
			struct record_head head;
			bool torn = false;

			cut.bytes = calloc(1, image.len);
			assert_non_null(cut.bytes);
			memcpy(cut.bytes, image.bytes, end);
			if (!zeros)
				cut.len = end;
			rig_copy(&killed, &trial);
			image_save(&cut, &trial, 1);
			assert_int_equal(rig_open(&trial, NULL, NULL), 0);
			for (uint64_t n = 1; n <= FEW; n++) {
				bool whole = image.to[n] <= cut.len &&
					     memcmp(cut.bytes + image.from[n], image.bytes + image.from[n],
						 image.to[n] - image.from[n]) == 0;

				assert_int_equal(rig_check(&trial, n, n, SMALL), whole ? 0 : JOURNAL_ABSENT);
				if (!whole && image.from[n] < end)
					torn = true;
			}
			assert_int_equal(rig_quarantined(&trial), torn ? 1 : 0);
			assert_int_equal(rig_put(&trial, 50, SMALL, RECORD_ACCEPTED, true, &head), 0);
			assert_int_equal(verify(&trial, NULL), 0);
			rig_close(&trial);
			assert_int_equal(rig_open(&trial, NULL, NULL), 0);
			for (uint64_t n = 1; n < FEW - 1; n++)
				assert_int_equal(rig_check(&trial, n, n, SMALL), 0);
			assert_int_equal(rig_check(&trial, head.seq, 50, SMALL), 0);
			assert_int_equal(verify(&trial, NULL), 0);
			rig_close(&trial);
			free(cut.bytes);
		}
	image_free(&image);
	rig_fini(&trial);
	few_drop(&kept, &killed);
}

/* Open the journal with one bit turned at ${at}: found out or without effect, and at most the record it lies in is touched. */
static void
flip_one(const struct rig *from, struct rig *trial, const struct image *image, size_t at, unsigned bit,
    bool *noticed)
{
	struct image flipped = *image;
	bool touched = false;
	size_t bad = 0;
	int r;

	rig_copy(from, trial);
	flipped.bytes = malloc(image->len);
	assert_non_null(flipped.bytes);
	memcpy(flipped.bytes, image->bytes, image->len);
	flipped.bytes[at] ^= (uint8_t)(1u << bit);
	image_save(&flipped, trial, 1);
	r = rig_open(trial, NULL, NULL);
	if (r)
		fail_msg("bit %u of byte %zu: open gives %d", bit, at, r);
	for (uint64_t n = 1; n <= FEW; n++) {
		r = rig_check(trial, n, n, SMALL);
		if (r == 0)
			continue;
		bad++;
		touched = image->from[n] <= at && at < image->to[n];
		if ((r != JOURNAL_DAMAGED && r != JOURNAL_ABSENT) || !touched)
			fail_msg(
			    "bit %u of byte %zu: record %llu gives %d", bit, at, (unsigned long long)n, r);
	}
	assert_true(bad <= 1);
	*noticed = rig_quarantined(trial) > 0 || verify(trial, NULL) == JOURNAL_DAMAGED;
	if (bad && !*noticed)
		fail_msg("bit %u of byte %zu: nobody is told", bit, at);
	rig_close(trial);
	free(flipped.bytes);
}

static void
flip_sweep(const struct rig *from, bool sealed)
{
	struct rig trial;
	struct image image;
	size_t records = 0, noticed_count = 0;

	rig_init_fast(&trial);
	trial.options = from->options;
	trial.options.directory = trial.directory;
	trial.options.poster = &trial.poster.poster;
	trial.options.arg = &trial;
	image_load(&image, from, 1);
	for (size_t at = 0; at < image.len; at++) {
		bool in_head = at < 256 || (at >= 2048 && at < 2304);
		bool in_records = at >= SEGMENT_HEAD_SIZE && at < image.to[FEW];
		bool in_seal = sealed && at >= image.to[FEW];
		bool every_bit = (at >= image.from[3] && at < image.from[3] + RECORD_HEADER_SIZE) ||
				 (at >= image.from[FEW] && at < image.to[FEW]);
		bool noticed;

		if (!in_head && !in_records && !in_seal && at % 97 != 0)
			continue;
		for (unsigned bit = 0; bit < 8; bit++) {
			if (!every_bit && bit != (at * 5 + at / 8) % 8)
				continue;
			flip_one(from, &trial, &image, at, bit, &noticed);
			records += in_records;
			noticed_count += in_records && noticed;
		}
	}
	/* only the padding behind each record may turn unnoticed */
	assert_true(noticed_count >= records - 8 * FEW * (RECORD_ALIGN - 1));
	image_free(&image);
	rig_fini(&trial);
}

static void
test_flips_sealed(void **state)
{
	struct rig kept, killed;

	(void)state;
	few_make(&kept, &killed);
	flip_sweep(&kept, true);
	few_drop(&kept, &killed);
}

static void
test_flips_open(void **state)
{
	struct rig kept, killed;

	(void)state;
	few_make(&kept, &killed);
	flip_sweep(&killed, false);
	few_drop(&kept, &killed);
}

/* One damaged body in the middle: it alone is quarantined; its facts are still replayed. */
static void
test_damaged_body(void **state)
{
	struct rig kept, killed;

	(void)state;
	few_make(&kept, &killed);
	for (int sealed = 0; sealed < 2; sealed++) {
		struct rig *rig = sealed ? &kept : &killed;
		struct record_header header;
		struct image image;
		uint64_t seen = 0;

		image_load(&image, rig, 1);
		image_header(&image, 3, &header);
		image.bytes[image.from[3] + record_body_at(&header) + 5] ^= 1;
		image_save(&image, rig, 1);
		for (int again = 0; again < 2; again++) {
			assert_int_equal(rig_open(rig, count_replayed, &seen), 0);
			assert_int_equal(seen, 0x7e);
			for (uint64_t n = 1; n <= FEW; n++)
				assert_int_equal(rig_check(rig, n, n, SMALL), n == 3 ? JOURNAL_DAMAGED : 0);
			assert_int_equal(rig_quarantined(rig), sealed ? 0 : 1);
			assert_int_equal(
			    verify(rig, "the received bytes do not match their checksum"), JOURNAL_DAMAGED);
			rig_close(rig);
		}
		image_free(&image);
	}
	few_drop(&kept, &killed);
}

/* A damaged header: found again behind it; cursors step over. */
static void
test_damaged_header(void **state)
{
	struct rig kept, killed;

	(void)state;
	few_make(&kept, &killed);
	for (int sealed = 0; sealed < 2; sealed++) {
		struct rig *rig = sealed ? &kept : &killed;
		struct journal_cursor cursor = { 0 };
		struct record record;
		struct image image;
		struct arena arena;
		uint64_t seen = 0, followed = 0;

		image_load(&image, rig, 1);
		memset(image.bytes + image.from[3] + 20, 0xff, 30);
		image_save(&image, rig, 1);
		assert_int_equal(rig_open(rig, count_replayed, &seen), 0);
		assert_int_equal(seen, 0x76);
		arena_init(&arena, 1 << 20);
		while (journal_next(rig->journal, &cursor, &arena, &record) == 0)
			followed |= (uint64_t)1 << record.head.seq;
		arena_fini(&arena);
		assert_int_equal(followed, 0x76);
		assert_int_equal(rig_check(rig, 3, 3, SMALL), sealed ? JOURNAL_DAMAGED : JOURNAL_ABSENT);
		assert_int_equal(rig_quarantined(rig), 1);
		assert_int_equal(verify(rig, "bytes that are no record"), JOURNAL_DAMAGED);
		rig_close(rig);
		image_free(&image);
	}
	few_drop(&kept, &killed);
}

/* Whoever changes a record and its checksums is found by digest or chain. */
static void
test_tampering(void **state)
{
	struct record_header header;
	struct rig kept, killed;
	struct image image;

	(void)state;
	few_make(&kept, &killed);
	image_load(&image, &kept, 1);
	image_header(&image, 2, &header);
	image.bytes[image.from[2] + record_body_at(&header)] ^= 1;
	image_reseal(&image, 2, &header);
	image_save(&image, &kept, 1);
	assert_int_equal(rig_open(&kept, NULL, NULL), 0);
	assert_int_equal(verify(&kept, "the received bytes do not match their digest"), JOURNAL_DAMAGED);
	rig_close(&kept);
	/* with the digest set right as well, only the chain tells */
	assert_int_equal(
	    digest_sha256(span_make(image.bytes + image.from[2] + record_body_at(&header), header.body_len),
		header.head.sha256),
	    0);
	image_reseal(&image, 2, &header);
	image_save(&image, &kept, 1);
	assert_int_equal(rig_open(&kept, NULL, NULL), 0);
	assert_int_equal(verify(&kept, "the chain does not match"), JOURNAL_DAMAGED);
	rig_close(&kept);
	image_free(&image);
	few_drop(&kept, &killed);
}

/* A purged record (content overwritten, flag set) keeps its place in the chain. */
static void
test_purged_keeps_the_chain(void **state)
{
	struct record_header header;
	struct rig kept, killed;
	struct image image;

	(void)state;
	few_make(&kept, &killed);
	image_load(&image, &kept, 1);
	image_header(&image, 2, &header);
	memset(
	    image.bytes + image.from[2] + RECORD_HEADER_SIZE, 0, record_length(&header) - RECORD_HEADER_SIZE);
	header.head.flags |= RECORD_PURGED;
	image_reseal(&image, 2, &header);
	image_save(&image, &kept, 1);
	assert_int_equal(rig_open(&kept, NULL, NULL), 0);
	assert_int_equal(verify(&kept, NULL), 0);
	assert_int_equal(rig_check(&kept, 2, 2, SMALL), RIG_DIFFERS);
	rig_close(&kept);
	image_free(&image);
	few_drop(&kept, &killed);
}

/* What is not ours, or of a later version, or has lost its head at the end of the journal, is refused and left as it is. */
static void
test_refused(void **state)
{
	struct rig kept, killed, other, other_killed;
	struct image image;
	uint8_t *before;
	size_t len;

	(void)state;
	few_make(&kept, &killed);
	few_make(&other, &other_killed);
	image_load(&image, &killed, 1);
	bytes_put32(image.bytes + 8, 2);
	bytes_put32(image.bytes + 2048 + 8, 2);
	image_save(&image, &killed, 1);
	assert_int_equal(rig_open(&killed, NULL, NULL), JOURNAL_FORMAT);
	before = rig_load(rig_segment(&killed, 1), &len);
	assert_memory_equal(before, image.bytes, len);
	free(before);
	memset(image.bytes, 'x', SEGMENT_HEAD_SIZE);
	image_save(&image, &killed, 1);
	assert_int_equal(rig_open(&killed, NULL, NULL), JOURNAL_FORMAT);
	image_free(&image);

	image_load(&image, &other, 1);
	image_save(&image, &kept, 7); /* its head says number 1 */
	assert_int_equal(rig_open(&kept, NULL, NULL), JOURNAL_FORMAT);
	unlink(rig_segment(&kept, 7));
	image_free(&image);
	assert_int_equal(rig_open(&other, NULL, NULL), 0);
	assert_int_equal(rig_put(&other, 9, SMALL, RECORD_ACCEPTED, true, NULL), 0);
	rig_close(&other);
	image_load(&image, &other, 2); /* number 2 of another journal */
	image_save(&image, &kept, 2);
	assert_int_equal(rig_open(&kept, NULL, NULL), JOURNAL_FORMAT);
	image_free(&image);
	few_drop(&kept, &killed);
	few_drop(&other, &other_killed);
}

/* Several segments: a lost head in the middle, a lost index, a lost file. */
static void
test_damage_between_segments(void **state)
{
	enum { MANY = 60 };
	struct rig kept, trial;
	struct image image;

	(void)state;
	faults_install();
	faults_skip_sync(true);
	rig_init(&kept);
	rig_init_fast(&trial);
	kept.options.segment_size = trial.options.segment_size = SMALL_FILE;
	assert_int_equal(rig_open(&kept, NULL, NULL), 0);
	for (uint64_t n = 1; n <= MANY; n++)
		assert_int_equal(rig_put(&kept, n, 1000, RECORD_ACCEPTED, true, NULL), 0);
	rig_close(&kept);

	rig_copy(&kept, &trial);
	image_load(&image, &trial, 2);
	memset(image.bytes, 0, SEGMENT_HEAD_SIZE);
	image_save(&image, &trial, 2);
	image_free(&image);
	assert_int_equal(rig_open(&trial, NULL, NULL), 0);
	for (uint64_t n = 1; n <= MANY; n++)
		assert_int_equal(rig_check(&trial, n, n, 1000), 0);
	assert_int_equal(verify(&trial, "the head is damaged"), JOURNAL_DAMAGED);
	rig_close(&trial);

	rig_copy(&kept, &trial);
	image_load(&image, &trial, 3);
	image.bytes[image.len - 200] ^= 4; /* in the index */
	image_save(&image, &trial, 3);
	image_free(&image);
	assert_int_equal(rig_open(&trial, NULL, NULL), 0);
	for (uint64_t n = 1; n <= MANY; n++)
		assert_int_equal(rig_check(&trial, n, n, 1000), 0);
	rig_close(&trial);

	rig_copy(&kept, &trial);
	assert_int_equal(unlink(rig_segment(&trial, 3)), 0);
	assert_int_equal(rig_open(&trial, NULL, NULL), 0);
	assert_int_equal(rig_check(&trial, MANY, MANY, 1000), 0);
	assert_int_equal(verify(&trial, "the segment is missing"), JOURNAL_DAMAGED);
	rig_close(&trial);
	rig_fini(&kept);
	rig_fini(&trial);
	faults_remove();
}

static size_t
open_descriptors(void)
{
	size_t count = 0;
	DIR *dir = opendir("/proc/self/fd");

	assert_non_null(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

/* A sector that the disk cannot give, in a sealed segment: what lies on it is lost and told, everything else is there. */
static void
test_bad_sector(void **state)
{
	enum { MANY = 60, BAD = 8192, BAD_LEN = 4096 };
	size_t readable = 0, lost = 0, followed = 0;
	struct journal_cursor cursor = { 0 };
	struct journal_place place;
	struct record record;
	struct arena arena;
	uint64_t seen = 0;
	struct rig rig;

	(void)state;
	faults_install();
	rig_init_fast(&rig);
	rig.options.segment_size = SMALL_FILE;
	assert_int_equal(rig_open(&rig, NULL, NULL), 0);
	for (uint64_t n = 1; n <= MANY; n++)
		assert_int_equal(rig_put(&rig, n, 1000, RECORD_ACCEPTED, true, NULL), 0);
	rig_close(&rig);
	faults_bad_sector(rig_segment(&rig, 2), BAD, BAD_LEN);
	assert_int_equal(rig_open(&rig, count_replayed, &seen), 0);
	assert_true(rig_quarantined(&rig) > 0);
	for (uint64_t n = 1; n <= MANY; n++) {
		int r = rig_check(&rig, n, n, 1000);

		assert_int_equal(journal_find(rig.journal, n, &place), 0);
		if (place.segment == 2 && place.offset + 1700 > BAD && place.offset < BAD + BAD_LEN) {
			assert_true(r == 0 || r == -EIO || r == JOURNAL_DAMAGED);
			lost += r != 0;
			continue;
		}
		assert_int_equal(r, 0);
		assert_true(seen & (uint64_t)1 << n);
		readable++;
	}
	assert_true(lost >= 2 && lost <= 5);
	arena_init(&arena, 1 << 20);
	while (journal_next(rig.journal, &cursor, &arena, &record) == 0)
		followed++;
	arena_fini(&arena);
	assert_true(followed >= readable && followed < MANY);
	assert_int_equal(verify(&rig, "segment=2"), JOURNAL_DAMAGED);
	rig_close(&rig);

	faults_bad_sector(rig_segment(&rig, 2), 0, BAD_LEN); /* its head: known from the next one */
	assert_int_equal(rig_open(&rig, NULL, NULL), 0);
	for (uint64_t n = 1; n <= MANY; n++)
		assert_int_equal(rig_check(&rig, n, n, 1000), 0);
	rig_fini(&rig);
	faults_remove();
}

/* Any one call refused while starting: the start fails or copes, and the next one finds all. */
static void
test_refused_while_starting(void **state)
{
	static const enum refused_call calls[] = { REFUSE_OPEN, REFUSE_READ, REFUSE_WRITE, REFUSE_FDATASYNC,
		REFUSE_FSYNC, REFUSE_FTRUNCATE, REFUSE_RENAME, REFUSE_UNLINK, REFUSE_MKDIR };
	struct rig kept, killed, trial;
	size_t descriptors;

	(void)state;
	few_make(&kept, &killed);
	rig_init_fast(&trial);
	trial.options = killed.options;
	trial.options.directory = trial.directory;
	trial.options.poster = &trial.poster.poster;
	trial.options.arg = &trial;
	descriptors = open_descriptors();
	for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
		for (int sealed = 0; sealed < 2; sealed++)
			for (size_t nth = 1;; nth++) {
				size_t made;
				int r;

				rig_copy(sealed ? &kept : &killed, &trial);
				faults_at(calls[i], nth, nth % 2 ? EIO : ENOSPC, false);
				r = rig_open(&trial, NULL, NULL);
				made = faults_count(calls[i]);
				if (r == 0)
					rig_close(&trial);
				faults_none();
				assert_int_equal(open_descriptors(), descriptors);
				assert_int_equal(rig_open(&trial, NULL, NULL), 0);
				for (uint64_t n = 1; n <= FEW; n++)
					assert_int_equal(rig_check(&trial, n, n, SMALL), 0);
				assert_int_equal(verify(&trial, NULL), 0);
				rig_close(&trial);
				if (made < nth)
					break;
			}
	rig_fini(&trial);
	few_drop(&kept, &killed);
}

/* Bytes of a first write whose head never arrived: told, left, not taken for a prepared segment. */
static void
test_torn_first_write(void **state)
{
	struct record_head head;
	struct rig kept, killed;
	struct image image;

	(void)state;
	few_make(&kept, &killed);
	image_load(&image, &killed, 1);
	memset(image.bytes, 0, SEGMENT_HEAD_SIZE);
	image_save(&image, &killed, 1);
	unlink(rig_segment(&killed, 2)); /* the one ahead */
	assert_int_equal(rig_open(&killed, NULL, NULL), 0);
	assert_int_equal(rig_quarantined(&killed), 1);
	assert_int_equal(rig_check(&killed, 1, 1, SMALL), JOURNAL_ABSENT);
	assert_int_equal(rig_put(&killed, 9, SMALL, RECORD_ACCEPTED, true, &head), 0);
	assert_int_equal(head.seq, 1);
	rig_close(&killed);
	assert_int_equal(rig_open(&killed, NULL, NULL), 0);
	assert_int_equal(rig_check(&killed, 1, 9, SMALL), 0);
	assert_int_equal(verify(&killed, NULL), 0);
	image_free(&image);
	few_drop(&kept, &killed);
}

/* Killed again and again, one record each time, with the segment size changing: all are there. */
static void
test_killed_often(void **state)
{
	struct rig rigs[2];

	(void)state;
	faults_install();
	rig_init(&rigs[0]);
	rig_init(&rigs[1]);
	for (uint64_t n = 1; n <= 20; n++) {
		struct rig *rig = &rigs[n % 2], *next = &rigs[(n + 1) % 2];

		rig->options.segment_size = n % 5 == 0 ? 32 << 10 : 64 << 10;
		assert_int_equal(rig_open(rig, NULL, NULL), 0);
		for (uint64_t k = 1; k < n; k++)
			assert_int_equal(rig_check(rig, k, k, SMALL), 0);
		assert_int_equal(rig_put(rig, n, SMALL, RECORD_ACCEPTED, true, NULL), 0);
		rig_copy(rig, next);
		assert_int_equal(verify(rig, NULL), 0);
		rig_close(rig);
	}
	rig_fini(&rigs[0]);
	rig_fini(&rigs[1]);
	faults_remove();
}

/* The nth allocation fails while starting: -ENOMEM, nothing leaks, nothing is changed for the next start. */
static void
test_no_memory(void **state)
{
	struct rig kept, killed;

	(void)state;
	few_make(&kept, &killed);
	for (int sealed = 0; sealed < 2; sealed++) {
		struct rig *rig = sealed ? &kept : &killed;

		for (size_t n = 1;; n++) {
			uint64_t seen = 0;
			bool all;
			int r;

			failmalloc_at(n);
			r = rig_open(rig, count_replayed, &seen);
			all = failmalloc_off();
			if (r == 0) {
				for (uint64_t k = 1; k <= FEW; k++)
					assert_int_equal(rig_check(rig, k, k, SMALL), 0);
				assert_int_equal(seen, 0x7e);
				rig_close(rig);
			} else {
				assert_int_equal(r, -ENOMEM);
			}
			if (all)
				break;
			assert_true(n < 1000);
		}
		assert_int_equal(rig_quarantined(rig), 0);
	}
	few_drop(&kept, &killed);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_damaged_body),
		cmocka_unit_test(test_damaged_header),
		cmocka_unit_test(test_tampering),
		cmocka_unit_test(test_purged_keeps_the_chain),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_damage_between_segments),
		cmocka_unit_test(test_bad_sector),
		cmocka_unit_test(test_refused_while_starting),
		cmocka_unit_test(test_torn_first_write),
		cmocka_unit_test(test_killed_often),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_torn_end),
		cmocka_unit_test(test_flips_sealed),
		cmocka_unit_test(test_flips_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
