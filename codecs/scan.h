/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking for delimiters: 32 bytes at a time where the processor has AVX2, else by memchr and byte by byte. Linear in what is
 * looked at, whatever the input; nothing outside it is read.
 *
 * The ..._portable functions are the twins that any machine can run; the others choose (codecs/cpu.h).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define SCAN_SHORT 32u /* below this a look at each byte costs less than a call of memchr per hit */

/* Where the first ${a} or ${b} stands in the ${len} bytes at ${ptr}; ${len} when there is none. */
size_t scan_either(const uint8_t *ptr, size_t len, uint8_t a, uint8_t b);
size_t scan_either_portable(const uint8_t *ptr, size_t len, uint8_t a, uint8_t b);

/*
 * The places of every ${a} or ${b} in the ${len} bytes at ${ptr}, in order, into ${places}, which has ${room} of them. Returns how
 * many were written. ${seen} is how far the look went: ${len}, or just behind the last place written when there was no room for
 * more. ${len} must be below 4 GiB.
 */
size_t scan_index(
    const uint8_t *ptr, size_t len, uint8_t a, uint8_t b, uint32_t *places, size_t room, size_t *seen);
size_t scan_index_portable(
    const uint8_t *ptr, size_t len, uint8_t a, uint8_t b, uint32_t *places, size_t room, size_t *seen);

/*
 * A line: the bytes before the first CR or LF. Returns its length (${len} when neither is there) and writes the places of the first
 * ${room} ${delimiter}s in it to ${places}, how many in ${count}. A ${delimiter} of CR or LF has no place.
 */
size_t scan_line(
    const uint8_t *ptr, size_t len, uint8_t delimiter, size_t *places, size_t room, size_t *count);
size_t scan_line_portable(
    const uint8_t *ptr, size_t len, uint8_t delimiter, size_t *places, size_t room, size_t *count);

/*
 * Part ${n} (from 1) of the ${len} bytes at ${ptr}, cut at each ${delimiter}: bytes [from, to). False when there are fewer parts; there
 * is always one, though it may be empty.
 */
bool scan_part(const uint8_t *ptr, size_t len, uint8_t delimiter, size_t n, size_t *from, size_t *to);
bool scan_part_portable(
    const uint8_t *ptr, size_t len, uint8_t delimiter, size_t n, size_t *from, size_t *to);

/* How many ${byte}s stand in the ${len} bytes at ${ptr}. */
size_t scan_count(const uint8_t *ptr, size_t len, uint8_t byte);
size_t scan_count_portable(const uint8_t *ptr, size_t len, uint8_t byte);

/* How many bytes at the front of the ${len} at ${ptr} are below 0x80. */
size_t scan_ascii(const uint8_t *ptr, size_t len);
size_t scan_ascii_portable(const uint8_t *ptr, size_t len);
