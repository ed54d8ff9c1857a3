/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The head of an HTTP/1.1 message, line by line: what the request and the response reader share. Every line
 * ends with CRLF, fields follow the start line, an empty line ends it. Any split of the input gives the
 * same lines and faults.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "codecs/http1_fields.h"
#include "codecs/span.h"

enum http1_line_event {
	HTTP1_LINE_MORE,  /* the input is used up inside the line */
	HTTP1_LINE_DONE,  /* ${line} is the line without its CRLF */
	HTTP1_LINE_LONG,  /* it would pass ${max}; ${line} is what is there */
	HTTP1_LINE_FAULT, /* ${status} and ${reason} */
};

struct http1_line {
	struct span line;
	int status;
	const char *reason;
};

/*
 * Move bytes from the front of ${in} to ${f}->bytes up to the end of the line that begins at ${from} there.
 * ${max} is the most the line may have, without its CRLF.
 */
enum http1_line_event http1_line_read(
    struct http1_fields *f, size_t from, size_t max, struct span *in, struct http1_line *line);

/*
 * Note the field line that was just read (http1_line_read); ${from} is where it begins. 0, or the status to
 * refuse with and ${reason}.
 */
int http1_head_field(struct http1_fields *f, size_t from, struct span line, const char **reason);
