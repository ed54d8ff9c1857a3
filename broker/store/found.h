/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of journal/ as a start finds them: their heads, who follows whom, where each ends, what is void.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/store/segment.h"

struct journal;

/* A file named like a segment. */
struct found {
	uint32_t number;
	enum segment_head_outcome outcome;
	struct segment_head head;
	uint64_t size;
	uint64_t bound; /* where the next head says that its records end; UINT64_MAX: nobody says */
	bool voided;	/* numbered between a segment and the one it names as the one before */
	bool rescued;	/* its own head is lost, the next one names its id */
};

struct found_list {
	struct found *files;
	size_t count, cap;
};

/*
 * List the segment files of ${journal}, ascending, link their heads and take the journal's secret from them (or make one). Removes
 * half-made files of zeros. ${list} begins as zeros; its files are the caller's to free, also after a failure. 0, -errno or JOURNAL_FORMAT:
 * a foreign version, another journal's segment, or no readable head where acknowledged records may lie.
 */
int found_read(struct journal *journal, struct found_list *list) __attribute__((warn_unused_result));
