/* SPDX-License-Identifier: Apache-2.0 */
/* See reader.h. */
#include "broker/store/reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker/store/bytes.h"
#include "broker/store/disk.h"
#include "broker/store/segment.h"

#define READER_WINDOW ((size_t)256 << 10)

int
reader_init(struct reader *reader, int fd, uint32_t seed, uint64_t limit, bool around)
{
	*reader =
	    (struct reader){ .fd = fd, .seed = seed, .limit = limit, .around = around, .cap = READER_WINDOW };
	reader->window = malloc(reader->cap);
	return reader->window ? 0 : -ENOMEM;
}

void
reader_fini(struct reader *reader)
{
	free(reader->window);
	reader->window = NULL;
}

static int
window_grow(struct reader *reader, size_t len)
{
	uint8_t *window;

	if (len <= reader->cap)
		return 0;
	window = realloc(reader->window, len);
	if (!window)
		return -ENOMEM;
	reader->window = window;
	reader->cap = len;
	return 0;
}

int
reader_get(struct reader *reader, uint64_t offset, size_t len, const uint8_t **bytesp)
{
	size_t want, unreadable = 0;
	int r;

	if (offset > reader->limit || len > reader->limit - offset)
		return READER_SHORT;
	if (offset < reader->at || offset + len > reader->at + reader->len) {
		r = window_grow(reader, len);
		if (r)
			return r;
		want = reader->cap;
		if (want > reader->limit - offset)
			want = (size_t)(reader->limit - offset);
		reader->at = offset;
		reader->len = 0;
		if (reader->around)
			r = disk_read_around(
			    reader->fd, offset, reader->window, want, &reader->len, &unreadable);
		else
			r = disk_read(reader->fd, offset, reader->window, want, &reader->len);
		if (r)
			return r;
		if (reader->len < len)
			return READER_SHORT;
	}
	*bytesp = reader->window + (offset - reader->at);
	return 0;
}

static int
header_at(struct reader *reader, uint64_t offset, struct record_header *header, bool *found)
{
	const uint8_t *bytes;
	int r = reader_get(reader, offset, RECORD_HEADER_SIZE, &bytes);

	*found = r == 0 && record_decode(bytes, reader->seed, offset, header);
	return r < 0 ? r : 0;
}

/* Behind damage: the next aligned place from ${offset} on where a header is whole, or the limit. */
static int
resync(struct reader *reader, uint64_t offset, uint64_t *foundp)
{
	struct record_header header;
	const uint8_t *bytes;
	bool found;
	int r;

	for (; offset + RECORD_HEADER_SIZE <= reader->limit; offset += RECORD_ALIGN) {
		r = reader_get(reader, offset, 4, &bytes);
		if (r == READER_SHORT)
			break;
		if (r)
			return r;
		if (bytes_get32(bytes) != RECORD_MAGIC)
			continue;
		r = header_at(reader, offset, &header, &found);
		if (r)
			return r;
		if (found) {
			*foundp = offset;
			return 0;
		}
	}
	*foundp = reader->limit;
	return 0;
}

int
reader_step(struct reader *reader, uint64_t *offset, enum reader_step *step, struct record_header *header,
    uint8_t encoded[static RECORD_HEADER_SIZE])
{
	const uint8_t *bytes;
	uint64_t next, end;
	int r;

	*step = READER_END;
	if (*offset >= reader->limit)
		return 0;
	r = reader_get(reader, *offset, RECORD_HEADER_SIZE, &bytes);
	if (r < 0)
		return r;
	if (r == 0 && record_decode(bytes, reader->seed, *offset, header) &&
	    record_length(header) <= reader->limit - *offset) {
		memcpy(encoded, bytes, RECORD_HEADER_SIZE);
		*step = READER_RECORD;
		return 0;
	}
	if (reader_get(reader, *offset, SEGMENT_INDEX_HEAD, &bytes) == 0 && segment_is_index(bytes))
		return 0;
	r = resync(reader, *offset + RECORD_ALIGN, &next);
	if (r)
		return r;
	if (next == reader->limit) {
		r = reader_last_byte(reader, *offset, reader->limit, &end);
		if (r || end == *offset)
			return r;
	}
	*offset = next;
	*step = READER_DAMAGE;
	return 0;
}

static int
crc_of(struct reader *reader, uint64_t offset, uint64_t len, uint32_t *crc)
{
	const uint8_t *bytes;
	int r;

	while (len > 0) {
		size_t n = len < READER_WINDOW ? (size_t)len : READER_WINDOW;

		r = reader_get(reader, offset, n, &bytes);
		if (r)
			return r;
		*crc = digest_crc32c(*crc, span_make(bytes, n));
		offset += n;
		len -= n;
	}
	return 0;
}

static int
check(struct reader *reader, uint64_t offset, uint64_t len, uint32_t want, bool *ok)
{
	uint32_t crc = reader->seed;
	int r = crc_of(reader, offset, len, &crc);

	*ok = r == 0 && crc == want;
	return r < 0 ? r : 0;
}

int
reader_check_front(struct reader *reader, uint64_t offset, const struct record_header *header, bool *ok)
{
	return check(reader, offset + RECORD_HEADER_SIZE, (uint64_t)header->facts_len + header->decision_len,
	    header->front_crc, ok);
}

int
reader_check_body(struct reader *reader, uint64_t offset, const struct record_header *header, bool *ok)
{
	return check(reader, offset + record_body_at(header), header->body_len, header->body_crc, ok);
}

int
reader_hash(struct reader *reader, uint64_t offset, uint64_t len, struct sha256 *sha)
{
	const uint8_t *bytes;
	int r;

	while (len > 0) {
		size_t n = len < READER_WINDOW ? (size_t)len : READER_WINDOW;

		r = reader_get(reader, offset, n, &bytes);
		if (r)
			return r;
		sha256_update(sha, span_make(bytes, n));
		offset += n;
		len -= n;
	}
	return 0;
}

int
reader_last_byte(struct reader *reader, uint64_t from, uint64_t to, uint64_t *endp)
{
	const uint8_t *bytes;
	int r;

	*endp = from;
	while (from < to) {
		size_t n = to - from < READER_WINDOW ? (size_t)(to - from) : READER_WINDOW;

		r = reader_get(reader, from, n, &bytes);
		if (r == READER_SHORT) { /* the file ends inside: go on with what is there */
			n = from >= reader->at && reader->at + reader->len > from
				? (size_t)(reader->at + reader->len - from)
				: 0;
			if (n == 0)
				return 0;
			bytes = reader->window + (from - reader->at);
		} else if (r) {
			return r;
		}
		for (size_t i = n; i > 0 && !segment_is_zero(bytes, n); i--)
			if (bytes[i - 1]) {
				*endp = from + i;
				break;
			}
		from += n;
	}
	return 0;
}
