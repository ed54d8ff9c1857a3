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

#include "broker/base/clock.h"
#include "broker/base/log.h"
#include "broker/base/metrics.h"
#include "broker/daemon_state.h"
#include "broker/doors/door.h"
#include "broker/reload.h"
#include "broker/store/lock.h"
#include "broker/store/seal_key.h"

#define TICK_MS	     1000u
#define WORKER_QUEUE 1024u

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

/* What is told in ${lines} already, to the log. */
static void
tell_lines(struct span lines)
{
	while (lines.len) {
		const uint8_t *end = memchr(lines.ptr, '\n', lines.len);
		size_t len = end ? (size_t)(end - lines.ptr) : lines.len;
		struct log_line line;

		log_begin(&line, EVENT_FATAL);
		log_span(&line, "why", span_cut(lines, 0, len));
		log_commit(&line);
		lines = span_cut(lines, len + 1, lines.len);
	}
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

void
daemon_judge_links(struct daemon *daemon)
{
	struct listener *const *listeners;
	size_t count;

	listeners = entrances_listeners(daemon->entrances, &count);
	if (links_judge(daemon->link_judge, listeners, count, NULL, NULL) == 0)
		daemon->judge_us = clock_mono_us() + (uint64_t)JUDGE_EVERY_S * 1000000;
	else
		daemon->judge_us = 0; /* no memory: with the next tick */
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
	entrances_sweep(daemon->entrances);
	if (clock_mono_us() >= daemon->judge_us)
		daemon_judge_links(daemon);
	ends_tell(
	    &daemon->ends, daemon->tls, daemon->peers, daemon->seen, (int64_t)(clock_wall_us() / 1000000));
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
	    control_busy(daemon->control) || !entrances_idle(daemon->entrances))
		return;
	loop_stop(daemon->loop);
}

static void
entrances_are_idle(void *arg)
{
	end_when_idle(arg);
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
	entrances_stop(daemon->entrances);
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
	journal_seal(daemon->journal, daemon->seal);
	daemon->seal = NULL;
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
open_senders(struct daemon *daemon, struct buffer *errors)
{
	const struct senders_options options = {
		.loop = daemon->loop,
		.workers = daemon->workers,
		.config = daemon->config,
		.core = daemon->core,
		.journal = daemon->journal,
		.tls = daemon->client,
		.budget = &daemon->budget,
		.presence = daemon->presence,
		.seen = daemon->seen,
	};
	int r = senders_new(&daemon->senders, &options);

	if (r)
		tell_failure(errors, daemon->config->state, "the senders could not be set up", r);
	else
		daemon->sending = senders_sending(daemon->senders);
	return r;
}

/* The sockets: what cannot be had is told line by line. */
static int
open_entrances(struct daemon *daemon, const struct door_context *context, struct buffer *errors)
{
	size_t before = errors->len;
	int r = entrances_new(&daemon->entrances, context, entrances_are_idle, daemon);

	if (r == 0)
		r = entrances_prepare(daemon->entrances, daemon->config, daemon->tls, errors);
	if (r == 0)
		entrances_switch(daemon->entrances, daemon->tls);
	if (r == ENTRANCES_REFUSED)
		tell_lines(span_cut(buffer_span(errors), before, errors->len));
	return r;
}

static int
open_control(struct daemon *daemon)
{
	struct control_options options = {
		.loop = daemon->loop,
		.config = daemon->config,
		.config_path = daemon->config_path,
		.workers = daemon->workers,
		.journal = daemon->journal,
		.core = daemon->core,
		.peers = daemon->peers,
		.trace = daemon->trace,
		.tls = daemon->tls,
		.sending = &daemon->sending,
		.seen = daemon->seen,
		.reload = daemon_reload,
		.daemon = daemon,
	};

	options.listeners = entrances_listeners(daemon->entrances, &options.listener_count);
	return control_new(&daemon->control, &options);
}

static int
open_doors(struct daemon *daemon, struct buffer *errors)
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
	int r;

	slots_init(&daemon->slots, config->limits.large_slots);
	r = open_entrances(daemon, &context, errors);
	if (r == 0)
		r = link_judge_new(&daemon->link_judge, daemon->loop);
	if (r == 0)
		r = open_control(daemon);
	if (r == 0)
		r = admin_new(&daemon->admin, &context, config->admin_address, config->admin_port);
	if (r < 0)
		tell_failure(errors, daemon->config_path, "a door could not be opened", r);
	return r > 0 ? -EADDRNOTAVAIL : r;
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

/* A seal that has ended since does not keep a broker from starting: messages go on and the log tells that they are not signed. */
static int
seal_load(struct daemon *daemon, struct buffer *errors)
{
	int r = seal_key_configured(&daemon->seal, &daemon->config->journal, errors);

	if (r == 0)
		ends_seal(&daemon->ends, daemon->seal);
	return r;
}

static int
open_all(struct daemon *daemon, struct buffer *errors)
{
	const struct config *config = daemon->config;
	int r;

	budget_init(&daemon->budget, config->limits.memory, memory_soon, daemon);
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
	if (r == 0)
		r = seal_load(daemon, errors);
	if (r)
		return r < 0 ? r : -EINVAL;
	r = loop_new(&daemon->loop);
	if (r == 0)
		r = workers_new(
		    &daemon->workers, config->limits.workers, WORKER_QUEUE, loop_poster(daemon->loop));
	if (r == 0)
		r = peers_new(&daemon->peers, config);
	if (r == 0)
		r = seen_new(&daemon->seen);
	if (r == 0)
		r = open_presence(daemon);
	if (r == 0)
		r = open_store(daemon, errors);
	if (r == 0)
		r = open_senders(daemon, errors);
	if (r == 0)
		r = open_doors(daemon, errors);
	return r == 0 ? open_timers(daemon) : r;
}

int
daemon_new(
    struct daemon **daemonp, const struct config *config, const char *config_path, struct buffer *errors)
{
	struct daemon *daemon = calloc(1, sizeof(*daemon));
	int r;

	if (!daemon)
		return -ENOMEM;
	daemon->config = config_hold(config);
	daemon->config_path = config_path;
	daemon->lock = -1;
	r = open_all(daemon, errors);
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
	daemon->stopping = true;
	judge_stop(daemon->judge);
	senders_stop(daemon->senders, NULL, NULL);
	workers_stop(daemon->workers); /* freed below: a step that is told may try to hand on the next */
	link_judge_free(daemon->link_judge);
	entrances_free(daemon->entrances);
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
	seen_free(daemon->seen);
	peers_free(daemon->peers);
	loop_timer_free(daemon->tick);
	loop_timer_free(daemon->watchdog);
	loop_timer_free(daemon->stop);
	loop_timer_free(daemon->memory);
	loop_free(daemon->loop);
	seal_key_free(daemon->seal);
	tls_free(daemon->tls);
	tls_free(daemon->client);
	lock_release(daemon->lock);
	reload_free(daemon->reload);
	config_release(daemon->config);
	free(daemon);
}
