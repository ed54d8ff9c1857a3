/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP/1.1 request reader against the verdicts of tests/vectors/http1, whole and cut; what it says of
 * requests; memory running out at every allocation.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "codecs/http1.h"
#include "codecs/http1_target.h"
#include "tests/unit/failmalloc.h"

#define VECTORS	 SOURCE_ROOT "/tests/vectors/http1/"
#define BODY_MAX 1048576

/* What reading a stream of requests comes to: all that a cut may not change. */
struct outcome {
	char verdict[8]; /* "ok", "more" or a status */
	const char *reason;
	size_t heads, ends;
	uint64_t body_len;
	uint32_t body_sum;
	size_t used;
};

/* Feed ${input} in pieces of ${piece} bytes (${first} for the first). */
static struct outcome
read_stream(struct http1_reader *r, struct span input, size_t first, size_t piece)
{
	struct outcome o = { .verdict = "ok" };
	size_t at = 0, to = first;

	for (;;) {
		struct span in, body;
		enum http1_event event;

		if (to > input.len)
			to = input.len;
		in = span_cut(input, at, to);
		event = http1_read(r, &in, &body);
		at = to - in.len;
		switch (event) {
		case HTTP1_MORE:
			assert_int_equal(in.len, 0);
			if (to < input.len) {
				to += piece;
				break;
			}
			if (!http1_reader_idle(r))
				strcpy(o.verdict, "more");
			o.used = at;
			return o;
		case HTTP1_HEAD_DONE:
			o.heads++;
			break;
		case HTTP1_BODY:
			assert_true(body.len > 0);
			o.body_len += body.len;
			for (size_t i = 0; i < body.len; i++)
				o.body_sum = o.body_sum * 31 + body.ptr[i];
			break;
		case HTTP1_END:
			o.ends++;
			http1_reader_next(r);
			break;
		case HTTP1_FAULT:
			snprintf(o.verdict, sizeof(o.verdict), "%d", r->status);
			o.reason = r->reason;
			o.used = at;
			in = span_str("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
			assert_int_equal(http1_read(r, &in, &body), HTTP1_FAULT); /* for good */
			return o;
		}
	}
}

static struct outcome
read_all(struct span input, size_t first, size_t piece)
{
	struct http1_reader r;
	struct outcome o;

	http1_reader_init(&r, BODY_MAX, 0);
	o = read_stream(&r, input, first, piece);
	http1_reader_fini(&r);
	return o;
}

static void
same_outcome(const char *name, const struct outcome *a, const struct outcome *b)
{
	if (strcmp(a->verdict, b->verdict) != 0 || a->reason != b->reason || a->heads != b->heads ||
	    a->ends != b->ends || a->body_len != b->body_len || a->body_sum != b->body_sum ||
	    a->used != b->used)
		fail_msg("%s: whole says %s (%s), cut says %s (%s)", name, a->verdict,
		    a->reason ? a->reason : "-", b->verdict, b->reason ? b->reason : "-");
}

static struct span
load(const char *name, uint8_t *bytes, size_t size)
{
	char path[512];
	FILE *f;
	size_t n;

	snprintf(path, sizeof(path), "%s%s", VECTORS, name);
	f = fopen(path, "rb");
	assert_non_null(f);
	n = fread(bytes, 1, size, f);
	assert_true(n < size);
	fclose(f);
	return span_make(bytes, n);
}

static void
test_vectors(void **state)
{
	static uint8_t bytes[65536];
	FILE *f = fopen(VECTORS "verdicts.tsv", "r");
	char line[512], name[128], verdict[8];
	size_t count = 0;

	(void)state;
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		struct outcome whole, cut;
		struct span input;

		if (line[0] == '#' || sscanf(line, "%127s %7s", name, verdict) != 2 ||
		    strcmp(name, "file") == 0)
			continue;
		input = load(name, bytes, sizeof(bytes));
		whole = read_all(input, input.len, 1);
		if (strcmp(whole.verdict, verdict) != 0)
			fail_msg("%s: %s (%s), wanted %s", name, whole.verdict,
			    whole.reason ? whole.reason : "-", verdict);
		if (name[0] == 'y')
			assert_int_equal(whole.ends, strcmp(name, "y_pipelined.http") == 0 ? 4 : 1);
		for (size_t piece = 1; piece < 20; piece++) {
			cut = read_all(input, piece, piece);
			same_outcome(name, &whole, &cut);
		}
		for (size_t first = 0; first <= input.len && first < 700; first++) {
			cut = read_all(input, first, input.len);
			same_outcome(name, &whole, &cut);
		}
		count++;
	}
	fclose(f);
	assert_true(count >= 200);
}

/* Read one whole request into ${r}; the body bytes are gathered in ${body}. */
static void
read_one(struct http1_reader *r, const char *text, char *body, size_t size)
{
	struct span in = span_str(text), got;
	size_t len = 0;
	enum http1_event event;

	while ((event = http1_read(r, &in, &got)) != HTTP1_END) {
		assert_true(event == HTTP1_HEAD_DONE || event == HTTP1_BODY);
		if (event == HTTP1_BODY) {
			assert_true(len + got.len < size);
			memcpy(body + len, got.ptr, got.len);
			len += got.len;
		}
	}
	body[len] = '\0';
	assert_int_equal(in.len, 0);
}

static void
test_request(void **state)
{
	struct http1_reader r;
	struct span value;
	char body[64];

	(void)state;
	http1_reader_init(&r, BODY_MAX, 0);
	assert_true(http1_reader_idle(&r));
	read_one(&r,
	    "POST /inbox/messages?after=41&x= HTTP/1.1\r\nHOST: pull.example:8443\r\nAccept: a\r\naccept:  b "
	    "\r\n"
	    "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;e=f\r\nde\r\n0\r\nX: "
	    "y\r\n\r\n",
	    body, sizeof(body));
	assert_string_equal(body, "abcde");
	assert_int_equal(r.request.method, HTTP1_POST);
	assert_int_equal(r.request.minor, 1);
	assert_true(span_eq_str(r.request.target, "/inbox/messages?after=41&x="));
	assert_true(span_eq_str(r.request.path, "/inbox/messages"));
	assert_true(span_eq_str(r.request.query, "after=41&x="));
	assert_true(span_eq_str(r.request.host, "pull.example:8443"));
	assert_true(r.request.chunked && r.request.keep_alive && r.request.expect_100);
	assert_int_equal(r.request.content_length, HTTP1_LENGTH_NONE);
	assert_int_equal(r.fields.count, 5);
	assert_int_equal(http1_field_find(&r.fields, "ACCEPT", &value), 2);
	assert_true(span_eq_str(value, "a"));
	assert_true(span_eq_str(http1_field_at(&r.fields, 2).value, "b"));
	assert_int_equal(http1_field_find(&r.fields, "X", NULL), 0); /* trailers are not fields */
	http1_reader_next(&r);
	assert_true(http1_reader_idle(&r));
	read_one(&r, "GET https://h/a/b?c HTTP/1.1\r\nHost: H\r\nConnection: x , Close\r\n\r\n", body,
	    sizeof(body));
	assert_true(span_eq_str(r.request.target, "/a/b?c"));
	assert_true(span_eq_str(r.request.path, "/a/b"));
	assert_false(r.request.keep_alive || r.request.chunked || r.request.expect_100);
	http1_reader_next(&r);
	read_one(
	    &r, "PUT / HTTP/1.0\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nhi", body, sizeof(body));
	assert_string_equal(body, "hi");
	assert_int_equal(r.request.content_length, 2);
	assert_false(r.request.keep_alive || r.request.expect_100);
	http1_reader_fini(&r);
}

/* The cap may depend on the request: it is set between head and body. */
static void
test_body_cap(void **state)
{
	struct http1_reader r;
	struct span in, body;

	(void)state;
	http1_reader_init(&r, 4, 0);
	assert_false(http1_reader_body_max(&r, 10));
	in = span_str("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello");
	assert_int_equal(http1_read(&r, &in, &body), HTTP1_HEAD_DONE);
	assert_true(http1_reader_body_max(&r, 5));
	assert_int_equal(http1_read(&r, &in, &body), HTTP1_BODY);
	assert_true(span_eq_str(body, "hello"));
	assert_int_equal(http1_read(&r, &in, &body), HTTP1_END);
	http1_reader_next(&r);
	in = span_str("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello");
	assert_int_equal(http1_read(&r, &in, &body), HTTP1_HEAD_DONE);
	assert_false(http1_reader_body_max(&r, 3));
	assert_int_equal(http1_read(&r, &in, &body), HTTP1_FAULT);
	assert_int_equal(r.status, 413);
	http1_reader_fini(&r);
	http1_reader_init(&r, 4, 0);
	in = span_str("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: "
		      "chunked\r\n\r\n4\r\nhell\r\n1\r\no\r\n0\r\n\r\n");
	assert_int_equal(http1_read(&r, &in, &body), HTTP1_HEAD_DONE);
	assert_int_equal(http1_read(&r, &in, &body), HTTP1_BODY);
	assert_int_equal(http1_read(&r, &in, &body), HTTP1_FAULT);
	assert_int_equal(r.status, 413);
	http1_reader_fini(&r);
}

/* A second request is not looked at, however it came, until the first is answered. */
static void
test_pipelining_waits(void **state)
{
	struct http1_reader r;
	struct span in = span_str("GET /1 HTTP/1.1\r\nHost: h\r\n\r\njunk"), body;

	(void)state;
	http1_reader_init(&r, 0, 0);
	assert_int_equal(http1_read(&r, &in, &body), HTTP1_HEAD_DONE);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(http1_read(&r, &in, &body), HTTP1_END);
		assert_true(span_eq_str(in, "junk"));
	}
	http1_reader_next(&r);
	assert_int_equal(http1_read(&r, &in, &body), HTTP1_MORE);
	assert_false(http1_reader_idle(&r));
	http1_reader_fini(&r);
}

static void
test_lenient_query(void **state)
{
	struct http1_reader r;
	struct span in = span_str("GET /Patient?identifier=s|v HTTP/1.1\r\nHost: h\r\n\r\n"), body;

	(void)state;
	http1_reader_init(&r, 0, HTTP1_LENIENT_QUERY);
	assert_int_equal(http1_read(&r, &in, &body), HTTP1_HEAD_DONE);
	assert_int_equal(r.lenient_query, 1);
	assert_true(span_eq_str(r.request.query, "identifier=s|v"));
	assert_int_equal(http1_read(&r, &in, &body), HTTP1_END);
	http1_reader_next(&r);
	in = span_str("GET /a|b HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_int_equal(http1_read(&r, &in, &body), HTTP1_FAULT);
	http1_reader_fini(&r);
}

static void
test_query(void **state)
{
	struct span query =
	    span_str("after=41&&name=caf%C3%A9+x%26y&twice=1&tw%69ce=2&flag&bad=%ff&cut=%4&nul=%00&e=");
	struct http1_param param;
	char out[32];
	size_t len, count = 0;

	(void)state;
	assert_int_equal(http1_query_get(query, "after", out, sizeof(out), &len), HTTP1_PARAM_OK);
	assert_string_equal(out, "41");
	assert_int_equal(len, 2);
	assert_int_equal(http1_query_get(query, "name", out, sizeof(out), NULL), HTTP1_PARAM_OK);
	assert_string_equal(out, "caf\xc3\xa9 x&y");
	assert_int_equal(http1_query_get(query, "twice", out, sizeof(out), NULL), HTTP1_PARAM_TWICE);
	assert_int_equal(http1_query_get(query, "flag", out, sizeof(out), NULL), HTTP1_PARAM_OK);
	assert_string_equal(out, "");
	assert_int_equal(http1_query_get(query, "e", out, sizeof(out), NULL), HTTP1_PARAM_OK);
	assert_int_equal(http1_query_get(query, "bad", out, sizeof(out), NULL), HTTP1_PARAM_BAD);
	assert_int_equal(http1_query_get(query, "cut", out, sizeof(out), NULL), HTTP1_PARAM_BAD);
	assert_int_equal(http1_query_get(query, "nul", out, sizeof(out), NULL), HTTP1_PARAM_BAD);
	assert_int_equal(http1_query_get(query, "none", out, sizeof(out), NULL), HTTP1_PARAM_ABSENT);
	assert_int_equal(http1_query_get(query, "name", out, 5, NULL), HTTP1_PARAM_LONG);
	assert_int_equal(http1_query_get(query, "after", out, 3, NULL), HTTP1_PARAM_OK);
	assert_int_equal(http1_query_get(query, "after", out, 2, NULL), HTTP1_PARAM_LONG);
	while (http1_param_next(&query, &param))
		count += param.has_value ? 1 : 100;
	assert_int_equal(count, 108);
}

static void
test_path(void **state)
{
	struct span path = span_str("/inbox/a+b%20c/"), segment;
	struct buffer b;
	char out[16];

	(void)state;
	assert_true(http1_path_next(&path, &segment));
	assert_true(span_eq_str(segment, "inbox"));
	assert_true(http1_path_next(&path, &segment));
	assert_int_equal(http1_percent_decode(segment, false, out, sizeof(out), NULL), HTTP1_PARAM_OK);
	assert_string_equal(out, "a+b c");
	assert_true(http1_path_next(&path, &segment));
	assert_int_equal(segment.len, 0);
	assert_false(http1_path_next(&path, &segment));
	buffer_init(&b, 64);
	http1_percent_encode(span_str("a/b \xc3\xa9~"), &b);
	assert_true(span_eq_str(buffer_span(&b), "a%2Fb%20%C3%A9~"));
	buffer_fini(&b);
}

/* Without memory the request is refused as a circumstance, and nothing leaks. */
static void
test_no_memory(void **state)
{
	static uint8_t bytes[65536];
	struct span input;

	(void)state;
	input = load("y_head_16384.http", bytes, sizeof(bytes));
	for (size_t n = 1;; n++) {
		struct outcome o;

		failmalloc_at(n);
		o = read_all(input, 100, 100);
		if (failmalloc_off()) {
			assert_string_equal(o.verdict, "ok");
			assert_true(n > 3);
			break;
		}
		assert_string_equal(o.verdict, "503");
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_request),
		cmocka_unit_test(test_body_cap),
		cmocka_unit_test(test_pipelining_waits),
		cmocka_unit_test(test_lenient_query),
		cmocka_unit_test(test_query),
		cmocka_unit_test(test_path),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
