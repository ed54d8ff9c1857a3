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
	[CONTROL_RELOAD] = "reload",
	[CONTROL_HOLD] = "hold",
	[CONTROL_RELEASE] = "release",
	[CONTROL_DROP] = "drop",
	[CONTROL_REPLAY] = "replay",
	[CONTROL_PURGE] = "purge",
	[CONTROL_PEER_TEST] = "peer-test",
};

enum kind {
	KIND_NUMBER, /* 0 .. 2^53 */
	KIND_SIGNED,
	KIND_FLAG,
	KIND_TEXT,
	KIND_IDS, /* 1 .. 2^53, ascending */
};

/* Who may be given which argument. */
static const struct argument {
	const char *name;
	enum kind kind;
	size_t offset;
	unsigned verbs;
} arguments[] = {
	{ "id", KIND_NUMBER, offsetof(struct control_line, id),
	    BIT(CONTROL_SHOW) | BIT(CONTROL_WHY) | BIT(CONTROL_TAIL) | BIT(CONTROL_PURGE) },
	{ "document", KIND_NUMBER, offsetof(struct control_line, document), BIT(CONTROL_SHOW) },
	{ "proof", KIND_FLAG, offsetof(struct control_line, proof), BIT(CONTROL_SHOW) },
	{ "content", KIND_FLAG, offsetof(struct control_line, content), BIT(CONTROL_SHOW) },
	{ "reason", KIND_TEXT, offsetof(struct control_line, reason),
	    BIT(CONTROL_SHOW) | BIT(CONTROL_REBUILD) | BIT(CONTROL_HOLD) | BIT(CONTROL_RELEASE) |
		BIT(CONTROL_DROP) | BIT(CONTROL_REPLAY) | BIT(CONTROL_PURGE) },
	{ "peer", KIND_TEXT, offsetof(struct control_line, peer),
	    BIT(CONTROL_TAIL) | BIT(CONTROL_SEARCH) | BIT(CONTROL_REPLAY) | BIT(CONTROL_PEER_TEST) },
	{ "control", KIND_TEXT, offsetof(struct control_line, control), BIT(CONTROL_SEARCH) },
	{ "type", KIND_TEXT, offsetof(struct control_line, type), BIT(CONTROL_SEARCH) | BIT(CONTROL_REPLAY) },
	{ "destination", KIND_TEXT, offsetof(struct control_line, destination),
	    BIT(CONTROL_QUEUE) | BIT(CONTROL_HOLD) | BIT(CONTROL_RELEASE) | BIT(CONTROL_DROP) |
		BIT(CONTROL_REPLAY) },
	{ "to", KIND_TEXT, offsetof(struct control_line, to), BIT(CONTROL_REPLAY) },
	{ "errors", KIND_FLAG, offsetof(struct control_line, errors), BIT(CONTROL_TAIL) },
	{ "refused", KIND_FLAG, offsetof(struct control_line, refused), BIT(CONTROL_SEARCH) },
	{ "dead", KIND_FLAG, offsetof(struct control_line, dead), BIT(CONTROL_QUEUE) | BIT(CONTROL_REPLAY) },
	{ "yes", KIND_FLAG, offsetof(struct control_line, yes), BIT(CONTROL_DROP) | BIT(CONTROL_REPLAY) },
	{ "since", KIND_SIGNED, offsetof(struct control_line, since),
	    BIT(CONTROL_TAIL) | BIT(CONTROL_SEARCH) | BIT(CONTROL_REPLAY) },
	{ "until", KIND_SIGNED, offsetof(struct control_line, until), BIT(CONTROL_REPLAY) },
	{ "offset", KIND_SIGNED, offsetof(struct control_line, offset), BIT(CONTROL_TAIL) },
	{ "file", KIND_NUMBER, offsetof(struct control_line, file), BIT(CONTROL_TAIL) },
	{ "after", KIND_NUMBER, offsetof(struct control_line, after),
	    BIT(CONTROL_QUEUE) | BIT(CONTROL_SEARCH) | BIT(CONTROL_REPLAY) },
	{ "last", KIND_NUMBER, offsetof(struct control_line, last), BIT(CONTROL_REPLAY) },
	{ "limit", KIND_NUMBER, offsetof(struct control_line, limit),
	    BIT(CONTROL_QUEUE) | BIT(CONTROL_SEARCH) },
	{ "ids", KIND_IDS, 0, BIT(CONTROL_DROP) | BIT(CONTROL_REPLAY) },
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

/* Ascending, so that pages of one long list keep the journal's order and nothing is done twice. */
static bool
set_ids(struct control_line *line, json_t *value)
{
	size_t count = json_array_size(value); /* 0 for what is no array */
	json_int_t before = 0;

	if (count == 0 || count > CONTROL_IDS_MAX)
		return false;
	for (size_t i = 0; i < count; i++) {
		const json_t *id = json_array_get(value, i);

		if (!json_is_integer(id) || json_integer_value(id) <= before ||
		    json_integer_value(id) > SEQ_MAX)
			return false;
		before = json_integer_value(id);
	}
	line->ids = value;
	line->id_count = count;
	return true;
}

static const char *
kind_name(enum kind kind)
{
	switch (kind) {
	case KIND_FLAG:
		return "true or false";
	case KIND_TEXT:
		return "a text of at most 512 bytes without controls";
	case KIND_IDS:
		return "a list of 1 to 1000 ids in ascending order";
	default:
		return "a whole number within its bounds";
	}
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
	case KIND_IDS:
		if (!set_ids(line, value))
			break;
		return true;
	}
	snprintf(problem, CONTROL_PROBLEM_MAX, "argument \"%s\" is not %s", argument->name,
	    kind_name(argument->kind));
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

/* Blanks are no reason. */
static bool
is_blank(const char *text)
{
	return text[strspn(text, " ")] == '\0';
}

/* A replay is of ids, of a time, or of the dead letters of one destination: of one of them. */
static const char *
judge_replay(const struct control_line *line)
{
	if ((line->id_count > 0) + (line->since != 0) + line->dead != 1)
		return "replay what: \"ids\", \"since\" or \"dead\", one of them?";
	if (line->since < 0 || line->until < 0 || (line->until && line->until < line->since))
		return "\"since\" and \"until\" are no span of time";
	if (!line->since && (line->until || line->peer[0] || line->type[0]))
		return "\"until\", \"peer\" and \"type\" go with \"since\"";
	if (line->id_count && (line->destination[0] || line->after || line->last))
		return "\"destination\", \"after\" and \"last\" do not go with \"ids\"";
	if (line->dead && !line->destination[0])
		return "dead letters of which \"destination\"?";
	return NULL;
}

static const char *
judge_act(const struct control_line *line)
{
	const char *wrong = NULL;

	if (line->verb == CONTROL_REPLAY && (wrong = judge_replay(line)) != NULL)
		return wrong;
	if (line->verb == CONTROL_DROP && !line->id_count)
		return "which \"ids\"?";
	if (line->verb != CONTROL_REPLAY && !line->destination[0])
		return "which \"destination\"?";
	if ((line->verb == CONTROL_HOLD || line->yes) && is_blank(line->reason))
		return "this is done for a reason only: \"reason\" is missing";
	return NULL;
}

/* What one command alone demands. */
static bool
judge(const struct control_line *line, char *problem)
{
	const char *wrong = NULL;

	if ((line->verb == CONTROL_SHOW || line->verb == CONTROL_WHY || line->verb == CONTROL_PURGE) &&
	    !line->id)
		wrong = "which id?";
	else if (line->verb == CONTROL_PURGE && is_blank(line->reason))
		wrong = "this is done for a reason only: \"reason\" is missing";
	else if (line->content && is_blank(line->reason))
		wrong = "content is given for a reason only: \"reason\" is missing";
	else if (line->proof && line->content)
		wrong = "a proof shows no content: \"proof\" or \"content\", one of them";
	else if (line->document && !line->content)
		wrong = "a document is content: \"content\" is missing";
	else if (line->verb == CONTROL_QUEUE && line->dead && !line->destination[0])
		wrong = "dead letters of which \"destination\"?";
	else if (line->verb == CONTROL_PEER_TEST && !line->peer[0])
		wrong = "which \"peer\"?";
	else if (line->verb == CONTROL_HOLD || line->verb == CONTROL_RELEASE || line->verb == CONTROL_DROP ||
		 line->verb == CONTROL_REPLAY)
		wrong = judge_act(line);
	if (wrong)
		snprintf(problem, CONTROL_PROBLEM_MAX, "%s", wrong);
	return !wrong;
}

bool
control_line_parse(struct control_line *line, struct span text, char problem[CONTROL_PROBLEM_MAX])
{
	json_error_t error;
	json_t *object;

	*line = (struct control_line){
		.reason = "", .peer = "", .control = "", .type = "", .destination = "", .to = ""
	};
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

uint64_t
control_line_id(const struct control_line *line, size_t i)
{
	return (uint64_t)json_integer_value(json_array_get(line->ids, i));
}
