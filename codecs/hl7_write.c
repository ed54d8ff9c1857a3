/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Edits are sorted by segment and field, and the message is copied once: up to each field that is edited, then the field made
 * anew in the scratch arena, then on. A field is made by doing its edits one after the other on its raw text.
 */
#include "codecs/hl7_write.h"

#include <stdlib.h>

#define NAME_LEN 3u

/* An edit whose segment is found. */
struct task {
	size_t segment;
	uint32_t field;
	size_t order; /* index of the edit */
};

/* Separators that are missing before a place can be, outermost first. */
struct padding {
	uint8_t delimiter;
	uint32_t count;
};

static bool
is_msh(const struct hl7_message *m, size_t segment)
{
	return memcmp(m->segments[segment].name, "MSH", NAME_LEN) == 0;
}

static bool
holds(struct span value, uint8_t c)
{
	return value.len && memchr(value.ptr, c, value.len);
}

/* The value may hold separators below its place only, and no byte that ends a segment or a frame. */
static bool
is_value_for(struct span value, const struct hl7_path *p, const struct hl7_delimiters *d)
{
	if (holds(value, '\r') || holds(value, '\n') || holds(value, 0x0b) || holds(value, 0x1c) ||
	    holds(value, 0) || holds(value, d->field))
		return false;
	if ((p->repetition || p->component) && holds(value, d->repetition))
		return false;
	if (p->component && holds(value, d->component))
		return false;
	return !p->subcomponent || !holds(value, d->subcomponent);
}

static enum hl7_write_outcome
check_edit(const struct hl7_message *m, const struct hl7_edit *edit, struct task *task)
{
	const struct hl7_path *p = &edit->path;

	task->segment = hl7_path_segment(m, p);
	task->field = p->field;
	if (task->segment == HL7_NONE)
		return HL7_WRITE_NO_SEGMENT;
	if (p->field == 0 || p->field > HL7_WRITE_NUMBER_MAX || p->repetition > HL7_WRITE_NUMBER_MAX ||
	    p->component > HL7_WRITE_NUMBER_MAX || p->subcomponent > HL7_WRITE_NUMBER_MAX ||
	    (p->subcomponent && !p->component) || (p->field <= 2 && is_msh(m, task->segment)))
		return HL7_WRITE_BAD_PLACE;
	return is_value_for(edit->value, p, &m->delimiters) ? HL7_WRITE_OK : HL7_WRITE_BAD_VALUE;
}

static int
compare_tasks(const void *a, const void *b)
{
	const struct task *x = a, *y = b;

	if (x->segment != y->segment)
		return x->segment < y->segment ? -1 : 1;
	if (x->field != y->field)
		return x->field < y->field ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

/*
 * Narrow [*from, *to) of ${text} to its part ${n}; returns how many separators are missing before it (the place is then
 * the end of the range, and empty).
 */
static uint32_t
narrow(struct span text, size_t *from, size_t *to, uint8_t delimiter, uint32_t n)
{
	const uint8_t *hit;

	while (n > 1) {
		hit = *to > *from ? memchr(text.ptr + *from, delimiter, *to - *from) : NULL;
		if (!hit) {
			*from = *to;
			return n - 1;
		}
		*from = (size_t)(hit - text.ptr) + 1;
		n--;
	}
	hit = *to > *from ? memchr(text.ptr + *from, delimiter, *to - *from) : NULL;
	if (hit)
		*to = (size_t)(hit - text.ptr);
	return 0;
}

/* ${text}, the raw field, with ${edit} done; *failed when the arena is full. */
static struct span
edit_field(struct span text, const struct hl7_edit *edit, const struct hl7_delimiters *d, struct arena *a,
    bool *failed)
{
	const struct hl7_path *p = &edit->path;
	struct padding pads[3] = { { d->repetition, 0 }, { d->component, 0 }, { d->subcomponent, 0 } };
	size_t from = 0, to = text.len, missing = 0, size;
	uint8_t *made, *put;

	if (!p->repetition && !p->component)
		return edit->value;
	pads[0].count = narrow(text, &from, &to, d->repetition, p->repetition ? p->repetition : 1);
	if (p->component)
		pads[1].count = narrow(text, &from, &to, d->component, p->component);
	if (p->subcomponent)
		pads[2].count = narrow(text, &from, &to, d->subcomponent, p->subcomponent);
	for (size_t i = 0; i < 3; i++)
		missing += pads[i].count;
	if (missing && !edit->value.len)
		return text;

	size = from + missing + edit->value.len + (text.len - to);
	made = put = arena_alloc(a, size);
	if (!made) {
		*failed = true;
		return text;
	}
	if (from)
		memcpy(put, text.ptr, from);
	put += from;
	for (size_t i = 0; i < 3; i++) {
		memset(put, pads[i].delimiter, pads[i].count);
		put += pads[i].count;
	}
	if (edit->value.len)
		memcpy(put, edit->value.ptr, edit->value.len);
	put += edit->value.len;
	if (text.len > to)
		memcpy(put, text.ptr + to, text.len - to);
	return span_make(made, size);
}

/* Where the writer stands in the message it copies. */
struct cursor {
	const struct hl7_message *m;
	struct buffer *out;
	size_t copied;	/* bytes of the message dealt with */
	size_t segment; /* whose field ${field} begins at ${at} */
	uint32_t field;
	size_t at;
	bool past_end; /* the segment has no such field: ${at} is its end */
};

/*
 * Go to the field of ${task}. In a segment that has fewer fields, what is missing is counted into *missing: separators to
 * write at the end before the value.
 */
static struct span
seek_field(struct cursor *c, const struct task *task, uint32_t *missing)
{
	const struct hl7_segment *s = &c->m->segments[task->segment];
	uint8_t separator = c->m->delimiters.field;
	const uint8_t *hit;
	size_t from;

	if (c->segment != task->segment) {
		c->segment = task->segment;
		c->field = is_msh(c->m, task->segment) ? 1 : 0;
		c->at = s->start;
		c->past_end = false;
	}
	while (!c->past_end && c->field < task->field) {
		from = c->field == 0 || c->at == s->start ? s->start + NAME_LEN : c->at;
		hit = from < s->end ? memchr(c->m->bytes.ptr + from, separator, s->end - from) : NULL;
		if (!hit) {
			c->past_end = true;
			c->at = s->end;
			break;
		}
		c->at = (size_t)(hit - c->m->bytes.ptr) + 1;
		c->field++;
	}
	*missing = task->field - c->field;
	if (c->past_end)
		return span_make(c->m->bytes.ptr + c->at, 0);
	hit = c->at < s->end ? memchr(c->m->bytes.ptr + c->at, separator, s->end - c->at) : NULL;
	return span_make(
	    c->m->bytes.ptr + c->at, hit ? (size_t)(hit - c->m->bytes.ptr) - c->at : s->end - c->at);
}

/* Write up to and with the field that ${count} ${tasks} edit. */
static bool
write_field(struct cursor *c, const struct hl7_edit *edits, const struct task *tasks, size_t count,
    struct arena *scratch)
{
	uint32_t missing;
	struct span old = seek_field(c, tasks, &missing), made = old;
	bool failed = false;

	for (size_t i = 0; i < count; i++)
		made = edit_field(made, &edits[tasks[i].order], &c->m->delimiters, scratch, &failed);
	if (failed)
		return false;
	if (missing && !made.len)
		return true;
	buffer_append(c->out, c->m->bytes.ptr + c->copied, c->at - c->copied);
	c->copied = c->at + old.len;
	for (uint32_t i = 0; i < missing; i++)
		buffer_append_byte(c->out, c->m->delimiters.field);
	c->field += missing;
	buffer_append_span(c->out, made);
	return !buffer_failed(c->out);
}

enum hl7_write_outcome
hl7_write(struct buffer *out, const struct hl7_message *m, const struct hl7_edit *edits, size_t count,
    struct arena *scratch, size_t *bad)
{
	struct cursor c = { .m = m, .out = out, .segment = HL7_NONE };
	struct task *tasks = arena_calloc(scratch, count, sizeof(*tasks));
	size_t begin = out->len, next;

	if (!tasks)
		return HL7_WRITE_MEMORY;
	for (size_t i = 0; i < count; i++) {
		enum hl7_write_outcome outcome = check_edit(m, &edits[i], &tasks[i]);

		tasks[i].order = i;
		if (outcome != HL7_WRITE_OK) {
			if (bad)
				*bad = i;
			return outcome;
		}
	}
	qsort(tasks, count, sizeof(*tasks), compare_tasks);
	for (size_t i = 0; i < count; i = next) {
		next = i + 1;
		while (next < count && tasks[next].segment == tasks[i].segment &&
		       tasks[next].field == tasks[i].field)
			next++;
		if (!write_field(&c, edits, &tasks[i], next - i, scratch)) {
			out->len = begin;
			return HL7_WRITE_MEMORY;
		}
	}
	buffer_append(out, m->bytes.ptr + c.copied, m->bytes.len - c.copied);
	if (!buffer_failed(out))
		return HL7_WRITE_OK;
	out->len = begin;
	return HL7_WRITE_MEMORY;
}
