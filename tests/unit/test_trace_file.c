/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A part of the trace as a file: what was gathered is found again, in order; one that is cut anywhere, or in which any bit is turned, is
 * never believed; and texts of which there are too many are left to the record.
 */
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

#include "broker/core/decision.h"
#include "broker/views/trace_view.h"
#include "tests/unit/journal_rig.h"

#define ROWS 600

static const struct journal_segment segment = {
	.number = 7, .id = "fifteen letters", .end = 1 << 20, .done = true
};

static struct trace_part *
make_part(void)
{
	struct trace_part *part;

	assert_int_equal(trace_part_new(&part, &segment, 0, JOURNAL_SEGMENT_BEGIN), 0);
	for (uint64_t i = 0; i < ROWS; i++) {
		char name[16];
		struct trace_row row = { .seq = 1000 + i, .time_us = 5000 + i, .type = RECORD_ACCEPTED };

		snprintf(name, sizeof(name), "peer-%u", (unsigned)(i % 9));
		row.peer = trace_names_put(&part->names, span_str(name));
		row.kind = trace_names_put(&part->kinds, span_str(i % 2 ? "ORU^R01" : "ADT"));
		row.control = (uint32_t)(i * 2654435761u) | 1;
		if (i % 5 == 0) { /* carried ones come in any order */
			row.flags = RECORD_CARRIED;
			row.seq = 1 + i * 7919 % 997;
		}
		if (i % 4 == 3)
			row = (struct trace_row){ .seq = 1000 + i,
				.type = RECORD_OUTCOME,
				.ref = 2000 - i / 8,
				.outcome = (uint8_t)(1 + i % 3),
				.places =
				    trace_names_put(&part->names, span_str(i % 8 == 3 ? "nice" : "lyon")) };
		assert_int_equal(trace_part_add(part, &row), 0);
	}
	assert_int_equal(trace_part_removed(part, 3), 0);
	part->end = segment.end;
	return part;
}

struct walk {
	uint64_t entries, before[2];
};

static int
walk_section(struct trace_part *part, enum trace_section section, struct walk *walk)
{
	struct trace_block block = { 0 };
	uint32_t step = section == TRACE_TEXTS ? TRACE_BLOCK_ROOM : 1;
	const uint8_t *entry;
	int r = 0;

	for (uint32_t i = 0; i < part->counts[section] && !r; i += step) {
		r = trace_file_entry(part, section, i, &block, &entry);
		walk->entries++;
	}
	return r;
}

/* Read everything there is: 0, or the first refusal. */
static int
walk_file(const char *path, struct walk *walk)
{
	struct trace_part *part;
	bool damaged;
	int r = trace_file_open(&part, path, &segment, 0, JOURNAL_SEGMENT_BEGIN, &damaged);

	if (r)
		return r;
	for (unsigned section = 0; section < TRACE_SECTIONS && !r; section++)
		r = walk_section(part, section, walk);
	if (!r)
		r = trace_file_load(part);
	trace_part_unref(part);
	return r;
}

static int
collect(void *arg, const struct trace_seen *seen, const struct trace_row *row)
{
	struct walk *walk = arg;

	(void)seen;
	walk->entries++;
	walk->before[0] = row->seq;
	walk->before[1] = row->ref;
	return 0;
}

/* Every row of ${rows}, by sequence, and each found by what it can be found by. */
static void
look_up_all(struct trace_part *file, struct trace_part *rows)
{
	struct trace_seen seen[2] = { { file, file->brief } };
	struct trace_view view = { .parts = seen, .count = 1 };
	const struct trace_seen *in;
	struct trace_scan *scan;
	struct trace_row row;
	uint64_t last = 0;
	uint32_t count = 0;

	for (uint32_t i = 0; i < ROWS; i++) {
		const struct trace_row *wanted = trace_memory_row(rows->memory, i);
		struct walk walk = { 0 };

		if (wanted->control)
			assert_int_equal(trace_find_control(&view, wanted->control, collect, &walk), 0);
		if (wanted->control)
			assert_int_equal(walk.before[0], wanted->seq);
		if (!wanted->ref)
			continue;
		assert_int_equal(trace_find_ref(&view, wanted->ref, collect, &walk), 0);
		assert_int_equal(walk.before[1], wanted->ref);
		walk = (struct walk){ 0 };
		assert_int_equal(trace_find_dead(&view, trace_names_text(&rows->names, wanted->places),
				     wanted->ref, &wanted->ref, NULL, collect, &walk),
		    0);
		assert_int_equal(walk.entries > 0, wanted->outcome > 1);
	}
	assert_int_equal(trace_scan_new(&scan, &view, false, 0, NULL, NULL), 0);
	for (; trace_scan_next(scan, &in, &row) == 0; count++) {
		assert_true(row.seq > last);
		last = row.seq;
	}
	trace_scan_free(scan);
	assert_int_equal(count, ROWS);
}

static void
test_what_is_written_is_found(void **state)
{
	struct trace_part *part = make_part(), *file;
	char path[] = "/tmp/trace-part-XXXXXX";
	bool damaged;

	(void)state;
	close(mkstemp(path));
	assert_int_equal(trace_file_write(part, path), 0);
	assert_int_equal(trace_file_open(&file, path, &segment, 0, JOURNAL_SEGMENT_BEGIN, &damaged), 0);
	assert_int_equal(file->end, segment.end);
	assert_int_equal(file->removed_count, 1);
	assert_int_equal(file->removed[0], 3);
	assert_int_equal(file->brief.born + file->brief.carried, ROWS);
	look_up_all(file, part);
	trace_part_publish(part);
	look_up_all(part, part);
	trace_part_unref(file);
	assert_int_equal(
	    trace_file_open(&file, path, &segment, 1, JOURNAL_SEGMENT_BEGIN, &damaged), TRACE_FOREIGN);
	assert_false(damaged);
	unlink(path);
	trace_part_unref(part);
}

static void
test_a_turned_bit_or_a_cut_is_never_believed(void **state)
{
	struct trace_part *part = make_part();
	char path[] = "/dev/shm/trace-part-XXXXXX";
	struct walk whole = { 0 };
	uint8_t *bytes;
	size_t len, turned = 0;
	FILE *file;

	(void)state;
	close(mkstemp(path));
	assert_int_equal(trace_file_write(part, path), 0);
	assert_int_equal(walk_file(path, &whole), 0);
	bytes = rig_load(path, &len);
	file = fopen(path, "r+b");
	assert_non_null(file);
	setbuf(file, NULL);
	for (size_t at = 0; at < len; at++, turned++) {
		struct walk walk = { 0 };
		uint8_t harmed = bytes[at] ^ (uint8_t)(1u << at % 8);
		int r;

		assert_int_equal(pwrite(fileno(file), &harmed, 1, (off_t)at), 1);
		r = walk_file(path, &walk);
		assert_true(r == TRACE_FOREIGN || r == -EUCLEAN);
		assert_int_equal(pwrite(fileno(file), &bytes[at], 1, (off_t)at), 1);
	}
	for (size_t cut = len - 1; cut > 0; cut -= cut < 97 ? cut : 97) {
		struct walk walk = { 0 };

		assert_int_equal(ftruncate(fileno(file), (off_t)cut), 0);
		assert_int_equal(walk_file(path, &walk), TRACE_FOREIGN);
	}
	print_message("%zu bits turned, each told\n", turned);
	fclose(file);
	free(bytes);
	unlink(path);
	trace_part_unref(part);
}

static void
test_texts_have_a_bound(void **state)
{
	struct trace_names names = { 0 };
	unsigned named = 0;
	char text[64];

	(void)state;
	for (unsigned i = 0; i < 10000; i++) {
		snprintf(text, sizeof(text), "a type that somebody invented, number %u", i);
		named += trace_names_put(&names, span_str(text)) != TRACE_OTHER;
	}
	assert_true(named > 1000 && named < TRACE_NAMES_MAX);
	assert_true(names.size <= TRACE_NAMES_SIZE);
	assert_int_equal(trace_names_put(&names, span_str("a type that somebody invented, number 5")), 6);
	assert_int_equal(trace_names_find(&names, "a type that somebody invented, number 5"), 6);
	assert_null(trace_names_text(&names, TRACE_OTHER));
	assert_true(trace_names_has("a,lyon,b", "lyon") && trace_names_has("lyon", "lyon"));
	assert_false(trace_names_has("lyon-2,a", "lyon") || trace_names_has("", "lyon"));
	trace_names_fini(&names);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_written_is_found),
		cmocka_unit_test(test_a_turned_bit_or_a_cut_is_never_believed),
		cmocka_unit_test(test_texts_have_a_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
