/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1 responses, as our own client reads them: as strict and bounded as the request reader
 * (codecs/http1.h), no redirects followed, no codings undone.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codecs/http1.h"
#include "codecs/http1_body.h"
#include "codecs/http1_fields.h"

struct http1_response {
	struct http1_fields fields; /* from HTTP1_HEAD_DONE until http1_response_next */
	struct http1_body body;
	uint64_t body_max;
	int64_t content_length; /* HTTP1_LENGTH_NONE when absent */
	int minor;		/* HTTP/1.x: 0 or 1 */
	int code;		/* the status code, from HTTP1_HEAD_DONE on */
	bool head_only;		/* it answers a HEAD request */
	bool keep_alive;	/* another request may be sent on this connection after HTTP1_END */
	unsigned interim;	/* 1xx answers passed over */
	int state;
	size_t line_from;
	int status;	    /* of HTTP1_FAULT: as a server would have answered such a head */
	const char *reason; /* of HTTP1_FAULT: a constant sentence */
};

void http1_response_init(struct http1_response *r, uint64_t body_max);
void http1_response_fini(struct http1_response *r);

/*
 * Ready for the answer to the next request; ${head_only} when that is a HEAD. Also needed before the first.
 */
void http1_response_next(struct http1_response *r, bool head_only);

/* As http1_read. Interim answers (1xx) are passed over, at most 8 of them; 101 is a fault. */
enum http1_event http1_response_read(struct http1_response *r, struct span *in, struct span *body);

/*
 * The connection has ended: HTTP1_END when the answer is complete by that (a body without length), else
 * HTTP1_FAULT.
 */
enum http1_event http1_response_eof(struct http1_response *r);
