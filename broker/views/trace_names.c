/* SPDX-License-Identifier: Apache-2.0 */
/* See trace_names.h. */
#include "broker/views/trace_names.h"

#include <stdlib.h>
#include <string.h>

#include "broker/store/bytes.h"
#include "broker/views/trace_row.h"
#include "codecs/digest.h"

struct trace_name {
	uint32_t hash;
	uint16_t next; /* of the same head; 0: none */
	uint16_t len;
	char text[];
};

static struct trace_name *
name_of(const struct trace_names *names, uint16_t id)
{
	return names->blocks[(id - 1) / TRACE_NAMES_BLOCK][(id - 1) % TRACE_NAMES_BLOCK];
}

void
trace_names_fini(struct trace_names *names)
{
	for (uint32_t i = 1; i <= names->count; i++)
		free(name_of(names, (uint16_t)i));
	for (size_t i = 0; i < sizeof(names->blocks) / sizeof(names->blocks[0]); i++)
		free(names->blocks[i]);
	memset(names, 0, sizeof(*names));
}

static uint16_t
add(struct trace_names *names, struct span text, uint32_t hash)
{
	uint32_t count = atomic_load_explicit(&names->count, memory_order_relaxed);
	struct trace_name ***block = &names->blocks[count / TRACE_NAMES_BLOCK], *name;
	uint16_t *head = &names->heads[hash % 256];

	if (count == TRACE_NAMES_MAX - 1 || text.len > TRACE_NAMES_SIZE - names->size)
		return TRACE_OTHER;
	if (!*block && !(*block = calloc(TRACE_NAMES_BLOCK, sizeof(struct trace_name *))))
		return TRACE_OTHER;
	name = malloc(sizeof(*name) + text.len + 1);
	if (!name)
		return TRACE_OTHER;
	*name = (struct trace_name){ .hash = hash, .next = *head, .len = (uint16_t)text.len };
	memcpy(name->text, text.ptr, text.len);
	name->text[text.len] = '\0';
	(*block)[count % TRACE_NAMES_BLOCK] = name;
	names->size += (uint32_t)text.len;
	*head = (uint16_t)(count + 1);
	atomic_store_explicit(&names->count, count + 1, memory_order_release);
	return *head;
}

uint16_t
trace_names_put(struct trace_names *names, struct span text)
{
	uint32_t hash;

	if (!text.len)
		return 0;
	if (text.len > UINT16_MAX)
		return TRACE_OTHER;
	hash = digest_crc32c(0, text);
	for (uint16_t id = names->heads[hash % 256]; id;) {
		const struct trace_name *name = name_of(names, id);

		if (name->hash == hash && name->len == text.len &&
		    memcmp(name->text, text.ptr, text.len) == 0)
			return id;
		id = name->next;
	}
	return add(names, text, hash);
}

const char *
trace_names_text(const struct trace_names *names, uint16_t id)
{
	if (!id)
		return "";
	return id <= names->count ? name_of(names, id)->text : NULL;
}

void
trace_names_encode(const struct trace_names *names, struct buffer *out)
{
	for (uint32_t i = 1; i <= names->count; i++) {
		const struct trace_name *name = name_of(names, (uint16_t)i);
		uint8_t len[2];

		bytes_put16(len, name->len);
		buffer_append(out, len, sizeof(len));
		buffer_append(out, name->text, name->len);
	}
}

bool
trace_names_decode(struct trace_names *names, struct span bytes)
{
	while (bytes.len) {
		uint32_t before = names->count;
		size_t len;

		if (bytes.len < 2 || (len = bytes_get16(bytes.ptr)) > bytes.len - 2)
			return false;
		(void)trace_names_put(names, span_make(bytes.ptr + 2, len));
		if (names->count == before)
			return false;
		bytes = span_cut(bytes, 2 + len, bytes.len);
	}
	return true;
}

bool
trace_names_has(const char *list, const char *name)
{
	size_t len = strlen(name);

	for (const char *at = list; (at = strstr(at, name)) != NULL; at += len ? len : 1)
		if ((at == list || at[-1] == ',') && (at[len] == ',' || at[len] == '\0'))
			return true;
	return false;
}

uint16_t
trace_names_find(const struct trace_names *names, const char *text)
{
	uint32_t count = atomic_load_explicit(&names->count, memory_order_acquire);

	if (!text[0])
		return 0;
	for (uint32_t id = 1; id <= count; id++)
		if (strcmp(name_of(names, (uint16_t)id)->text, text) == 0)
			return (uint16_t)id;
	return TRACE_OTHER;
}
