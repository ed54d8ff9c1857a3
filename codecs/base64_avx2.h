/* SPDX-License-Identifier: Apache-2.0 */
/* The AVX2 twin of the decoder's inner loop: only where CPU_X86, only when cpu_has(CPU_AVX2). For codecs/base64.c. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * Decode groups of four characters from the front of the ${groups} at ${text} to ${to}, which has 3 * ${groups} bytes. Returns how many
 * it did, a multiple of 8: it stops before a block of 8 in which any character is not of the alphabet, and when fewer than 10 are left,
 * because it writes 28 bytes for a block of 24.
 */
size_t base64_groups_avx2(const uint8_t *text, size_t groups, uint8_t *to);
