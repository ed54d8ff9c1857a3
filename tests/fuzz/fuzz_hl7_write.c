/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HL7 v2 edits: without edits the same bytes; with one, what is set is got back, segments stay as many, those before and behind are
 * the same bytes, and writing the old value back gives a message that reads as before. Input: a path, "=", a raw value, LF, the message;
 * the leniencies follow from its length.
 */
#include <stdint.h>
#include <stdlib.h>

#include "codecs/hl7_write.h"

#define CEILING ((size_t)32 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool holds)
{
	if (!holds)
		abort();
}

/* Cut ${input} at its first ${byte} into ${head}; false when there is none. */
static bool
cut_at(struct span *input, uint8_t byte, struct span *head)
{
	const uint8_t *hit = input->len ? memchr(input->ptr, byte, input->len) : NULL;

	if (!hit)
		return false;
	*head = span_make(input->ptr, (size_t)(hit - input->ptr));
	*input = span_cut(*input, head->len + 1, input->len);
	return true;
}

static bool
holds_control(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] < ' ')
			return true;
	return false;
}

static void
check_edit(const struct hl7_message *m, unsigned leniencies, const struct hl7_edit *edit, struct arena *a,
    struct buffer *out)
{
	size_t segment = hl7_path_segment(m, &edit->path);
	struct hl7_message after;
	struct span old;
	struct fault f;

	if (hl7_write(out, m, edit, 1, a, NULL) != HL7_WRITE_OK) {
		require(out->len == 0);
		return;
	}
	/* Under the leniency lf an edit can make an LF an end that was data before, or the other way round. */
	if (leniencies & HL7_LENIENT_LF)
		return;
	require(hl7_parse(&after, buffer_span(out), leniencies, a, &f) == HL7_OK);
	require(after.count == m->count);
	require(span_eq(hl7_path_get(&after, &edit->path), edit->value));
	for (size_t i = 0; i < m->count && i < 256; i++)
		if (i != segment)
			require(span_eq(hl7_segment_span(m, i), hl7_segment_span(&after, i)));
	old = hl7_path_get(m, &edit->path);
	if (old.ptr) {
		const struct hl7_edit back = { edit->path, old };
		struct buffer again;

		buffer_init(&again, CEILING);
		/* A control byte that came in is kept, but is no value to set. */
		switch (hl7_write(&again, &after, &back, 1, a, NULL)) {
		case HL7_WRITE_OK:
			require(span_eq(buffer_span(&again), m->bytes));
			break;
		case HL7_WRITE_BAD_VALUE:
			require(holds_control(old));
			break;
		default:
			abort();
		}
		buffer_fini(&again);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span input = span_make(data, size), path;
	struct hl7_message m;
	struct hl7_edit edit;
	unsigned leniencies;
	struct buffer out;
	struct arena a;
	struct fault f;
	bool has_edit;

	has_edit = cut_at(&input, '=', &path) && cut_at(&input, '\n', &edit.value) &&
		   hl7_path_parse(&edit.path, path);
	if (!has_edit)
		return 0;
	leniencies = (unsigned)size % ((HL7_LENIENT_LF | HL7_LENIENT_NO_FINAL_CR) + 1);
	arena_init(&a, CEILING);
	buffer_init(&out, CEILING);
	if (hl7_parse(&m, input, leniencies, &a, &f) == HL7_OK) {
		require(hl7_write(&out, &m, NULL, 0, &a, NULL) == HL7_WRITE_OK);
		require(span_eq(buffer_span(&out), input));
		buffer_reset(&out);
		check_edit(&m, leniencies, &edit, &a, &out);
	}
	buffer_fini(&out);
	arena_fini(&a);
	return 0;
}
