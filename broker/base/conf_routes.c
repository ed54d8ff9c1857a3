/* SPDX-License-Identifier: Apache-2.0 */
/* Listeners, inboxes and the table of routes: where messages come in and where they go. */
#include <string.h>

#include "broker/base/conf_parts.h"
#include "broker/base/conf_text.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static const char *const protocol_words[] = { "mllp", "https", NULL };

static const struct conf_key listener_keys[] = {
	{ "name", CONF_NAME, offsetof(struct config_listener, name), .required = true },
	{ "protocol", CONF_WORD, offsetof(struct config_listener, protocol), .required = true,
	    .words = protocol_words },
	{ "address", CONF_ADDRESS, offsetof(struct config_listener, address), .required = true },
	{ "port", CONF_PORT, offsetof(struct config_listener, port), .required = true },
	{ "max_connections", CONF_NUMBER, offsetof(struct config_listener, max_connections),
	    .fallback = "256", .least = 1, .most = 100000 },
};

static bool
is_any_address(const char *address)
{
	return strcmp(address, "0.0.0.0") == 0 || strcmp(address, "::") == 0;
}

/* Whether both would listen on one port of one address. */
static bool
overlap(const char *a, uint16_t a_port, const char *b, uint16_t b_port)
{
	if (!a || !b || a_port != b_port || a_port == 0)
		return false;
	if ((strchr(a, ':') != NULL) != (strchr(b, ':') != NULL))
		return false;
	return strcmp(a, b) == 0 || is_any_address(a) || is_any_address(b);
}

static void
check_overlaps(struct conf_reader *r, const struct config *c, config_setting_t *const *items)
{
	for (size_t i = 0; i < c->listener_count; i++) {
		const struct config_listener *one = &c->listeners[i];

		if (overlap(one->address, one->port, c->admin_address, c->admin_port))
			conf_error(r, items[i], "listener %s: port %u of %s is the admin port",
			    one->name ? one->name : "?", one->port, one->address);
		for (size_t k = 0; k < i; k++)
			if (overlap(one->address, one->port, c->listeners[k].address, c->listeners[k].port))
				conf_error(r, items[i],
				    "listener %s: port %u of %s is taken by the listener at %s",
				    one->name ? one->name : "?", one->port, one->address,
				    conf_place(r, items[k]));
	}
}

void
conf_read_listeners(struct conf_reader *r, struct config *c)
{
	config_setting_t **items;
	size_t count = conf_joined(r, "listeners", &items);
	struct config_listener *all = conf_alloc(r, count, sizeof(*all));
	const char **names = conf_alloc(r, count, sizeof(*names));

	if (!all || !names)
		return;
	for (size_t i = 0; i < count; i++) {
		conf_group(r, items[i], "listener", listener_keys, COUNT(listener_keys), &all[i]);
		names[i] = all[i].name;
	}
	if (count == 0 && r->error == 0)
		conf_error(r, NULL,
		    "listeners is missing or empty; meant is such as ( { name = \"mllp\"; protocol = "
		    "\"mllp\"; address = "
		    "\"127.0.0.1\"; port = 2575; } )");
	conf_check_name(r, "listener", items, names, count);
	c->listeners = all;
	c->listener_count = count;
	check_overlaps(r, c, items);
}

struct inbox_draft {
	struct config_destination inbox;
	const char *establishment;
};

static const struct conf_key inbox_keys[] = {
	{ "name", CONF_NAME, offsetof(struct inbox_draft, inbox.name), .required = true },
	{ "establishment", CONF_NAME, offsetof(struct inbox_draft, establishment), .required = true },
	{ "readers", CONF_OTHER },
	{ "max_age", CONF_SECONDS, offsetof(struct inbox_draft, inbox.max_age_s), .fallback = "7d",
	    .least = 60, .most = (uint64_t)3650 * 24 * 3600 },
	{ "max_size", CONF_PERCENT, offsetof(struct inbox_draft, inbox.max_disk_percent), .fallback = "20%",
	    .least = 1, .most = 100 },
};

/* The names that references are looked up in. */
struct names {
	const char **peers;
	const char **establishments;
};

static void
read_readers(struct conf_reader *r, const config_setting_t *setting, const struct config *c,
    const struct names *names, struct config_destination *inbox)
{
	size_t count;
	const char *const *texts = conf_texts(r, setting, "inbox", "readers", &count);
	const struct config_peer **readers = conf_alloc(r, count, sizeof(*readers));

	if (!conf_member(setting, "readers"))
		conf_error(r, setting,
		    "inbox: readers is missing; meant is an array of peers' names, which may be empty");
	if (!readers)
		return;
	for (size_t i = 0; i < count; i++) {
		const config_setting_t *at = conf_element(setting, "readers", i);
		size_t found;

		if (!texts[i])
			continue;
		found = conf_find(r, at, "inbox", "peer", texts[i], names->peers, c->peer_count);
		if (found == c->peer_count)
			continue;
		readers[i] = &c->peers[found];
		for (size_t k = 0; k < i; k++)
			if (readers[k] == readers[i])
				conf_error(r, at, "inbox: reader \"%s\" is there twice", texts[i]);
		if (!readers[i]->may_read)
			conf_error(r, at, "inbox: peer %s may not read; add \"read\" to its may", texts[i]);
		if (inbox->establishment && inbox->establishment->mode == MODE_PRODUCTION &&
		    readers[i]->establishment && readers[i]->establishment->mode == MODE_TEST)
			conf_error(r, at,
			    "inbox: peer %s belongs to a test establishment and cannot read an inbox of a "
			    "production one",
			    texts[i]);
	}
	inbox->readers = readers;
	inbox->reader_count = count;
}

static void
read_inbox(struct conf_reader *r, const config_setting_t *setting, const struct config *c,
    const struct names *names, struct config_destination *inbox)
{
	struct inbox_draft d = { .inbox.kind = DESTINATION_INBOX };

	conf_group(r, setting, "inbox", inbox_keys, COUNT(inbox_keys), &d);
	*inbox = d.inbox;
	if (!config_setting_is_group(setting))
		return;
	if (d.establishment) {
		size_t found = conf_find(r, conf_member(setting, "establishment"), "inbox", "establishment",
		    d.establishment, names->establishments, c->establishment_count);

		if (found < c->establishment_count)
			inbox->establishment = &c->establishments[found];
	}
	read_readers(r, setting, c, names, inbox);
}

/* No kind of dialled destination is known: an entry would be one that nobody serves. */
static void
refuse_dialled(struct conf_reader *r)
{
	config_setting_t **items;
	size_t count = conf_joined(r, "destinations", &items);

	for (size_t i = 0; i < count; i++)
		conf_error(r, items[i],
		    "destinations: this version dials nobody; an inbox, which waits to be read, is declared "
		    "under inboxes");
}

void
conf_read_destinations(struct conf_reader *r, struct config *c)
{
	config_setting_t **items;
	size_t count = conf_joined(r, "inboxes", &items);
	struct config_destination *all = conf_alloc(r, count, sizeof(*all));
	const char **own = conf_alloc(r, count, sizeof(*own));
	struct names names = {
		.peers = conf_alloc(r, c->peer_count, sizeof(*names.peers)),
		.establishments = conf_alloc(r, c->establishment_count, sizeof(*names.establishments)),
	};

	refuse_dialled(r);
	if (!all || !own || !names.peers || !names.establishments)
		return;
	for (size_t i = 0; i < c->peer_count; i++)
		names.peers[i] = c->peers[i].name;
	for (size_t i = 0; i < c->establishment_count; i++)
		names.establishments[i] = c->establishments[i].name;
	for (size_t i = 0; i < count; i++) {
		read_inbox(r, items[i], c, &names, &all[i]);
		all[i].index = i;
		own[i] = all[i].name;
	}
	conf_check_name(r, "inbox", items, own, count);
	c->destinations = all;
	c->destination_count = count;
}

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
		conf_error(r, setting, "route: to is missing or empty; meant is an array of inboxes' names");
	if (!to)
		return;
	for (size_t i = 0; i < count; i++) {
		const config_setting_t *at = conf_element(setting, "to", i);
		size_t found;

		if (!texts[i])
			continue;
		found = conf_find(r, at, "route", "inbox", texts[i], destinations, c->destination_count);
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
