/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `pull`: what a DUI does, by hand. Inboxes are listed; what waits in one is listed, fetched into a directory, acknowledged.
 *
 * An item is acknowledged only after its message and every document were verified and are on disk under their names, file and directory
 * synced. File names hold nothing but the sequence and the document's number.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/cli/cli.h"
#include "broker/cli/pull_file.h"
#include "broker/cli/pull_http.h"
#include "broker/cli/table.h"
#include "codecs/digest.h"
#include "codecs/http1_target.h"
#include "codecs/printable.h"

#define PAGE	   100
#define POLL_S	   30 /* of --follow, when --wait does not say */
#define TARGET_MAX 1024
#define RETRY_S	   5 /* when the server does not say */

struct pulling {
	const struct cli *cli;
	struct tls_client_options from;
	struct pull_http *http;
	const char *inbox, *into, *code, *text;
	char path[TARGET_MAX]; /* /v1/inboxes/NAME */
	bool accept, follow;
	uint64_t wait_s, reject;
	uint64_t after;	 /* the last one listed */
	bool more;	 /* the page was not the last */
	unsigned failed; /* items not fetched, or not taken */
};

/* Ask for JSON; an unwelcome status is complained of. CLI_NOT_WELL: a refusal; *${retry_s} > 0: ask again after so long. */
static int
ask_json(struct pulling *p, const struct pull_http_request *request, json_t **objectp, unsigned *retry_s)
{
	struct pull_http_answer answer;
	char text[256];
	int r = pull_http_ask(p->http, request, &answer);

	*retry_s = 0;
	if (!r && answer.status != 200) {
		if (answer.status == 429 || answer.status == 503)
			*retry_s = answer.retry_after_s ? answer.retry_after_s : RETRY_S;
		r = cli_fail(p->cli, CLI_NOT_WELL, "%s %s: status %d %s", request->method, request->target,
		    answer.status, pull_http_problem(&answer, text));
	}
	if (!r) {
		*objectp = json_loadb((const char *)answer.body.data, answer.body.len, 0, NULL);
		if (!json_is_object(*objectp)) {
			json_decref(*objectp);
			r = cli_fail(p->cli, CLI_COULD_NOT, "the answer is not the JSON expected");
		} else if (p->cli->json) {
			json_dumpf(*objectp, stdout, JSON_COMPACT);
			putchar('\n');
		}
	}
	buffer_fini(&answer.body);
	return r;
}

/* What others wrote, safe for a terminal. */
static void
add_shown(struct table *table, const char *text)
{
	struct buffer shown;

	buffer_init(&shown, 1024);
	printable_append(&shown, span_str(text), 200);
	table_addf(table, "%.*s", (int)shown.len, shown.len ? (const char *)shown.data : "");
	buffer_fini(&shown);
}

static int
list_inboxes(struct pulling *p)
{
	const struct pull_http_request request = { .method = "GET", .target = "/v1/inboxes" };
	json_t *answer = NULL;
	const json_t *inbox;
	struct table table;
	unsigned retry_s;
	size_t i;
	int r = ask_json(p, &request, &answer, &retry_s);

	if (r || p->cli->json) {
		json_decref(answer);
		return r;
	}
	table_init(&table, 5, 0x8);
	table_add(&table, "INBOX");
	table_add(&table, "ESTABLISHMENT");
	table_add(&table, "MODE");
	table_add(&table, "WAITING");
	table_add(&table, "OLDEST");
	json_array_foreach(json_object_get(answer, "inboxes"), i, inbox)
	{
		add_shown(&table, cli_text(inbox, "name"));
		add_shown(&table, cli_text(inbox, "establishment"));
		add_shown(&table, cli_text(inbox, "mode"));
		table_addf(&table, "%lld", (long long)cli_integer(inbox, "waiting"));
		add_shown(&table, cli_text(inbox, "oldest")[0] ? cli_text(inbox, "oldest") : "-");
	}
	table_print(&table);
	json_decref(answer);
	return 0;
}

static void
add_documents(struct table *table, const json_t *documents)
{
	char text[600] = "";
	size_t i, len = 0;
	const json_t *d;

	json_array_foreach(documents, i, d)
	{
		if (len < sizeof(text))
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%lld %s %s %s",
			    i ? "; " : "", (long long)cli_integer(d, "index"), cli_text(d, "media_type"),
			    cli_text(d, "type_code"), cli_text(d, "title"));
	}
	add_shown(table, text[0] ? text : "-");
}

static void
print_items(const json_t *items, bool heads)
{
	struct table table;
	const json_t *item;
	size_t i;
	char size[32];

	table_init(&table, 7, 0x1);
	for (size_t h = 0; heads && h < 7; h++)
		table_add(&table, (const char *const[]){
				      "SEQ", "RECEIVED", "PEER", "TYPE", "CONTROL", "SIZE", "DOCUMENTS" }[h]);
	json_array_foreach(items, i, item)
	{
		table_addf(&table, "%lld", (long long)cli_integer(item, "seq"));
		add_shown(&table, cli_text(item, "received"));
		add_shown(&table, cli_text(json_object_get(item, "sender"), "peer"));
		add_shown(&table, cli_text(item, "type"));
		add_shown(&table, cli_text(item, "control_id"));
		table_add(&table, cli_size((uint64_t)cli_integer(item, "size"), size));
		add_documents(&table, json_object_get(item, "documents"));
	}
	table_print(&table);
	(void)fflush(stdout);
}

/* One resource into the file ${name} of the directory, checked against ${expected} (may be NULL) and what the server says. */
static int
fetch(struct pulling *p, const char *target, const char *name, const uint8_t *expected)
{
	struct pull_file file;
	struct pull_http_request request = {
		.method = "GET", .target = target, .sink = pull_file_write, .arg = &file
	};
	struct pull_http_answer answer;
	uint8_t digest[DIGEST_SHA256_LEN];
	char text[256];
	int r = pull_file_begin(&file, p->into, name);

	if (r)
		return cli_fail(p->cli, CLI_COULD_NOT, "%s/%s: %s", p->into, name, strerror(-r));
	r = pull_http_ask(p->http, &request, &answer);
	if (!r && answer.status != 200)
		r = cli_fail(p->cli, CLI_NOT_WELL, "%s: status %d %s", target, answer.status,
		    pull_http_problem(&answer, text));
	buffer_fini(&answer.body);
	if (!r && pull_file_digest(&file, digest) != 0)
		r = cli_fail(p->cli, CLI_COULD_NOT, "not enough memory");
	if (!r && ((expected && memcmp(digest, expected, sizeof(digest)) != 0) ||
		      (answer.has_digest && memcmp(digest, answer.digest, sizeof(digest)) != 0)))
		r = cli_fail(p->cli, CLI_NOT_WELL, "%s: the bytes are not those of their SHA-256", target);
	if (r) {
		pull_file_drop(&file);
		return r;
	}
	if ((r = pull_file_keep(&file)) != 0)
		return cli_fail(p->cli, CLI_COULD_NOT, "%s/%s: %s", p->into, name, strerror(-r));
	return 0;
}

static const char *
suffix_of(const char *media)
{
	static const struct {
		const char *media, *suffix;
	} known[] = { { "text/xml", "xml" }, { "application/xml", "xml" }, { "application/pdf", "pdf" },
		{ "text/plain", "txt" }, { "image/jpeg", "jpg" }, { "image/png", "png" },
		{ "application/zip", "zip" } };

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strcasecmp(known[i].media, media) == 0)
			return known[i].suffix;
	return "bin";
}

/* The message and each of its documents. */
static int
fetch_item(struct pulling *p, const json_t *item)
{
	long long seq = (long long)cli_integer(item, "seq");
	uint8_t expected[DIGEST_SHA256_LEN];
	char target[TARGET_MAX], name[64];
	const json_t *document;
	size_t i;
	int r;

	if (seq < 1 || !digest_unhex(span_str(cli_text(item, "sha256")), expected, sizeof(expected)))
		return cli_fail(p->cli, CLI_COULD_NOT, "an item without seq or sha256");
	snprintf(target, sizeof(target), "/v1/messages/%lld", seq);
	snprintf(name, sizeof(name), "%lld.hl7", seq);
	if ((r = fetch(p, target, name, expected)) != 0)
		return r;
	json_array_foreach(json_object_get(item, "documents"), i, document)
	{
		long long index = (long long)cli_integer(document, "index");

		snprintf(target, sizeof(target), "/v1/messages/%lld/documents/%lld", seq, index);
		snprintf(name, sizeof(name), "%lld-%lld.%s", seq, index,
		    suffix_of(cli_text(document, "media_type")));
		if ((r = fetch(p, target, name, NULL)) != 0)
			return r;
	}
	return 0;
}

static int
acknowledge(struct pulling *p, json_t *body)
{
	struct pull_http_request request = { .method = "POST" };
	char target[TARGET_MAX + 8];
	json_t *answer = NULL;
	const json_t *result;
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	unsigned retry_s;
	size_t i;
	int r;

	json_decref(body);
	if (!text)
		return cli_fail(p->cli, CLI_COULD_NOT, "the code or the text is not UTF-8");
	snprintf(target, sizeof(target), "%s/ack", p->path);
	request.target = target;
	request.body = span_str(text);
	r = ask_json(p, &request, &answer, &retry_s);
	free(text);
	if (r)
		return r;
	json_array_foreach(json_object_get(answer, "results"), i, result)
	{
		const char *what = cli_text(result, "result");

		if (!p->cli->json)
			printf("%s %lld%s%s\n", what, (long long)cli_integer(result, "seq"),
			    cli_text(result, "standing")[0] ? ": " : "", cli_text(result, "standing"));
		if (strcmp(what, "absent") == 0)
			p->failed++;
	}
	json_decref(answer);
	return 0;
}

/* Fetch what ${items} lists; acknowledge what is on disk. */
static int
take_items(struct pulling *p, const json_t *items)
{
	json_t *taken = json_array();
	const json_t *item;
	size_t i;
	int r = 0;

	json_array_foreach(items, i, item)
	{
		r = p->into ? fetch_item(p, item) : 0;
		if (r == CLI_NOT_WELL)
			p->failed++; /* one item refused for ever blocks nothing */
		else if (r)
			break;
		else
			json_array_append(taken, json_object_get(item, "seq"));
	}
	/* What is on disk is acknowledged even when the next one could not be had. */
	if (p->accept && json_array_size(taken)) {
		int acked = acknowledge(p, json_pack("{sO}", "accepted", taken));

		if (r != CLI_COULD_NOT)
			r = acked;
	} else if (r == CLI_NOT_WELL) {
		r = 0;
	}
	json_decref(taken);
	return r;
}

/* One page: listed, fetched, acknowledged. *${retry_s}: the server wants to be asked again later. */
static int
take_page(struct pulling *p, unsigned wait_s, bool first, unsigned *retry_s)
{
	char target[TARGET_MAX + 80];
	struct pull_http_request request = { .method = "GET", .target = target, .wait_s = wait_s };
	json_t *page = NULL;
	const json_t *items, *last;
	int r;

	snprintf(target, sizeof(target), "%s/items?after=%llu&limit=%d&wait=%u", p->path,
	    (unsigned long long)p->after, PAGE, wait_s);
	r = ask_json(p, &request, &page, retry_s);
	if (r)
		return r;
	items = json_object_get(page, "items");
	p->more = cli_true(page, "more");
	if (!p->cli->json && (json_array_size(items) || (first && !p->follow)))
		print_items(items, first);
	last = json_array_get(items, json_array_size(items) - 1);
	if (json_array_size(items) && (uint64_t)cli_integer(last, "seq") > p->after)
		p->after = (uint64_t)cli_integer(last, "seq");
	else
		p->more = false;
	r = take_items(p, items);
	json_decref(page);
	return r;
}

static int
take_inbox(struct pulling *p)
{
	bool first = true;

	for (;;) {
		unsigned wait_s = (unsigned)(p->follow && !p->wait_s ? POLL_S : p->wait_s), retry_s = 0;
		int r = take_page(p, first || !p->more ? wait_s : 0, first, &retry_s);

		first = false;
		if (retry_s && p->follow) {
			sleep(retry_s);
			continue;
		}
		if (r)
			return r;
		if (!p->more && !p->follow)
			return p->failed ? CLI_NOT_WELL : CLI_DONE;
	}
}

static int
run(struct pulling *p)
{
	struct buffer name;
	int r;

	buffer_init(&name, TARGET_MAX - 64);
	for (const char *c = p->inbox ? p->inbox : ""; *c; c++) {
		if ((*c >= '0' && *c <= '9') || (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
		    strchr("-_.~", *c))
			buffer_append_byte(&name, (uint8_t)*c);
		else
			buffer_printf(&name, "%%%02X", (unsigned char)*c);
	}
	if (buffer_failed(&name)) {
		buffer_fini(&name);
		return cli_fail(p->cli, CLI_COULD_NOT, "no inbox has so long a name");
	}
	snprintf(p->path, sizeof(p->path), "/v1/inboxes/%.*s", (int)name.len,
	    name.len ? (const char *)name.data : "");
	buffer_fini(&name);
	if ((r = pull_http_new(p->cli, &p->from, &p->http)) != 0)
		return r;
	if (!p->inbox)
		r = list_inboxes(p);
	else if (p->reject)
		r = acknowledge(p, json_pack("{s[{sIssss}]}", "rejected", "seq", (json_int_t)p->reject,
				       "code", p->code, "text", p->text ? p->text : ""));
	else
		r = take_inbox(p);
	if (!r && p->failed)
		r = CLI_NOT_WELL;
	pull_http_free(p->http);
	return r;
}

static bool
take_option(struct pulling *p, int option)
{
	uint64_t number;

	switch (option) {
	case 'f':
		p->from.to = optarg;
		return true;
	case 'c':
		p->from.certificate = optarg;
		return true;
	case 'k':
		p->from.key = optarg;
		return true;
	case 'a':
		p->from.authorities = optarg;
		return true;
	case 'n':
		p->from.server_name = optarg;
		return true;
	case 'i':
		p->inbox = optarg;
		return true;
	case 'd':
		p->into = optarg;
		return true;
	case 'A':
		return p->accept = true;
	case 'R':
		return cli_number(optarg, 1, UINT64_C(1) << 53, &p->reject);
	case 'C':
		p->code = optarg;
		return true;
	case 'T':
		p->text = optarg;
		return true;
	case 'w':
		return cli_number(optarg, 0, 60, &p->wait_s);
	case 'F':
		return p->follow = true;
	case 't':
		if (!cli_number(optarg, 1, 86400, &number))
			return false;
		p->from.timeout_s = (unsigned)number;
		return true;
	default:
		return false;
	}
}

/* Why these options do not go together; NULL when they do. */
static const char *
disagreement(const struct pulling *p)
{
	if (!p->from.to || !p->from.certificate || !p->from.key || !p->from.authorities)
		return "--from, --cert, --key and --ca are all needed";
	if (!p->inbox && (p->into || p->follow || p->wait_s || p->reject))
		return "say which --inbox; without one only the inboxes are listed";
	if (p->reject && (p->accept || p->into || p->follow))
		return "--reject goes with --inbox, --code and --text alone";
	if (p->reject && !p->code)
		return "--reject needs a --code";
	if (!p->reject && (p->code || p->text))
		return "--code and --text go with --reject";
	if (p->accept && !p->into)
		return "--accept needs --into: what is accepted must first be saved";
	return NULL;
}

int
cli_pull(const struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = { { "from", required_argument, NULL, 'f' },
		{ "cert", required_argument, NULL, 'c' }, { "key", required_argument, NULL, 'k' },
		{ "ca", required_argument, NULL, 'a' }, { "server-name", required_argument, NULL, 'n' },
		{ "inbox", required_argument, NULL, 'i' }, { "into", required_argument, NULL, 'd' },
		{ "accept", no_argument, NULL, 'A' }, { "reject", required_argument, NULL, 'R' },
		{ "code", required_argument, NULL, 'C' }, { "text", required_argument, NULL, 'T' },
		{ "wait", required_argument, NULL, 'w' }, { "follow", no_argument, NULL, 'F' },
		{ "timeout", required_argument, NULL, 't' }, { NULL, 0, NULL, 0 } };
	struct pulling p = { .cli = cli, .from.timeout_s = 30 };
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
		if (!take_option(&p, option))
			return cli_bad_option(cli, options, option);
	if (optind != argc)
		return cli_usage(cli);
	if (disagreement(&p)) {
		cli_fail(cli, 0, "%s", disagreement(&p));
		return cli_usage(cli);
	}
	return run(&p);
}
