/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `tail`: lines of the log. The broker reads its file in pieces; going on, and following, is asking again from the place it told.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/cli/cli.h"
#include "broker/cli/control_client.h"

#define LAST_LINES 20		    /* without a filter */
#define LAST_BYTES ((int64_t)65536) /* where they are looked for */
#define FOLLOW_US  500000
#define LINES_MAX  100000

/* The last lines of what came, when only those are wanted: a ring. */
struct last {
	char **lines;
	size_t room, count, next;
};

static int
print_line(void *arg, const json_t *row)
{
	struct last *last = arg;

	if (!last->room) {
		puts(cli_text(row, "text"));
		return 0;
	}
	free(last->lines[last->next]);
	last->lines[last->next] = strdup(cli_text(row, "text"));
	last->next = (last->next + 1) % last->room;
	if (last->count < last->room)
		last->count++;
	return 0;
}

/* Print what the ring holds and keep no more. */
static void
print_last(struct last *last)
{
	for (size_t i = 0; i < last->count; i++) {
		size_t at = (last->next + last->room - last->count + i) % last->room;

		if (last->lines[at])
			puts(last->lines[at]);
	}
	for (size_t i = 0; i < last->room; i++)
		free(last->lines[i]);
	free(last->lines);
	*last = (struct last){ 0 };
}

struct tail {
	json_t *filters; /* the request without its place */
	int64_t offset;
	int64_t file;
	bool follow;
	struct last last;
};

/* Ask for the next piece. 0 with *${endp}, or the exit status. */
static int
next_piece(const struct cli *cli, struct control_client *client, struct tail *tail, bool *endp)
{
	json_t *request = json_copy(tail->filters), *end = NULL;
	int r;

	json_object_set_new(request, "offset", json_integer(tail->offset));
	if (tail->file)
		json_object_set_new(request, "file", json_integer(tail->file));
	r = control_client_ask(client, cli, request, print_line, &tail->last, &end);
	if (!r) {
		tail->offset = cli_integer(end, "offset");
		tail->file = cli_integer(end, "file");
		*endp = cli_true(end, "end");
	}
	json_decref(end);
	return r;
}

static int
run(const struct cli *cli, struct tail *tail)
{
	struct control_client *client = NULL;
	int r = control_client_open(cli, &client);

	while (!r) {
		bool end = false;

		r = next_piece(cli, client, tail, &end);
		if (r || !end)
			continue;
		print_last(&tail->last);
		(void)fflush(stdout);
		if (!tail->follow || ferror(stdout))
			break;
		usleep(FOLLOW_US);
	}
	print_last(&tail->last);
	control_client_close(client);
	return r;
}

/* One option into ${tail}; *${lines} is -n. False: usage. */
static bool
take_option(struct tail *tail, int option, uint64_t *lines)
{
	json_t *text;
	uint64_t id;
	int64_t since;

	switch (option) {
	case 'f':
		tail->follow = true;
		return true;
	case 'n':
		return cli_number(optarg, 1, LINES_MAX, lines);
	case 'p':
		text = json_string(optarg);
		return text && json_object_set_new(tail->filters, "peer", text) == 0;
	case 'i':
		return cli_number(optarg, 1, UINT64_C(1) << 53, &id) &&
		       json_object_set_new(tail->filters, "id", json_integer((json_int_t)id)) == 0;
	case 'e':
		return json_object_set_new(tail->filters, "errors", json_true()) == 0;
	case 's':
		return cli_since(optarg, &since) &&
		       json_object_set_new(tail->filters, "since", json_integer(since)) == 0;
	default:
		return false;
	}
}

int
cli_tail(const struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = { { "follow", no_argument, NULL, 'f' },
		{ "lines", required_argument, NULL, 'n' }, { "peer", required_argument, NULL, 'p' },
		{ "id", required_argument, NULL, 'i' }, { "errors", no_argument, NULL, 'e' },
		{ "since", required_argument, NULL, 's' }, { NULL, 0, NULL, 0 } };
	struct tail tail = { .filters = json_pack("{ss}", "command", "tail") };
	uint64_t lines = 0;
	bool filtered;
	int option, r;

	while ((option = getopt_long(argc, argv, "fn:", options, NULL)) != -1) {
		if (!take_option(&tail, option, &lines)) {
			json_decref(tail.filters);
			return cli_bad_option(cli, options, option);
		}
	}
	filtered = json_object_size(tail.filters) > 1;
	if (!filtered && !lines)
		lines = LAST_LINES;
	/* With a filter the whole file is looked through; without one its end suffices. */
	if (!filtered)
		tail.offset = -LAST_BYTES * (int64_t)(1 + lines / 100);
	if (lines) {
		tail.last.room = (size_t)lines;
		tail.last.lines = calloc(tail.last.room, sizeof(*tail.last.lines));
	}
	if (optind != argc || (lines && !tail.last.lines))
		r = cli_usage(cli);
	else
		r = run(cli, &tail);
	free(tail.last.lines);
	json_decref(tail.filters);
	return r;
}
