/* SPDX-License-Identifier: Apache-2.0 */
/* See journal_rig.h. */
#include "tests/unit/journal_rig.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/store/follow.h"
#include "codecs/arena.h"
#include "codecs/digest.h"

#define RIG_ARENA ((size_t)64 << 20)

static uint64_t done_order;

static void
rig_post(struct poster *self, struct post_item *item)
{
	struct rig_poster *poster = (struct rig_poster *)self;

	pthread_mutex_lock(&poster->lock);
	item->next = NULL;
	*poster->tail = item;
	poster->tail = &item->next;
	pthread_cond_signal(&poster->wake);
	pthread_mutex_unlock(&poster->lock);
}

/* The test's own thread is the loop's. */
static bool
rig_later(struct poster *self, struct post_item *item)
{
	struct rig_poster *poster = (struct rig_poster *)self;

	if (!pthread_equal(pthread_self(), poster->thread))
		return false;
	item->next = NULL;
	*poster->turn_tail = item;
	poster->turn_tail = &item->next;
	return true;
}

/* Run what waits for the end of the turn. */
static bool
rig_turn(struct rig_poster *poster)
{
	struct post_item *item = poster->turn, *next;
	bool some = item != NULL;

	poster->turn = NULL;
	poster->turn_tail = &poster->turn;
	for (; item; item = next) {
		next = item->next;
		item->run(item);
	}
	return some;
}

void
rig_poster_init(struct rig_poster *poster)
{
	memset(poster, 0, sizeof *poster);
	poster->poster.post = rig_post;
	poster->thread = pthread_self();
	poster->turn_tail = &poster->turn;
	if (getenv(RIG_TURNS))
		poster->poster.later = rig_later;
	poster->tail = &poster->head;
	pthread_mutex_init(&poster->lock, NULL);
	pthread_cond_init(&poster->wake, NULL);
}

void
rig_poster_fini(struct rig_poster *poster)
{
	while (rig_poster_run(poster, 0))
		continue;
	pthread_cond_destroy(&poster->wake);
	pthread_mutex_destroy(&poster->lock);
}

bool
rig_poster_run(struct rig_poster *poster, unsigned ms)
{
	struct post_item *item, *next;
	struct timespec until;

	if (rig_turn(poster))
		return true;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += (long)(ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&poster->lock);
	while (!poster->head && ms > 0)
		if (pthread_cond_timedwait(&poster->wake, &poster->lock, &until) != 0)
			break;
	item = poster->head;
	poster->head = NULL;
	poster->tail = &poster->head;
	pthread_mutex_unlock(&poster->lock);
	if (!item)
		return false;
	for (; item; item = next) {
		next = item->next;
		item->run(item);
	}
	return true;
}

static void
rig_state_changed(void *arg)
{
	struct rig *rig = arg;

	rig->state_changes++;
}

static void
init(struct rig *rig)
{
	rig_poster_init(&rig->poster);
	rig->options = (struct journal_options){
		.directory = rig->directory,
		.segment_size = 64 << 10,
		.reserve = 64 << 10,
		.poster = &rig->poster.poster,
		.state_changed = rig_state_changed,
		.arg = rig,
	};
}

void
rig_init(struct rig *rig)
{
	memset(rig, 0, sizeof *rig);
	strcpy(rig->directory, "/tmp/journal-XXXXXX");
	assert_non_null(mkdtemp(rig->directory));
	init(rig);
}

void
rig_init_fast(struct rig *rig)
{
	memset(rig, 0, sizeof *rig);
	strcpy(rig->directory, "/dev/shm/journal-XXXXXX");
	if (mkdtemp(rig->directory))
		init(rig);
	else
		rig_init(rig);
}

static void
remove_all(const char *path)
{
	struct dirent *entry;
	char inner[4096];
	DIR *dir = opendir(path);

	if (!dir) {
		unlink(path);
		return;
	}
	while ((entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
		remove_all(inner);
	}
	closedir(dir);
	rmdir(path);
}

void
rig_fini(struct rig *rig)
{
	rig_close(rig);
	rig_poster_fini(&rig->poster);
	remove_all(rig->directory);
}

void
rig_copy(const struct rig *from, struct rig *to)
{
	char source[512], target[512];
	struct dirent *entry;
	DIR *dir;

	snprintf(target, sizeof target, "%s/journal", to->directory);
	remove_all(target);
	snprintf(source, sizeof source, "%s/quarantine", to->directory);
	remove_all(source);
	assert_int_equal(mkdir(target, 0750), 0);
	snprintf(source, sizeof source, "%s/journal", from->directory);
	dir = opendir(source);
	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		uint8_t *bytes;
		size_t len;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(source, sizeof source, "%s/journal/%.200s", from->directory, entry->d_name);
		snprintf(target, sizeof target, "%s/journal/%.200s", to->directory, entry->d_name);
		bytes = rig_load(source, &len);
		if (!bytes)
			continue; /* renamed meanwhile: a copy of a journal at work is what a crash leaves */
		rig_save(target, bytes, len);
		free(bytes);
	}
	closedir(dir);
}

int
rig_open(struct rig *rig, journal_replay_fn *replay, void *arg)
{
	return journal_open(&rig->journal, &rig->options, replay, arg);
}

void
rig_close(struct rig *rig)
{
	journal_close(rig->journal);
	rig->journal = NULL;
	while (rig_poster_run(&rig->poster, 0))
		continue;
}

uint64_t
rig_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u; /* splitmix64 */

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static uint8_t *
fill(uint64_t *state, size_t len)
{
	uint8_t *bytes = malloc(len + 8);

	assert_non_null(bytes);
	for (size_t i = 0; i < len; i += 8) {
		uint64_t v = rig_random(state);

		memcpy(bytes + i, &v, 8);
	}
	return bytes;
}

void
rig_record_init(struct rig_record *record, uint64_t content, size_t body_len)
{
	uint64_t state = content;

	memset(record, 0, sizeof *record);
	record->content = content;
	record->facts_len = rig_random(&state) % 300;
	record->decision_len = rig_random(&state) % 100;
	record->body_len = body_len == SIZE_MAX ? rig_random(&state) % 2000 : body_len;
	record->facts = fill(&state, record->facts_len);
	record->decision = fill(&state, record->decision_len);
	record->body = fill(&state, record->body_len);
	memset(record->key, (int)(content & 0xff), sizeof record->key);
	assert_int_equal(digest_sha256(span_make(record->body, record->body_len), record->sha256), 0);
}

void
rig_record_fini(struct rig_record *record)
{
	free(record->facts);
	free(record->decision);
	free(record->body);
}

static void
rig_done(void *arg, int error)
{
	struct rig_record *record = arg;

	assert_false(record->done);
	record->done = true;
	record->error = error;
	record->order = ++done_order;
}

int
rig_append(struct rig *rig, struct rig_record *record, enum record_type type, bool push)
{
	struct journal_entry entry = {
		.type = type,
		.ref = record->content + 1,
		.size = record->body_len,
		.key = record->key,
		.sha256 = record->sha256,
		.facts = span_make(record->facts, record->facts_len),
		.decision = span_make(record->decision, record->decision_len),
		.body = span_make(record->body, record->body_len),
		.push = push,
	};
	int r = journal_append(rig->journal, &entry, rig_done, record, &record->head);

	record->pushed = r == 0;
	return r;
}

int
rig_wait(struct rig *rig, struct rig_record *record)
{
	for (unsigned tries = 0; !record->done; tries++) {
		assert_true(tries < 100);
		(void)rig_poster_run(&rig->poster, 300);
	}
	return record->error;
}

int
rig_put(struct rig *rig, uint64_t content, size_t body_len, enum record_type type, bool push,
    struct record_head *head)
{
	struct rig_record record;
	int r;

	rig_record_init(&record, content, body_len);
	r = rig_append(rig, &record, type, push);
	if (r == 0)
		r = rig_wait(rig, &record);
	if (head)
		*head = record.head;
	rig_record_fini(&record);
	return r;
}

bool
rig_matches(const struct record *record, uint64_t content, size_t body_len, bool body)
{
	struct rig_record want;
	bool same;

	rig_record_init(&want, content, body_len);
	same = span_eq(record->facts, span_make(want.facts, want.facts_len)) &&
	       span_eq(record->decision, span_make(want.decision, want.decision_len)) &&
	       (!body || span_eq(record->body, span_make(want.body, want.body_len))) &&
	       record->head.ref == content + 1 && record->head.size == want.body_len &&
	       memcmp(record->head.key, want.key, 16) == 0 &&
	       memcmp(record->head.sha256, want.sha256, 32) == 0;
	rig_record_fini(&want);
	return same;
}

int
rig_check(struct rig *rig, uint64_t seq, uint64_t content, size_t body_len)
{
	struct record record;
	struct arena arena;
	int r;

	arena_init(&arena, RIG_ARENA);
	r = journal_read(rig->journal, seq, true, &arena, &record);
	if (r == 0 && (record.head.seq != seq || !rig_matches(&record, content, body_len, true)))
		r = RIG_DIFFERS;
	arena_fini(&arena);
	return r;
}

const char *
rig_segment(const struct rig *rig, unsigned number)
{
	static char path[256];

	snprintf(path, sizeof path, "%s/journal/%010u.seg", rig->directory, number);
	return path;
}

uint8_t *
rig_load(const char *path, size_t *len)
{
	FILE *file = fopen(path, "rb");
	struct stat st;
	uint8_t *bytes;

	if (!file)
		return NULL;
	assert_int_equal(fstat(fileno(file), &st), 0);
	bytes = malloc((size_t)st.st_size + 1);
	assert_non_null(bytes);
	*len = fread(bytes, 1, (size_t)st.st_size, file); /* a sealed segment may be cut while it is copied */
	fclose(file);
	return bytes;
}

void
rig_save(const char *path, const uint8_t *bytes, size_t len)
{
	FILE *file;

	unlink(
	    path); /* a file truncated to be written anew is flushed at its close by ext4: sweeps save thousands */
	file = fopen(path, "wb");
	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
}

size_t
rig_quarantined(const struct rig *rig)
{
	struct dirent *entry;
	size_t count = 0;
	char path[256];
	DIR *dir;

	snprintf(path, sizeof path, "%s/quarantine", rig->directory);
	dir = opendir(path);
	if (!dir)
		return 0;
	while ((entry = readdir(dir)))
		count += entry->d_name[0] != '.';
	closedir(dir);
	return count;
}

/* The next record of the segment at ${cursor}, or of those behind it when that one is read to its end. */
static int
next_of(struct journal *journal, struct journal_follower *follower, struct journal_cursor *cursor,
    struct record *record)
{
	struct journal_segment segment;
	int r;

	while (journal_segment(journal, cursor->segment, &segment)) {
		if (segment.number != cursor->segment || cursor->offset < JOURNAL_SEGMENT_BEGIN)
			*cursor = (struct journal_cursor){ segment.number, JOURNAL_SEGMENT_BEGIN };
		r = journal_follower_seek(follower, cursor->segment, cursor->offset);
		if (r == 0) {
			r = journal_follower_next(follower, record);
			*cursor = journal_follower_place(follower);
		}
		if ((r != JOURNAL_END || !segment.done) && r != JOURNAL_ABSENT)
			return r;
		*cursor = (struct journal_cursor){ segment.number + 1, 0 };
	}
	return JOURNAL_END;
}

int
rig_next(struct journal *journal, struct journal_cursor *cursor, struct arena *arena, struct record *record)
{
	struct journal_follower *follower;
	int r = journal_follower_new(&follower, journal);

	if (r)
		return r;
	r = next_of(journal, follower, cursor, record);
	if (r == 0) {
		record->facts = arena_copy(arena, record->facts);
		record->decision = arena_copy(arena, record->decision);
	}
	journal_follower_free(follower);
	return r;
}
