/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1: a stream of requests whole and cut gives the same requests, bodies and verdict, and so does an
 * answer: what begins with "HTTP". What a taken request says of itself holds: its path stands up to the checks of a
 * path, its body to the cap. The stream is the whole input; the cuts and the
 * leniency come from its length.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "codecs/http1.h"
#include "codecs/http1_response.h"
#include "codecs/http1_target.h"

#define BODY_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The story of a stream as one sum. */
struct story {
	uint64_t sum;
	uint64_t body_len;
};

static void
tell(struct story *s, struct span bytes)
{
	for (size_t i = 0; i < bytes.len; i++)
		s->sum = s->sum * 1099511628211u + bytes.ptr[i] + 1;
}

static void
tell_number(struct story *s, uint64_t n)
{
	s->sum = (s->sum ^ n) * 1099511628211u;
}

static void
check_request(const struct http1_reader *r)
{
	const struct http1_request *q = &r->request;
	uint64_t lenient = 0;
	char text[HTTP1_TARGET_MAX + 1];

	if (http1_target_check(q->target, r->flags, &lenient) || q->path.len == 0 || q->path.ptr[0] != '/')
		abort();
	if (q->minor == 1 && q->host.len == 0)
		abort();
	if (q->chunked && q->content_length != HTTP1_LENGTH_NONE)
		abort();
	if (http1_percent_decode(q->path, false, text, sizeof(text), NULL) == HTTP1_PARAM_OK &&
	    strstr(text, "/../"))
		abort();
	(void)http1_query_get(q->query, "after", text, 16, NULL);
}

/* Feed ${input} in pieces of ${piece} bytes to the request reader. */
static uint64_t
requests(struct span input, size_t piece, unsigned flags)
{
	struct http1_reader r;
	struct story s = { 0, 0 };
	size_t at = 0, to = 0;
	enum http1_event event = HTTP1_MORE;

	http1_reader_init(&r, BODY_MAX, flags);
	while (event != HTTP1_FAULT && !(event == HTTP1_MORE && to == input.len)) {
		struct span in, body;

		if (event == HTTP1_MORE)
			to = input.len - to < piece ? input.len : to + piece;
		in = span_cut(input, at, to);
		event = http1_read(&r, &in, &body);
		at = to - in.len;
		if (event == HTTP1_HEAD_DONE) {
			check_request(&r);
			tell(&s, buffer_span(&r.fields.bytes));
			s.body_len = 0;
		} else if (event == HTTP1_BODY) {
			s.body_len += body.len;
			tell(&s, body);
		} else if (event == HTTP1_END) {
			tell_number(&s, s.body_len);
			http1_reader_next(&r);
		}
		if (s.body_len > BODY_MAX)
			abort();
	}
	tell_number(&s, (uint64_t)event * 1000 + (uint64_t)r.status);
	tell_number(&s, at);
	tell_number(&s, r.lenient_query);
	http1_reader_fini(&r);
	return s.sum;
}

static uint64_t
answers(struct span input, size_t piece)
{
	struct http1_response r;
	struct story s = { 0, 0 };
	size_t at = 0, to = 0;
	enum http1_event event = HTTP1_MORE;

	http1_response_init(&r, BODY_MAX);
	while (event != HTTP1_FAULT && event != HTTP1_END) {
		struct span in, body;

		if (event == HTTP1_MORE && to == input.len) {
			event = http1_response_eof(&r);
			break;
		}
		if (event == HTTP1_MORE)
			to = input.len - to < piece ? input.len : to + piece;
		in = span_cut(input, at, to);
		event = http1_response_read(&r, &in, &body);
		at = to - in.len;
		if (event == HTTP1_HEAD_DONE)
			tell(&s, buffer_span(&r.fields.bytes));
		else if (event == HTTP1_BODY)
			tell(&s, body);
	}
	tell_number(&s, (uint64_t)event * 1000 + (uint64_t)r.status);
	http1_response_fini(&r);
	return s.sum;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span input = span_make(data, size);
	size_t piece = size % 61 + 1;

	if (size == 0)
		return 0;
	if (size > 4 && memcmp(data, "HTTP", 4) == 0) {
		if (answers(input, size) != answers(input, piece))
			abort();
	} else {
		unsigned flags = size & 64 ? HTTP1_LENIENT_QUERY : 0;

		if (requests(input, size, flags) != requests(input, piece, flags))
			abort();
	}
	return 0;
}
