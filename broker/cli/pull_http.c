/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/1.1 requests over mutual TLS: see pull_http.h. */
#include "broker/cli/pull_http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codecs/base64.h"
#include "codecs/http1_response.h"
#include "codecs/http1_write.h"
#include "codecs/printable.h"

#define GATHERED_MAX ((size_t)16 << 20)
#define BODY_MAX     ((uint64_t)2 << 30)
#define HEAD_MAX     ((size_t)64 << 10)

struct pull_http {
	const struct cli *cli;
	struct tls_client_options to;
	struct tls_client *client; /* NULL: not connected */
	struct http1_response response;
	uint8_t input[65536];
	struct span rest; /* of input */
};

int
pull_http_new(const struct cli *cli, const struct tls_client_options *options, struct pull_http **httpp)
{
	struct pull_http *http = calloc(1, sizeof(*http));

	if (!http)
		return cli_fail(cli, CLI_COULD_NOT, "not enough memory");
	http->cli = cli;
	http->to = *options;
	*httpp = http;
	return 0;
}

static void
hang_up(struct pull_http *http)
{
	if (!http->client)
		return;
	http1_response_fini(&http->response);
	tls_client_close(http->client);
	http->client = NULL;
}

void
pull_http_free(struct pull_http *http)
{
	if (!http)
		return;
	hang_up(http);
	free(http);
}

static int
call(struct pull_http *http)
{
	int r;

	if (http->client)
		return 0;
	if ((r = tls_client_open(http->cli, &http->to, &http->client)) != 0)
		return r;
	http1_response_init(&http->response, BODY_MAX);
	http->rest = SPAN_EMPTY;
	return 0;
}

static int
send_request(struct pull_http *http, const struct pull_http_request *request)
{
	const struct http1_field_out fields[] = {
		{ "User-Agent", span_str("liaison-pull") },
		{ "Content-Type", span_str("application/json") },
	};
	struct buffer out;
	int r = 0;

	buffer_init(&out, HEAD_MAX + request->body.len);
	if (http1_request_head(&out, request->method, span_str(request->target),
		span_str(tls_client_to(http->client)), fields, request->body.len ? 2 : 1,
		request->body.len ? (int64_t)request->body.len : HTTP1_LENGTH_NONE) != HTTP1_WRITE_OK)
		r = cli_fail(http->cli, CLI_COULD_NOT, "%s cannot be asked for", request->target);
	buffer_append_span(&out, request->body);
	if (!r && buffer_failed(&out))
		r = cli_fail(http->cli, CLI_COULD_NOT, "not enough memory");
	if (!r)
		r = tls_client_write(http->client, buffer_span(&out));
	buffer_fini(&out);
	return r;
}

/* "sha-256=:BASE64:", perhaps among others. */
static void
read_digest(struct span value, struct pull_http_answer *answer)
{
	static const char name[] = "sha-256=:";
	const uint8_t *at = memmem(value.ptr, value.len, name, sizeof(name) - 1), *end;
	struct buffer bytes;
	struct span text;

	if (!at)
		return;
	text = span_cut(value, (size_t)(at - value.ptr) + sizeof(name) - 1, value.len);
	end = memchr(text.ptr, ':', text.len);
	if (!end)
		return;
	buffer_init(&bytes, 64);
	if (base64_decode(span_cut(text, 0, (size_t)(end - text.ptr)), 0, &bytes, NULL) == BASE64_OK &&
	    bytes.len == sizeof(answer->digest)) {
		memcpy(answer->digest, bytes.data, sizeof(answer->digest));
		answer->has_digest = true;
	}
	buffer_fini(&bytes);
}

static void
read_head(const struct http1_response *response, struct pull_http_answer *answer)
{
	struct span value;

	answer->status = response->code;
	if (http1_field_find(&response->fields, "Repr-Digest", &value))
		read_digest(value, answer);
	if (http1_field_find(&response->fields, "Retry-After", &value)) {
		char text[16];
		uint64_t seconds;

		snprintf(text, sizeof(text), "%.*s", (int)value.len, (const char *)value.ptr);
		if (cli_number(text, 1, 86400, &seconds))
			answer->retry_after_s = (unsigned)seconds;
	}
}

static int
take_body(const struct pull_http_request *request, struct pull_http_answer *answer, struct span bytes)
{
	if (request->sink && answer->status / 100 == 2)
		return request->sink(request->arg, bytes);
	buffer_append_span(&answer->body, bytes);
	return 0;
}

/* More input, or the end of the connection told to the reader. 0, or an exit status after complaining. */
static int
more_input(struct pull_http *http, unsigned wait_s, bool *ended)
{
	ssize_t n = tls_client_read(http->client, http->input, sizeof(http->input), wait_s);

	if (n < 0)
		return CLI_COULD_NOT;
	*ended = n == 0;
	http->rest = span_make(http->input, (size_t)n);
	return 0;
}

static int
read_answer(struct pull_http *http, const struct pull_http_request *request, struct pull_http_answer *answer)
{
	bool ended = false;
	int r = 0;

	http1_response_next(&http->response, false);
	while (!r) {
		struct span body;
		enum http1_event event = ended ? http1_response_eof(&http->response)
					       : http1_response_read(&http->response, &http->rest, &body);

		switch (event) {
		case HTTP1_MORE:
			r = more_input(http, request->wait_s, &ended);
			break;
		case HTTP1_HEAD_DONE:
			read_head(&http->response, answer);
			break;
		case HTTP1_BODY:
			r = take_body(request, answer, body);
			break;
		case HTTP1_END:
			if (buffer_failed(&answer->body))
				return cli_fail(http->cli, CLI_COULD_NOT, "the answer is too large");
			return 0;
		case HTTP1_FAULT:
			return cli_fail(http->cli, CLI_COULD_NOT, "the answer cannot be read: %s",
			    ended ? "it ended too early" : http->response.reason);
		}
	}
	return r;
}

int
pull_http_ask(
    struct pull_http *http, const struct pull_http_request *request, struct pull_http_answer *answer)
{
	int r;

	*answer = (struct pull_http_answer){ 0 };
	buffer_init(&answer->body, GATHERED_MAX);
	if ((r = call(http)) != 0)
		return r;
	r = send_request(http, request);
	if (!r)
		r = read_answer(http, request, answer);
	if (r || !http->response.keep_alive)
		hang_up(http);
	return r;
}

const char *
pull_http_problem(const struct pull_http_answer *answer, char out[static 256])
{
	json_t *object =
	    json_loadb(answer->body.len ? (const char *)answer->body.data : "", answer->body.len, 0, NULL);
	const char *text = cli_text(object, "detail");
	struct buffer shown;

	if (!text[0])
		text = cli_text(object, "title");
	buffer_init(&shown, 256);
	printable_append(&shown, span_str(text), 255);
	snprintf(out, 256, "%.*s", (int)shown.len, shown.len ? (const char *)shown.data : "");
	buffer_fini(&shown);
	json_decref(object);
	return out;
}
