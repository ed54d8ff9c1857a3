/* SPDX-License-Identifier: Apache-2.0 */
/* Message bodies: by length, in chunks, to the end of the connection. */
#include "codecs/http1_body.h"

#include "codecs/hex.h"

#define CHUNK_DIGITS_MAX 16 /* 64 bits; more zeros in front have no use but to confuse */

enum {
	BODY_COUNTED, /* b->left bytes, of the body or of the current chunk */
	BODY_SIZE,    /* in a chunk's size line */
	BODY_CR,      /* behind a chunk's data */
	BODY_LF,
	BODY_TRAILER, /* in a trailer field, or in the empty line */
	BODY_DONE,
	BODY_BROKEN,
};

/* The last element of a Transfer-Encoding that is a list decides (RFC 9112 §6.3). */
static int
frame_coding(struct span value, const char **reason)
{
	struct span list = value, element, last = SPAN_EMPTY;
	size_t elements = 0, chunked = 0;

	while (http1_list_next(&list, &element)) {
		if (!http1_is_token(element)) {
			*reason = "Transfer-Encoding is not a list of plain codings";
			return 400;
		}
		elements++;
		chunked += http1_equal_nocase(element, span_str("chunked"));
		last = element;
	}
	if (chunked != 1 || !http1_equal_nocase(last, span_str("chunked"))) {
		*reason = "the last transfer coding, and only it, must be chunked";
		return 400;
	}
	if (elements > 1) {
		*reason = "no transfer coding but chunked is supported";
		return 501;
	}
	return 0;
}

static int
frame_length(struct span value, int64_t *length, const char **reason)
{
	uint64_t n = 0;
	bool huge = false;

	for (size_t i = 0; i < value.len; i++) {
		uint8_t c = value.ptr[i];

		if (c < '0' || c > '9') {
			*reason = "Content-Length is not a decimal number";
			return 400;
		}
		if (n > (INT64_MAX - 9) / 10)
			huge = true;
		else
			n = n * 10 + (uint64_t)(c - '0');
	}
	if (value.len == 0) {
		*reason = "Content-Length is empty";
		return 400;
	}
	if (huge) {
		*reason = "Content-Length is beyond any body";
		return 413;
	}
	*length = (int64_t)n;
	return 0;
}

int
http1_body_frame(const struct http1_fields *f, bool http10, enum http1_body_kind *kind, int64_t *length,
    const char **reason)
{
	struct span coding, text;
	size_t codings = http1_field_find(f, "Transfer-Encoding", &coding);
	size_t lengths = http1_field_find(f, "Content-Length", &text);

	*kind = HTTP1_BODY_NONE;
	*length = HTTP1_LENGTH_NONE;
	if (codings > 0 && lengths > 0) {
		*reason = "Transfer-Encoding and Content-Length exclude each other";
		return 400;
	}
	if (codings > 1 || lengths > 1) {
		*reason = "Transfer-Encoding or Content-Length stands twice";
		return 400;
	}
	if (codings > 0 && http10) {
		*reason = "HTTP/1.0 has no transfer codings";
		return 400;
	}
	if (codings > 0) {
		*kind = HTTP1_BODY_CHUNKED;
		return frame_coding(coding, reason);
	}
	if (lengths > 0) {
		*kind = HTTP1_BODY_LENGTH;
		return frame_length(text, length, reason);
	}
	return 0;
}

static enum http1_body_event
refuse(struct http1_body *b, int status, const char *reason)
{
	b->state = BODY_BROKEN;
	b->status = status;
	b->reason = reason;
	return HTTP1_BODY_FAULT;
}

void
http1_body_begin(struct http1_body *b, enum http1_body_kind kind, int64_t length, uint64_t max)
{
	/* the line needs no clearing */
	b->kind = kind;
	b->state = kind == HTTP1_BODY_CHUNKED ? BODY_SIZE
		   : kind == HTTP1_BODY_NONE  ? BODY_DONE
					      : BODY_COUNTED;
	b->left = kind == HTTP1_BODY_LENGTH ? (uint64_t)length : 0;
	b->got = 0;
	b->max = max;
	b->extensions = 0;
	b->trailers = 0;
	b->line_len = 0;
	b->status = 0;
	b->reason = NULL;
	if (kind == HTTP1_BODY_LENGTH && b->left > max)
		refuse(b, 413, "the body is larger than allowed");
}

/* The length of the quoted string at the front of ${s} (RFC 9110 §5.6.4), or 0. */
static size_t
quoted_len(struct span s)
{
	for (size_t i = 1; i < s.len; i++) {
		uint8_t c = s.ptr[i];

		if (c == '"')
			return i + 1;
		if (c == '\\' && ++i < s.len)
			c = s.ptr[i];
		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return 0;
	}
	return 0;
}

static size_t
token_len(struct span s)
{
	size_t n = 0;

	while (n < s.len && http1_is_token(span_cut(s, n, n + 1)))
		n++;
	return n;
}

/* *( ";" name [ "=" value ] ), without the "bad white space" that §7.1.1 lets a recipient take. */
static bool
extensions_ok(struct span s)
{
	size_t at = 0, n;

	while (at < s.len) {
		if (s.ptr[at++] != ';')
			return false;
		n = token_len(span_cut(s, at, s.len));
		if (n == 0)
			return false;
		at += n;
		if (at == s.len || s.ptr[at] != '=')
			continue;
		at++;
		if (at < s.len && s.ptr[at] == '"')
			n = quoted_len(span_cut(s, at, s.len));
		else
			n = token_len(span_cut(s, at, s.len));
		if (n == 0)
			return false;
		at += n;
	}
	return true;
}

/* The line "SIZE;extensions" is complete, without its CRLF. */
static enum http1_body_event
take_size(struct http1_body *b)
{
	struct span line = span_make(b->line, b->line_len);
	uint64_t size = 0;
	size_t digits = 0;

	while (digits < line.len && hex_value(line.ptr[digits]) >= 0) {
		size = size << 4 | (uint64_t)hex_value(line.ptr[digits]);
		digits++;
	}
	b->line_len = 0;
	if (digits == 0 || digits > CHUNK_DIGITS_MAX)
		return refuse(b, 400, "a chunk size is not 1 to 16 hexadecimal digits");
	if (!extensions_ok(span_cut(line, digits, line.len)))
		return refuse(b, 400, "a chunk size is followed by something else than extensions");
	b->extensions += line.len - digits;
	if (b->extensions > HTTP1_CHUNK_EXTENSION_MAX)
		return refuse(b, 400, "too many chunk extensions");
	if (size > b->max - b->got)
		return refuse(b, 413, "the body is larger than allowed");
	b->left = size;
	b->state = size ? BODY_COUNTED : BODY_TRAILER;
	return HTTP1_BODY_MORE;
}

/*
 * Fields of framing, routing and authentication, which would mean something else in a head (RFC 9110
 * §6.5.1). Any other trailer field is dropped, whatever it says.
 */
static bool
forbidden_trailer(struct span name)
{
	static const char *const names[] = { "Content-Length", "Transfer-Encoding", "Host", "Connection",
		"Trailer", "TE", "Expect", "Authorization" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (http1_equal_nocase(name, span_str(names[i])))
			return true;
	return false;
}

static enum http1_body_event
take_trailer(struct http1_body *b)
{
	struct span line = span_make(b->line, b->line_len);
	struct http1_field field;

	b->line_len = 0;
	if (line.len == 0) {
		b->state = BODY_DONE;
		return HTTP1_BODY_END;
	}
	b->trailers += line.len + 2;
	if (b->trailers > HTTP1_TRAILER_MAX)
		return refuse(b, 431, "the trailer section is too large");
	if (!http1_field_parse(line, &field))
		return refuse(b, 400, "a trailer line is not a field");
	if (forbidden_trailer(field.name))
		return refuse(b, 400, "a trailer holds a field that only a head may hold");
	return HTTP1_BODY_MORE;
}

/* Collect a line of the chunked coding up to its CRLF, then judge it. */
static enum http1_body_event
take_line(struct http1_body *b, struct span *in)
{
	while (in->len > 0) {
		uint8_t c = in->ptr[0];

		*in = span_cut(*in, 1, in->len);
		if (c == '\n') {
			if (b->line_len == 0 || b->line[b->line_len - 1] != '\r')
				return refuse(b, 400, "a line of the chunked coding ends with a bare LF");
			b->line_len--;
			return b->state == BODY_SIZE ? take_size(b) : take_trailer(b);
		}
		if (b->line_len == sizeof(b->line)) {
			if (b->state == BODY_SIZE)
				return refuse(b, 400, "a chunk's size line is too long");
			return refuse(b, 431, "a trailer field is too long");
		}
		b->line[b->line_len++] = c;
	}
	return HTTP1_BODY_MORE;
}

static enum http1_body_event
take_bytes(struct http1_body *b, struct span *in, struct span *bytes)
{
	uint64_t allowed = b->kind == HTTP1_BODY_TO_CLOSE ? b->max - b->got : b->left;
	size_t n = in->len < allowed ? in->len : (size_t)allowed;

	if (n == 0) /* only without a length: otherwise left would have ended it */
		return refuse(b, 413, "the body is larger than allowed");
	*bytes = span_cut(*in, 0, n);
	*in = span_cut(*in, n, in->len);
	b->got += n;
	if (b->kind != HTTP1_BODY_TO_CLOSE)
		b->left -= n;
	return HTTP1_BODY_BYTES;
}

/* One step; HTTP1_BODY_MORE here means: nothing to tell yet. */
static enum http1_body_event
step(struct http1_body *b, struct span *in, struct span *bytes)
{
	uint8_t c;

	switch (b->state) {
	case BODY_COUNTED:
		return take_bytes(b, in, bytes);
	case BODY_CR:
	case BODY_LF:
		c = in->ptr[0];
		*in = span_cut(*in, 1, in->len);
		if (c != (b->state == BODY_CR ? '\r' : '\n'))
			return refuse(b, 400, "a chunk is longer or shorter than its size");
		b->state = b->state == BODY_CR ? BODY_LF : BODY_SIZE;
		return HTTP1_BODY_MORE;
	default:
		return take_line(b, in);
	}
}

enum http1_body_event
http1_body_read(struct http1_body *b, struct span *in, struct span *bytes)
{
	enum http1_body_event event = HTTP1_BODY_MORE;

	while (event == HTTP1_BODY_MORE) {
		if (b->state == BODY_BROKEN)
			return HTTP1_BODY_FAULT;
		if (b->state == BODY_COUNTED && b->kind == HTTP1_BODY_LENGTH && b->left == 0)
			b->state = BODY_DONE;
		if (b->state == BODY_COUNTED && b->kind == HTTP1_BODY_CHUNKED && b->left == 0)
			b->state = BODY_CR;
		if (b->state == BODY_DONE)
			return HTTP1_BODY_END;
		if (in->len == 0)
			return HTTP1_BODY_MORE;
		event = step(b, in, bytes);
	}
	return event;
}
