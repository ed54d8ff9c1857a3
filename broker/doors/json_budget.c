/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON library's allocations, charged to the thread that makes them. Each block is preceded by its size, so that freeing gives back.
 */
#include "broker/doors/json_budget.h"

#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define HEAD _Alignof(max_align_t)

static _Thread_local bool bounded;
static _Thread_local size_t left;

static void *
budget_malloc(size_t size)
{
	char *block;

	if (size > PTRDIFF_MAX || (bounded && size + HEAD > left))
		return NULL;
	block = malloc(size + HEAD);
	if (!block)
		return NULL;
	*(size_t *)(void *)block = size + HEAD;
	if (bounded)
		left -= size + HEAD;
	return block + HEAD;
}

static void
budget_free(void *ptr)
{
	char *block = ptr;

	if (!block)
		return;
	block -= HEAD;
	if (bounded)
		left += *(size_t *)(void *)block;
	free(block);
}

static void
install(void)
{
	json_set_alloc_funcs(budget_malloc, budget_free);
}

void
json_budget_install(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, install);
}

void
json_budget_begin(size_t bytes)
{
	bounded = true;
	left = bytes;
}

void
json_budget_end(void)
{
	bounded = false;
}
