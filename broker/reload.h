/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another configuration for a running broker, whole or not at all.
 *
 * On a worker: load, check what the disk can tell, make the TLS contexts, compare. On the loop: open the sockets that are new, make what memory is
 * needed, and only then, when nothing can fail any more, switch every part in one turn of the loop; open links are judged afterwards. What
 * cannot be used is refused with its reasons, and the broker goes on as before. In flight keeps the configuration it began under.
 *
 * Links that stay good are not dropped: they follow new limits and keep their keys, the next connections have the new certificate. One reload at a
 * time; none while the broker stops. The operator's act is journalled before the switch. Events: `reloaded`, `reload-refused`.
 */
#pragma once

#include "broker/doors/control.h"

struct reload;

/* For control_options.reload; ${daemon} is a struct daemon. */
void daemon_reload(void *daemon, const char *who, control_reloaded_fn *done, void *arg);

/* One that was under way when the loop ended: nobody is told. NULL is harmless. */
void reload_free(struct reload *reload);
