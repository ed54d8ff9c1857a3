/* SPDX-License-Identifier: Apache-2.0 */
/* Settings, their types and forms, and the errors about them: see the header. */
#include "broker/base/conf_reader.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "broker/base/conf_text.h"

#define TEXT_MAX  1024 /* one value: a long distinguished name has 500 bytes */
#define WORDS_MAX 64   /* keys of a group, words of a list, for hints */

const char *
conf_place(struct conf_reader *r, const config_setting_t *setting)
{
	const char *path = r->files[0].path;
	unsigned line = 1;
	char *place;
	size_t size;

	for (size_t i = 0; setting && i < r->file_count; i++)
		if (setting->config == &r->files[i].config)
			path = r->files[i].path;
	/* a root has line 0 */
	if (setting && config_setting_source_line(setting))
		line = config_setting_source_line(setting);
	size = strlen(path) + 16;
	place = conf_alloc(r, 1, size);
	if (!place)
		return path;
	(void)snprintf(place, size, "%s:%u", path, line);
	return place;
}

void
conf_error(struct conf_reader *r, const config_setting_t *setting, const char *format, ...)
{
	char text[2 * TEXT_MAX];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	/* a value may hold a line feed; an error is one line */
	for (char *at = text; *at; at++)
		if ((unsigned char)*at < 0x20 || *at == 0x7f)
			*at = '?';
	buffer_printf(r->errors, "%s: %s\n", conf_place(r, setting), text);
	r->invalid = true;
}

void *
conf_alloc(struct conf_reader *r, size_t count, size_t size)
{
	void *memory = arena_calloc(r->arena, count, size);

	if (!memory)
		r->error = -ENOMEM;
	return memory;
}

const char *
conf_copy(struct conf_reader *r, const char *text)
{
	char *copy = arena_str(r->arena, span_str(text));

	if (!copy)
		r->error = -ENOMEM;
	return copy;
}

const char *
conf_hint(struct conf_reader *r, const char *text, const char *const *words, size_t count)
{
	const char *word = conf_text_nearest(text, words, count);
	size_t size;
	char *hint;

	if (!word)
		return "";
	size = strlen(word) + 32;
	hint = conf_alloc(r, 1, size);
	if (!hint)
		return "";
	(void)snprintf(hint, size, "; did you mean \"%s\"?", word);
	return hint;
}

static const char *
type_name(const config_setting_t *setting)
{
	switch (config_setting_type(setting)) {
	case CONFIG_TYPE_GROUP:
		return "a group { }";
	case CONFIG_TYPE_LIST:
		return "a list ( )";
	case CONFIG_TYPE_ARRAY:
		return "an array [ ]";
	case CONFIG_TYPE_STRING:
		return "a text";
	case CONFIG_TYPE_BOOL:
		return "true or false";
	default:
		return "a number";
	}
}

/* What a value of each kind is, with an example. */
static const char *
kind_meant(enum conf_kind kind)
{
	static const char *const meant[] = {
		[CONF_TEXT] = "a text",
		[CONF_NAME] = "a short name of a-z, 0-9 and '-', at most 63 characters",
		[CONF_PATH] = "a path in quotes",
		[CONF_ADDRESS] = "an address in digits, such as \"127.0.0.1\" or \"::1\"",
		[CONF_HOST] = "the name of a host, or an address in digits",
		[CONF_NUMBER] = "a number",
		[CONF_PORT] = "a port from 0 to 65535, where 0 lets the system choose",
		[CONF_SIZE] = "a size such as \"64K\", \"16M\" or \"1G\"",
		[CONF_SECONDS] = "a time with its unit, such as \"90s\", \"10m\", \"2h\" or \"7d\"",
		[CONF_MILLISECONDS] = "a time with its unit, such as \"500ms\", \"10s\" or \"5m\"",
		[CONF_PERCENT] = "a share such as \"20%\"",
		[CONF_BOOL] = "true or false",
		[CONF_WORD] = "one of its words",
		[CONF_OTHER] = "something else",
	};

	return meant[kind];
}

/* Text forms that stand for a scaled number. */
static bool
parse_scaled(enum conf_kind kind, const char *text, uint64_t *value)
{
	unsigned percent = 0;
	bool good;

	switch (kind) {
	case CONF_SIZE:
		return conf_text_size(text, value);
	case CONF_MILLISECONDS:
		return conf_text_time(text, value);
	case CONF_SECONDS:
		good = conf_text_time(text, value) && *value % 1000 == 0;
		*value /= 1000;
		return good;
	case CONF_PERCENT:
		good = conf_text_percent(text, &percent);
		*value = percent;
		return good;
	default:
		return conf_text_number(text, UINT32_MAX, value);
	}
}

static void
store_number(const struct conf_key *key, void *field, uint64_t value)
{
	switch (key->kind) {
	case CONF_PORT:
		*(uint16_t *)field = (uint16_t)value;
		break;
	case CONF_NUMBER:
	case CONF_PERCENT:
		*(unsigned *)field = (unsigned)value;
		break;
	default:
		*(uint64_t *)field = value;
	}
}

/* A bound as it would be written. */
static void
write_bound(const struct conf_key *key, uint64_t value, char out[static 32])
{
	static const struct {
		const char *unit;
		uint64_t factor;
	} sizes[] = { { "G", 1 << 30 }, { "M", 1 << 20 }, { "K", 1 << 10 }, { "", 1 } },
	  times[] = { { "d", 86400000 }, { "h", 3600000 }, { "m", 60000 }, { "s", 1000 }, { "ms", 1 } };
	bool time = key->kind == CONF_SECONDS || key->kind == CONF_MILLISECONDS;
	size_t i = 0;

	if (key->kind == CONF_SECONDS)
		value *= 1000;
	if (time) {
		while (value % times[i].factor)
			i++;
		(void)snprintf(out, 32, "\"%" PRIu64 "%s\"", value / times[i].factor, times[i].unit);
	} else if (key->kind == CONF_SIZE) {
		while (value % sizes[i].factor)
			i++;
		(void)snprintf(out, 32, "\"%" PRIu64 "%s\"", value / sizes[i].factor, sizes[i].unit);
	} else {
		(void)snprintf(out, 32, "%" PRIu64, value);
	}
}

static void
check_bounds(struct conf_reader *r, const config_setting_t *setting, const char *what,
    const struct conf_key *key, uint64_t value)
{
	char low[32], high[32];

	if ((key->least == 0 && key->most == 0) || (value >= key->least && value <= key->most))
		return;
	write_bound(key, key->least, low);
	write_bound(key, key->most, high);
	conf_error(r, setting, "%s: %s must be from %s to %s", what, key->name, low, high);
}

static void
wrong_type(
    struct conf_reader *r, const config_setting_t *setting, const char *what, const struct conf_key *key)
{
	conf_error(r, setting, "%s: %s is %s; meant is %s", what, key->name, type_name(setting),
	    kind_meant(key->kind));
}

static void
put_number(struct conf_reader *r, const config_setting_t *setting, const char *what,
    const struct conf_key *key, void *field)
{
	uint64_t value;

	if (config_setting_is_number(setting)) {
		long long n = config_setting_get_int64(setting);
		bool bare = key->kind == CONF_NUMBER || key->kind == CONF_PORT || key->kind == CONF_SIZE;

		if (!bare || config_setting_type(setting) == CONFIG_TYPE_FLOAT || n < 0 ||
		    (key->kind != CONF_SIZE && n > UINT32_MAX) ||
		    (key->kind == CONF_PORT && n > UINT16_MAX)) {
			conf_error(r, setting, "%s: %s is not %s", what, key->name, kind_meant(key->kind));
			return;
		}
		value = (uint64_t)n;
	} else if (config_setting_type(setting) == CONFIG_TYPE_STRING && key->kind != CONF_NUMBER &&
		   key->kind != CONF_PORT) {
		const char *text = config_setting_get_string(setting);

		if (key->never && strcmp(text, "never") == 0) {
			store_number(key, field, 0);
			return;
		}
		if (!parse_scaled(key->kind, text, &value)) {
			conf_error(r, setting, "%s: %s = \"%s\" is not %s", what, key->name, text,
			    kind_meant(key->kind));
			return;
		}
	} else {
		wrong_type(r, setting, what, key);
		return;
	}
	check_bounds(r, setting, what, key, value);
	store_number(key, field, value);
}

static size_t
count_words(const char *const *words)
{
	size_t n = 0;

	while (words[n])
		n++;
	return n;
}

/* All ${words} as "a, b or c". */
static void
list_words(const char *const *words, char *out, size_t size)
{
	size_t n = count_words(words), len = 0;

	out[0] = '\0';
	for (size_t i = 0; i < n && len < size; i++)
		len += (size_t)snprintf(out + len, size - len, "%s\"%s\"",
		    i == 0	 ? ""
		    : i + 1 == n ? " or "
				 : ", ",
		    words[i]);
}

static void
put_word(struct conf_reader *r, const config_setting_t *setting, const char *what, const struct conf_key *key,
    const char *text, void *field)
{
	char all[256];

	for (int i = 0; key->words[i]; i++) {
		if (strcmp(key->words[i], text) == 0) {
			memcpy(field, &i, sizeof(i));
			return;
		}
	}
	list_words(key->words, all, sizeof(all));
	conf_error(r, setting, "%s: %s = \"%s\" is unknown; meant is %s", what, key->name, text, all);
}

/* ${text} behind the directory of the file that ${setting} stands in, unless it begins at the root. */
static const char *
resolve_path(struct conf_reader *r, const config_setting_t *setting, const char *text)
{
	const char *directory = r->files[0].directory;
	size_t size;
	char *path;

	if (text[0] == '/')
		return conf_copy(r, text);
	for (size_t i = 0; setting && i < r->file_count; i++)
		if (setting->config == &r->files[i].config)
			directory = r->files[i].directory;
	size = strlen(directory) + strlen(text) + 2;
	path = conf_alloc(r, 1, size);
	if (path)
		(void)snprintf(path, size, "%s/%s", directory, text);
	return path;
}

static void
put_text(struct conf_reader *r, const config_setting_t *setting, const char *what, const struct conf_key *key,
    const char *text, void *field)
{
	bool good = *text != '\0';

	if (key->never && !good) {
		*(const char **)field = NULL;
		return;
	}
	if (key->kind == CONF_NAME)
		good = conf_text_name(text);
	else if (key->kind == CONF_ADDRESS)
		good = conf_text_address(text);
	else if (key->kind == CONF_HOST)
		good = conf_text_host(text);
	if (!good) {
		conf_error(
		    r, setting, "%s: %s = \"%s\" is not %s", what, key->name, text, kind_meant(key->kind));
		return;
	}
	*(const char **)field = key->kind == CONF_PATH ? resolve_path(r, setting, text) : conf_copy(r, text);
}

static void
put(struct conf_reader *r, const config_setting_t *setting, const char *what, const struct conf_key *key,
    void *field)
{
	bool is_text = config_setting_type(setting) == CONFIG_TYPE_STRING;
	const char *text = is_text ? config_setting_get_string(setting) : NULL;

	switch (key->kind) {
	case CONF_OTHER:
		break;
	case CONF_BOOL:
		if (config_setting_type(setting) == CONFIG_TYPE_BOOL)
			*(bool *)field = config_setting_get_bool(setting) != 0;
		else
			wrong_type(r, setting, what, key);
		break;
	case CONF_TEXT:
	case CONF_NAME:
	case CONF_PATH:
	case CONF_ADDRESS:
	case CONF_HOST:
	case CONF_WORD:
		if (!is_text)
			wrong_type(r, setting, what, key);
		else if (strlen(text) > TEXT_MAX)
			conf_error(r, setting, "%s: %s is longer than %d bytes", what, key->name, TEXT_MAX);
		else if (key->kind == CONF_WORD)
			put_word(r, setting, what, key, text, field);
		else
			put_text(r, setting, what, key, text, field);
		break;
	default:
		put_number(r, setting, what, key, field);
	}
}

/* A default is read as a value would be: what is documented is what is done. */
static void
put_fallback(struct conf_reader *r, const struct conf_key *key, void *field)
{
	uint64_t value = 0;

	switch (key->kind) {
	case CONF_OTHER:
		break;
	case CONF_BOOL:
		*(bool *)field = strcmp(key->fallback, "true") == 0;
		break;
	case CONF_WORD:
		put_word(r, NULL, "default", key, key->fallback, field);
		break;
	case CONF_TEXT:
	case CONF_NAME:
	case CONF_PATH:
	case CONF_ADDRESS:
	case CONF_HOST:
		put_text(r, NULL, "default", key, key->fallback, field);
		break;
	default:
		(void)parse_scaled(key->kind, key->fallback, &value);
		store_number(key, field, value);
	}
}

static void
check_unknown(struct conf_reader *r, const config_setting_t *setting, const char *what,
    const char *const *names, size_t count)
{
	int length = config_setting_length(setting);

	for (int i = 0; i < length; i++) {
		const config_setting_t *member = config_setting_get_elem(setting, (unsigned)i);
		const char *name = config_setting_name(member);
		bool known = false;

		for (size_t k = 0; k < count; k++)
			known = known || strcmp(names[k], name) == 0;
		if (!known)
			conf_error(r, member, "%s%s\"%s\" is no setting%s", what, *what ? ": " : "", name,
			    conf_hint(r, name, names, count));
	}
}

void
conf_value(struct conf_reader *r, const config_setting_t *group, const config_setting_t *setting,
    const char *what, const struct conf_key *key, void *base)
{
	void *field = (char *)base + key->offset;

	if (key->fallback)
		put_fallback(r, key, field);
	if (setting)
		put(r, setting, what, key, field);
	else if (key->required)
		conf_error(
		    r, group, "%s: %s is missing; meant is %s", what, key->name, kind_meant(key->kind));
}

void
conf_group(struct conf_reader *r, const config_setting_t *setting, const char *what,
    const struct conf_key *keys, size_t count, void *base)
{
	const char *names[WORDS_MAX] = { NULL };

	if (setting && !config_setting_is_group(setting)) {
		conf_error(r, setting, "%s is %s; meant is a group { }", what, type_name(setting));
		setting = NULL;
	} else if (setting) {
		for (size_t i = 0; i < count; i++)
			names[i] = keys[i].name;
		check_unknown(r, setting, what, names, count);
	}
	for (size_t i = 0; i < count; i++)
		conf_value(
		    r, setting, setting ? conf_member(setting, keys[i].name) : NULL, what, &keys[i], base);
}

config_setting_t *
conf_member(const config_setting_t *setting, const char *name)
{
	return config_setting_get_member(setting, name);
}

config_setting_t *
conf_top(struct conf_reader *r, const char *name)
{
	config_setting_t *found = NULL;

	for (size_t i = 0; i < r->file_count; i++) {
		config_setting_t *here = conf_member(config_root_setting(&r->files[i].config), name);

		if (here && found)
			conf_error(r, here, "%s is already set at %s", name, conf_place(r, found));
		else if (here)
			found = here;
	}
	return found;
}

config_setting_t *
conf_first(struct conf_reader *r, const char *name)
{
	config_setting_t *found = NULL;

	for (size_t i = 0; i < r->file_count && !found; i++)
		found = conf_member(config_root_setting(&r->files[i].config), name);
	return found;
}

void
conf_check_top(struct conf_reader *r, const char *const *names, size_t count)
{
	for (size_t i = 0; i < r->file_count; i++)
		check_unknown(r, config_root_setting(&r->files[i].config), "", names, count);
}

size_t
conf_joined(struct conf_reader *r, const char *name, config_setting_t ***items)
{
	size_t count = 0, done = 0;

	for (size_t i = 0; i < r->file_count; i++) {
		config_setting_t *list = conf_member(config_root_setting(&r->files[i].config), name);

		if (list && !config_setting_is_list(list))
			conf_error(r, list, "%s is %s; meant is a list ( { }, { } )", name, type_name(list));
		else if (list)
			count += (size_t)config_setting_length(list);
	}
	*items = conf_alloc(r, count, sizeof(**items));
	if (!*items)
		return 0;
	for (size_t i = 0; i < r->file_count; i++) {
		config_setting_t *list = conf_member(config_root_setting(&r->files[i].config), name);

		if (!list || !config_setting_is_list(list))
			continue;
		for (int k = 0; k < config_setting_length(list); k++)
			(*items)[done++] = config_setting_get_elem(list, (unsigned)k);
	}
	return done;
}

const config_setting_t *
conf_element(const config_setting_t *setting, const char *name, size_t i)
{
	return config_setting_get_elem(conf_member(setting, name), (unsigned)i);
}

const char *const *
conf_texts(
    struct conf_reader *r, const config_setting_t *setting, const char *what, const char *name, size_t *count)
{
	const config_setting_t *list = conf_member(setting, name);
	const char **texts;

	*count = 0;
	if (!list)
		return NULL;
	if (!config_setting_is_array(list) && !config_setting_is_list(list)) {
		conf_error(r, list, "%s: %s is %s; meant is an array of texts, such as %s = [ \"%.40s\" ]",
		    what, name, type_name(list), name,
		    config_setting_type(list) == CONFIG_TYPE_STRING ? config_setting_get_string(list)
								    : "...");
		return NULL;
	}
	texts = conf_alloc(r, (size_t)config_setting_length(list), sizeof(*texts));
	if (!texts)
		return NULL;
	*count = (size_t)config_setting_length(list);
	for (size_t i = 0; i < *count; i++) {
		const config_setting_t *element = config_setting_get_elem(list, (unsigned)i);

		if (config_setting_type(element) != CONFIG_TYPE_STRING)
			conf_error(r, element, "%s: an element of %s is %s; meant is a text", what, name,
			    type_name(element));
		else if (strlen(config_setting_get_string(element)) > TEXT_MAX)
			conf_error(
			    r, element, "%s: an element of %s is longer than %d bytes", what, name, TEXT_MAX);
		else
			texts[i] = conf_copy(r, config_setting_get_string(element));
	}
	return texts;
}
