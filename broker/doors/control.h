/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control door: operators ask over a Unix socket, one JSON object a line each way. Protocol: conf/doc/control.md.
 *
 * The socket is 0660 and its group the configured one; who asks is known by socket credentials and must be root, the daemon's
 * own user or a member of that group. Metadata is free to them; content needs a reason, and the read is journalled before
 * a byte of it leaves. On the loop thread; what blocks goes to the workers.
 */
#pragma once

#include "broker/base/config.h"
#include "broker/core/core.h"
#include "broker/net/link.h"
#include "broker/net/loop.h"
#include "broker/net/peers.h"
#include "broker/net/seen.h"
#include "broker/net/sending.h"
#include "broker/net/tls.h"
#include "broker/store/journal.h"
#include "broker/store/workers.h"
#include "broker/views/trace.h"

struct control;

/*
 * ${result}: 0: the new configuration is in use and ${report} says what changed; positive: it was refused, the old one goes on, and
 * ${report} has one line per error, file and line in front; -errno. ${report} ends with the call.
 */
typedef void control_reloaded_fn(void *arg, int result, const struct buffer *report);

/* Everything must outlive the door, or be replaced by control_reconfigure. */
struct control_options {
	struct loop *loop;
	const struct config *config;
	const char *config_path; /* for `check` */
	struct workers *workers;
	struct journal *journal;
	struct core *core;
	struct peers *peers;
	struct trace *trace;
	struct tls_context *tls;	   /* whose certificate is ours */
	struct listener *const *listeners; /* open ones, for `status`; may be none */
	size_t listener_count;
	const struct sending *sending; /* NULL: nothing is dialled */
	struct seen *seen;	       /* certificates of those we dial; NULL: none */
	/* Load, check and switch the configuration, as ${who} asks; then ${done}, once. NULL: this daemon cannot. */
	void (*reload)(void *daemon, const char *who, control_reloaded_fn *done, void *arg);
	void *daemon;
};

/*
 * Make the socket at config->socket and listen. A socket that nobody answers on is replaced, another daemon's is -EADDRINUSE,
 * anything else in that place -EEXIST. -errno is logged with the path.
 */
int control_new(struct control **controlp, const struct control_options *options)
    __attribute__((warn_unused_result));

/*
 * Requests from now on are about ${config}, ${tls} and ${listeners} (${count} of them; as in the options); those under way end with what they began
 * with. The socket stays as it is. Takes a hold of its own on ${config}.
 */
void control_reconfigure(struct control *control, const struct config *config, struct tls_context *tls,
    struct listener *const *listeners, size_t count);

/* No new connections, nor new requests on those there are. */
void control_stop(struct control *control);

/* Requests being worked on. */
size_t control_busy(const struct control *control);

/*
 * Drop the connections, remove the socket, free. Workers and journal must be closed before: jobs and records under way belong to
 * requests of this door. NULL is harmless.
 */
void control_free(struct control *control);
