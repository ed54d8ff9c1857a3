/* SPDX-License-Identifier: Apache-2.0 */
/* The table of routes. */
#include <string.h>

#include "broker/base/conf_parts.h"
#include "broker/base/conf_text.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static const struct conf_key route_keys[] = {
	{ "name", CONF_NAME, offsetof(struct config_route, name), .required = true },
	{ "when", CONF_OTHER },
	{ "to", CONF_OTHER },
	{ "go_on", CONF_BOOL, offsetof(struct config_route, go_on), .fallback = "false" },
};

#define WHEN(name)                                                                                           \
	{                                                                                                    \
#name, CONF_TEXT, offsetof(struct config_route, name)                                        \
	}

static const struct conf_key when_keys[] = {
	WHEN(peer),
	WHEN(type),
	WHEN(event),
	WHEN(sending_application),
	WHEN(sending_facility),
	WHEN(receiving_application),
	WHEN(receiving_facility),
	WHEN(authority),
	WHEN(document),
	WHEN(mode),
};

#undef WHEN

/* Whether ${pattern} (a final '*' matches any rest) names at least one peer. */
static bool
matches_peer(const struct config *c, const char *pattern)
{
	size_t len = strlen(pattern);

	for (size_t i = 0; i < c->peer_count; i++) {
		const char *name = c->peers[i].name;

		if (name && len > 0 && pattern[len - 1] == '*' && strncmp(name, pattern, len - 1) == 0)
			return true;
		if (name && strcmp(name, pattern) == 0)
			return true;
	}
	return false;
}

static void
check_when(struct conf_reader *r, const config_setting_t *when, const char *const *peers,
    const struct config *c, const struct config_route *route)
{
	if (route->peer && !matches_peer(c, route->peer))
		conf_error(r, conf_member(when, "peer"), "route: there is no peer \"%s\"%s", route->peer,
		    conf_hint(r, route->peer, peers, c->peer_count));
	if (route->mode && strcmp(route->mode, "production") != 0 && strcmp(route->mode, "test") != 0)
		conf_error(r, conf_member(when, "mode"),
		    "route: mode \"%s\" is unknown; meant is \"production\" or \"test\"", route->mode);
	if (route->type && strchr(route->type, '^'))
		conf_error(r, conf_member(when, "type"),
		    "route: type \"%s\" holds an event; meant is type = \"ORU\"; event = \"R01\";",
		    route->type);
}

static void
read_to(struct conf_reader *r, const config_setting_t *setting, const struct config *c,
    const char *const *destinations, struct config_route *route)
{
	size_t count;
	const char *const *texts = conf_texts(r, setting, "route", "to", &count);
	const struct config_destination **to = conf_alloc(r, count, sizeof(*to));

	if (count == 0)
		conf_error(r, setting,
		    "route: to is missing or empty; meant is an array of names of "
		    "inboxes and destinations");
	if (!to)
		return;
	for (size_t i = 0; i < count; i++) {
		const config_setting_t *at = conf_element(setting, "to", i);
		size_t found;

		if (!texts[i])
			continue;
		found = conf_find(
		    r, at, "route", "inbox or destination", texts[i], destinations, c->destination_count);
		if (found == c->destination_count)
			continue;
		to[i] = &c->destinations[found];
		for (size_t k = 0; k < i; k++)
			if (to[k] == to[i])
				conf_error(r, at, "route: \"%s\" is there twice", texts[i]);
	}
	route->to = to;
	route->to_count = count;
}

/* A row that asks nothing and ends the search hides every row behind it. */
static void
check_hidden(struct conf_reader *r, config_setting_t *const *items, size_t count)
{
	for (size_t i = 0; i + 1 < count; i++) {
		const config_setting_t *when;
		int go_on = 0;

		if (!config_setting_is_group(items[i]))
			continue;
		when = conf_member(items[i], "when");
		(void)config_setting_lookup_bool(items[i], "go_on", &go_on);
		if (go_on || (when && config_setting_length(when) > 0))
			continue;
		conf_error(r, items[i + 1],
		    "route: never reached, the route at %s takes every message; give that one a condition, "
		    "go_on = true, or "
		    "the last place",
		    conf_place(r, items[i]));
		return;
	}
}

void
conf_read_routes(struct conf_reader *r, struct config *c)
{
	config_setting_t **items;
	size_t count = conf_joined(r, "routes", &items);
	struct config_route *all = conf_alloc(r, count, sizeof(*all));
	const char **names = conf_alloc(r, count, sizeof(*names));
	const char **peers = conf_alloc(r, c->peer_count, sizeof(*peers));
	const char **destinations = conf_alloc(r, c->destination_count, sizeof(*destinations));

	if (!all || !names || !peers || !destinations)
		return;
	for (size_t i = 0; i < c->peer_count; i++)
		peers[i] = c->peers[i].name;
	for (size_t i = 0; i < c->destination_count; i++)
		destinations[i] = c->destinations[i].name;
	for (size_t i = 0; i < count; i++) {
		const config_setting_t *when = NULL;

		conf_group(r, items[i], "route", route_keys, COUNT(route_keys), &all[i]);
		names[i] = all[i].name;
		all[i].place = conf_place(r, items[i]);
		all[i].fingerprint = conf_fingerprint(items[i]);
		if (!config_setting_is_group(items[i]))
			continue;
		when = conf_member(items[i], "when");
		if (when) {
			conf_group(r, when, "route: when", when_keys, COUNT(when_keys), &all[i]);
			check_when(r, when, peers, c, &all[i]);
		}
		read_to(r, items[i], c, destinations, &all[i]);
	}
	conf_check_name(r, "route", items, names, count);
	check_hidden(r, items, count);
	c->routes = all;
	c->route_count = count;
}
