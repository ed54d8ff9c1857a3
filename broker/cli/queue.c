/* SPDX-License-Identifier: Apache-2.0 */
/* `queue`: what waits where; with a destination, one line a message. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "broker/cli/cli.h"
#include "broker/cli/control_client.h"
#include "broker/cli/table.h"

static void
add_age(struct table *table, const json_t *row)
{
	char age[32];

	if (json_is_integer(json_object_get(row, "age")))
		table_add(table, cli_age((uint64_t)cli_integer(row, "age"), age));
	else
		table_add(table, "-");
}

static void
add_readers(struct table *table, const json_t *readers)
{
	char text[256] = "";
	size_t i, len = 0;
	const json_t *name;

	json_array_foreach(readers, i, name)
	{
		if (len < sizeof(text))
			len += (size_t)snprintf(
			    text + len, sizeof(text) - len, "%s%s", i ? "," : "", json_string_value(name));
	}
	table_add(table, text[0] ? text : "-");
}

static int
add_queue(void *arg, const json_t *row)
{
	const json_t *error = json_object_get(row, "last_error");
	struct table *table = arg;

	table_add(table, cli_text(row, "name"));
	table_add(table, cli_text(row, "establishment"));
	table_addf(table, "%lld", (long long)cli_integer(row, "waiting"));
	add_age(table, row);
	add_readers(table, json_object_get(row, "readers"));
	if (json_is_object(error))
		table_addf(table, "%s %s %lld %s by %s", cli_text(error, "time"), cli_text(error, "outcome"),
		    (long long)cli_integer(error, "id"), cli_text(error, "code"), cli_text(error, "who"));
	else
		table_add(table, "-");
	return 0;
}

static int
add_message(void *arg, const json_t *row)
{
	struct table *table = arg;
	char size[32];

	table_addf(table, "%lld", (long long)cli_integer(row, "id"));
	table_add(table, cli_text(row, "time"));
	add_age(table, row);
	table_add(table, cli_text(row, "peer"));
	table_add(table, cli_text(row, "type"));
	table_add_cut(table, cli_text(row, "control"), CONTROL_SHOWN);
	table_add(table, cli_size((uint64_t)cli_integer(row, "size"), size));
	return 0;
}

static void
add_heads(struct table *table, const char *const *heads, size_t count)
{
	for (size_t i = 0; i < count; i++)
		table_add(table, heads[i]);
}

/* Print ${table}; for one queue, also how many more there are than rows. */
static void
print_queue(struct table *table, const json_t *end)
{
	long long rows = (long long)(table->count / table->columns) - 1;
	long long waiting = (long long)cli_integer(end, "waiting");

	table_print(table);
	if (waiting > rows)
		printf("%lld of %lld; the rest: --after ID, --limit N\n", rows, waiting);
}

int
cli_queue(const struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = { { "after", required_argument, NULL, 'a' },
		{ "limit", required_argument, NULL, 'n' }, { NULL, 0, NULL, 0 } };
	static const char *const heads[] = { "QUEUE", "ESTABLISHMENT", "WAITING", "OLDEST", "READERS",
		"LAST ERROR" };
	static const char *const message_heads[] = { "ID", "TIME", "AGE", "PEER", "TYPE", "CONTROL", "SIZE" };
	struct control_client *client;
	uint64_t after = 0, limit = 0;
	json_t *request, *end = NULL;
	struct table table;
	int option, r;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
		if (option == '?' ||
		    !cli_number(optarg, 1, UINT64_C(1) << 53, option == 'a' ? &after : &limit))
			return cli_bad_option(cli, options, option);
	if ((after || limit) && argc == optind)
		cli_fail(cli, 0, "--after and --limit go with a DESTINATION");
	if (argc - optind > 1 || ((after || limit) && argc == optind))
		return cli_usage(cli);
	if ((r = control_client_open(cli, &client)) != 0)
		return r;
	if (argc > optind) {
		request = json_pack("{sssssIsI}", "command", "queue", "destination", argv[optind], "after",
		    (json_int_t)after, "limit", (json_int_t)limit);
		table_init(&table, 7, 0x1);
		add_heads(&table, message_heads, 7);
		r = control_client_ask(client, cli, request, add_message, &table, &end);
	} else {
		request = json_pack("{ss}", "command", "queue");
		table_init(&table, 6, 0x4);
		add_heads(&table, heads, 6);
		r = control_client_ask(client, cli, request, add_queue, &table, &end);
	}
	if (!r && !cli->json)
		print_queue(&table, end);
	json_decref(end);
	table_fini(&table);
	control_client_close(client);
	return r;
}
