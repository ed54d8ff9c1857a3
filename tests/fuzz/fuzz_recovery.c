/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole segment files: a journal of one sealed and one open segment, changed as the input says, is opened by what the broker opens its own
 * with. It is refused, or it replays in ascending sequence, reads what it replayed or says that it is damaged, and takes a record that is there
 * at the next opening behind all that were replayed before. Of order only so much is asked where the input forged a header with a right checksum: a checksum finds
 * accidents, forgeries are the signature's to find. Input: changes of
 *   op, file, offset (2 bytes, high first), count, ${count} % 64 bytes (only what is there)
 * op % 6: 0 overwrite, 1 exclusive or, 2 zeros (16 times ${count}), 3 cut the file there, 4 copy 64 bytes from 16 times ${count},
 * 5 a record's header with the fields given and a right checksum.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/store/record.h"
#include "broker/store/segment.h"
#include "tests/unit/journal_rig.h"

#define FILES	 4
#define FILE_MAX ((size_t)128 << 10)
#define RECORDS	 40u
#define ARENA	 ((size_t)1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct image {
	char name[64];
	uint8_t bytes[FILE_MAX];
	size_t len;
};

struct story {
	uint64_t count, last;
	uint64_t seqs[RECORDS * 4];
};

static struct image pristine[FILES], changed[FILES];
static size_t files;
static bool forged;

static void
require(bool holds)
{
	if (!holds)
		abort();
}

static int
replayed(void *arg, const struct record *record)
{
	struct story *story = arg;

	require(forged || record->head.seq > story->last);
	require(record->head.seq > 0 && record->head.seq < RECORD_SEQ_LIMIT);
	story->last = record->head.seq;
	if (story->count < sizeof story->seqs / sizeof story->seqs[0])
		story->seqs[story->count] = record->head.seq;
	story->count++;
	return 0;
}

/* The files of a journal that is whole, ascending, once for all inputs. */
static void
make_pristine(void)
{
	struct dirent **entries;
	struct rig rig;
	char path[512];
	int count;

	rig_init_fast(&rig);
	require(rig_open(&rig, NULL, NULL) == 0);
	for (uint64_t i = 0; i < RECORDS; i++)
		require(rig_put(&rig, i, i * 83 % 3000, i % 3 ? RECORD_ACCEPTED : RECORD_OUTCOME, true,
			    NULL) == 0);
	rig_close(&rig);
	snprintf(path, sizeof path, "%s/journal", rig.directory);
	count = scandir(path, &entries, NULL, alphasort);
	require(count > 0);
	for (int i = 0; i < count; i++) {
		struct image *image = &pristine[files];
		FILE *file;

		snprintf(path, sizeof path, "%s/journal/%.200s", rig.directory, entries[i]->d_name);
		if (entries[i]->d_name[0] != '.' && files < FILES) {
			snprintf(image->name, sizeof image->name, "%.60s", entries[i]->d_name);
			file = fopen(path, "rb");
			require(file != NULL);
			image->len = fread(image->bytes, 1, sizeof image->bytes, file);
			require(image->len < sizeof image->bytes && fclose(file) == 0);
			files++;
		}
		free(entries[i]);
	}
	free(entries);
	require(files >= 2);
	rig_fini(&rig);
}

static void
put_header(struct image *image, size_t at, const uint8_t *data, size_t size)
{
	struct record_header header = { 0 };
	struct segment_head head;

	at = at / RECORD_ALIGN * RECORD_ALIGN;
	if (at + RECORD_HEADER_SIZE > image->len || image->len < SEGMENT_HEAD_SIZE ||
	    segment_head_decode(image->bytes, &head, NULL) != SEGMENT_HEAD_OK)
		return;
	if (!record_decode(image->bytes + at, record_seed(head.id), at, &header))
		header.head.type = RECORD_ACCEPTED;
	memcpy(&header, data, size < sizeof header ? size : sizeof header);
	record_encode(&header, record_seed(head.id), at, image->bytes + at);
	forged = true;
}

/* Change the image as the next bytes of the input say; how many those are. */
static size_t
change(const uint8_t *data, size_t size)
{
	struct image *image = &changed[data[1] % files];
	size_t at = (size_t)data[2] << 8 | data[3], count = data[4], n = count % 64;

	data += 5;
	if (n > size - 5)
		n = size - 5;
	if (image->len > 0 && at >= image->len)
		at %= image->len;
	for (size_t i = 0; i < n && at + i < image->len && data[-5] % 6 < 2; i++)
		image->bytes[at + i] = data[-5] % 6 ? image->bytes[at + i] ^ data[i] : data[i];
	switch (data[-5] % 6) {
	case 2:
		if (at + 16 * count <= image->len)
			memset(image->bytes + at, 0, 16 * count);
		break;
	case 3:
		image->len = at < image->len ? at : image->len;
		break;
	case 4:
		if (16 * count + 64 <= image->len && at + 64 <= image->len)
			memmove(image->bytes + at, image->bytes + 16 * count, 64);
		break;
	case 5:
		put_header(image, at, data, n);
		break;
	default:
		break;
	}
	return 5 + n;
}

static void
save(const struct rig *rig)
{
	char path[512];

	snprintf(path, sizeof path, "%s/journal", rig->directory);
	require(mkdir(path, 0750) == 0);
	for (size_t i = 0; i < files; i++) {
		FILE *file;

		snprintf(path, sizeof path, "%s/journal/%s", rig->directory, changed[i].name);
		file = fopen(path, "wb");
		require(file != NULL && fwrite(changed[i].bytes, 1, changed[i].len, file) == changed[i].len &&
			fclose(file) == 0);
	}
}

static void
read_all(struct rig *rig, const struct story *story)
{
	for (size_t i = 0; i < story->count && i < sizeof story->seqs / sizeof story->seqs[0]; i++) {
		struct record record;
		struct arena arena;
		int r;

		arena_init(&arena, ARENA);
		r = journal_read(rig->journal, story->seqs[i], true, &arena, &record);
		require(r == 0 || r == JOURNAL_DAMAGED || r == -ENOMEM || r == JOURNAL_ABSENT);
		require(r != 0 || record.head.seq == story->seqs[i]);
		arena_fini(&arena);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct story before = { 0 }, after = { 0 };
	struct record_head head = { 0 };
	struct rig rig;

	if (files == 0)
		make_pristine();
	memcpy(changed, pristine, sizeof changed);
	forged = false;
	while (size >= 5) {
		size_t used = change(data, size);

		data += used;
		size -= used;
	}
	rig_init_fast(&rig);
	save(&rig);
	if (rig_open(&rig, replayed, &before) == 0) {
		int r;

		read_all(&rig, &before);
		r = rig_put(&rig, 7, 100, RECORD_ACCEPTED, false, &head);
		rig_close(&rig);
		require(rig_open(&rig, replayed, &after) == 0 || forged);
		require(after.count == before.count + (r == 0) || forged);
		require(r != 0 || forged || (after.last == head.seq && head.seq > before.last));
	}
	rig_fini(&rig);
	return 0;
}
