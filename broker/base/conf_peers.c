/* SPDX-License-Identifier: Apache-2.0 */
/* Establishments and peers: who may connect, as whom, and what hangs on it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "broker/base/conf_parts.h"
#include "broker/base/conf_text.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static const char *const mode_words[] = { "production", "test", NULL };
static const char *const may_words[] = { "send", "read" };
static const char *const lenient_words[] = { "lf", "no-final-cr", "no-end-cr" };
static const char *const well_formed_words[] = { "warn", "refuse", "off", NULL };
static const char *const processing_words[] = { "P", "T", "D" };

/* What MSH-18 can say of one character set (HL7 table 0211), without those of Asia. */
static const char *const charsets[] = { "ASCII", "8859/1", "8859/2", "8859/3", "8859/4", "8859/5", "8859/6",
	"8859/7", "8859/8", "8859/9", "8859/15", "UNICODE", "UNICODE UTF-8" };

const char *
config_mode_name(enum config_mode mode)
{
	return mode_words[mode];
}

static const struct conf_key establishment_keys[] = {
	{ "name", CONF_NAME, offsetof(struct config_establishment, name), .required = true },
	{ "finess", CONF_OTHER },
	{ "mode", CONF_WORD, offsetof(struct config_establishment, mode), .required = true,
	    .words = mode_words },
};

static void
read_finess(
    struct conf_reader *r, const config_setting_t *setting, const char *what, struct config_establishment *e)
{
	e->finess = conf_texts(r, setting, what, "finess", &e->finess_count);
	for (size_t i = 0; i < e->finess_count; i++) {
		const config_setting_t *at = conf_element(setting, "finess", i);

		if (e->finess[i] && !conf_text_finess(e->finess[i]))
			conf_error(r, at,
			    "%s: finess \"%s\" is not a FINESS number; meant are 9 characters, digits but "
			    "for A or B in the "
			    "second place",
			    what, e->finess[i]);
		for (size_t k = 0; k < i; k++)
			if (e->finess[i] && e->finess[k] && strcmp(e->finess[i], e->finess[k]) == 0)
				conf_error(r, at, "%s: finess \"%s\" is there twice", what, e->finess[i]);
	}
}

void
conf_read_establishments(struct conf_reader *r, struct config *c)
{
	config_setting_t **items;
	size_t count = conf_joined(r, "establishments", &items);
	struct config_establishment *all = conf_alloc(r, count, sizeof(*all));
	const char **names = conf_alloc(r, count, sizeof(*names));

	if (!all || !names)
		return;
	for (size_t i = 0; i < count; i++) {
		const char *what = conf_label(r, "establishment", items[i]);

		conf_group(r, items[i], what, establishment_keys, COUNT(establishment_keys), &all[i]);
		if (config_setting_is_group(items[i]))
			read_finess(r, items[i], what, &all[i]);
		all[i].fingerprint = conf_fingerprint(items[i]);
		names[i] = all[i].name;
	}
	conf_check_name(r, "establishment", items, names, count);
	c->establishments = all;
	c->establishment_count = count;
}

/* What is read of a peer before it is resolved. */
struct draft {
	struct config_peer peer;
	const char *establishment;
};

static const struct conf_key peer_keys[] = {
	{ "name", CONF_NAME, offsetof(struct draft, peer.name), .required = true },
	{ "establishment", CONF_NAME, offsetof(struct draft, establishment), .required = true },
	{ "certificates", CONF_OTHER },
	{ "may", CONF_OTHER },
	{ "senders", CONF_OTHER },
	{ "types", CONF_OTHER },
	{ "processing", CONF_OTHER },
	{ "lenient", CONF_OTHER },
	{ "well_formed", CONF_WORD, offsetof(struct draft, peer.well_formed), .fallback = "warn",
	    .words = well_formed_words },
	{ "charset", CONF_TEXT, offsetof(struct draft, peer.charset) },
	{ "max_size", CONF_SIZE, offsetof(struct draft, peer.max_size), .fallback = "64M", .least = 1 << 10,
	    .most = 1 << 30 },
	{ "max_connections", CONF_NUMBER, offsetof(struct draft, peer.max_connections), .fallback = "16",
	    .least = 1, .most = 10000 },
	{ "max_in_flight", CONF_NUMBER, offsetof(struct draft, peer.max_in_flight), .fallback = "32",
	    .least = 1, .most = 10000 },
	{ "junk_quota", CONF_SIZE, offsetof(struct draft, peer.junk_quota), .fallback = "16M",
	    .least = 1 << 10, .most = 1 << 30 },
	{ "restamped", CONF_OTHER },
	{ "silent_after", CONF_SECONDS, offsetof(struct draft, peer.silent_after_s), .fallback = "never",
	    .never = true, .least = 1, .most = (uint64_t)366 * 24 * 3600 },
};

/* What was meant instead of ${text}: the nearest of ${words}, or all of them. */
static const char *
mask_hint(struct conf_reader *r, const char *text, const char *const *words, size_t word_count)
{
	const char *hint = conf_hint(r, text, words, word_count);
	char all[128] = "";
	size_t len = 0;

	if (!hint || hint[0])
		return hint;
	for (size_t i = 0; i < word_count && len < sizeof(all); i++) {
		int n =
		    snprintf(all + len, sizeof(all) - len, "%s\"%s\"", i ? ", " : "; there are ", words[i]);

		len += n > 0 ? (size_t)n : 0;
	}
	return conf_copy(r, all);
}

/* The words of an array as a mask, the ith word being bit i. */
static unsigned
read_mask(struct conf_reader *r, const config_setting_t *setting, const char *what, const char *name,
    const char *const *words, size_t word_count)
{
	size_t count;
	const char *const *texts = conf_texts(r, setting, what, name, &count);
	unsigned mask = 0;

	for (size_t i = 0; i < count; i++) {
		size_t w = 0;

		while (texts[i] && w < word_count && strcmp(words[w], texts[i]) != 0)
			w++;
		if (!texts[i])
			continue;
		if (w < word_count)
			mask |= 1U << w;
		else
			conf_error(r, conf_element(setting, name, i), "%s: %s has no \"%s\"%s", what, name,
			    texts[i], mask_hint(r, texts[i], words, word_count));
	}
	return mask;
}

static void
read_rights(
    struct conf_reader *r, const config_setting_t *setting, const char *what, struct config_peer *peer)
{
	unsigned may;

	if (!conf_member(setting, "may"))
		conf_error(
		    r, setting, "%s: may is missing; meant is [ \"send\" ], [ \"read\" ] or both", what);
	may = read_mask(r, setting, what, "may", may_words, COUNT(may_words));
	peer->may_send = (may & 1) != 0;
	peer->may_read = (may & 2) != 0;
	peer->lenient = read_mask(r, setting, what, "lenient", lenient_words, COUNT(lenient_words));
	if (conf_member(setting, "processing")) {
		peer->processing =
		    read_mask(r, setting, what, "processing", processing_words, COUNT(processing_words));
		if (!peer->processing && config_setting_length(conf_member(setting, "processing")) == 0)
			conf_error(r, conf_member(setting, "processing"),
			    "%s: processing is empty, which refuses every message; meant is [ \"P\" ], or "
			    "leave it out",
			    what);
	} else if (peer->establishment) {
		peer->processing = peer->establishment->mode == MODE_TEST
				       ? PROCESSING_P | PROCESSING_T | PROCESSING_D
				       : PROCESSING_P;
	}
}

/* NULL for "*", else a copy of the ${len} bytes. */
static const char *
part(struct conf_reader *r, const char *text, size_t len)
{
	const char *copy;

	if (len == 1 && text[0] == '*')
		return NULL;
	copy = arena_str(r->arena, span_make(text, len));
	if (!copy)
		r->error = -ENOMEM;
	return copy;
}

static void
read_senders(
    struct conf_reader *r, const config_setting_t *setting, const char *what, struct config_peer *peer)
{
	size_t count;
	const char *const *texts = conf_texts(r, setting, what, "senders", &count);
	struct config_sender *all = conf_alloc(r, count, sizeof(*all));

	if (!all)
		return;
	for (size_t i = 0; i < count; i++) {
		const char *bar = texts[i] ? strchr(texts[i], '|') : NULL;

		if (!texts[i])
			continue;
		if (!bar || strchr(bar + 1, '|')) {
			conf_error(r, conf_element(setting, "senders", i),
			    "%s: sender \"%s\" is not \"MSH-3|MSH-4\"; meant is such as \"LIS|CHU\" or "
			    "\"*|CHU\"",
			    what, texts[i]);
			continue;
		}
		all[i].application = part(r, texts[i], (size_t)(bar - texts[i]));
		all[i].facility = part(r, bar + 1, strlen(bar + 1));
	}
	peer->senders = all;
	peer->sender_count = count;
}

static bool
is_upper_or_digit(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* "ORU^R01", "MDM^*", "*" */
static bool
parse_type(struct conf_reader *r, const char *text, struct config_type *type)
{
	if (strcmp(text, "*") == 0)
		return true;
	for (int i = 0; i < 3; i++)
		if (!is_upper_or_digit(text[i]) || (i == 0 && text[0] <= '9'))
			return false;
	if (text[3] != '^')
		return false;
	type->type = part(r, text, 3);
	if (strcmp(text + 4, "*") == 0)
		return true;
	for (int i = 4; i < 7; i++)
		if (!is_upper_or_digit(text[i]))
			return false;
	type->event = part(r, text + 4, 3);
	return text[7] == '\0';
}

static void
read_types(struct conf_reader *r, const config_setting_t *setting, const char *what, struct config_peer *peer)
{
	size_t count;
	const char *const *texts = conf_texts(r, setting, what, "types", &count);
	struct config_type *all = conf_alloc(r, count, sizeof(*all));

	if (!all)
		return;
	for (size_t i = 0; i < count; i++)
		if (texts[i] && !parse_type(r, texts[i], &all[i]))
			conf_error(r, conf_element(setting, "types", i),
			    "%s: type \"%s\" is not a message type; meant is such as \"ORU^R01\", \"MDM^*\" "
			    "or \"*\"",
			    what, texts[i]);
	peer->types = all;
	peer->type_count = count;
}

/* The fields by which a message is known are never restamped. */
static bool
may_be_restamped(const char *path)
{
	static const char *const never[] = { "1", "2", "3", "4", "9", "10" };
	uint64_t n;

	if (strncmp(path, "MSH-", 4) != 0 || path[4] == '0' || !conf_text_number(path + 4, 25, &n))
		return false;
	for (size_t i = 0; i < COUNT(never); i++)
		if (strcmp(path + 4, never[i]) == 0)
			return false;
	return true;
}

static void
read_restamped(
    struct conf_reader *r, const config_setting_t *setting, const char *what, struct config_peer *peer)
{
	peer->restamped = conf_texts(r, setting, what, "restamped", &peer->restamped_count);
	for (size_t i = 0; i < peer->restamped_count; i++)
		if (peer->restamped[i] && !may_be_restamped(peer->restamped[i]))
			conf_error(r, conf_element(setting, "restamped", i),
			    "%s: \"%s\" cannot be left out of the comparison; meant is a field of MSH such "
			    "as \"MSH-7\", but not "
			    "1 to 4, 9 or 10",
			    what, peer->restamped[i]);
}

static void
check_charset(struct conf_reader *r, const config_setting_t *setting, const char *what, const char *charset)
{
	for (size_t i = 0; i < COUNT(charsets); i++)
		if (strcmp(charsets[i], charset) == 0)
			return;
	conf_error(r, conf_member(setting, "charset"),
	    "%s: charset = \"%s\" is none of HL7 table 0211 that is known here%s", what, charset,
	    conf_hint(r, charset, charsets, COUNT(charsets)));
}

static void
read_peer(struct conf_reader *r, const config_setting_t *setting, const struct config *c,
    const char *const *establishments, struct config_peer *peer)
{
	const char *what = conf_label(r, "peer", setting);
	struct draft d = { 0 };

	conf_group(r, setting, what, peer_keys, COUNT(peer_keys), &d);
	*peer = d.peer;
	if (!config_setting_is_group(setting))
		return;
	if (d.establishment) {
		size_t found = conf_find(r, conf_member(setting, "establishment"), what, "establishment",
		    d.establishment, establishments, c->establishment_count);

		if (found < c->establishment_count)
			peer->establishment = &c->establishments[found];
	}
	conf_read_identities(r, setting, what, peer);
	read_rights(r, setting, what, peer);
	read_senders(r, setting, what, peer);
	read_types(r, setting, what, peer);
	read_restamped(r, setting, what, peer);
	if (peer->charset)
		check_charset(r, setting, what, peer->charset);
}

void
conf_read_peers(struct conf_reader *r, struct config *c)
{
	config_setting_t **items;
	size_t count = conf_joined(r, "peers", &items);
	struct config_peer *all = conf_alloc(r, count, sizeof(*all));
	const char **names = conf_alloc(r, count, sizeof(*names));
	const char **establishments = conf_alloc(r, c->establishment_count, sizeof(*establishments));

	if (!all || !names || !establishments)
		return;
	for (size_t i = 0; i < c->establishment_count; i++)
		establishments[i] = c->establishments[i].name;
	for (size_t i = 0; i < count; i++) {
		read_peer(r, items[i], c, establishments, &all[i]);
		all[i].fingerprint = conf_fingerprint(items[i]);
		names[i] = all[i].name;
	}
	conf_check_name(r, "peer", items, names, count);
	c->peers = all;
	c->peer_count = count;
	conf_check_identities(r, c, items);
}
