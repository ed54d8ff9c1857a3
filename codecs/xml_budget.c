/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libxml2 has one set of allocation functions for the program; whose allocation it is, the thread tells. Each block is preceded by its size, so that
 * freeing gives back.
 */
#include "codecs/xml_budget.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <libxml/xmlmemory.h>

#define HEAD _Alignof(max_align_t)

static _Thread_local bool bounded;
static _Thread_local enum xml_budget_end ends;
static _Thread_local size_t left;

static size_t
size_of(const char *block)
{
	size_t size;

	memcpy(&size, block, sizeof(size));
	return size;
}

/* ${size} and its head in ${total}; false: past the budget, of which ${back} bytes come back. */
static bool
allow(size_t size, size_t back, size_t *total)
{
	*total = size + HEAD;
	if (size <= PTRDIFF_MAX - HEAD && (!bounded || *total <= left + back))
		return true;
	ends = XML_BUDGET_PASSED;
	return false;
}

static void *
finish(char *block, size_t total, size_t back)
{
	if (!block) {
		ends = XML_BUDGET_SHORT;
		return NULL;
	}
	memcpy(block, &total, sizeof(total));
	if (bounded)
		left = left + back - total;
	return block + HEAD;
}

static void *
budget_malloc(size_t size)
{
	size_t total;

	return allow(size, 0, &total) ? finish(malloc(total), total, 0) : NULL;
}

static void *
budget_realloc(void *ptr, size_t size)
{
	char *block = ptr ? (char *)ptr - HEAD : NULL;
	size_t back = block ? size_of(block) : 0, total;

	return allow(size, back, &total) ? finish(realloc(block, total), total, back) : NULL;
}

static void
budget_free(void *ptr)
{
	char *block = ptr;

	if (!block)
		return;
	block -= HEAD;
	if (bounded)
		left += size_of(block);
	free(block);
}

static char *
budget_strdup(const char *text)
{
	size_t size = strlen(text) + 1;
	char *copy = budget_malloc(size);

	return copy ? memcpy(copy, text, size) : NULL;
}

void
xml_budget_install(void)
{
	(void)xmlMemSetup(budget_free, budget_malloc, budget_realloc, budget_strdup);
}

void
xml_budget_begin(size_t bytes)
{
	bounded = true;
	ends = XML_BUDGET_KEPT;
	left = bytes;
}

enum xml_budget_end
xml_budget_end(void)
{
	bounded = false;
	return ends;
}
