/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A reload from its request to its end: see the header. All but the work is on the loop thread. The work looks at nothing but the configuration in
 * use, which it holds, and at files.
 */
#include "broker/reload.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/base/clock.h"
#include "broker/base/log.h"
#include "broker/base/metrics.h"
#include "broker/daemon_state.h"
#include "broker/store/seal_key.h"

#define REPORT_MAX ((size_t)1 << 20)

enum {
	RELOAD_REFUSED = 1, /* the report says why */
};

struct reload {
	struct workers_job job; /* first */
	struct daemon *daemon;
	char *who;
	control_reloaded_fn *done;
	void *arg;
	const struct config *before, *after; /* both held; ${after} NULL: could not be loaded */
	struct tls_context *server, *client;
	struct seal_key *seal;
	struct config_changes changes;
	struct buffer report; /* errors; when there is none, what changes */
	int result;
};

void
reload_free(struct reload *reload)
{
	if (!reload)
		return;
	config_release(reload->before);
	config_release(reload->after);
	tls_free(reload->server);
	tls_free(reload->client);
	seal_key_free(reload->seal);
	buffer_fini(&reload->report);
	free(reload->who);
	free(reload);
}

/*
 * Telling
 */
static struct span
first_line(const struct buffer *report)
{
	const uint8_t *end = report->len ? memchr(report->data, '\n', report->len) : NULL;

	return span_cut(buffer_span(report), 0, end ? (size_t)(end - report->data) : report->len);
}

static size_t
count_lines(const struct buffer *report)
{
	size_t count = 0;

	for (size_t i = 0; i < report->len; i++)
		count += report->data[i] == '\n';
	return count;
}

static void
tell_refused(const char *who, const struct buffer *report, int result)
{
	struct log_line line;

	log_begin(&line, EVENT_RELOAD_REFUSED);
	log_text(&line, "who", who);
	if (result < 0)
		log_errno(&line, result);
	log_span(&line, "why", first_line(report));
	log_u64(&line, "errors", count_lines(report));
	log_commit(&line);
	metric_add(metric_series(METRIC_RELOADS, "refused"), 1);
}

static void
tell_reloaded(const struct reload *reload)
{
	const struct config_changes *changes = &reload->changes;
	struct log_line line;

	log_begin(&line, EVENT_RELOADED);
	log_text(&line, "who", reload->who);
	log_u64(&line, "establishments", changes->establishments);
	log_u64(&line, "peers", changes->peers);
	log_u64(&line, "listeners", changes->listeners);
	log_u64(&line, "destinations", changes->destinations);
	log_u64(&line, "routes", changes->routes);
	log_text(&line, "certificate", tls_own(reload->daemon->tls)->serial);
	log_commit(&line);
	metric_add(metric_series(METRIC_RELOADS, "done"), 1);
}

/* The end of every reload that began. */
static void
end(struct reload *reload, int result)
{
	struct daemon *daemon = reload->daemon;

	if (result < 0 && reload->report.len == 0)
		buffer_printf(&reload->report, "%s: %s\n", daemon->config_path, strerror(-result));
	if (result)
		tell_refused(reload->who, &reload->report, result);
	else
		tell_reloaded(reload);
	daemon->reload = NULL;
	reload->done(reload->arg, result, &reload->report);
	reload_free(reload);
}

/* The end of one that did not begin. */
static void
turn_away(const char *who, const char *why, control_reloaded_fn *done, void *arg)
{
	struct buffer report;

	buffer_init(&report, REPORT_MAX);
	buffer_printf(&report, "%s\n", why);
	tell_refused(who, &report, RELOAD_REFUSED);
	done(arg, RELOAD_REFUSED, &report);
	buffer_fini(&report);
}

/*
 * The work
 */
static bool
same_certificate(const struct tls_identity *a, const struct tls_identity *b)
{
	return strcmp(a->serial, b->serial) == 0 && strcmp(a->issuer, b->issuer) == 0 &&
	       memcmp(a->spki, b->spki, sizeof(a->spki)) == 0;
}

static int
load_configuration(struct reload *reload)
{
	struct config *config = NULL;
	int r = config_load(reload->daemon->config_path, &config, &reload->report);

	reload->after = config;
	if (r == 0)
		r = config_check_files(config, &reload->report);
	if (r == 0 && !config_can_follow(reload->before, config, &reload->report))
		r = CONFIG_INVALID;
	return r;
}

/*
 * New contexts, also when no setting changed: the files may have. A new certificate must be good today; the one in use goes on as it would
 * after a restart, lest a certificate that has ended stand in the way of every other change; but where nothing was dialled before, it has to be good
 * for a client now.
 */
static int
make_contexts(struct reload *reload, const struct tls_identity *own)
{
	const struct config_tls *tls = &reload->after->tls;
	const bool dials = config_dials(reload->after);
	int r = tls_server_new(&reload->server, tls, &reload->report);

	if (r == 0)
		r = tls_client_new(&reload->client, tls, &reload->report);
	if (r == 0 &&
	    (!same_certificate(own, tls_own(reload->server)) || (dials && !config_dials(reload->before))))
		r = tls_check(tls, dials, &reload->report);
	if (r == 0)
		r = seal_key_configured(&reload->seal, &reload->after->journal, &reload->report);
	return r;
}

static void
report_changes(struct reload *reload, const struct tls_identity *own)
{
	const struct tls_identity *next = tls_own(reload->server);

	config_compare(reload->before, reload->after, &reload->changes, &reload->report);
	if (!same_certificate(own, next))
		buffer_printf(&reload->report, "certificate: serial %s, %lld days left\n", next->serial,
		    (long long)tls_identity_days(next, (int64_t)(clock_wall_us() / 1000000)));
	if (reload->report.len == 0)
		buffer_append_str(&reload->report,
		    "the configuration is as before; certificates and revocation lists were read again\n");
	config_warnings(reload->after, &reload->report);
}

static void
work(struct workers_job *job)
{
	struct reload *reload = (struct reload *)job;
	/* the context in use changes only by a reload, and there is no other */
	const struct tls_identity *own = tls_own(reload->daemon->tls);

	reload->result = load_configuration(reload);
	if (reload->result == 0)
		reload->result = make_contexts(reload, own);
	if (reload->result == 0)
		report_changes(reload, own);
	if (reload->result == 0 && buffer_failed(&reload->report))
		reload->result = -ENOMEM;
}

/*
 * The switch
 */

/* Everything that can fail. The core goes back when the senders cannot follow: it has all it needs for that. */
static int
prepare(struct daemon *daemon, struct reload *reload)
{
	int r = entrances_prepare(daemon->entrances, reload->after, reload->server, &reload->report);

	if (r == 0)
		r = peers_prepare(daemon->peers, reload->after);
	if (r == 0)
		r = core_reconfigure(daemon->core, reload->after);
	if (r == 0) {
		r = senders_reconfigure(daemon->senders, reload->after, reload->client);
		if (r && core_reconfigure(daemon->core, reload->before) != 0)
			abort(); /* decisions by one configuration and doors of another: rather none */
	}
	if (r)
		entrances_cancel(daemon->entrances);
	return r;
}

/* Nothing here can fail. */
static void
take_over(struct daemon *daemon, struct reload *reload)
{
	const struct config *config = reload->after;
	struct tls_context *server = daemon->tls, *client = daemon->client;
	struct listener *const *listeners;
	size_t count;

	peers_reconfigure(daemon->peers, config);
	seen_reconfigure(daemon->seen, config);
	entrances_switch(daemon->entrances, reload->server);
	listeners = entrances_listeners(daemon->entrances, &count);
	control_reconfigure(daemon->control, config, reload->server, listeners, count);
	if (daemon->admin)
		admin_reconfigure(daemon->admin, config);
	slots_resize(&daemon->slots, config->limits.large_slots);
	budget_resize(&daemon->budget, config->limits.memory);
	log_level_set((enum log_level)config->log_level);
	ends_seal(&daemon->ends, reload->seal);
	journal_seal(daemon->journal, reload->seal);
	reload->seal = NULL;
	daemon->tls = reload->server;
	daemon->client = reload->client;
	reload->server = server;
	reload->client = client;
	config_release(daemon->config);
	daemon->config = config_hold(config);
	daemon_judge_links(daemon);
}

/* Who takes a destination away is to hear at once what still waits there. */
static void
tell_orphans(const struct daemon *daemon, struct buffer *report)
{
	struct core_status status;

	core_status(daemon->core, &status);
	if (status.orphaned)
		buffer_printf(report,
		    "%llu waiting for destinations that are not configured: liaison queue names them\n",
		    (unsigned long long)status.orphaned);
}

/* That it was asked for is on disk, or could not be written. */
static void
journalled(void *arg, int error)
{
	struct reload *reload = arg;
	struct daemon *daemon = reload->daemon;
	struct buffer changes = reload->report;
	int r;

	if (daemon->stopping || error) {
		buffer_reset(&reload->report);
		buffer_append_str(&reload->report,
		    daemon->stopping ? "the broker stops\n" : "the reload cannot be journalled\n");
		end(reload, error < 0 ? error : RELOAD_REFUSED);
		return;
	}
	buffer_init(&reload->report, REPORT_MAX);
	r = prepare(daemon, reload);
	if (r == 0) {
		struct buffer errors = reload->report;

		reload->report = changes;
		changes = errors;
		take_over(daemon, reload);
		tell_orphans(daemon, &reload->report);
	}
	buffer_fini(&changes);
	end(reload, r);
}

static void
worked(struct workers_job *job)
{
	struct reload *reload = (struct reload *)job;
	const struct config_changes *changes = &reload->changes;
	char what[160];

	if (reload->result == 0 && reload->daemon->stopping) {
		buffer_reset(&reload->report);
		buffer_append_str(&reload->report, "the broker stops\n");
		reload->result = RELOAD_REFUSED;
	}
	if (reload->result) {
		end(reload, reload->result < 0 ? reload->result : RELOAD_REFUSED);
		return;
	}
	(void)snprintf(what, sizeof(what),
	    "changed: %u establishments, %u peers, %u listeners, %u destinations, %u routes",
	    changes->establishments, changes->peers, changes->listeners, changes->destinations,
	    changes->routes);
	core_operator(reload->daemon->core, reload->who, "reload", what, journalled, reload);
}

void
daemon_reload(void *arg, const char *who, control_reloaded_fn *done, void *done_arg)
{
	struct daemon *daemon = arg;
	struct reload *reload;

	if (daemon->stopping || daemon->reload) {
		turn_away(
		    who, daemon->stopping ? "the broker stops" : "a reload is under way", done, done_arg);
		return;
	}
	reload = calloc(1, sizeof(*reload));
	if (reload) {
		reload->job = (struct workers_job){ .run = work, .done = worked };
		reload->daemon = daemon;
		reload->who = strdup(who);
		reload->done = done;
		reload->arg = done_arg;
		reload->before = config_hold(daemon->config);
		buffer_init(&reload->report, REPORT_MAX);
	}
	if (!reload || !reload->who || workers_submit(daemon->workers, &reload->job) != 0) {
		reload_free(reload);
		turn_away(who, "the broker is busy", done, done_arg);
		return;
	}
	daemon->reload = reload;
}
