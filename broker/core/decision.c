/* SPDX-License-Identifier: Apache-2.0 */
/* Decisions to bytes and back. The value of a fault is content: it is never written. */
#include "broker/core/decision.h"

#include <errno.h>

#include "broker/core/tlv.h"

enum tag {
	TAG_ANSWER = 1,
	TAG_MODE,
	TAG_PARKED,
	TAG_FAULT_CODE,
	TAG_FAULT_SEVERITY,
	TAG_FAULT_APPLICATION_CODE,
	TAG_FAULT_OFFSET,
	TAG_FRAME_SIZE,
	TAG_FRAME_OFFSET,
	TAG_OUTCOME,
	TAG_LAST_NUMBER = 31, /* up to here: numbers */
	TAG_FAULT_PATH,
	TAG_FAULT_MESSAGE,
	TAG_TO,
	TAG_ROUTES,
	TAG_DESTINATION,
	TAG_WHO,
	TAG_WHAT,
	TAG_CODE,
	TAG_TEXT,
};

static void
put_number(struct buffer *out, uint16_t tag, uint64_t number)
{
	if (number)
		tlv_put_u64(out, tag, number);
}

void
decision_encode(const struct decision *decision, struct buffer *out)
{
	const struct fault *fault = &decision->fault;

	put_number(out, TAG_ANSWER, decision->answer);
	put_number(out, TAG_MODE, decision->mode);
	put_number(out, TAG_PARKED, decision->parked);
	if (fault->code != FAULT_NONE) {
		tlv_put_u64(out, TAG_FAULT_CODE, (uint64_t)fault->code);
		put_number(out, TAG_FAULT_SEVERITY, fault->severity);
		put_number(out, TAG_FAULT_APPLICATION_CODE, (uint64_t)fault->application_code);
		put_number(out, TAG_FAULT_OFFSET, fault->offset);
		tlv_put_some(out, TAG_FAULT_PATH, span_str(fault->path));
		tlv_put_some(out, TAG_FAULT_MESSAGE, span_str(fault->message));
	}
	for (size_t i = 0; i < decision->to_count; i++)
		tlv_put_span(out, TAG_TO, decision->to[i]);
	put_number(out, TAG_FRAME_SIZE, decision->frame_size);
	put_number(out, TAG_FRAME_OFFSET, decision->frame_offset);
	put_number(out, TAG_OUTCOME, decision->outcome);
	tlv_put_some(out, TAG_ROUTES, decision->routes);
	tlv_put_some(out, TAG_DESTINATION, decision->destination);
	tlv_put_some(out, TAG_WHO, decision->who);
	tlv_put_some(out, TAG_WHAT, decision->what);
	tlv_put_some(out, TAG_CODE, decision->code);
	tlv_put_some(out, TAG_TEXT, decision->text);
}

static void
decode_number(struct decision *decision, uint16_t tag, uint64_t number)
{
	switch ((enum tag)tag) {
	case TAG_ANSWER:
		decision->answer = (enum answer)number;
		break;
	case TAG_MODE:
		decision->mode = (enum config_mode)number;
		break;
	case TAG_PARKED:
		decision->parked = number != 0;
		break;
	case TAG_FAULT_CODE:
		decision->fault.code = (enum fault_code)number;
		break;
	case TAG_FAULT_SEVERITY:
		decision->fault.severity = (enum fault_severity)number;
		break;
	case TAG_FAULT_APPLICATION_CODE:
		decision->fault.application_code = (int)number;
		break;
	case TAG_FAULT_OFFSET:
		decision->fault.offset = number;
		break;
	case TAG_FRAME_SIZE:
		decision->frame_size = number;
		break;
	case TAG_FRAME_OFFSET:
		decision->frame_offset = number;
		break;
	case TAG_OUTCOME:
		decision->outcome = (enum outcome)number;
		break;
	default:
		break;
	}
}

static void
decode_fixed(char *into, size_t size, struct span value)
{
	size_t len = value.len < size - 1 ? value.len : size - 1;

	memcpy(into, value.ptr, len);
	into[len] = '\0';
}

static void
decode_text(struct decision *decision, struct span *to, uint16_t tag, struct span value)
{
	switch ((enum tag)tag) {
	case TAG_FAULT_PATH:
		decode_fixed(decision->fault.path, sizeof(decision->fault.path), value);
		break;
	case TAG_FAULT_MESSAGE:
		decode_fixed(decision->fault.message, sizeof(decision->fault.message), value);
		break;
	case TAG_TO:
		to[decision->to_count++] = value;
		break;
	case TAG_ROUTES:
		decision->routes = value;
		break;
	case TAG_DESTINATION:
		decision->destination = value;
		break;
	case TAG_WHO:
		decision->who = value;
		break;
	case TAG_WHAT:
		decision->what = value;
		break;
	case TAG_CODE:
		decision->code = value;
		break;
	case TAG_TEXT:
		decision->text = value;
		break;
	default:
		break;
	}
}

int
decision_decode(struct span bytes, struct arena *arena, struct decision *decision)
{
	struct span *to, value;
	uint64_t number;
	uint16_t tag;
	int r;

	*decision = (struct decision){ 0 };
	to = arena_calloc(arena, tlv_count(bytes, TAG_TO), sizeof(*to));
	if (!to)
		return -ENOMEM;
	decision->to = to;
	while ((r = tlv_next(&bytes, &tag, &value)) == 1) {
		if (tag > TAG_LAST_NUMBER)
			decode_text(decision, to, tag, value);
		else if (tlv_u64(value, &number))
			decode_number(decision, tag, number);
		else
			return DECISION_MALFORMED;
	}
	return r == 0 ? 0 : DECISION_MALFORMED;
}

void
decision_glance(struct span bytes, struct decision_glance *glance)
{
	struct span value;
	uint64_t number;
	uint16_t tag;

	glance->outcome = 0;
	glance->destination = glance->who = SPAN_EMPTY;
	glance->to_count = 0;
	while (tlv_next(&bytes, &tag, &value) == 1) {
		switch ((enum tag)tag) {
		case TAG_OUTCOME:
			if (tlv_u64(value, &number))
				glance->outcome = (enum outcome)number;
			break;
		case TAG_TO:
			if (glance->to_count < DECISION_GLANCE_TO)
				glance->to[glance->to_count] = value;
			glance->to_count++;
			break;
		case TAG_DESTINATION:
			glance->destination = value;
			break;
		case TAG_WHO:
			glance->who = value;
			break;
		default:
			break;
		}
	}
}
