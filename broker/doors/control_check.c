/* SPDX-License-Identifier: Apache-2.0 */
/* `check` reads everything on disk and says what is wrong; `rebuild` makes the views anew. Both on a worker, for as long as it takes. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "broker/base/clock.h"
#include "broker/doors/control_request.h"
#include "codecs/base64.h"

#define REPORT_MAX ((size_t)1 << 20)
#define WAIT_MS	   1000

static void
finding(struct control_request *request, const char *subject, bool well, const char *text)
{
	control_row(request, json_pack("{ss ss sb so}", "kind", "finding", "subject", subject, "well",
				 (int)well, "text", control_text(text)));
	if (!well)
		request->number++;
}

/* One finding a line of ${report}. */
static void
findings(struct control_request *request, const char *subject, struct buffer *report, bool well)
{
	char *text, *line, *rest;

	buffer_append_byte(report, 0);
	text = report->len ? (char *)report->data : NULL;
	for (line = text ? strtok_r(text, "\n", &rest) : NULL; line; line = strtok_r(NULL, "\n", &rest))
		finding(request, subject, well, line);
}

static void
check_configuration(struct control_request *request)
{
	struct config *config = NULL;
	struct buffer errors;
	int r;

	buffer_init(&errors, REPORT_MAX);
	r = config_load(request->with->config_path, &config, &errors);
	if (!r)
		r = config_check_files(config, &errors);
	if (!r)
		r = tls_check(&config->tls, config_dials(config), &errors);
	if (r && !errors.len)
		buffer_printf(&errors, "%s: %s", request->with->config_path, strerror(r < 0 ? -r : EINVAL));
	if (r || errors.len)
		findings(request, "configuration", &errors, false);
	else
		finding(request, "configuration", true, "as it lies on disk: good");
	config_release(config);
	buffer_fini(&errors);
}

static json_t *
base64_text(const struct buffer *bytes)
{
	struct buffer text;
	json_t *value;

	buffer_init(&text, base64_encoded_size(bytes->len) + 1);
	base64_encode(buffer_span(bytes), &text);
	value = json_stringn(text.len ? (const char *)text.data : "", text.len);
	buffer_fini(&text);
	return value;
}

/* Who signed, so that the asker can judge the certificates by whom he trusts; and how much is signed. */
static void
check_signatures(struct control_request *request, const struct journal_verified *verified, bool signs)
{
	char text[160];

	for (size_t i = 0; i < verified->seal_count; i++)
		control_row(request,
		    json_pack("{ss sI so so}", "kind", "seal", "count", (json_int_t)verified->seals[i].count,
			"first", base64_text(&verified->seals[i].first), "last",
			base64_text(&verified->seals[i].last)));
	if (!signs && verified->signatures == 0)
		snprintf(text, sizeof(text), "not signed: journal.seal_key is not set");
	else
		snprintf(text, sizeof(text), "%llu signatures, %llu records not signed%s; %llu purged",
		    (unsigned long long)verified->signatures, (unsigned long long)verified->not_signed,
		    signs ? " yet" : ": journal.seal_key is not set", (unsigned long long)verified->purged);
	finding(request, "journal", true, text);
}

static void
check_journal(struct control_request *request)
{
	struct journal_verified verified = { 0 };
	struct journal_status status;
	struct buffer report;
	char text[160];
	int r;

	buffer_init(&report, REPORT_MAX);
	r = journal_verify_seals(request->with->journal, &report, &verified);
	journal_status(request->with->journal, &status);
	if (r && !report.len)
		buffer_printf(&report, "cannot be read: %s", strerror(r < 0 ? -r : EIO));
	if (r)
		findings(request, "journal", &report, false);
	snprintf(text, sizeof(text), "%llu records in %llu segments, checksums and chain %s",
	    (unsigned long long)status.records, (unsigned long long)status.segments, r ? "NOT good" : "good");
	finding(request, "journal", r == 0, text);
	check_signatures(request, &verified, status.signs);
	journal_verified_fini(&verified);
	if (status.sign_failed)
		finding(request, "journal", false,
		    "the last signature could not be had: see sign-failed in the log");
	if (status.failed)
		finding(request, "journal", false, "the last batch could not be written");
	snprintf(text, sizeof(text), "%llu MiB free of %llu MiB%s",
	    (unsigned long long)(status.disk_free >> 20), (unsigned long long)(status.disk_total >> 20),
	    status.below_floor ? ": below the floor, pushes are answered AR" : "");
	finding(request, "disk", !status.below_floor, text);
	buffer_fini(&report);
}

static void
check_view(struct control_request *request)
{
	struct trace *trace = request->with->trace;
	bool caught_up = trace_wait(trace, journal_committed(request->with->journal), CONTROL_VIEW_MS);

	if (!trace_well(trace))
		finding(request, "view", false,
		    "cannot be written, tried again by itself: see view-failed in the log");
	else
		finding(request, "view", true,
		    caught_up ? "has seen every record" : "follows the journal and is still behind");
}

static void
check_work(struct control_request *request)
{
	request->number = 0;
	check_configuration(request);
	check_journal(request);
	check_view(request);
}

static void
check_done(struct control_request *request)
{
	control_ok(request, json_pack("{sb sI}", "well", (int)(request->number == 0), "findings",
				(json_int_t)request->number));
}

void
control_check(struct control_request *request)
{
	control_work(request, check_work, check_done);
}

/*
 * A rebuild may take long; a worker is held for WAIT_MS at a time, so that a stop is not kept waiting.
 */
struct rebuild {
	uint64_t ticket, rows;
};

static void
rebuild_work(struct control_request *request)
{
	struct rebuild *rebuild = request->own;

	request->result = trace_rebuilt(request->with->trace, rebuild->ticket, WAIT_MS, &rebuild->rows);
}

static void
rebuild_done(struct control_request *request)
{
	const struct rebuild *rebuild = request->own;

	if (!request->result)
		control_ok(request, json_pack("{sI}", "rows", (json_int_t)rebuild->rows));
	else
		control_work(request, rebuild_work, rebuild_done);
}

/* The act is on disk: now it may be done. */
static void
rebuild_journalled(void *arg, int error)
{
	struct control_request *request = arg;
	struct rebuild *rebuild = request->own;

	if (error) {
		control_fail_journal(request);
		return;
	}
	if (control_stopping(request->control)) { /* the view may be closed already */
		control_fail(request, "busy", "the broker stops; nothing was done");
		return;
	}
	control_log_act(request, "rebuild", NULL, 0, 0);
	rebuild->ticket = trace_rebuild(request->with->trace);
	control_work(request, rebuild_work, rebuild_done);
}

static void
rebuild_identified(struct control_request *request)
{
	core_operator(
	    request->with->core, request->who, "rebuild", request->line.reason, rebuild_journalled, request);
}

void
control_rebuild(struct control_request *request)
{
	request->own = arena_calloc(&request->arena, 1, sizeof(struct rebuild));
	if (!request->own)
		control_fail_errno(request, "rebuild", ENOMEM);
	else
		control_identify(request, rebuild_identified);
}
