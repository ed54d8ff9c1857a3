/* SPDX-License-Identifier: Apache-2.0 */
/* What peers.c (which certificate is whose) and peers_table.c (who there is) share. Nobody else includes this. */
#pragma once

#include "broker/net/peers.h"

struct peers {
	const struct config *config; /* held */
	struct peer **at;	     /* those of the configuration, in its order */
	size_t count;
	struct peer **known; /* all there ever were, by name */
	size_t known_count;
	struct peer **next; /* room for the peers of the configuration that was prepared */
	int64_t told_s;	    /* when certificates that end were last told */
};
