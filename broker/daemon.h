/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One running broker: everything made in order, run, and taken down in reverse.
 */
#pragma once

#include "broker/base/config.h"
#include "codecs/buffer.h"

struct daemon;

/*
 * Take the lock, recover the journal, open every door. ${config} is held; ${config_path} must outlive the daemon. On failure what is wrong is
 * logged, appended to ${errors} where there are words for it, and -errno returned; nothing is left open.
 */
int daemon_new(struct daemon **daemonp, const struct config *config, const char *config_path,
    struct buffer *errors) __attribute__((warn_unused_result));

/* Serve until SIGTERM or SIGINT, then answer what is in flight, at most limits.stop_ms. SIGHUP opens the log file anew. */
int daemon_run(struct daemon *daemon) __attribute__((warn_unused_result));

/* NULL is harmless. */
void daemon_free(struct daemon *daemon);
