/* SPDX-License-Identifier: Apache-2.0 */
/* `show`, `why` and `search`: what became of a message, one line a hop. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "broker/cli/cli.h"
#include "broker/cli/control_client.h"
#include "broker/cli/table.h"
#include "broker/cli/verify.h"
#include "codecs/base64.h"

struct showing {
	struct table hops;
	bool sentence_only;
	long long id; /* of the message shown */
};

static void
add_hop(struct table *table, const char *time, const char *what, const char *where, const char *reason)
{
	table_add(table, time);
	table_add(table, what);
	table_add(table, where);
	table_add(table, reason);
}

/* "PID-3, 101 required-field: ..." */
static void
add_fault(struct table *table, const json_t *row, const char *time, const char *what)
{
	const json_t *fault = json_object_get(row, "fault");
	char reason[512];

	if (json_is_object(fault))
		snprintf(reason, sizeof(reason), "%s  %s%s%lld %s: %s", cli_text(row, "answer"),
		    cli_text(fault, "path"), cli_text(fault, "path")[0] ? ", " : "",
		    (long long)cli_integer(fault, "code"), cli_text(fault, "name"), cli_text(fault, "text"));
	else
		snprintf(reason, sizeof(reason), "%s", cli_text(row, "answer"));
	add_hop(table, time, what, cli_text(row, "peer"), reason);
}

static void
print_head(const json_t *row)
{
	char size[32];

	printf("message %lld  %s  control %s  version %s  %s  %s\n", (long long)cli_integer(row, "id"),
	    cli_text(row, "type")[0] ? cli_text(row, "type") : "-",
	    cli_text(row, "control")[0] ? cli_text(row, "control") : "-",
	    cli_text(row, "version")[0] ? cli_text(row, "version") : "-",
	    cli_size((uint64_t)cli_integer(row, "size"), size), cli_text(row, "mode"));
	printf("from    %s (%s/%s) of %s by %s\n", cli_text(row, "peer"), cli_text(row, "application"),
	    cli_text(row, "facility"), cli_text(row, "establishment"), cli_text(row, "listener"));
	if (cli_text(row, "sha256")[0])
		printf("sha256  %s\n", cli_text(row, "sha256"));
	if (cli_text(row, "charset_used")[0])
		printf("charset %s (%s)\n", cli_text(row, "charset_used"), cli_text(row, "charset_reason"));
}

static void
add_message(struct showing *showing, const json_t *row)
{
	const char *time = cli_text(row, "time"), *rest = cli_text(row, "destinations");
	bool replay =
	    json_is_integer(json_object_get(row, "origin")); /* its hop says how it came and where to */
	const json_t *leniency;
	size_t i;

	showing->id = (long long)cli_integer(row, "id");
	print_head(row);
	json_array_foreach(json_object_get(row, "leniencies"), i, leniency)
	    printf("lenient %s\n", json_string_value(leniency));
	if (!replay)
		add_fault(&showing->hops, row, time, cli_text(row, "record"));
	if (cli_true(row, "parked"))
		add_hop(&showing->hops, time, "parked", "", "no route wants it");
	while (*rest && !replay) {
		size_t len = strcspn(rest, ",");
		char name[256], reason[300];

		snprintf(name, sizeof(name), "%.*s", (int)len, rest);
		snprintf(reason, sizeof(reason), "by %s", cli_text(row, "routes"));
		add_hop(&showing->hops, time, "routed", name, cli_text(row, "routes")[0] ? reason : "");
		rest += len + (rest[len] == ',');
	}
}

static void
add_record(struct showing *showing, const json_t *row)
{
	const char *what = cli_text(row, "what"), *outcome = cli_text(row, "outcome");
	const char *where = cli_text(row, "where"), *who = cli_text(row, "who");
	char reason[1024];
	size_t len;

	len = (size_t)snprintf(reason, sizeof(reason), "%s%s", who[0] ? "by " : "", who);
	if (cli_text(row, "of")[0] && len < sizeof(reason))
		len += (size_t)snprintf(reason + len, sizeof(reason) - len, "  %s", cli_text(row, "of"));
	if (cli_text(row, "code")[0] && len < sizeof(reason))
		len +=
		    (size_t)snprintf(reason + len, sizeof(reason) - len, "  code %s", cli_text(row, "code"));
	if (cli_text(row, "text")[0] && len < sizeof(reason))
		(void)snprintf(reason + len, sizeof(reason) - len, "  %s", cli_text(row, "text"));
	/* An acknowledgement has a code: a reader of an inbox gives none. */
	if (strcmp(outcome, "accepted") == 0 && cli_text(row, "code")[0])
		outcome = "acknowledged";
	add_hop(&showing->hops, cli_text(row, "time"), outcome[0] ? outcome : what, where, reason);
}

/* A replay, told where it began (what it is once more) and where it came from (as what it went). */
static void
add_replay(struct showing *showing, const json_t *row)
{
	long long record = (long long)cli_integer(row, "record"), ref = (long long)cli_integer(row, "ref");
	char reason[1024];

	snprintf(reason, sizeof(reason), "%s %lld  by %s  %s", record == showing->id ? "of" : "as",
	    record == showing->id ? ref : record, cli_text(row, "who"), cli_text(row, "text"));
	add_hop(&showing->hops, cli_text(row, "time"), "replayed", cli_text(row, "where"), reason);
}

static int
take_row(void *arg, const json_t *row)
{
	struct showing *showing = arg;
	const char *kind = cli_text(row, "kind");
	char size[32];

	if (strcmp(kind, "why") == 0) {
		if (!showing->sentence_only)
			table_print(&showing->hops);
		printf("%s\n", cli_text(row, "text"));
	} else if (strcmp(kind, "message") == 0) {
		add_message(showing, row);
	} else if (strcmp(kind, "hop") == 0 && strcmp(cli_text(row, "what"), "replayed") == 0) {
		add_replay(showing, row);
	} else if (strcmp(kind, "hop") == 0) {
		add_record(showing, row);
	} else if (strcmp(kind, "document") == 0) {
		printf("document %lld  %s  %s (%s)  %s encoded\n", (long long)cli_integer(row, "number"),
		    cli_text(row, "media"), cli_text(row, "code"), cli_text(row, "system"),
		    cli_size((uint64_t)cli_integer(row, "size"), size));
	}
	return 0;
}

/* The bytes of ${row} to standard output, or what it is to standard error. */
static int
write_content(void *arg, const json_t *row)
{
	struct buffer bytes;
	int r = 0;

	(void)arg;
	if (strcmp(cli_text(row, "kind"), "content") == 0) {
		fprintf(stderr, "%s of %lld: %s, %lld bytes, sha256 %s\n", cli_text(row, "what"),
		    (long long)cli_integer(row, "id"), cli_text(row, "media"),
		    (long long)cli_integer(row, "size"), cli_text(row, "sha256"));
		return 0;
	}
	buffer_init(&bytes, (size_t)1 << 20);
	if (base64_decode(span_str(cli_text(row, "data")), 0, &bytes, NULL) != BASE64_OK ||
	    fwrite(bytes.data, 1, bytes.len, stdout) != bytes.len)
		r = CLI_COULD_NOT;
	buffer_fini(&bytes);
	return r;
}

static int
ask(const struct cli *cli, json_t *request)
{
	struct showing showing = { .sentence_only = strcmp(cli->command->name, "why") == 0 };
	int r;

	table_init(&showing.hops, 4, 0);
	r = control_client_once(cli, request, take_row, &showing);
	table_fini(&showing.hops);
	return r;
}

int
cli_why(const struct cli *cli, int argc, char **argv)
{
	uint64_t id;

	if (argc != 2 || !cli_id(cli, argv[1], &id))
		return cli_usage(cli);
	return ask(cli, json_pack("{sssI}", "command", "why", "id", (json_int_t)id));
}

int
cli_show(const struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = { { "content", no_argument, NULL, 'c' },
		{ "document", required_argument, NULL, 'd' }, { "reason", required_argument, NULL, 'r' },
		{ "proof", required_argument, NULL, 'p' }, { NULL, 0, NULL, 0 } };
	uint64_t id = 0, document = 0;
	const char *reason = NULL, *proof = NULL;
	bool content = false;
	json_t *request;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'c')
			content = true;
		else if (option == 'r')
			reason = optarg;
		else if (option == 'p')
			proof = optarg;
		else if (option != 'd' || !cli_number(optarg, 1, 1000000, &document))
			return cli_bad_option(cli, options, option);
	}
	if (optind + 1 != argc || !cli_id(cli, argv[optind], &id))
		return cli_usage(cli);
	content = content || document;
	if (content && proof)
		return cli_usage(cli);
	if (content && (!reason || !reason[0]))
		return cli_fail(cli, CLI_COULD_NOT,
		    "content is shown for a reason only: --reason TEXT, it is journalled");
	request = json_pack("{sssI}", "command", "show", "id", (json_int_t)id);
	if (!content && !proof)
		return ask(cli, request);
	json_object_set_new(request, content ? "content" : "proof", json_true());
	json_object_set_new(request, "reason", json_string(reason ? reason : ""));
	if (!json_object_get(request, "reason")) {
		json_decref(request);
		return cli_fail(cli, CLI_COULD_NOT, "the reason is not UTF-8 text");
	}
	if (proof)
		return verify_make_proof(cli, request, proof);
	if (document)
		json_object_set_new(request, "document", json_integer((json_int_t)document));
	return control_client_once(cli, request, write_content, NULL);
}

static int
add_found(void *arg, const json_t *row)
{
	struct table *table = arg;
	const json_t *fault = json_object_get(row, "fault");

	table_addf(table, "%lld", (long long)cli_integer(row, "id"));
	table_add(table, cli_text(row, "time"));
	table_add(table, cli_text(row, "peer"));
	table_add(table, cli_text(row, "type"));
	table_add_cut(table, cli_text(row, "control"), CONTROL_SHOWN);
	table_add(table, cli_text(row, "answer"));
	table_add(table, cli_true(row, "parked") ? "parked" : cli_text(row, "destinations"));
	table_add(table, json_is_object(fault) ? cli_text(fault, "text") : "");
	return 0;
}

/* Put ${value} into ${request}; false when it is no text. */
static bool
put_text(json_t *request, const char *key, const char *value)
{
	json_t *text = json_string(value);

	return text && json_object_set_new(request, key, text) == 0;
}

int
cli_search(const struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = { { "control", required_argument, NULL, 'c' },
		{ "peer", required_argument, NULL, 'p' }, { "type", required_argument, NULL, 't' },
		{ "since", required_argument, NULL, 's' }, { "refused", no_argument, NULL, 'r' },
		{ "limit", required_argument, NULL, 'n' }, { "before", required_argument, NULL, 'b' },
		{ NULL, 0, NULL, 0 } };
	static const char *const heads[] = { "ID", "TIME", "PEER", "TYPE", "CONTROL", "ANSWER", "WHERE",
		"WHY" };
	json_t *request = json_pack("{sssi}", "command", "search", "limit", 50);
	struct table table;
	int option = 0, r;
	bool good = true;

	while (good && (option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		uint64_t number = 0;
		int64_t since = 0;

		if (option == 'c' || option == 'p' || option == 't') {
			good &= put_text(request,
			    option == 'c'   ? "control"
			    : option == 'p' ? "peer"
					    : "type",
			    optarg);
		} else if (option == 's') {
			good &= cli_since(optarg, &since);
			json_object_set_new(request, "since", json_integer(since));
		} else if (option == 'r') {
			json_object_set_new(request, "refused", json_true());
		} else if (option == 'n' || option == 'b') {
			good &= cli_number(optarg, 1, UINT64_C(1) << 53, &number);
			json_object_set_new(
			    request, option == 'n' ? "limit" : "after", json_integer((json_int_t)number));
		} else {
			good = false;
		}
	}
	if (!good || optind != argc) {
		json_decref(request);
		return good ? cli_usage(cli) : cli_bad_option(cli, options, option);
	}
	table_init(&table, 8, 0x1);
	for (size_t i = 0; i < 8; i++)
		table_add(&table, heads[i]);
	r = control_client_once(cli, request, add_found, &table);
	if (!cli->json && r == CLI_DONE)
		table_print(&table);
	table_fini(&table);
	return r;
}
