/* SPDX-License-Identifier: Apache-2.0 */
/* Writing heads, chunks and dates: see the header. */
#include "codecs/http1_write.h"

#include <stdio.h>

#include "codecs/calendar.h"

static bool
value_ok(struct span value)
{
	for (size_t i = 0; i < value.len; i++)
		if ((value.ptr[i] < 0x20 && value.ptr[i] != '\t') || value.ptr[i] == 0x7f)
			return false;
	return true;
}

/* The fields that decide the message's shape are written from parameters only. */
static bool
field_ok(const struct http1_field_out *field, bool request)
{
	struct span name = span_str(field->name);

	if (http1_equal_nocase(name, span_str("Content-Length")) ||
	    http1_equal_nocase(name, span_str("Transfer-Encoding")) ||
	    http1_equal_nocase(name, span_str("Connection")) ||
	    (request && http1_equal_nocase(name, span_str("Host"))))
		return false;
	return http1_is_token(name) && value_ok(field->value);
}

static bool
fields_ok(const struct http1_field_out *fields, size_t count, bool request)
{
	for (size_t i = 0; i < count; i++)
		if (!field_ok(&fields[i], request))
			return false;
	return true;
}

static void
put_fields(struct buffer *out, const struct http1_field_out *fields, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		buffer_append_str(out, fields[i].name);
		buffer_append_str(out, ": ");
		buffer_append_span(out, fields[i].value);
		buffer_append_str(out, "\r\n");
	}
}

static void
put_length(struct buffer *out, int64_t length)
{
	if (length == HTTP1_LENGTH_CHUNKED)
		buffer_append_str(out, "Transfer-Encoding: chunked\r\n");
	else if (length >= 0)
		buffer_printf(out, "Content-Length: %lld\r\n", (long long)length);
}

/* All or nothing: ${from} is the length before. */
static enum http1_write_outcome
finish(struct buffer *out, size_t from)
{
	buffer_append_str(out, "\r\n");
	if (!buffer_failed(out))
		return HTTP1_WRITE_OK;
	out->len = from;
	return HTTP1_WRITE_NO_ROOM;
}

/*
 * RFC 9110 §8.6, RFC 9112 §6.1: these have no body and must not announce one; all others must say where
 * theirs ends.
 */
static bool
length_fits(int status, int64_t length)
{
	bool bodiless = status < 200 || status == 204 || status == 304;

	if (length < HTTP1_LENGTH_CHUNKED)
		return false;
	if (status == 304)
		return length >= HTTP1_LENGTH_NONE;
	return bodiless ? length == HTTP1_LENGTH_NONE : length != HTTP1_LENGTH_NONE;
}

enum http1_write_outcome
http1_response_head(struct buffer *out, const struct http1_response_head *head)
{
	size_t from = out->len;

	if (head->status < 100 || head->status > 599 || !length_fits(head->status, head->content_length) ||
	    !fields_ok(head->fields, head->count, false))
		return HTTP1_WRITE_BAD_FIELD;
	buffer_printf(out, "HTTP/1.1 %d %s\r\n", head->status, http1_reason(head->status));
	put_fields(out, head->fields, head->count);
	put_length(out, head->content_length);
	if (!head->keep_alive)
		buffer_append_str(out, "Connection: close\r\n");
	return finish(out, from);
}

static bool
visible(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] <= 0x20 || s.ptr[i] >= 0x7f)
			return false;
	return s.len > 0;
}

enum http1_write_outcome
http1_request_head(struct buffer *out, const char *method, struct span target, struct span host,
    const struct http1_field_out *fields, size_t count, int64_t content_length)
{
	size_t from = out->len;

	if (!http1_is_token(span_str(method)) || !visible(target) || !visible(host) ||
	    content_length < HTTP1_LENGTH_CHUNKED || !fields_ok(fields, count, true))
		return HTTP1_WRITE_BAD_FIELD;
	buffer_append_str(out, method);
	buffer_append_byte(out, ' ');
	buffer_append_span(out, target);
	buffer_append_str(out, " HTTP/1.1\r\nHost: ");
	buffer_append_span(out, host);
	buffer_append_str(out, "\r\n");
	put_fields(out, fields, count);
	put_length(out, content_length);
	return finish(out, from);
}

void
http1_write_chunk(struct buffer *out, struct span bytes)
{
	if (bytes.len == 0)
		return;
	buffer_printf(out, "%zx\r\n", bytes.len);
	buffer_append_span(out, bytes);
	buffer_append_str(out, "\r\n");
}

void
http1_write_last_chunk(struct buffer *out)
{
	buffer_append_str(out, "0\r\n\r\n");
}

void
http1_write_continue(struct buffer *out)
{
	buffer_append_str(out, "HTTP/1.1 100 Continue\r\n\r\n");
}

const char *
http1_reason(int status)
{
	static const struct {
		int status;
		const char *phrase;
	} reasons[] = {
		{ 100, "Continue" },
		{ 200, "OK" },
		{ 201, "Created" },
		{ 202, "Accepted" },
		{ 204, "No Content" },
		{ 206, "Partial Content" },
		{ 304, "Not Modified" },
		{ 400, "Bad Request" },
		{ 401, "Unauthorized" },
		{ 403, "Forbidden" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 406, "Not Acceptable" },
		{ 408, "Request Timeout" },
		{ 409, "Conflict" },
		{ 410, "Gone" },
		{ 411, "Length Required" },
		{ 412, "Precondition Failed" },
		{ 413, "Content Too Large" },
		{ 414, "URI Too Long" },
		{ 415, "Unsupported Media Type" },
		{ 417, "Expectation Failed" },
		{ 421, "Misdirected Request" },
		{ 422, "Unprocessable Content" },
		{ 428, "Precondition Required" },
		{ 429, "Too Many Requests" },
		{ 431, "Request Header Fields Too Large" },
		{ 500, "Internal Server Error" },
		{ 501, "Not Implemented" },
		{ 503, "Service Unavailable" },
		{ 504, "Gateway Timeout" },
		{ 505, "HTTP Version Not Supported" },
		{ 507, "Insufficient Storage" },
	};

	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (reasons[i].status == status)
			return reasons[i].phrase;
	return "Unknown";
}

char *
http1_date(int64_t unix_seconds, char out[HTTP1_DATE_SIZE])
{
	static const char days[7][4] = { "Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed" };
	static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep",
		"Oct", "Nov", "Dec" };
	int64_t last = 253402300799; /* the end of 9999: what four digits can say */
	int64_t at = unix_seconds < 0 ? 0 : unix_seconds > last ? last : unix_seconds;
	struct calendar_date date = calendar_date(at / 86400);
	unsigned second = (unsigned)(at % 86400);

	snprintf(out, HTTP1_DATE_SIZE, "%s, %02u %s %04u %02u:%02u:%02u GMT", days[at / 86400 % 7],
	    date.day % 100, months[(date.month - 1) % 12], (unsigned)date.year % 10000, second / 3600,
	    second / 60 % 60, second % 60);
	return out;
}
