/* SPDX-License-Identifier: Apache-2.0 */
/* Names that must be there once, and names that must be there: see conf_parts.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/base/conf_parts.h"
#include "broker/base/conf_text.h"

const char *
conf_label(struct conf_reader *r, const char *kind, const config_setting_t *setting)
{
	const char *name = NULL;
	size_t size;
	char *text;

	if (config_setting_is_group(setting))
		(void)config_setting_lookup_string(setting, "name", &name);
	if (!name || !conf_text_name(name))
		return kind;
	size = strlen(kind) + strlen(name) + 2;
	text = conf_alloc(r, 1, size);
	if (!text)
		return kind;
	(void)snprintf(text, size, "%s %s", kind, name);
	return text;
}

/* One of a pair of equal names, in the order they were read. */
struct named {
	const char *name;
	const config_setting_t *setting;
	size_t place;
};

static int
compare_named(const void *a, const void *b)
{
	const struct named *x = a, *y = b;
	int order = strcmp(x->name, y->name);

	if (order)
		return order;
	return x->place < y->place ? -1 : x->place > y->place;
}

void
conf_check_name(struct conf_reader *r, const char *kind, config_setting_t *const *items,
    const char *const *names, size_t count)
{
	struct named *all = conf_alloc(r, count, sizeof(*all));
	size_t n = 0;

	if (!all)
		return;
	for (size_t i = 0; i < count; i++)
		if (names[i])
			all[n++] = (struct named){ names[i], items[i], i };
	qsort(all, n, sizeof(*all), compare_named);
	for (size_t i = 1; i < n; i++)
		if (strcmp(all[i - 1].name, all[i].name) == 0)
			conf_error(r, all[i].setting, "%s %s is already defined at %s", kind, all[i].name,
			    conf_place(r, all[i - 1].setting));
}

size_t
conf_find(struct conf_reader *r, const config_setting_t *setting, const char *what, const char *kind,
    const char *name, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (names[i] && strcmp(names[i], name) == 0)
			return i;
	conf_error(
	    r, setting, "%s: there is no %s \"%s\"%s", what, kind, name, conf_hint(r, name, names, count));
	return count;
}
