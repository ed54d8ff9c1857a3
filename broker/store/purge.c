/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purging: a record's received bytes and what its facts say of somebody are overwritten where they lie, in every copy.
 *
 * Power may go in the middle. What will be written stands before in journal/purge.redo, synced: a start finds it and writes it again before it reads
 * any segment. The operator's act was journalled before that file was made.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/store/bytes.h"
#include "broker/store/disk.h"
#include "broker/store/journal_private.h"

#define REDO_MAGIC "LIAISONP"
#define REDO_HEAD  64
#define REDO_MAX   (REDO_HEAD + RECORD_HEADER_SIZE + 2 * RECORD_PART_MAX)
#define ZEROS	   ((size_t)1 << 20)

enum {
	AT_CRC = 8,
	AT_NUMBER = 12,
	AT_ID = 16,
	AT_OFFSET = 32,
	AT_FRONT = 40, /* bytes of header, facts and decision that follow */
	AT_BODY = 48,  /* zeros behind them */
};

/* One copy, as it will be. */
struct redo {
	uint32_t number;
	uint8_t id[SEGMENT_ID_LEN];
	uint64_t offset, body_len;
	struct span front;
};

static int
redo_path(const struct journal *journal, char *path, size_t size, const char *end)
{
	int n = snprintf(path, size, "%s/purge.redo%s", journal->directory, end);

	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

static uint32_t
redo_crc(const uint8_t *bytes, size_t len)
{
	return digest_crc32c(0, span_make(bytes + AT_NUMBER, len - AT_NUMBER));
}

/* Zero ${len} bytes at ${offset}. */
static int
zeros_write(int fd, uint64_t offset, uint64_t len)
{
	uint8_t *zeros = calloc(1, ZEROS);
	int r = zeros ? 0 : -ENOMEM;

	while (r == 0 && len > 0) {
		size_t n = len < ZEROS ? (size_t)len : ZEROS;

		r = disk_write_bytes(fd, offset, zeros, n);
		offset += n;
		len -= n;
	}
	free(zeros);
	return r;
}

/* Whether ${fd} is the segment that ${redo} is about: nothing of another is ever touched. */
static int
segment_is(int fd, const struct redo *redo, bool *same)
{
	uint8_t block[SEGMENT_HEAD_SIZE];
	struct segment_head head;
	size_t got;
	int r = disk_read(fd, 0, block, sizeof block, &got);

	*same = r == 0 && got == sizeof block && segment_head_decode(block, &head, NULL) == SEGMENT_HEAD_OK &&
		memcmp(head.id, redo->id, SEGMENT_ID_LEN) == 0;
	return r;
}

/* Overwrite, from the body to the header: until the last one stands, the record is damaged and not half purged. */
static int
redo_apply(const struct journal *journal, const struct redo *redo)
{
	char path[JOURNAL_PATH_MAX];
	bool same = false;
	int fd = -1, r;

	r = journal_path(journal, redo->number, path, sizeof path);
	if (r == 0)
		r = disk_open(path, O_RDWR, &fd);
	if (r)
		return r == -ENOENT ? 0 : r; /* removed since */
	r = segment_is(fd, redo, &same);
	if (r == 0 && same)
		r = zeros_write(fd, redo->offset + redo->front.len, redo->body_len);
	if (r == 0 && same)
		r = disk_write_bytes(fd, redo->offset, redo->front.ptr, redo->front.len);
	if (r == 0 && same)
		r = disk_sync(fd);
	disk_close(fd);
	return r;
}

static int
redo_write(const struct journal *journal, const struct redo *redo)
{
	char temporary[JOURNAL_PATH_MAX], path[JOURNAL_PATH_MAX];
	size_t len = REDO_HEAD + redo->front.len;
	uint8_t *bytes = calloc(1, len);
	int fd = -1, r = bytes ? 0 : -ENOMEM;

	if (r)
		return r;
	memcpy(bytes, REDO_MAGIC, 8);
	bytes_put32(bytes + AT_NUMBER, redo->number);
	memcpy(bytes + AT_ID, redo->id, SEGMENT_ID_LEN);
	bytes_put64(bytes + AT_OFFSET, redo->offset);
	bytes_put64(bytes + AT_FRONT, redo->front.len);
	bytes_put64(bytes + AT_BODY, redo->body_len);
	memcpy(bytes + REDO_HEAD, redo->front.ptr, redo->front.len);
	bytes_put32(bytes + AT_CRC, redo_crc(bytes, len));
	r = redo_path(journal, temporary, sizeof temporary, ".tmp");
	if (r == 0)
		r = redo_path(journal, path, sizeof path, "");
	if (r == 0)
		r = disk_open(temporary, O_RDWR | O_CREAT | O_TRUNC, &fd);
	if (r == 0)
		r = disk_write_bytes(fd, 0, bytes, len);
	if (r == 0)
		r = disk_sync_file(fd);
	disk_close(fd);
	if (r == 0) /* its name is synced where it is read again, before anything is overwritten */
		r = disk_rename(temporary, path);
	free(bytes);
	return r;
}

/* The bytes of a whole redo file; *${whole} false for anything else, which no purge was begun by. */
static bool
redo_decode(const uint8_t *bytes, size_t len, struct redo *redo)
{
	if (len < REDO_HEAD + RECORD_HEADER_SIZE || memcmp(bytes, REDO_MAGIC, 8) != 0 ||
	    bytes_get32(bytes + AT_CRC) != redo_crc(bytes, len) ||
	    bytes_get64(bytes + AT_FRONT) != len - REDO_HEAD)
		return false;
	redo->number = bytes_get32(bytes + AT_NUMBER);
	memcpy(redo->id, bytes + AT_ID, SEGMENT_ID_LEN);
	redo->offset = bytes_get64(bytes + AT_OFFSET);
	redo->body_len = bytes_get64(bytes + AT_BODY);
	redo->front = span_make(bytes + REDO_HEAD, len - REDO_HEAD);
	return true;
}

int
purge_recover(const struct journal *journal)
{
	char path[JOURNAL_PATH_MAX];
	uint8_t *bytes = NULL;
	struct redo redo;
	uint64_t size = 0;
	size_t got = 0;
	int fd = -1, r;

	r = redo_path(journal, path, sizeof path, "");
	if (r == 0)
		r = disk_open(path, O_RDONLY, &fd);
	if (r)
		return r == -ENOENT ? 0 : r;
	r = disk_size(fd, &size);
	if (r == 0 && size > 0 && size <= REDO_MAX) {
		bytes = malloc((size_t)size);
		r = bytes ? disk_read(fd, 0, bytes, (size_t)size, &got) : -ENOMEM;
	}
	disk_close(fd);
	if (r == 0 && bytes && redo_decode(bytes, got, &redo)) {
		r = disk_sync_directory(
		    journal->directory); /* who was killed may have left a name that is not on disk */
		if (r == 0)
			r = redo_apply(journal, &redo);
	}
	if (r == 0)
		r = disk_unlink(path);
	free(bytes);
	return r;
}

static uint32_t
zeros_crc(uint32_t crc, uint64_t len)
{
	static const uint8_t zeros[4096];

	for (; len > 0; len -= len < sizeof zeros ? len : sizeof zeros)
		crc = digest_crc32c(crc, span_make(zeros, len < sizeof zeros ? (size_t)len : sizeof zeros));
	return crc;
}

/* One copy of the record: in ${segment} (raised) at ${offset}. 0, JOURNAL_DAMAGED or -errno. */
static int
copy_purge(struct journal *journal, struct segment *segment, uint64_t offset, journal_blank_fn *blank)
{
	struct redo redo = { .number = segment->number, .offset = offset };
	struct record_header header;
	struct record record;
	struct arena arena;
	uint8_t *front = NULL;
	size_t len;
	int fd, r;

	arena_init(&arena, 2 * RECORD_PART_MAX + 4096);
	r = segment_use(journal, segment, &fd);
	if (r == 0)
		r = journal_read_at(fd, segment->seed, offset, UINT64_MAX, false, &arena, &record, &header);
	if (r || header.head.flags & RECORD_PURGED)
		goto out;
	len = RECORD_HEADER_SIZE + record.facts.len + record.decision.len;
	front = malloc(len);
	if (!front) {
		r = -ENOMEM;
		goto out;
	}
	if (record.facts.len)
		memcpy(front + RECORD_HEADER_SIZE, record.facts.ptr, record.facts.len);
	if (record.decision.len)
		memcpy(
		    front + RECORD_HEADER_SIZE + record.facts.len, record.decision.ptr, record.decision.len);
	blank(front + RECORD_HEADER_SIZE, record.facts.len);
	header.head.flags |= RECORD_PURGED;
	header.front_crc = record_front_crc(
	    segment->seed, span_make(front + RECORD_HEADER_SIZE, record.facts.len), record.decision);
	header.body_crc = zeros_crc(segment->seed, header.body_len);
	record_encode(&header, segment->seed, offset, front);
	memcpy(redo.id, segment->id, SEGMENT_ID_LEN);
	redo.body_len = header.body_len;
	redo.front = span_make(front, len);
	r = redo_write(journal, &redo);
	if (r == 0)
		r = purge_recover(journal);
out:
	free(front);
	arena_fini(&arena);
	return r;
}

/* Under the lock: the first segment numbered at least ${number} that has a copy of ${seq}, raised. */
static struct segment *
copy_find(struct journal *journal, uint64_t seq, uint32_t number, uint64_t *offset)
{
	for (size_t i = 0; i < journal->segment_count; i++) {
		struct segment *segment = journal->segments[i];

		if (segment->number >= number && index_find(&segment->index, seq, offset)) {
			segment->users++;
			return segment;
		}
	}
	return NULL;
}

/* Under the lock: nobody else purges, and retention is not about to write the record elsewhere. */
static int
purge_begin(struct journal *journal, uint64_t seq)
{
	uint64_t offset;

	if (journal->purging || (journal->retiring && index_find(&journal->retiring->index, seq, &offset)))
		return JOURNAL_BUSY;
	journal->purging = true;
	return 0;
}

int
journal_purge(struct journal *journal, uint64_t seq, journal_blank_fn *blank)
{
	struct segment *segment;
	uint64_t offset = 0;
	uint32_t number = 0;
	bool found = false;
	int r;

	pthread_mutex_lock(&journal->lock);
	r = purge_begin(journal, seq);
	pthread_mutex_unlock(&journal->lock);
	if (r)
		return r;
	r = purge_recover(journal); /* one that failed before */
	while (r == 0) {
		pthread_mutex_lock(&journal->lock);
		segment = copy_find(journal, seq, number, &offset);
		pthread_mutex_unlock(&journal->lock);
		if (!segment)
			break;
		found = true;
		number = segment->number + 1;
		r = copy_purge(journal, segment, offset, blank);
		segment_release(journal, segment);
	}
	pthread_mutex_lock(&journal->lock);
	journal->purging = false;
	pthread_mutex_unlock(&journal->lock);
	return r == 0 && !found ? JOURNAL_ABSENT : r;
}
