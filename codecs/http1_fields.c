/* SPDX-License-Identifier: Apache-2.0 */
/* Field lines: see the header for what one is. */
#include "codecs/http1_fields.h"

#define FIELDS_KEEP 2048 /* memory a connection keeps between messages: a common head */

void
http1_fields_init(struct http1_fields *f)
{
	buffer_init(&f->bytes, HTTP1_HEAD_MAX);
	f->count = 0;
}

void
http1_fields_fini(struct http1_fields *f)
{
	buffer_fini(&f->bytes);
	f->count = 0;
}

void
http1_fields_reset(struct http1_fields *f)
{
	if (f->bytes.cap > FIELDS_KEEP)
		buffer_fini(&f->bytes);
	buffer_reset(&f->bytes);
	f->count = 0;
}

static bool
is_tchar(uint8_t c)
{
	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
		return true;
	return c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

bool
http1_is_token(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!is_tchar(s.ptr[i]))
			return false;
	return s.len > 0;
}

static uint8_t
lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

bool
http1_equal_nocase(struct span a, struct span b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		if (lower(a.ptr[i]) != lower(b.ptr[i]))
			return false;
	return true;
}

static bool
is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

/* ${s} without the optional white space around it (RFC 9110 §5.6.3). */
static struct span
trim(struct span s)
{
	size_t from = 0, to = s.len;

	while (from < to && is_blank(s.ptr[from]))
		from++;
	while (to > from && is_blank(s.ptr[to - 1]))
		to--;
	return span_cut(s, from, to);
}

bool
http1_field_parse(struct span line, struct http1_field *field)
{
	const uint8_t *colon = line.len ? memchr(line.ptr, ':', line.len) : NULL;

	if (!colon)
		return false;
	field->name = span_cut(line, 0, (size_t)(colon - line.ptr));
	field->value = trim(span_cut(line, field->name.len + 1, line.len));
	if (!http1_is_token(field->name))
		return false;
	for (size_t i = 0; i < field->value.len; i++) {
		uint8_t c = field->value.ptr[i];

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

enum http1_field_outcome
http1_fields_add(struct http1_fields *f, size_t from, size_t to)
{
	struct span bytes = buffer_span(&f->bytes);
	struct http1_field field;

	if (!http1_field_parse(span_cut(bytes, from, to), &field))
		return HTTP1_FIELD_BAD;
	if (f->count == HTTP1_FIELDS_MAX)
		return HTTP1_FIELD_MANY;
	f->places[f->count++] = (struct http1_place){
		.name = (uint16_t)(field.name.ptr - bytes.ptr),
		.name_len = (uint16_t)field.name.len,
		.value = (uint16_t)(field.value.ptr - bytes.ptr),
		.value_len = (uint16_t)field.value.len,
	};
	return HTTP1_FIELD_OK;
}

struct http1_field
http1_field_at(const struct http1_fields *f, size_t i)
{
	const struct http1_place *p = &f->places[i];

	return (struct http1_field){
		.name = span_make(f->bytes.data + p->name, p->name_len),
		.value = span_make(f->bytes.data + p->value, p->value_len),
	};
}

size_t
http1_field_find(const struct http1_fields *f, const char *name, struct span *value)
{
	struct span wanted = span_str(name);
	size_t found = 0;

	if (value)
		*value = SPAN_EMPTY;
	for (size_t i = 0; i < f->count; i++) {
		struct http1_field field = http1_field_at(f, i);

		if (!http1_equal_nocase(field.name, wanted))
			continue;
		if (found++ == 0 && value)
			*value = field.value;
	}
	return found;
}

bool
http1_list_next(struct span *list, struct span *element)
{
	const uint8_t *comma;
	size_t len;

	if (!list->ptr)
		return false;
	comma = list->len ? memchr(list->ptr, ',', list->len) : NULL;
	len = comma ? (size_t)(comma - list->ptr) : list->len;
	*element = trim(span_cut(*list, 0, len));
	*list = comma ? span_cut(*list, len + 1, list->len) : SPAN_EMPTY;
	return true;
}

bool
http1_field_has_token(const struct http1_fields *f, const char *name, const char *token)
{
	struct span wanted = span_str(name), want = span_str(token), element;

	for (size_t i = 0; i < f->count; i++) {
		struct http1_field field = http1_field_at(f, i);

		if (!http1_equal_nocase(field.name, wanted))
			continue;
		while (http1_list_next(&field.value, &element))
			if (http1_equal_nocase(element, want))
				return true;
	}
	return false;
}
