/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Senders over what only remembers.
 */
#include "sender_rig.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/net/judge.h"
#include "broker/net/presence.h"

struct sender_rig rig;

static struct settlement *pending[RIG_MESSAGES];
static core_settled_fn *pending_done[RIG_MESSAGES];
static void *pending_arg[RIG_MESSAGES];
static size_t pending_count;

/*
 * The core
 */
size_t
core_number(const struct core *core, const char *name)
{
	(void)core;
	return strcmp(name, "lab") == 0 ? 3 : 4;
}

size_t
core_waiting(const struct core *core, size_t number, uint64_t after, uint64_t *seqs, size_t max)
{
	size_t n = 0;

	(void)core;
	for (uint64_t seq = after + 1; number == 3 && seq <= rig.newest && n < max; seq++)
		if (rig.messages[seq].waits)
			seqs[n++] = seq;
	return n;
}

uint64_t
core_oldest_us(const struct core *core, size_t number)
{
	uint64_t seq;

	return core_waiting(core, number, 0, &seq, 1) ? rig.now_us : 0;
}

bool
core_held(const struct core *core, size_t number)
{
	(void)core;
	(void)number;
	return rig.held;
}

void
core_watch(struct core *core, struct core_watch *watch)
{
	(void)core;
	if (watch->number == 3)
		rig.watch = watch;
}

void
core_unwatch(struct core *core, struct core_watch *watch)
{
	(void)core;
	if (watch == rig.watch)
		rig.watch = NULL;
}

void
core_settle(struct core *core, size_t number, const char *who, struct settlement *items, size_t count,
    core_settled_fn *done, void *arg)
{
	struct rig_message *message = &rig.messages[items->seq];

	(void)core;
	assert_int_equal(number, 3);
	assert_string_equal(who, "lab");
	assert_int_equal(count, 1);
	rig.settles++;
	if (!message->waits || message->settling) {
		items->result = SETTLED_BEFORE;
		done(arg, 0);
		return;
	}
	if (rig.settle_error) {
		done(arg, rig.settle_error);
		return;
	}
	message->settling = true;
	pending[pending_count] = items;
	pending_done[pending_count] = done;
	pending_arg[pending_count++] = arg;
}

static void
keep(char *out, size_t size, struct span text)
{
	(void)snprintf(out, size, "%.*s", (int)text.len, text.len ? (const char *)text.ptr : "");
}

void
rig_journal(int error)
{
	while (pending_count) {
		struct settlement *item = pending[0];
		struct rig_message *message = &rig.messages[item->seq];
		core_settled_fn *done = pending_done[0];
		void *arg = pending_arg[0];

		pending_count--;
		memmove(pending, pending + 1, pending_count * sizeof(pending[0]));
		memmove(pending_done, pending_done + 1, pending_count * sizeof(pending_done[0]));
		memmove(pending_arg, pending_arg + 1, pending_count * sizeof(pending_arg[0]));
		message->settling = false;
		if (error == 0) {
			message->waits = false;
			message->outcome = item->outcome;
			keep(message->code, sizeof(message->code), item->code);
			keep(message->text, sizeof(message->text), item->text);
			item->result = SETTLED_NOW;
		}
		done(arg, error);
	}
}

/*
 * The journal
 */
uint64_t
journal_now(struct journal *journal)
{
	(void)journal;
	return rig.now_us;
}

int
journal_read(struct journal *journal, uint64_t seq, bool body, struct arena *arena, struct record *record)
{
	struct rig_message *message = &rig.messages[seq];
	struct facts facts = { .control_id = span_str(message->control) };
	struct buffer encoded;
	int r = 0;

	(void)journal;
	if (rig.read_error)
		return rig.read_error;
	buffer_init(&encoded, 4096);
	facts_encode(&facts, &encoded);
	*record =
	    (struct record){ .head = { .seq = seq, .type = RECORD_ACCEPTED, .size = message->body.len } };
	record->facts = arena_copy(arena, buffer_span(&encoded));
	if (body)
		record->body = arena_copy(arena, buffer_span(&message->body));
	if (buffer_failed(&encoded) || !record->facts.ptr || (body && message->body.len && !record->body.ptr))
		r = -ENOMEM;
	buffer_fini(&encoded);
	return r;
}

/*
 * The dialler
 */
int
dialler_new(struct dialler **diallerp, const struct dialler_options *options)
{
	rig.handler = options->handler;
	rig.door = options->door;
	rig.failed = options->failed;
	*diallerp = (struct dialler *)malloc(1);
	return *diallerp ? 0 : -ENOMEM;
}

int
dialler_dial(struct dialler *dialler, const struct config *config, const struct config_dial *to,
    struct tls_context *client)
{
	(void)dialler;
	(void)config;
	(void)client;
	assert_string_equal(to->host, "lab.example.org");
	if (rig.linked)
		return -EBUSY;
	if (rig.dial_error)
		return rig.dial_error;
	assert_false(rig.dialling);
	rig.dialling = true;
	rig.dials++;
	return 0;
}

void
dialler_cancel(struct dialler *dialler)
{
	(void)dialler;
	rig.dialling = false;
}

void
dialler_free(struct dialler *dialler)
{
	if (dialler && rig.linked)
		rig_end(LINK_STOPPING);
	free(dialler);
}

void
rig_open(void)
{
	assert_true(rig.dialling);
	rig.dialling = false;
	rig.linked = true;
	assert_true(fake_link_open(&rig.link, rig.handler, rig.door, NULL));
}

void
rig_refuse(const char *why)
{
	struct dial_failure failure = { .step = "connect", .why = why, .address = "192.0.2.7:2576" };

	assert_true(rig.dialling);
	rig.dialling = false;
	rig.failed(rig.door, &failure);
}

void
rig_end(enum link_end end)
{
	assert_true(rig.linked);
	rig.linked = false;
	fake_link_end(&rig.link, rig.link.closing || rig.link.dropped ? rig.link.end : end);
}

const char *
link_why(const struct link *link)
{
	(void)link;
	return NULL;
}

bool
link_judge_dialled(struct link *link, struct tls_context *client)
{
	(void)client;
	if (rig.judged_out)
		link_drop(link, LINK_REVOKED);
	return !rig.judged_out;
}

/*
 * The rest
 */
bool
presence_down(struct presence *presence, const char *destination, const char *reason)
{
	(void)presence;
	assert_string_equal(destination, "lab");
	rig.downs++;
	(void)snprintf(rig.reason, sizeof(rig.reason), "%s", reason);
	return true;
}

void
presence_up(struct presence *presence, const char *destination)
{
	(void)presence;
	(void)destination;
	rig.ups++;
}

void
presence_forget(struct presence *presence, const char *destination)
{
	(void)presence;
	(void)destination;
}

int
workers_new(struct workers **workersp, size_t threads, size_t queue_max, struct poster *poster)
{
	(void)threads;
	(void)queue_max;
	(void)poster;
	*workersp = NULL;
	return 0;
}

void
workers_free(struct workers *workers)
{
	(void)workers;
}

struct poster *
loop_poster(struct loop *loop)
{
	(void)loop;
	return NULL;
}

void
loop_drain(struct loop *loop)
{
	(void)loop;
}

void
rig_start(unsigned window)
{
	struct senders_options options = { .config = &rig.config, .presence = (struct presence *)&rig };

	rig = (struct sender_rig){ .now_us = 5000000 };
	rig.destination = (struct config_destination){
		.name = "lab",
		.kind = DESTINATION_MLLP,
		.dial = { .host = "lab.example.org",
		    .server_name = "lab.example.org",
		    .port = 2576,
		    .window = window,
		    .connect_ms = 1000,
		    .acknowledge_ms = 30000,
		    .retry_first_ms = 1000,
		    .retry_longest_ms = 60000 },
	};
	rig.config.destinations = &rig.destination;
	rig.config.destination_count = 1;
	rig.config.limits.large_size = 1 << 20;
	rig.config.limits.large_slots = 1;
	pending_count = 0;
	assert_int_equal(senders_new(&rig.senders, &options), 0);
}

void
rig_stop(void)
{
	rig_read();
	rig_journal(0);
	senders_free(rig.senders);
	assert_null(rig.watch);
	assert_int_equal(fake_workers_waiting(), 0);
	for (uint64_t seq = 1; seq <= rig.newest; seq++)
		buffer_fini(&rig.messages[seq].body);
}

uint64_t
rig_message(const char *control, const char *body)
{
	struct rig_message *message = &rig.messages[++rig.newest];

	assert_true(rig.newest <= RIG_MESSAGES);
	message->control = control;
	message->waits = true;
	buffer_init(&message->body, (size_t)8 << 20);
	if (body)
		buffer_append_str(&message->body, body);
	else
		buffer_printf(&message->body, "MSH|^~\\&|A|B|C|D|2026||ADT^A01|%s|T|2.5\r", control);
	if (rig.watch)
		rig.watch->woken(rig.watch);
	return rig.newest;
}

void
rig_answer(const char *code, const char *control)
{
	char text[256];

	(void)snprintf(text, sizeof(text),
	    "\x0bMSH|^~\\&|C|D|A|B|2026||ACK|1|T|2.5\rMSA|%s|%s\rERR||PID^1^3|204^Unknown key|E||||ROSE "
	    "LILAS\r\x1c\r",
	    code, control);
	fake_link_text(&rig.link, text);
}

void
rig_read(void)
{
	while (fake_workers_waiting())
		fake_workers_run();
}

void
rig_pause(void)
{
	assert_true(fake_timer_fire());
}

void
rig_sent(const char *control)
{
	char expected[256];

	if (control)
		(void)snprintf(expected, sizeof(expected),
		    "\x0bMSH|^~\\&|A|B|C|D|2026||ADT^A01|%s|T|2.5\r\x1c\r", control);
	assert_string_equal(fake_link_sent(&rig.link), control ? expected : "");
}

struct sender_state
rig_state(void)
{
	struct sender_state state;

	assert_true(senders_state(rig.senders, "lab", &state));
	return state;
}

void
rig_begin(unsigned window, const char *control)
{
	rig_start(window);
	assert_int_equal(rig_state().phase, SENDER_IDLE);
	(void)rig_message(control, NULL);
	assert_int_equal(rig_state().phase, SENDER_CONNECTING);
	rig_open();
	rig_read();
	rig_sent(control);
	assert_int_equal(rig_state().phase, SENDER_SENDING);
	assert_int_equal(rig_state().in_flight, 1);
}
