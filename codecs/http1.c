/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The request reader. The head is gathered line by line in fields.bytes and judged as each line ends;
 * places are kept as offsets until it is complete, because the buffer may move. The body is handed through.
 */
#include "codecs/http1.h"

#include "codecs/http1_head.h"
#include "codecs/http1_target.h"

#define VERSION_LEN	 8 /* "HTTP/1.1" */
#define REQUEST_LINE_MAX (HTTP1_METHOD_MAX + 1 + HTTP1_TARGET_MAX + 1 + VERSION_LEN)

enum {
	READ_BEFORE, /* nothing came yet */
	READ_BEFORE_LF,
	READ_START, /* in the request line */
	READ_FIELDS,
	READ_BODY,
	READ_END,
	READ_BROKEN,
};

static const char *const method_names[HTTP1_METHODS] = {
	[HTTP1_GET] = "GET",
	[HTTP1_HEAD] = "HEAD",
	[HTTP1_POST] = "POST",
	[HTTP1_PUT] = "PUT",
	[HTTP1_PATCH] = "PATCH",
	[HTTP1_DELETE] = "DELETE",
	[HTTP1_OPTIONS] = "OPTIONS",
};

const char *
http1_method_name(enum http1_method method)
{
	return (unsigned)method < HTTP1_METHODS ? method_names[method] : "unknown";
}

void
http1_reader_init(struct http1_reader *r, uint64_t body_max, unsigned flags)
{
	*r = (struct http1_reader){ .body_max = body_max, .flags = flags, .state = READ_BEFORE };
	http1_fields_init(&r->fields);
}

void
http1_reader_fini(struct http1_reader *r)
{
	http1_fields_fini(&r->fields);
	r->state = READ_BROKEN;
}

void
http1_reader_next(struct http1_reader *r)
{
	if (r->state == READ_BROKEN)
		return;
	http1_fields_reset(&r->fields);
	r->request = (struct http1_request){ .content_length = HTTP1_LENGTH_NONE };
	r->state = READ_BEFORE;
	r->line_from = 0;
}

bool
http1_reader_idle(const struct http1_reader *r)
{
	return r->state == READ_BEFORE || r->state == READ_END ||
	       (r->state == READ_START && r->fields.bytes.len == 0);
}

static enum http1_event
refuse(struct http1_reader *r, int status, const char *reason)
{
	r->state = READ_BROKEN;
	r->status = status;
	r->reason = reason;
	return HTTP1_FAULT;
}

/* "HTTP/1.0" or "HTTP/1.1"; a well-formed other version is 505, and this is settled before the method. */
static enum http1_event
take_version(struct http1_reader *r, struct span s)
{
	if (s.len != VERSION_LEN || memcmp(s.ptr, "HTTP/", 5) != 0 || s.ptr[6] != '.' || s.ptr[5] < '0' ||
	    s.ptr[5] > '9' || s.ptr[7] < '0' || s.ptr[7] > '9')
		return refuse(r, 400, "the request line does not end with an HTTP version");
	if (s.ptr[5] != '1' || s.ptr[7] > '1')
		return refuse(r, 505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
	r->request.minor = s.ptr[7] - '0';
	return HTTP1_MORE;
}

static enum http1_event
take_method(struct http1_reader *r, struct span s)
{
	for (int m = 0; m < HTTP1_METHODS; m++)
		if (span_eq_str(s, method_names[m])) { /* methods are case-sensitive (RFC 9110 §9.1) */
			r->request.method = (enum http1_method)m;
			return HTTP1_MORE;
		}
	return refuse(r, 501, "the method is not known here");
}

/* The request line is complete: METHOD SP TARGET SP VERSION, nothing else (RFC 9112 §3). */
static enum http1_event
take_request_line(struct http1_reader *r, struct span line)
{
	const uint8_t *first = line.len ? memchr(line.ptr, ' ', line.len) : NULL;
	size_t method_len = first ? (size_t)(first - line.ptr) : line.len;
	struct span rest = span_cut(line, method_len + 1, line.len);
	const uint8_t *second = rest.len ? memchr(rest.ptr, ' ', rest.len) : NULL;
	size_t target_len = second ? (size_t)(second - rest.ptr) : rest.len;
	enum http1_event event;

	if (!http1_is_token(span_cut(line, 0, method_len)))
		return refuse(r, 400, "the request line does not begin with a method");
	if (!first || !second || target_len == 0)
		return refuse(r, 400, "the request line is not METHOD TARGET VERSION with single blanks");
	if (target_len > HTTP1_TARGET_MAX)
		return refuse(r, 414, "the target is too long");
	event = take_version(r, span_cut(rest, target_len + 1, rest.len));
	if (event == HTTP1_MORE)
		event = take_method(r, span_cut(line, 0, method_len));
	r->target_from = (size_t)(rest.ptr - r->fields.bytes.data);
	r->target_len = target_len;
	return event;
}

/* The request line passed its ceiling before it ended: say which part is to blame. */
static enum http1_event
refuse_long_line(struct http1_reader *r, struct span line)
{
	const uint8_t *first = memchr(line.ptr, ' ', line.len);
	size_t method_len = first ? (size_t)(first - line.ptr) : line.len;

	if (!http1_is_token(span_cut(line, 0, method_len)))
		return refuse(r, 400, "the request line does not begin with a method");
	if (method_len > HTTP1_METHOD_MAX)
		return refuse(r, 501, "the method is not known here");
	if (!memchr(first + 1, ' ', line.len - method_len - 1))
		return refuse(r, 414, "the target is too long");
	return refuse(r, 400, "the request line does not end with an HTTP version");
}

/* NAME or an address, with an optional port; the characters of RFC 3986 reg-names that real names use. */
static bool
host_ok(struct span host)
{
	size_t at = 0, name_len;
	unsigned port = 0;

	if (host.len > 0 && host.ptr[0] == '[') {
		at = 1;
		while (at < host.len && (strchr("0123456789abcdefABCDEF:.", host.ptr[at]) && host.ptr[at]))
			at++;
		if (at < 3 || at == host.len || host.ptr[at] != ']')
			return false;
		at++;
	} else {
		while (at < host.len && host.ptr[at] != ':') {
			uint8_t c = host.ptr[at];

			if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
				c == '-' || c == '.' || c == '_'))
				return false;
			at++;
		}
	}
	name_len = at;
	if (at < host.len && host.ptr[at++] != ':')
		return false;
	for (; at < host.len; at++) {
		if (host.ptr[at] < '0' || host.ptr[at] > '9')
			return false;
		port = port * 10 + (unsigned)(host.ptr[at] - '0');
		if (port > 65535)
			return false;
	}
	return name_len > 0;
}

static enum http1_event
judge_host(struct http1_reader *r)
{
	size_t hosts = http1_field_find(&r->fields, "Host", &r->request.host);

	if (hosts > 1)
		return refuse(r, 400, "Host stands twice");
	if (hosts == 0 && r->request.minor > 0)
		return refuse(r, 400, "Host is missing");
	if (hosts == 1 && !host_ok(r->request.host))
		return refuse(r, 400, "Host is not a name or address with an optional port");
	return HTTP1_MORE;
}

/*
 * An absolute target says the authority a second time (RFC 9112 §3.2.2, which has it override Host): taken
 * only where both say the same. ${target} becomes what follows the authority.
 */
static enum http1_event
judge_absolute(struct http1_reader *r, struct span *target)
{
	const uint8_t *end;
	size_t scheme;

	if (http1_equal_nocase(span_cut(*target, 0, 8), span_str("https://")))
		scheme = 8;
	else if (http1_equal_nocase(span_cut(*target, 0, 7), span_str("http://")))
		scheme = 7;
	else
		return refuse(r, 400, "the target is neither a path nor an http URI");
	*target = span_cut(*target, scheme, target->len);
	end = target->len ? memchr(target->ptr, '/', target->len) : NULL;
	if (!http1_equal_nocase(
		span_cut(*target, 0, end ? (size_t)(end - target->ptr) : target->len), r->request.host))
		return refuse(r, 400, "the target's authority is not that of Host");
	*target = end ? span_cut(*target, (size_t)(end - target->ptr), target->len) : span_str("/");
	return HTTP1_MORE;
}

static enum http1_event
judge_target(struct http1_reader *r)
{
	struct span target = span_make(r->fields.bytes.data + r->target_from, r->target_len);
	const uint8_t *mark;
	const char *wrong;

	if (target.ptr[0] != '/' && judge_absolute(r, &target) == HTTP1_FAULT)
		return HTTP1_FAULT;
	wrong = http1_target_check(target, r->flags, &r->lenient_query);
	if (wrong)
		return refuse(r, 400, wrong);
	mark = memchr(target.ptr, '?', target.len);
	r->request.target = target;
	r->request.path = span_cut(target, 0, mark ? (size_t)(mark - target.ptr) : target.len);
	r->request.query = span_cut(target, r->request.path.len + 1, target.len);
	return HTTP1_MORE;
}

static enum http1_event
judge_body(struct http1_reader *r)
{
	struct http1_request *q = &r->request;
	enum http1_body_kind kind;
	struct span expect;
	int64_t length;
	size_t expects;
	int status;

	status = http1_body_frame(&r->fields, q->minor == 0, &kind, &length, &r->reason);
	if (status)
		return refuse(r, status, r->reason);
	q->content_length = length;
	q->chunked = kind == HTTP1_BODY_CHUNKED;
	expects = q->minor > 0 ? http1_field_find(&r->fields, "Expect", &expect) : 0;
	if (expects > 1 || (expects == 1 && !http1_equal_nocase(expect, span_str("100-continue"))))
		return refuse(r, 417, "the expectation is not 100-continue");
	q->expect_100 = expects == 1 && (q->chunked || length > 0);
	http1_body_begin(&r->body, kind, length, r->body_max);
	return HTTP1_MORE;
}

/* The empty line came. */
static enum http1_event
finish_head(struct http1_reader *r)
{
	if (judge_host(r) == HTTP1_FAULT || judge_target(r) == HTTP1_FAULT || judge_body(r) == HTTP1_FAULT)
		return HTTP1_FAULT;
	r->request.keep_alive =
	    r->request.minor > 0 && !http1_field_has_token(&r->fields, "Connection", "close");
	r->state = READ_BODY;
	return HTTP1_HEAD_DONE;
}

/* One line of the head; HTTP1_MORE also means: a line was taken, go on. */
static enum http1_event
read_line(struct http1_reader *r, struct span *in)
{
	size_t max = r->state == READ_START ? REQUEST_LINE_MAX : HTTP1_HEAD_MAX;
	size_t from = r->line_from;
	struct http1_line line;
	const char *reason;
	int status;

	switch (http1_line_read(&r->fields, from, max, in, &line)) {
	case HTTP1_LINE_MORE:
		return HTTP1_MORE;
	case HTTP1_LINE_LONG:
		return refuse_long_line(r, line.line);
	case HTTP1_LINE_FAULT:
		return refuse(r, line.status, line.reason);
	case HTTP1_LINE_DONE:
		break;
	}
	r->line_from = r->fields.bytes.len;
	if (r->state == READ_START) {
		r->state = READ_FIELDS;
		return take_request_line(r, line.line);
	}
	if (line.line.len == 0)
		return finish_head(r);
	status = http1_head_field(&r->fields, from, line.line, &reason);
	return status ? refuse(r, status, reason) : HTTP1_MORE;
}

/* Before the request line one empty line may stand (RFC 9112 §2.2): old clients put it behind a body. */
static enum http1_event
read_before(struct http1_reader *r, struct span *in)
{
	if (r->state == READ_BEFORE && in->ptr[0] == '\r') {
		r->state = READ_BEFORE_LF;
		*in = span_cut(*in, 1, in->len);
	} else if (r->state == READ_BEFORE) {
		r->state = READ_START;
	} else if (in->ptr[0] == '\n') {
		r->state = READ_START;
		*in = span_cut(*in, 1, in->len);
	} else {
		return refuse(r, 400, "a CR stands before the request line");
	}
	return HTTP1_MORE;
}

static enum http1_event
read_body(struct http1_reader *r, struct span *in, struct span *body)
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
http1_read(struct http1_reader *r, struct span *in, struct span *body)
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
		event = r->state < READ_START ? read_before(r, in) : read_line(r, in);
	}
	return event;
}

bool
http1_reader_body_max(struct http1_reader *r, uint64_t body_max)
{
	if (r->state != READ_BODY)
		return false;
	http1_body_begin(&r->body, r->body.kind, r->request.content_length, body_max);
	return r->body.status == 0;
}
