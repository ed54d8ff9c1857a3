/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a route can lead: inboxes, which wait to be read, and destinations, which are dialled. Their names are one set: a route names either.
 */
#include <string.h>

#include "broker/base/conf_parts.h"
#include "broker/base/conf_text.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

#define SECOND ((uint64_t)1000)
#define HOUR   (3600 * SECOND)

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

/* The establishment that ${setting}, ${what} in errors, names ${name}; NULL and told when there is none. */
static const struct config_establishment *
find_establishment(struct conf_reader *r, const config_setting_t *setting, const char *what,
    const struct config *c, const struct names *names, const char *name)
{
	size_t found;

	if (!name)
		return NULL;
	found = conf_find(r, conf_member(setting, "establishment"), what, "establishment", name,
	    names->establishments, c->establishment_count);
	return found < c->establishment_count ? &c->establishments[found] : NULL;
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
	inbox->establishment = find_establishment(r, setting, "inbox", c, names, d.establishment);
	read_readers(r, setting, c, names, inbox);
}

static const char *const protocol_words[] = { "mllp", NULL };

struct dialled_draft {
	struct config_destination destination;
	const char *establishment;
	const char *address;
	int protocol; /* of protocol_words */
};

#define DIAL(name) offsetof(struct dialled_draft, destination.dial.name)

static const struct conf_key dialled_keys[] = {
	{ "name", CONF_NAME, offsetof(struct dialled_draft, destination.name), .required = true },
	{ "protocol", CONF_WORD, offsetof(struct dialled_draft, protocol), .required = true,
	    .words = protocol_words },
	{ "establishment", CONF_NAME, offsetof(struct dialled_draft, establishment), .required = true },
	{ "address", CONF_TEXT, offsetof(struct dialled_draft, address), .required = true },
	{ "server_name", CONF_HOST, DIAL(server_name) },
	{ "window", CONF_NUMBER, DIAL(window), .fallback = "1", .least = 1, .most = 256 },
	{ "connect", CONF_MILLISECONDS, DIAL(connect_ms), .fallback = "10s", .least = 100,
	    .most = HOUR / 12 },
	{ "acknowledgement", CONF_MILLISECONDS, DIAL(acknowledge_ms), .fallback = "30s", .least = 100,
	    .most = HOUR },
	{ "retry_first", CONF_MILLISECONDS, DIAL(retry_first_ms), .fallback = "1s", .least = 10,
	    .most = HOUR },
	{ "retry_longest", CONF_MILLISECONDS, DIAL(retry_longest_ms), .fallback = "5m", .least = 10,
	    .most = 24 * HOUR },
	{ "max_age", CONF_SECONDS, offsetof(struct dialled_draft, destination.max_age_s), .fallback = "7d",
	    .least = 60, .most = (uint64_t)3650 * 24 * 3600 },
	{ "max_size", CONF_PERCENT, offsetof(struct dialled_draft, destination.max_disk_percent),
	    .fallback = "20%", .least = 1, .most = 100 },
};

#undef DIAL

static void
read_address(struct conf_reader *r, const config_setting_t *setting, const char *what, const char *address,
    struct config_dial *dial)
{
	char *host = conf_alloc(r, 1, strlen(address) + 1);

	if (!host)
		return;
	if (conf_text_endpoint(address, host, &dial->port))
		dial->host = host;
	else
		conf_error(r, conf_member(setting, "address"),
		    "%s: address = \"%s\" is not \"host:port\"; meant is such as \"hl7.example.org:2576\", "
		    "\"192.0.2.1:2576\" or \"[2001:db8::1]:2576\"",
		    what, address);
	if (!dial->server_name)
		dial->server_name = dial->host;
}

static void
read_dialled(struct conf_reader *r, const config_setting_t *setting, const struct config *c,
    const struct names *names, struct config_destination *destination)
{
	const char *what = conf_label(r, "destination", setting);
	struct dialled_draft d = { .destination.kind = DESTINATION_MLLP };
	struct config_dial *dial = &destination->dial;

	conf_group(r, setting, what, dialled_keys, COUNT(dialled_keys), &d);
	*destination = d.destination;
	if (!config_setting_is_group(setting))
		return;
	destination->establishment = find_establishment(r, setting, what, c, names, d.establishment);
	if (d.address)
		read_address(r, setting, what, d.address, dial);
	if (dial->retry_longest_ms < dial->retry_first_ms)
		conf_error(r,
		    conf_member(
			setting, conf_member(setting, "retry_longest") ? "retry_longest" : "retry_first"),
		    "%s: retry_longest is shorter than retry_first", what);
}

/* Inboxes and dialled ones among each other; equal names of one kind are told by kind. */
static void
check_shared_names(struct conf_reader *r, config_setting_t *const *items, const char *const *names,
    size_t inboxes, size_t count)
{
	for (size_t i = inboxes; i < count; i++)
		for (size_t k = 0; k < inboxes && names[i]; k++)
			if (names[k] && strcmp(names[i], names[k]) == 0)
				conf_error(r, items[i],
				    "destination %s: an inbox has that name at %s; a route names either, so "
				    "that a name is one of them",
				    names[i], conf_place(r, items[k]));
}

void
conf_read_destinations(struct conf_reader *r, struct config *c)
{
	config_setting_t **inboxes, **dialled, **items;
	size_t inbox_count = conf_joined(r, "inboxes", &inboxes);
	size_t dialled_count = conf_joined(r, "destinations", &dialled);
	size_t count = inbox_count + dialled_count;
	struct config_destination *all = conf_alloc(r, count, sizeof(*all));
	const char **own = conf_alloc(r, count, sizeof(*own));
	struct names names = {
		.peers = conf_alloc(r, c->peer_count, sizeof(*names.peers)),
		.establishments = conf_alloc(r, c->establishment_count, sizeof(*names.establishments)),
	};

	items = conf_alloc(r, count, sizeof(*items));
	if (!all || !own || !names.peers || !names.establishments || !items)
		return;
	for (size_t i = 0; i < c->peer_count; i++)
		names.peers[i] = c->peers[i].name;
	for (size_t i = 0; i < c->establishment_count; i++)
		names.establishments[i] = c->establishments[i].name;
	for (size_t i = 0; i < count; i++) {
		items[i] = i < inbox_count ? inboxes[i] : dialled[i - inbox_count];
		if (i < inbox_count)
			read_inbox(r, items[i], c, &names, &all[i]);
		else
			read_dialled(r, items[i], c, &names, &all[i]);
		all[i].fingerprint = conf_fingerprint(items[i]);
		own[i] = all[i].name;
	}
	conf_check_name(r, "inbox", items, own, inbox_count);
	conf_check_name(r, "destination", items + inbox_count, own + inbox_count, dialled_count);
	check_shared_names(r, items, own, inbox_count, count);
	c->destinations = all;
	c->destination_count = count;
}

bool
config_dials(const struct config *config)
{
	for (size_t i = 0; i < config->destination_count; i++)
		if (config->destinations[i].kind == DESTINATION_MLLP)
			return true;
	return false;
}
