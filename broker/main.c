/* SPDX-License-Identifier: Apache-2.0 */
/*
 * liaisond: options, the configuration, the process's own hardening; then one daemon.
 *
 * Exit status: 0 stopped as asked, or the configuration is valid (-n); 1 it could not run; 2 usage.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/base/config.h"
#include "broker/base/log.h"
#include "broker/daemon.h"
#include "broker/doors/pull.h"
#include "broker/net/tls.h"
#include "codecs/buffer.h"

#define DEFAULT_CONFIG "/etc/liaison/liaison.conf"
#define TEXT_MAX       ((size_t)1 << 20) /* of all configuration errors together */

static const char usage[] =
    "usage: liaisond [-n] [-c FILE]\n"
    "\n"
    "The Liaison broker. Runs in the foreground; see liaisond(8) and liaison.conf(5).\n"
    "\n"
    "  -c, --config FILE  configuration (default " DEFAULT_CONFIG ")\n"
    "  -n, --check        check the configuration and what it names, then exit\n"
    "      --events       print the catalogue of log events, then exit\n"
    "      --routes       print the routes of the pull API and their statuses, then exit\n"
    "  -V, --version      print the version, then exit\n"
    "  -h, --help         print this, then exit\n"
    "\n"
    "Exit status: 0 stopped as asked, or valid (-n); 1 could not run, or invalid; 2 usage.\n";

enum {
	OPTION_EVENTS = 256,
	OPTION_ROUTES,
};

static const struct option options[] = {
	{ "config", required_argument, NULL, 'c' },
	{ "check", no_argument, NULL, 'n' },
	{ "events", no_argument, NULL, OPTION_EVENTS },
	{ "routes", no_argument, NULL, OPTION_ROUTES },
	{ "version", no_argument, NULL, 'V' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static void
print(FILE *to, const struct buffer *text)
{
	if (text->len)
		(void)fwrite(text->data, 1, text->len, to);
}

static int
print_events(void)
{
	for (int i = 0; i < EVENT_COUNT; i++) {
		const struct event_info *info = event_info((enum log_event)i);

		printf("%s\t%s\t%s\t%s\n", info->name, log_level_name(info->level), info->sentence,
		    info->action);
	}
	return 0;
}

static int
print_routes(void)
{
	struct buffer text;

	buffer_init(&text, TEXT_MAX);
	pull_routes_print(&text);
	print(stdout, &text);
	buffer_fini(&text);
	return 0;
}

/* Nothing of a patient in a core file, nothing readable by others, no death by a closed socket. */
static int
harden(void)
{
	const struct rlimit none = { 0, 0 };

	umask(077);
	if (setrlimit(RLIMIT_CORE, &none) || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))
		return -errno;
	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return -errno;
	return 0;
}

static int
load(const char *path, bool check, struct config **configp, struct buffer *errors)
{
	int r;

	r = config_load(path, configp, errors);
	if (r < 0 && errors->len == 0)
		buffer_printf(errors, "%s: %s\n", path, strerror(-r));
	if (r == -ENOENT)
		buffer_printf(
		    errors, "liaisond: -c FILE says which configuration; conf/liaison.conf is a sample\n");
	if (r)
		return r;
	r = config_check_files(*configp, errors);
	/* A start finds by itself what cannot be used, and goes on with a certificate that has ended: pulling has to be possible. */
	if (r == 0 && check)
		r = tls_check(&(*configp)->tls, config_dials(*configp), errors);
	if (r) {
		config_release(*configp);
		*configp = NULL;
	}
	return r;
}

static void
tell_valid(const struct config *config, const char *path)
{
	struct buffer warnings;

	buffer_init(&warnings, TEXT_MAX);
	config_warnings(config, &warnings);
	print(stdout, &warnings);
	buffer_fini(&warnings);
	printf("%s: the configuration is valid\n", path);
}

/* Run a broker on ${config}, whose hold is the daemon's from then on. */
static int
serve(const struct config *config, const char *path, struct buffer *errors)
{
	struct daemon *daemon = NULL;
	struct log_line line;
	int r;

	r = log_open(config->log_file, (enum log_level)config->log_level);
	if (r) {
		buffer_printf(errors, "%s: the log cannot be opened: %s\n",
		    config->log_file ? config->log_file : "standard error", strerror(-r));
		config_release(config);
		return r;
	}
	log_begin(&line, EVENT_STARTING);
	log_text(&line, "version", LIAISON_VERSION);
	log_text(&line, "config", path);
	log_commit(&line);
	r = daemon_new(&daemon, config, path, errors);
	config_release(config); /* a reload frees it */
	if (r == 0) {
		r = daemon_run(daemon);
		daemon_free(daemon);
		log_begin(&line, EVENT_STOPPED);
		log_commit(&line);
	} else {
		log_begin(&line, EVENT_FATAL);
		log_text(&line, "why", errors->len ? "see standard error" : strerror(-r));
		log_commit(&line);
		if (errors->len == 0)
			buffer_printf(errors, "liaisond: %s\n", strerror(-r));
	}
	log_close();
	return r;
}

int
main(int argc, char *argv[])
{
	const char *path = DEFAULT_CONFIG;
	struct config *config = NULL;
	struct buffer errors;
	bool check = false;
	int option, r;

	while ((option = getopt_long(argc, argv, "c:nVh", options, NULL)) != -1)
		switch (option) {
		case 'c':
			path = optarg;
			break;
		case 'n':
			check = true;
			break;
		case OPTION_EVENTS:
			return print_events();
		case OPTION_ROUTES:
			return print_routes();
		case 'V':
			puts("liaisond " LIAISON_VERSION);
			return 0;
		case 'h':
			(void)fputs(usage, stdout);
			return 0;
		default:
			(void)fputs(usage, stderr);
			return 2;
		}
	if (optind != argc) {
		(void)fputs(usage, stderr);
		return 2;
	}
	buffer_init(&errors, TEXT_MAX);
	r = harden();
	if (r)
		buffer_printf(&errors, "liaisond: %s\n", strerror(-r));
	else
		r = load(path, check, &config, &errors);
	if (r == 0 && check) {
		tell_valid(config, path);
		config_release(config);
	} else if (r == 0) {
		r = serve(config, path, &errors);
	}
	print(stderr, &errors);
	buffer_fini(&errors);
	return r ? 1 : 0;
}
