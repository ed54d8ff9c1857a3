/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of a broker and their order. Data flows one way (doors, content, core, journal, views), so they are made from the journal
 * outwards, doors last, and end in reverse. Nothing is decided here.
 */
#include "broker/daemon.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>

#include "broker/base/budget.h"
#include "broker/base/clock.h"
#include "broker/base/log.h"
#include "broker/base/metrics.h"
#include "broker/core/core.h"
#include "broker/doors/admin.h"
#include "broker/doors/control.h"
#include "broker/doors/door.h"
#include "broker/doors/mllp.h"
#include "broker/doors/pull.h"
#include "broker/doors/slots.h"
#include "broker/judge.h"
#include "broker/net/ends.h"
#include "broker/net/link.h"
#include "broker/net/loop.h"
#include "broker/net/peers.h"
#include "broker/net/presence.h"
#include "broker/net/tls.h"
#include "broker/senders/senders.h"
#include "broker/store/journal.h"
#include "broker/store/lock.h"
#include "broker/store/workers.h"
#include "broker/views/trace.h"

#define TICK_MS	     1000u
#define WORKER_QUEUE 1024u

/* A listener and the door behind it. */
struct entrance {
	struct daemon *daemon;
	struct listener *listener;
	struct mllp_door *mllp;
	struct pull_door *pull;
	bool idle;
};

struct daemon {
	const struct config *config;
	int lock;
	struct tls_context *tls, *client; /* as who is dialled, and as who dials */
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
	struct entrance *entrances;
	struct listener **listeners;
	struct loop_timer *tick, *watchdog, *stop, *memory;
	uint64_t watchdog_ms;
	struct ends ends;
	bool stopping;
};

/* Why there will be no daemon: to the log, and to whoever started it. ${error} positive: the sentence says it all. */
static void
tell_failure(struct buffer *errors, const char *place, const char *what, int error)
{
	struct log_line line;

	buffer_printf(
	    errors, "%s: %s%s%s\n", place, what, error < 0 ? ": " : "", error < 0 ? strerror(-error) : "");
	log_begin(&line, EVENT_FATAL);
	log_text(&line, "why", what);
	if (error < 0)
		log_errno(&line, error);
	log_commit(&line);
}

/* For the lines that tell of ${destination}. */
static void
count_queued(void *arg, const char *destination, uint64_t *waiting, uint64_t *oldest_s)
{
	const struct daemon *daemon = arg;
	size_t number = core_number(daemon->core, destination);
	uint64_t now_us = journal_now(daemon->journal), oldest_us = core_oldest_us(daemon->core, number);

	*waiting = core_waiting_count(daemon->core, number);
	if (oldest_us && oldest_us < now_us)
		*oldest_s = (now_us - oldest_us) / 1000000;
}

/*
 * Every second.
 */
static void
tick(void *arg)
{
	struct daemon *daemon = arg;

	core_expire(daemon->core);
	presence_tick(daemon->presence);
	ends_tell(&daemon->ends, daemon->tls, daemon->peers, NULL, (int64_t)(clock_wall_us() / 1000000));
	loop_timer_arm(daemon->tick, TICK_MS);
}

/* Somebody who waits for memory may go on: in the next turn of the loop. */
static void
memory_soon(void *arg)
{
	loop_timer_arm(((struct daemon *)arg)->memory, 0);
}

static void
memory_turn(void *arg)
{
	budget_wake(&((struct daemon *)arg)->budget);
}

static void
watchdog(void *arg)
{
	struct daemon *daemon = arg;

	(void)sd_notify(0, "WATCHDOG=1");
	loop_timer_arm(daemon->watchdog, daemon->watchdog_ms);
}

/*
 * Stopping: no new connections, what is in flight is answered, then the loop ends.
 */
static void
end_when_idle(struct daemon *daemon)
{
	if (!daemon->stopping || !daemon->senders_idle || core_in_flight(daemon->core) ||
	    control_busy(daemon->control))
		return;
	for (size_t i = 0; i < daemon->config->listener_count; i++)
		if (!daemon->entrances[i].idle)
			return;
	loop_stop(daemon->loop);
}

static void
entrance_idle(void *arg)
{
	struct entrance *entrance = arg;

	entrance->idle = true;
	end_when_idle(entrance->daemon);
}

static void
senders_are_idle(void *arg)
{
	struct daemon *daemon = arg;

	daemon->senders_idle = true;
	end_when_idle(daemon);
}

static void
stop_deadline(void *arg)
{
	loop_stop(((struct daemon *)arg)->loop);
}

static void
stop_check(void *arg)
{
	struct daemon *daemon = arg;

	end_when_idle(daemon);
	loop_timer_arm(daemon->tick, 50);
}

static void
stop(void *arg)
{
	struct daemon *daemon = arg;
	struct log_line line;

	if (daemon->stopping)
		return;
	daemon->stopping = true;
	log_begin(&line, EVENT_STOPPING);
	log_u64(&line, "in_flight", core_in_flight(daemon->core));
	log_commit(&line);
	(void)sd_notify(0, "STOPPING=1");
	core_stop(daemon->core);
	journal_hurry(daemon->journal);
	control_stop(daemon->control);
	for (size_t i = 0; i < daemon->config->listener_count; i++) {
		struct entrance *entrance = &daemon->entrances[i];

		listener_stop(entrance->listener);
		if (entrance->mllp)
			mllp_door_stop(entrance->mllp, entrance_idle, entrance);
		else
			pull_door_stop(entrance->pull, entrance_idle, entrance);
	}
	senders_stop(daemon->senders, senders_are_idle, daemon);
	loop_timer_arm(daemon->stop, daemon->config->limits.stop_ms);
	/* Links end by callback; decisions and control requests without a link are asked about. */
	loop_timer_free(daemon->tick);
	daemon->tick = loop_timer_new(daemon->loop, stop_check, daemon);
	if (daemon->tick)
		loop_timer_arm(daemon->tick, 0);
}

static void
reopen_log(void *arg)
{
	(void)arg;
	log_reopen();
}

/*
 * Making the parts.
 */
static int
open_store(struct daemon *daemon, struct buffer *errors)
{
	const struct config *config = daemon->config;
	struct journal_options options = {
		.directory = config->state,
		.segment_size = config->journal.segment_size,
		.reserve = config->journal.reserve,
		.disk_floor = config->journal.disk_floor,
		.retention_us = config->journal.retention_s * 1000000,
		.poster = loop_poster(daemon->loop),
	};
	int r;

	r = core_new(&daemon->core, config);
	if (r == 0)
		r = journal_open(&daemon->journal, &options, core_replay, daemon->core);
	if (r) {
		tell_failure(errors, config->state,
		    r == JOURNAL_FORMAT
			? "the journal is of another format version, or of another journal: the log names "
			  "the segment"
			: "the journal cannot be opened",
		    r);
		return r < 0 ? r : -EPROTO;
	}
	r = core_start(daemon->core, daemon->journal, daemon->workers);
	if (r == 0)
		r = trace_open(&daemon->trace, config->state, daemon->journal);
	if (r == 0)
		r = judge_new(&daemon->judge, daemon->core, loop_poster(daemon->loop));
	if (r == 0 && config->journal.retention_s)
		r = journal_start_retention(daemon->journal, judge_records, daemon->judge);
	if (r)
		tell_failure(errors, config->state, "the state could not be set up", r);
	return r;
}

static int
open_entrance(struct daemon *daemon, size_t index, const struct door_context *context)
{
	const struct config_listener *listener = &daemon->config->listeners[index];
	struct entrance *entrance = &daemon->entrances[index];
	struct listener_options options = {
		.loop = daemon->loop,
		.config = daemon->config,
		.listener = listener,
		.tls = daemon->tls,
		.peers = daemon->peers,
	};
	int r;

	entrance->daemon = daemon;
	if (listener->protocol == PROTOCOL_MLLP) {
		r = mllp_door_new(&entrance->mllp, context, listener->name);
		options.handler = &mllp_handler;
		options.door = entrance->mllp;
	} else {
		r = pull_door_new(&entrance->pull, context, listener->name);
		options.handler = &pull_handler;
		options.door = entrance->pull;
	}
	if (r == 0)
		r = listener_new(&entrance->listener, &options);
	if (r)
		return r;
	daemon->listeners[index] = entrance->listener;
	return 0;
}

static int
open_senders(struct daemon *daemon, struct buffer *errors)
{
	const struct senders_options options = {
		.loop = daemon->loop,
		.workers = daemon->workers,
		.config = daemon->config,
		.core = daemon->core,
		.journal = daemon->journal,
		.tls = daemon->client,
		.presence = daemon->presence,
	};
	int r = senders_new(&daemon->senders, &options);

	if (r)
		tell_failure(errors, daemon->config->state, "the senders could not be set up", r);
	else
		daemon->sending = senders_sending(daemon->senders);
	return r;
}

static int
open_doors(struct daemon *daemon, const char *config_path, struct buffer *errors)
{
	const struct config *config = daemon->config;
	struct door_context context = {
		.loop = daemon->loop,
		.config = config,
		.core = daemon->core,
		.journal = daemon->journal,
		.workers = daemon->workers,
		.peers = daemon->peers,
		.presence = daemon->presence,
		.slots = &daemon->slots,
		.budget = &daemon->budget,
	};
	struct control_options control = {
		.loop = daemon->loop,
		.config = config,
		.config_path = config_path,
		.workers = daemon->workers,
		.journal = daemon->journal,
		.core = daemon->core,
		.peers = daemon->peers,
		.trace = daemon->trace,
		.tls = daemon->tls,
		.listeners = daemon->listeners,
		.listener_count = config->listener_count,
		.sending = &daemon->sending,
	};
	int r = 0;

	slots_init(&daemon->slots, config->limits.large_slots);
	budget_init(&daemon->budget, config->limits.memory, memory_soon, daemon);
	for (size_t i = 0; i < config->listener_count && r == 0; i++)
		r = open_entrance(daemon, i, &context);
	if (r == 0)
		r = control_new(&daemon->control, &control);
	if (r == 0 && config->admin_port)
		r = admin_new(&daemon->admin, &context, config->admin_address, config->admin_port);
	if (r)
		tell_failure(errors, config_path, "a door could not be opened", r);
	return r;
}

static int
open_timers(struct daemon *daemon)
{
	uint64_t watchdog_us = 0;
	int r;

	daemon->tick = loop_timer_new(daemon->loop, tick, daemon);
	daemon->stop = loop_timer_new(daemon->loop, stop_deadline, daemon);
	daemon->memory = loop_timer_new(daemon->loop, memory_turn, daemon);
	daemon->watchdog = loop_timer_new(daemon->loop, watchdog, daemon);
	if (!daemon->tick || !daemon->stop || !daemon->watchdog || !daemon->memory)
		return -ENOMEM;
	loop_timer_arm(daemon->tick, 0);
	if (sd_watchdog_enabled(0, &watchdog_us) > 0) {
		daemon->watchdog_ms = watchdog_us / 2000;
		loop_timer_arm(daemon->watchdog, daemon->watchdog_ms);
	}
	r = loop_signal(daemon->loop, SIGTERM, stop, daemon);
	if (r == 0)
		r = loop_signal(daemon->loop, SIGINT, stop, daemon);
	if (r == 0)
		r = loop_signal(daemon->loop, SIGHUP, reopen_log, daemon);
	return r;
}

static int
open_presence(struct daemon *daemon)
{
	const struct presence_options options = {
		.peers = daemon->peers,
		.queued = count_queued,
		.arg = daemon,
	};

	return presence_new(&daemon->presence, &options);
}

static int
open_all(struct daemon *daemon, const char *config_path, struct buffer *errors)
{
	const struct config *config = daemon->config;
	int r;

	if (mkdir(config->state, 0700) && errno != EEXIST)
		r = -errno;
	else
		r = lock_take(config->state, &daemon->lock);
	if (r) {
		buffer_printf(errors, "%s: the state directory cannot be locked: %s\n", config->state,
		    r == LOCK_HELD ? "another liaisond uses it" : strerror(-r));
		return r < 0 ? r : -EBUSY;
	}
	r = tls_server_new(&daemon->tls, &config->tls, errors);
	if (r == 0)
		r = tls_client_new(&daemon->client, &config->tls, errors);
	if (r)
		return r < 0 ? r : -EINVAL;
	r = loop_new(&daemon->loop);
	if (r == 0)
		r = workers_new(
		    &daemon->workers, config->limits.workers, WORKER_QUEUE, loop_poster(daemon->loop));
	if (r == 0)
		r = peers_new(&daemon->peers, config);
	if (r == 0)
		r = open_presence(daemon);
	if (r == 0)
		r = open_store(daemon, errors);
	if (r == 0)
		r = open_senders(daemon, errors);
	if (r == 0)
		r = open_doors(daemon, config_path, errors);
	return r == 0 ? open_timers(daemon) : r;
}

int
daemon_new(
    struct daemon **daemonp, const struct config *config, const char *config_path, struct buffer *errors)
{
	struct daemon *daemon = calloc(1, sizeof(*daemon));
	int r = -ENOMEM;

	if (!daemon)
		return r;
	daemon->config = config;
	daemon->lock = -1;
	daemon->entrances = calloc(config->listener_count + 1, sizeof(*daemon->entrances));
	daemon->listeners = calloc(config->listener_count + 1, sizeof(struct listener *));
	if (daemon->entrances && daemon->listeners)
		r = open_all(daemon, config_path, errors);
	if (r) {
		daemon_free(daemon);
		return r;
	}
	*daemonp = daemon;
	return 0;
}

int
daemon_run(struct daemon *daemon)
{
	struct log_line line;
	int r;

	metric_set(metric_series(METRIC_UP, NULL), 1);
	log_begin(&line, EVENT_READY);
	log_u64(&line, "listeners", daemon->config->listener_count);
	log_u64(&line, "peers", daemon->config->peer_count);
	log_u64(&line, "newest", journal_committed(daemon->journal));
	log_commit(&line);
	(void)sd_notify(0, "READY=1");
	r = loop_run(daemon->loop);
	metric_set(metric_series(METRIC_UP, NULL), 0);
	return r;
}

void
daemon_free(struct daemon *daemon)
{
	if (!daemon)
		return;
	judge_stop(daemon->judge);
	senders_stop(daemon->senders, NULL, NULL);
	workers_stop(daemon->workers); /* freed below: a step that is told may try to hand on the next */
	for (size_t i = 0; daemon->entrances && i < daemon->config->listener_count; i++) {
		listener_free(daemon->entrances[i].listener);
		mllp_door_free(daemon->entrances[i].mllp);
		pull_door_free(daemon->entrances[i].pull);
	}
	/* What the workers did last goes to those who asked, whose links are gone; what the journal did last, at its end. */
	if (daemon->loop)
		loop_drain(daemon->loop);
	admin_free(daemon->admin);
	trace_close(daemon->trace);
	journal_close(daemon->journal); /* what it still wrote is told to requests of the control door */
	if (daemon->loop)
		loop_drain(daemon->loop);
	control_free(daemon->control);
	senders_free(daemon->senders);
	workers_free(daemon->workers);
	core_free(daemon->core);
	judge_free(daemon->judge);
	presence_free(daemon->presence);
	peers_free(daemon->peers);
	loop_timer_free(daemon->tick);
	loop_timer_free(daemon->watchdog);
	loop_timer_free(daemon->stop);
	loop_timer_free(daemon->memory);
	loop_free(daemon->loop);
	tls_free(daemon->tls);
	tls_free(daemon->client);
	lock_release(daemon->lock);
	free(daemon->entrances);
	free(daemon->listeners);
	free(daemon);
}
