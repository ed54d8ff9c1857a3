/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Damage is copied aside and told, never repaired and never dropped: the segment keeps its bytes as well.
 *
 * File names hold a segment number and an offset, nothing of the content. A region found again is told again, not copied twice.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/base/log.h"
#include "broker/store/disk.h"
#include "broker/store/journal_private.h"

#define COPY_CHUNK ((size_t)64 << 10)

static int
copy_region(int from_fd, int to_fd, uint64_t from, uint64_t to)
{
	uint8_t *chunk = malloc(COPY_CHUNK);
	uint64_t at = 0;
	size_t unreadable = 0; /* zeros in the copy: there is nothing better */
	int r = chunk ? 0 : -ENOMEM;

	while (r == 0 && from < to) {
		size_t n = to - from < COPY_CHUNK ? (size_t)(to - from) : COPY_CHUNK, got;

		r = disk_read_around(from_fd, from, chunk, n, &got, &unreadable);
		if (r == 0)
			r = disk_write_bytes(to_fd, at, chunk, got);
		if (got == 0)
			break;
		from += got;
		at += got;
	}
	free(chunk);
	return r ? r : disk_sync_file(to_fd);
}

static void
tell(uint32_t number, uint64_t offset, uint64_t bytes, const char *file, const char *why, int error)
{
	struct log_line line;

	log_begin(&line, EVENT_QUARANTINED);
	log_u64(&line, "segment", number);
	log_u64(&line, "offset", offset);
	log_u64(&line, "bytes", bytes);
	log_text(&line, "why", why);
	if (file)
		log_text(&line, "file", file);
	if (error)
		log_errno(&line, error);
	log_commit(&line);
}

void
quarantine_tell(struct journal *journal, uint32_t number, uint64_t offset, const char *why)
{
	(void)journal;
	tell(number, offset, 0, NULL, why, 0);
}

void
quarantine_region(
    struct journal *journal, int fd, uint32_t number, uint64_t from, uint64_t to, const char *why)
{
	char path[JOURNAL_PATH_MAX], name[64];
	struct reader reader;
	uint64_t end = to;
	bool room;
	int out = -1, r;

	/* zeros behind the last byte of a torn tail are not worth a copy; a hole of nothing but zeros is told alone */
	r = reader_init(&reader, fd, 0, to, true);
	if (r == 0) {
		r = reader_last_byte(&reader, from, to, &end);
		reader_fini(&reader);
	}
	if (r == 0 && end == from) {
		tell(number, from, 0, NULL, why, 0);
		return;
	}
	if (r)
		end = to;
	pthread_mutex_lock(&journal->lock);
	room = journal->quarantined < QUARANTINE_FILES;
	pthread_mutex_unlock(&journal->lock);
	snprintf(name, sizeof name, "%010u-%012llu.bin", number, (unsigned long long)from);
	if (room) {
		int n = snprintf(path, sizeof path, "%s/%s", journal->quarantine, name);

		r = n < 0 || (size_t)n >= sizeof path ? -ENAMETOOLONG : 0;
		if (r == 0)
			r = disk_open(path, O_WRONLY | O_CREAT | O_EXCL, &out);
		if (r == 0)
			r = copy_region(
			    fd, out, from, end - from > QUARANTINE_BYTES ? from + QUARANTINE_BYTES : end);
		if (r == 0)
			r = disk_sync_directory(journal->quarantine);
		if (r == 0) {
			pthread_mutex_lock(&journal->lock);
			journal->quarantined++;
			pthread_mutex_unlock(&journal->lock);
		}
		disk_close(out);
		if (r && out >= 0)
			disk_discard(path); /* half a copy would pass for a whole one */
	} else {
		r = -EDQUOT;
	}
	tell(number, from, end - from, name, why, r == -EEXIST ? 0 : r);
}
