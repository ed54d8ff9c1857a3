/* SPDX-License-Identifier: Apache-2.0 */
/* What somebody does to a file of the trace: cuts it, turns a bit, deletes it, or puts another's content in its place. */
#pragma once

#include "tests/unit/journal_rig.h"

/* Any one of them, as the numbers of ${state} have it; nothing when there is no file. */
void trace_harm(struct rig *rig, uint64_t *state);
