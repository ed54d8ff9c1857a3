/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last certificate that each dialled destination showed: what peers.h remembers of those who dial us, for those whom we dial.
 *
 * By name, kept for the life of the process; a destination that is no longer configured is left out by seen_reconfigure. On the loop thread only.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "broker/base/config.h"
#include "broker/net/ends.h"
#include "broker/net/tls.h"

struct seen;

/* What was seen of one destination. */
struct seen_entry {
	char *name;
	uint64_t last_seen_us;	  /* wall */
	struct tls_identity last; /* its server certificate */
	struct ends_told told;	  /* of its end; for ends.c */
};

int seen_new(struct seen **seenp) __attribute__((warn_unused_result));
void seen_free(struct seen *seen);

/* Destination ${name} showed ${certificate} just now. Without memory nothing is remembered. */
void seen_certificate(struct seen *seen, const char *name, X509 *certificate);

/* Forget those that ${config} does not dial. */
void seen_reconfigure(struct seen *seen, const struct config *config);

/* NULL: that destination was not reached since the start. */
const struct seen_entry *seen_find(const struct seen *seen, const char *name);
size_t seen_count(const struct seen *seen);
struct seen_entry *seen_at(struct seen *seen, size_t index);
