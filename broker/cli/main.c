/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `liaison`: the control program. The table of commands, help, and the options that all share.
 *
 * A command may be shortened as long as it stays the only one that begins so.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "broker/cli/cli.h"

static const struct cli_command commands[] = {
	{ "status", "", "how the broker is, in a few lines",
	    "Lines that begin with ! say what is not well; the exit status is 1 then.\n", cli_status },
	{ "tail", "[-f] [-n N] [--peer NAME] [--id ID] [--errors] [--since TIME]", "lines of the log",
	    "  -f, --follow   go on as lines come\n"
	    "  -n, --lines N  the last N lines (20 unless there is a filter)\n"
	    "  --peer NAME    lines of this peer\n"
	    "  --id ID        lines of this message\n"
	    "  --errors       warnings and errors only\n"
	    "  --since TIME   90s, 15m, 2h, 3d ago, or 2026-11-21[T18:57[:11]]\n",
	    cli_tail },
	{ "queue", "[DESTINATION [--dead]] [--after ID] [--limit N]", "what waits where",
	    "Without DESTINATION one line each, the last error last. With it, one line for each message that "
	    "waits\n"
	    "there; \"parked\" is what no route wanted.\n"
	    "  --dead         what was rejected there, or became a dead letter, or was dropped\n",
	    cli_queue },
	{ "search",
	    "[--control ID] [--peer NAME] [--type TYPE] [--since TIME] [--refused] [--before ID] [--limit N]",
	    "find messages by their metadata",
	    "Newest first, 50 unless --limit says otherwise.\n"
	    "  --control ID   MSH-10 of the message\n"
	    "  --type TYPE    ORU^R01, or ORU\n"
	    "  --refused      only what was not accepted\n"
	    "  --before ID    the next page: older than this one\n",
	    cli_search },
	{ "show", "ID [--content | --document N | --proof FILE] [--reason TEXT]",
	    "the life of a message, one line a hop",
	    "Metadata only. With --content the message itself goes to standard output, with --document N the "
	    "decoded\n"
	    "document N; both need --reason, and that read is journalled before a byte is given out.\n"
	    "--proof FILE writes what shows to others that it was received, when, from which certificate, "
	    "and "
	    "what\n"
	    "each destination answered: liaison verify --proof FILE. It holds metadata, titles of documents "
	    "among\n"
	    "them, and is journalled as a read.\n",
	    cli_show },
	{ "why", "ID", "where a message is and why, in a sentence", "", cli_why },
	{ "peers", "[test NAME]", "peers, their connections and counts since the start",
	    "With test NAME: dial that destination as the broker would, or judge the last certificate seen "
	    "of that "
	    "peer,\n"
	    "and explain each step; nothing is sent. The exit status is 1 when it fails.\n",
	    cli_peers },
	{ "certs", "", "our certificate, the last one of every peer and destination, the revocation lists",
	    "The state tells 60, 30, 14, 7 and 1 days before the end, and what is revoked. The exit status "
	    "is 1 "
	    "from 30\n"
	    "days on, when one is revoked, and when a revocation list is past its next update.\n",
	    cli_certs },
	{ "reload", "", "read the configuration, certificates and revocation lists again and switch to them",
	    "Prints what changed; or, with exit status 1, every error with its file and line: then nothing "
	    "was "
	    "switched.\n",
	    cli_reload },
	{ "hold", "DESTINATION --reason TEXT", "send nothing to a destination until it is released",
	    "What is routed there waits, in order, as long as its max_age; a restart does not end the "
	    "hold.\n",
	    cli_hold },
	{ "release", "DESTINATION [--reason TEXT]", "send again to a destination that is held",
	    "One that is not held and pauses between two tries is tried now.\n", cli_release },
	{ "drop", "ID... --at DESTINATION [--reason TEXT --yes]",
	    "take messages off a destination's queue for ever",
	    "Without --yes only tells what would be dropped. \"parked\" is a DESTINATION as well. The "
	    "message stays "
	    "in the\n"
	    "journal, and can be replayed.\n",
	    cli_drop },
	{ "replay",
	    "(ID... | --since TIME [--until TIME] [--from PEER] [--type TYPE] [--at DESTINATION] |\n"
	    "               --dead DESTINATION) [--to DESTINATION] [--reason TEXT --yes]",
	    "send messages of the journal once more",
	    "Without --yes only tells what would be sent where, and what has been acknowledged there "
	    "already.\n"
	    "  ID...          these messages\n"
	    "  --since TIME   all that were accepted from then on: 90s, 15m, 2h, 3d ago, or "
	    "2026-11-21[T18:57[:11]]\n"
	    "  --until TIME   before then\n"
	    "  --from PEER    of this sender\n"
	    "  --type TYPE    ORU^R01, or ORU\n"
	    "  --at NAME      that were routed to this destination\n"
	    "  --dead NAME    what was rejected there or became a dead letter, and is not replayed yet;\n"
	    "                 what was dropped goes by its ID only\n"
	    "  --to NAME      there only; else to where each was routed, parked ones by the routes of now\n"
	    "Each goes behind what waits there, in the order of the journal, as a new message with an id of "
	    "its "
	    "own.\n",
	    cli_replay },
	{ "purge", "ID --reason TEXT", "overwrite the bytes of a message for ever",
	    "For what should never have come: the received bytes, and in its facts titles and ids of "
	    "documents, are "
	    "overwritten\n"
	    "in the journal. That it came, from whom, when and what became of it stays, and every check of "
	    "the "
	    "journal holds.\n"
	    "Nothing that still waits is purged: drop it first.\n",
	    cli_purge },
	{ "check", "", "read everything on disk and say what is wrong",
	    "The configuration as it lies on disk, every checksum of the journal and its chain, free space, "
	    "the view.\n",
	    cli_check },
	{ "verify", "[--ca CA] | --proof FILE --ca CA [--content FILE]",
	    "check the journal, or a proof, on any machine and without a broker",
	    "Without --proof: every byte of the broker's journal, its chain and its signatures, and the "
	    "first break "
	    "there is.\n"
	    "With --proof: prints what it shows. Any changed byte makes it NOT good: exit status 1.\n"
	    "  --ca CA         PEM: the authorities that may vouch for the seal of the broker\n"
	    "  --content FILE  also that this file holds the bytes that were received\n",
	    cli_verify },
	{ "rebuild", "[--reason TEXT]", "delete the view and make it anew from the journal",
	    "Nothing is lost and nothing stops: the view is only what show, why, queue and search read.\n",
	    cli_rebuild },
	{ "events", "", "the catalogue of log events: what each means, what to do", "", cli_events },
	{ "send",
	    "FILE... --to HOST:PORT --cert FILE --key FILE --ca FILE [--server-name NAME]\n"
	    "               [--segment-end cr|keep] [--pipeline N] [--timeout S] [--raw]",
	    "push messages over MLLP and mutual TLS, show the acknowledgements",
	    "Each FILE is one message, sent as it is (- is standard input).\n"
	    "  --to HOST:PORT      where\n"
	    "  --cert, --key       our certificate and its key, PEM\n"
	    "  --ca                who may vouch for the server, PEM\n"
	    "  --server-name NAME  the name in the server's certificate, when it is not HOST\n"
	    "  --segment-end cr    make LF and CRLF segment ends CR, and end with CR\n"
	    "  --pipeline N        messages sent ahead of their acknowledgements (1)\n"
	    "  --timeout S         seconds to wait for each step (30)\n"
	    "  --raw               the acknowledgements as they came\n"
	    "The exit status is 1 when any message was not answered AA (or CA). L42 in the output is the "
	    "control id of the\n"
	    "acknowledgement; from Liaison it is L and the broker's id, which show and why take: liaison "
	    "show 42.\n",
	    cli_send },
	{ "pull",
	    "--from HOST:PORT --cert FILE --key FILE --ca FILE [--server-name NAME]\n"
	    "               [--inbox NAME] [--into DIR] [--accept] [--reject SEQ --code CODE --text TEXT]\n"
	    "               [--wait S] [--follow] [--timeout S]",
	    "what a DUI does: list inboxes, fetch messages and documents, acknowledge",
	    "Without --inbox the inboxes one may read; with it what waits there.\n"
	    "  --into DIR     fetch messages and documents into DIR, which must be there: SEQ.hl7, "
	    "SEQ-N.xml\n"
	    "  --accept       acknowledge what was fetched (needs --into)\n"
	    "  --reject SEQ   reject one item, with --code and --text\n"
	    "  --wait S       wait up to S seconds for something to come\n"
	    "  --follow       go on for ever\n"
	    "  --timeout S    seconds to wait for each step (30)\n"
	    "  --json         the lists and results as the server wrote them\n"
	    "--cert, --key, --ca and --server-name are those of send. The exit status is 1 when an item "
	    "could not be\n"
	    "fetched or acknowledged.\n",
	    cli_pull },
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static const char shared_help[] =
    "Every command that asks a broker, which is all but send and pull, takes:\n"
    "  --config FILE  the broker's configuration, to find its socket (/etc/liaison/liaison.conf);\n"
    "                 before COMMAND also -c FILE\n"
    "  --socket PATH  the broker's control socket itself\n"
    "  --json         the broker's answers as they come, one JSON object a line\n"
    "  --help         what the command does\n"
    "\n"
    "Exit status: 0 done and well; 1 the thing asked about is not well, or was refused; 2 usage, or it could "
    "not be asked.\n";

/* Of those that ask no control socket. */
static const char client_help[] = "Exit status: 0 done and well; 1 something was refused or could not be "
				  "had; 2 usage, or the server could not be "
				  "asked.\n";

static void
print_help(void)
{
	printf("usage: liaison COMMAND ...\n\nThe control program of the Liaison broker. Commands may be "
	       "shortened.\n\n");
	for (size_t i = 0; i < COMMANDS; i++)
		printf("  %-8s %s\n", commands[i].name, commands[i].summary);
	printf("\n%s", shared_help);
}

static void
print_command_help(const struct cli_command *command)
{
	printf("usage: liaison %s%s%s\n\n%c%s.\n%s%s\n%s", command->name, command->synopsis[0] ? " " : "",
	    command->synopsis,
	    command->summary[0] >= 'a' ? command->summary[0] - 'a' + 'A' : command->summary[0],
	    command->summary + 1, command->help[0] ? "\n" : "", command->help,
	    command->run == cli_send || command->run == cli_pull ? client_help : shared_help);
}

/* The one command that begins with ${name}, or is it. */
static const struct cli_command *
find_command(const char *name)
{
	const struct cli_command *found = NULL;
	size_t len = strlen(name), count = 0;

	for (size_t i = 0; i < COMMANDS; i++) {
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
		if (len && strncmp(commands[i].name, name, len) == 0) {
			found = &commands[i];
			count++;
		}
	}
	if (count == 1)
		return found;
	if (!found)
		fprintf(stderr, "liaison: no command \"%s\"; liaison --help lists them\n", name);
	else
		fprintf(stderr, "liaison: \"%s\" may mean", name);
	for (size_t i = 0; found && i < COMMANDS; i++)
		if (strncmp(commands[i].name, name, len) == 0)
			fprintf(stderr, " %s%s", commands[i].name, &commands[i] == found ? "\n" : ",");
	return NULL;
}

/* Whether argv[*i] is ${name} with a value, which goes to *${value}. -1: the value is missing. */
static int
take_value(int argc, char **argv, int *i, const char *name, const char **value)
{
	size_t len = strlen(name);

	if (strncmp(argv[*i], name, len) != 0 || (argv[*i][len] && argv[*i][len] != '='))
		return 0;
	if (argv[*i][len] == '=')
		*value = argv[*i] + len + 1;
	else if (*i + 1 < argc)
		*value = argv[++*i];
	else
		return -1;
	return 1;
}

/* Take the shared options out of ${argv}, wherever they stand; what is left is the command's. -1: usage. */
static int
take_shared(struct cli *cli, int argc, char **argv, bool *help)
{
	int left = 0;

	for (int i = 0; i < argc; i++) {
		int config = take_value(argc, argv, &i,
		    left == 1 && strncmp(argv[i], "-c", 2) == 0 ? "-c" : "--config", &cli->config);
		int sock = config ? 0 : take_value(argc, argv, &i, "--socket", &cli->socket);

		if (config < 0 || sock < 0) {
			fprintf(stderr, "liaison: %s wants a value\n", argv[i]);
			return -1;
		}
		if (config || sock)
			continue;
		if (strcmp(argv[i], "--json") == 0)
			cli->json = true;
		else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			*help = true;
		else
			argv[left++] = argv[i];
	}
	argv[left] = NULL;
	return left;
}

int
main(int argc, char **argv)
{
	struct cli cli = { 0 };
	bool help = false;
	int left = take_shared(&cli, argc, argv, &help);

	if (left < 0)
		return CLI_COULD_NOT;
	if (left > 1 && (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)) {
		puts("liaison " LIAISON_VERSION);
		return CLI_DONE;
	}
	if (left < 2 || strcmp(argv[1], "help") == 0) {
		help = help || left > 1;
		if (help)
			print_help();
		else
			fputs(
			    "usage: liaison COMMAND ...\n       liaison --help lists the commands\n", stderr);
		return help ? CLI_DONE : CLI_COULD_NOT;
	}
	cli.command = find_command(argv[1]);
	if (!cli.command)
		return CLI_COULD_NOT;
	if (help) {
		print_command_help(cli.command);
		return CLI_DONE;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	return cli.command->run(&cli, left - 1, argv + 1);
}
