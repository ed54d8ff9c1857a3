/* SPDX-License-Identifier: Apache-2.0 */
/* One line of the control protocol: read or refused with a sentence, never more than it may hold. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "broker/doors/control_line.h"
#include "broker/doors/json_budget.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_text(const char *text)
{
	size_t len = strlen(text);

	if (len > CONTROL_TEXT_MAX)
		abort();
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			abort();
}

static void
check_ids(const struct control_line *line)
{
	uint64_t before = 0;

	if (line->id_count > CONTROL_IDS_MAX)
		abort();
	for (size_t i = 0; i < line->id_count; i++) {
		uint64_t id = control_line_id(line, i);

		if (id <= before || id > UINT64_C(1) << 53)
			abort();
		before = id;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char problem[CONTROL_PROBLEM_MAX] = "";
	struct control_line line;

	json_budget_install();
	if (!control_line_parse(&line, span_make(data, size), problem)) {
		if (!problem[0] || !memchr(problem, 0, sizeof(problem)))
			abort();
		return 0;
	}
	if (size > CONTROL_LINE_MAX || line.verb >= CONTROL_VERBS)
		abort();
	if ((line.verb == CONTROL_SHOW || line.verb == CONTROL_WHY) && !line.id)
		abort();
	if (line.content && !line.reason[0])
		abort();
	if (line.yes && !line.reason[0])
		abort();
	if (line.verb == CONTROL_HOLD && (!line.reason[0] || !line.destination[0]))
		abort();
	if (line.verb == CONTROL_DROP && (!line.id_count || !line.destination[0]))
		abort();
	if (line.verb == CONTROL_REPLAY && (line.id_count > 0) + (line.since > 0) + line.dead != 1)
		abort();
	check_ids(&line);
	check_text(line.to);
	check_text(line.reason);
	check_text(line.peer);
	check_text(line.control);
	check_text(line.type);
	check_text(line.destination);
	control_line_fini(&line);
	return 0;
}
