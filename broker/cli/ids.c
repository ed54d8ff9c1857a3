/* SPDX-License-Identifier: Apache-2.0 */
/* Ids of the command line: see ids.h. */
#include "broker/cli/ids.h"

#include <stdlib.h>

#define PAGE 1000 /* what the control socket takes in one line */

static int
by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

bool
ids_take(const struct cli *cli, struct ids *ids, char *const *texts, size_t count)
{
	size_t kept = 0;

	*ids = (struct ids){ .list = calloc(count ? count : 1, sizeof(*ids->list)) };
	if (!ids->list) {
		cli_fail(cli, 0, "not enough memory for so many ids");
		return false;
	}
	for (size_t i = 0; i < count; i++)
		if (!cli_id(cli, texts[i], &ids->list[i]))
			return false;
	qsort(ids->list, count, sizeof(*ids->list), by_number);
	for (size_t i = 0; i < count; i++)
		if (!kept || ids->list[i] != ids->list[kept - 1])
			ids->list[kept++] = ids->list[i];
	ids->count = kept;
	return true;
}

void
ids_fini(struct ids *ids)
{
	free(ids->list);
	*ids = (struct ids){ 0 };
}

json_t *
ids_page(struct ids *ids)
{
	json_t *page = ids->given < ids->count ? json_array() : NULL;

	for (size_t i = 0; page && i < PAGE && ids->given < ids->count; i++)
		json_array_append_new(page, json_integer((json_int_t)ids->list[ids->given++]));
	return page;
}
