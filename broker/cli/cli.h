/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program `liaison`: one command a call. What is common to its commands.
 *
 * Exit status, of every command: 0 done and well; 1 the thing asked about is not well, or was refused; 2 usage, or it could not be
 * asked. Answers go to standard output, complaints to standard error.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

enum cli_exit {
	CLI_DONE = 0,
	CLI_NOT_WELL = 1,
	CLI_COULD_NOT = 2,
};

struct cli {
	const char *config; /* NULL: not said */
	const char *socket; /* NULL: the configuration's */
	bool json;	    /* the broker's answer as it is, a line an object */
	const struct cli_command *command;
};

struct cli_command {
	const char *name;
	const char *synopsis;					  /* behind the name */
	const char *summary;					  /* one line for the list */
	const char *help;					  /* what --help adds */
	int (*run)(const struct cli *cli, int argc, char **argv); /* argv[0] is the command */
};

/* Complain on standard error as "liaison COMMAND: ..."; gives ${status} back. */
int cli_fail(const struct cli *cli, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The synopsis, on standard error: CLI_COULD_NOT. */
int cli_usage(const struct cli *cli);

struct option;

/* After getopt_long gave ${option} of ${options} with a value in optarg that it does not take (or '?', which it has told itself): say so,
 * and the synopsis: CLI_COULD_NOT. */
int cli_bad_option(const struct cli *cli, const struct option *options, int option);

/* A whole number of digits only, within [least, most]. */
bool cli_number(const char *text, uint64_t least, uint64_t most, uint64_t *number);

/* An id of a record. False after complaining: what newcomers have at hand first is the sender's control id. */
bool cli_id(const struct cli *cli, const char *text, uint64_t *id);

/* "90s", "15m", "2h", "3d" before now, or "2026-11-21", "2026-11-21T18:57[:11]" local time: Unix seconds. */
bool cli_since(const char *text, int64_t *since);

/* "1.2 MiB", "3 h 12 min": at least 32 bytes at ${out}, which is returned. */
char *cli_size(uint64_t bytes, char out[static 32]);
char *cli_age(uint64_t seconds, char out[static 32]);

/* Text of a member of a row, "" when it is none. */
const char *cli_text(const json_t *row, const char *key);
int64_t cli_integer(const json_t *row, const char *key);
bool cli_true(const json_t *row, const char *key);

/* Put ${reason}, when there is one, into ${request}. False after complaining that it is no text. */
bool cli_put_reason(const struct cli *cli, json_t *request, const char *reason);

/* The commands. */
int cli_status(const struct cli *cli, int argc, char **argv);
int cli_peers(const struct cli *cli, int argc, char **argv);
int cli_certs(const struct cli *cli, int argc, char **argv);
int cli_events(const struct cli *cli, int argc, char **argv);
int cli_tail(const struct cli *cli, int argc, char **argv);
int cli_queue(const struct cli *cli, int argc, char **argv);
int cli_search(const struct cli *cli, int argc, char **argv);
int cli_show(const struct cli *cli, int argc, char **argv);
int cli_why(const struct cli *cli, int argc, char **argv);
int cli_check(const struct cli *cli, int argc, char **argv);
int cli_purge(const struct cli *cli, int argc, char **argv);
int cli_verify(const struct cli *cli, int argc, char **argv);
int cli_rebuild(const struct cli *cli, int argc, char **argv);
int cli_reload(const struct cli *cli, int argc, char **argv);
int cli_hold(const struct cli *cli, int argc, char **argv);
int cli_release(const struct cli *cli, int argc, char **argv);
int cli_drop(const struct cli *cli, int argc, char **argv);
int cli_replay(const struct cli *cli, int argc, char **argv);
int cli_send(const struct cli *cli, int argc, char **argv);
int cli_pull(const struct cli *cli, int argc, char **argv);
