/* SPDX-License-Identifier: Apache-2.0 */
/* What is common to the commands: see cli.h. */
#include "broker/cli/cli.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int
cli_fail(const struct cli *cli, int status, const char *format, ...)
{
	va_list args;

	(void)fflush(stdout);
	fprintf(stderr, "liaison %s: ", cli->command->name);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	(void)fputc('\n', stderr);
	return status;
}

int
cli_usage(const struct cli *cli)
{
	fprintf(stderr, "usage: liaison %s%s%s\n       liaison %s --help tells more\n", cli->command->name,
	    cli->command->synopsis[0] ? " " : "", cli->command->synopsis, cli->command->name);
	return CLI_COULD_NOT;
}

int
cli_bad_option(const struct cli *cli, const struct option *options, int option)
{
	for (; options->name && option != '?'; options++)
		if (options->val == option)
			cli_fail(cli, 0, "--%s does not take \"%s\"", options->name, optarg ? optarg : "");
	return cli_usage(cli);
}

bool
cli_number(const char *text, uint64_t least, uint64_t most, uint64_t *number)
{
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	*number = strtoull(text, &end, 10);
	return !errno && !*end && *number >= least && *number <= most;
}

bool
cli_id(const struct cli *cli, const char *text, uint64_t *id)
{
	if (cli_number(text, 1, UINT64_C(1) << 53, id))
		return true;
	cli_fail(
	    cli, 0, "\"%s\" is no id of ours; by the sender's control id: liaison search --control ID", text);
	return false;
}

bool
cli_since(const char *text, int64_t *since)
{
	static const char *const forms[] = { "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d" };
	static const struct {
		char unit;
		int64_t seconds;
	} units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 } };
	size_t len = strlen(text);
	char digits[24];
	uint64_t number;

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		struct tm tm = { .tm_isdst = -1 };
		const char *end = strptime(text, forms[i], &tm);

		if (end && !*end) {
			*since = mktime(&tm);
			return *since > 0;
		}
	}
	if (len < 2 || len > sizeof(digits))
		return false;
	memcpy(digits, text, len - 1);
	digits[len - 1] = '\0';
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (text[len - 1] == units[i].unit && cli_number(digits, 0, 1000000000, &number)) {
			*since = time(NULL) - (int64_t)number * units[i].seconds;
			return *since > 0;
		}
	}
	return false;
}

char *
cli_size(uint64_t bytes, char out[static 32])
{
	static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB" };
	double value = (double)bytes;
	size_t unit = 0;

	while (value >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0])) {
		value /= 1024;
		unit++;
	}
	snprintf(out, 32, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
	return out;
}

char *
cli_age(uint64_t seconds, char out[static 32])
{
	if (seconds < 120)
		snprintf(out, 32, "%" PRIu64 " s", seconds);
	else if (seconds < 7200)
		snprintf(out, 32, "%" PRIu64 " min", seconds / 60);
	else if (seconds < 172800)
		snprintf(out, 32, "%" PRIu64 " h %" PRIu64 " min", seconds / 3600, seconds / 60 % 60);
	else
		snprintf(out, 32, "%" PRIu64 " days", seconds / 86400);
	return out;
}

const char *
cli_text(const json_t *row, const char *key)
{
	const char *text = json_string_value(json_object_get(row, key));

	return text ? text : "";
}

int64_t
cli_integer(const json_t *row, const char *key)
{
	return json_integer_value(json_object_get(row, key));
}

bool
cli_true(const json_t *row, const char *key)
{
	return json_is_true(json_object_get(row, key));
}

bool
cli_put_reason(const struct cli *cli, json_t *request, const char *reason)
{
	json_t *text = reason ? json_string(reason) : NULL;

	if (reason && !text)
		cli_fail(cli, 0, "the reason is not UTF-8 text");
	else if (reason)
		json_object_set_new(request, "reason", text);
	return !reason || text;
}
