/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HL7 times: what is taken can be written again with its zone, and reads back as the same instant; nothing
 * longer is taken.
 */
#include <stdint.h>
#include <stdlib.h>

#include "codecs/hl7_time.h"

#define DAY_US 86400000000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hl7_time t, again;
	char text[HL7_TIME_SIZE];
	size_t offset = 0, len;
	int64_t us;

	if (hl7_time_parse(span_make(data, size), &t, &offset) != HL7_TIME_OK) {
		if (offset > size)
			abort();
		return 0;
	}
	if (size >= HL7_TIME_SIZE || offset != size)
		abort();
	us = hl7_time_unix_us(&t, 60);
	len = hl7_time_format(us, t.has_zone ? t.zone_minutes : 60, 4, text);
	if (len != HL7_TIME_SIZE - 1)
		abort();
	if (hl7_time_parse(span_make(text, len), &again, NULL) != HL7_TIME_OK ||
	    hl7_time_unix_us(&again, 0) != us)
		abort();
	if (again.year != t.year || again.month != t.month || again.day != t.day || again.hour != t.hour)
		abort();
	len = hl7_time_format(us, 0, 0, text);
	if (len == 0 && us > -62135596800000000 + DAY_US && us < 253402300800000000 - DAY_US)
		abort();
	return 0;
}
