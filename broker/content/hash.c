/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/content/hash.h"

#include <pthread.h>
#include <stdlib.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key; /* of each thread's struct sha256, for its end */
static bool keyed;
static _Thread_local struct sha256 *kept;

static void
end_of_thread(void *arg)
{
	sha256_fini(arg);
	free(arg);
}

static void
make_key(void)
{
	keyed = pthread_key_create(&key, end_of_thread) == 0;
}

/* This thread's context; NULL: there is no memory for one, now. */
static struct sha256 *
of_thread(void)
{
	struct sha256 *s;

	if (kept)
		return kept;
	(void)pthread_once(&once, make_key);
	s = keyed ? malloc(sizeof(*s)) : NULL;
	if (!s)
		return NULL;
	if (sha256_init(s) || pthread_setspecific(key, s)) {
		end_of_thread(s);
		return NULL;
	}
	kept = s;
	return s;
}

int
hash_sha256(struct span bytes, uint8_t out[DIGEST_SHA256_LEN])
{
	struct sha256 *s = of_thread();

	return s ? sha256_of(s, bytes, out) : digest_sha256(bytes, out);
}
