/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of a head: see the header. */
#include "codecs/http1_head.h"

static enum http1_line_event
refuse(struct http1_line *line, int status, const char *reason)
{
	line->status = status;
	line->reason = reason;
	return HTTP1_LINE_FAULT;
}

enum http1_line_event
http1_line_read(struct http1_fields *f, size_t from, size_t max, struct span *in, struct http1_line *line)
{
	const uint8_t *lf = in->len ? memchr(in->ptr, '\n', in->len) : NULL;
	size_t have = f->bytes.len - from; /* of this line, without LF */
	size_t take = lf ? (size_t)(lf - in->ptr) + 1 : in->len;
	size_t line_room = max + 2 - have, head_room = HTTP1_HEAD_MAX - f->bytes.len;
	size_t room = line_room < head_room ? line_room : head_room;
	bool cut = take > room;

	if (cut)
		take = room;
	buffer_append_span(&f->bytes, span_cut(*in, 0, take));
	if (buffer_failed(&f->bytes))
		return refuse(line, 503, "no memory for the head");
	*in = span_cut(*in, take, in->len);
	line->line = span_cut(buffer_span(&f->bytes), from, f->bytes.len);
	if (cut && line_room < head_room)
		return HTTP1_LINE_LONG;
	if (cut)
		return refuse(line, 431, "the head is too large");
	if (!lf)
		return HTTP1_LINE_MORE;
	if (line->line.len < 2 || line->line.ptr[line->line.len - 2] != '\r')
		return refuse(line, 400, "a line ends with a bare LF");
	line->line.len -= 2;
	return HTTP1_LINE_DONE;
}

int
http1_head_field(struct http1_fields *f, size_t from, struct span line, const char **reason)
{
	if (line.ptr[0] == ' ' || line.ptr[0] == '\t') {
		*reason = "a field line is folded";
		return 400;
	}
	switch (http1_fields_add(f, from, from + line.len)) {
	case HTTP1_FIELD_OK:
		return 0;
	case HTTP1_FIELD_MANY:
		*reason = "the head has too many fields";
		return 431;
	case HTTP1_FIELD_BAD:
		break;
	}
	*reason = "a line of the head is not a field";
	return 400;
}
