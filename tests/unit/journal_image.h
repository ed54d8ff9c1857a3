/* SPDX-License-Identifier: Apache-2.0 */
/* A small journal on disk, and one segment of it in memory, to be damaged and put back. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "broker/store/record.h"
#include "tests/unit/journal_rig.h"

#define FEW	   6
#define SMALL	   90 /* bytes of body: sweeps touch every byte */
#define SMALL_FILE (16 << 10)

/* One segment file in memory, and where its records lie. */
struct image {
	uint8_t *bytes;
	size_t len;
	uint64_t from[FEW + 1], to[FEW + 1]; /* of record n */
	uint32_t seed;
};

void image_load(struct image *image, const struct rig *rig, unsigned number);
void image_save(const struct image *image, const struct rig *rig, unsigned number);
void image_free(struct image *image);

/* The header of record n, to be changed and put back with right checksums. */
void image_header(const struct image *image, unsigned n, struct record_header *header);
void image_reseal(struct image *image, unsigned n, struct record_header *header);

/* ${kept}: a journal of FEW small records, closed; ${killed}: as it lay on disk while it was open. Faults are installed. */
void few_make(struct rig *kept, struct rig *killed);
void few_drop(struct rig *kept, struct rig *killed);

/* journal_verify; its report must hold ${expect}, unless that is NULL. */
int image_verify(struct rig *rig, const char *expect);

/* A replay function: sets bit n of the uint64_t for sequence n. */
int image_replayed(void *arg, const struct record *record);
