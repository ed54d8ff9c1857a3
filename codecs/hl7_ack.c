/* SPDX-License-Identifier: Apache-2.0 */
/* Acknowledgements: the writer goes field by field through MSH, MSA, ERR; the reader knows the old and the new ERR. */
#include "codecs/hl7_ack.h"

#include "codecs/hl7_escape.h"

static const char *const code_names[] = {
	[HL7_AA] = "AA",
	[HL7_AE] = "AE",
	[HL7_AR] = "AR",
	[HL7_CA] = "CA",
	[HL7_CE] = "CE",
	[HL7_CR] = "CR",
};

const char *
hl7_ack_code_name(enum hl7_ack_code code)
{
	return code_names[code];
}

enum hl7_ack_code
hl7_ack_code_for(const struct fault *fault)
{
	if (!fault)
		return HL7_AA;
	return fault_is_circumstance(fault->code) ? HL7_AR : HL7_AE;
}

/*
 * Writing
 */

struct writer {
	struct buffer *b;
	const struct hl7_header *h;
	struct hl7_delimiters d;
	bool old_errors;     /* v2.4 or older: ERR-1 and MSA-3 */
	bool structure;	     /* v2.3.1 or later: MSH-9 has three components */
	bool version_copied; /* MSH-12 of the original is one we know */
};

static void
separator(struct writer *w)
{
	buffer_append_byte(w->b, w->d.field);
}

/* Copy a raw field of the original, without anything that could break the answer. */
static void
copy(struct writer *w, struct span value)
{
	size_t plain = 0, i;

	value = span_cut(value, 0, HL7_ACK_COPY_MAX);
	for (i = 0; i < value.len && value.ptr[i] >= ' '; i++) {
		/* Only where the answer has other delimiters than the original. */
		if (value.ptr[i] != w->d.field)
			continue;
		buffer_append(w->b, value.ptr + plain, i - plain);
		hl7_escape_encode(w->b, span_make(value.ptr + i, 1), &w->d);
		plain = i + 1;
	}
	if (i > plain)
		buffer_append(w->b, value.ptr + plain, i - plain);
}

static void
text(struct writer *w, const char *s)
{
	hl7_escape_encode(w->b, span_str(s), &w->d);
}

/* ${code} SEP text SEP HL70357 */
static void
coded(struct writer *w, enum fault_code code, uint8_t between)
{
	int hl7_code = fault_hl7_code(code);

	buffer_printf(w->b, "%d%c", hl7_code, between);
	text(w, fault_hl7_text(hl7_code));
	buffer_printf(w->b, "%cHL70357", between);
}

/* v2.1 to ${last}, and what was made of v2.3 later if ${also}. */
static bool
is_old(struct span version, char last, bool also)
{
	if (version.len < 3 || version.ptr[0] != '2' || version.ptr[1] != '.')
		return false;
	if (version.len == 3)
		return version.ptr[2] >= '1' && version.ptr[2] <= (uint8_t)last;
	return also && span_eq_str(version, "2.3.1");
}

/* MSH-9: ACK ^ event ^ ACK, as far as the version knows. */
static void
write_type(struct writer *w)
{
	struct span event = w->h->event;
	bool usable = event.len == 3;

	for (size_t i = 0; usable && i < event.len; i++)
		usable = (event.ptr[i] >= 'A' && event.ptr[i] <= 'Z') ||
			 (event.ptr[i] >= '0' && event.ptr[i] <= '9');
	buffer_append_str(w->b, "ACK");
	if (usable || w->structure)
		buffer_append_byte(w->b, w->d.component);
	if (usable)
		buffer_append_span(w->b, event);
	if (w->structure) {
		buffer_append_byte(w->b, w->d.component);
		buffer_append_str(w->b, "ACK");
	}
}

static void
write_msh(struct writer *w, const struct hl7_ack *ack)
{
	static const unsigned swapped[] = { 5, 6, 3, 4 };
	const struct hl7_header *h = w->h;
	const uint8_t begin[] = { 'M', 'S', 'H', w->d.field, w->d.component, w->d.repetition, w->d.escape,
		w->d.subcomponent, w->d.truncation };

	buffer_append(w->b, begin, w->d.truncation ? 9 : 8);
	for (size_t i = 0; i < 4; i++) {
		separator(w);
		copy(w, h->field[swapped[i]]);
	}
	separator(w);
	copy(w, ack->time);
	separator(w);
	separator(w);
	write_type(w);
	separator(w);
	copy(w, ack->control_id);
	separator(w);
	if (hl7_is_absent(h->field[11]))
		buffer_append_byte(w->b, 'P');
	else
		copy(w, h->field[11]);
	separator(w);
	if (w->version_copied)
		copy(w, h->field[12]);
	else
		buffer_append_str(w->b, "2.5");
	if (h->field[17].len || h->field[18].len) {
		for (int i = 0; i < 5; i++)
			separator(w);
		copy(w, h->field[17]);
	}
	if (h->field[18].len) {
		separator(w);
		copy(w, h->field[18]);
	}
	buffer_append_byte(w->b, '\r');
}

static void
write_msa(struct writer *w, const struct hl7_ack *ack)
{
	buffer_append_str(w->b, "MSA");
	separator(w);
	buffer_append_str(w->b, hl7_ack_code_name(ack->code));
	separator(w);
	copy(w, w->h->field[10]);
	if (ack->fault && w->old_errors) {
		separator(w);
		text(w, ack->fault->message);
	}
	buffer_append_byte(w->b, '\r');
}

/* ERR-1: SEG ^ sequence ^ field ^ code & text & table. */
static void
write_err_old(struct writer *w, const struct fault *fault)
{
	struct hl7_path path;

	buffer_append_str(w->b, "ERR");
	separator(w);
	if (hl7_path_parse(&path, span_str(fault->path)))
		hl7_path_eld(&path, w->d.component, w->b);
	else
		buffer_printf(w->b, "%c%c", w->d.component, w->d.component);
	buffer_append_byte(w->b, w->d.component);
	coded(w, fault->code, w->d.subcomponent);
	buffer_append_byte(w->b, '\r');
}

/* ERR-2 place, ERR-3 code, ERR-4 severity, ERR-5 application code, ERR-7 diagnostic, ERR-8 sentence. */
static void
write_err(struct writer *w, const struct fault *fault)
{
	static const char severities[] = {
		[FAULT_ERROR] = 'E', [FAULT_WARNING] = 'W', [FAULT_INFORMATION] = 'I'
	};
	struct hl7_path path;

	buffer_append_str(w->b, "ERR");
	separator(w);
	separator(w);
	if (hl7_path_parse(&path, span_str(fault->path)))
		hl7_path_erl(&path, w->d.component, w->b);
	separator(w);
	coded(w, fault->code, w->d.component);
	separator(w);
	buffer_append_byte(w->b, (uint8_t)severities[fault->severity]);
	separator(w);
	if (fault->application_code)
		buffer_printf(w->b, "%d%c%cHL70533", fault->application_code, w->d.component, w->d.component);
	separator(w);
	separator(w);
	text(w, fault_name(fault->code));
	buffer_printf(w->b, " at byte %zu", fault->offset);
	separator(w);
	text(w, fault->message);
	buffer_append_byte(w->b, '\r');
}

void
hl7_ack_write(struct buffer *b, const struct hl7_ack *ack)
{
	const struct hl7_header *h = ack->original;
	struct writer w = {
		.b = b,
		.h = h,
		.d = h->legal ? h->delimiters : hl7_default_delimiters,
		.old_errors = is_old(h->version, '4', true),
		.structure = !is_old(h->version, '3', false),
		.version_copied = hl7_version_known(h->version),
	};

	write_msh(&w, ack);
	write_msa(&w, ack);
	if (!ack->fault)
		return;
	if (w.old_errors)
		write_err_old(&w, ack->fault);
	else
		write_err(&w, ack->fault);
}

/*
 * Reading
 */

static struct hl7_ack_error *
next_error(struct hl7_ack_received *r)
{
	return r->error_count < HL7_ACK_ERRORS_MAX ? &r->errors[r->error_count++] : NULL;
}

/* The form of v2.5: ERR-3 is there. */
static void
read_err(const struct hl7_message *m, size_t segment, struct hl7_ack_received *r)
{
	const struct hl7_delimiters *d = &m->delimiters;
	struct hl7_ack_error *e = next_error(r);
	struct span code = hl7_field(m, segment, 3, 1);

	if (!e)
		return;
	*e = (struct hl7_ack_error){
		.location = hl7_field(m, segment, 2, 1),
		.code = hl7_component(d, code, 1),
		.text = hl7_component(d, code, 2),
		.severity = hl7_field(m, segment, 4, 1),
		.application = hl7_component(d, hl7_field(m, segment, 5, 1), 1),
		.diagnostic = hl7_field(m, segment, 7, 1),
		.user_message = hl7_field(m, segment, 8, 1),
	};
	e->has_path = hl7_path_from_erl(&e->path, d, e->location);
}

/* The form of v2.4 and older: every repetition of ERR-1 is an error, its place three components long. */
static void
read_err_old(const struct hl7_message *m, size_t segment, struct hl7_ack_received *r)
{
	const struct hl7_delimiters *d = &m->delimiters;
	struct span all = hl7_field_all(m, segment, 1), one, code, place;
	struct hl7_ack_error *e;

	while (hl7_next(&all, d->repetition, &one)) {
		e = next_error(r);
		if (!e)
			return;
		code = hl7_component(d, one, 4);
		*e = (struct hl7_ack_error){ .location = one,
			.code = hl7_subcomponent(d, code, 1),
			.text = hl7_subcomponent(d, code, 2) };
		place = code.ptr ? span_make(one.ptr, (size_t)(code.ptr - one.ptr) - 1) : one;
		e->has_path = hl7_path_from_erl(&e->path, d, place);
	}
}

enum hl7_verdict
hl7_ack_read(const struct hl7_message *m, struct hl7_ack_received *r, struct fault *f)
{
	size_t msa = hl7_find(m, "MSA", 1);
	struct span code;

	*r = (struct hl7_ack_received){ 0 };
	if (msa == HL7_NONE) {
		fault_set(f, FAULT_SEGMENT_SEQUENCE, m->bytes.len, "MSA",
		    "The acknowledgement has no MSA segment.");
		return HL7_REFUSED;
	}
	code = hl7_field_all(m, msa, 1);
	while (r->code <= HL7_CR && !span_eq_str(code, code_names[r->code]))
		r->code++;
	if (r->code > HL7_CR) {
		fault_set(f, FAULT_TABLE_VALUE, m->segments[msa].start, "MSA-1",
		    "MSA-1 is no acknowledgement code.");
		f->value = code;
		r->code = HL7_AR;
		return HL7_REFUSED;
	}
	r->control_id = hl7_field_all(m, msa, 2);
	r->text = hl7_field_all(m, msa, 3);
	for (size_t i = hl7_find_from(m, "ERR", 0); i != HL7_NONE; i = hl7_find_from(m, "ERR", i + 1)) {
		r->err_segments++;
		if (hl7_field_all(m, i, 3).len)
			read_err(m, i, r);
		else
			read_err_old(m, i, r);
	}
	return HL7_OK;
}
