/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a start finds on disk: which files are segments, which are void, where their records lie and end.
 *
 * Nothing is deleted but half-made files of zeros. Damage is copied to quarantine/ and told. The last segment, when it was not sealed, is
 * scanned; what is whole in it counts, and is written again in place, byte for byte (a half-written head is mended), and synced: a sync
 * that failed before the crash may have left the page cache clean and the disk without the bytes. It is then sealed; writing goes on in a new
 * segment.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/base/log.h"
#include "broker/store/disk.h"
#include "broker/store/found.h"
#include "broker/store/journal_private.h"

#define REWRITE_CHUNK ((size_t)1 << 20)

/* The index and foot at the end of a sealed segment: true when they are whole and everything is taken from them. */
static int
index_load(struct journal *journal, struct segment *segment, int fd, uint64_t bound, bool *loaded)
{
	uint8_t foot_bytes[SEGMENT_FOOT_SIZE], *bytes = NULL;
	struct segment_entry entry;
	struct segment_foot foot;
	size_t got, len;
	int r;

	*loaded = false;
	if (segment->size < SEGMENT_HEAD_SIZE + segment_seal_size(0))
		return 0;
	r = disk_read(fd, segment->size - SEGMENT_FOOT_SIZE, foot_bytes, sizeof foot_bytes, &got);
	if (r || got < sizeof foot_bytes || !segment_foot_decode(foot_bytes, &foot) ||
	    memcmp(foot.id, segment->id, SEGMENT_ID_LEN) != 0 || foot.end > segment->size ||
	    foot.end + segment_seal_size(foot.count) != segment->size ||
	    (bound != UINT64_MAX && bound != foot.end))
		return r == -EIO ? 0 : r; /* what cannot be read is scanned instead */
	len = SEGMENT_INDEX_HEAD + (size_t)foot.count * SEGMENT_ENTRY_SIZE;
	bytes = malloc(len);
	r = bytes ? disk_read(fd, foot.end, bytes, len, &got) : -ENOMEM;
	if (r == 0)
		r = index_reserve(&segment->index, foot.count, foot.count);
	if (r == -EIO) {
		r = 0;
		goto out;
	}
	if (r || got < len || !segment_index_fits(bytes, &foot) ||
	    digest_crc32c(0, span_make(bytes + SEGMENT_INDEX_HEAD, len - SEGMENT_INDEX_HEAD)) !=
		foot.index_crc)
		goto out;
	for (uint32_t i = 0; i < foot.count; i++) {
		segment_entry_decode(bytes + SEGMENT_INDEX_HEAD + (size_t)i * SEGMENT_ENTRY_SIZE, &entry);
		index_add(&segment->index, entry.seq, entry.offset, (entry.flags & RECORD_CARRIED) != 0);
	}
	segment->records = foot.count;
	segment->end = foot.end;
	segment->last_us = foot.last_us;
	memcpy(segment->chain, foot.chain, DIGEST_SHA256_LEN);
	if (foot.next_seq > journal->next_seq)
		journal->next_seq = foot.next_seq;
	segment->indexed = segment->finished = *loaded = true;
out:
	free(bytes);
	return r;
}

/* A scan of one segment, record by record. */
struct scan {
	struct journal *journal;
	struct segment *segment;
	struct reader reader;
	struct sha256 sha;
	bool open_ended;  /* nobody says where the records end */
	bool torn;	  /* behind the end stands what is no record */
	uint8_t *entries; /* encoded, for a seal */
	size_t count, cap;
};

static int
scan_note(struct scan *scan, const struct record_header *header, uint64_t offset, const uint8_t *encoded)
{
	struct segment *segment = scan->segment;
	bool carried = (header->head.flags & RECORD_CARRIED) != 0;
	int r;

	if (scan->count == scan->cap) {
		size_t cap = scan->cap ? 2 * scan->cap : 1024;
		uint8_t *entries = reallocarray(scan->entries, cap, SEGMENT_ENTRY_SIZE);

		if (!entries)
			return -ENOMEM;
		scan->entries = entries;
		scan->cap = cap;
	}
	r = index_reserve(&segment->index, !carried, carried);
	if (r == 0)
		r = record_chain(&scan->sha, encoded, segment->chain);
	if (r)
		return r;
	segment_note(segment, header, offset, scan->entries + scan->count++ * SEGMENT_ENTRY_SIZE);
	return 0;
}

/* Whether nothing whole follows at ${offset}: then a damaged record before it is where a crash cut the last write. */
static int
scan_is_last(struct scan *scan, uint64_t offset, bool *last)
{
	uint8_t encoded[RECORD_HEADER_SIZE];
	struct record_header header;
	enum reader_step step;
	int r;

	*last = false;
	if (!scan->open_ended)
		return 0;
	r = reader_step(&scan->reader, &offset, &step, &header, encoded);
	*last = step != READER_RECORD && (step != READER_DAMAGE || offset == scan->reader.limit);
	return r;
}

/* A whole header at ${offset}: look at its content, count it. */
static int
scan_record(struct scan *scan, const struct record_header *header, uint64_t *offset, const uint8_t *encoded)
{
	uint64_t next = *offset + record_length(header);
	bool front, body;
	int r;

	r = reader_check_front(&scan->reader, *offset, header, &front);
	if (r == 0)
		r = reader_check_body(&scan->reader, *offset, header, &body);
	if (r)
		return r;
	if (header->head.seq >= scan->journal->next_seq)
		scan->journal->next_seq = header->head.seq + 1;
	if (!front || !body) {
		r = scan_is_last(scan, next, &scan->torn);
		if (r)
			return r;
		quarantine_region(scan->journal, scan->reader.fd, scan->segment->number, *offset,
		    scan->torn ? scan->reader.limit : next,
		    scan->torn ? "a torn end: the last record did not arrive whole"
			       : "a record's content does not match its checksum");
		if (scan->torn)
			return 0;
	}
	r = scan_note(scan, header, *offset, encoded);
	*offset = next;
	return r;
}

static int
scan_run(struct scan *scan, uint64_t bound)
{
	struct journal *journal = scan->journal;
	struct segment *segment = scan->segment;
	uint8_t encoded[RECORD_HEADER_SIZE];
	struct record_header header;
	enum reader_step step;
	uint64_t offset = SEGMENT_HEAD_SIZE, from;
	int r;

	for (;;) {
		from = offset;
		r = reader_step(&scan->reader, &offset, &step, &header, encoded);
		if (r)
			return r;
		if (step == READER_END)
			break;
		if (step == READER_RECORD) {
			r = scan_record(scan, &header, &offset, encoded);
			if (r)
				return r;
			if (scan->torn)
				break;
			continue;
		}
		if (offset == scan->reader.limit && scan->open_ended) {
			quarantine_region(journal, scan->reader.fd, segment->number, from, offset,
			    "a torn end: the last write did not arrive whole");
			scan->torn = true;
			offset = from;
			break;
		}
		quarantine_region(
		    journal, scan->reader.fd, segment->number, from, offset, "bytes that are no record");
	}
	if (!scan->open_ended && offset < bound)
		quarantine_tell(journal, segment->number, offset, "records are missing at the segment's end");
	segment->end = scan->open_ended ? offset : bound;
	return 0;
}

/* Power may have gone while the head was written: the copy that is whole takes the place of the other. */
static void
head_mend(uint8_t *block)
{
	struct segment_head head;
	int copies;

	if (segment_head_decode(block, &head, &copies) == SEGMENT_HEAD_OK && copies < 2)
		segment_head_encode(&head, block);
}

/* Put what counts on disk for certain: see the head of this file. */
static int
rewrite(const struct segment *segment, int fd)
{
	uint8_t *chunk = malloc(REWRITE_CHUNK);
	uint64_t at = 0;
	int r = chunk ? 0 : -ENOMEM;

	while (r == 0 && at < segment->end) {
		size_t n = segment->end - at < REWRITE_CHUNK ? (size_t)(segment->end - at) : REWRITE_CHUNK,
		       got;

		r = disk_read(fd, at, chunk, n, &got);
		if (r == 0 && got < n)
			r = -EIO; /* somebody cut the file meanwhile */
		if (r == 0 && at == 0 && n >= SEGMENT_HEAD_SIZE)
			head_mend(chunk);
		if (r == 0)
			r = disk_write_bytes(fd, at, chunk, n);
		at += n;
	}
	free(chunk);
	return r ? r : disk_sync_file(fd);
}

static int
segment_scan(struct journal *journal, struct segment *segment, int fd, uint64_t bound)
{
	struct scan scan = { .journal = journal, .segment = segment, .open_ended = bound == UINT64_MAX };
	int r, s;

	r = sha256_init(&scan.sha);
	s = reader_init(
	    &scan.reader, fd, segment->seed, bound < segment->size ? bound : segment->size, !scan.open_ended);
	r = r ? r : s;
	if (r == 0)
		r = scan_run(&scan, bound);
	if (r == 0 && scan.open_ended)
		r = rewrite(segment, fd);
	if (r == 0 && scan.open_ended && !scan.torn)
		segment_seal(journal, segment, fd, scan.entries, scan.count, journal->next_seq);
	reader_fini(&scan.reader);
	sha256_fini(&scan.sha);
	free(scan.entries);
	return r;
}

/* Whether something stands where a foot would: a segment that was not sealed has zeros there. */
static int
index_left(int fd, uint64_t size, bool *left)
{
	uint8_t foot[SEGMENT_FOOT_SIZE];
	size_t got = 0;
	int r = 0;

	if (size > sizeof foot)
		r = disk_read(fd, size - sizeof foot, foot, sizeof foot, &got);
	*left = r == 0 && !segment_is_zero(foot, got);
	return r == -EIO ? 0 : r;
}

/* Take one file in as a segment of the list. */
static int
segment_load(struct journal *journal, const struct found *file)
{
	char path[JOURNAL_PATH_MAX];
	struct segment *segment = segment_new();
	const struct segment *before;
	bool loaded = file->voided, sealed = false;
	int r;

	if (!segment)
		return -ENOMEM;
	segment->number = file->number;
	segment->prev_number = file->head.prev_number;
	segment->size = file->size;
	segment->sealed = true;
	segment->voided = file->voided;
	if (file->outcome == SEGMENT_HEAD_OK) {
		memcpy(segment->id, file->head.id, SEGMENT_ID_LEN);
		memcpy(segment->chain, file->head.prev_chain, DIGEST_SHA256_LEN);
		segment->created_us = segment->last_us = file->head.created_us;
		segment->first_seq_hint = file->head.first_seq;
		if (file->head.first_seq > journal->next_seq)
			journal->next_seq = file->head.first_seq;
	}
	if (file->rescued && journal->segment_count > 0) {
		before = journal->segments[journal->segment_count - 1];
		memcpy(segment->chain, before->chain, DIGEST_SHA256_LEN);
	}
	memcpy(segment->signed_chain, segment->chain, DIGEST_SHA256_LEN);
	segment->seed = record_seed(segment->id);
	r = segments_reserve(journal);
	if (r == 0)
		r = journal_path(journal, file->number, path, sizeof path);
	if (r == 0 && !file->voided)
		r = disk_open(path, file->bound == UINT64_MAX ? O_RDWR : O_RDONLY, &segment->fd);
	if (r == 0 && !file->voided)
		r = index_load(journal, segment, segment->fd, file->bound, &loaded);
	if (r == 0 && !loaded) {
		r = index_left(segment->fd, file->size, &sealed);
		if (r == 0)
			r = segment_scan(journal, segment, segment->fd, file->bound);
		/* what was cut behind its foot had index and foot on disk before */
		if (r == 0 && sealed && segment->end + segment_seal_size(segment->records) == file->size)
			quarantine_tell(journal, file->number, segment->end,
			    "the segment's index is damaged; its records are read one by one");
	}
	if (r) {
		segment_free(segment);
		return r;
	}
	if (!segment->finish) {
		disk_close(segment->fd);
		segment->fd = -1;
	}
	segments_add(journal, segment);
	return 0;
}

/* A file with an empty head: made ahead, or left by a first write that never arrived. */
static int
blank_take(struct journal *journal, const struct found *file, bool newest)
{
	char path[JOURNAL_PATH_MAX];
	struct reader reader = { 0 };
	uint64_t end = 0;
	int fd = -1, r;

	r = journal_path(journal, file->number, path, sizeof path);
	if (r == 0)
		r = disk_open(path, O_RDWR, &fd);
	if (r == 0)
		r = reader_init(&reader, fd, 0, file->size, false);
	if (r == 0)
		r = reader_last_byte(&reader, 0, file->size, &end);
	reader_fini(&reader);
	if (r == 0 && end > 0) {
		quarantine_region(
		    journal, fd, file->number, 0, file->size, "a first write that did not arrive whole");
	} else if (r == 0 && newest && file->size == journal->options.segment_size) {
		journal->ahead = (struct ahead){
			.state = AHEAD_READY, .fd = fd, .number = file->number, .size = file->size
		};
		return 0;
	} else if (r == 0) {
		r = disk_unlink(path); /* zeros of no use */
	}
	disk_close(fd);
	return r;
}

static int
reserve_find(struct journal *journal)
{
	char path[JOURNAL_PATH_MAX];
	uint64_t size = 0;
	int fd = -1, n, r;

	n = snprintf(path, sizeof path, "%s/reserve", journal->directory);
	if (n < 0 || (size_t)n >= sizeof path)
		return -ENAMETOOLONG;
	r = disk_open(path, O_RDONLY, &fd);
	if (r)
		return r == -ENOENT ? 0 : r;
	r = disk_size(fd, &size);
	disk_close(fd);
	if (r == 0 && size == journal->options.reserve)
		journal->reserve_ready = size > 0;
	else if (r == 0)
		r = disk_unlink(path);
	return r;
}

static int
files_take(struct journal *journal, struct found_list *list)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < list->count; i++) {
		struct found *file = &list->files[i];

		if (file->number >= journal->next_number)
			journal->next_number = file->number + 1;
		if (file->outcome == SEGMENT_HEAD_BLANK && !file->voided)
			r = blank_take(journal, file, i + 1 == list->count);
		if (r == 0 && (file->outcome == SEGMENT_HEAD_OK || file->voided))
			r = segment_load(journal, file);
	}
	return r;
}

static void
recovered_tell(const struct journal *journal, uint64_t took_us)
{
	struct log_line line;
	uint64_t records = 0;

	for (size_t i = 0; i < journal->segment_count; i++)
		records += journal->segments[i]->records;
	log_begin(&line, EVENT_RECOVERED);
	log_u64(&line, "segments", journal->segment_count);
	log_u64(&line, "records", records);
	log_u64(&line, "last", journal->committed_seq);
	log_u64(&line, "quarantined", journal->quarantined);
	log_u64(&line, "ms", took_us / 1000);
	log_commit(&line);
}

int
recovery_run(struct journal *journal, journal_replay_fn *replay, void *arg)
{
	struct found_list list = { 0 };
	uint64_t began = clock_mono_us(), newest = 0;
	int r;

	r = found_read(journal, &list);
	if (r == 0)
		r = files_take(journal, &list);
	if (r == 0)
		r = reserve_find(journal);
	if (r ==
	    0) /* who was killed may have left names that are not on disk: a segment made ahead, the reserve */
		r = disk_sync_directory(journal->directory);
	free(list.files);
	if (r)
		return r;
	for (size_t i = 0; i < journal->segment_count; i++) {
		const struct segment *segment = journal->segments[i];
		const struct index_list *lists[2] = { &segment->index.born, &segment->index.carried };

		if (segment->last_us > newest)
			newest = segment->last_us;
		for (size_t k = 0; k < 2; k++)
			if (lists[k]->count > 0 &&
			    lists[k]->entries[lists[k]->count - 1].seq > journal->committed_seq)
				journal->committed_seq = lists[k]->entries[lists[k]->count - 1].seq;
	}
	if (journal->committed_seq >= journal->next_seq)
		journal->next_seq = journal->committed_seq + 1;
	journal_clock_init(&journal->clock, newest);
	r = recovery_replay(journal, replay, arg);
	if (r == 0)
		recovered_tell(journal, clock_mono_us() - began);
	return r;
}
