/* SPDX-License-Identifier: Apache-2.0 */
/* One line of the control protocol, read: see control_line.h. */
#include "broker/doors/control_line.h"

#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "broker/doors/json_budget.h"

#define LINE_BUDGET ((size_t)1 << 20) /* of the JSON library, for one line */
#define BIT(verb)   (1u << (verb))
#define SEQ_MAX	    ((int64_t)1 << 53)

static const char *const verb_names[CONTROL_VERBS] = {
	[CONTROL_STATUS] = "status",
	[CONTROL_TAIL] = "tail",
	[CONTROL_QUEUE] = "queue",
	[CONTROL_SHOW] = "show",
	[CONTROL_WHY] = "why",
	[CONTROL_SEARCH] = "search",
	[CONTROL_PEERS] = "peers",
	[CONTROL_CERTS] = "certs",
	[CONTROL_CHECK] = "check",
	[CONTROL_REBUILD] = "rebuild",
	[CONTROL_EVENTS] = "events",
};

enum kind {
	KIND_NUMBER, /* 0 .. 2^53 */
	KIND_SIGNED,
	KIND_FLAG,
	KIND_TEXT,
};

/* Who may be given which argument. */
static const struct argument {
	const char *name;
	enum kind kind;
	size_t offset;
	unsigned verbs;
} arguments[] = {
	{ "id", KIND_NUMBER, offsetof(struct control_line, id),
	    BIT(CONTROL_SHOW) | BIT(CONTROL_WHY) | BIT(CONTROL_TAIL) },
	{ "document", KIND_NUMBER, offsetof(struct control_line, document), BIT(CONTROL_SHOW) },
	{ "content", KIND_FLAG, offsetof(struct control_line, content), BIT(CONTROL_SHOW) },
	{ "reason", KIND_TEXT, offsetof(struct control_line, reason),
	    BIT(CONTROL_SHOW) | BIT(CONTROL_REBUILD) },
	{ "peer", KIND_TEXT, offsetof(struct control_line, peer), BIT(CONTROL_TAIL) | BIT(CONTROL_SEARCH) },
	{ "control", KIND_TEXT, offsetof(struct control_line, control), BIT(CONTROL_SEARCH) },
	{ "type", KIND_TEXT, offsetof(struct control_line, type), BIT(CONTROL_SEARCH) },
	{ "destination", KIND_TEXT, offsetof(struct control_line, destination), BIT(CONTROL_QUEUE) },
	{ "errors", KIND_FLAG, offsetof(struct control_line, errors), BIT(CONTROL_TAIL) },
	{ "refused", KIND_FLAG, offsetof(struct control_line, refused), BIT(CONTROL_SEARCH) },
	{ "since", KIND_SIGNED, offsetof(struct control_line, since),
	    BIT(CONTROL_TAIL) | BIT(CONTROL_SEARCH) },
	{ "offset", KIND_SIGNED, offsetof(struct control_line, offset), BIT(CONTROL_TAIL) },
	{ "file", KIND_NUMBER, offsetof(struct control_line, file), BIT(CONTROL_TAIL) },
	{ "after", KIND_NUMBER, offsetof(struct control_line, after),
	    BIT(CONTROL_QUEUE) | BIT(CONTROL_SEARCH) },
	{ "limit", KIND_NUMBER, offsetof(struct control_line, limit),
	    BIT(CONTROL_QUEUE) | BIT(CONTROL_SEARCH) },
};

#define ARGUMENTS (sizeof(arguments) / sizeof(arguments[0]))

const char *
control_verb_name(enum control_verb verb)
{
	return verb_names[verb];
}

static bool
is_plain(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return false;
	return len <= CONTROL_TEXT_MAX;
}

static bool
set_argument(struct control_line *line, const struct argument *argument, json_t *value, char *problem)
{
	char *place = (char *)line + argument->offset;
	int64_t number = json_integer_value(value);

	switch (argument->kind) {
	case KIND_NUMBER:
		if (!json_is_integer(value) || number < 0 || number > SEQ_MAX)
			break;
		*(uint64_t *)(void *)place = (uint64_t)number;
		return true;
	case KIND_SIGNED:
		if (!json_is_integer(value) || number > SEQ_MAX || number < -SEQ_MAX)
			break;
		*(int64_t *)(void *)place = number;
		if (argument->offset == offsetof(struct control_line, offset))
			line->has_offset = true;
		return true;
	case KIND_FLAG:
		if (!json_is_boolean(value))
			break;
		*(bool *)(void *)place = json_boolean_value(value);
		return true;
	case KIND_TEXT:
		if (!json_is_string(value) || !is_plain(json_string_value(value), json_string_length(value)))
			break;
		*(const char **)(void *)place = json_string_value(value);
		return true;
	}
	snprintf(problem, CONTROL_PROBLEM_MAX, "argument \"%s\" is not %s", argument->name,
	    argument->kind == KIND_FLAG	  ? "true or false"
	    : argument->kind == KIND_TEXT ? "a text of at most 512 bytes without controls"
					  : "a whole number within its bounds");
	return false;
}

static bool
find_verb(struct control_line *line, json_t *object, char *problem)
{
	const char *name = json_string_value(json_object_get(object, "command"));

	for (unsigned verb = 0; name && verb < CONTROL_VERBS; verb++) {
		if (strcmp(name, verb_names[verb]) == 0) {
			line->verb = verb;
			return true;
		}
	}
	snprintf(problem, CONTROL_PROBLEM_MAX,
	    name ? "no such command" : "not a command: \"command\" must be a text");
	return false;
}

static bool
set_arguments(struct control_line *line, json_t *object, char *problem)
{
	const char *key;
	json_t *value;

	json_object_foreach(object, key, value)
	{
		const struct argument *argument = NULL;

		if (strcmp(key, "command") == 0)
			continue;
		for (size_t i = 0; i < ARGUMENTS; i++)
			if (strcmp(key, arguments[i].name) == 0)
				argument = &arguments[i];
		if (!argument || !(argument->verbs & BIT(line->verb))) {
			snprintf(problem, CONTROL_PROBLEM_MAX, "\"%s\" does not take such an argument%s%.40s",
			    verb_names[line->verb], argument ? ": " : "", argument ? argument->name : "");
			return false;
		}
		if (!set_argument(line, argument, value, problem))
			return false;
	}
	return true;
}

/* What one command alone demands. */
static bool
judge(const struct control_line *line, char *problem)
{
	const char *wrong = NULL;

	if ((line->verb == CONTROL_SHOW || line->verb == CONTROL_WHY) && !line->id)
		wrong = "which id?";
	else if (line->content && !line->reason[0])
		wrong = "content is given for a reason only: \"reason\" is missing";
	else if (line->document && !line->content)
		wrong = "a document is content: \"content\" is missing";
	if (wrong)
		snprintf(problem, CONTROL_PROBLEM_MAX, "%s", wrong);
	return !wrong;
}

bool
control_line_parse(struct control_line *line, struct span text, char problem[CONTROL_PROBLEM_MAX])
{
	json_error_t error;
	json_t *object;

	*line =
	    (struct control_line){ .reason = "", .peer = "", .control = "", .type = "", .destination = "" };
	if (text.len > CONTROL_LINE_MAX) {
		snprintf(problem, CONTROL_PROBLEM_MAX, "a line has at most %d bytes", CONTROL_LINE_MAX);
		return false;
	}
	json_budget_begin(LINE_BUDGET);
	object = json_loadb(text.ptr ? (const char *)text.ptr : "", text.len, JSON_REJECT_DUPLICATES, &error);
	json_budget_end();
	if (!json_is_object(object)) {
		snprintf(problem, CONTROL_PROBLEM_MAX, "a line is one JSON object");
		json_decref(object);
		return false;
	}
	line->object = object;
	if (find_verb(line, object, problem) && set_arguments(line, object, problem) && judge(line, problem))
		return true;
	control_line_fini(line);
	return false;
}

void
control_line_fini(struct control_line *line)
{
	json_decref(line->object);
	line->object = NULL;
}
