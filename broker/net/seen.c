/* SPDX-License-Identifier: Apache-2.0 */
/* A list by name: destinations are some dozens. Entries keep their address as long as they are listed. */
#include "broker/net/seen.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker/base/clock.h"

struct seen {
	struct seen_entry **at;
	size_t count;
};

int
seen_new(struct seen **seenp)
{
	*seenp = calloc(1, sizeof(**seenp));
	return *seenp ? 0 : -ENOMEM;
}

static void
entry_free(struct seen_entry *entry)
{
	if (!entry)
		return;
	free(entry->name);
	free(entry);
}

void
seen_free(struct seen *seen)
{
	if (!seen)
		return;
	for (size_t i = 0; i < seen->count; i++)
		entry_free(seen->at[i]);
	free(seen->at);
	free(seen);
}

static struct seen_entry *
find(const struct seen *seen, const char *name)
{
	for (size_t i = 0; i < seen->count; i++)
		if (strcmp(seen->at[i]->name, name) == 0)
			return seen->at[i];
	return NULL;
}

static struct seen_entry *
add(struct seen *seen, const char *name)
{
	struct seen_entry *entry = calloc(1, sizeof(*entry)), **more;

	if (!entry)
		return NULL;
	entry->name = strdup(name);
	more = entry->name ? realloc(seen->at, (seen->count + 1) * sizeof(struct seen_entry *)) : NULL;
	if (!more) {
		entry_free(entry);
		return NULL;
	}
	seen->at = more;
	seen->at[seen->count++] = entry;
	return entry;
}

void
seen_certificate(struct seen *seen, const char *name, X509 *certificate)
{
	struct seen_entry *entry = find(seen, name);

	if (!entry)
		entry = add(seen, name);
	if (!entry)
		return;
	entry->last_seen_us = clock_wall_us();
	tls_identity_read(&entry->last, certificate);
}

void
seen_reconfigure(struct seen *seen, const struct config *config)
{
	size_t kept = 0;

	for (size_t i = 0; i < seen->count; i++) {
		const struct config_destination *to = config_destination(config, seen->at[i]->name);

		if (to && to->kind == DESTINATION_MLLP)
			seen->at[kept++] = seen->at[i];
		else
			entry_free(seen->at[i]);
	}
	seen->count = kept;
}

const struct seen_entry *
seen_find(const struct seen *seen, const char *name)
{
	return find(seen, name);
}

size_t
seen_count(const struct seen *seen)
{
	return seen->count;
}

struct seen_entry *
seen_at(struct seen *seen, size_t index)
{
	return seen->at[index];
}
