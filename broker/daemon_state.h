/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of a running broker, shared by daemon.c (their life) and reload.c (another configuration for them). Nobody else includes this. */
#pragma once

#include "broker/base/budget.h"
#include "broker/core/core.h"
#include "broker/daemon.h"
#include "broker/doors/admin.h"
#include "broker/doors/control.h"
#include "broker/doors/slots.h"
#include "broker/entrances.h"
#include "broker/judge.h"
#include "broker/net/ends.h"
#include "broker/net/judge.h"
#include "broker/net/loop.h"
#include "broker/net/peers.h"
#include "broker/net/presence.h"
#include "broker/net/seen.h"
#include "broker/net/sending.h"
#include "broker/net/tls.h"
#include "broker/senders/senders.h"
#include "broker/store/journal.h"
#include "broker/store/workers.h"
#include "broker/views/trace.h"

struct reload;

struct daemon {
	const struct config *config; /* held; another after a reload */
	const char *config_path;
	int lock;
	struct tls_context *tls, *client; /* as who is dialled, and as who dials; others after a reload */
	struct loop *loop;
	struct workers *workers;
	struct peers *peers;
	struct presence *presence;
	struct core *core;
	struct journal *journal;
	struct judge *judge;
	struct trace *trace;
	struct slots slots;
	struct budget budget;
	struct senders *senders;
	struct sending sending;
	bool senders_idle;
	struct admin *admin;
	struct control *control;
	struct entrances *entrances;
	struct link_judge *link_judge;
	struct reload *reload; /* under way; NULL: none */
	struct loop_timer *tick, *watchdog, *stop, *memory;
	uint64_t watchdog_ms;
	uint64_t judge_us; /* when all links are judged again */
	struct seen *seen; /* certificates of destinations */
	struct ends ends;
	struct seal_key *seal; /* until the journal has it */
	bool stopping;
};

/* Judge every open link by what is in use now. */
void daemon_judge_links(struct daemon *daemon);
