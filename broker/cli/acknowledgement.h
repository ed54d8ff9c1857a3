/* SPDX-License-Identifier: Apache-2.0 */
/* An acknowledgement told to a human: one line, and one for each ERR. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "codecs/span.h"

/*
 * Print acknowledgement ${bytes} of the message with MSH-10 ${control} to ${out} (NULL: only judge it): "AA 015 -> L42 (12 ms)". True when
 * it says AA or CA for that message.
 */
bool acknowledgement_print(FILE *out, struct span bytes, struct span control, uint64_t took_us);
