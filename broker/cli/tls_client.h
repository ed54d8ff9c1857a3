/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A blocking connection over mutual TLS, for `liaison send` and `liaison pull`. Every step has a deadline.
 *
 * The server's certificate must be for the name asked, vouched for by the authorities given; nothing is sent before.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "broker/cli/cli.h"
#include "codecs/span.h"

struct tls_client;

struct tls_client_options {
	const char *to; /* HOST:PORT, [ADDRESS]:PORT */
	const char *certificate, *key, *authorities;
	const char *server_name; /* NULL: HOST */
	unsigned timeout_s;
};

/* Connect and shake hands. CLI_COULD_NOT after complaining: which step, and why, as far as the other side says. */
int tls_client_open(const struct cli *cli, const struct tls_client_options *options,
    struct tls_client **clientp) __attribute__((warn_unused_result));
void tls_client_close(struct tls_client *client);

/* The HOST:PORT it went to. */
const char *tls_client_to(const struct tls_client *client);

/* Send all of ${bytes}. 0 or CLI_COULD_NOT after complaining. */
int tls_client_write(struct tls_client *client, struct span bytes) __attribute__((warn_unused_result));

/* Up to ${size} bytes; 0: the other side ended; -1 after complaining, also when it
 * ended before it said anything. Waits at most ${extra_s} longer than usual. */
ssize_t tls_client_read(struct tls_client *client, void *bytes, size_t size, unsigned extra_s)
    __attribute__((warn_unused_result));
