/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands of the control door share: rows, ends, the way to a worker and back. */
#include "broker/doors/control_request.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

#include "broker/base/clock.h"
#include "broker/base/log.h"
#include "codecs/printable.h"

control_step *const control_steps[CONTROL_VERBS] = {
	[CONTROL_STATUS] = control_status,
	[CONTROL_TAIL] = control_tail,
	[CONTROL_QUEUE] = control_queue,
	[CONTROL_SHOW] = control_show,
	[CONTROL_WHY] = control_why,
	[CONTROL_SEARCH] = control_search,
	[CONTROL_PEERS] = control_peers,
	[CONTROL_CERTS] = control_certs,
	[CONTROL_CHECK] = control_check,
	[CONTROL_REBUILD] = control_rebuild,
	[CONTROL_EVENTS] = control_events,
	[CONTROL_RELOAD] = control_reload,
	[CONTROL_HOLD] = control_hold,
	[CONTROL_RELEASE] = control_release,
	[CONTROL_DROP] = control_drop,
	[CONTROL_REPLAY] = control_replay,
	[CONTROL_PURGE] = control_purge,
	[CONTROL_PEER_TEST] = control_peer_test,
};

static int
append(const char *bytes, size_t len, void *arg)
{
	buffer_append(arg, bytes, len);
	return 0;
}

/* One line; takes ${object}. */
static void
put_line(struct control_request *request, json_t *object)
{
	if (!object || json_dump_callback(object, append, &request->out, JSON_COMPACT) != 0)
		request->out.failed = true;
	buffer_append_byte(&request->out, '\n');
	json_decref(object);
}

void
control_row(struct control_request *request, json_t *row)
{
	put_line(request, row ? json_pack("{so}", "row", row) : NULL);
}

/* The last line; when what was gathered did not fit, that is the answer. */
static void
end(struct control_request *request, json_t *last)
{
	put_line(request, last);
	if (buffer_failed(&request->out)) {
		buffer_reset(&request->out);
		buffer_append_str(&request->out, "{\"error\":{\"code\":\"internal\",\"message\":\"the answer "
						 "does not fit in memory\"}}\n");
	}
	request->ended = true;
	control_deliver(request);
}

void
control_ok(struct control_request *request, json_t *fields)
{
	json_t *last = json_pack("{sb}", "ok", 1);

	if (fields && last && json_object_update(last, fields) != 0) {
		json_decref(last);
		last = NULL;
	}
	json_decref(fields);
	end(request, last);
}

void
control_fail(struct control_request *request, const char *code, const char *format, ...)
{
	char message[256];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	end(request, json_pack("{s{ssso}}", "error", "code", code, "message", control_text(message)));
}

void
control_fail_errno(struct control_request *request, const char *what, int error)
{
	char text[128];

	control_fail(
	    request, "internal", "%s: %s", what, strerror_r(error < 0 ? -error : error, text, sizeof(text)));
}

void
control_fail_view(struct control_request *request, int error)
{
	if (error == -EUCLEAN || error == -ENOENT)
		control_fail(request, "busy",
		    "the view is damaged or gone; it is being made anew from the journal, ask again in a "
		    "moment");
	else
		control_fail_errno(request, "the view cannot be read", error);
}

static void
job_run(struct workers_job *job)
{
	struct control_request *request = (struct control_request *)(void *)job;

	request->work(request);
}

static void
job_done(struct workers_job *job)
{
	struct control_request *request = (struct control_request *)(void *)job;

	request->then(request);
}

void
control_work(struct control_request *request, control_step *work, control_step *then)
{
	request->work = work;
	request->then = then;
	request->job = (struct workers_job){ .run = job_run, .done = job_done };
	/* The workers may be gone already when the journal, closing, tells of what it still wrote. */
	if (control_stopping(request->control))
		control_fail(request, "busy", "the broker stops");
	else if (workers_submit(request->with->workers, &request->job) != 0)
		control_fail(request, "busy", "the broker is busy; ask again");
}

/* The name goes into the journal beside the number: numbers are given anew when people leave. */
static void
look_up_name(struct control_request *request)
{
	struct passwd entry, *found = NULL;
	char text[4096];

	if (getpwuid_r(request->uid, &entry, text, sizeof(text), &found) == 0 && found)
		snprintf(request->who, sizeof(request->who), "uid:%u(%.48s)", (unsigned)request->uid,
		    found->pw_name);
}

void
control_identify(struct control_request *request, control_step *then)
{
	control_work(request, look_up_name, then);
}

void
control_log_act(
    struct control_request *request, const char *what, const char *destination, uint64_t id, uint64_t count)
{
	struct log_line line;

	log_begin(&line, EVENT_OPERATOR);
	if (id)
		log_u64(&line, "id", id);
	log_text(&line, "who", request->who);
	log_text(&line, "act", what);
	if (destination)
		log_text(&line, "destination", destination);
	if (count > 1)
		log_u64(&line, "count", count);
	log_commit(&line);
}

void
control_fail_journal(struct control_request *request)
{
	control_fail(request, "store", "the journal could not take this act: nothing was done");
}

json_t *
control_text(const char *text)
{
	json_t *value = json_string(text ? text : "");
	struct buffer shown;

	if (value)
		return value;
	buffer_init(&shown, 65536);
	printable_append(&shown, span_str(text), 4096);
	value = json_stringn(shown.len ? (const char *)shown.data : "", shown.len);
	buffer_fini(&shown);
	return value;
}

json_t *
control_time(uint64_t us)
{
	char text[32];

	if (!us)
		return json_null();
	clock_format(us, text);
	return json_string(text);
}

const char *
control_answer_name(unsigned answer)
{
	switch (answer) {
	case ANSWER_ACCEPT:
		return "AA";
	case ANSWER_REFUSE:
		return "AE";
	case ANSWER_LATER:
		return "AR";
	default:
		return "none";
	}
}
