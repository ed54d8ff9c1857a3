/* SPDX-License-Identifier: Apache-2.0 */
/* What a listener and a dialler have in common: their list of links. See link_state.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker/net/link_state.h"

int
owner_init(struct link_owner *owner, struct loop *loop, const char *name)
{
	owner->loop = loop;
	owner->name = strdup(name);
	return owner->name ? 0 : -ENOMEM;
}

void
owner_fini(struct link_owner *owner)
{
	while (owner->links) {
		link_drop(owner->links, LINK_STOPPING);
		link_bury(owner->links);
	}
	free(owner->name);
}

void
owner_each(struct link_owner *owner, void (*each)(void *arg, struct link *link), void *arg)
{
	/* Nothing is freed meanwhile: links are buried by events of their own. */
	for (struct link *link = owner->links; link; link = link->next) {
		if (link->arg && link->state != LINK_CLOSED)
			each(arg, link);
	}
}
