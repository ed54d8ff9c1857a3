/* SPDX-License-Identifier: Apache-2.0 */
/* Listeners: where others come in, over mutual TLS, or without it on the loopback as one peer. */
#include <string.h>

#include "broker/base/conf_parts.h"
#include "broker/base/conf_text.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static const char *const protocol_words[] = { "mllp", "https", NULL };

struct draft {
	struct config_listener listener;
	const char *plain;
};

static const struct conf_key listener_keys[] = {
	{ "name", CONF_NAME, offsetof(struct draft, listener.name), .required = true },
	{ "protocol", CONF_WORD, offsetof(struct draft, listener.protocol), .required = true,
	    .words = protocol_words },
	{ "address", CONF_ADDRESS, offsetof(struct draft, listener.address), .required = true },
	{ "port", CONF_PORT, offsetof(struct draft, listener.port), .required = true },
	{ "max_connections", CONF_NUMBER, offsetof(struct draft, listener.max_connections), .fallback = "256",
	    .least = 1, .most = 100000 },
	{ "plain", CONF_NAME, offsetof(struct draft, plain) },
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

bool
conf_has_plain(struct conf_reader *r, const char *name)
{
	for (size_t i = 0; i < r->file_count; i++) {
		const config_setting_t *list =
		    conf_member(config_root_setting(&r->files[i].config), "listeners");

		for (int k = 0; list && config_setting_is_list(list) && k < config_setting_length(list);
		     k++) {
			const config_setting_t *item = config_setting_get_elem(list, (unsigned)k);
			const char *plain;

			if (config_setting_is_group(item) &&
			    config_setting_lookup_string(item, "plain", &plain) && strcmp(plain, name) == 0)
				return true;
		}
	}
	return false;
}

/* Whoever connects is the peer ${name}: only a program of this machine may, and only where a peer can be nobody else. */
static void
read_plain(struct conf_reader *r, const config_setting_t *setting, const struct config *c, const char *name,
    struct config_listener *listener)
{
	const char *what = conf_label(r, "listener", setting);
	const config_setting_t *at = conf_member(setting, "plain");
	const char **names = conf_alloc(r, c->peer_count, sizeof(*names));
	size_t found;

	if (!names)
		return;
	for (size_t i = 0; i < c->peer_count; i++)
		names[i] = c->peers[i].name;
	if (listener->protocol != PROTOCOL_MLLP)
		conf_error(
		    r, at, "%s: plain is for protocol \"mllp\"; the pull API is read over mutual TLS", what);
	if (listener->address && !conf_text_loopback(listener->address))
		conf_error(r, at,
		    "%s: plain at address \"%s\", which is not on the loopback; without TLS anybody could "
		    "send "
		    "there, meant is \"127.0.0.1\" or \"::1\"",
		    what, listener->address);
	found = conf_find(r, at, what, "peer", name, names, c->peer_count);
	if (found == c->peer_count)
		return;
	listener->plain = &c->peers[found];
	if (!listener->plain->may_send)
		conf_error(r, at, "%s: peer %s may not send; add \"send\" to its may", what, name);
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
		struct draft d = { 0 };

		conf_group(r, items[i], "listener", listener_keys, COUNT(listener_keys), &d);
		all[i] = d.listener;
		all[i].fingerprint = conf_fingerprint(items[i]);
		names[i] = all[i].name;
		if (d.plain)
			read_plain(r, items[i], c, d.plain, &all[i]);
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
