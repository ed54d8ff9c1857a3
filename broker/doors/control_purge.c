/* SPDX-License-Identifier: Apache-2.0 */
/* `purge`: overwrite a message for ever, for a reason. The core journals the act before it is done. */
#include <errno.h>

#include "broker/doors/control_request.h"

static void
purged(void *arg, int error)
{
	struct control_request *request = arg;
	unsigned long long id = (unsigned long long)request->line.id;

	if (error == 0) {
		control_log_act(request, "purge", NULL, request->line.id, 1);
		control_ok(request, json_pack("{sI}", "id", (json_int_t)request->line.id));
	} else if (error == -EBUSY) {
		control_fail(request, "refused",
		    "%llu still waits, or a replay of it does (liaison why %llu; drop takes it off a queue), "
		    "or "
		    "retention is at work on it: then ask again",
		    id, id);
	} else if (error == -ENOENT) {
		control_fail(request, "absent", "no record %llu: it never was, or its retention is over", id);
	} else {
		control_fail_errno(
		    request, "it is not purged yet; ask again, or the next start does it", error);
	}
}

/* Only what was received: the journal's own records, outcomes and acts tell of no patient. */
static void
look(struct control_request *request)
{
	struct record record;

	request->result =
	    journal_read(request->with->journal, request->line.id, false, &request->arena, &record);
	request->number = request->result == 0 && record.head.type <= RECORD_STRAY;
}

static void
looked(struct control_request *request)
{
	if (request->result == JOURNAL_ABSENT)
		purged(request, -ENOENT);
	else if (request->result == JOURNAL_DAMAGED)
		control_fail(request, "store", "the record is damaged on disk: liaison check");
	else if (request->result)
		control_fail_errno(request, "the record cannot be read", request->result);
	else if (!request->number)
		control_fail(request, "refused", "%llu is no message: there is nothing to purge",
		    (unsigned long long)request->line.id);
	else
		core_purge(request->with->core, request->line.id, request->who, request->line.reason, purged,
		    request);
}

static void
identified(struct control_request *request)
{
	control_work(request, look, looked);
}

void
control_purge(struct control_request *request)
{
	control_identify(request, identified);
}
