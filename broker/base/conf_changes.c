/* SPDX-License-Identifier: Apache-2.0 */
/* One configuration beside another: what differs, and whether a running broker can follow. */
#include <string.h>

#include "broker/base/conf_reader.h"
#include "broker/base/config.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* FNV-1a, 64 bits: against slips, not against an adversary, who could write what he likes anyway. */
#define FNV_START UINT64_C(0xcbf29ce484222325)
#define FNV_PRIME UINT64_C(0x100000001b3)

static uint64_t
mix(uint64_t hash, const void *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		hash = (hash ^ ((const uint8_t *)bytes)[i]) * FNV_PRIME;
	return hash;
}

static uint64_t
mix_text(uint64_t hash, const char *text)
{
	return mix(hash, text ? text : "", text ? strlen(text) + 1 : 1);
}

static uint64_t
mix_setting(uint64_t hash, const config_setting_t *setting)
{
	int type = config_setting_type(setting);
	int64_t number = 0;

	hash = mix_text(mix(hash, &type, sizeof(type)), config_setting_name(setting));
	if (config_setting_is_aggregate(setting)) {
		for (int i = 0; i < config_setting_length(setting); i++)
			hash = mix_setting(hash, config_setting_get_elem(setting, (unsigned)i));
		return mix(hash, ")", 1);
	}
	if (type == CONFIG_TYPE_STRING)
		return mix_text(hash, config_setting_get_string(setting));
	number =
	    type == CONFIG_TYPE_BOOL ? config_setting_get_bool(setting) : config_setting_get_int64(setting);
	return mix(hash, &number, sizeof(number));
}

uint64_t
conf_fingerprint(const config_setting_t *setting)
{
	return mix_setting(FNV_START, setting);
}

/* A list of named things in either configuration, of any type that begins as struct named does. */
struct list {
	const void *items;
	size_t count, size, fingerprint_at;
};

static const char *
name_of(const struct list *list, size_t i)
{
	return *(const char *const *)((const char *)list->items + i * list->size);
}

static uint64_t
fingerprint_of(const struct list *list, size_t i)
{
	uint64_t fingerprint;

	memcpy(&fingerprint, (const char *)list->items + i * list->size + list->fingerprint_at,
	    sizeof(fingerprint));
	return fingerprint;
}

/* Where ${name} is in ${list}; its count when it is not there. Most are where they were: looked for from ${near} on. */
static size_t
find(const struct list *list, const char *name, size_t near)
{
	for (size_t i = 0; i < list->count; i++) {
		size_t at = (near + i) % list->count;

		if (strcmp(name_of(list, at), name) == 0)
			return at;
	}
	return list->count;
}

static unsigned
compare(const char *kind, const struct list *before, const struct list *after, struct buffer *report)
{
	unsigned changes = 0;

	for (size_t i = 0; i < after->count; i++) {
		const char *name = name_of(after, i);
		size_t was = find(before, name, i);
		const char *how = NULL;

		if (was == before->count)
			how = "added";
		else if (fingerprint_of(before, was) != fingerprint_of(after, i))
			how = "changed";
		if (!how)
			continue;
		buffer_printf(report, "%s %s: %s\n", kind, name, how);
		changes++;
	}
	for (size_t i = 0; i < before->count; i++) {
		if (find(after, name_of(before, i), i) < after->count)
			continue;
		buffer_printf(report, "%s %s: removed\n", kind, name_of(before, i));
		changes++;
	}
	return changes;
}

#define LIST(config, kind)                                                                                   \
	&(struct list)                                                                                       \
	{                                                                                                    \
		(config)->kind##s, (config)->kind##_count, sizeof(*(config)->kind##s),                       \
		    offsetof(struct config_##kind, fingerprint)                                              \
	}
#define COMPARE(kind) compare(#kind, LIST(before, kind), LIST(after, kind), report)

static bool
same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool
same_tls(const struct config_tls *a, const struct config_tls *b)
{
	return same_text(a->certificate, b->certificate) && same_text(a->key, b->key) &&
	       same_text(a->authorities, b->authorities) && same_text(a->crls, b->crls) &&
	       a->unchecked == b->unchecked;
}

/* But for how many workers there are: config_can_follow tells of them. */
static bool
same_limits(const struct config_limits *a, const struct config_limits *b)
{
	struct config_limits limits;

	memcpy(&limits, b, sizeof(limits));
	limits.workers = a->workers;
	return memcmp(a, &limits, sizeof(limits)) == 0;
}

/* What has no name of its own and a running broker follows. */
static void
compare_settings(const struct config *before, const struct config *after, struct buffer *report)
{
	const struct {
		const char *name;
		bool same;
	} settings[] = {
		{ "tls", same_tls(&before->tls, &after->tls) },
		{ "limits", same_limits(&before->limits, &after->limits) },
		{ "log.level", before->log_level == after->log_level },
		{ "journal.duplicate_window",
		    before->journal.duplicate_window_s == after->journal.duplicate_window_s },
		{ "journal.seal_certificate",
		    same_text(before->journal.seal_certificate, after->journal.seal_certificate) &&
			same_text(before->journal.seal_key, after->journal.seal_key) },
		{ "unrouted", before->unrouted == after->unrouted },
	};

	for (size_t i = 0; i < COUNT(settings); i++)
		if (!settings[i].same)
			buffer_printf(report, "%s: changed\n", settings[i].name);
}

void
config_compare(const struct config *before, const struct config *after, struct config_changes *changes,
    struct buffer *report)
{
	changes->establishments = COMPARE(establishment);
	changes->peers = COMPARE(peer);
	changes->listeners = COMPARE(listener);
	changes->destinations = COMPARE(destination);
	changes->routes = COMPARE(route);
	/* their order counts as well */
	for (size_t i = 0; changes->routes == 0 && i < after->route_count; i++) {
		if (strcmp(before->routes[i].name, after->routes[i].name) == 0)
			continue;
		buffer_append_str(report, "routes: in another order\n");
		changes->routes = 1;
	}
	compare_settings(before, after, report);
}

bool
config_can_follow(const struct config *before, const struct config *after, struct buffer *errors)
{
	const struct {
		const char *name;
		bool same;
	} fixed[] = {
		{ "state", same_text(before->state, after->state) },
		{ "control.socket", same_text(before->socket, after->socket) },
		{ "control.group", same_text(before->socket_group, after->socket_group) },
		{ "log.file", same_text(before->log_file, after->log_file) },
		{ "admin.address", same_text(before->admin_address, after->admin_address) },
		{ "admin.port", before->admin_port == after->admin_port },
		{ "journal.segment_size", before->journal.segment_size == after->journal.segment_size },
		{ "journal.retention", before->journal.retention_s == after->journal.retention_s },
		{ "journal.disk_floor", before->journal.disk_floor == after->journal.disk_floor },
		{ "journal.reserve", before->journal.reserve == after->journal.reserve },
		{ "limits.workers", before->limits.workers == after->limits.workers },
	};
	bool good = true;

	for (size_t i = 0; i < COUNT(fixed); i++) {
		if (fixed[i].same)
			continue;
		buffer_printf(
		    errors, "%s is read at start only: restart the broker to change it\n", fixed[i].name);
		good = false;
	}
	return good;
}
