/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `reload`, `hold`, `release` and `drop`: acts, told as they were done.
 *
 * The broker has journalled an act, with who and why, before it answers; what this prints is therefore so.
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "broker/cli/cli.h"
#include "broker/cli/control_client.h"
#include "broker/cli/ids.h"

static int
print_line(void *arg, const json_t *row)
{
	size_t *lines = arg;

	printf("%s\n", cli_text(row, "text"));
	(*lines)++;
	return 0;
}

int
cli_reload(const struct cli *cli, int argc, char **argv)
{
	size_t lines = 0;
	int r;

	(void)argv;
	if (argc != 1)
		return cli_usage(cli);
	r = control_client_once(cli, json_pack("{ss}", "command", "reload"), print_line, &lines);
	if (r == CLI_DONE && !cli->json)
		printf(lines ? "reloaded\n"
			     : "reloaded: nothing has changed but what the files named there hold\n");
	return r;
}

/* hold and release: ask, then say how it stands. */
static int
ask_of(const struct cli *cli, const char *destination, const char *reason, const char *done)
{
	json_t *request = json_pack("{ssss}", "command", cli->command->name, "destination", destination);
	struct control_client *client = NULL;
	json_t *end = NULL;
	int r = CLI_COULD_NOT;

	if (request && !cli_put_reason(cli, request, reason)) {
		json_decref(request);
		return r;
	}
	if ((r = control_client_open(cli, &client)) != 0) {
		json_decref(request);
		return r;
	}
	r = control_client_ask(client, cli, request, NULL, NULL, &end);
	if (!r && !cli->json)
		printf("%s %s; %lld waiting there\n", destination,
		    cli_true(end, "held") || cli_true(end, "was_held") ? done
								       : "was not held, it is tried now",
		    (long long)cli_integer(end, "waiting"));
	json_decref(end);
	control_client_close(client);
	return r;
}

static int
hold_or_release(const struct cli *cli, int argc, char **argv, bool needs_reason, const char *done)
{
	static const struct option options[] = { { "reason", required_argument, NULL, 'r' },
		{ NULL, 0, NULL, 0 } };
	const char *reason = NULL;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option != 'r')
			return cli_bad_option(cli, options, option);
		reason = optarg;
	}
	if (optind + 1 != argc)
		return cli_usage(cli);
	if (needs_reason && (!reason || !reason[0])) {
		cli_fail(cli, 0, "why? --reason TEXT: it is journalled, and told to who finds it held");
		return cli_usage(cli);
	}
	return ask_of(cli, argv[optind], reason, done);
}

int
cli_hold(const struct cli *cli, int argc, char **argv)
{
	return hold_or_release(cli, argc, argv, true, "is held");
}

int
cli_release(const struct cli *cli, int argc, char **argv)
{
	return hold_or_release(cli, argc, argv, false, "is released");
}

int
cli_purge(const struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = { { "reason", required_argument, NULL, 'r' },
		{ NULL, 0, NULL, 0 } };
	const char *reason = NULL;
	json_t *request;
	uint64_t id;
	int option, r;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option != 'r')
			return cli_bad_option(cli, options, option);
		reason = optarg;
	}
	if (optind + 1 != argc || !cli_id(cli, argv[optind], &id))
		return cli_usage(cli);
	if (!reason || !reason[0]) {
		cli_fail(cli, 0, "why? --reason TEXT: it is journalled");
		return cli_usage(cli);
	}
	request = json_pack("{sssI}", "command", "purge", "id", (json_int_t)id);
	if (request && !cli_put_reason(cli, request, reason)) {
		json_decref(request);
		return CLI_COULD_NOT;
	}
	r = control_client_once(cli, request, NULL, NULL);
	if (r == CLI_DONE && !cli->json)
		printf("%llu is purged: its bytes are overwritten, for ever\n", (unsigned long long)id);
	return r;
}

/*
 * drop
 */
struct dropping {
	const char *from;
	bool yes;
	size_t done;
};

static int
print_drop(void *arg, const json_t *row)
{
	struct dropping *dropping = arg;
	const char *result = cli_text(row, "result");
	long long id = (long long)cli_integer(row, "id");
	bool done = strcmp(result, "dropped") == 0 || strcmp(result, "would") == 0;

	if (done)
		printf("%lld  %s from %s%s\n", id, dropping->yes ? "dropped" : "would be dropped",
		    dropping->from,
		    cli_true(row, "in_flight") ? "; it is being sent just now and may arrive all the same"
					       : "");
	else if (strcmp(result, "settled") == 0)
		printf("%lld  does not wait in %s: %s there before\n", id, dropping->from,
		    cli_text(row, "outcome"));
	else
		printf("%lld  does not wait in %s\n", id, dropping->from);
	dropping->done += done;
	return 0;
}

/* Page by page; CLI_NOT_WELL when one of them did not wait there. */
static int
drop_all(const struct cli *cli, struct ids *ids, struct dropping *dropping, const char *reason)
{
	struct control_client *client = NULL;
	json_t *page, *end;
	int r = control_client_open(cli, &client), well = CLI_DONE;

	while (!r && (page = ids_page(ids)) != NULL) {
		json_t *request = json_pack("{sssssosb}", "command", "drop", "destination", dropping->from,
		    "ids", page, "yes", (int)dropping->yes);

		if (request && !cli_put_reason(cli, request, reason)) {
			json_decref(request);
			r = CLI_COULD_NOT;
			break;
		}
		end = NULL;
		r = control_client_ask(client, cli, request, print_drop, dropping, &end);
		if (json_is_false(json_object_get(end, "well")))
			well = CLI_NOT_WELL;
		json_decref(end);
	}
	control_client_close(client);
	return r ? r : well;
}

int
cli_drop(const struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = { { "at", required_argument, NULL, 'a' },
		{ "reason", required_argument, NULL, 'r' }, { "yes", no_argument, NULL, 'y' },
		{ NULL, 0, NULL, 0 } };
	struct dropping dropping = { 0 };
	const char *reason = NULL;
	struct ids ids;
	int option, r;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'a')
			dropping.from = optarg;
		else if (option == 'r')
			reason = optarg;
		else if (option == 'y')
			dropping.yes = true;
		else
			return cli_bad_option(cli, options, option);
	}
	if (optind == argc || !dropping.from) {
		cli_fail(cli, 0, "which ID, and --at which DESTINATION?");
		return cli_usage(cli);
	}
	if (dropping.yes && (!reason || !reason[0])) {
		cli_fail(cli, 0, "why? --reason TEXT: it is journalled");
		return cli_usage(cli);
	}
	r = ids_take(cli, &ids, argv + optind, (size_t)(argc - optind))
		? drop_all(cli, &ids, &dropping, reason)
		: cli_usage(cli);
	ids_fini(&ids);
	if (r != CLI_COULD_NOT && !cli->json && !dropping.yes && dropping.done)
		printf(
		    "Nothing was done. --reason TEXT --yes drops %zu: for ever, from this destination only\n",
		    dropping.done);
	return r;
}
