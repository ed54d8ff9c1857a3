/* SPDX-License-Identifier: Apache-2.0 */
/* The rules in their order, one function each; the first that refuses ends the judgement. */
#include "codecs/hl7_check.h"

/* Refuse with the message's own place of ${value}, which may not be there. */
static enum hl7_verdict
refuse(const struct hl7_message *m, struct fault *f, enum fault_code code, struct span value,
    const char *path, const char *sentence)
{
	size_t offset = value.ptr ? (size_t)(value.ptr - m->bytes.ptr) : m->header.segment.len;

	fault_set(f, code, offset, path, "%s", sentence);
	f->value = value;
	return HL7_REFUSED;
}

static bool
is_upper(uint8_t c)
{
	return c >= 'A' && c <= 'Z';
}

static bool
is_upper_or_digit(uint8_t c)
{
	return is_upper(c) || (c >= '0' && c <= '9');
}

/* Table 0076: a letter and two letters or digits. */
static bool
is_type(struct span s)
{
	return s.len == 3 && is_upper(s.ptr[0]) && is_upper_or_digit(s.ptr[1]) && is_upper_or_digit(s.ptr[2]);
}

/* Table 0003: three letters or digits. */
static bool
is_event(struct span s)
{
	return s.len == 3 && is_upper_or_digit(s.ptr[0]) && is_upper_or_digit(s.ptr[1]) &&
	       is_upper_or_digit(s.ptr[2]);
}

static bool
is_any(const char *pattern)
{
	return pattern[0] == '*' && pattern[1] == '\0';
}

/* Rule 5. */
static enum hl7_verdict
check_version(const struct hl7_message *m, struct fault *f)
{
	const struct hl7_header *h = &m->header;

	if (hl7_is_absent(h->version))
		return refuse(m, f, FAULT_REQUIRED_FIELD, h->field[12], "MSH-12", "The version is missing.");
	if (!hl7_version_known(h->version))
		return refuse(m, f, FAULT_UNSUPPORTED_VERSION, h->version, "MSH-12.1",
		    "The version is none of 2.1 to 2.9.1.");
	return HL7_OK;
}

/* Rule 6, what the peer may send. */
static enum hl7_verdict
check_allowed_type(const struct hl7_message *m, const struct hl7_rules *rules, struct fault *f)
{
	const struct hl7_header *h = &m->header;
	struct span event = hl7_is_absent(h->event) ? SPAN_EMPTY : h->event;
	bool type_known = rules->type_count == 0;

	for (size_t i = 0; i < rules->type_count; i++) {
		const struct hl7_type_rule *rule = &rules->types[i];

		if (!is_any(rule->type) && !span_eq_str(h->type, rule->type))
			continue;
		if (is_any(rule->event) || span_eq_str(event, rule->event))
			return HL7_OK;
		type_known = true;
	}
	if (!type_known)
		return refuse(m, f, FAULT_UNSUPPORTED_TYPE, h->type, "MSH-9.1",
		    "This message type is not agreed with the sender.");
	if (rules->type_count)
		return refuse(m, f, FAULT_UNSUPPORTED_EVENT, h->event, "MSH-9.2",
		    "This event is not agreed with the sender.");
	return HL7_OK;
}

/* Rule 6, the forms. */
static enum hl7_verdict
check_type(const struct hl7_message *m, const struct hl7_rules *rules, struct fault *f)
{
	const struct hl7_header *h = &m->header;

	if (hl7_is_absent(h->field[9]))
		return refuse(
		    m, f, FAULT_REQUIRED_FIELD, h->field[9], "MSH-9", "The message type is missing.");
	if (!is_type(h->type))
		return refuse(m, f, FAULT_UNSUPPORTED_TYPE, h->type, "MSH-9.1",
		    "The message type is not a letter and two letters or digits.");
	if (!hl7_is_absent(h->event) && !is_event(h->event))
		return refuse(m, f, FAULT_UNSUPPORTED_EVENT, h->event, "MSH-9.2",
		    "The event is not three letters or digits.");
	return check_allowed_type(m, rules, f);
}

/* Rule 7. */
static enum hl7_verdict
check_control_id(const struct hl7_message *m, struct fault *f)
{
	struct span id = m->header.field[10];

	if (hl7_is_absent(id))
		return refuse(m, f, FAULT_REQUIRED_FIELD, id, "MSH-10", "The message control id is missing.");
	if (id.len > HL7_CONTROL_ID_MAX)
		return refuse(
		    m, f, FAULT_DATA_TYPE, id, "MSH-10", "The message control id is longer than 199 bytes.");
	return HL7_OK;
}

/* Rule 8. */
static enum hl7_verdict
check_processing(const struct hl7_message *m, const struct hl7_rules *rules, struct fault *f)
{
	const struct hl7_header *h = &m->header;
	unsigned allowed = rules->processing ? rules->processing : HL7_PROCESSING_ALL;
	unsigned id = hl7_processing(h->processing);

	if (hl7_is_absent(h->processing))
		return refuse(
		    m, f, FAULT_REQUIRED_FIELD, h->field[11], "MSH-11", "The processing id is missing.");
	if (!id)
		return refuse(m, f, FAULT_UNSUPPORTED_PROCESSING, h->processing, "MSH-11.1",
		    "The processing id is none of P, T and D.");
	if (!(id & allowed))
		return refuse(m, f, FAULT_UNSUPPORTED_PROCESSING, h->processing, "MSH-11.1",
		    "This processing id is not agreed with the sender.");
	return HL7_OK;
}

static bool
matches_sender(const struct hl7_delimiters *d, struct span value, const char *pattern)
{
	return is_any(pattern) || span_eq_str(value, pattern) ||
	       span_eq_str(hl7_component(d, value, 1), pattern);
}

/* Rule 9. */
static enum hl7_verdict
check_sender(const struct hl7_message *m, const struct hl7_rules *rules, struct fault *f)
{
	struct span application = m->header.field[3], facility = m->header.field[4];
	bool application_known = false;

	if (rules->sender_count == 0)
		return HL7_OK;
	for (size_t i = 0; i < rules->sender_count; i++) {
		if (!matches_sender(&m->delimiters, application, rules->senders[i].application))
			continue;
		if (matches_sender(&m->delimiters, facility, rules->senders[i].facility))
			return HL7_OK;
		application_known = true;
	}
	if (application_known)
		return refuse(m, f, FAULT_APPLICATION, facility, "MSH-4",
		    "The sending facility is not agreed with this connection's peer.");
	return refuse(m, f, FAULT_APPLICATION, application, "MSH-3",
	    "The sending application is not agreed with this connection's peer.");
}

enum hl7_verdict
hl7_check(
    struct hl7_message *m, struct span bytes, const struct hl7_rules *rules, struct arena *a, struct fault *f)
{
	static const struct hl7_rules strict;

	if (!rules)
		rules = &strict;
	hl7_begin(m, bytes);
	if (hl7_header_judge(&m->header, bytes, f) != HL7_OK)
		return HL7_REFUSED;
	if (span_eq_str(m->header.type, "ACK") || span_eq_str(m->header.type, "MCF"))
		return HL7_STRAY;
	if (hl7_index(m, rules->leniencies, a, f) != HL7_OK)
		return HL7_REFUSED;
	if (check_version(m, f) != HL7_OK || check_type(m, rules, f) != HL7_OK ||
	    check_control_id(m, f) != HL7_OK || check_processing(m, rules, f) != HL7_OK ||
	    check_sender(m, rules, f) != HL7_OK)
		return HL7_REFUSED;
	return HL7_OK;
}

unsigned
hl7_processing(struct span value)
{
	if (span_eq_str(value, "P"))
		return HL7_PROCESSING_P;
	if (span_eq_str(value, "T"))
		return HL7_PROCESSING_T;
	if (span_eq_str(value, "D"))
		return HL7_PROCESSING_D;
	return 0;
}
