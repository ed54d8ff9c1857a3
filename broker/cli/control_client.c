/* SPDX-License-Identifier: Apache-2.0 */
/* The client of the control socket: see control_client.h. */
#include "broker/cli/control_client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#include "broker/base/config.h"
#include "broker/net/unix_address.h"

#define DEFAULT_CONFIG "/etc/liaison/liaison.conf"
#define DEFAULT_SOCKET "/run/liaison/control.sock"
#define LINE_MAX_BYTES ((size_t)16 << 20)

struct control_client {
	FILE *in;
	int fd; /* in's */
	char *line;
	size_t room;
};

/* The socket the configuration names, the caller's to free; NULL after complaining. */
static char *
configured_socket(const struct cli *cli)
{
	const char *file = cli->config ? cli->config : DEFAULT_CONFIG;
	struct config *config = NULL;
	struct buffer errors;
	char *path = NULL;
	int r;

	/* Operators need not be allowed to read the configuration. */
	if (!cli->config && access(file, R_OK) != 0)
		return strdup(DEFAULT_SOCKET);
	buffer_init(&errors, (size_t)1 << 20);
	r = config_load_control(file, &config, &errors);
	if (r == 0) {
		path = strdup(config->socket);
		config_release(config);
	} else if (errors.len) {
		fwrite(errors.data, 1, errors.len, stderr);
		cli_fail(cli, 0, "the broker's socket cannot be read from there; --socket PATH names it");
	} else {
		cli_fail(cli, 0, "%s: %s", file, strerror(r < 0 ? -r : EINVAL));
	}
	buffer_fini(&errors);
	return path;
}

static int
connect_to(const char *path)
{
	struct sockaddr_un address;
	int directory, fd, r = unix_address(path, &address, &directory);

	if (r)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
		r = -errno;
		if (fd >= 0)
			close(fd);
		fd = r;
	}
	if (directory >= 0)
		close(directory);
	return fd;
}

static void
complain(const struct cli *cli, const char *path, int error)
{
	if (error == -ENOENT || error == -ECONNREFUSED)
		cli_fail(cli, 0,
		    "%s: no broker answers there; is liaisond running? (--config FILE or --socket PATH: "
		    "another one)",
		    path);
	else if (error == -EACCES)
		cli_fail(cli, 0, "%s: you may not; be root or in the socket's group", path);
	else
		cli_fail(cli, 0, "%s: %s", path, strerror(-error));
}

int
control_client_open(const struct cli *cli, struct control_client **clientp)
{
	struct control_client *client = calloc(1, sizeof(*client));
	char *path = cli->socket ? strdup(cli->socket) : configured_socket(cli);
	int fd = client && path ? connect_to(path) : -ENOMEM;

	if (path && fd < 0)
		complain(cli, path, fd);
	free(path);
	if (fd >= 0 && !(client->in = fdopen(fd, "r"))) {
		close(fd);
		fd = -1;
	}
	if (fd < 0) {
		free(client);
		return CLI_COULD_NOT;
	}
	client->fd = fd;
	*clientp = client;
	return 0;
}

void
control_client_close(struct control_client *client)
{
	if (!client)
		return;
	fclose(client->in);
	free(client->line);
	free(client);
}

/* Takes ${request}. */
static int
send_request(struct control_client *client, const struct cli *cli, json_t *request)
{
	char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
	size_t len = text ? strlen(text) : 0, sent = 0;

	json_decref(request);
	if (!text)
		return cli_fail(cli, CLI_COULD_NOT, "an argument is not UTF-8 text");
	text[len] = '\n'; /* in place of the NUL */
	while (sent <= len) {
		ssize_t n = send(client->fd, text + sent, len + 1 - sent, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EPIPE)
			break; /* turned away: a line says why */
		if (n < 0) {
			free(text);
			return cli_fail(cli, CLI_COULD_NOT, "the broker went away: %s", strerror(errno));
		}
		sent += (size_t)n;
	}
	free(text);
	return 0;
}

/* The next line as an object, the caller's; NULL after complaining. */
static json_t *
next_line(struct control_client *client, const struct cli *cli)
{
	ssize_t len = getline(&client->line, &client->room, client->in);
	json_t *object;

	if (len <= 0 || (size_t)len > LINE_MAX_BYTES) {
		cli_fail(cli, 0, "the broker went away");
		return NULL;
	}
	object = json_loadb(client->line, (size_t)len, 0, NULL);
	if (!json_is_object(object)) {
		cli_fail(cli, 0, "the broker's answer cannot be read");
		json_decref(object);
		return NULL;
	}
	if (cli->json)
		fputs(client->line, stdout);
	return object;
}

static int
complain_of(const struct cli *cli, const json_t *error)
{
	const char *code = cli_text(error, "code");
	bool ours =
	    strcmp(code, "busy") == 0 || strcmp(code, "request") == 0 || strcmp(code, "internal") == 0;

	return cli_fail(cli, ours ? CLI_COULD_NOT : CLI_NOT_WELL, "%s", cli_text(error, "message"));
}

int
control_client_ask(struct control_client *client, const struct cli *cli, json_t *request,
    control_client_row *row, void *arg, json_t **endp)
{
	int r = send_request(client, cli, request);
	json_t *line;

	while (!r && (line = next_line(client, cli)) != NULL) {
		const json_t *member;

		if ((member = json_object_get(line, "row")) != NULL) {
			if (row && !cli->json)
				r = row(arg, member);
		} else if ((member = json_object_get(line, "error")) != NULL) {
			r = complain_of(cli, member);
		} else {
			if (endp)
				*endp = line;
			else
				json_decref(line);
			return 0;
		}
		json_decref(line);
	}
	return r ? r : CLI_COULD_NOT;
}

int
control_client_once(const struct cli *cli, json_t *request, control_client_row *row, void *arg)
{
	struct control_client *client = NULL;
	json_t *end = NULL;
	int r = control_client_open(cli, &client);

	if (r) {
		json_decref(request);
		return r;
	}
	r = control_client_ask(client, cli, request, row, arg, &end);
	if (!r && json_is_false(json_object_get(end, "well")))
		r = CLI_NOT_WELL;
	json_decref(end);
	control_client_close(client);
	return r;
}
