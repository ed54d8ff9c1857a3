/* SPDX-License-Identifier: Apache-2.0 */
/* What was refused lately: see refusals.h. */
#include "broker/net/refusals.h"

#include <stddef.h>
#include <string.h>

/* FNV-1a, with an end mark so that parts do not run into each other. A clash only spares a line. */
static uint64_t
mix(uint64_t hash, const char *text, size_t len)
{
	for (size_t i = 0; i <= len; i++) {
		hash ^= i < len ? (uint8_t)text[i] : 0xff;
		hash *= UINT64_C(0x100000001b3);
	}
	return hash;
}

uint64_t
refusals_key(const char *address, const char *reason, const char *serial)
{
	const char *port = strrchr(address, ':');
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	hash = mix(hash, address, port ? (size_t)(port - address) : strlen(address));
	hash = mix(hash, reason, strlen(reason));
	hash = mix(hash, serial, strlen(serial));
	return hash ? hash : 1; /* 0 is an empty place */
}

bool
refusals_tell(struct refusals *refusals, uint64_t key, uint64_t now_us, uint64_t *againp)
{
	size_t place = (size_t)((key >> 32) % REFUSALS_KEPT);

	*againp = 0;
	if (refusals->at[place].key == key && now_us - refusals->at[place].since_us < REFUSALS_AGAIN_US) {
		if (refusals->at[place].told == REFUSALS_TOLD) {
			refusals->at[place].again++;
			return false;
		}
		refusals->at[place].told++;
		return true;
	}
	if (refusals->at[place].key == key)
		*againp = refusals->at[place].again;
	refusals->at[place].key = key;
	refusals->at[place].since_us = now_us;
	refusals->at[place].told = 1;
	refusals->at[place].again = 0;
	return true;
}
