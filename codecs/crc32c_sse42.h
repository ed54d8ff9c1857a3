/* SPDX-License-Identifier: Apache-2.0 */
/* The SSE4.2 twin of digest_crc32c: only where CPU_X86, only when cpu_has(CPU_CRC32C). For codecs/digest.c. */
#pragma once

#include <stdint.h>

#include "codecs/span.h"

uint32_t crc32c_sse42(uint32_t crc, struct span bytes);
