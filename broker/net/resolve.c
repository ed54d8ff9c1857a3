/* SPDX-License-Identifier: Apache-2.0 */
/* Name resolution on a worker: see resolve.h. */
#include "broker/net/resolve.h"

#include <errno.h>
#include <netdb.h>
#include <resolv.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/store/workers.h"

/* Seconds and rounds of the resolver. What a server finds later than that it has at hand for the next try. */
#define TIMEOUT_S 1
#define ROUNDS	  2

struct resolve {
	struct workers_job job; /* first */
	void (*done)(void *arg, const struct resolved *resolved);
	atomic_bool abandoned; /* nobody waits any more */
	void *arg;
	uint16_t port;
	struct resolved resolved; /* the worker's until its done */
	char host[];
};

static const char *
words(int error)
{
	switch (error) {
	case EAI_NONAME:
	case EAI_NODATA:
		return "unknown name";
	case EAI_AGAIN:
		return "no name server answers";
	case EAI_MEMORY:
		return "no memory";
	default:
		return "the name cannot be resolved";
	}
}

void
resolve_now(struct resolved *to, const char *host, uint16_t port)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICSERV, .ai_socktype = SOCK_STREAM };
	struct addrinfo *found = NULL;
	char service[8];
	int rc;

	to->why = NULL;
	to->count = 0;
	/* Of this thread alone: glibc keeps the resolver's state by thread, and would wait for 28 s. */
	if (res_init() == 0) {
		_res.retrans = TIMEOUT_S;
		_res.retry = ROUNDS;
	}
	snprintf(service, sizeof(service), "%u", port);
	rc = getaddrinfo(host, service, &hints, &found);
	if (rc) {
		to->why = words(rc);
		return;
	}
	for (struct addrinfo *a = found; a && to->count < RESOLVE_MAX; a = a->ai_next) {
		if (a->ai_addrlen > sizeof(to->addresses[0].at))
			continue;
		memcpy(&to->addresses[to->count].at, a->ai_addr, a->ai_addrlen);
		to->addresses[to->count++].len = a->ai_addrlen;
	}
	freeaddrinfo(found);
	if (to->count == 0)
		to->why = words(EAI_NODATA);
}

static void
resolve_run(struct workers_job *job)
{
	struct resolve *resolve = (struct resolve *)job;

	if (!resolve->abandoned)
		resolve_now(&resolve->resolved, resolve->host, resolve->port);
}

static void
resolve_done(struct workers_job *job)
{
	struct resolve *resolve = (struct resolve *)job;

	if (!resolve->abandoned)
		resolve->done(resolve->arg, &resolve->resolved);
	free(resolve);
}

int
resolve_start(struct resolve **resolvep, struct workers *workers, const char *host, uint16_t port,
    void (*done)(void *arg, const struct resolved *resolved), void *arg)
{
	size_t size = strlen(host) + 1;
	struct resolve *resolve = calloc(1, sizeof(*resolve) + size);
	int rc;

	if (!resolve)
		return -ENOMEM;
	resolve->job.run = resolve_run;
	resolve->job.done = resolve_done;
	resolve->done = done;
	resolve->arg = arg;
	resolve->port = port;
	memcpy(resolve->host, host, size);
	rc = workers_submit(workers, &resolve->job);
	if (rc) {
		free(resolve);
		return rc;
	}
	*resolvep = resolve;
	return 0;
}

bool
resolve_is(const struct resolve *resolve, const char *host, uint16_t port)
{
	return resolve->port == port && strcmp(resolve->host, host) == 0;
}

void
resolve_abandon(struct resolve *resolve)
{
	if (resolve)
		resolve->abandoned = true;
}
