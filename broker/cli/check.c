/* SPDX-License-Identifier: Apache-2.0 */
/* `check` and `rebuild`. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "broker/cli/cli.h"
#include "broker/cli/control_client.h"

static int
print_finding(void *arg, const json_t *row)
{
	(void)arg;
	if (strcmp(cli_text(row, "kind"), "finding") != 0)
		return 0;
	printf("%-4s %-14s %s\n", cli_true(row, "well") ? "ok" : "BAD", cli_text(row, "subject"),
	    cli_text(row, "text"));
	return 0;
}

int
cli_check(const struct cli *cli, int argc, char **argv)
{
	(void)argv;
	if (argc != 1)
		return cli_usage(cli);
	return control_client_once(cli, json_pack("{ss}", "command", "check"), print_finding, NULL);
}

int
cli_rebuild(const struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = { { "reason", required_argument, NULL, 'r' },
		{ NULL, 0, NULL, 0 } };
	const char *reason = "";
	struct control_client *client = NULL;
	json_t *end = NULL;
	int option, r;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option != 'r')
			return cli_usage(cli);
		reason = optarg;
	}
	if (optind != argc)
		return cli_usage(cli);
	if ((r = control_client_open(cli, &client)) != 0)
		return r;
	r = control_client_ask(
	    client, cli, json_pack("{ssss}", "command", "rebuild", "reason", reason), NULL, NULL, &end);
	if (!r && !cli->json)
		printf("rebuilt: %lld rows\n", (long long)cli_integer(end, "rows"));
	json_decref(end);
	control_client_close(client);
	return r;
}
