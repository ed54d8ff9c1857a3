/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1 requests, as a server reads them (RFC 9112, RFC 9110): incremental, strict, bounded.
 *
 * Whatever two readers could understand differently is refused and the connection must then be closed: two
 * lengths, a length beside chunked, blanks where none belong, a bare LF, folded lines, a target that
 * overrides Host, dot segments. One request is read at a time: nothing of the next is looked at before
 * http1_reader_next, so pipelined input stays where the caller bounds it. Not here: sockets, deadlines (a
 * slow head or body is the caller's to end), routing, authentication, response bodies.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codecs/http1_body.h"
#include "codecs/http1_fields.h"
#include "codecs/span.h"

#define HTTP1_TARGET_MAX 4096
#define HTTP1_METHOD_MAX 32 /* RFC 9112 §3: a longer one than any we know is 501 */

/* Leniencies */
#define HTTP1_LENIENT_QUERY                                                                                  \
	(1u << 0) /* | [ ] { } ^ ` \ unencoded in the query, as URL parsers of browsers and Node leave them */

enum http1_method {
	HTTP1_GET,
	HTTP1_HEAD,
	HTTP1_POST,
	HTTP1_PUT,
	HTTP1_PATCH,
	HTTP1_DELETE,
	HTTP1_OPTIONS,
	HTTP1_METHODS,
};

enum http1_event {
	HTTP1_MORE,	 /* the input is used up: give more */
	HTTP1_HEAD_DONE, /* r->request is complete; set the body cap now if it depends on the request */
	HTTP1_BODY,	 /* some body bytes */
	HTTP1_END,	 /* the request is complete: answer it, then http1_reader_next */
	HTTP1_FAULT,	 /* r->status, r->reason: answer so and close */
};

struct http1_request {
	enum http1_method method;
	int minor; /* HTTP/1.x: 0 or 1 */

	/* Path and query as received (of an absolute target, what follows its authority). */
	struct span target;

	/*
	 * Still percent-encoded; begins with one '/', has no dot segments, no encoded slash, control or
	 * NUL.
	 */
	struct span path;

	struct span query;	/* behind '?', still encoded; empty when there is none */
	struct span host;	/* as received; empty only in HTTP/1.0 */
	int64_t content_length; /* HTTP1_LENGTH_NONE when absent */
	bool chunked;
	bool keep_alive; /* the client may send another request on this connection */
	bool expect_100; /* it waits for "100 Continue" before sending the body */
};

struct http1_reader {
	struct http1_fields fields; /* of the request, from HTTP1_HEAD_DONE until http1_reader_next */
	struct http1_request request;
	struct http1_body body;
	uint64_t body_max;
	uint64_t lenient_query; /* bytes let through by HTTP1_LENIENT_QUERY since init */
	const char *reason;	/* of HTTP1_FAULT: a constant sentence without input bytes */
	int status;		/* of HTTP1_FAULT: 400, 413, 414, 417, 431, 501, 503 (no memory), 505 */
	unsigned flags;
	int state;
	size_t line_from;		/* where the open line begins in fields.bytes */
	size_t target_from, target_len; /* as it stands in the request line */
};

/*
 * Start ${r} before a connection's first request. ${body_max}: bytes a body may have, decoded. Allocates
 * nothing.
 */
void http1_reader_init(struct http1_reader *r, uint64_t body_max, unsigned flags);
void http1_reader_fini(struct http1_reader *r);

/*
 * Take what is next from the front of ${in} (which is advanced past it). ${body} is set by HTTP1_BODY: a
 * span over ${in}'s bytes. Call again with the rest until HTTP1_MORE, HTTP1_END or HTTP1_FAULT; the latter
 * two come back unchanged until http1_reader_next (after END), for good (after FAULT). Every request gives
 * HTTP1_HEAD_DONE and HTTP1_END.
 */
enum http1_event http1_read(struct http1_reader *r, struct span *in, struct span *body);

/*
 * Between HTTP1_HEAD_DONE and the next http1_read: another cap for this request's body. False when its
 * Content-Length is above: the next http1_read then gives 413, and no "100 Continue" should go out.
 */
bool http1_reader_body_max(struct http1_reader *r, uint64_t body_max);

/* After HTTP1_END: forget the request, be ready for the next. */
void http1_reader_next(struct http1_reader *r);

/* True when no byte of a request stands open: the connection may be closed by either side without loss. */
bool http1_reader_idle(const struct http1_reader *r);

/* "GET"... */
const char *http1_method_name(enum http1_method method);
