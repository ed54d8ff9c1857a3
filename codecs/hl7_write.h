/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copying a message with some places set anew. Every byte that no edit names stays as it was: ends of segments, trailing
 * separators, escapes, empty lines. No edits: the same bytes.
 *
 * Values are raw: escaped already (codecs/hl7_escape.h), they may hold the separators that stand below their place (a whole
 * field: repetitions and components; a component: sub-components) and no others. Segments are neither made nor removed.
 */
#pragma once

#include <stddef.h>

#include "codecs/arena.h"
#include "codecs/buffer.h"
#include "codecs/hl7.h"
#include "codecs/hl7_path.h"

#define HL7_WRITE_NUMBER_MAX                                                                                 \
	4096u /* greatest field, repetition, component or sub-component set: missing ones are made */

struct hl7_edit {
	struct hl7_path path; /* with a field */
	struct span value;    /* empty: the place becomes empty (and is not made when it is not there) */
};

enum hl7_write_outcome {
	HL7_WRITE_OK = 0,
	HL7_WRITE_NO_SEGMENT, /* the path's segment is not in the message */
	HL7_WRITE_BAD_PLACE,  /* no field, MSH-1 or MSH-2, or a number past HL7_WRITE_NUMBER_MAX */
	HL7_WRITE_BAD_VALUE,  /* holds a separator of its own level or above, or CR, LF, VT, FS, NUL */
	HL7_WRITE_MEMORY,     /* ${out} or ${scratch} reached its ceiling, or no memory */
};

/*
 * Append ${m} to ${out} with the ${count} ${edits} done in the order given (a later one sees what an earlier one made).
 * Memory for the work comes from ${scratch}. ${bad} (may be NULL) gets the index of the edit at fault. After anything but
 * HL7_WRITE_OK ${out} has what it had before, or has failed.
 */
enum hl7_write_outcome hl7_write(struct buffer *out, const struct hl7_message *m,
    const struct hl7_edit *edits, size_t count, struct arena *scratch, size_t *bad)
    __attribute__((warn_unused_result));
