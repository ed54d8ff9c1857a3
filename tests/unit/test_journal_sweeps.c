/* SPDX-License-Identifier: Apache-2.0 */
/* Starting on every torn end, every turned bit, every refused call and allocation: every loss is told, nothing else is touched. */
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/store/record.h"
#include "broker/store/segment.h"
#include "tests/unit/disk_faults.h"
#include "tests/unit/failmalloc.h"
#include "tests/unit/journal_image.h"
#include "tests/unit/journal_rig.h"

/*
 * The file ends anywhere in the last two records, cut or zeros behind: what is whole is there, what is torn is told, and
 * the journal goes on.
 */
static void
test_torn_end(void **state)
{
	struct rig kept, killed, trial;
	struct image image;
	const size_t step = getenv("LIAISON_SLOW") ? 23 : 1; /* under valgrind a share */

	(void)state;
	few_make(&kept, &killed);
	rig_init_fast(&trial);
	trial.options = killed.options;
	trial.options.directory = trial.directory;
	trial.options.poster = &trial.poster.poster;
	trial.options.arg = &trial;
	image_load(&image, &killed, 1);
	for (int zeros = 0; zeros < 2; zeros++)
		for (uint64_t end = image.from[FEW - 1]; end <= image.to[FEW]; end += step) {
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
			assert_int_equal(image_verify(&trial, NULL), 0);
			rig_close(&trial);
			assert_int_equal(rig_open(&trial, NULL, NULL), 0);
			for (uint64_t n = 1; n < FEW - 1; n++)
				assert_int_equal(rig_check(&trial, n, n, SMALL), 0);
			assert_int_equal(rig_check(&trial, head.seq, 50, SMALL), 0);
			assert_int_equal(image_verify(&trial, NULL), 0);
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
	*noticed = rig_quarantined(trial) > 0 || image_verify(trial, NULL) == JOURNAL_DAMAGED;
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
	const size_t step = getenv("LIAISON_SLOW") ? 41 : 1; /* under valgrind a share */

	rig_init_fast(&trial);
	trial.options = from->options;
	trial.options.directory = trial.directory;
	trial.options.poster = &trial.poster.poster;
	trial.options.arg = &trial;
	image_load(&image, from, 1);
	for (size_t at = 0; at < image.len; at += step) {
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
	assert_int_equal(noticed_count, records); /* the zeros behind a record as well */
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
				assert_int_equal(image_verify(&trial, NULL), 0);
				rig_close(&trial);
				if (made < nth)
					break;
			}
	rig_fini(&trial);
	few_drop(&kept, &killed);
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
			r = rig_open(rig, image_replayed, &seen);
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
		cmocka_unit_test(test_refused_while_starting),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_torn_end),
		cmocka_unit_test(test_flips_sealed),
		cmocka_unit_test(test_flips_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
