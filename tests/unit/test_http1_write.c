/* SPDX-License-Identifier: Apache-2.0 */
/* Heads as written: their exact bytes, what is refused, and that our own readers take them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "codecs/http1.h"
#include "codecs/http1_write.h"

static enum http1_write_outcome
write_field(const char *name, const char *value)
{
	struct http1_field_out field = { name, span_str(value) };
	struct http1_response_head head = { 200, &field, 1, 0, true };
	enum http1_write_outcome outcome;
	struct buffer b;

	buffer_init(&b, 1024);
	outcome = http1_response_head(&b, &head);
	assert_int_equal(b.len == 0, outcome != HTTP1_WRITE_OK);
	buffer_fini(&b);
	return outcome;
}

static void
test_response_head(void **state)
{
	struct http1_field_out fields[] = { { "Content-Type", span_str("application/json") },
		{ "ETag", span_str("\"1\"") } };
	struct http1_response_head head = { 200, fields, 2, 12, true };
	struct buffer b;

	(void)state;
	buffer_init(&b, 1024);
	assert_int_equal(http1_response_head(&b, &head), HTTP1_WRITE_OK);
	assert_true(span_eq_str(buffer_span(&b), "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nETag: "
						 "\"1\"\r\nContent-Length: 12\r\n\r\n"));
	buffer_reset(&b);
	head = (struct http1_response_head){ 413, NULL, 0, HTTP1_LENGTH_CHUNKED, false };
	assert_int_equal(http1_response_head(&b, &head), HTTP1_WRITE_OK);
	assert_true(span_eq_str(buffer_span(&b),
	    "HTTP/1.1 413 Content Too Large\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"));
	buffer_reset(&b);
	head = (struct http1_response_head){ 204, NULL, 0, HTTP1_LENGTH_NONE, true };
	assert_int_equal(http1_response_head(&b, &head), HTTP1_WRITE_OK);
	assert_true(span_eq_str(buffer_span(&b), "HTTP/1.1 204 No Content\r\n\r\n"));
	buffer_reset(&b);
	http1_write_chunk(&b, span_str("0123456789abcdef!"));
	http1_write_chunk(&b, SPAN_EMPTY);
	http1_write_last_chunk(&b);
	http1_write_continue(&b);
	assert_true(span_eq_str(
	    buffer_span(&b), "11\r\n0123456789abcdef!\r\n0\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"));
	buffer_fini(&b);
}

static void
test_response_refused(void **state)
{
	static const struct http1_response_head bad[] = {
		{ 99, NULL, 0, 0, true },
		{ 600, NULL, 0, 0, true },
		{ 200, NULL, 0, HTTP1_LENGTH_NONE, true }, /* no telling where its body ends */
		{ 204, NULL, 0, 0, true },
		{ 204, NULL, 0, HTTP1_LENGTH_CHUNKED, true },
		{ 200, NULL, 0, -3, true },
	};
	struct http1_response_head head = { 200, NULL, 0, 0, true };
	struct buffer b;

	(void)state;
	assert_int_equal(write_field("X-A", "plain \t\xc3\xa9"), HTTP1_WRITE_OK);
	assert_int_equal(write_field("X-A", "a\r\nX-B: c"), HTTP1_WRITE_BAD_FIELD);
	assert_int_equal(write_field("X-A", "a\nb"), HTTP1_WRITE_BAD_FIELD);
	assert_int_equal(write_field("X-A", "a\rb"), HTTP1_WRITE_BAD_FIELD);
	assert_int_equal(write_field("X A", "a"), HTTP1_WRITE_BAD_FIELD);
	assert_int_equal(write_field("", "a"), HTTP1_WRITE_BAD_FIELD);
	assert_int_equal(write_field("X-A:", "a"), HTTP1_WRITE_BAD_FIELD);
	assert_int_equal(write_field("content-length", "5"), HTTP1_WRITE_BAD_FIELD);
	assert_int_equal(write_field("Transfer-Encoding", "chunked"), HTTP1_WRITE_BAD_FIELD);
	assert_int_equal(write_field("Connection", "close"), HTTP1_WRITE_BAD_FIELD);
	buffer_init(&b, 20);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(http1_response_head(&b, &bad[i]), HTTP1_WRITE_BAD_FIELD);
	buffer_append_str(&b, "before");
	assert_int_equal(http1_response_head(&b, &head), HTTP1_WRITE_NO_ROOM);
	assert_true(span_eq_str(buffer_span(&b), "before"));
	buffer_fini(&b);
}

/* What we write as a request our reader takes, and a target that would split the line is not written. */
static void
test_request_head(void **state)
{
	struct http1_field_out field = { "Accept", span_str("*/*") }, host = { "Host", span_str("b") };
	struct http1_reader r;
	struct buffer b;
	struct span in, body;

	(void)state;
	buffer_init(&b, 1024);
	assert_int_equal(
	    http1_request_head(&b, "POST", span_str("/a?b"), span_str("h:1"), &field, 1, 2), HTTP1_WRITE_OK);
	assert_true(span_eq_str(
	    buffer_span(&b), "POST /a?b HTTP/1.1\r\nHost: h:1\r\nAccept: */*\r\nContent-Length: 2\r\n\r\n"));
	in = buffer_span(&b);
	http1_reader_init(&r, 10, 0);
	assert_int_equal(http1_read(&r, &in, &body), HTTP1_HEAD_DONE);
	assert_int_equal(r.request.content_length, 2);
	http1_reader_fini(&r);
	buffer_reset(&b);
	assert_int_equal(
	    http1_request_head(&b, "GET", span_str("/a b"), span_str("h"), NULL, 0, HTTP1_LENGTH_NONE),
	    HTTP1_WRITE_BAD_FIELD);
	assert_int_equal(
	    http1_request_head(&b, "GET", span_str("/a"), span_str("h\r\nX: y"), NULL, 0, HTTP1_LENGTH_NONE),
	    HTTP1_WRITE_BAD_FIELD);
	assert_int_equal(
	    http1_request_head(&b, "G T", span_str("/a"), span_str("h"), NULL, 0, HTTP1_LENGTH_NONE),
	    HTTP1_WRITE_BAD_FIELD);
	assert_int_equal(
	    http1_request_head(&b, "GET", span_str("/a"), span_str("h"), &host, 1, HTTP1_LENGTH_NONE),
	    HTTP1_WRITE_BAD_FIELD);
	assert_int_equal(b.len, 0);
	buffer_fini(&b);
}

static void
test_date(void **state)
{
	static const struct {
		int64_t at;
		const char *text;
	} dates[] = {
		{ 784111777, "Sun, 06 Nov 1994 08:49:37 GMT" }, /* RFC 9110 section 5.6.7 */
		{ 0, "Thu, 01 Jan 1970 00:00:00 GMT" },
		{ 951782400, "Tue, 29 Feb 2000 00:00:00 GMT" },
		{ 951868799, "Tue, 29 Feb 2000 23:59:59 GMT" },
		{ 951868800, "Wed, 01 Mar 2000 00:00:00 GMT" },
		{ 4107542400, "Mon, 01 Mar 2100 00:00:00 GMT" },
		{ 1767225599, "Wed, 31 Dec 2025 23:59:59 GMT" },
		{ 253402300799, "Fri, 31 Dec 9999 23:59:59 GMT" },
	};
	char text[HTTP1_DATE_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(dates) / sizeof(dates[0]); i++)
		assert_string_equal(http1_date(dates[i].at, text), dates[i].text);
}

static void
test_reasons(void **state)
{
	(void)state;
	assert_string_equal(http1_reason(404), "Not Found");
	assert_string_equal(http1_reason(431), "Request Header Fields Too Large");
	assert_string_equal(http1_reason(299), "Unknown");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_response_head),
		cmocka_unit_test(test_response_refused),
		cmocka_unit_test(test_request_head),
		cmocka_unit_test(test_date),
		cmocka_unit_test(test_reasons),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
