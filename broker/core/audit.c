/* SPDX-License-Identifier: Apache-2.0 */
/* Reads of content and operators' acts: journalled before they are answered (law 10). */
#include <errno.h>
#include <stdlib.h>

#include "broker/core/core.h"
#include "broker/core/state.h"

#define AUDIT_ROOM ((size_t)4 << 10) /* who, what and a reason */
#define REASON_MAX 1024u

struct audit {
	struct buffer decision;
	struct record_head head;
	struct destination *destination; /* held or released; NULL: another act */
	bool held;
	core_settled_fn *done;
	void *arg;
};

static void
audit_journalled(void *arg, int error)
{
	struct audit *audit = arg;

	if (error == 0 && audit->destination) {
		core_apply_hold(audit->destination, audit->head.seq, audit->held);
		core_wake(audit->destination);
	}
	audit->done(audit->arg, error);
	buffer_fini(&audit->decision);
	free(audit);
}

/* Journal ${decision} and call audit->done, at once when the journal does not take it. ${audit} NULL: there was no memory for it. */
static void
record(struct core *core, struct audit *audit, const struct journal_entry *entry,
    const struct decision *decision, core_settled_fn *done, void *arg)
{
	struct journal_entry whole = *entry;
	int r = -ENOMEM;

	if (audit) {
		buffer_init(&audit->decision, AUDIT_ROOM);
		audit->done = done;
		audit->arg = arg;
		decision_encode(decision, &audit->decision);
		if (!buffer_failed(&audit->decision)) {
			whole.decision = buffer_span(&audit->decision);
			r = journal_append(core->journal, &whole, audit_journalled, audit, &audit->head);
		}
	}
	if (r == 0)
		return;
	if (audit)
		buffer_fini(&audit->decision);
	free(audit);
	done(arg, r < 0 ? r : -ENOSPC);
}

void
core_access(struct core *core, uint64_t seq, const char *who, const char *what, const char *reason,
    core_settled_fn *done, void *arg)
{
	struct journal_entry entry = { .type = RECORD_ACCESS, .ref = seq };
	struct decision decision = {
		.who = span_str(who),
		.what = span_str(what),
		.text = span_cut(span_str(reason), 0, REASON_MAX),
	};

	record(core, calloc(1, sizeof(struct audit)), &entry, &decision, done, arg);
}

void
core_operator(struct core *core, const char *who, const char *what, const char *reason, core_settled_fn *done,
    void *arg)
{
	struct journal_entry entry = { .type = RECORD_OPERATOR };
	struct decision decision = {
		.who = span_str(who),
		.what = span_str(what),
		.text = span_cut(span_str(reason), 0, REASON_MAX),
	};

	record(core, calloc(1, sizeof(struct audit)), &entry, &decision, done, arg);
}

void
core_hold(struct core *core, size_t number, bool held, const char *who, const char *reason,
    core_settled_fn *done, void *arg)
{
	struct journal_entry entry = { .type = RECORD_OPERATOR };
	struct audit *audit = calloc(1, sizeof(*audit));
	struct destination *destination = core_at(core, number);
	struct decision decision = {
		.destination = span_str(destination->name),
		.who = span_str(who),
		.what = span_str(held ? HOLD_WHAT : RELEASE_WHAT),
		.text = span_cut(span_str(reason), 0, REASON_MAX),
	};

	if (audit) {
		audit->destination = destination;
		audit->held = held;
	}
	record(core, audit, &entry, &decision, done, arg);
}

bool
core_held(const struct core *core, size_t number)
{
	const struct destination *destination = core_at(core, number);

	return destination && destination->held;
}

uint64_t
core_hold_record(const struct core *core, size_t number)
{
	const struct destination *destination = core_at(core, number);

	return destination && destination->held ? destination->hold_seq : 0;
}
