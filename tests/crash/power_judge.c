/* SPDX-License-Identifier: Apache-2.0 */
/* What is left after the power went, opened by the shipped code: is all there that was promised, and nothing else? See power.h. */
#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/store/segment.h"
#include "codecs/buffer.h"
#include "tests/crash/power.h"

struct judge {
	const struct run *run;
	const struct point *point;
	enum power_variant variant;
	struct rig left;
	uint64_t last_seq; /* replayed so far */
	bool seen[REPLAYED_MAX];
	bool wrong;
	char why[300];
};

__attribute__((format(printf, 2, 3))) static void
wrong(struct judge *judge, const char *format, ...)
{
	va_list args;

	if (judge->wrong) /* the first one tells most */
		return;
	judge->wrong = true;
	va_start(args, format);
	vsnprintf(judge->why, sizeof judge->why, format, args);
	va_end(args);
}

static bool
is_finished(const struct judge *judge, uint32_t number)
{
	for (size_t i = 0; i < judge->point->finished_count; i++)
		if (judge->point->finished[i] == number)
			return true;
	return false;
}

/* A file has its final name only when it is whole; a short one ends with its foot; what was told to be cut, is. */
static void
segment_look(struct judge *judge, const char *path, uint32_t number)
{
	struct segment_foot foot;
	uint8_t *bytes;
	size_t len = 0;
	bool sealed;

	bytes = rig_load(path, &len);
	sealed = bytes && len >= SEGMENT_FOOT_SIZE &&
		 segment_foot_decode(bytes + len - SEGMENT_FOOT_SIZE, &foot) &&
		 foot.end + segment_seal_size(foot.count) == len;
	if (!sealed && len < judge->left.options.segment_size)
		wrong(judge, "segment %u has %zu bytes and no foot: half a file under its final name", number,
		    len);
	if (!sealed && is_finished(judge, number))
		wrong(judge, "segment %u was sealed and cut, and is not", number);
	free(bytes);
}

static void
files_look(struct judge *judge)
{
	char directory[128], path[256];
	struct dirent *entry;
	struct stat st;
	DIR *dir;

	snprintf(directory, sizeof directory, "%s/journal", judge->left.directory);
	dir = opendir(directory);
	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		snprintf(path, sizeof path, "%s/%.100s", directory, entry->d_name);
		if (strcmp(entry->d_name, "reserve") == 0 &&
		    (stat(path, &st) != 0 || st.st_size != (off_t)judge->left.options.reserve))
			wrong(judge, "the reserve is not whole");
		if (strlen(entry->d_name) == 14 && strcmp(entry->d_name + 10, ".seg") == 0)
			segment_look(judge, path, (uint32_t)strtoul(entry->d_name, NULL, 10));
	}
	closedir(dir);
	for (size_t i = 0; i < judge->point->removed_count; i++)
		if (access(rig_segment(&judge->left, judge->run->removed[i]), F_OK) == 0)
			wrong(
			    judge, "segment %u was told to be removed, and is there", judge->run->removed[i]);
	for (size_t i = 0; i < judge->point->quarantined_count; i++) {
		snprintf(
		    path, sizeof path, "%s/quarantine/%s", judge->left.directory, judge->run->quarantined[i]);
		if (stat(path, &st) != 0 || st.st_size == 0)
			wrong(judge, "%s was told to be a copy of damage, and is lost",
			    judge->run->quarantined[i]);
	}
}

static const struct attempt *
attempt_of(const struct judge *judge, uint64_t seq)
{
	for (size_t i = 0; i < judge->run->attempt_count; i++)
		if (judge->run->attempts[i].seq == seq)
			return &judge->run->attempts[i];
	return NULL;
}

/* Whether something was told done that was appended after ${attempt}: then what failed before is void for ever. */
static bool
superseded(const struct judge *judge, const struct attempt *attempt)
{
	for (size_t i = (size_t)(attempt - judge->run->attempts) + 1; i < judge->point->attempts; i++)
		if (judge->point->told[i] == TOLD_DONE)
			return true;
	return judge->point->extra_seq != 0 && !judge->run->replayed[attempt->seq % REPLAYED_MAX];
}

/* What is purged says so, and nothing else is; its facts are overwritten, its received bytes zero. */
static bool
purged_matches(struct judge *judge, const struct attempt *attempt, const struct record *record)
{
	struct rig_record want;
	bool same;

	if (!attempt->purging) {
		wrong(judge, "record %llu is purged and was not to be", (unsigned long long)attempt->seq);
		return true;
	}
	rig_record_init(&want, attempt->content, attempt->size);
	same = record->facts.len == want.facts_len && record->head.ref == attempt->content + 1 &&
	       span_eq(record->decision, span_make(want.decision, want.decision_len)) &&
	       memcmp(record->head.sha256, want.sha256, sizeof want.sha256) == 0;
	for (size_t i = 0; i < record->facts.len; i++)
		same = same && record->facts.ptr[i] == PURGED_FACT;
	rig_record_fini(&want);
	return same && (record->body.len == 0 || segment_is_zero(record->body.ptr, record->body.len));
}

/* Whether ${record} is what was appended as ${attempt}, or what a purge left of it. */
static bool
matches(struct judge *judge, const struct attempt *attempt, const struct record *record, bool body)
{
	size_t i = (size_t)(attempt - judge->run->attempts);

	if (record->head.flags & RECORD_PURGED)
		return purged_matches(judge, attempt, record);
	if (i < judge->point->attempts && judge->point->purged[i])
		wrong(judge, "record %llu was told to be purged, and its bytes are back",
		    (unsigned long long)attempt->seq);
	return rig_matches(record, attempt->content, attempt->size, body);
}

static int
replayed(void *arg, const struct record *record)
{
	struct judge *judge = arg;
	const struct attempt *attempt;
	uint64_t seq = record->head.seq;

	if (seq <= judge->last_seq)
		wrong(judge, "record %llu is replayed behind %llu", (unsigned long long)seq,
		    (unsigned long long)judge->last_seq);
	judge->last_seq = seq;
	if (seq < REPLAYED_MAX)
		judge->seen[seq] = true;
	if (record->head.type == RECORD_REMOVED)
		return 0;
	if (judge->run->replayed && record->head.ref == EXTRA + 1) {
		if (!rig_matches(record, EXTRA, EXTRA_SIZE, false))
			wrong(judge, "the record put after the start is changed");
		return 0;
	}
	attempt = attempt_of(judge, seq);
	if (!attempt)
		wrong(judge, "record %llu was never appended", (unsigned long long)seq);
	else if (!matches(judge, attempt, record, false))
		wrong(judge, "record %llu is changed", (unsigned long long)seq);
	else if ((size_t)(attempt - judge->run->attempts) < judge->point->attempts &&
		 judge->point->told[attempt - judge->run->attempts] == TOLD_FAILED &&
		 superseded(judge, attempt))
		wrong(judge, "record %llu was told to have failed, others came after it, and it is back",
		    (unsigned long long)seq);
	return 0;
}

/* Retention may have left the bytes of some behind. */
static int
look_at(struct judge *judge, const struct attempt *attempt)
{
	const unsigned left = RECORD_CARRIED | RECORD_BODILESS;
	struct record record;
	struct arena arena;
	bool bodiless;
	int r;

	arena_init(&arena, 1 << 20);
	r = journal_read(judge->left.journal, attempt->seq, true, &arena, &record);
	if (r == 0) {
		bodiless =
		    attempt->content % 6 == 4 && (record.head.flags & left) == left && record.body.len == 0;
		if (!matches(judge, attempt, &record, !bodiless))
			r = RIG_DIFFERS;
	}
	arena_fini(&arena);
	return r;
}

static void
promises_check(struct judge *judge)
{
	const struct point *point = judge->point;
	int r;

	for (size_t i = 0; i < point->attempts; i++) {
		const struct attempt *attempt = &judge->run->attempts[i];

		if (point->told[i] != TOLD_DONE)
			continue;
		r = look_at(judge, attempt);
		if (r && !(r == JOURNAL_ABSENT && point->dropped[i]))
			wrong(judge, "record %llu was told done and gives %d",
			    (unsigned long long)attempt->seq, r);
	}
	for (uint64_t seq = 1; point->opened && seq < REPLAYED_MAX; seq++)
		if (judge->run->replayed[seq] && !judge->seen[seq])
			wrong(judge, "record %llu was read back by the start before and is gone",
			    (unsigned long long)seq);
	if (point->extra_seq) {
		r = rig_check(&judge->left, point->extra_seq, EXTRA, EXTRA_SIZE);
		if (r)
			wrong(judge, "the record put after the start gives %d", r);
	}
}

/* verify finds nothing; holes that a torn group left before what did arrive are told as damage. */
static void
whole_check(struct judge *judge)
{
	struct buffer report;
	int r;

	buffer_init(&report, 1 << 16);
	r = journal_verify(judge->left.journal, &report);
	buffer_append_byte(&report, 0);
	if ((r && r != JOURNAL_DAMAGED) || (r && judge->variant == POWER_DROPPED && !judge->run->replayed))
		wrong(judge, "verify gives %d: %.200s", r, (char *)report.data);
	else if (r && rig_quarantined(&judge->left) == 0 && !strstr((char *)report.data, "no record"))
		wrong(judge, "verify finds what nobody told: %.200s", (char *)report.data);
	buffer_fini(&report);
}

const char *
judge_point(const struct run *run, const struct point *point, enum power_variant variant, uint64_t seed)
{
	static char why[400];
	struct judge *judge = calloc(1, sizeof *judge);
	int r;

	judge->run = run;
	judge->point = point;
	judge->variant = variant;
	rig_init_fast(&judge->left);
	judge->left.options.segment_size = run->rig.options.segment_size;
	judge->left.options.reserve = run->rig.options.reserve;
	power_lost_of(point->state, variant, seed, judge->left.directory);
	files_look(judge);
	r = rig_open(&judge->left, replayed, judge);
	if (r) {
		wrong(judge, "the start gives %d", r);
	} else {
		promises_check(judge);
		if (rig_put(&judge->left, 1000, 100, RECORD_ACCEPTED, true, NULL) != 0)
			wrong(judge, "nothing can be appended");
		whole_check(judge);
	}
	rig_fini(&judge->left);
	if (judge->wrong)
		snprintf(why, sizeof why, "call %zu, variant %d, seed %llu: %s", point->call, variant,
		    (unsigned long long)seed, judge->why);
	r = judge->wrong;
	free(judge);
	return r ? why : NULL;
}
