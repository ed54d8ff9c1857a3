/* SPDX-License-Identifier: Apache-2.0 */
/* Hysteresis: see changes.h. */
#include "broker/net/changes.h"

#include <string.h>

/* Whether the change at ${now_us} is the ${many}th within ${us}. */
static bool
crowded(const struct changes *changes, unsigned many, uint64_t us, uint64_t now_us)
{
	uint64_t first_us = changes->past_us[many - 2];

	return first_us && now_us - first_us <= us;
}

static enum changes_tell
begin_flapping(struct changes *changes, unsigned many, bool slow)
{
	changes->flapping = true;
	changes->slow = slow;
	changes->count = many;
	changes->flapping_us = changes->past_us[many - 2];
	return CHANGES_FLAPPING;
}

enum changes_tell
changes_take(struct changes *changes, bool down, uint64_t now_us)
{
	if (changes->down == down)
		return CHANGES_SAME;
	changes->down = down;
	changes->since_us = now_us;
	if (changes->flapping) {
		changes->count++;
		return CHANGES_DAMPED;
	}
	if (crowded(changes, CHANGES_FAST, CHANGES_FAST_US, now_us))
		return begin_flapping(changes, CHANGES_FAST, false);
	if (crowded(changes, CHANGES_SLOW, CHANGES_SLOW_US, now_us))
		return begin_flapping(changes, CHANGES_SLOW, true);
	changes->count = 0;
	memmove(&changes->past_us[1], &changes->past_us[0], sizeof(changes->past_us) - sizeof(uint64_t));
	changes->past_us[0] = now_us;
	return CHANGES_TELL;
}

bool
changes_calm(struct changes *changes, uint64_t now_us)
{
	uint64_t still_us = changes->slow ? CHANGES_SLOW_STILL_US : CHANGES_FAST_STILL_US;

	if (!changes->flapping || now_us - changes->since_us < still_us)
		return false;
	changes->flapping = false;
	memset(changes->past_us, 0, sizeof(changes->past_us));
	return true;
}
