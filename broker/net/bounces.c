/* SPDX-License-Identifier: Apache-2.0 */
/* A bucket of lines: see bounces.h. */
#include "broker/net/bounces.h"

bool
bounces_tell(struct bounces *bounces, uint64_t now_us)
{
	if (bounces->paid_us < now_us)
		bounces->paid_us = now_us;
	if (bounces->paid_us - now_us <= (BOUNCES_AT_ONCE - 1) * BOUNCES_ONE_US) {
		bounces->paid_us += BOUNCES_ONE_US;
		return true;
	}
	if (bounces->spared++ == 0)
		bounces->spared_us = now_us;
	return false;
}

uint64_t
bounces_take(struct bounces *bounces)
{
	uint64_t spared = bounces->spared;

	bounces->spared = 0;
	return spared;
}

uint64_t
bounces_owed(struct bounces *bounces, uint64_t now_us)
{
	return bounces->spared && now_us - bounces->spared_us >= BOUNCES_OWED_US ? bounces_take(bounces) : 0;
}
