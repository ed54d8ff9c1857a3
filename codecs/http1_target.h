/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Request targets: percent encoding and query parameters (RFC 3986 §2.1, §3.4; the form encoding's '+').
 *
 * Decoding is strict: '%' is followed by two hexadecimal digits, the decoded text is valid UTF-8 without
 * NUL. A parameter that may stand once and stands twice is an outcome, not a choice.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "codecs/buffer.h"
#include "codecs/span.h"

enum http1_param_outcome {
	HTTP1_PARAM_OK = 0,
	HTTP1_PARAM_ABSENT,
	HTTP1_PARAM_TWICE,
	HTTP1_PARAM_BAD,  /* wrongly encoded */
	HTTP1_PARAM_LONG, /* does not fit */
};

struct http1_param {
	struct span name; /* still encoded */
	struct span value;
	bool has_value; /* there was a '=' */
};

/*
 * Check an origin-form target ("/path?query"): NULL when it is fit, else a constant sentence. ${flags}:
 * HTTP1_LENIENT_QUERY; the bytes it let through are added to ${lenient}.
 */
const char *http1_target_check(struct span target, unsigned flags, uint64_t *lenient);

/*
 * Take the next parameter from the front of ${query}; false at its end. Empty ones ("a&&b") are passed
 * over.
 */
bool http1_param_next(struct span *query, struct http1_param *param);

/*
 * Decode ${in} into ${out} (${size} places) with a NUL behind; ${plus}: '+' is a blank (queries, not
 * paths). ${len} may be NULL.
 */
enum http1_param_outcome http1_percent_decode(struct span in, bool plus, char *out, size_t size, size_t *len)
    __attribute__((warn_unused_result));

/* The one parameter called ${name} (compared decoded), decoded as above. */
enum http1_param_outcome http1_query_get(struct span query, const char *name, char *out, size_t size,
    size_t *len) __attribute__((warn_unused_result));

/*
 * Append ${in} with everything but unreserved characters percent-encoded: safe as a segment or a parameter.
 */
void http1_percent_encode(struct span in, struct buffer *out);

/*
 * Take the next segment of ${path} ("/a/b": "a", then "b") from its front, still encoded; false at the end.
 * "/" has one empty segment.
 */
bool http1_path_next(struct span *path, struct span *segment);
