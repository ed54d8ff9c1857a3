/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Single rules of HTTP/1.1 that the vectors do not come to one by one: each part of a request line, of Host and of a status line with one
 * byte wrong on either side of what is allowed, whole and byte by byte; targets, parameters and what is written.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "codecs/http1.h"
#include "codecs/http1_response.h"
#include "codecs/http1_target.h"
#include "codecs/http1_write.h"

#define LONG 9000u /* more than a request line may have */

/* Read the one request ${text} in pieces of ${piece} bytes: 0 when it is taken whole, 1 when more is wanted, else the status. */
static int
read_request(struct span text, size_t piece)
{
	struct http1_reader r;
	struct span in, body;
	int status = 1;

	http1_reader_init(&r, 100, 0);
	for (size_t at = 0; at < text.len && status == 1; at += piece) {
		in = span_cut(text, at, at + piece);
		for (;;) {
			enum http1_event event = http1_read(&r, &in, &body);

			if (event == HTTP1_MORE)
				break;
			if (event == HTTP1_END)
				status = 0;
			if (event == HTTP1_FAULT)
				status = r.status;
			if (status != 1)
				break;
		}
	}
	http1_reader_fini(&r);
	return status;
}

static void
check_request(struct span text, int wanted)
{
	int whole = read_request(text, text.len + 1), bytes = read_request(text, 1);

	if (whole != wanted || bytes != wanted)
		fail_msg("%.*s: %d whole, %d byte by byte, wanted %d", (int)(text.len < 80 ? text.len : 80),
		    (const char *)text.ptr, whole, bytes, wanted);
}

static void
test_request_lines(void **state)
{
	static const struct {
		const char *line;
		int status;
	} lines[] = {
		{ "GET / HTTP/1.1", 0 },
		{ "GET / HTTP/1.0", 0 },
		{ "GET / HTTP/1.2", 505 },
		{ "GET / HTTP/0.9", 505 },
		{ "GET / HTTP/2.0", 505 },
		{ "GET / HTTP/1,1", 400 },
		{ "GET / HTTP//.1", 400 },
		{ "GET / HTTP/:.1", 400 },
		{ "GET / HTTP/1./", 400 },
		{ "GET / HTTP/1.:", 400 },
		{ "GET / HTTQ/1.1", 400 },
		{ "GET / HTTP/1.11", 400 },
		{ "GET", 400 },
		{ "GET /", 400 },
		{ "GET  HTTP/1.1", 400 },
		{ " / HTTP/1.1", 400 },
		{ "G(T / HTTP/1.1", 400 },
		{ "get / HTTP/1.1", 501 },
		{ "GET http://a HTTP/1.1", 0 },
		{ "GET HTTPS://A/x?y HTTP/1.1", 0 },
		{ "GET https:// HTTP/1.1", 400 },
		{ "GET http:// HTTP/1.1", 400 },
		{ "GET ftp://a/ HTTP/1.1", 400 },
		{ "GET http:/a/ HTTP/1.1", 400 },
		{ "GET http://b/ HTTP/1.1", 400 },
		{ "GET //a HTTP/1.1", 400 },
		{ "GET /a%7f HTTP/1.1", 400 },
		{ "GET /a%1f HTTP/1.1", 400 },
		{ "GET /a%2F HTTP/1.1", 400 },
		{ "GET /a%5c HTTP/1.1", 400 },
		{ "GET /a%4 HTTP/1.1", 400 },
		{ "GET /a%4g HTTP/1.1", 400 },
		{ "GET /a%g4 HTTP/1.1", 400 },
		{ "GET /a\"b HTTP/1.1", 400 },
		{ "GET /%2e HTTP/1.1", 400 },
		{ "GET /%2e./x HTTP/1.1", 400 },
		{ "GET /... HTTP/1.1", 0 },
		{ "GET /?a=%00 HTTP/1.1", 400 },
		{ "GET /?a=%4x HTTP/1.1", 400 },
		{ "GET /?a=%41/? HTTP/1.1", 0 },
		{ "GET /?a=| HTTP/1.1", 400 },
	};
	char text[256];

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		int n = snprintf(text, sizeof(text), "%s\r\nHost: a\r\n\r\n", lines[i].line);

		check_request(span_make(text, (size_t)n), lines[i].status);
		n = snprintf(text, sizeof(text), "\r\n%s\r\nHost: a\r\n\r\n", lines[i].line);
		check_request(span_make(text, (size_t)n), lines[i].status);
	}
	check_request(span_str("\r\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
	check_request(span_str("\rGET / HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
	check_request(span_str("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
}

/* A request line that does not end: which part is told to be too long. */
static void
test_long_request_lines(void **state)
{
	static const struct {
		const char *begin;
		char fill;
		int status;
	} lines[] = {
		{ "GET /", 'a', 414 },
		{ "GET / HTTP/1.1", '1', 400 },
		{ "G", 'T', 501 },
		{ "G(T /", 'a', 400 },
		{ "", '/', 400 },
	};
	static char text[LONG];

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		memset(text, lines[i].fill, sizeof(text));
		memcpy(text, lines[i].begin, strlen(lines[i].begin));
		check_request(span_make(text, sizeof(text)), lines[i].status);
	}
}

static void
test_hosts(void **state)
{
	static const char *const good[] = { "a", "A-z.0_9", "a:1", "a:65535", "a:", "[::1]", "[::1]:80",
		"[1.2]" };
	static const char *const bad[] = { "", ":80", "a:65536", "a:8a", "a:8/", "a:-1", "a:8:8", "[::1",
		"[]", "[:", "[g::]", "[::1]x", "[::1]80", "a/b", "a@b", "a[b", "a`b", "a{b", "a b", "a,b",
		"a!b" };
	char text[256];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		int n = snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", good[i]);

		check_request(span_make(text, (size_t)n), 0);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int n = snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", bad[i]);

		check_request(span_make(text, (size_t)n), 400);
	}
	check_request(span_str("GET / HTTP/1.1\r\n\r\n"), 400);
	check_request(span_str("GET / HTTP/1.0\r\n\r\n"), 0);
	check_request(span_str("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"), 400);
}

/* What Expect comes to: the head of ${text} is taken, and says whether its sender waits. */
static void
check_expects(const char *fields, int minor, bool expects)
{
	char text[256];
	struct http1_reader r;
	struct span in, body;

	in = span_make(text,
	    (size_t)snprintf(text, sizeof(text), "PUT / HTTP/1.%d\r\nHost: a\r\n%s\r\n", minor, fields));
	http1_reader_init(&r, 100, 0);
	assert_int_equal(http1_read(&r, &in, &body), HTTP1_HEAD_DONE);
	assert_int_equal(r.request.expect_100, expects);
	http1_reader_fini(&r);
}

static void
test_expect(void **state)
{
	(void)state;
	check_expects("Expect: 100-Continue\r\nContent-Length: 1\r\n", 1, true);
	check_expects("Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n", 1, true);
	check_expects("Expect: 100-continue\r\nContent-Length: 0\r\n", 1, false);
	check_expects("Expect: 100-continue\r\n", 1, false);
	check_expects("Expect: 100-continue\r\nContent-Length: 1\r\n", 0, false);
	check_request(span_str("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\n\r\n"), 417);
	check_request(
	    span_str("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nExpect: 100-continue\r\n\r\n"),
	    417);
}

#define CHUNKED "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

static void
test_chunk_extensions(void **state)
{
	(void)state;
	check_request(span_str(CHUNKED "0;a\r\n\r\n"), 0);
	check_request(span_str(CHUNKED "0;a=b;c=\"d\\\"\te\"\r\n\r\n"), 0);
	check_request(span_str(CHUNKED "0;a=\r\n\r\n"), 400);
	check_request(span_str(CHUNKED "0;a=\"b\r\n\r\n"), 400);
	check_request(span_str(CHUNKED "0;a=\"b\\\r\n\r\n"), 400);
	check_request(span_str(CHUNKED "0;a=\"\x01\"\r\n\r\n"), 400);
	check_request(span_str(CHUNKED "0;a=\"\\\x01\"\r\n\r\n"), 400);
	check_request(span_str(CHUNKED "0;a=\"\x7f\"\r\n\r\n"), 400);
	check_request(span_str(CHUNKED "0;a=\"b\"c\r\n\r\n"), 400);
	check_request(span_str(CHUNKED "0;;\r\n\r\n"), 400);
}

/* Between requests a reader is idle, in one it is not, and one that refused stays so. */
static void
test_idle(void **state)
{
	struct span in = span_str("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), body, part;
	struct http1_reader r;

	(void)state;
	http1_reader_init(&r, 100, 0);
	assert_true(http1_reader_idle(&r));
	part = span_str("\r");
	assert_int_equal(http1_read(&r, &part, &body), HTTP1_MORE);
	part = span_str("\n");
	assert_int_equal(http1_read(&r, &part, &body), HTTP1_MORE);
	assert_true(http1_reader_idle(&r)); /* an empty line is no request */
	part = span_cut(in, 0, 1);
	assert_int_equal(http1_read(&r, &part, &body), HTTP1_MORE);
	assert_false(http1_reader_idle(&r));
	part = span_cut(in, 1, in.len);
	assert_int_equal(http1_read(&r, &part, &body), HTTP1_HEAD_DONE);
	assert_false(http1_reader_idle(&r));
	assert_int_equal(http1_read(&r, &part, &body), HTTP1_END);
	assert_true(http1_reader_idle(&r));
	assert_int_equal(http1_read(&r, &in, &body), HTTP1_END); /* until it is told to go on */
	assert_false(http1_reader_body_max(&r, 7));
	http1_reader_next(&r);
	part = span_str("X");
	assert_int_equal(http1_read(&r, &part, &body), HTTP1_MORE);
	part = span_str("\x01 ");
	assert_int_equal(http1_read(&r, &part, &body), HTTP1_MORE);
	part = span_str("\r\n");
	assert_int_equal(http1_read(&r, &part, &body), HTTP1_FAULT);
	http1_reader_next(&r);
	assert_int_equal(http1_read(&r, &in, &body), HTTP1_FAULT);
	assert_false(http1_reader_idle(&r));
	http1_reader_fini(&r);
	assert_string_equal(http1_method_name(HTTP1_GET), "GET");
	assert_string_equal(http1_method_name(HTTP1_METHODS), "unknown");
}

static void
test_status_lines(void **state)
{
	static const struct {
		const char *line;
		int code; /* or minus the status of the refusal */
	} lines[] = {
		{ "HTTP/1.1 200 OK\t!", 200 },
		{ "HTTP/1.1 100 ", -400 }, /* an interim answer, and then the end */
		{ "HTTP/1,1 200 OK", -400 },
		{ "HTTP/1.1_200 OK", -400 },
		{ "HTTP/1.1 200_OK", -400 },
		{ "HTTQ/1.1 200 OK", -400 },
		{ "HTTP/1.2 200 OK", -505 },
		{ "HTTP/1./ 200 OK", -505 },
		{ "HTTP/3.1 200 OK", -505 },
		{ "HTTP/1.1 2/0 OK", -400 },
		{ "HTTP/1.1 2:0 OK", -400 },
		{ "HTTP/1.1 099 OK", -400 },
		{ "HTTP/1.1 600 OK", -400 },
		{ "HTTP/1.1 200 O\x1fK", -400 },
		{ "HTTP/1.1 200 O\x7fK", -400 },
	};
	char text[128];

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct span in = span_make(text, (size_t)snprintf(text, sizeof(text),
						     "%s\r\nContent-Length: 0\r\n\r\n", lines[i].line)),
			    body;
		struct http1_response r;
		enum http1_event event;

		http1_response_init(&r, 20);
		http1_response_next(&r, false);
		while ((event = http1_response_read(&r, &in, &body)) == HTTP1_HEAD_DONE)
			;
		if (event == HTTP1_MORE)
			event = http1_response_eof(&r);
		if (lines[i].code > 0) {
			assert_int_equal(event, HTTP1_END);
			assert_int_equal(r.code, lines[i].code);
			assert_int_equal(http1_response_eof(&r), HTTP1_END);
			assert_int_equal(http1_response_read(&r, &in, &body), HTTP1_END);
		} else {
			assert_int_equal(event, HTTP1_FAULT);
			assert_int_equal(r.status, -lines[i].code);
			http1_response_next(&r, false); /* does not heal it */
			assert_int_equal(http1_response_read(&r, &in, &body), HTTP1_FAULT);
			assert_int_equal(http1_response_eof(&r), HTTP1_FAULT);
		}
		http1_response_fini(&r);
	}
}

static void
test_parameters(void **state)
{
	char out[8];
	size_t len;

	(void)state;
	assert_int_equal(http1_query_get(span_str("a+b=1"), "a b", out, sizeof(out), &len), HTTP1_PARAM_OK);
	assert_int_equal(http1_query_get(span_str("a%20b=1"), "a b", out, sizeof(out), NULL), HTTP1_PARAM_OK);
	assert_int_equal(http1_query_get(span_str("%zz=1"), "a", out, sizeof(out), &len), HTTP1_PARAM_ABSENT);
	assert_int_equal(http1_query_get(span_str("%00=1"), "", out, sizeof(out), &len), HTTP1_PARAM_ABSENT);
	assert_int_equal(
	    http1_query_get(span_str("a=12345678"), "a", out, sizeof(out), &len), HTTP1_PARAM_LONG);
	assert_int_equal(http1_percent_decode(span_str("a"), false, out, 0, &len), HTTP1_PARAM_LONG);
	assert_int_equal(
	    http1_percent_decode(span_str("%ff"), false, out, sizeof(out), &len), HTTP1_PARAM_BAD);
	assert_int_equal(
	    http1_percent_decode(span_str("a+%2b"), false, out, sizeof(out), &len), HTTP1_PARAM_OK);
	assert_string_equal(out, "a++");
}

static void
test_targets(void **state)
{
	struct span path = span_str("a/b"), segment;
	uint64_t lenient = 0;

	(void)state;
	assert_non_null(http1_target_check(SPAN_EMPTY, 0, &lenient));
	assert_non_null(http1_target_check(span_str("a"), 0, &lenient));
	assert_non_null(http1_target_check(span_str("?a"), 0, &lenient));
	assert_null(http1_target_check(span_str("/?[a]{b}^`|\\"), HTTP1_LENIENT_QUERY, &lenient));
	assert_int_equal(lenient, 8);
	assert_non_null(http1_target_check(span_str("/?\"<"), HTTP1_LENIENT_QUERY, &lenient));
	assert_non_null(http1_target_check(span_make("/?\0", 3), HTTP1_LENIENT_QUERY, &lenient));
	assert_non_null(http1_target_check(span_str("/\x7f"), 0, &lenient));
	assert_false(http1_path_next(&path, &segment));
}

/* Nothing is written that would read as something else. */
static void
test_written(void **state)
{
	static const struct {
		int status;
		int64_t length;
		enum http1_write_outcome outcome;
	} heads[] = {
		{ 100, HTTP1_LENGTH_NONE, HTTP1_WRITE_OK },
		{ 100, 0, HTTP1_WRITE_BAD_FIELD },
		{ 204, 0, HTTP1_WRITE_BAD_FIELD },
		{ 304, HTTP1_LENGTH_NONE, HTTP1_WRITE_OK },
		{ 304, 7, HTTP1_WRITE_OK },
		{ 304, HTTP1_LENGTH_CHUNKED, HTTP1_WRITE_BAD_FIELD },
		{ 200, HTTP1_LENGTH_NONE, HTTP1_WRITE_BAD_FIELD },
		{ 200, HTTP1_LENGTH_CHUNKED - 1, HTTP1_WRITE_BAD_FIELD },
		{ 99, HTTP1_LENGTH_NONE, HTTP1_WRITE_BAD_FIELD },
		{ 600, 0, HTTP1_WRITE_BAD_FIELD },
	};
	static const char *const bad[] = { "a\x01", "a\x7f", "a\r\nb" };
	char date[HTTP1_DATE_SIZE];
	struct buffer b;

	(void)state;
	buffer_init(&b, 256);
	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		struct http1_response_head head = { heads[i].status, NULL, 0, heads[i].length, true };

		buffer_reset(&b);
		assert_int_equal(http1_response_head(&b, &head), heads[i].outcome);
		assert_int_equal(b.len > 0, heads[i].outcome == HTTP1_WRITE_OK);
	}
	buffer_reset(&b);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct http1_field_out field = { "X", span_str(bad[i]) };

		assert_int_equal(http1_request_head(&b, "GET", span_str("/"), span_str("h"), &field, 1, 0),
		    HTTP1_WRITE_BAD_FIELD);
		assert_int_equal(http1_request_head(&b, "GET", span_str(bad[i]), span_str("h"), NULL, 0, 0),
		    HTTP1_WRITE_BAD_FIELD);
	}
	assert_int_equal(http1_request_head(&b, "GET", span_str("/\xc3\xa9"), span_str("h"), NULL, 0, 0),
	    HTTP1_WRITE_BAD_FIELD);
	assert_int_equal(
	    http1_request_head(&b, "GET", span_str("/"), SPAN_EMPTY, NULL, 0, 0), HTTP1_WRITE_BAD_FIELD);
	assert_int_equal(
	    http1_request_head(&b, "GET", span_str("/"), span_str("h"), NULL, 0, HTTP1_LENGTH_CHUNKED - 1),
	    HTTP1_WRITE_BAD_FIELD);
	assert_int_equal(b.len, 0);
	buffer_fini(&b);
	assert_string_equal(http1_date(-1, date), "Thu, 01 Jan 1970 00:00:00 GMT");
	assert_string_equal(http1_date(INT64_MAX, date), "Fri, 31 Dec 9999 23:59:59 GMT");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request_lines),
		cmocka_unit_test(test_long_request_lines),
		cmocka_unit_test(test_hosts),
		cmocka_unit_test(test_expect),
		cmocka_unit_test(test_chunk_extensions),
		cmocka_unit_test(test_idle),
		cmocka_unit_test(test_status_lines),
		cmocka_unit_test(test_parameters),
		cmocka_unit_test(test_targets),
		cmocka_unit_test(test_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
