/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /v1/inboxes: what the peer may read, with what waits there.
 */
#include "broker/doors/pull_json.h"
#include "broker/doors/pull_request.h"

#define LIST_MAX ((size_t)1 << 20) /* four thousand inboxes */

static void
start(struct pull_request *request)
{
	const struct config *config = request->config;
	const struct core *core = request->door->context.core;
	struct buffer out;
	bool first = true;
	size_t number;

	buffer_init(&out, LIST_MAX);
	buffer_append_str(&out, "{\"inboxes\":[");
	for (size_t i = 0; i < config->destination_count; i++) {
		const struct config_destination *inbox = &config->destinations[i];

		if (!pull_reads(request->reader, inbox))
			continue;
		if (!first)
			buffer_append_byte(&out, ',');
		first = false;
		number = core_number(core, inbox->name);
		pull_json_inbox(&out, inbox, core_waiting_count(core, number), core_oldest_us(core, number));
	}
	buffer_append_str(&out, "]}");
	if (buffer_failed(&out))
		pull_later(request, "overload", "There is no memory for this answer now.");
	else
		pull_answer_json(request, 200, &out);
	buffer_fini(&out);
}

const struct pull_route pull_route_inboxes = {
	.method = HTTP1_GET,
	.pattern = "/v1/inboxes",
	.size = sizeof(struct pull_request),
	.query = "",
	.start = start,
	.statuses = { 200 },
};
