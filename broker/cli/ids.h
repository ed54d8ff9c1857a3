/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ids an operator names on the command line: read, put into the journal's order, each once, and given to the broker in pages as large
 * as it takes.
 */
#pragma once

#include "broker/cli/cli.h"

struct ids {
	uint64_t *list;
	size_t count, given; /* given: by ids_page so far */
};

/* Read ${count} texts. False after complaining of the first that is no id; ids_fini is owed either way. */
bool ids_take(const struct cli *cli, struct ids *ids, char *const *texts, size_t count)
    __attribute__((warn_unused_result));
void ids_fini(struct ids *ids);

/* The next ids as an array, the caller's; NULL when all have been given (or without memory). */
json_t *ids_page(struct ids *ids);
