/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1 requests over tls_client.h: one connection kept as long as the server keeps it, made anew when it does not.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "broker/cli/tls_client.h"
#include "codecs/buffer.h"
#include "codecs/span.h"

struct pull_http;

int pull_http_new(const struct cli *cli, const struct tls_client_options *options, struct pull_http **httpp)
    __attribute__((warn_unused_result));
void pull_http_free(struct pull_http *http);

/* Body bytes as they come; non-zero ends the request with it. */
typedef int pull_http_sink(void *arg, struct span bytes);

struct pull_http_request {
	const char *method, *target;
	struct span body;     /* JSON; empty: none */
	unsigned wait_s;      /* the server may take so much longer */
	pull_http_sink *sink; /* for the body of a 2xx; NULL: it is gathered */
	void *arg;
};

struct pull_http_answer {
	int status;
	struct buffer body;	/* gathered, at most 16 MiB; the caller's to fini */
	unsigned retry_after_s; /* of 429 and 503; 0: not said */
	bool has_digest;
	uint8_t digest[32]; /* Repr-Digest, sha-256 (RFC 9530) */
};

/* Ask and read the whole answer. 0 whatever the status, or an exit status after complaining. */
int pull_http_ask(struct pull_http *http, const struct pull_http_request *request,
    struct pull_http_answer *answer) __attribute__((warn_unused_result));

/* The detail of a problem (RFC 9457) in ${answer}, for showing; "" when there is none. At least 256 bytes at ${out}. */
const char *pull_http_problem(const struct pull_http_answer *answer, char out[static 256]);
