/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of chains and revocation lists: a root, an authority between, a stranger, certificates of them, contexts over files of a folder of the
 * test's own, and handshakes in memory. Any failure of the rig itself fails the test.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <openssl/ssl.h>

#include "authority.h"
#include "broker/net/tls.h"

/* Of the root: between, server (broker.example), client, limited (with a distribution point, http://crl.example/7). Of between: below. */
extern struct certificate root, between, stranger, server, client, below, limited;

/* Of a group of tests. Files: root.pem, both.pem (root and between), between.pem, server.pem, server.key. */
int chain_setup(void **state);
int chain_teardown(void **state);

/* A file of the folder; good for eight calls. */
char *chain_path(const char *name);

/* A context of ${authorities} and, with ${crls}, of crls.pem; NULL when it is refused, and ${said} is why. */
struct tls_context *chain_context(
    const char *authorities, bool crls, bool as_server, char *said, size_t size);
/* One of a server that must be made. */
struct tls_context *chain_must(const char *authorities, bool crls);

/* A client of ${certificate} that shows ${extra}, too; ${session} resumes. TLS 1.2: the ticket comes in the handshake. */
SSL *chain_client(
    const struct certificate *certificate, const struct certificate *extra, SSL_SESSION *session);

/* Both ends in memory; NULL, or why ${far} refused. */
const char *chain_shake(SSL *near, SSL *far);

/* The session of ${near}, and both ends closed in order: a connection that breaks takes its session with it. */
SSL_SESSION *chain_session(SSL *near, SSL *far);

/* That ${words} is NULL. */
void chain_good(const char *words);
