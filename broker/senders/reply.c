/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading an acknowledgement of a destination: see reply.h.
 */
#include "broker/senders/reply.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "codecs/hl7.h"
#include "codecs/printable.h"

/* ${value} when it is a code and no prose. */
static void
copy_code(char *out, size_t size, struct span value)
{
	out[0] = '\0';
	if (value.len == 0 || value.len >= size)
		return;
	for (size_t i = 0; i < value.len; i++)
		if (!isalnum(value.ptr[i]) && !memchr("._-:", value.ptr[i], 4))
			return;
	memcpy(out, value.ptr, value.len);
	out[value.len] = '\0';
}

/* ${error} if neither a name nor a number of a patient can hide in it: 204, E1021, HL7-207. Codes in words are in the journal alone. */
static void
copy_condition(struct reply *reply)
{
	size_t len = strlen(reply->error), digits = 0;

	for (size_t i = 0; i < len; i++)
		digits += reply->error[i] >= '0' && reply->error[i] <= '9';
	if (len < sizeof(reply->condition) && digits >= 1 && digits <= 4)
		memcpy(reply->condition, reply->error, len + 1);
}

static struct span
first_there(const struct span *values, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!hl7_is_absent(values[i]))
			return values[i];
	return SPAN_EMPTY;
}

static void
copy_prose(struct reply *reply, const struct hl7_ack_received *ack)
{
	const struct hl7_ack_error *error = &ack->errors[0];
	struct span values[4] = { SPAN_EMPTY };
	struct buffer out;

	if (ack->error_count) {
		values[0] = error->user_message;
		values[1] = error->diagnostic;
		values[2] = error->text;
	}
	values[3] = ack->text;
	buffer_init(&out, sizeof(reply->text) - 1);
	printable_append(&out, first_there(values, 4), REPLY_TEXT_MAX);
	if (out.len)
		memcpy(reply->text, out.data, out.len);
	reply->text[out.len] = '\0';
	buffer_fini(&out);
}

int
reply_read(struct reply *reply, struct span content, struct arena *arena, const char **why)
{
	struct hl7_message message;
	struct hl7_ack_received ack;
	struct fault fault;
	int r = REPLY_GARBAGE;

	*reply = (struct reply){ .code = HL7_AR };
	if (hl7_parse(&message, content, HL7_LENIENT_LF | HL7_LENIENT_NO_FINAL_CR, arena, &fault) != HL7_OK)
		*why = "a frame that is no HL7 message";
	else if (hl7_ack_read(&message, &ack, &fault) != HL7_OK)
		*why = "a message that is no acknowledgement";
	else
		r = 0;
	if (r == 0) {
		reply->code = ack.code;
		reply->control = ack.control_id;
		if (ack.error_count) {
			copy_code(reply->error, sizeof(reply->error), ack.errors[0].code);
			copy_condition(reply);
			if (ack.errors[0].has_path)
				(void)hl7_path_format(&ack.errors[0].path, reply->place);
		}
		copy_prose(reply, &ack);
	}
	arena_reset(arena);
	return r;
}
