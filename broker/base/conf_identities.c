/* SPDX-License-Identifier: Apache-2.0 */
/*
 * By which certificates a peer is known: issuer with subject or alternative name, or the digest of the key. Never a CN alone, and never one
 * identity for two peers.
 *
 * Two identities of different kinds may still meet in one certificate; that shows only when it is presented, and is refused there.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker/base/conf_parts.h"
#include "broker/base/conf_text.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

#define DN_COMMAND "openssl x509 -noout -subject -issuer -nameopt RFC2253"

struct identity_draft {
	const char *issuer;
	const char *subject;
	const char *san;
	const char *spki;
};

static const struct conf_key identity_keys[] = {
	{ "issuer", CONF_TEXT, offsetof(struct identity_draft, issuer) },
	{ "subject", CONF_TEXT, offsetof(struct identity_draft, subject) },
	{ "san", CONF_TEXT, offsetof(struct identity_draft, san) },
	{ "spki", CONF_TEXT, offsetof(struct identity_draft, spki) },
};

static void
check_dn(struct conf_reader *r, const config_setting_t *setting, const char *what, const char *key,
    const char *dn, size_t least)
{
	const config_setting_t *at = conf_member(setting, key);
	size_t rdns = 0;

	switch (conf_text_dn(dn, &rdns)) {
	case CONF_DN_PASTED:
		conf_error(r, at, "%s: %s begins with \"%.*s\"; leave that word out", what, key,
		    (int)strcspn(dn, "=") + 1, dn);
		break;
	case CONF_DN_FORM:
		conf_error(r, at,
		    "%s: %s is not in the form that `" DN_COMMAND "` prints: \"CN=...,O=...,C=FR\"", what,
		    key);
		break;
	case CONF_DN_GOOD:
		if (rdns < least)
			conf_error(r, at,
			    "%s: %s \"%s\" has one part; a CN alone identifies nobody, meant is the full "
			    "subject as `" DN_COMMAND "` prints it",
			    what, key, dn);
	}
}

/* dns names compare without case: kept in lower case. */
static const char *
read_san(struct conf_reader *r, const config_setting_t *setting, const char *what, const char *san)
{
	static const char *const kinds[] = { "dns:", "email:", "uri:" };

	for (size_t i = 0; i < COUNT(kinds); i++) {
		size_t len = strlen(kinds[i]);
		char *copy;

		if (strncmp(san, kinds[i], len) != 0 || san[len] == '\0')
			continue;
		copy = arena_str(r->arena, span_str(san));
		if (!copy)
			r->error = -ENOMEM;
		for (char *at = copy; i == 0 && at && *at; at++)
			if (*at >= 'A' && *at <= 'Z')
				*at = (char)(*at - 'A' + 'a');
		return copy;
	}
	conf_error(r, conf_member(setting, "san"),
	    "%s: san = \"%s\" is not \"dns:...\", \"email:...\" or \"uri:...\"", what, san);
	return NULL;
}

static void
read_identity(struct conf_reader *r, const config_setting_t *setting, const char *what,
    struct config_identity *identity)
{
	struct identity_draft d = { 0 };

	conf_group(r, setting, what, identity_keys, COUNT(identity_keys), &d);
	if (!config_setting_is_group(setting))
		return;
	if (!!d.subject + !!d.san + !!d.spki != 1 || (d.spki && d.issuer)) {
		conf_error(r, setting,
		    "%s: a certificate is { issuer; subject; }, { issuer; san; } or { spki; }, and only one "
		    "of them",
		    what);
		return;
	}
	*identity = (struct config_identity){ .issuer = d.issuer, .subject = d.subject };
	if (d.spki) {
		identity->kind = IDENTITY_SPKI;
		if (!conf_text_spki(d.spki, identity->spki))
			conf_error(r, conf_member(setting, "spki"),
			    "%s: spki is not \"sha256:\" and 64 hexadecimal digits", what);
		return;
	}
	if (d.issuer)
		check_dn(r, setting, what, "issuer", d.issuer, 1);
	else if (!conf_member(setting, "issuer"))
		conf_error(r, setting,
		    "%s: issuer is missing; a name identifies only together with the authority that gave it",
		    what);
	if (d.subject) {
		identity->kind = IDENTITY_SUBJECT;
		check_dn(r, setting, what, "subject", d.subject, 2);
		return;
	}
	identity->kind = IDENTITY_SAN;
	identity->subject = read_san(r, setting, what, d.san);
}

void
conf_read_identities(
    struct conf_reader *r, const config_setting_t *setting, const char *what, struct config_peer *peer)
{
	const config_setting_t *list = conf_member(setting, "certificates");
	struct config_identity *all;
	size_t count;

	if (!list && peer->name && conf_has_plain(r, peer->name))
		return;
	if (!list || !config_setting_is_list(list) || config_setting_length(list) == 0) {
		conf_error(r, list ? list : setting,
		    "%s: certificates is missing or no list; meant is ( { issuer = \"...\"; subject = "
		    "\"...\"; } )",
		    what);
		return;
	}
	count = (size_t)config_setting_length(list);
	all = conf_alloc(r, count, sizeof(*all));
	if (!all)
		return;
	for (size_t i = 0; i < count; i++)
		read_identity(r, config_setting_get_elem(list, (unsigned)i), what, &all[i]);
	peer->identities = all;
	peer->identity_count = count;
}

/* One identity and where it was read. */
struct claim {
	const struct config_identity *identity;
	const struct config_peer *peer;
	const config_setting_t *setting;
};

static int
compare_texts(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "");
}

static int
compare_identities(const struct config_identity *a, const struct config_identity *b)
{
	int order = (int)a->kind - (int)b->kind;

	if (order == 0 && a->kind == IDENTITY_SPKI)
		return memcmp(a->spki, b->spki, sizeof(a->spki));
	if (order == 0)
		order = compare_texts(a->issuer, b->issuer);
	return order ? order : compare_texts(a->subject, b->subject);
}

/* By identity, then as they stand in the files. */
static int
compare_claims(const void *a, const void *b)
{
	const struct claim *x = a, *y = b;
	int order = compare_identities(x->identity, y->identity);

	if (order)
		return order;
	return x->identity < y->identity ? -1 : x->identity > y->identity;
}

void
conf_check_identities(struct conf_reader *r, const struct config *c, config_setting_t *const *items)
{
	struct claim *claims;
	size_t count = 0, n = 0;

	for (size_t i = 0; i < c->peer_count; i++)
		count += c->peers[i].identity_count;
	claims = conf_alloc(r, count, sizeof(*claims));
	if (!claims)
		return;
	for (size_t i = 0; i < c->peer_count; i++) {
		for (size_t k = 0; k < c->peers[i].identity_count; k++) {
			const struct config_identity *identity = &c->peers[i].identities[k];

			/* what could not be read is told already */
			if (identity->kind != IDENTITY_SPKI && (!identity->subject || !identity->issuer))
				continue;
			claims[n++] = (struct claim){ identity, &c->peers[i],
				conf_element(items[i], "certificates", k) };
		}
	}
	qsort(claims, n, sizeof(*claims), compare_claims);
	for (size_t i = 1; i < n; i++)
		if (compare_identities(claims[i - 1].identity, claims[i].identity) == 0)
			conf_error(r, claims[i].setting,
			    "peer %s: the same certificate is peer %s at %s; one certificate is one peer",
			    claims[i].peer->name ? claims[i].peer->name : "?",
			    claims[i - 1].peer->name ? claims[i - 1].peer->name : "?",
			    conf_place(r, claims[i - 1].setting));
}
