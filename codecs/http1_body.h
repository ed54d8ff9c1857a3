/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the body of an HTTP/1.1 message ends (RFC 9112 §6, §7), shared by the request and the response
 * reader.
 *
 * Body bytes are handed out as spans over the input, never copied. Chunk extensions and trailer fields are
 * checked, bounded and dropped. Any split of the input gives the same bytes and faults.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codecs/http1_fields.h"
#include "codecs/span.h"

#define HTTP1_CHUNK_LINE_MAX	  256  /* one chunk's size and extensions, or one trailer field */
#define HTTP1_CHUNK_EXTENSION_MAX 4096 /* bytes of extensions in a message: nobody we know sends any */
#define HTTP1_TRAILER_MAX	  4096 /* bytes of trailer fields in a message */

enum http1_body_kind {
	HTTP1_BODY_NONE,
	HTTP1_BODY_LENGTH,
	HTTP1_BODY_CHUNKED,
	HTTP1_BODY_TO_CLOSE, /* responses only */
};

enum http1_body_event {
	HTTP1_BODY_MORE,  /* the input is used up */
	HTTP1_BODY_BYTES, /* ${bytes} holds some */
	HTTP1_BODY_END,
	HTTP1_BODY_FAULT, /* status and reason are set */
};

struct http1_body {
	enum http1_body_kind kind;
	int state;
	uint64_t left;	   /* bytes of the body or of the chunk still to come */
	uint64_t got;	   /* body bytes handed out */
	uint64_t max;	   /* the cap */
	size_t extensions; /* bytes of chunk extensions so far */
	size_t trailers;   /* bytes of trailer fields so far */
	size_t line_len;   /* bytes in line */
	int status;
	const char *reason;
	uint8_t line[HTTP1_CHUNK_LINE_MAX];
};

/*
 * Decide from the fields how long the body is. ${http10}: the message is HTTP/1.0, which knows no transfer
 * codings. Returns 0 with ${kind} and ${length} (HTTP1_LENGTH_NONE unless HTTP1_BODY_LENGTH) set, or the
 * status to refuse with and ${reason}.
 */
int http1_body_frame(const struct http1_fields *f, bool http10, enum http1_body_kind *kind, int64_t *length,
    const char **reason) __attribute__((warn_unused_result));

void http1_body_begin(struct http1_body *b, enum http1_body_kind kind, int64_t length, uint64_t max);

/* Take what is next from the front of ${in}. */
enum http1_body_event http1_body_read(struct http1_body *b, struct span *in, struct span *bytes);
