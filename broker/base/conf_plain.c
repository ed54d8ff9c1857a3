/* SPDX-License-Identifier: Apache-2.0 */
/* The settings that stand once: directories, control, log, admin, TLS, journal, limits. Every default is in these tables and nowhere else. */
#include <sys/un.h>

#include "broker/base/conf_parts.h"
#include "broker/base/conf_text.h"
#include "broker/base/log.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

#define KIB ((uint64_t)1 << 10)
#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)

#define MINUTE ((uint64_t)60)
#define DAY    ((uint64_t)24 * 3600)

static const char *const log_words[] = { "debug", "info", "warning", "error", NULL };
static const char *const unrouted_words[] = { "park", "refuse", NULL };

static const struct conf_key top_keys[] = {
	{ "state", CONF_PATH, offsetof(struct config, state), .fallback = "/var/lib/liaison" },
	{ "unrouted", CONF_WORD, offsetof(struct config, unrouted), .fallback = "park",
	    .words = unrouted_words },
};

static const struct conf_key control_keys[] = {
	{ "socket", CONF_PATH, offsetof(struct config, socket), .fallback = "/run/liaison/control.sock" },
	{ "group", CONF_TEXT, offsetof(struct config, socket_group), .fallback = "liaison", .never = true },
};

static const struct conf_key log_keys[] = {
	{ "file", CONF_PATH, offsetof(struct config, log_file), .never = true },
	{ "level", CONF_WORD, offsetof(struct config, log_level), .fallback = "info", .words = log_words },
};

static const struct conf_key admin_keys[] = {
	{ "address", CONF_ADDRESS, offsetof(struct config, admin_address), .fallback = "127.0.0.1" },
	{ "port", CONF_PORT, offsetof(struct config, admin_port), .fallback = "9575" },
};

struct tls_draft {
	struct config_tls tls;
	int revocation; /* of revocation_words */
};

static const char *const revocation_words[] = { "checked", "unchecked", NULL };

static const struct conf_key tls_keys[] = {
	{ "certificate", CONF_PATH, offsetof(struct tls_draft, tls.certificate), .required = true },
	{ "key", CONF_PATH, offsetof(struct tls_draft, tls.key), .required = true },
	{ "authorities", CONF_PATH, offsetof(struct tls_draft, tls.authorities), .required = true },
	{ "crls", CONF_PATH, offsetof(struct tls_draft, tls.crls) },
	{ "revocation", CONF_WORD, offsetof(struct tls_draft, revocation), .fallback = "checked",
	    .words = revocation_words },
};

#define JOURNAL(name, kind, text, ...)                                                                       \
	{                                                                                                    \
#name, kind, offsetof(struct config_journal, name), .fallback = text, __VA_ARGS__            \
	}

static const struct conf_key journal_keys[] = {
	JOURNAL(segment_size, CONF_SIZE, "64M", .least = MIB, .most = 4 * GIB),
	{ "retention", CONF_SECONDS, offsetof(struct config_journal, retention_s), .fallback = "90d",
	    .never = true, .least = MINUTE, .most = 36500 * DAY },
	{ "duplicate_window", CONF_SECONDS, offsetof(struct config_journal, duplicate_window_s),
	    .fallback = "7d", .least = MINUTE, .most = 366 * DAY },
	JOURNAL(disk_floor, CONF_SIZE, "1G", .least = MIB, .most = 1024 * GIB),
	JOURNAL(reserve, CONF_SIZE, "16M", .least = MIB, .most = GIB),
	{ "seal_certificate", CONF_PATH, offsetof(struct config_journal, seal_certificate) },
	{ "seal_key", CONF_PATH, offsetof(struct config_journal, seal_key) },
};

#define LIMIT(name, kind, text, low, high)                                                                   \
	{                                                                                                    \
#name, kind, offsetof(struct config_limits, name), .fallback = text, .least = low,           \
								   .most = high                              \
	}
#define DEADLINE(name, text, low, high)                                                                      \
	{                                                                                                    \
#name, CONF_MILLISECONDS, offsetof(struct config_limits, name##_ms),                         \
		    .fallback = text, .least = (low)*1000, .most = (high)*1000                               \
	}

/* Times are milliseconds in the struct, seconds here. */
static const struct conf_key limit_keys[] = {
	LIMIT(connections, CONF_NUMBER, "1000", 1, 100000),
	LIMIT(workers, CONF_NUMBER, "4", 1, 64),
	LIMIT(large_slots, CONF_NUMBER, "8", 1, 1024),
	LIMIT(large_size, CONF_SIZE, "1M", 64 * KIB, 64 * MIB),
	LIMIT(large_rate, CONF_SIZE, "64K", KIB, GIB),
	LIMIT(memory, CONF_SIZE, "512M", 16 * MIB, 1024 * GIB),
	LIMIT(output_buffer, CONF_SIZE, "256K", 64 * KIB, 16 * MIB),
	DEADLINE(handshake, "10s", 1, 5 * MINUTE),
	DEADLINE(frame, "5m", 1, DAY),
	DEADLINE(head, "10s", 1, 5 * MINUTE),
	DEADLINE(body, "5m", 1, DAY),
	DEADLINE(idle, "1h", 1, 30 * DAY),
	DEADLINE(answer, "30s", 1, 10 * MINUTE),
	/* a service manager waits for 10 s and then kills */
	{ "stop", CONF_MILLISECONDS, offsetof(struct config_limits, stop_ms), .fallback = "8s", .least = 100,
	    .most = 9000 },
};

#undef JOURNAL
#undef LIMIT
#undef DEADLINE

static void
read_group(struct conf_reader *r, const char *name, const struct conf_key *keys, size_t count, void *base)
{
	conf_group(r, conf_top(r, name), name, keys, count, base);
}

static void
read_tls(struct conf_reader *r, struct config_tls *tls)
{
	struct tls_draft draft = { 0 };

	read_group(r, "tls", tls_keys, COUNT(tls_keys), &draft);
	*tls = draft.tls;
	tls->unchecked = draft.revocation == 1;
	if (tls->unchecked && tls->crls)
		conf_error(r, conf_member(conf_first(r, "tls"), "revocation"),
		    "tls: revocation = \"unchecked\" stands beside crls; meant is one of them");
}

void
conf_check_revocation(struct conf_reader *r, const struct config *c)
{
	if (c->tls.crls || c->tls.unchecked)
		return;
	for (size_t i = 0; i < c->establishment_count; i++) {
		const struct config_establishment *e = &c->establishments[i];

		if (e->mode != MODE_PRODUCTION || !e->name)
			continue;
		conf_error(r, conf_first(r, "tls"),
		    "tls: crls is missing, and establishment %s is in production: a revoked certificate "
		    "would "
		    "be taken; meant is crls = \"FILE\" with the revocation lists of every authority, or, to "
		    "run without them, revocation = \"unchecked\"",
		    e->name);
		return;
	}
}

void
conf_read_control(struct conf_reader *r, struct config *c)
{
	read_group(r, "control", control_keys, COUNT(control_keys), c);
	if (c->socket && strlen(c->socket) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		conf_error(r, conf_first(r, "control"),
		    "control: socket \"%s\" is longer than the %zu bytes a socket's path may have", c->socket,
		    sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
}

void
conf_read_plain(struct conf_reader *r, struct config *c)
{
	for (size_t i = 0; i < COUNT(top_keys); i++)
		conf_value(r, NULL, conf_top(r, top_keys[i].name), "top", &top_keys[i], c);
	conf_read_control(r, c);
	read_group(r, "log", log_keys, COUNT(log_keys), c);
	read_group(r, "admin", admin_keys, COUNT(admin_keys), c);
	read_tls(r, &c->tls);
	read_group(r, "journal", journal_keys, COUNT(journal_keys), &c->journal);
	if (!c->journal.seal_certificate != !c->journal.seal_key)
		conf_error(r, conf_first(r, "journal"),
		    "journal: %s is missing; meant are both seal_certificate and seal_key, or none",
		    c->journal.seal_key ? "seal_certificate" : "seal_key");
	read_group(r, "limits", limit_keys, COUNT(limit_keys), &c->limits);

	if (c->admin_address && !conf_text_loopback(c->admin_address))
		conf_error(r, conf_member(conf_first(r, "admin"), "address"),
		    "admin: address = \"%s\" is not on the loopback; metrics and health have no access "
		    "control, meant is "
		    "\"127.0.0.1\" or \"::1\"",
		    c->admin_address);
}
