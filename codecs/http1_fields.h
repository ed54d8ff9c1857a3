/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The field lines of an HTTP/1.1 message (RFC 9112 §5), shared by the request and the response reader.
 *
 * A name is a token, a colon follows it at once, the value is what is left without the white space around
 * it: visible ASCII, blanks, tabs and bytes above 0x7f, nothing else. No folded lines. Names are found
 * without regard to case.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codecs/buffer.h"
#include "codecs/span.h"

#define HTTP1_HEAD_MAX	  16384 /* start line and fields: twice what browsers and gateways send */
#define HTTP1_FIELDS_MAX  64
#define HTTP1_LENGTH_NONE (-1) /* no Content-Length */

/* Places in the head's bytes: 16 bits suffice for HTTP1_HEAD_MAX, and a connection holds 64 of them. */
struct http1_place {
	uint16_t name, name_len, value, value_len;
};

struct http1_fields {
	struct buffer bytes; /* start line and field lines as received */
	struct http1_place places[HTTP1_FIELDS_MAX];
	size_t count;
};

struct http1_field {
	struct span name;
	struct span value;
};

enum http1_field_outcome {
	HTTP1_FIELD_OK = 0,
	HTTP1_FIELD_BAD,  /* not a field line */
	HTTP1_FIELD_MANY, /* past HTTP1_FIELDS_MAX */
};

void http1_fields_init(struct http1_fields *f);
void http1_fields_fini(struct http1_fields *f);

/* Empty for the next message. Memory is kept up to a common size and given back beyond. */
void http1_fields_reset(struct http1_fields *f);

/* Note the line [from, to) of f->bytes, without its CRLF, as a field. */
enum http1_field_outcome http1_fields_add(struct http1_fields *f, size_t from, size_t to)
    __attribute__((warn_unused_result));

/* Whether ${line} (without CRLF) is a well-formed field line; gives its parts. */
bool http1_field_parse(struct span line, struct http1_field *field);

/* The ${i}th field, in order of arrival; ${i} < f->count. Spans live until the next message. */
struct http1_field http1_field_at(const struct http1_fields *f, size_t i);

/*
 * How many fields are called ${name}; the first one's value in ${value} (which may be NULL; empty when
 * there is none).
 */
size_t http1_field_find(const struct http1_fields *f, const char *name, struct span *value);

/* Whether the comma-separated list(s) of the fields called ${name} hold ${token}, case apart. */
bool http1_field_has_token(const struct http1_fields *f, const char *name, const char *token);

/*
 * Take the next element of the comma-separated ${list} from its front, white space around it cut; false when
 * none is left. Empty elements come too. ${list}.ptr must not be NULL at first.
 */
bool http1_list_next(struct span *list, struct span *element);

/* A non-empty run of RFC 9110 tchar. */
bool http1_is_token(struct span s);

/* Equal but for the case of ASCII letters. */
bool http1_equal_nocase(struct span a, struct span b);
