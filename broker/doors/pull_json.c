/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pull API's JSON.
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "broker/doors/json_budget.h"
#include "broker/doors/pull_json.h"
#include "broker/doors/pull_text.h"
#include "codecs/digest.h"

#define ITEM_BUDGET ((size_t)8 << 20)  /* a thousand documents with long texts */
#define ACK_BUDGET  ((size_t)48 << 20) /* a body of 1 MiB of one-digit numbers */

char *
pull_json_time(uint64_t time_us, char out[static PULL_TIME_SIZE])
{
	time_t seconds = (time_t)(time_us / 1000000);
	unsigned milliseconds = (unsigned)(time_us / 1000 % 1000);
	struct tm tm;
	size_t n;

	if (!gmtime_r(&seconds, &tm))
		(void)gmtime_r(&(time_t){ 0 }, &tm);
	n = strftime(out, PULL_TIME_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
	(void)snprintf(out + n, PULL_TIME_SIZE - n, ".%03uZ", milliseconds);
	return out;
}

static int
to_buffer(const char *text, size_t len, void *data)
{
	struct buffer *out = data;

	buffer_append(out, text, len);
	return buffer_failed(out) ? -1 : 0;
}

/* Append ${value}, which is given away; false when it is NULL or does not fit. */
static bool
dump(struct buffer *out, json_t *value)
{
	bool fits = value && json_dump_callback(value, to_buffer, out, JSON_COMPACT | JSON_ENCODE_ANY) == 0;

	json_decref(value);
	return fits;
}

void
pull_json_string(struct buffer *out, const char *text)
{
	if (!dump(out, json_string(text)))
		out->failed = true;
}

/* What ${decode} makes of ${raw} as a JSON string; null when there is nothing. */
static json_t *
decoded(void (*decode)(const struct pull_text *how, struct span value, size_t max, struct buffer *out),
    const struct pull_text *how, struct span raw)
{
	struct buffer text;
	json_t *value;

	if (hl7_is_absent(raw))
		return json_null();
	buffer_init(&text, PULL_TEXT_MAX);
	decode(how, raw, PULL_TEXT_MAX, &text);
	if (buffer_failed(&text))
		value = NULL;
	else
		value = text.len ? json_stringn((const char *)text.data, text.len) : json_null();
	buffer_fini(&text);
	return value;
}

static json_t *
text_of(const struct pull_text *how, struct span raw)
{
	return decoded(pull_text_decode, how, raw);
}

/* Of a field that names a system: its name, without its identifiers. */
static json_t *
name_of(const struct pull_text *how, struct span raw)
{
	return decoded(pull_text_name, how, raw);
}

static json_t *
type_of(const struct facts *facts)
{
	char text[32];
	int n;

	/* Both are checked to be three letters or digits before a message is accepted. */
	n = snprintf(text, sizeof(text), "%.*s%s%.*s", (int)span_cut(facts->type, 0, 8).len,
	    (const char *)facts->type.ptr, hl7_is_absent(facts->event) ? "" : "^",
	    hl7_is_absent(facts->event) ? 0 : (int)span_cut(facts->event, 0, 8).len,
	    (const char *)facts->event.ptr);
	return json_stringn(text, (size_t)n);
}

static json_t *
document_of(const struct pull_text *how, const struct facts_document *document, size_t index)
{
	json_t *object = json_object();
	int error = 0;

	error |= json_object_set_new(object, "index", json_integer((json_int_t)index));
	error |= json_object_set_new(object, "media_type", text_of(how, document->media));
	error |= json_object_set_new(object, "type_code", text_of(how, document->type_code));
	error |= json_object_set_new(object, "type_system", text_of(how, document->type_system));
	error |= json_object_set_new(object, "title", text_of(how, document->title));
	error |= json_object_set_new(object, "unique_id", text_of(how, document->unique_id));
	error |= json_object_set_new(object, "form", text_of(how, document->form));
	error |= json_object_set_new(object, "size", json_integer((json_int_t)document->size));
	if (error) {
		json_decref(object);
		return NULL;
	}
	return object;
}

static json_t *
documents_of(const struct pull_text *how, const struct facts *facts)
{
	json_t *array = json_array();

	for (size_t i = 0; i < facts->document_count && i < PULL_DOCUMENTS_MAX; i++) {
		if (json_array_append_new(array, document_of(how, &facts->documents[i], i + 1)) != 0) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

static json_t *
sender_of(const struct pull_text *how, const struct facts *facts)
{
	json_t *object = json_object();
	int error = 0;

	error |=
	    json_object_set_new(object, "peer", json_stringn((const char *)facts->peer.ptr, facts->peer.len));
	error |= json_object_set_new(object, "application", name_of(how, facts->sending_application));
	error |= json_object_set_new(object, "facility", name_of(how, facts->sending_facility));
	if (error) {
		json_decref(object);
		return NULL;
	}
	return object;
}

static json_t *
item_of(const struct record_head *head, const struct facts *facts)
{
	struct pull_text how;
	char when[PULL_TIME_SIZE], hex[DIGEST_HEX_SIZE(DIGEST_SHA256_LEN)];
	json_t *object = json_object();
	int error = 0;

	pull_text_init(&how, facts);
	error |= json_object_set_new(object, "seq", json_integer((json_int_t)head->seq));
	error |= json_object_set_new(object, "received", json_string(pull_json_time(head->time_us, when)));
	error |= json_object_set_new(object, "message_time", text_of(&how, facts->time));
	error |= json_object_set_new(object, "sender", sender_of(&how, facts));
	error |= json_object_set_new(object, "type", type_of(facts));
	error |= json_object_set_new(object, "control_id", text_of(&how, facts->control_id));
	error |= json_object_set_new(object, "processing", text_of(&how, facts->processing));
	error |= json_object_set_new(object, "size", json_integer((json_int_t)head->size));
	error |= json_object_set_new(
	    object, "sha256", json_string(digest_hex(span_make(head->sha256, DIGEST_SHA256_LEN), hex)));
	error |=
	    json_object_set_new(object, "document_count", json_integer((json_int_t)facts->document_count));
	error |= json_object_set_new(object, "documents", documents_of(&how, facts));
	if (error) {
		json_decref(object);
		return NULL;
	}
	return object;
}

bool
pull_json_item(struct buffer *out, const struct record_head *head, const struct facts *facts)
{
	size_t len = out->len;
	bool fits;

	json_budget_begin(ITEM_BUDGET);
	fits = dump(out, item_of(head, facts));
	json_budget_end();
	if (!fits)
		out->len = len;
	return fits;
}

void
pull_json_inbox(
    struct buffer *out, const struct config_destination *inbox, size_t waiting, uint64_t oldest_us)
{
	char when[PULL_TIME_SIZE];

	buffer_append_str(out, "{\"name\":");
	pull_json_string(out, inbox->name);
	buffer_append_str(out, ",\"establishment\":");
	pull_json_string(out, inbox->establishment->name);
	buffer_printf(out,
	    ",\"mode\":\"%s\",\"waiting\":%zu,\"oldest\":", config_mode_name(inbox->establishment->mode),
	    waiting);
	if (oldest_us)
		pull_json_string(out, pull_json_time(oldest_us, when));
	else
		buffer_append_str(out, "null");
	buffer_append_byte(out, '}');
}

/*
 * Acknowledgements
 */
static bool
seq_of(const json_t *value, uint64_t *seq)
{
	if (!json_is_integer(value) || json_integer_value(value) < 1 ||
	    (uint64_t)json_integer_value(value) > PULL_SEQ_MAX)
		return false;
	*seq = (uint64_t)json_integer_value(value);
	return true;
}

/* A copy of the string ${value} (NULL: empty) of at most ${max} bytes in ${arena}. */
static bool
string_of(const json_t *value, size_t max, struct arena *arena, struct span *out)
{
	*out = SPAN_EMPTY;
	if (!value)
		return true;
	if (!json_is_string(value) || json_string_length(value) > max)
		return false;
	*out = arena_copy(arena, span_make(json_string_value(value), json_string_length(value)));
	return out->ptr || out->len == 0;
}

static const char *
read_accepted(const json_t *array, struct settlement *items)
{
	for (size_t i = 0; i < json_array_size(array); i++) {
		items[i].outcome = OUTCOME_ACCEPTED;
		if (!seq_of(json_array_get(array, i), &items[i].seq))
			return "Each element of \"accepted\" is the seq of an item, an integer.";
	}
	return NULL;
}

static const char *
read_rejected(const json_t *array, struct arena *arena, struct settlement *items)
{
	static const char wrong[] =
	    "Each element of \"rejected\" has seq, an integer, code, a text of 1 to 64 "
	    "bytes, perhaps text, of up to 1024 bytes, and nothing else.";

	for (size_t i = 0; i < json_array_size(array); i++) {
		const json_t *object = json_array_get(array, i), *code = json_object_get(object, "code"),
			     *text = json_object_get(object, "text");
		size_t known = 2 + (text ? 1 : 0);

		items[i].outcome = OUTCOME_REJECTED;
		if (!seq_of(json_object_get(object, "seq"), &items[i].seq) || !code ||
		    json_object_size(object) != known ||
		    !string_of(code, PULL_CODE_MAX, arena, &items[i].code) || items[i].code.len == 0 ||
		    !string_of(text, PULL_REASON_MAX, arena, &items[i].text))
			return wrong;
	}
	return NULL;
}

static int
compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static const char *
check_once(const struct settlement *items, size_t count, struct arena *arena)
{
	uint64_t *seqs = arena_calloc(arena, count, sizeof(*seqs));

	if (!seqs)
		return "The acknowledgement is too large.";
	for (size_t i = 0; i < count; i++)
		seqs[i] = items[i].seq;
	qsort(seqs, count, sizeof(*seqs), compare);
	for (size_t i = 1; i < count; i++)
		if (seqs[i] == seqs[i - 1])
			return "An item is named more than once.";
	return NULL;
}

static const char *
read_ack(const json_t *root, struct arena *arena, struct settlement **itemsp, size_t *countp)
{
	const json_t *accepted = json_object_get(root, "accepted"),
		     *rejected = json_object_get(root, "rejected");
	size_t members = (accepted ? 1u : 0u) + (rejected ? 1u : 0u);
	size_t accepted_count = json_array_size(accepted), count = accepted_count + json_array_size(rejected);
	const char *wrong;

	if (!json_is_object(root) || json_object_size(root) != members ||
	    (accepted && !json_is_array(accepted)) || (rejected && !json_is_array(rejected)))
		return "The body is an object with the arrays \"accepted\" and \"rejected\" and nothing "
		       "else.";
	if (count > PULL_ACK_ITEMS_MAX)
		return "At most 10000 items are acknowledged at a time.";
	*itemsp = arena_calloc(arena, count, sizeof(**itemsp));
	*countp = count;
	if (!*itemsp)
		return "The acknowledgement is too large.";
	wrong = read_accepted(accepted, *itemsp);
	if (!wrong)
		wrong = read_rejected(rejected, arena, *itemsp + accepted_count);
	return wrong ? wrong : check_once(*itemsp, count, arena);
}

const char *
pull_json_ack(struct span body, struct arena *arena, struct settlement **itemsp, size_t *countp)
{
	json_error_t error;
	const char *wrong;
	json_t *root;

	json_budget_begin(ACK_BUDGET);
	root = json_loadb((const char *)body.ptr, body.len, JSON_REJECT_DUPLICATES, &error);
	wrong = root ? read_ack(root, arena, itemsp, countp) : "The body is not well-formed JSON.";
	json_decref(root);
	json_budget_end();
	return wrong;
}

static const char *
outcome_text(enum outcome outcome)
{
	switch (outcome) {
	case OUTCOME_ACCEPTED:
		return "accepted";
	case OUTCOME_REJECTED:
		return "rejected";
	case OUTCOME_DROPPED:
		return "dropped";
	case OUTCOME_EXPIRED:
		break;
	}
	return "expired";
}

void
pull_json_results(struct buffer *out, const struct settlement *items, size_t count)
{
	buffer_append_str(out, "{\"results\":[");
	for (size_t i = 0; i < count; i++) {
		buffer_printf(out, "%s{\"seq\":%" PRIu64 ",\"result\":\"%s\"", i ? "," : "", items[i].seq,
		    items[i].result == SETTLED_NOW	? outcome_text(items[i].outcome)
		    : items[i].result == SETTLED_BEFORE ? "already"
							: "absent");
		if (items[i].result == SETTLED_BEFORE)
			buffer_printf(out, ",\"standing\":\"%s\"", outcome_text(items[i].standing));
		buffer_append_byte(out, '}');
	}
	buffer_append_str(out, "]}");
}
