/* SPDX-License-Identifier: Apache-2.0 */
/* Paths read, written and followed. */
#include "codecs/hl7_path.h"

#include <stdio.h>

#define NAME_LEN 3u

/* Take ${c} off the front of ${text}. */
static bool
take(struct span *text, uint8_t c)
{
	if (text->len == 0 || text->ptr[0] != c)
		return false;
	*text = span_cut(*text, 1, text->len);
	return true;
}

/* Take a number from 1 to HL7_PATH_NUMBER_MAX without leading zero. */
static bool
take_number(struct span *text, uint32_t *number)
{
	uint32_t n = 0;
	size_t i = 0;

	while (i < text->len && text->ptr[i] >= '0' && text->ptr[i] <= '9') {
		n = n * 10 + (uint32_t)(text->ptr[i] - '0');
		if (n == 0 || n > HL7_PATH_NUMBER_MAX)
			return false;
		i++;
	}
	*text = span_cut(*text, i, text->len);
	*number = n;
	return i > 0;
}

/* Take "(" number ")" if there is a "(": false only when what follows it is wrong. */
static bool
take_bracketed(struct span *text, uint32_t *number)
{
	return !take(text, '(') || (take_number(text, number) && take(text, ')'));
}

static bool
take_name(struct span *text, char name[4])
{
	if (text->len < NAME_LEN)
		return false;
	for (size_t i = 0; i < NAME_LEN; i++) {
		uint8_t c = text->ptr[i];

		if (!(c >= 'A' && c <= 'Z') && !(i > 0 && c >= '0' && c <= '9'))
			return false;
		name[i] = (char)c;
	}
	name[NAME_LEN] = '\0';
	*text = span_cut(*text, NAME_LEN, text->len);
	return true;
}

bool
hl7_path_parse(struct hl7_path *p, struct span text)
{
	*p = (struct hl7_path){ 0 };
	if (text.len && text.ptr[0] == '(') {
		if (!take_bracketed(&text, &p->ordinal))
			return false;
	} else {
		p->occurrence = 1;
		if (!take_name(&text, p->name) || !take_bracketed(&text, &p->occurrence))
			return false;
	}
	if (take(&text, '-')) {
		if (!take_number(&text, &p->field) || !take_bracketed(&text, &p->repetition))
			return false;
		if (take(&text, '.') && !take_number(&text, &p->component))
			return false;
		if (p->component && take(&text, '.') && !take_number(&text, &p->subcomponent))
			return false;
	}
	return text.len == 0;
}

/* Append "${before}number${after}" to the NUL-ended ${out} when there is a number. */
static void
put(char out[HL7_PATH_TEXT_MAX], const char *before, uint32_t number, const char *after)
{
	size_t len = strlen(out);

	if (number)
		(void)snprintf(out + len, HL7_PATH_TEXT_MAX - len, "%s%u%s", before, number, after);
}

char *
hl7_path_format(const struct hl7_path *p, char out[HL7_PATH_TEXT_MAX])
{
	out[0] = '\0';
	if (p->ordinal) {
		put(out, "(", p->ordinal, ")");
	} else {
		(void)snprintf(out, HL7_PATH_TEXT_MAX, "%.3s", p->name);
		if (p->occurrence > 1)
			put(out, "(", p->occurrence, ")");
	}
	if (!p->field)
		return out;
	put(out, "-", p->field, "");
	put(out, "(", p->repetition, ")");
	put(out, ".", p->component, "");
	if (p->component)
		put(out, ".", p->subcomponent, "");
	return out;
}

size_t
hl7_path_segment(const struct hl7_message *m, const struct hl7_path *p)
{
	if (p->ordinal)
		return p->ordinal <= m->count ? p->ordinal - 1 : HL7_NONE;
	return hl7_find(m, p->name, p->occurrence);
}

struct span
hl7_path_get(const struct hl7_message *m, const struct hl7_path *p)
{
	size_t segment = hl7_path_segment(m, p);
	struct span value;

	if (segment == HL7_NONE)
		return SPAN_EMPTY;
	if (!p->field)
		return hl7_segment_span(m, segment);
	if (!p->repetition && !p->component)
		return hl7_field_all(m, segment, p->field);
	value = hl7_field(m, segment, p->field, p->repetition ? p->repetition : 1);
	if (!p->component)
		return value;
	/* MSH-1 and MSH-2 are delimiters: they have one component, themselves. */
	if (p->field <= 2 && memcmp(m->segments[segment].name, "MSH", NAME_LEN) == 0)
		return p->component == 1 && p->subcomponent <= 1 ? value : SPAN_EMPTY;
	value = hl7_component(&m->delimiters, value, p->component);
	return p->subcomponent ? hl7_subcomponent(&m->delimiters, value, p->subcomponent) : value;
}

struct span
hl7_get(const struct hl7_message *m, const char *path)
{
	struct hl7_path p;

	return hl7_path_parse(&p, span_str(path)) ? hl7_path_get(m, &p) : SPAN_EMPTY;
}

void
hl7_path_erl(const struct hl7_path *p, uint8_t component, struct buffer *b)
{
	buffer_append(b, p->name, strlen(p->name));
	buffer_append_byte(b, component);
	buffer_printf(b, "%u", p->ordinal ? p->ordinal : p->occurrence);
	if (!p->field)
		return;
	buffer_append_byte(b, component);
	buffer_printf(b, "%u", p->field);
	if (!p->repetition && !p->component)
		return;
	buffer_append_byte(b, component);
	buffer_printf(b, "%u", p->repetition ? p->repetition : 1);
	if (!p->component)
		return;
	buffer_append_byte(b, component);
	buffer_printf(b, "%u", p->component);
	if (!p->subcomponent)
		return;
	buffer_append_byte(b, component);
	buffer_printf(b, "%u", p->subcomponent);
}

void
hl7_path_eld(const struct hl7_path *p, uint8_t component, struct buffer *b)
{
	buffer_append(b, p->name, strlen(p->name));
	buffer_append_byte(b, component);
	buffer_printf(b, "%u", p->ordinal ? p->ordinal : p->occurrence);
	buffer_append_byte(b, component);
	if (p->field)
		buffer_printf(b, "%u", p->field);
}

/* Component ${n} as a number: 0 when it is absent; false when it is none. */
static bool
erl_number(const struct hl7_delimiters *d, struct span value, unsigned n, uint32_t *number)
{
	struct span text = hl7_component(d, value, n);

	*number = 0;
	return hl7_is_absent(text) || (take_number(&text, number) && text.len == 0);
}

bool
hl7_path_from_erl(struct hl7_path *p, const struct hl7_delimiters *d, struct span value)
{
	struct span name = hl7_component(d, value, 1);
	uint32_t sequence;

	*p = (struct hl7_path){ 0 };
	if (name.len && (!take_name(&name, p->name) || name.len))
		return false;
	if (!erl_number(d, value, 2, &sequence) || !erl_number(d, value, 3, &p->field) ||
	    !erl_number(d, value, 4, &p->repetition) || !erl_number(d, value, 5, &p->component) ||
	    !erl_number(d, value, 6, &p->subcomponent))
		return false;
	if (p->name[0])
		p->occurrence = sequence ? sequence : 1;
	else
		p->ordinal = sequence;
	return p->name[0] || p->ordinal;
}
