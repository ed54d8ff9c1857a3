/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every bit of a journal, from the first segment's head to the last record, is turned, one at a time, and the shipped recovery starts on it:
 * the flip is told, every other record is read and replayed as it was, and the last one is never cut off in silence.
 *
 * The files lie in memory (flips_disk.c); only recovery, reading and verify run, no thread. Told means: by the start, by the read of the
 * record hit, or by verify. A segment whose bytes are untouched and whose records lie where they lay reads as before: those are compared by
 * their index, and read again every FULL_EVERY flips. Exit 0: nothing wrong; 1: something; 2: wrong usage.
 */
#include <getopt.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker/store/journal_private.h"
#include "codecs/buffer.h"
#include "tests/crash/flips.h"

#define FULL_EVERY  1000
#define WRONG_SHOWN 5
#define JOBS_MAX    64

struct counts {
	size_t flips, by_start, by_read, by_verify, wrong;
};

/* What is known of the journal unharmed. */
static struct {
	struct flips_file *files;
	size_t file_count;
	struct rig_record *records; /* of sequence n at [n] */
	uint64_t last_seq;
	struct {
		uint32_t number, seed;
		uint64_t end, records;
	} segments[FLIPS_FILES];
	uint64_t *places; /* offset of record n */
	uint32_t *homes;  /* and its segment */
	size_t segment_count;
} whole;

static struct {
	bool *seen;
	size_t told;
	bool wrong;
	char why[200];
} now;

enum broken {
	BROKEN_NOTHING,
	BROKEN_SILENT,	 /* recovery tells nobody */
	BROKEN_CHECKSUM, /* readers take what does not match */
	BROKEN_CUT,	 /* recovery ends at the first damage */
	BROKEN_KINDS,
};
static enum broken broken;

void __wrap_quarantine_region(
    struct journal *journal, int fd, uint32_t number, uint64_t from, uint64_t to, const char *why);
void __wrap_quarantine_tell(struct journal *journal, uint32_t number, uint64_t offset, const char *why);
int __real_reader_step(struct reader *reader, uint64_t *offset, enum reader_step *step,
    struct record_header *header, uint8_t encoded[static RECORD_HEADER_SIZE]);
int __wrap_reader_step(struct reader *reader, uint64_t *offset, enum reader_step *step,
    struct record_header *header, uint8_t encoded[static RECORD_HEADER_SIZE]);

void
__wrap_quarantine_region(
    struct journal *journal, int fd, uint32_t number, uint64_t from, uint64_t to, const char *why)
{
	(void)journal, (void)fd, (void)number, (void)from, (void)to, (void)why;
	now.told += broken != BROKEN_SILENT;
}

void
__wrap_quarantine_tell(struct journal *journal, uint32_t number, uint64_t offset, const char *why)
{
	(void)journal, (void)number, (void)offset, (void)why;
	now.told += broken != BROKEN_SILENT;
}

int
__wrap_reader_step(struct reader *reader, uint64_t *offset, enum reader_step *step,
    struct record_header *header, uint8_t encoded[static RECORD_HEADER_SIZE])
{
	uint64_t from = *offset;
	int r = __real_reader_step(reader, offset, step, header, encoded);

	if (broken == BROKEN_CUT && *step == READER_DAMAGE) {
		*step = READER_END;
		*offset = from;
	}
	return r;
}

__attribute__((format(printf, 1, 2))) static void
wrong(const char *format, ...)
{
	va_list args;

	if (now.wrong)
		return;
	now.wrong = true;
	va_start(args, format);
	vsnprintf(now.why, sizeof now.why, format, args);
	va_end(args);
}

static void
journal_begin(struct journal *journal)
{
	memset(journal, 0, sizeof *journal);
	pthread_mutex_init(&journal->lock, NULL);
	strcpy(journal->directory, FLIPS_DIRECTORY);
	strcpy(journal->quarantine, FLIPS_DIRECTORY "/quarantine");
	journal->options.directory = FLIPS_DIRECTORY;
	journal->options.segment_size = whole.files[0].made;
	journal->next_number = 1;
	journal->next_seq = 1;
	journal->ahead.fd = -1;
}

static void
journal_end(struct journal *journal)
{
	for (size_t i = 0; i < journal->segment_count; i++)
		segment_free(journal->segments[i]);
	free(journal->segments);
	pthread_mutex_destroy(&journal->lock);
}

static bool
same(struct span a, const uint8_t *bytes, size_t len)
{
	return a.len == len && (len == 0 || memcmp(a.ptr, bytes, len) == 0);
}

static int
replayed(void *arg, const struct record *record)
{
	uint64_t seq = record->head.seq;
	const struct rig_record *want;

	(void)arg;
	if (seq == 0 || seq > whole.last_seq || now.seen[seq]) {
		wrong("record %llu is replayed and should not be", (unsigned long long)seq);
		return 0;
	}
	want = &whole.records[seq];
	now.seen[seq] = true;
	if (!same(record->facts, want->facts, want->facts_len) ||
	    !same(record->decision, want->decision, want->decision_len) ||
	    record->head.ref != want->content + 1)
		wrong("record %llu is replayed with other content", (unsigned long long)seq);
	return 0;
}

static int
read_record(struct journal *journal, uint64_t seq)
{
	const struct rig_record *want = &whole.records[seq];
	struct record record = { 0 };
	struct arena arena;
	int r;

	arena_init(&arena, 16 << 20);
	r = journal_read(journal, seq, true, &arena, &record);
	if (broken == BROKEN_CHECKSUM && r == JOURNAL_DAMAGED)
		r = 0;
	if (r == 0 &&
	    (!same(record.facts, want->facts, want->facts_len) ||
		!same(record.decision, want->decision, want->decision_len) ||
		!same(record.body, want->body, want->body_len) || record.head.ref != want->content + 1 ||
		memcmp(record.head.sha256, want->sha256, sizeof want->sha256) != 0)) {
		wrong("record %llu is read with other content", (unsigned long long)seq);
		r = RIG_DIFFERS;
	}
	arena_fini(&arena);
	return r;
}

/* Whether segment ${i} of the list is as it was, to the place of each record. */
static bool
is_as_before(const struct journal *journal, size_t i, uint32_t number)
{
	const struct segment *segment = i < journal->segment_count ? journal->segments[i] : NULL;

	return segment && segment->number == number && segment->seed == whole.segments[i].seed &&
	       segment->end == whole.segments[i].end && segment->records == whole.segments[i].records;
}

/* Record ${seq} must be what it was, unless it lies in byte ${at} of segment ${hit}. Whether it is damaged. */
static bool
record_check(struct journal *journal, uint64_t seq, uint32_t hit, uint64_t at, bool full)
{
	uint32_t home = whole.homes[seq];
	struct journal_place place = { 0 };
	uint64_t next =
	    seq < whole.last_seq && whole.homes[seq + 1] == home ? whole.places[seq + 1] : UINT64_MAX;
	bool touched = home == hit && whole.places[seq] <= at && at < next;
	int r = journal_find(journal, seq, &place);

	if (r == 0 && (place.segment != home || place.offset != whole.places[seq]))
		wrong("record %llu is looked for elsewhere", (unsigned long long)seq);
	if (r == 0 && (home == hit || full))
		r = read_record(journal, seq);
	if (r && !touched)
		wrong("record %llu gives %d, and was not touched", (unsigned long long)seq, r);
	if (r && r != JOURNAL_DAMAGED && r != JOURNAL_ABSENT)
		wrong("record %llu gives %d", (unsigned long long)seq, r);
	if (r == JOURNAL_ABSENT && now.told == 0)
		wrong("record %llu is gone and nobody was told", (unsigned long long)seq);
	if (!now.seen[seq] && !touched)
		wrong("record %llu is not replayed", (unsigned long long)seq);
	return r != 0;
}

static bool
verify_finds(struct journal *journal)
{
	struct buffer report;
	int r;

	buffer_init(&report, 1 << 20);
	r = journal_verify(journal, &report);
	buffer_fini(&report);
	if (r && r != JOURNAL_DAMAGED)
		wrong("verify gives %d", r);
	return r == JOURNAL_DAMAGED;
}

static void
flip(size_t file, uint64_t at, unsigned bit, struct counts *counts)
{
	static struct journal journal;
	uint32_t number = whole.files[file].number;
	bool full = counts->flips % FULL_EVERY == 0, damaged = false;
	int r;

	now.told = 0;
	now.wrong = false;
	memset(now.seen, 0, whole.last_seq + 1);
	flips_disk_turn(file, at, bit);
	journal_begin(&journal);
	r = recovery_run(&journal, replayed, NULL);
	if (r)
		wrong("the start gives %d", r);
	for (uint64_t seq = 1; r == 0 && seq <= whole.last_seq; seq++)
		damaged |= record_check(&journal, seq, number, at, full);
	for (size_t i = 0; r == 0 && i < whole.segment_count; i++)
		if (whole.segments[i].number != number &&
		    !is_as_before(&journal, i, whole.segments[i].number))
			wrong("segment %u is not as it was", whole.segments[i].number);
	counts->flips++;
	if (now.told)
		counts->by_start++;
	else if (damaged)
		counts->by_read++;
	else if (r == 0 && verify_finds(&journal))
		counts->by_verify++;
	else
		wrong("nobody is told");
	if (now.wrong && ++counts->wrong <= WRONG_SHOWN && broken == BROKEN_NOTHING)
		printf("segment %u, byte %llu, bit %u: %s\n", number, (unsigned long long)at, bit, now.why);
	journal_end(&journal);
	flips_disk_turn_back();
}

/* Note how the unharmed journal is found. */
static bool
baseline(void)
{
	static struct journal journal;
	bool ok;
	int r;

	now.told = 0;
	memset(now.seen, 0, whole.last_seq + 1);
	journal_begin(&journal);
	r = recovery_run(&journal, replayed, NULL);
	if (r || now.told)
		wrong("the start gives %d and tells %zu findings", r, now.told);
	ok = !now.wrong;
	whole.segment_count = journal.segment_count;
	for (size_t i = 0; ok && i < journal.segment_count; i++) {
		const struct segment *segment = journal.segments[i];

		whole.segments[i].number = segment->number;
		whole.segments[i].seed = segment->seed;
		whole.segments[i].end = segment->end;
		whole.segments[i].records = segment->records;
		for (size_t k = 0; k < segment->index.born.count; k++) {
			uint64_t seq = segment->index.born.entries[k].seq;

			whole.places[seq] = segment->index.born.entries[k].offset;
			whole.homes[seq] = segment->number;
		}
		for (size_t f = 0; f < whole.file_count; f++)
			if (whole.files[f].number == segment->number && !whole.files[f].sealed)
				whole.files[f].until = segment->end;
	}
	for (uint64_t seq = 1; ok && seq <= whole.last_seq; seq++) {
		r = read_record(&journal, seq);
		if (r || !now.seen[seq])
			wrong("record %llu of %llu gives %d, %sreplayed", (unsigned long long)seq,
			    (unsigned long long)whole.last_seq, r, now.seen[seq] ? "" : "not ");
	}
	if (ok && verify_finds(&journal))
		wrong("verify finds something");
	ok = ok && !now.wrong;
	journal_end(&journal);
	flips_disk_turn_back();
	return ok;
}

static void
share_run(size_t share, size_t shares, size_t step, struct counts *counts)
{
	uint64_t n = 0;

	for (size_t file = 0; file < whole.file_count; file++)
		for (uint64_t at = 0; at < whole.files[file].until; at++)
			for (unsigned bit = 0; bit < 8; bit++, n++)
				if (n % step == 0 && n / step % shares == share)
					flip(file, at, bit, counts);
}

/* ${jobs} processes; every ${step}th bit. */
static struct counts
all_run(size_t jobs, size_t step)
{
	struct counts total = { 0 }, *shared;

	shared =
	    mmap(NULL, sizeof *shared * JOBS_MAX, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (size_t i = 0; i < jobs; i++) {
		fflush(stdout);
		if (fork() == 0) {
			share_run(i, jobs, step, &shared[i]);
			fflush(stdout);
			_exit(0);
		}
	}
	for (size_t i = 0; i < jobs; i++) {
		int status;

		wait(&status);
		if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
			printf("a process ended with status %d\n", status);
			total.wrong++;
		}
	}
	for (size_t i = 0; i < jobs; i++) {
		total.flips += shared[i].flips;
		total.by_start += shared[i].by_start;
		total.by_read += shared[i].by_read;
		total.by_verify += shared[i].by_verify;
		total.wrong += shared[i].wrong;
	}
	munmap(shared, sizeof *shared * JOBS_MAX);
	return total;
}

/* The checker itself: each way of being wrong must be found. */
static int
checkers_run(size_t jobs)
{
	static const char *const names[BROKEN_KINDS] = { "nothing", "a start that tells nobody",
		"a reader that takes any checksum", "a start that ends at the first damage" };
	int missed = 0;

	for (broken = BROKEN_SILENT; broken < BROKEN_KINDS; broken++) {
		struct counts counts = all_run(jobs, 37);

		printf("%-40s %s (%zu of %zu flips)\n", names[broken],
		    counts.wrong ? "convicted" : "NOT CONVICTED", counts.wrong, counts.flips);
		missed += counts.wrong == 0;
	}
	return missed > 0;
}

int
main(int argc, char **argv)
{
	static const struct option options[] = { { "kib", required_argument, NULL, 'k' },
		{ "jobs", required_argument, NULL, 'j' }, { "checkers", no_argument, NULL, 'c' },
		{ NULL, 0, NULL, 0 } };
	size_t kib = 64, jobs = 2;
	bool checkers = false;
	struct counts counts;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'k':
			kib = strtoul(optarg, NULL, 10);
			break;
		case 'j':
			jobs = strtoul(optarg, NULL, 10);
			break;
		case 'c':
			checkers = true;
			break;
		default:
			fprintf(stderr, "usage: flips [--kib N] [--jobs N] [--checkers]\n");
			return 2;
		}
	}
	if (jobs == 0 || jobs > JOBS_MAX || kib < 32) {
		fprintf(stderr, "flips: 32 KiB at least, 1 to %d jobs\n", JOBS_MAX);
		return 2;
	}
	mallopt(M_MMAP_THRESHOLD, 64 << 20); /* windows of a moment stay in the heap */
	mallopt(M_TRIM_THRESHOLD, 64 << 20);
	whole.last_seq = flips_disk_make(kib, &whole.files, &whole.file_count, &whole.records);
	whole.places = calloc(whole.last_seq + 1, sizeof *whole.places);
	whole.homes = calloc(whole.last_seq + 1, sizeof *whole.homes);
	now.seen = calloc(whole.last_seq + 1, sizeof *now.seen);
	if (!baseline()) {
		printf("the unharmed journal is not found whole: %s\n", now.why);
		return 1;
	}
	if (checkers)
		return checkers_run(jobs);
	counts = all_run(jobs, 1);
	printf("%zu segments, %llu records: %zu bits turned; told by the start %zu, by the read %zu, by "
	       "verify %zu; "
	       "%zu wrong\n",
	    whole.file_count, (unsigned long long)whole.last_seq, counts.flips, counts.by_start,
	    counts.by_read, counts.by_verify, counts.wrong);
	return counts.wrong > 0;
}
