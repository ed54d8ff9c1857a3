/* SPDX-License-Identifier: Apache-2.0 */
/* The response reader: status line, fields, body. See codecs/http1.c, whose shape this has. */
#include "codecs/http1_response.h"

#include "codecs/http1_head.h"

#define STATUS_LINE_MAX 1024 /* a reason phrase is never read */
#define INTERIM_MAX	8

enum {
	READ_START,
	READ_FIELDS,
	READ_BODY,
	READ_END,
	READ_BROKEN,
};

void
http1_response_init(struct http1_response *r, uint64_t body_max)
{
	*r = (struct http1_response){ .body_max = body_max };
	http1_fields_init(&r->fields);
	http1_response_next(r, false);
}

void
http1_response_fini(struct http1_response *r)
{
	http1_fields_fini(&r->fields);
	r->state = READ_BROKEN;
}

void
http1_response_next(struct http1_response *r, bool head_only)
{
	if (r->state == READ_BROKEN)
		return;
	http1_fields_reset(&r->fields);
	r->state = READ_START;
	r->line_from = 0;
	r->interim = 0;
	r->code = 0;
	r->content_length = HTTP1_LENGTH_NONE;
	r->head_only = head_only;
	r->keep_alive = false;
}

static enum http1_event
refuse(struct http1_response *r, int status, const char *reason)
{
	r->state = READ_BROKEN;
	r->status = status;
	r->reason = reason;
	return HTTP1_FAULT;
}

/* "HTTP/1.1 200 reason": the blank behind the code is there even without a reason (RFC 9112 §4). */
static enum http1_event
take_status_line(struct http1_response *r, struct span line)
{
	if (line.len < 13 || memcmp(line.ptr, "HTTP/", 5) != 0 || line.ptr[6] != '.' || line.ptr[8] != ' ' ||
	    line.ptr[12] != ' ')
		return refuse(r, 400, "the status line is not VERSION CODE REASON");
	if (line.ptr[5] != '1' || (line.ptr[7] != '0' && line.ptr[7] != '1'))
		return refuse(r, 505, "the answer is neither HTTP/1.1 nor HTTP/1.0");
	r->minor = line.ptr[7] - '0';
	r->code = 0;
	for (size_t i = 9; i < 12; i++) {
		if (line.ptr[i] < '0' || line.ptr[i] > '9')
			return refuse(r, 400, "the status code is not three digits");
		r->code = r->code * 10 + (line.ptr[i] - '0');
	}
	if (r->code < 100 || r->code > 599)
		return refuse(r, 400, "the status code is not between 100 and 599");
	for (size_t i = 13; i < line.len; i++)
		if ((line.ptr[i] < 0x20 && line.ptr[i] != '\t') || line.ptr[i] == 0x7f)
			return refuse(r, 400, "the reason phrase holds a control character");
	return HTTP1_MORE;
}

/* An interim answer is complete with its head (RFC 9110 §15.2): forget it and read the next. */
static enum http1_event
pass_interim(struct http1_response *r)
{
	unsigned interim = r->interim + 1;

	if (r->code == 101)
		return refuse(r, 501, "the server switches protocols unasked");
	if (interim > INTERIM_MAX)
		return refuse(r, 400, "too many interim answers");
	http1_response_next(r, r->head_only);
	r->interim = interim;
	return HTTP1_MORE;
}

static enum http1_event
finish_head(struct http1_response *r)
{
	enum http1_body_kind kind;
	const char *reason;
	int status;

	if (r->code < 200)
		return pass_interim(r);
	status = http1_body_frame(&r->fields, r->minor == 0, &kind, &r->content_length, &reason);
	if (status)
		return refuse(r, status, reason);
	r->keep_alive = r->minor > 0 && !http1_field_has_token(&r->fields, "Connection", "close");
	if (r->head_only || r->code == 204 || r->code == 304) {
		kind = HTTP1_BODY_NONE;
	} else if (kind == HTTP1_BODY_NONE) {
		kind = HTTP1_BODY_TO_CLOSE;
		r->keep_alive = false;
	}
	http1_body_begin(&r->body, kind, r->content_length, r->body_max);
	r->state = READ_BODY;
	return HTTP1_HEAD_DONE;
}

static enum http1_event
read_line(struct http1_response *r, struct span *in)
{
	size_t max = r->state == READ_START ? STATUS_LINE_MAX : HTTP1_HEAD_MAX;
	size_t from = r->line_from;
	struct http1_line line;
	const char *reason;
	int status;

	switch (http1_line_read(&r->fields, from, max, in, &line)) {
	case HTTP1_LINE_MORE:
		return HTTP1_MORE;
	case HTTP1_LINE_LONG:
		return refuse(r, 431, "the status line is too long");
	case HTTP1_LINE_FAULT:
		return refuse(r, line.status, line.reason);
	case HTTP1_LINE_DONE:
		break;
	}
	r->line_from = r->fields.bytes.len;
	if (r->state == READ_START) {
		r->state = READ_FIELDS;
		return take_status_line(r, line.line);
	}
	if (line.line.len == 0)
		return finish_head(r);
	status = http1_head_field(&r->fields, from, line.line, &reason);
	return status ? refuse(r, status, reason) : HTTP1_MORE;
}

static enum http1_event
read_body(struct http1_response *r, struct span *in, struct span *body)
{
	switch (http1_body_read(&r->body, in, body)) {
	case HTTP1_BODY_MORE:
		return HTTP1_MORE;
	case HTTP1_BODY_BYTES:
		return HTTP1_BODY;
	case HTTP1_BODY_END:
		r->state = READ_END;
		return HTTP1_END;
	case HTTP1_BODY_FAULT:
		break;
	}
	return refuse(r, r->body.status, r->body.reason);
}

enum http1_event
http1_response_read(struct http1_response *r, struct span *in, struct span *body)
{
	enum http1_event event = HTTP1_MORE;

	*body = SPAN_EMPTY;
	while (event == HTTP1_MORE) {
		if (r->state == READ_BROKEN)
			return HTTP1_FAULT;
		if (r->state == READ_END)
			return HTTP1_END;
		if (r->state == READ_BODY)
			return read_body(r, in, body);
		if (in->len == 0)
			return HTTP1_MORE;
		event = read_line(r, in);
	}
	return event;
}

enum http1_event
http1_response_eof(struct http1_response *r)
{
	if (r->state == READ_END)
		return HTTP1_END;
	if (r->state == READ_BODY && r->body.kind == HTTP1_BODY_TO_CLOSE) {
		r->state = READ_END;
		return HTTP1_END;
	}
	return r->state == READ_BROKEN ? HTTP1_FAULT
				       : refuse(r, 400, "the connection ended inside the answer");
}
