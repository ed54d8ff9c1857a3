/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the processor can do beyond the least of its kind, asked once: a codec that has a faster twin of a loop takes it where the
 * processor has what it needs, and its portable twin anywhere else. Twins give the same result for every input.
 *
 * This is a fact of the machine, not a state of the codecs: it never changes, unless a test or a bench wants the portable twins.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#if defined(__x86_64__)
#define CPU_X86 1
#else
#define CPU_X86 0
#endif

#define CPU_AVX2   1u /* with BMI1, BMI2 and POPCNT, which every processor with AVX2 has */
#define CPU_CRC32C 2u /* the instruction of SSE4.2, and PCLMULQDQ to put sums together */
#define CPU_ASKED  0x80000000u

extern _Atomic unsigned cpu_features; /* read by cpu_has only */

/* Ask the processor and remember; gives what is remembered. */
unsigned cpu_ask(void);

/*
 * For tests and benches: let the codecs use no feature but those of ${allowed} (CPU_*; ~0u: all there are). Gives what was
 * in use before. No other thread may be in a codec meanwhile.
 */
unsigned cpu_allow(unsigned allowed);

static inline bool
cpu_has(unsigned feature)
{
	unsigned known = atomic_load_explicit(&cpu_features, memory_order_relaxed);

	if (!known)
		known = cpu_ask();
	return (known & feature) != 0;
}
