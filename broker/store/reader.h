/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a segment file from front to back through a window, and finding the next record, also behind damage.
 *
 * Bodies are never held: their checksums are taken window by window. Not for two threads at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/store/record.h"
#include "codecs/digest.h"
#include "codecs/span.h"

struct reader {
	int fd; /* not owned */
	uint32_t seed;
	uint64_t limit; /* nothing behind is looked at */
	bool around;	/* what the disk cannot give reads as zeros; else it is -EIO */
	uint8_t *window;
	size_t cap;
	uint64_t at; /* what the window holds: bytes [at, at + len) */
	size_t len;
};

enum reader_step {
	READER_RECORD = 0,
	READER_END,    /* zeros, an index, or the limit */
	READER_DAMAGE, /* bytes that are no record, up to the next one or to the limit */
};

enum {
	READER_SHORT = 1, /* the file ends before */
};

/*
 * ${seed}: record_seed of the segment; ${around}: read around bad sectors, for segments whose end is known. Allocates a window. 0 or
 * -ENOMEM.
 */
int reader_init(struct reader *reader, int fd, uint32_t seed, uint64_t limit, bool around)
    __attribute__((warn_unused_result));
void reader_fini(struct reader *reader);

/* ${len} bytes at ${offset}, valid until the next call. 0, READER_SHORT (also past the limit), -errno. */
int reader_get(struct reader *reader, uint64_t offset, size_t len, const uint8_t **bytesp)
    __attribute__((warn_unused_result));

/*
 * What stands at *${offset}. A record: its header, its encoded bytes (may be NULL), and *${offset} stays. Damage: *${offset} moves to
 * the next record or the limit. 0 with *${step} set, or -errno.
 */
int reader_step(struct reader *reader, uint64_t *offset, enum reader_step *step, struct record_header *header,
    uint8_t encoded[static RECORD_HEADER_SIZE]) __attribute__((warn_unused_result));

/* Whether facts and decision of the record at ${offset} match their checksum. 0 with *${ok} set, or -errno. */
int reader_check_front(struct reader *reader, uint64_t offset, const struct record_header *header, bool *ok)
    __attribute__((warn_unused_result));
int reader_check_body(struct reader *reader, uint64_t offset, const struct record_header *header, bool *ok)
    __attribute__((warn_unused_result));

/* Give bytes [offset, offset + len) to ${sha}. 0, READER_SHORT or -errno. */
int reader_hash(struct reader *reader, uint64_t offset, uint64_t len, struct sha256 *sha)
    __attribute__((warn_unused_result));

/* Where the last byte that is not zero stands in [from, to), plus 1; ${from} when all are zero. 0 or -errno. */
int reader_last_byte(struct reader *reader, uint64_t from, uint64_t to, uint64_t *endp)
    __attribute__((warn_unused_result));
