/* SPDX-License-Identifier: Apache-2.0 */
#include "codecs/cpu.h"

_Atomic unsigned cpu_features;

static unsigned
features(void)
{
	unsigned found = 0;

#if CPU_X86
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
	    __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt"))
		found |= CPU_AVX2;
	if (__builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul"))
		found |= CPU_CRC32C;
#endif
	return found;
}

unsigned
cpu_ask(void)
{
	unsigned known = features() | CPU_ASKED;

	/* Two threads that ask at once store the same. */
	atomic_store_explicit(&cpu_features, known, memory_order_relaxed);
	return known;
}

unsigned
cpu_allow(unsigned allowed)
{
	return atomic_exchange(&cpu_features, (features() & allowed) | CPU_ASKED) & ~CPU_ASKED;
}
