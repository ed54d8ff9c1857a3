/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HL7 v2: any bytes are judged; a message that is taken is walked through in full and its index covers it; to
 * whatever came, the acknowledgement is one well-formed message that says what the fault says; the portable twins of the scans judge and
 * index it the same. The message is the whole input; the leniencies follow from its length.
 */
#include <stdint.h>
#include <stdlib.h>

#include "codecs/cpu.h"
#include "codecs/hl7_ack.h"
#include "codecs/hl7_check.h"
#include "codecs/hl7_escape.h"
#include "codecs/hl7_path.h"

#define CEILING ((size_t)16 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool holds)
{
	if (!holds)
		abort();
}

/* Every field by number and by iteration is the same; escapes decode within their bound. */
static void
walk_segment(const struct hl7_message *m, size_t segment)
{
	struct buffer text;
	unsigned count = hl7_field_count(m, segment);

	buffer_init(&text, CEILING);
	for (unsigned n = 0; n <= count && n < 64; n++) {
		struct span all = hl7_field_all(m, segment, n), rest = all, piece;
		unsigned repetition = 0;

		require(all.ptr != NULL);
		if (n == 0 || (n <= 2 && memcmp(m->segments[segment].name, "MSH", 3) == 0))
			continue;
		while (hl7_next(&rest, m->delimiters.repetition, &piece) && repetition < 64) {
			struct span again = hl7_field(m, segment, n, ++repetition);

			require(again.ptr == piece.ptr && again.len == piece.len);
			(void)hl7_subcomponent(&m->delimiters, hl7_component(&m->delimiters, piece, 2), 2);
		}
		buffer_reset(&text);
		hl7_escape_decode(&text, all, &m->delimiters, NULL);
		require(!buffer_failed(&text) && text.len <= 15 * all.len);
	}
	require(count == 0 || !hl7_field_all(m, segment, count + 1).ptr);
	buffer_fini(&text);
}

static void
check_message(const struct hl7_message *m, unsigned leniencies)
{
	require(m->count > 0 && m->segments[0].start == 0 && hl7_find(m, "MSH", 1) == 0);
	for (size_t i = 0; i < m->count; i++) {
		const struct hl7_segment *s = &m->segments[i];

		require(s->end >= s->start + 3 && s->end <= m->bytes.len);
		require(hl7_find(m, s->name, hl7_occurrence(m, i)) == i);
		if (!leniencies)
			require(m->bytes.ptr[s->end] == '\r' &&
				(i == 0 || s->start == m->segments[i - 1].end + 1));
		if (i < 32)
			walk_segment(m, i);
		if (i > 256)
			break;
	}
	require(leniencies || m->segments[m->count - 1].end + 1 == m->bytes.len);
}

/* The answer to ${h} with ${fault} is read back by the strict parser. */
static void
check_ack(const struct hl7_header *h, const struct fault *fault)
{
	const struct hl7_ack ack = { .code = hl7_ack_code_for(fault),
		.original = h,
		.control_id = span_str("7"),
		.time = span_str("20251121"),
		.fault = fault };
	struct hl7_ack_received r;
	struct hl7_message m;
	struct buffer b;
	struct arena a;
	struct fault f;

	buffer_init(&b, CEILING);
	arena_init(&a, CEILING);
	hl7_ack_write(&b, &ack);
	require(!buffer_failed(&b));
	require(hl7_parse(&m, buffer_span(&b), 0, &a, &f) == HL7_OK);
	require(m.count == (fault ? 3u : 2u));
	require(
	    hl7_ack_read(&m, &r, &f) == HL7_OK && r.code == ack.code && r.error_count == (fault ? 1u : 0u));
	require(span_eq_str(m.header.type, "ACK") && span_eq_str(m.header.field[10], "7"));
	if (h->legal && h->field[10].len <= HL7_CONTROL_ID_MAX) {
		size_t printable = 0;

		while (printable < h->field[10].len && h->field[10].ptr[printable] >= ' ')
			printable++;
		require(span_eq(r.control_id, span_cut(h->field[10], 0, printable)));
	}
	arena_fini(&a);
	buffer_fini(&b);
}

/* The same message by the portable twins: as ${m}, with ${fault} if it was refused. */
static void
check_portable(const struct hl7_message *m, enum hl7_verdict verdict, const struct hl7_rules *rules,
    const struct fault *fault)
{
	unsigned before = cpu_allow(0);
	struct hl7_message again;
	struct arena a;
	struct fault f;

	arena_init(&a, CEILING);
	require(hl7_check(&again, m->bytes, rules, &a, &f) == verdict);
	require(verdict != HL7_REFUSED ||
		(f.code == fault->code && f.offset == fault->offset && strcmp(f.path, fault->path) == 0));
	for (size_t n = 0; n <= HL7_HEADER_FIELDS; n++)
		require(again.header.field[n].ptr == m->header.field[n].ptr &&
			again.header.field[n].len == m->header.field[n].len);
	require(again.header.segment.len == m->header.segment.len && again.count == m->count);
	if (m->count)
		require(memcmp(again.segments, m->segments, m->count * sizeof(*m->segments)) == 0 &&
			memcmp(&again.used, &m->used, sizeof(m->used)) == 0);
	arena_fini(&a);
	(void)cpu_allow(before);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct hl7_rules rules = { .leniencies = (unsigned)size %
						       ((HL7_LENIENT_LF | HL7_LENIENT_NO_FINAL_CR) + 1) };
	struct span bytes = span_make(data, size);
	enum hl7_verdict verdict;
	struct hl7_message m;
	struct hl7_path path;
	struct arena a;
	struct fault f;

	arena_init(&a, CEILING);
	verdict = hl7_check(&m, bytes, &rules, &a, &f);
	check_portable(&m, verdict, &rules, &f);
	switch (verdict) {
	case HL7_OK:
		check_message(&m, rules.leniencies);
		check_ack(&m.header, NULL);
		break;
	case HL7_STRAY:
		require(m.header.legal);
		break;
	case HL7_REFUSED:
		require(f.offset <= size && (f.path[0] == '\0' || hl7_path_parse(&path, span_str(f.path))));
		require(
		    f.value.len == 0 || (f.value.ptr >= data && f.value.ptr + f.value.len <= data + size));
		check_ack(&m.header, &f);
		break;
	}
	arena_fini(&a);
	return 0;
}
