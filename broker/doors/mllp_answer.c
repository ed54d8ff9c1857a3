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
#define TIME_SIZE	24 /* YYYYMMDDhhmmss.mmm+0000 and its end */
#define SECONDS_LEN	14

/* MSH-10 of an answer that stands in no record: never the same twice, also not after a restart. */
static struct span
unjournalled_id(char out[static CONTROL_ID_SIZE])
{
	static uint64_t start_us, counter;

	if (start_us == 0)
		start_us = clock_wall_us();
	counter++;
	(void)snprintf(out, CONTROL_ID_SIZE, "L0-%" PRIx64 "-%" PRIu64, start_us, counter);
	return span_str(out);
}

/* "L" and ${seq}. By hand, as the times: one for each message. */
static struct span
control_id(uint64_t seq, char out[static CONTROL_ID_SIZE])
{
	size_t at = CONTROL_ID_SIZE;

	do
		out[--at] = (char)('0' + seq % 10);
	while (seq /= 10);
	out[--at] = 'L';
	return span_make(out + at, CONTROL_ID_SIZE - at);
}

/* The second of ${time_us} into ${out}, of which nothing else changes. */
static void
format_second(time_t second, char out[static TIME_SIZE])
{
	struct tm tm;

	if (!gmtime_r(&second, &tm))
		(void)gmtime_r(&(time_t){ 0 }, &tm);
	/* The moduli change nothing: they tell the compiler that it fits. */
	(void)snprintf(out, TIME_SIZE, "%04u%02u%02u%02u%02u%02u.000+0000",
	    (unsigned)(tm.tm_year + 1900) % 10000, (unsigned)(tm.tm_mon + 1) % 100,
	    (unsigned)tm.tm_mday % 100, (unsigned)tm.tm_hour % 100, (unsigned)tm.tm_min % 100,
	    (unsigned)tm.tm_sec % 100);
}

/* A DTM with milliseconds and zone, always UTC: a resend after a change of the local zone gets the same bytes. Good until the next call. */
static struct span
format_time(uint64_t time_us)
{
	static _Thread_local struct {
		time_t second;
		char text[TIME_SIZE];
	} last; /* answers come by the hundred thousand a second */
	time_t second = (time_t)(time_us / 1000000);
	unsigned milliseconds = (unsigned)(time_us / 1000 % 1000);

	if (last.text[0] == '\0' || last.second != second) {
		format_second(second, last.text);
		last.second = second;
	}
	last.text[SECONDS_LEN + 1] = (char)('0' + milliseconds / 100);
	last.text[SECONDS_LEN + 2] = (char)('0' + milliseconds / 10 % 10);
	last.text[SECONDS_LEN + 3] = (char)('0' + milliseconds % 10);
	return span_make(last.text, TIME_SIZE - 1);
}

static enum hl7_ack_code
code_of(enum answer answer)
{
	if (answer == ANSWER_ACCEPT)
		return HL7_AA;
	return answer == ANSWER_LATER ? HL7_AR : HL7_AE;
}

/* Append ${ack} framed; false, and nothing appended, when it does not fit an answer. */
static bool
write_framed(struct buffer *out, const struct hl7_ack *ack)
{
	size_t from = mllp_frame_begin(out);

	hl7_ack_write(out, ack);
	if (out->len - from > MLLP_ANSWER_MAX)
		out->failed = true;
	return mllp_frame_end(out, from);
}

void
mllp_answer_write(struct buffer *out, const struct mllp_answer *answer)
{
	char id[CONTROL_ID_SIZE];
	struct hl7_header bare;
	struct hl7_ack ack = {
		.code = code_of(answer->answer),
		.original = answer->original,
		.fault = answer->fault,
	};

	ack.control_id = answer->seq ? control_id(answer->seq, id) : unjournalled_id(id);
	ack.time = format_time(answer->seq ? answer->time_us : clock_wall_us());
	if (write_framed(out, &ack))
		return;
	out->failed = false;
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
