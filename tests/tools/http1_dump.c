/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the request reader makes of standard input, for comparing it with other readers: a line per request
 * ("request GET /path 12" and its body in hexadecimal), then the verdict: "ok", "more", or "refused STATUS
 * REASON". An argument is the size of the pieces it is fed in.
 */
#include <stdio.h>
#include <stdlib.h>

#include "codecs/http1.h"

#define INPUT_MAX ((size_t)1 << 22)
#define BODY_MAX  ((uint64_t)1 << 20)

static uint8_t input[INPUT_MAX];

static void
tell_head(const struct http1_request *q)
{
	printf("request %s %.*s ", http1_method_name(q->method), (int)q->target.len,
	    (const char *)q->target.ptr);
}

/* False when nothing more is to be read: the reader has refused, or the connection would be closed. */
static bool
feed(struct http1_reader *r, struct span in)
{
	struct span body;

	for (;;) {
		switch (http1_read(r, &in, &body)) {
		case HTTP1_MORE:
			return true;
		case HTTP1_HEAD_DONE:
			tell_head(&r->request);
			break;
		case HTTP1_BODY:
			for (size_t i = 0; i < body.len; i++)
				printf("%02x", body.ptr[i]);
			break;
		case HTTP1_END:
			printf(".\n");
			if (!r->request.keep_alive) {
				printf("ok\n");
				return false;
			}
			http1_reader_next(r);
			break;
		case HTTP1_FAULT:
			printf("\nrefused %d %s\n", r->status, r->reason);
			return false;
		}
	}
}

int
main(int argc, char **argv)
{
	size_t len = fread(input, 1, sizeof(input), stdin);
	size_t piece = argc > 1 ? strtoul(argv[1], NULL, 10) : len;
	struct http1_reader r;
	bool good = true;

	if (piece == 0)
		piece = len ? len : 1;
	http1_reader_init(&r, BODY_MAX, 0);
	for (size_t at = 0; good && at < len; at += piece)
		good = feed(&r, span_cut(span_make(input, len), at, at + piece));
	if (good)
		printf("\n%s\n", http1_reader_idle(&r) ? "ok" : "more");
	http1_reader_fini(&r);
	return 0;
}
