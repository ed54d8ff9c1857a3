/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `replay`: messages of the journal go to their destinations once more, in the journal's order.
 *
 * The broker answers in pages, each complete in itself: which messages, where to, and what has been acknowledged there already. A call
 * that breaks off has done the pages it told of and no more.
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "broker/cli/cli.h"
#include "broker/cli/control_client.h"
#include "broker/cli/ids.h"

struct replaying {
	const struct cli *cli;
	json_t *request; /* what is asked of every page */
	bool yes, at;
	struct ids ids;
	size_t sent, told; /* that were or would be sent; lines */
};

static void
print_acknowledged(const json_t *row)
{
	const json_t *before = json_object_get(row, "acknowledged");

	if (json_is_object(before))
		printf("; already acknowledged there at %s (%s)", cli_text(before, "time"),
		    cli_text(before, "how"));
}

static int
print_replay(void *arg, const json_t *row)
{
	struct replaying *replaying = arg;
	const char *result = cli_text(row, "result"), *to = cli_text(row, "to"),
		   *peer = cli_text(row, "peer");
	long long as = (long long)cli_integer(row, "as");
	bool would = strcmp(result, "would") == 0, done = strcmp(result, "replayed") == 0;

	replaying->told++;
	replaying->sent += would || done;
	printf("%lld", (long long)cli_integer(row, "id"));
	if (peer[0])
		printf("  %s from %s", cli_text(row, "type"), peer);
	if (to[0])
		printf(" -> %s", to);
	if (would)
		printf(to[0] ? "  would be sent" : "  would be routed anew, if a route of now wants it");
	else if (done)
		printf("  replayed as %lld", as);
	else
		printf("  %s", cli_text(row, "why"));
	print_acknowledged(row);
	printf("\n");
	return 0;
}

/* The pages of a span of time or of dead letters follow one another by ${after}; the first one fixes where the last one ends. */
static bool
next_page(json_t *request, const json_t *end)
{
	const json_t *next = json_object_get(end, "next"), *last = json_object_get(end, "last");

	if (!json_is_integer(next) || !json_is_integer(last))
		return false;
	return json_object_set_new(request, "after", json_integer(json_integer_value(next))) == 0 &&
	       json_object_set_new(request, "last", json_integer(json_integer_value(last))) == 0;
}

static int
replay_all(struct replaying *replaying)
{
	struct control_client *client = NULL;
	json_t *page, *end;
	int r = control_client_open(replaying->cli, &client), well = CLI_DONE;
	bool more = true;

	while (!r && more) {
		if (replaying->ids.count) {
			if (!(page = ids_page(&replaying->ids)))
				break;
			json_object_set_new(replaying->request, "ids", page);
		}
		end = NULL;
		r = control_client_ask(client, replaying->cli, json_deep_copy(replaying->request),
		    print_replay, replaying, &end);
		if (json_is_false(json_object_get(end, "well")))
			well = CLI_NOT_WELL;
		if (!replaying->ids.count)
			more = next_page(replaying->request, end);
		json_decref(end);
	}
	control_client_close(client);
	return r ? r : well;
}

static void
sum_up(const struct replaying *replaying, bool refused)
{
	if (!replaying->told && !refused)
		printf("There is nothing to replay.\n");
	else if (replaying->yes)
		printf("%zu of %zu replayed\n", replaying->sent, replaying->told);
	else if (replaying->sent)
		printf("Nothing was done. --reason TEXT --yes sends %zu of these %zu, in this order, behind "
		       "what "
		       "waits there.\n",
		    replaying->sent, replaying->told);
}

static const struct option options[] = { { "since", required_argument, NULL, 's' },
	{ "until", required_argument, NULL, 'u' }, { "from", required_argument, NULL, 'f' },
	{ "type", required_argument, NULL, 't' }, { "at", required_argument, NULL, 'a' },
	{ "dead", required_argument, NULL, 'd' }, { "to", required_argument, NULL, 'o' },
	{ "reason", required_argument, NULL, 'r' }, { "yes", no_argument, NULL, 'y' }, { NULL, 0, NULL, 0 } };

/* What ${option} adds to the request. False: it does not take optarg. */
static bool
take_option(struct replaying *replaying, int option)
{
	static const struct {
		int option;
		const char *key;
	} texts[] = { { 'f', "peer" }, { 't', "type" }, { 'a', "destination" }, { 'd', "destination" },
		{ 'o', "to" }, { 'r', "reason" } };
	json_t *request = replaying->request;
	int64_t time;

	if (option == 'y') {
		replaying->yes = true;
		return json_object_set_new(request, "yes", json_true()) == 0;
	}
	if (option == 's' || option == 'u')
		return cli_since(optarg, &time) &&
		       json_object_set_new(request, option == 's' ? "since" : "until", json_integer(time)) ==
			   0;
	if (option == 'd')
		json_object_set_new(request, "dead", json_true());
	replaying->at |= option == 'a';
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (texts[i].option == option)
			return optarg[0] &&
			       json_object_set_new(request, texts[i].key, json_string(optarg)) == 0;
	return false;
}

/* What goes with what; NULL: all is there. The broker judges the same again. */
static const char *
judge(const struct replaying *replaying, size_t ids)
{
	const json_t *request = replaying->request;
	bool since = json_object_get(request, "since"), dead = json_object_get(request, "dead");

	if ((ids > 0) + since + dead != 1)
		return "replay what: ID..., --since TIME or --dead DESTINATION, one of them";
	if (!since && (replaying->at || json_object_get(request, "until") ||
			  json_object_get(request, "peer") || json_object_get(request, "type")))
		return "--until, --from, --type and --at go with --since; where to is --to";
	if (json_object_get(request, "yes") && !json_object_get(request, "reason"))
		return "why? --reason TEXT: it is journalled";
	return NULL;
}

int
cli_replay(const struct cli *cli, int argc, char **argv)
{
	struct replaying replaying = { .cli = cli, .request = json_pack("{ss}", "command", "replay") };
	const char *wrong;
	int option, r = 0;

	while (!r && (option = getopt_long(argc, argv, "", options, NULL)) != -1)
		if (option == '?' || !take_option(&replaying, option))
			r = cli_bad_option(cli, options, option);
	if (!r && (wrong = judge(&replaying, (size_t)(argc - optind))) != NULL) {
		cli_fail(cli, 0, "%s", wrong);
		r = cli_usage(cli);
	}
	if (!r && !ids_take(cli, &replaying.ids, argv + optind, (size_t)(argc - optind)))
		r = cli_usage(cli);
	if (!r) {
		r = replay_all(&replaying);
		if (r != CLI_COULD_NOT && !cli->json)
			sum_up(&replaying, r != CLI_DONE);
	}
	ids_fini(&replaying.ids);
	json_decref(replaying.request);
	return r;
}
