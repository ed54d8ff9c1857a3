/* SPDX-License-Identifier: Apache-2.0 */
/* The file of a proof: JSON in one spelling only. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "broker/cli/proof.h"
#include "codecs/base64.h"

#define FORMAT "liaison-proof 1"

/*
 * Writing
 */
static void
put_base64(struct buffer *out, struct span bytes)
{
	buffer_append_byte(out, '"');
	base64_encode(bytes, out);
	buffer_append_byte(out, '"');
}

struct lines {
	struct buffer *out;
	bool more;
};

/* Sentences hold no controls and are valid UTF-8 (printable_append): two escapes are enough. */
static void
put_line(void *arg, struct span text)
{
	struct lines *lines = arg;
	struct buffer *out = lines->out;

	buffer_append_str(out, lines->more ? ",\n    \"" : "\n    \"");
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] == '"' || text.ptr[i] == '\\')
			buffer_append_byte(out, '\\');
		buffer_append_byte(out, text.ptr[i]);
	}
	buffer_append_byte(out, '"');
	lines->more = true;
}

static void
put_part(struct buffer *out, const char *name, bool there, struct span part)
{
	buffer_printf(out, "      \"%s\": ", name);
	if (there)
		put_base64(out, part);
	else
		buffer_append_str(out, "null");
	buffer_append_str(out, ",\n");
}

static void
put_record(struct buffer *out, const struct proof_record *record)
{
	put_part(out, "header", true, span_make(record->header, sizeof record->header));
	put_part(out, "facts", record->has_facts, record->facts);
	put_part(out, "decision", record->has_decision, record->decision);
	put_part(out, "chain_before", true, span_make(record->before, sizeof record->before));
	buffer_printf(out, "      \"signature\": %zu,\n      \"index\": %llu,\n      \"path\": [",
	    record->signature, (unsigned long long)record->index);
	for (size_t i = 0; i < record->path_count; i++) {
		buffer_append_str(out, i ? ",\n        " : "\n        ");
		put_base64(out, span_make(record->path[i], sizeof record->path[i]));
	}
	buffer_append_str(out, record->path_count ? "\n      ]\n" : "]\n");
}

int
proof_encode(const struct proof *proof, struct buffer *out)
{
	struct lines lines = { .out = out };
	int r;

	buffer_append_str(out, "{\n  \"format\": \"" FORMAT "\",\n  \"says\": [");
	r = proof_says(proof, put_line, &lines);
	if (r)
		return r;
	buffer_append_str(out, "\n  ],\n  \"records\": [");
	for (size_t i = 0; i < proof->record_count; i++) {
		buffer_append_str(out, i ? ",\n    {\n" : "\n    {\n");
		put_record(out, &proof->records[i]);
		buffer_append_str(out, "    }");
	}
	buffer_append_str(out, "\n  ],\n  \"signatures\": [");
	for (size_t i = 0; i < proof->signature_count; i++) {
		buffer_append_str(out, i ? ",\n    " : "\n    ");
		put_base64(out, proof->signatures[i]);
	}
	buffer_append_str(out, "\n  ]\n}\n");
	return buffer_failed(out) ? -ENOMEM : 0;
}

/*
 * Reading
 */
static bool
take_base64(const json_t *value, struct arena *arena, struct span *bytes)
{
	struct buffer decoded;
	struct span text;
	bool good;

	if (!json_is_string(value))
		return false;
	text = span_make(json_string_value(value), json_string_length(value));
	buffer_init(&decoded, base64_decoded_size(text.len) + 1);
	good = base64_decode(text, 0, &decoded, NULL) == BASE64_OK;
	*bytes = good ? arena_copy(arena, buffer_span(&decoded)) : SPAN_EMPTY;
	good = good && bytes->len == decoded.len;
	buffer_fini(&decoded);
	return good;
}

static bool
take_fixed(const json_t *value, struct arena *arena, uint8_t *into, size_t len)
{
	struct span bytes;

	if (!take_base64(value, arena, &bytes) || bytes.len != len)
		return false;
	memcpy(into, bytes.ptr, len);
	return true;
}

static bool
take_part(const json_t *value, struct arena *arena, bool *there, struct span *part)
{
	*there = !json_is_null(value);
	*part = SPAN_EMPTY;
	return value && (!*there || take_base64(value, arena, part));
}

static bool
take_record(const json_t *object, struct arena *arena, struct proof_record *record)
{
	const json_t *path = json_object_get(object, "path"), *index = json_object_get(object, "index"),
		     *signature = json_object_get(object, "signature");

	if (!json_is_array(path) || json_array_size(path) > JOURNAL_PATH || !json_is_integer(index) ||
	    json_integer_value(index) < 0 || !json_is_integer(signature) || json_integer_value(signature) < 0)
		return false;
	record->index = (uint64_t)json_integer_value(index);
	record->signature = (size_t)json_integer_value(signature);
	record->path_count = json_array_size(path);
	for (size_t i = 0; i < record->path_count; i++)
		if (!take_fixed(json_array_get(path, i), arena, record->path[i], DIGEST_SHA256_LEN))
			return false;
	return take_fixed(json_object_get(object, "header"), arena, record->header, sizeof record->header) &&
	       take_fixed(
		   json_object_get(object, "chain_before"), arena, record->before, sizeof record->before) &&
	       take_part(json_object_get(object, "facts"), arena, &record->has_facts, &record->facts) &&
	       take_part(
		   json_object_get(object, "decision"), arena, &record->has_decision, &record->decision);
}

static bool
take_all(const json_t *root, struct arena *arena, struct proof *proof)
{
	const json_t *records = json_object_get(root, "records"),
		     *signatures = json_object_get(root, "signatures");
	const char *format = json_string_value(json_object_get(root, "format"));

	if (!format || strcmp(format, FORMAT) != 0 || json_array_size(records) == 0 ||
	    json_array_size(records) > PROOF_RECORDS || json_array_size(signatures) == 0 ||
	    json_array_size(signatures) > PROOF_SIGNATURES)
		return false;
	proof->record_count = json_array_size(records);
	proof->signature_count = json_array_size(signatures);
	proof->records = arena_calloc(arena, proof->record_count, sizeof *proof->records);
	proof->signatures = arena_calloc(arena, proof->signature_count, sizeof *proof->signatures);
	if (!proof->records || !proof->signatures)
		return false;
	for (size_t i = 0; i < proof->record_count; i++)
		if (!take_record(json_array_get(records, i), arena, &proof->records[i]))
			return false;
	for (size_t i = 0; i < proof->signature_count; i++)
		if (!take_base64(json_array_get(signatures, i), arena, &proof->signatures[i]))
			return false;
	return true;
}

bool
proof_decode(struct span file, struct arena *arena, struct proof *proof, char problem[PROOF_PROBLEM])
{
	json_t *root;
	bool good;

	memset(proof, 0, sizeof *proof);
	root = file.len && file.len <= PROOF_FILE_MAX
		   ? json_loadb((const char *)file.ptr, file.len, JSON_REJECT_DUPLICATES, NULL)
		   : NULL;
	good = json_is_object(root) && take_all(root, arena, proof);
	json_decref(root);
	if (!good)
		(void)snprintf(problem, PROOF_PROBLEM, "it is no proof of this version");
	return good;
}

bool
proof_verify(struct span file, const struct seal_trust *trust, struct arena *arena, struct proof *proof,
    char problem[PROOF_PROBLEM])
{
	struct buffer again;
	bool good;

	if (!proof_decode(file, arena, proof, problem) || !proof_check(proof, trust, problem))
		return false;
	buffer_init(&again, 2 * PROOF_FILE_MAX);
	good = proof_encode(proof, &again) == 0 && span_eq(buffer_span(&again), file);
	buffer_fini(&again);
	if (!good)
		(void)snprintf(problem, PROOF_PROBLEM, "its text is not what its proven bytes say");
	return good;
}
