/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host's name -> addresses, on a worker: getaddrinfo blocks, up to RESOLVE_LONGEST_S when no name server answers. A numeric address needs
 * none of it. On the loop thread but for the lookup itself.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sys/socket.h>

struct resolve;
struct workers;

/* Addresses of a name that are looked at; further ones are not. */
#define RESOLVE_MAX 16

/* Three name servers in turn, twice: within what a stopping daemon is given beside its own time. */
#define RESOLVE_LONGEST_S 6

struct resolve_address {
	struct sockaddr_storage at;
	socklen_t len;
};

struct resolved {
	const char *why; /* NULL: found; else one of a closed list of words */
	size_t count;
	struct resolve_address addresses[RESOLVE_MAX]; /* best first (RFC 6724) */
};

/* Whether ${host} is a numeric address; then *${resolved} is the one. */
bool resolve_numeric(struct resolved *resolved, const char *host, uint16_t port);

/* The lookup itself, at once: blocks up to RESOLVE_LONGEST_S. On a worker. */
void resolve_now(struct resolved *resolved, const char *host, uint16_t port);

/*
 * Look ${host} up; done() is called once, on the loop thread, unless resolve_abandon comes first; *${resolvep} is gone behind it. 0; WORKERS_FULL;
 * -ENOMEM.
 */
int resolve_start(struct resolve **resolvep, struct workers *workers, const char *host, uint16_t port,
    void (*done)(void *arg, const struct resolved *resolved), void *arg) __attribute__((warn_unused_result));

/* Whether that is what it looks up. */
bool resolve_is(const struct resolve *resolve, const char *host, uint16_t port);

/* done() is not called any more. One that has not begun yet is left out, one that has ends when it ends; what it holds is freed on the loop. NULL is harmless. */
void resolve_abandon(struct resolve *resolve);
