/* SPDX-License-Identifier: Apache-2.0 */
/* An acknowledgement told to a human: see acknowledgement.h. */
#include "broker/cli/acknowledgement.h"

#include <string.h>

#include "codecs/arena.h"
#include "codecs/hl7.h"
#include "codecs/hl7_ack.h"
#include "codecs/hl7_escape.h"
#include "codecs/printable.h"

#define SHOWN_MAX 200
#define MEMORY	  ((size_t)4 << 20)

/* ${value} with its escapes decoded, safe for a terminal, behind ${before}; nothing when it is empty. */
static void
put(FILE *out, const char *before, struct span value, const struct hl7_delimiters *d)
{
	struct buffer text, shown;

	if (!value.len)
		return;
	buffer_init(&text, MEMORY);
	buffer_init(&shown, 4 * SHOWN_MAX);
	hl7_escape_decode(&text, value, d, NULL);
	printable_append(&shown, buffer_span(&text), SHOWN_MAX);
	fprintf(out, "%s%.*s", before, (int)shown.len, shown.len ? (const char *)shown.data : "");
	buffer_fini(&text);
	buffer_fini(&shown);
}

static void
print_error(FILE *out, const struct hl7_ack_error *error, const struct hl7_delimiters *d)
{
	struct hl7_path place = error->path;
	char path[HL7_PATH_TEXT_MAX];

	fprintf(out, "   ERR");
	if (place.repetition == 1) /* an ERL always says it, a reader need not */
		place.repetition = 0;
	if (error->has_path)
		fprintf(out, " %s", hl7_path_format(&place, path));
	else
		put(out, " ", error->location, d);
	put(out, " ", error->code, d);
	put(out, " ", error->text, d);
	put(out, ": ", error->user_message.len ? error->user_message : error->diagnostic, d);
	fputc('\n', out);
}

static void
print_read(FILE *out, const struct hl7_message *m, const struct hl7_ack_received *ack, struct span control,
    uint64_t took_us)
{
	const struct hl7_delimiters *d = &m->delimiters;
	bool same = span_eq(ack->control_id, control);

	fputs(hl7_ack_code_name(ack->code), out);
	put(out, " ", control.len ? control : span_str("(no control id)"), d);
	put(out, " -> ", m->header.field[10], d);
	fprintf(out, " (%llu ms)", (unsigned long long)(took_us / 1000));
	if (!same)
		put(out, " but it answers ", ack->control_id.len ? ack->control_id : span_str("nothing"), d);
	if (ack->text.len && ack->code != HL7_AA && !ack->error_count)
		put(out, ": ", ack->text, d);
	fputc('\n', out);
	for (size_t i = 0; i < ack->error_count; i++)
		print_error(out, &ack->errors[i], d);
}

bool
acknowledgement_print(FILE *out, struct span bytes, struct span control, uint64_t took_us)
{
	struct hl7_message message;
	struct hl7_ack_received ack;
	struct arena arena;
	struct fault fault;
	bool good = false;

	arena_init(&arena, MEMORY);
	if (hl7_parse(&message, bytes, HL7_LENIENT_LF | HL7_LENIENT_NO_FINAL_CR, &arena, &fault) != HL7_OK ||
	    hl7_ack_read(&message, &ack, &fault) != HL7_OK) {
		if (out)
			fprintf(out, "?? no acknowledgement: %s at %s\n", fault.message, fault.path);
	} else {
		if (out)
			print_read(out, &message, &ack, control, took_us);
		good = span_eq(ack.control_id, control) && (ack.code == HL7_AA || ack.code == HL7_CA);
	}
	arena_fini(&arena);
	return good;
}
