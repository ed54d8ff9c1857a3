/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client of the control socket: one request, its rows, its end. Protocol: conf/doc/control.md.
 */
#pragma once

#include "broker/cli/cli.h"

struct control_client;

/* Connect: to cli->socket, else to the socket of the configuration. Complains and gives CLI_COULD_NOT when that fails, else 0. */
int control_client_open(const struct cli *cli, struct control_client **clientp)
    __attribute__((warn_unused_result));
void control_client_close(struct control_client *client);

/* A row; a non-zero answer ends the command with it. */
typedef int control_client_row(void *arg, const json_t *row);

/*
 * Ask ${request} (taken) and give each row to ${row}; with cli->json print every line instead. 0 with *${endp} (the last line; the
 * caller's, may be NULL) or the exit status, after complaining.
 */
int control_client_ask(struct control_client *client, const struct cli *cli, json_t *request,
    control_client_row *row, void *arg, json_t **endp) __attribute__((warn_unused_result));

/* Open, ask once, close; the exit status: CLI_NOT_WELL when the answer ends with "well": false. */
int control_client_once(const struct cli *cli, json_t *request, control_client_row *row, void *arg)
    __attribute__((warn_unused_result));
