/* SPDX-License-Identifier: Apache-2.0 */
/* The response reader: each vector whole and cut everywhere, ended by its own length or by the connection. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "codecs/http1_response.h"
#include "codecs/http1_write.h"
#include "tests/unit/failmalloc.h"

#define HEAD_ONLY true

struct vector {
	const char *text;
	bool head_only;
	int code;	  /* 0: refused */
	const char *body; /* or a word of the reason */
	bool keep_alive;
	size_t left; /* bytes behind the answer */
};

static const struct vector vectors[] = {
	{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", false, 200, "hello", true },
	{ "HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\nhelloNEXT", false, 200, "hello", true, 4 },
	{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nA: b\r\n\r\n",
	    false, 200, "hello", true },
	{ "HTTP/1.1 200 OK\r\n\r\nhello", false, 200, "hello", false },
	{ "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", false, 200, "", false },
	{ "HTTP/1.0 404 Not Found\r\nContent-Length: 2\r\n\r\nno", false, 404, "no", false },
	{ "HTTP/1.1 204 No Content\r\n\r\nX", false, 204, "", true, 1 },
	{ "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nX", false, 304, "", true, 1 },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nX", HEAD_ONLY, 200, "", true, 1 },
	{ "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 201 Created\r\n"
	  "Content-Length: 1\r\n\r\n1",
	    false, 201, "1", true },
	{ "HTTP/1.1 503 caf\xe9\r\nContent-Length: 0\r\n\r\n", false, 503, "", true },
	/* refused */
	{ "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", false, 0, "status line" },
	{ "HTTP/1.1  200 OK\r\n\r\n", false, 0, "status line" },
	{ "HTTP/1.1 2x0 OK\r\n\r\n", false, 0, "three digits" },
	{ "HTTP/1.1 2000 OK\r\n\r\n", false, 0, "status line" },
	{ "HTTP/1.1 099 OK\r\n\r\n", false, 0, "between" },
	{ "HTTP/1.1 600 OK\r\n\r\n", false, 0, "between" },
	{ "HTTP/1.1 200 O\x01K\r\n\r\n", false, 0, "control" },
	{ "HTTP/2.0 200 OK\r\n\r\n", false, 0, "HTTP/1.0" },
	{ "ICY 200 OK\r\nContent-Length: 0\r\n\r\n", false, 0, "status line" },
	{ "\r\nHTTP/1.1 200 OK\r\n\r\n", false, 0, "status line" },
	{ "HTTP/1.1 200 OK\nContent-Length: 0\n\n", false, 0, "bare LF" },
	{ "HTTP/1.1 200 OK\r\n Content-Length: 0\r\n\r\n", false, 0, "folded" },
	{ "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n", false, 0, "not a field" },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n1", false, 0, "twice" },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false, 0,
	    "exclude" },
	{ "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false, 0, "HTTP/1.0" },
	{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", false, 0, "supported" },
	{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n", false, 0,
	    "extensions" },
	{ "HTTP/1.1 101 Switching\r\n\r\n", false, 0, "switches" },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", false, 0, "larger" },
	{ "HTTP/1.1 200 OK\r\n\r\nmore than the twenty bytes allowed", false, 0, "larger" },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", false, 0, "ended" },
	{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", false, 0, "ended" },
	{ "HTTP/1.1 200 OK\r\nContent-Le", false, 0, "ended" },
	{ "", false, 0, "ended" },
};

/* Read ${text}, cut at ${cut}, then the end of the connection; the body so far in ${body}. */
static enum http1_event
read_cut(struct http1_response *r, struct span text, size_t cut, struct buffer *body, size_t *left)
{
	enum http1_event event;
	struct span in = span_cut(text, 0, cut), got;
	size_t behind = text.len - cut;

	for (;;) {
		event = http1_response_read(r, &in, &got);
		if (event == HTTP1_BODY)
			buffer_append_span(body, got);
		*left = in.len + behind;
		if (event == HTTP1_END || event == HTTP1_FAULT)
			return event;
		if (event != HTTP1_MORE)
			continue;
		if (behind == 0)
			return http1_response_eof(r);
		in = span_cut(text, cut, text.len);
		behind = 0;
	}
}

static void
test_vectors(void **state)
{
	struct buffer body;

	(void)state;
	buffer_init(&body, 1024);
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		const struct vector *v = &vectors[i];
		struct span text = span_str(v->text);

		for (size_t cut = 0; cut <= text.len; cut++) {
			struct http1_response r;
			enum http1_event event;
			size_t left;

			buffer_reset(&body);
			http1_response_init(&r, 20);
			http1_response_next(&r, v->head_only);
			event = read_cut(&r, text, cut, &body, &left);
			if (v->code == 0) {
				if (event != HTTP1_FAULT || !strstr(r.reason, v->body))
					fail_msg(
					    "%s: event %d, %s", v->text, event, r.reason ? r.reason : "-");
			} else {
				if (event != HTTP1_END)
					fail_msg(
					    "%s: event %d, %s", v->text, event, r.reason ? r.reason : "-");
				assert_int_equal(r.code, v->code);
				assert_true(span_eq_str(buffer_span(&body), v->body));
				assert_int_equal(r.keep_alive, v->keep_alive);
				assert_int_equal(left, v->left);
			}
			http1_response_fini(&r);
		}
	}
	buffer_fini(&body);
}

static void
test_interim_bound(void **state)
{
	struct http1_response r;
	struct span in, body;
	struct buffer b;

	(void)state;
	buffer_init(&b, 4096);
	for (int i = 0; i < 9; i++)
		http1_write_continue(&b);
	http1_response_init(&r, 0);
	in = buffer_span(&b);
	assert_int_equal(http1_response_read(&r, &in, &body), HTTP1_FAULT);
	http1_response_fini(&r);
	http1_response_init(&r, 0);
	in = span_cut(buffer_span(&b), 0, b.len / 9 * 8);
	assert_int_equal(http1_response_read(&r, &in, &body), HTTP1_MORE);
	assert_int_equal(http1_response_eof(&r), HTTP1_FAULT);
	http1_response_fini(&r);
	buffer_fini(&b);
}

/* Two answers on one connection, the second to a HEAD. */
static void
test_keep_alive(void **state)
{
	struct http1_response r;
	struct span in =
	    span_str("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1HTTP/1.1 200 OK\r\nContent-Length: 7\r\n"
		     "ETag: x\r\n\r\n");
	struct span body, tag;

	(void)state;
	http1_response_init(&r, 10);
	assert_int_equal(http1_response_read(&r, &in, &body), HTTP1_HEAD_DONE);
	assert_int_equal(http1_response_read(&r, &in, &body), HTTP1_BODY);
	assert_int_equal(http1_response_read(&r, &in, &body), HTTP1_END);
	assert_int_equal(http1_response_read(&r, &in, &body), HTTP1_END);
	http1_response_next(&r, HEAD_ONLY);
	assert_int_equal(http1_response_read(&r, &in, &body), HTTP1_HEAD_DONE);
	assert_int_equal(r.content_length, 7);
	assert_int_equal(http1_field_find(&r.fields, "etag", &tag), 1);
	assert_true(span_eq_str(tag, "x"));
	assert_int_equal(http1_response_read(&r, &in, &body), HTTP1_END);
	http1_response_fini(&r);
}

static void
test_no_memory(void **state)
{
	struct span text = span_str("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");

	(void)state;
	for (size_t n = 1;; n++) {
		struct http1_response r;
		struct span in = text, body;
		enum http1_event event;
		bool all;

		failmalloc_at(n);
		http1_response_init(&r, 0);
		event = http1_response_read(&r, &in, &body);
		all = failmalloc_off();
		assert_int_equal(event, all ? HTTP1_HEAD_DONE : HTTP1_FAULT);
		assert_int_equal(r.status, all ? 0 : 503);
		http1_response_fini(&r);
		if (all)
			break;
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_interim_bound),
		cmocka_unit_test(test_keep_alive),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
