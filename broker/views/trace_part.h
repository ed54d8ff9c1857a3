/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A part of the trace: the rows of one segment of the journal, or of a slice of a large one. It grows in memory, where its follower fills it,
 * and is then written once, as a file that is never changed: conf/doc/trace.md.
 *
 * A file is believed block by block: each has its checksum, seeded with the segment's id and the block's place, and is checked whenever it
 * is read. Who holds a part (trace_part_ref) may read it whatever becomes of it meanwhile; files are read by one thread at a time.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/store/follow.h"
#include "broker/views/trace_names.h"
#include "broker/views/trace_row.h"

#ifndef TRACE_SLICE_ROWS	    /* a test makes them few */
#define TRACE_SLICE_ROWS (1u << 18) /* of one part: what is held in memory is bounded by it, about 12 MB */
#define TRACE_CHUNK_ROWS 4096u
#endif
#define TRACE_HEADS	 (1u << 15)
#define TRACE_BLOCK	 4096u
#define TRACE_BLOCK_ROOM (TRACE_BLOCK - 4) /* before the checksum */

/* What is known of a part without reading it. */
struct trace_brief {
	uint64_t first_seq, last_seq;	  /* of records born here; 0: none */
	uint64_t first_us, last_us;	  /* of the same */
	uint64_t least_ref, greatest_ref; /* 0: none */
	uint64_t seen;			  /* the newest sequence of all */
	uint32_t born, carried;		  /* rows */
	uint32_t controls, refs, dead;	  /* rows that have one, or are one */
	uint32_t refused;		  /* messages that were not accepted */
};

/* The rows as they lie in the journal, born and carried. */
struct trace_chunk {
	struct trace_row rows[TRACE_CHUNK_ROWS];
	uint32_t links[TRACE_CHUNK_ROWS]; /* the row before of the same hash of ref, plus 1 */
};

struct trace_memory {
	struct trace_chunk *chunks[TRACE_SLICE_ROWS / TRACE_CHUNK_ROWS];
	_Atomic uint32_t heads[TRACE_HEADS]; /* the newest row of that hash of ref, plus 1 */
	struct trace_brief brief;	     /* as filled; the part's own is as published */
};

enum trace_section {
	TRACE_ROWS,	/* born ones by sequence, then carried ones by sequence */
	TRACE_CONTROLS, /* hash, row: ascending */
	TRACE_REFS,	/* ref, row: ascending */
	TRACE_DEAD,	/* place, ref, row: ascending */
	TRACE_REMOVED,	/* numbers of segments whose removal is recorded here */
	TRACE_TEXTS,	/* bytes: names, kinds */
	TRACE_SECTIONS,
};

struct trace_part {
	atomic_uint users;
	uint32_t number, slice; /* of the segment; from 0 */
	uint8_t id[16];		/* of the segment */
	uint64_t begin, end;	/* offsets in the segment: its records lie there */
	struct trace_brief brief;
	struct trace_names names, kinds;
	uint32_t *removed;
	size_t removed_count, removed_cap;
	struct trace_memory *memory; /* NULL: it is a file */

	/* Of a file */
	char *path;
	int fd; /* -1: not open now */
	uint64_t used;
	uint32_t seed;
	uint32_t counts[TRACE_SECTIONS]; /* entries; bytes of the texts */
	uint32_t first[TRACE_SECTIONS];	 /* blocks */
	uint32_t names_size;
	bool loaded;	    /* names and kinds are read */
	atomic_bool broken; /* found damaged or gone: to be made anew */
};

/* An empty part that grows in memory. 0 or -ENOMEM. */
int trace_part_new(struct trace_part **partp, const struct journal_segment *segment, uint32_t slice,
    uint64_t begin) __attribute__((warn_unused_result));
void trace_part_ref(struct trace_part *part);
void trace_part_unref(struct trace_part *part); /* NULL is harmless */

/* Add a row, or note a removal; there must be room (trace_part_full). Nobody sees it before trace_part_publish. 0 or -ENOMEM. */
int trace_part_add(struct trace_part *part, const struct trace_row *row) __attribute__((warn_unused_result));
int trace_part_removed(struct trace_part *part, uint32_t number) __attribute__((warn_unused_result));
bool trace_part_full(const struct trace_part *part);

/* What has been added is to be seen from now on: under the lock that guards part->brief. */
void trace_part_publish(struct trace_part *part);

/* Row ${index} of one in memory, as it lies in the journal. */
const struct trace_row *trace_memory_row(const struct trace_memory *memory, uint32_t index);

/* Rows of one in memory that are about ${ref}, newest first, ${count} of them being seen: the next behind *${at} (from 0), NULL at the end. */
const struct trace_row *trace_memory_ref(
    const struct trace_memory *memory, uint64_t ref, uint32_t count, uint32_t *at);

/*
 * trace_file.c: reading.
 */
enum {
	TRACE_FOREIGN =
	    1, /* there is no such file, or it is not that slice's of that segment, or damaged: *${damaged} */
};

/* The part that stands in ${path}: its head is read. 0, TRACE_FOREIGN, -errno. */
int trace_file_open(struct trace_part **partp, const char *path, const struct journal_segment *segment,
    uint32_t slice, uint64_t begin, bool *damaged) __attribute__((warn_unused_result));

struct trace_block {
	const struct trace_part *part; /* whose; NULL: none read yet */
	uint32_t number;
	uint8_t bytes[TRACE_BLOCK];
};

/* Entry ${index} of a section, read into ${block} unless it is there already. 0, -EUCLEAN (damaged), -errno. */
int trace_file_entry(struct trace_part *part, enum trace_section section, uint32_t index,
    struct trace_block *block, const uint8_t **entryp) __attribute__((warn_unused_result));

/* Names and kinds, if they are not there yet. */
int trace_file_load(struct trace_part *part) __attribute__((warn_unused_result));
void trace_file_close(struct trace_part *part);

/* The layout, shared with the writer: bytes of an entry, blocks of a section, the seed of checksums. */
#define TRACE_FILE_VERSION 1
uint32_t trace_section_size(enum trace_section section);
uint32_t trace_section_blocks(enum trace_section section, uint32_t count);
uint32_t trace_block_crc(const uint8_t *block, uint32_t seed, uint32_t number);

/* trace_write.c: what ${part} holds in memory, to ${path}, whole or not at all. 0 or -errno. */
int trace_file_write(const struct trace_part *part, const char *path) __attribute__((warn_unused_result));
