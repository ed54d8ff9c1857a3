/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A memory of what was refused lately, so that a partner whose certificate has expired and whose system tries again every second makes
 * a few lines a minute and not thousands. Only lines are spared: each refusal is still counted by its caller. Bounded: a newer refusal takes the
 * place of an older one, which may then be told once too often, never once too few.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define REFUSALS_KEPT	  64
#define REFUSALS_TOLD	  4 /* a minute: enough to see whether it is one try or many */
#define REFUSALS_AGAIN_US (UINT64_C(60) * 1000000)

struct refusals {
	struct {
		uint64_t key, since_us, told, again;
	} at[REFUSALS_KEPT]; /* all zeros: empty */
};

/* A key for "the same refusal": who (without a port, which changes at every try), why, and what certificate ("" when there is none). */
uint64_t refusals_key(const char *address, const char *reason, const char *serial);

/*
 * Whether the refusal ${key} at ${now_us} (monotonic) is to be told: the first REFUSALS_TOLD of a minute are. *${againp}: how many like it
 * were not told in the minute before, with the first one after it.
 */
bool refusals_tell(struct refusals *refusals, uint64_t key, uint64_t now_us, uint64_t *againp);
