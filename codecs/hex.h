/* SPDX-License-Identifier: Apache-2.0 */
/* The value of a hexadecimal digit, of either case (RFC 3986 §2.1; HL7 v2.5 §2.7.5). */
#pragma once

#include <stdint.h>

/* 0 to 15; -1: ${c} is no such digit. */
static inline int
hex_value(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}
