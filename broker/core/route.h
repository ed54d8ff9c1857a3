/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Routing: which destinations want a message, by the ordered table of the configuration.
 *
 * Rows are looked at in order; the first that matches ends it unless it says go_on. A destination of the other mode is never chosen:
 * a test or debugging message enters no production inbox, nor the reverse.
 */
#pragma once

#include <stddef.h>

#include "broker/base/config.h"
#include "broker/core/facts.h"
#include "codecs/buffer.h"

/* Production only when the sender's establishment is in production and MSH-11 says P. */
enum config_mode route_mode(const struct config_peer *peer, const struct facts *facts);

/* What is routed. */
struct route_message {
	const struct config_peer *peer;
	const struct facts *facts;
	enum config_mode mode;
};

/*
 * Choose the destinations of ${message}: in the order of first choice, each once, at most ${max} (the number of destinations of the configuration is
 * always enough). The names of matching rows are appended to ${rows}, comma between.
 */
size_t route_choose(const struct config *config, const struct route_message *message,
    const struct config_destination **chosen, size_t max, struct buffer *rows);

/* The same from an index over the routes of ${config}, which it does not hold: what a message costs then does not grow with the table. */
struct route_index;
int route_index_new(struct route_index **indexp, const struct config *config)
    __attribute__((warn_unused_result));
void route_index_free(struct route_index *index);
size_t route_index_choose(const struct route_index *index, const struct route_message *message,
    const struct config_destination **chosen, size_t max, struct buffer *rows);
