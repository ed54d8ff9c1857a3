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
	core_settled_fn *done;
	void *arg;
};

static void
audit_journalled(void *arg, int error)
{
	struct audit *audit = arg;

	audit->done(audit->arg, error);
	buffer_fini(&audit->decision);
	free(audit);
}

static void
record(struct core *core, enum record_type type, uint64_t seq, const struct decision *decision,
    core_settled_fn *done, void *arg)
{
	struct journal_entry entry = { .type = type, .ref = seq };
	struct audit *audit = calloc(1, sizeof(*audit));
	int r = -ENOMEM;

	if (audit) {
		buffer_init(&audit->decision, AUDIT_ROOM);
		audit->done = done;
		audit->arg = arg;
		decision_encode(decision, &audit->decision);
		if (!buffer_failed(&audit->decision)) {
			entry.decision = buffer_span(&audit->decision);
			r = journal_append(core->journal, &entry, audit_journalled, audit, NULL);
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
	struct decision decision = {
		.who = span_str(who),
		.what = span_str(what),
		.text = span_cut(span_str(reason), 0, REASON_MAX),
	};

	record(core, RECORD_ACCESS, seq, &decision, done, arg);
}

void
core_operator(struct core *core, const char *who, const char *what, const char *reason, core_settled_fn *done,
    void *arg)
{
	struct decision decision = {
		.who = span_str(who),
		.what = span_str(what),
		.text = span_cut(span_str(reason), 0, REASON_MAX),
	};

	record(core, RECORD_OPERATOR, 0, &decision, done, arg);
}
