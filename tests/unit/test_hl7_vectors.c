/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables of verdicts, through frame reader, judgement and acknowledgement, without a socket: every fixture of
 * tests/vectors/hl7 and, where they are, every sample. What the door adds (duplicates, circumstances) is not here.
 * Prints how many fixtures and samples each rule has.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "codecs/arena.h"
#include "codecs/buffer.h"
#include "codecs/digest.h"
#include "codecs/hl7_ack.h"
#include "codecs/hl7_check.h"
#include "codecs/mllp.h"

#define VECTORS	 SOURCE_ROOT "/tests/vectors/hl7/"
#define SAMPLES	 SOURCE_ROOT "/../shared/samples/"
#define COLUMNS	 9
#define TEXT_MAX 256

enum { FILE_NAME, SHA256, PEER, ANSWER, ERR3, ERR5, PATH, CLAUSE, RULE };

/* Answers of one connection, as the table writes them: several joined by ";". */
struct answers {
	char answer[TEXT_MAX];
	char err3[TEXT_MAX];
	char path[TEXT_MAX];
	int count;
};

static struct rule_count {
	char rule[8];
	unsigned fixtures;
	unsigned samples;
} rule_counts[64];

static void
count_rule(const char *rule, bool sample)
{
	struct rule_count *c = rule_counts;

	while (c->rule[0] && strcmp(c->rule, rule) != 0)
		c++;
	assert_true(c < rule_counts + 63);
	(void)snprintf(c->rule, sizeof(c->rule), "%s", rule);
	if (sample)
		c->samples++;
	else
		c->fixtures++;
}

static void
read_file(const char *path, struct buffer *b)
{
	FILE *file = fopen(path, "rb");
	uint8_t part[65536];
	size_t n;

	if (!file)
		fail_msg("%s cannot be opened", path);
	while ((n = fread(part, 1, sizeof(part), file)) > 0)
		buffer_append(b, part, n);
	assert_int_equal(ferror(file), 0);
	(void)fclose(file);
	assert_false(buffer_failed(b));
}

static const struct hl7_rules *
rules_of(const char *peer)
{
	static const struct hl7_type_rule types[] = { { "ORU", "R01" }, { "MDM", "*" } };
	static const struct hl7_sender_rule senders[] = { { "LIS", "CHU-TEST" } };
	static const struct {
		const char *name;
		struct hl7_rules rules;
	} peers[] = {
		{ "strict", { 0 } },
		{ "lf", { .leniencies = HL7_LENIENT_LF } },
		{ "no-final-cr", { .leniencies = HL7_LENIENT_NO_FINAL_CR } },
		{ "restricted", { .types = types,
				    .type_count = 2,
				    .senders = senders,
				    .sender_count = 1,
				    .processing = HL7_PROCESSING_T } },
		{ "production", { .processing = HL7_PROCESSING_P } },
	};

	for (size_t i = 0; i < sizeof(peers) / sizeof(peers[0]); i++)
		if (strcmp(peers[i].name, peer) == 0)
			return &peers[i].rules;
	fail_msg("peer %s is not known", peer);
	return NULL;
}

static void
join(char to[TEXT_MAX], int before, const char *text)
{
	size_t len = strlen(to);

	(void)snprintf(to + len, TEXT_MAX - len, "%s%s", before ? ";" : "", text);
}

/* Read our own acknowledgement back: it must say what the fault says, in the form of its version. */
static void
check_ack(const struct hl7_header *h, const struct fault *f)
{
	const struct hl7_ack ack = { .code = hl7_ack_code_for(f),
		.original = h,
		.control_id = span_str("1"),
		.time = span_str("20251121210500+0100"),
		.fault = f };
	struct hl7_ack_received r;
	struct hl7_message m;
	struct hl7_path path;
	struct buffer b;
	struct arena a;
	struct fault bad;

	buffer_init(&b, 16384);
	arena_init(&a, 16384);
	hl7_ack_write(&b, &ack);
	assert_false(buffer_failed(&b));
	assert_int_equal(hl7_parse(&m, buffer_span(&b), 0, &a, &bad), HL7_OK);
	assert_int_equal(m.count, f ? 3 : 2);
	assert_int_equal(hl7_ack_read(&m, &r, &bad), HL7_OK);
	assert_int_equal(r.code, ack.code);
	assert_int_equal(r.error_count, f ? 1 : 0);
	if (f) {
		char code[16];

		(void)snprintf(code, sizeof(code), "%d", fault_hl7_code(f->code));
		assert_true(span_eq_str(r.errors[0].code, code));
		assert_int_equal(r.errors[0].has_path, f->path[0] != '\0');
		if (f->path[0]) {
			assert_true(hl7_path_parse(&path, span_str(f->path)));
			assert_string_equal(r.errors[0].path.name, path.name);
			assert_int_equal(r.errors[0].path.occurrence, path.occurrence);
			assert_int_equal(r.errors[0].path.ordinal, path.ordinal);
			assert_int_equal(r.errors[0].path.field, path.field);
		}
	}
	arena_fini(&a);
	buffer_fini(&b);
}

static void
answer(struct answers *to, const struct hl7_header *h, const struct fault *f)
{
	char code[16] = "";

	if (f)
		(void)snprintf(code, sizeof(code), "%d", fault_hl7_code(f->code));
	join(to->answer, to->count, hl7_ack_code_name(hl7_ack_code_for(f)));
	join(to->err3, to->count, code);
	join(to->path, to->count, f ? f->path : "");
	to->count++;
	check_ack(h, f);
}

/* What a connection of ${rules} answers to ${bytes}. */
static void
judge(struct span bytes, const struct hl7_rules *rules, struct answers *to)
{
	struct mllp_reader r;
	struct mllp_event e;
	struct hl7_message m;
	struct hl7_header h;
	struct fault f;
	struct arena a;

	mllp_reader_init(&r, 64u << 20, 0);
	arena_init(&a, 16u << 20);
	while (mllp_reader_next(&r, &bytes, &e) != MLLP_MORE) {
		arena_reset(&a);
		if (e.kind == MLLP_REJECT) {
			if (e.cause == FAULT_FRAME_NOISE || e.content.len == 0)
				continue;
			hl7_header_read(&h, e.content);
			fault_set(&f, e.cause, e.offset, "", "The frame is broken.");
			answer(to, &h, &f);
			continue;
		}
		switch (hl7_check(&m, e.content, rules, &a, &f)) {
		case HL7_OK:
			answer(to, &m.header, NULL);
			break;
		case HL7_STRAY:
			break;
		case HL7_REFUSED:
			answer(to, &m.header, &f);
			break;
		}
	}
	assert_int_equal(mllp_reader_state(&r), MLLP_OUTSIDE);
	if (to->count == 0)
		(void)snprintf(to->answer, sizeof(to->answer), "none");
	arena_fini(&a);
	mllp_reader_fini(&r);
}

static bool
check_sha256(struct span bytes, const char *expected)
{
	uint8_t digest[DIGEST_SHA256_LEN];
	char text[17];

	assert_int_equal(digest_sha256(bytes, digest), 0);
	for (size_t i = 0; i < 8; i++)
		(void)snprintf(text + 2 * i, 3, "%02x", digest[i]);
	return strcmp(text, expected) == 0;
}

/* One row; true when it holds. */
static bool
check_row(const char *folder, char *column[COLUMNS])
{
	struct answers got = { 0 };
	char path[4096];
	struct buffer b;
	struct span file;
	bool right;

	(void)snprintf(path, sizeof(path), "%s%s", folder, column[FILE_NAME]);
	buffer_init(&b, 64u << 20);
	buffer_append_byte(&b, MLLP_VT);
	read_file(path, &b);
	buffer_append_str(&b, "\x1c\r");
	file = span_cut(buffer_span(&b), 1, b.len - 2);
	right = check_sha256(file, column[SHA256]);
	if (!right)
		print_error("%s: the file is not the one the verdict was given for\n", column[FILE_NAME]);
	judge(buffer_span(&b), rules_of(column[PEER]), &got);
	if (strcmp(got.answer, column[ANSWER]) != 0 || strcmp(got.err3, column[ERR3]) != 0 ||
	    strcmp(got.path, column[PATH]) != 0) {
		print_error("%s, %s peer: %s %s at '%s', the table says %s %s at '%s' (%s)\n",
		    column[FILE_NAME], column[PEER], got.answer, got.err3, got.path, column[ANSWER],
		    column[ERR3], column[PATH], column[CLAUSE]);
		right = false;
	}
	buffer_fini(&b);
	return right;
}

static void
check_table(const char *table, const char *folder, bool samples)
{
	unsigned rows = 0, wrong = 0;
	char *line = NULL, *column[COLUMNS];
	size_t room = 0;
	FILE *file = fopen(table, "r");

	assert_non_null(file);
	while (getline(&line, &room, file) > 0) {
		char *rest = line;
		int n = 0;

		line[strcspn(line, "\n")] = '\0';
		if (line[0] == '#' || strncmp(line, "file\t", 5) == 0)
			continue;
		while (n < COLUMNS && (column[n] = strsep(&rest, "\t")))
			n++;
		assert_int_equal(n, COLUMNS);
		assert_null(rest);
		rows++;
		count_rule(column[RULE], samples);
		wrong += !check_row(folder, column);
	}
	free(line);
	(void)fclose(file);
	print_message("%u rows of %s\n", rows, samples ? "samples" : "fixtures");
	assert_true(rows > 0);
	if (wrong)
		fail_msg("%u of %u verdicts differ", wrong, rows);
}

static void
test_fixtures(void **state)
{
	(void)state;
	check_table(VECTORS "rules.tsv", VECTORS, false);
}

static void
test_samples(void **state)
{
	struct stat st;

	(void)state;
	if (stat(SAMPLES, &st) != 0) {
		print_message("../shared/samples is absent\n");
		skip();
	}
	check_table(VECTORS "verdicts.tsv", SAMPLES, true);
}

/* Every rule must have a fixture of its own, so that it is tested where the samples are absent. */
static void
test_every_rule_has_a_fixture(void **state)
{
	unsigned needing = 0;

	(void)state;
	for (struct rule_count *c = rule_counts; c->rule[0]; c++) {
		print_message(
		    "rule %-4s %3u fixture rows, %3u sample rows\n", c->rule, c->fixtures, c->samples);
		if (strcmp(c->rule, "-") != 0 && c->fixtures == 0)
			needing++;
	}
	print_message("%u rules need the samples\n", needing);
	assert_int_equal(needing, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fixtures),
		cmocka_unit_test(test_samples),
		cmocka_unit_test(test_every_rule_has_a_fixture),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
