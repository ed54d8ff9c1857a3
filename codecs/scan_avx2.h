/* SPDX-License-Identifier: Apache-2.0 */
/* The AVX2 twins of codecs/scan.h, which see: only where CPU_X86, only when cpu_has(CPU_AVX2). For codecs/scan.c. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

size_t scan_either_avx2(const uint8_t *ptr, size_t len, uint8_t a, uint8_t b);
size_t scan_index_avx2(
    const uint8_t *ptr, size_t len, uint8_t a, uint8_t b, uint32_t *places, size_t room, size_t *seen);
size_t scan_line_avx2(
    const uint8_t *ptr, size_t len, uint8_t delimiter, size_t *places, size_t room, size_t *count);
bool scan_part_avx2(const uint8_t *ptr, size_t len, uint8_t delimiter, size_t n, size_t *from, size_t *to);
size_t scan_count_avx2(const uint8_t *ptr, size_t len, uint8_t byte);
size_t scan_ascii_avx2(const uint8_t *ptr, size_t len);
