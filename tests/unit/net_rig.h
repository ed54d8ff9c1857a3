/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A rig for tests of links: a listener on a loop thread of its own, certificates, the log in a file, and a blocking client.
 *
 * What the loop thread owns (peers, links) is looked at only after rig_stop. Any failure of the rig itself aborts the program.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include <openssl/ssl.h>

#include "authority.h"
#include "broker/net/link.h"

struct rig {
	char dir[64];
	struct certificate root, server, client;
	struct config config;
	struct config_peer peer;
	struct config_identity identity;
	struct config_listener listener_config;
	struct loop *loop;
	struct tls_context *tls;
	struct peers *peers;
	struct listener *listener;
	pthread_t thread;
	char *log; /* after rig_stop */
};

/* Certificates, a configuration with generous limits and the peer `chu-test` (CN=client). To be changed before rig_start. */
void rig_init(struct rig *rig);
void rig_start(struct rig *rig, const struct link_handler *handler, void *door);
/* Stop the loop, free listener, peers and loop, read the log. */
void rig_stop(struct rig *rig);
void rig_fini(struct rig *rig);

/* Whether some line of the log has all of ${parts} (NULL ends them). */
bool rig_logged(const struct rig *rig, const char *first, ...) __attribute__((sentinel));
/* How many lines of the log have ${part}. */
size_t rig_lines(const struct rig *rig, const char *part);

/* A connected socket to the listener, blocking, with a time-out of 10 s each way. */
int rig_dial(const struct rig *rig);

struct client_options {
	const struct certificate *certificate; /* NULL: none */
	int version;			       /* greatest; 0: any */
	SSL_SESSION *resume;
};

/* Dial and shake hands, with no scruples of its own. *${ok}: whether SSL_connect was content (TLS 1.3 tells a refusal only at the first read). */
SSL *rig_connect(const struct rig *rig, const struct client_options *options, bool *ok);
/* close_notify and close. */
void client_close(SSL *ssl);
/* Read exactly ${len} bytes; false at the end or an error. */
bool client_read(SSL *ssl, void *to, size_t len);
bool client_write(SSL *ssl, const void *from, size_t len);
