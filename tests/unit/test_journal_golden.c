/* SPDX-License-Identifier: Apache-2.0 */
/* Journals written by format version 1 are read for ever, and the encoders still give the same bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "codecs/arena.h"
#include "codecs/buffer.h"
#include "codecs/digest.h"
#include "tests/unit/journal_rig.h"

#define GOLDEN SOURCE_ROOT "/tests/vectors/journal/"

/* One golden journal: where it stands, what makes it, its files. */
struct golden {
	const char *place, *argument;
	const char *names[3];
};

static const struct golden first = { "", "", { "0000000002.seg", "0000000003.seg" } };
static const struct golden replayed = { "replayed/", "replayed", { "0000000001.seg" } };

static void
golden_copy(const struct golden *golden, const char *directory)
{
	const char *const *names = golden->names;
	char path[512];

	for (size_t i = 0; names[i]; i++) {
		uint8_t *bytes;
		size_t len;

		snprintf(path, sizeof path, "%s%s%s", GOLDEN, golden->place, names[i]);
		bytes = rig_load(path, &len);
		assert_non_null(bytes);
		snprintf(path, sizeof path, "%.400s/%s", directory, names[i]);
		rig_save(path, bytes, len);
		free(bytes);
	}
}

static void
show(struct buffer *out, struct span bytes)
{
	bool printable = true;
	char hex[3];

	for (size_t i = 0; i < bytes.len; i++)
		printable = printable && bytes.ptr[i] >= 32 && bytes.ptr[i] < 127;
	if (bytes.len == 0) {
		buffer_append_str(out, "-");
	} else if (printable) {
		buffer_append_span(out, bytes);
	} else {
		buffer_append_str(out, "hex:");
		for (size_t i = 0; i < bytes.len; i++)
			buffer_append_str(out, digest_hex(span_make(bytes.ptr + i, 1), hex));
	}
}

/* The line of the listing for the record that ${place} led to. */
static void
line_add(struct buffer *out, const struct journal_cursor *place, const struct record *record)
{
	const struct record_head *head = &record->head;
	char key[DIGEST_HEX_SIZE(16)], sha256[DIGEST_HEX_SIZE(32)];

	buffer_printf(out, "%u\t%llu\t%llu\t%u\t%u\t%llu\t%llu\t%llu\t%s\t%s\t", place->segment,
	    (unsigned long long)place->offset, (unsigned long long)head->seq, head->type, head->flags,
	    (unsigned long long)head->time_us, (unsigned long long)head->ref, (unsigned long long)head->size,
	    digest_hex(span_make(head->key, 16), key), digest_hex(span_make(head->sha256, 32), sha256));
	show(out, record->facts);
	buffer_append_byte(out, '\t');
	show(out, record->decision);
	buffer_append_byte(out, '\t');
	show(out, record->body);
	buffer_append_byte(out, '\n');
}

static void
test_reads_golden(void **state)
{
	const struct golden *golden = *state;
	struct journal_cursor cursor = { 0 };
	struct journal_place place;
	struct buffer out, report;
	struct record record, whole;
	struct arena arena;
	struct rig rig;
	char path[512];
	uint8_t *expected;
	size_t len;

	rig_init(&rig);
	buffer_init(&out, 1 << 20);
	buffer_init(&report, 1 << 20);
	arena_init(&arena, 1 << 20);
	snprintf(path, sizeof path, "%s/journal", rig.directory);
	assert_int_equal(mkdir(path, 0750), 0);
	golden_copy(golden, path);
	assert_int_equal(rig_open(&rig, NULL, NULL), 0);
	assert_memory_equal(journal_secret(rig.journal), "golden-secret-01", 16);
	while (rig_next(rig.journal, &cursor, &arena, &record) == 0) {
		assert_int_equal(journal_find(rig.journal, record.head.seq, &place), 0);
		assert_int_equal(journal_read(rig.journal, record.head.seq, true, &arena, &whole), 0);
		line_add(&out, &(struct journal_cursor){ place.segment, place.offset }, &whole);
	}
	snprintf(path, sizeof path, "%s%sexpected.tsv", GOLDEN, golden->place);
	expected = rig_load(path, &len);
	assert_non_null(expected);
	assert_int_equal(out.len, len);
	assert_memory_equal(out.data, expected, len);
	assert_int_equal(journal_verify(rig.journal, &report), 0);
	assert_int_equal(rig_quarantined(&rig), 0);
	free(expected);
	arena_fini(&arena);
	buffer_fini(&out);
	buffer_fini(&report);
	rig_fini(&rig);
}

static void
test_encoders_give_golden(void **state)
{
	const struct golden *golden = *state;
	const char *const *names = golden->names;
	char command[1024], path[512];
	struct rig rig;

	rig_init(&rig);
	snprintf(
	    command, sizeof command, "'%s' '%s' %s", getenv("MAKE_GOLDEN"), rig.directory, golden->argument);
	assert_int_equal(system(command), 0);
	for (size_t i = 0; names[i]; i++) {
		uint8_t *made, *kept;
		size_t made_len, kept_len;

		snprintf(path, sizeof path, "%s/%s", rig.directory, names[i]);
		made = rig_load(path, &made_len);
		snprintf(path, sizeof path, "%s%s%s", GOLDEN, golden->place, names[i]);
		kept = rig_load(path, &kept_len);
		assert_true(made && kept);
		assert_int_equal(made_len, kept_len);
		assert_memory_equal(made, kept, kept_len);
		free(made);
		free(kept);
	}
	rig_fini(&rig);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate(test_reads_golden, (void *)(uintptr_t)&first),
		cmocka_unit_test_prestate(test_encoders_give_golden, (void *)(uintptr_t)&first),
		cmocka_unit_test_prestate(test_reads_golden, (void *)(uintptr_t)&replayed),
		cmocka_unit_test_prestate(test_encoders_give_golden, (void *)(uintptr_t)&replayed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
