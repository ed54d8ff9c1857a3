/* SPDX-License-Identifier: Apache-2.0 */
/* `status`, `peers`, `certs` and `events`. */
#include <stdio.h>
#include <string.h>

#include "broker/cli/cli.h"
#include "broker/cli/control_client.h"
#include "broker/cli/table.h"

static json_t *
command(const char *name)
{
	return json_pack("{ss}", "command", name);
}

static long long
number(const json_t *row, const char *key)
{
	return (long long)cli_integer(row, key);
}

static void
print_listeners(const json_t *row)
{
	const json_t *listeners = json_object_get(row, "listeners");
	const json_t *l;
	size_t i;

	printf("listeners   ");
	json_array_foreach(listeners, i, l)
	    printf("%s%s %s %s:%lld (%lld open)", i ? ", " : "", cli_text(l, "name"), cli_text(l, "protocol"),
		cli_text(l, "address"), number(l, "port"), number(l, "links"));
	printf("%s\n", json_array_size(listeners) ? "" : "none");
}

static void
print_journal(const json_t *row)
{
	const json_t *journal = json_object_get(row, "journal"), *view = json_object_get(row, "view");
	char bytes[32], disk_free[32], disk_total[32];

	printf("journal     %lld records, newest %lld, %s in %lld segments; sync %lld us; %s free of %s\n",
	    number(journal, "records"), number(journal, "last"),
	    cli_size((uint64_t)number(journal, "bytes"), bytes), number(journal, "segments"),
	    number(journal, "sync_us"), cli_size((uint64_t)number(journal, "disk_free"), disk_free),
	    cli_size((uint64_t)number(journal, "disk_total"), disk_total));
	printf("view        %s, %lld records behind\n", cli_true(view, "well") ? "well" : "NOT well",
	    number(view, "lag"));
}

static void
print_queues(const json_t *row)
{
	long long dialled = number(row, "dialled"), inboxes = number(row, "destinations") - dialled;

	printf("queues      %lld waiting in %lld inbox%s", number(row, "waiting"), inboxes,
	    inboxes == 1 ? "" : "es");
	if (dialled)
		printf(" and %lld destination%s (%lld down, %lld held)", dialled, dialled == 1 ? "" : "s",
		    number(row, "down"), number(row, "held"));
}

static int
print_status(void *arg, const json_t *row)
{
	const json_t *alerts = json_object_get(row, "alerts"), *alert;
	const json_t *days = json_object_get(row, "certificate_days");
	char up[32], oldest[32];
	size_t i;

	(void)arg;
	printf("liaisond    %s, up %s\n", json_array_size(alerts) ? "NOT well" : "well",
	    cli_age((uint64_t)number(row, "up_s"), up));
	print_listeners(row);
	printf("peers       %lld of %lld connected, %lld connections\n", number(row, "peers_connected"),
	    number(row, "peers"), number(row, "connections"));
	printf("intake      %lld accepted, %lld refused, %lld deferred, %lld resends, %lld rejected frames, "
	       "%lld stray acknowledgements\n",
	    number(row, "accepted"), number(row, "refused"), number(row, "deferred"),
	    number(row, "duplicates"), number(row, "frames"), number(row, "stray"));
	print_queues(row);
	if (number(row, "waiting"))
		printf(", oldest %s", cli_age((uint64_t)number(row, "oldest_s"), oldest));
	printf("; %lld parked\n", number(row, "parked"));
	print_journal(row);
	if (days)
		printf("certificate %lld days left\n", (long long)json_integer_value(days));
	json_array_foreach(alerts, i, alert) printf("! %s\n", json_string_value(alert));
	return 0;
}

int
cli_status(const struct cli *cli, int argc, char **argv)
{
	(void)argv;
	if (argc != 1)
		return cli_usage(cli);
	return control_client_once(cli, command("status"), print_status, NULL);
}

static int
add_peer(void *arg, const json_t *row)
{
	struct table *table = arg;

	table_add(table, cli_text(row, "name"));
	table_add(table, cli_text(row, "establishment"));
	table_add(table, cli_text(row, "mode"));
	table_addf(
	    table, "%s%s", cli_true(row, "may_send") ? "send " : "", cli_true(row, "may_read") ? "read" : "");
	table_addf(table, "%lld", number(row, "connections"));
	table_addf(table, "%lld", number(row, "messages"));
	table_addf(table, "%lld", number(row, "refused"));
	table_addf(table, "%lld", number(row, "deferred"));
	table_addf(table, "%lld", number(row, "duplicates"));
	table_add(table, cli_text(row, "last_seen")[0] ? cli_text(row, "last_seen") : "not since the start");
	return 0;
}

static void
add_heads(struct table *table, const char *const *heads, size_t count)
{
	for (size_t i = 0; i < count; i++)
		table_add(table, heads[i]);
}

static int
print_step(void *arg, const json_t *row)
{
	(void)arg;
	printf("%s\n", cli_text(row, "text"));
	return 0;
}

/* peers test NAME */
static int
test_peer(const struct cli *cli, const char *name)
{
	return control_client_once(
	    cli, json_pack("{ssss}", "command", "peer-test", "peer", name), print_step, NULL);
}

int
cli_peers(const struct cli *cli, int argc, char **argv)
{
	static const char *const heads[] = { "PEER", "ESTABLISHMENT", "MODE", "MAY", "OPEN", "ACCEPTED",
		"REFUSED", "DEFERRED", "RESENDS", "LAST SEEN" };
	struct table table;
	int r;

	if (argc == 3 && strcmp(argv[1], "test") == 0)
		return test_peer(cli, argv[2]);
	if (argc != 1)
		return cli_usage(cli);
	table_init(&table, 10, 0x1f0);
	add_heads(&table, heads, 10);
	r = control_client_once(cli, command("peers"), add_peer, &table);
	if (!cli->json && r != CLI_COULD_NOT)
		table_print(&table);
	table_fini(&table);
	return r;
}

/* The revocation lists, as the one that is due first stands. */
static void
add_revocation(struct table *table, const json_t *row)
{
	table_addf(
	    table, "%lld revocation list%s", number(row, "lists"), number(row, "lists") == 1 ? "" : "s");
	table_addf(table, "%lld", number(row, "hours") / 24);
	table_add(table, cli_true(row, "closed")  ? "TOO OLD: CERTIFICATES ARE REFUSED"
			 : cli_true(row, "stale") ? "STALE"
						  : "well");
	table_addf(table, "%.10s", cli_text(row, "next_update"));
	table_add(table, "");
	table_addf(table, "issued by %s", cli_text(row, "issuer"));
}

static int
add_certificate(void *arg, const json_t *row)
{
	struct table *table = arg;

	if (strcmp(cli_text(row, "kind"), "revocation") == 0) {
		add_revocation(table, row);
		return 0;
	}
	table_add(table, cli_text(row, "whose"));
	if (!json_object_get(row, "days")) {
		table_add(table, "");
		table_add(table, "not seen since the start");
		for (int i = 0; i < 3; i++)
			table_add(table, "");
		return 0;
	}
	table_addf(table, "%lld", number(row, "days"));
	if (cli_true(row, "expired"))
		table_add(table, "EXPIRED");
	else if (cli_text(row, "revocation")[0])
		table_add(table, cli_text(row, "revocation"));
	else if (number(row, "within"))
		table_addf(table, "within %lld days", number(row, "within"));
	else
		table_add(table, "well");
	table_addf(table, "%.10s", cli_text(row, "not_after"));
	table_add(table, cli_text(row, "serial"));
	table_addf(table, "%s, issued by %s", cli_text(row, "subject"), cli_text(row, "issuer"));
	return 0;
}

int
cli_certs(const struct cli *cli, int argc, char **argv)
{
	static const char *const heads[] = { "WHOSE", "DAYS", "STATE", "UNTIL", "SERIAL", "SUBJECT" };
	struct table table;
	int r;

	(void)argv;
	if (argc != 1)
		return cli_usage(cli);
	table_init(&table, 6, 0x2);
	add_heads(&table, heads, 6);
	r = control_client_once(cli, command("certs"), add_certificate, &table);
	if (!cli->json && r != CLI_COULD_NOT)
		table_print(&table);
	table_fini(&table);
	return r;
}

static int
print_event(void *arg, const json_t *row)
{
	(void)arg;
	printf("%-8s %-22s %s\n", cli_text(row, "level"), cli_text(row, "name"), cli_text(row, "sentence"));
	if (strcmp(cli_text(row, "action"), "none") != 0)
		printf("%-8s %-22s   -> %s\n", "", "", cli_text(row, "action"));
	return 0;
}

int
cli_events(const struct cli *cli, int argc, char **argv)
{
	(void)argv;
	if (argc != 1)
		return cli_usage(cli);
	return control_client_once(cli, command("events"), print_event, NULL);
}
