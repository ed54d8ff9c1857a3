/* SPDX-License-Identifier: Apache-2.0 */
/* `queue`: what waits where; with a destination, one line a message. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "broker/cli/cli.h"
#include "broker/cli/control_client.h"
#include "broker/cli/table.h"

#define CAUSE_SIZE 400

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

/* Whom a destination is for: an inbox's readers, or where it is dialled. */
static void
add_whom(struct table *table, const json_t *row)
{
	if (cli_text(row, "address")[0])
		table_add(table, cli_text(row, "address"));
	else
		add_readers(table, json_object_get(row, "readers"));
}

/* Of a number that only dialled ones have. */
static void
add_number(struct table *table, const json_t *row, const char *key)
{
	if (json_is_integer(json_object_get(row, key)))
		table_addf(table, "%lld", (long long)cli_integer(row, key));
	else
		table_add(table, "-");
}

/* "AE by chu-lyon"; what died of its age, or of its queue's size, did so by nobody. */
static const char *
cause(const json_t *row, char text[static CAUSE_SIZE])
{
	const char *code = cli_text(row, "code"), *who = cli_text(row, "who");

	if (!code[0] && !who[0])
		return "waited too long, or its queue held too much";
	snprintf(text, CAUSE_SIZE, "%s%s%s%s", code, code[0] && who[0] ? " " : "", who[0] ? "by " : "", who);
	return text;
}

/* Who holds it; else the newest of what the sending last failed of and what last died there. */
static void
add_last_error(struct table *table, const json_t *row)
{
	const json_t *held = json_object_get(row, "held"), *dead = json_object_get(row, "last_error");
	const char *error = cli_text(row, "error"), *error_time = cli_text(row, "error_time");
	char last[700] = "-", text[CAUSE_SIZE];

	if (error[0] && strcmp(error_time, cli_text(dead, "time")) > 0)
		snprintf(last, sizeof(last), "%s %s", error_time, error);
	else if (json_is_object(dead))
		snprintf(last, sizeof(last), "%s %s %lld %s", cli_text(dead, "time"),
		    cli_text(dead, "outcome"), (long long)cli_integer(dead, "id"), cause(dead, text));
	if (json_is_object(held) && !cli_text(held, "who")[0])
		table_addf(table, "held; who did it and why is not to be had just now; %s", last);
	else if (json_is_object(held))
		table_addf(table, "held by %s since %s: %s; %s", cli_text(held, "who"),
		    cli_text(held, "time"), cli_text(held, "reason"), last);
	else
		table_add(table, last);
}

static int
add_queue(void *arg, const json_t *row)
{
	struct table *table = arg;

	table_add(table, cli_text(row, "name"));
	table_add(table, cli_text(row, "protocol"));
	table_add(table, cli_text(row, "state"));
	table_addf(table, "%lld", (long long)cli_integer(row, "waiting"));
	add_age(table, row);
	add_number(table, row, "in_flight");
	add_number(table, row, "tries");
	table_add(table, cli_text(row, "next")[0] ? cli_text(row, "next") : "-");
	add_whom(table, row);
	add_last_error(table, row);
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
	add_number(table, row, "tries");
	table_addf(table, "%s%s", cli_true(row, "in_flight") ? "in flight; " : "",
	    cli_text(row, "error")[0] ? cli_text(row, "error") : "-");
	return 0;
}

static int
add_dead(void *arg, const json_t *row)
{
	struct table *table = arg;
	char text[CAUSE_SIZE];

	table_addf(table, "%lld", (long long)cli_integer(row, "id"));
	table_add(table, cli_text(row, "dead_time"));
	table_add(table, cli_text(row, "peer"));
	table_add(table, cli_text(row, "type"));
	table_add_cut(table, cli_text(row, "control"), CONTROL_SHOWN);
	table_add(table, cli_text(row, "outcome"));
	table_add(table, cause(row, text));
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
	if (waiting > rows || cli_true(end, "more"))
		printf(waiting ? "%lld of %lld; the rest: --after ID, --limit N\n"
			       : "%lld shown; the rest: --after ID, --limit N\n",
		    rows, waiting);
}

static int
ask_one(
    struct control_client *client, const struct cli *cli, json_t *request, struct table *table, json_t **endp)
{
	static const char *const heads[] = { "ID", "TIME", "AGE", "PEER", "TYPE", "CONTROL", "SIZE", "TRIES",
		"LAST ERROR" };
	static const char *const dead_heads[] = { "ID", "SINCE", "PEER", "TYPE", "CONTROL", "OUTCOME",
		"WHY" };
	bool dead = json_object_get(request, "dead");

	table_init(table, dead ? 7 : 9, 0x1);
	add_heads(table, dead ? dead_heads : heads, table->columns);
	return control_client_ask(client, cli, request, dead ? add_dead : add_message, table, endp);
}

static int
ask_all(struct control_client *client, const struct cli *cli, struct table *table, json_t **endp)
{
	static const char *const heads[] = { "QUEUE", "KIND", "STATE", "WAITING", "OLDEST", "FLIGHT", "TRIES",
		"NEXT TRY", "FOR", "LAST ERROR" };

	table_init(table, 10, 0x68);
	add_heads(table, heads, 10);
	return control_client_ask(client, cli, json_pack("{ss}", "command", "queue"), add_queue, table, endp);
}

int
cli_queue(const struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = { { "after", required_argument, NULL, 'a' },
		{ "limit", required_argument, NULL, 'n' }, { "dead", no_argument, NULL, 'd' },
		{ NULL, 0, NULL, 0 } };
	struct control_client *client;
	uint64_t after = 0, limit = 0;
	json_t *request, *end = NULL;
	struct table table;
	bool dead = false;
	int option, r;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'd')
			dead = true;
		else if (option == '?' ||
			 !cli_number(optarg, 1, UINT64_C(1) << 53, option == 'a' ? &after : &limit))
			return cli_bad_option(cli, options, option);
	}
	if ((after || limit || dead) && argc == optind)
		cli_fail(cli, 0, "--after, --limit and --dead go with a DESTINATION");
	if (argc - optind > 1 || ((after || limit || dead) && argc == optind))
		return cli_usage(cli);
	if ((r = control_client_open(cli, &client)) != 0)
		return r;
	if (argc > optind) {
		request = json_pack("{sssssIsI}", "command", "queue", "destination", argv[optind], "after",
		    (json_int_t)after, "limit", (json_int_t)limit);
		if (dead)
			json_object_set_new(request, "dead", json_true());
		r = ask_one(client, cli, request, &table, &end);
	} else {
		r = ask_all(client, cli, &table, &end);
	}
	if (!r && !cli->json)
		print_queue(&table, end);
	json_decref(end);
	table_fini(&table);
	control_client_close(client);
	return r;
}
