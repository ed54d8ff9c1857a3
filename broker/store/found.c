/* SPDX-License-Identifier: Apache-2.0 */
/* See found.h. */
#include "broker/store/found.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "broker/store/disk.h"
#include "broker/store/journal_private.h"

#define NAME_DIGITS 10

static int
found_add(struct found_list *list, uint32_t number)
{
	struct found *files;

	if (list->count == list->cap) {
		list->cap = list->cap ? 2 * list->cap : 64;
		files = reallocarray(list->files, list->cap, sizeof *files);
		if (!files)
			return -ENOMEM;
		list->files = files;
	}
	list->files[list->count++] = (struct found){ .number = number, .bound = UINT64_MAX };
	return 0;
}

static int
found_compare(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	return x->number < y->number ? -1 : x->number > y->number;
}

static bool
segment_name(const char *name, uint32_t *number)
{
	char *end;
	unsigned long long value;

	if (strlen(name) != NAME_DIGITS + 4 || strcmp(name + NAME_DIGITS, ".seg") != 0 ||
	    strspn(name, "0123456789") != NAME_DIGITS)
		return false;
	value = strtoull(name, &end, 10);
	*number = (uint32_t)value;
	return value > 0 && value < UINT32_MAX;
}

static int
directory_read(struct journal *journal, struct found_list *list)
{
	char path[JOURNAL_PATH_MAX + 256];
	struct dirent *entry;
	uint32_t number;
	DIR *dir;
	int r = 0;

	dir = opendir(journal->directory);
	if (!dir)
		return -errno;
	while (r == 0) {
		size_t len;

		errno = 0;
		entry = readdir(dir);
		if (!entry) {
			r = -errno;
			break;
		}
		len = strlen(entry->d_name);
		if (segment_name(entry->d_name, &number)) {
			r = found_add(list, number);
		} else if (len > 4 && strcmp(entry->d_name + len - 4, ".tmp") == 0) {
			snprintf(path, sizeof path, "%s/%s", journal->directory, entry->d_name);
			disk_discard(path); /* zeros that were being made */
		}
	}
	closedir(dir);
	if (r == 0 && list->count > 0)
		qsort(list->files, list->count, sizeof *list->files, found_compare);
	return r;
}

static int
head_read(struct journal *journal, struct found *file)
{
	uint8_t block[SEGMENT_HEAD_SIZE] = { 0 };
	char path[JOURNAL_PATH_MAX];
	int copies, fd = -1, r;
	size_t got;

	r = journal_path(journal, file->number, path, sizeof path);
	if (r == 0)
		r = disk_open(path, O_RDONLY, &fd);
	if (r == 0)
		r = disk_size(fd, &file->size);
	if (r) { /* not a damaged head: nothing is known of this file, and a start without it would miss its records */
		disk_close(fd);
		return r;
	}
	r = disk_read(fd, 0, block, sizeof block, &got);
	disk_close(fd);
	file->outcome = SEGMENT_HEAD_BAD;
	if (r)
		return r == -EIO ? 0 : r; /* a bad sector: as good as a damaged head */
	file->outcome = segment_head_decode(block, &file->head, &copies);
	if (file->outcome == SEGMENT_HEAD_OK && file->head.number != file->number)
		file->outcome = SEGMENT_HEAD_BAD; /* somebody renamed it */
	if (file->outcome == SEGMENT_HEAD_OK && copies < 2)
		quarantine_tell(journal, file->number, 0, "one copy of the segment's head is damaged");
	if (file->outcome == SEGMENT_HEAD_OK && !segment_head_clear(block))
		quarantine_tell(journal, file->number, 0, "bytes of the segment's head that nobody writes");
	return 0;
}

static struct found *
found_by_number(struct found_list *list, uint32_t number)
{
	for (size_t i = 0; i < list->count; i++)
		if (list->files[i].number == number)
			return &list->files[i];
	return NULL;
}

/* From the newest head backwards: who is whose predecessor, where it ends, what is void. */
static void
heads_link(struct journal *journal, struct found_list *list)
{
	uint32_t limit = UINT32_MAX; /* files numbered at or above it were looked at */

	for (size_t i = list->count; i-- > 0;) {
		struct found *file = &list->files[i], *prev;

		if (file->number >= limit || file->outcome != SEGMENT_HEAD_OK)
			continue;
		for (size_t k = i; k-- > 0 && list->files[k].number > file->head.prev_number;)
			list->files[k].voided = true;
		limit = file->head.prev_number + 1;
		prev = file->head.prev_number ? found_by_number(list, file->head.prev_number) : NULL;
		if (!prev)
			continue;
		if (prev->outcome == SEGMENT_HEAD_BAD || prev->outcome == SEGMENT_HEAD_BLANK) {
			/* its id is known from here; of its own predecessor only that it is the next one down */
			prev->rescued = true;
			prev->outcome = SEGMENT_HEAD_OK;
			prev->head = (struct segment_head){ .number = prev->number };
			memcpy(prev->head.id, file->head.prev_id, SEGMENT_ID_LEN);
			memcpy(prev->head.secret, file->head.secret, SEGMENT_ID_LEN);
			for (struct found *down = prev; down-- > list->files;)
				if (down->outcome == SEGMENT_HEAD_OK) {
					prev->head.prev_number = down->number;
					break;
				}
			quarantine_tell(
			    journal, prev->number, 0, "the segment's head is damaged; its records are read");
		}
		if (memcmp(prev->head.id, file->head.prev_id, SEGMENT_ID_LEN) == 0 && !prev->voided)
			prev->bound = file->head.prev_end;
	}
}

/* One secret, no foreign version, no unreadable head where acknowledged records may lie. */
static int
heads_check(struct journal *journal, const struct found_list *list)
{
	const struct found *first = NULL;

	for (size_t i = 0; i < list->count; i++) {
		const struct found *file = &list->files[i];

		if (file->outcome == SEGMENT_HEAD_FORMAT ||
		    (file->outcome == SEGMENT_HEAD_BAD && !file->voided)) {
			quarantine_tell(journal, file->number, 0,
			    file->outcome == SEGMENT_HEAD_FORMAT
				? "a format version this program does not know"
				: "the head is unreadable");
			return JOURNAL_FORMAT;
		}
		if (file->outcome != SEGMENT_HEAD_OK || file->rescued)
			continue;
		if (!first)
			first = file;
		else if (memcmp(first->head.secret, file->head.secret, SEGMENT_ID_LEN) != 0)
			return JOURNAL_FORMAT; /* a segment of another journal */
	}
	if (first)
		memcpy(journal->secret, first->head.secret, SEGMENT_ID_LEN);
	else if (getrandom(journal->secret, SEGMENT_ID_LEN, 0) != SEGMENT_ID_LEN)
		return -EIO;
	return 0;
}

int
found_read(struct journal *journal, struct found_list *list)
{
	int r = directory_read(journal, list);

	for (size_t i = 0; r == 0 && i < list->count; i++)
		r = head_read(journal, &list->files[i]);
	if (r)
		return r;
	heads_link(journal, list);
	return heads_check(journal, list);
}
