/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The admin door: metrics and health for monitoring on the same machine, plain HTTP on a loopback address.
 *
 *     GET /metrics   Prometheus text 0.0.4
 *     GET /healthz   200 while the loop turns
 *     GET /readyz    200, or 503 with one reason a line: stopping, disk-floor, journal-failed
 *
 * Nothing else is here, and nothing of a patient. A request whose Host is not the loopback is refused (a web page of another host must not
 * reach it through a name of its own). At most 16 connections, one request each, 5 seconds.
 */
#pragma once

#include <stdint.h>

#include "broker/doors/door.h"

struct admin;

/*
 * Bind ${address}:${port} (port 0: any) and serve. -EINVAL when ${address} is no loopback address, -errno of bind and listen.
 * ${context} is copied, its configuration held.
 */
int admin_new(struct admin **adminp, const struct door_context *context, const char *address, uint16_t port)
    __attribute__((warn_unused_result));

/* The port that is bound. */
uint16_t admin_port(const struct admin *admin);

/* Tell of what ${config} has from now on; the address stays. Takes a hold of its own. */
void admin_reconfigure(struct admin *admin, const struct config *config);

/* Close everything. NULL is harmless. */
void admin_free(struct admin *admin);
