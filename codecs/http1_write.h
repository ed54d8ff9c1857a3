/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heads of HTTP/1.1 messages, as we write them (RFC 9112 §3, §4, §5), and the little around them.
 *
 * A field that would change the message's shape (CR, LF, NUL in a value, a name that is no token, a second
 * length) is refused, and nothing is written then.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codecs/buffer.h"
#include "codecs/http1_fields.h"
#include "codecs/span.h"

#define HTTP1_LENGTH_CHUNKED (-2) /* the body goes out in chunks */
#define HTTP1_DATE_SIZE	     30

enum http1_write_outcome {
	HTTP1_WRITE_OK = 0,
	HTTP1_WRITE_BAD_FIELD, /* or a status out of 100..599, or a target with a blank or control */
	HTTP1_WRITE_NO_ROOM,
};

/*
 * One field to write. Content-Length, Transfer-Encoding and Connection are refused here: they come from the
 * parameters.
 */
struct http1_field_out {
	const char *name;
	struct span value;
};

struct http1_response_head {
	int status;
	const struct http1_field_out *fields;
	size_t count;
	int64_t content_length; /* or HTTP1_LENGTH_CHUNKED; HTTP1_LENGTH_NONE with 1xx, 204, 304 only */
	bool keep_alive;	/* false adds "Connection: close" */
};

/* Append status line, fields, and the empty line. All or nothing. */
enum http1_write_outcome http1_response_head(struct buffer *out, const struct http1_response_head *head)
    __attribute__((warn_unused_result));

/*
 * Append a request's head: ${method} a token, ${target} and ${host} as they go out. ${content_length}
 * HTTP1_LENGTH_NONE for no body. Host is written from ${host}, not from ${fields}. All or nothing.
 */
enum http1_write_outcome http1_request_head(struct buffer *out, const char *method, struct span target,
    struct span host, const struct http1_field_out *fields, size_t count, int64_t content_length)
    __attribute__((warn_unused_result));

/* Append one chunk of a body that goes out in chunks; an empty one is not written (it would end the body). */
void http1_write_chunk(struct buffer *out, struct span bytes);

/* Append the last chunk. */
void http1_write_last_chunk(struct buffer *out);

/* Append "HTTP/1.1 100 Continue" and the empty line. */
void http1_write_continue(struct buffer *out);

/* The reason phrase of a status ("Not Found"); "Unknown" when it is none of ours. */
const char *http1_reason(int status);

/*
 * An IMF-fixdate (RFC 9110 §5.6.7) of ${unix_seconds}, with a NUL: "Sun, 06 Nov 1994 08:49:37 GMT". A time
 * before 1970 or after 9999 is written as that end. Returns ${out}.
 */
char *http1_date(int64_t unix_seconds, char out[HTTP1_DATE_SIZE]);
