/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Acknowledgements of the HL7 door: codecs/hl7_ack.h with our control ids and times, framed.
 */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "broker/base/clock.h"
#include "broker/doors/mllp_answer.h"
#include "codecs/hl7_ack.h"
#include "codecs/hl7_check.h"
#include "codecs/mllp.h"

#define CONTROL_ID_SIZE 48
#define TIME_SIZE	32

/* MSH-10 of an answer that stands in no record: never the same twice, also not after a restart. */
static void
unjournalled_id(char out[static CONTROL_ID_SIZE])
{
	static uint64_t start_us, counter;

	if (start_us == 0)
		start_us = clock_wall_us();
	counter++;
	(void)snprintf(out, CONTROL_ID_SIZE, "L0-%" PRIx64 "-%" PRIu64, start_us, counter);
}

/* A DTM with milliseconds and zone, always UTC: a resend after a change of the local zone gets the same bytes. */
static void
format_time(uint64_t time_us, char out[static TIME_SIZE])
{
	time_t seconds = (time_t)(time_us / 1000000);
	unsigned milliseconds = (unsigned)(time_us / 1000 % 1000);
	struct tm tm;
	size_t n;

	if (!gmtime_r(&seconds, &tm))
		(void)gmtime_r(&(time_t){ 0 }, &tm);
	n = strftime(out, TIME_SIZE, "%Y%m%d%H%M%S", &tm);
	(void)snprintf(out + n, TIME_SIZE - n, ".%03u+0000", milliseconds);
}

static enum hl7_ack_code
code_of(enum answer answer)
{
	if (answer == ANSWER_ACCEPT)
		return HL7_AA;
	return answer == ANSWER_LATER ? HL7_AR : HL7_AE;
}

/* Write ${ack} framed; false when it does not fit an answer. */
static bool
write_framed(struct buffer *out, const struct hl7_ack *ack)
{
	struct buffer plain;
	bool fits;

	buffer_init(&plain, MLLP_ANSWER_MAX);
	hl7_ack_write(&plain, ack);
	fits = !buffer_failed(&plain) && mllp_frame(out, buffer_span(&plain));
	buffer_fini(&plain);
	return fits;
}

void
mllp_answer_write(struct buffer *out, const struct mllp_answer *answer)
{
	char control_id[CONTROL_ID_SIZE], when[TIME_SIZE];
	struct hl7_header bare;
	struct hl7_ack ack = {
		.code = code_of(answer->answer),
		.original = answer->original,
		.fault = answer->fault,
	};

	if (answer->seq)
		(void)snprintf(control_id, sizeof(control_id), "L%" PRIu64, answer->seq);
	else
		unjournalled_id(control_id);
	format_time(answer->seq ? answer->time_us : clock_wall_us(), when);
	ack.control_id = span_str(control_id);
	ack.time = span_str(when);
	if (write_framed(out, &ack))
		return;
	/* A header of kilobytes: answer what is needed to match the answer, copy nothing else. */
	bare = *answer->original;
	for (size_t i = 3; i <= HL7_HEADER_FIELDS; i++)
		if (i != 10)
			bare.field[i] = span_cut(bare.field[i], 0, 0);
	bare.field[10] = span_cut(bare.field[10], 0, HL7_CONTROL_ID_MAX);
	bare.event = span_cut(bare.event, 0, 3);
	bare.processing = span_cut(bare.processing, 0, 1);
	ack.original = &bare;
	if (!write_framed(out, &ack))
		out->failed = true;
}

const char *
mllp_answer_code(enum answer answer)
{
	return answer == ANSWER_NONE ? "-" : hl7_ack_code_name(code_of(answer));
}
