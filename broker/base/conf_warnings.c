/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can be read and cannot be meant. Pure: over a configuration that is valid.
 *
 * A message is of the mode production when its sender's establishment is in production and MSH-11 says P, and enters destinations of its own
 * mode only (broker/core/route.h). A route whose senders can never send in the mode of its destination leads nowhere.
 */
#include <string.h>

#include "broker/base/config.h"

/* Whether ${pattern} (NULL: any; a final '*' matches any rest) names the peer ${name}. */
static bool
names(const char *pattern, const char *name)
{
	size_t len = pattern ? strlen(pattern) : 0;

	if (!pattern)
		return true;
	if (len > 0 && pattern[len - 1] == '*')
		return strncmp(pattern, name, len - 1) == 0;
	return strcmp(pattern, name) == 0;
}

/* Whether ${peer} can send a message of ${mode}. */
static bool
sends(const struct config_peer *peer, enum config_mode mode)
{
	bool production = peer->establishment->mode == MODE_PRODUCTION;

	if (!peer->may_send)
		return false;
	if (mode == MODE_PRODUCTION)
		return production && (peer->processing & PROCESSING_P);
	return !production || (peer->processing & (PROCESSING_T | PROCESSING_D));
}

/* Whether a message of ${mode} can be taken by ${route}. */
static bool
takes(const struct config *config, const struct config_route *route, enum config_mode mode)
{
	if (route->mode && strcmp(route->mode, config_mode_name(mode)) != 0)
		return false;
	for (size_t i = 0; i < config->peer_count; i++)
		if (names(route->peer, config->peers[i].name) && sends(&config->peers[i], mode))
			return true;
	return false;
}

void
config_warnings(const struct config *config, struct buffer *warnings)
{
	for (size_t i = 0; i < config->route_count; i++) {
		const struct config_route *route = &config->routes[i];

		for (size_t k = 0; k < route->to_count; k++) {
			enum config_mode mode = route->to[k]->establishment->mode;

			if (takes(config, route, mode))
				continue;
			buffer_printf(warnings,
			    "%s: route %s: nothing that it takes can enter %s, which belongs to a %s "
			    "establishment: "
			    "no sender of that mode is meant; without another destination its messages are "
			    "parked\n",
			    route->place, route->name, route->to[k]->name, config_mode_name(mode));
		}
	}
}
