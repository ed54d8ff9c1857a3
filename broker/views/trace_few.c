/* SPDX-License-Identifier: Apache-2.0 */
/* See trace_few.h: twice the room, sorted and cut whenever it is full. */
#include "broker/views/trace_few.h"

#include <errno.h>
#include <stdlib.h>

int
trace_few_init(struct trace_few *few, size_t max)
{
	*few = (struct trace_few){ .max = max, .pairs = calloc(2 * max, sizeof(*few->pairs)) };
	return few->pairs ? 0 : -ENOMEM;
}

void
trace_few_fini(struct trace_few *few)
{
	free(few->pairs);
	few->pairs = NULL;
}

void
trace_few_reset(struct trace_few *few)
{
	few->count = 0;
	few->cut = false;
}

static int
compare(const void *a, const void *b)
{
	const struct trace_pair *x = a, *y = b;

	if (x->major != y->major)
		return x->major < y->major ? -1 : 1;
	return (x->minor > y->minor) - (x->minor < y->minor);
}

void
trace_few_end(struct trace_few *few)
{
	size_t kept = 0;

	qsort(few->pairs, few->count, sizeof(*few->pairs), compare);
	for (size_t i = 0; i < few->count; i++)
		if (!kept || compare(&few->pairs[kept - 1], &few->pairs[i]) != 0)
			few->pairs[kept++] = few->pairs[i];
	few->cut = few->cut || kept > few->max;
	few->count = kept > few->max ? few->max : kept;
}

void
trace_few_add(struct trace_few *few, uint64_t major, uint64_t minor)
{
	if (few->count == 2 * few->max)
		trace_few_end(few);
	few->pairs[few->count++] = (struct trace_pair){ major, minor };
}
