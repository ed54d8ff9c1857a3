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
	check_text(line.reason);
	check_text(line.peer);
	check_text(line.control);
	check_text(line.type);
	check_text(line.destination);
	control_line_fini(&line);
	return 0;
}
