/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Header, index and fields of an HL7 v2 message.
 *
 * The index is made by one walk over the segments, whose ends are looked up in batches (codecs/scan.h). Most messages fit in a small
 * array on the stack, which is copied; a longer one is walked twice, first to count, so that the arena is asked once for what is
 * needed and no more.
 */
#include "codecs/hl7.h"

#include <stdio.h>

#include "codecs/scan.h"

#define CR 0x0du
#define LF 0x0au

#define NAME_LEN      3u
#define FIRST_INDEXED 64u /* segments indexed without a second walk */
#define ENDS	      64u /* ends of segments looked up at once */

const struct hl7_delimiters hl7_default_delimiters = { '|', '^', '~', '\\', '&', 0 };

static bool
is_upper(uint8_t c)
{
	return c >= 'A' && c <= 'Z';
}

static bool
is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

/* Printable ASCII that is neither letter, digit, blank nor quote: what may be a delimiter. */
static bool
is_delimiter(uint8_t c)
{
	return c > ' ' && c < 0x7f && c != '"' && !is_digit(c) && !is_upper(c) && !(c >= 'a' && c <= 'z');
}

/* True when a segment name stands at ${at}, followed by ${separator}, an end of segment or the end of the input. */
static bool
names_segment(struct span s, size_t at, uint8_t separator, bool lf)
{
	const uint8_t *p = s.ptr + at;
	uint8_t next;

	if (s.len - at < NAME_LEN || !is_upper(p[0]) || !(is_upper(p[1]) || is_digit(p[1])) ||
	    !(is_upper(p[2]) || is_digit(p[2])))
		return false;
	if (s.len - at == NAME_LEN)
		return true;
	next = p[NAME_LEN];
	return next == separator || next == CR || (lf && next == LF);
}

/* Leniency lf: does a run of LF that stops before ${next} end a segment, or is it data of the field it stands in? */
static bool
lf_ends_segment(struct span s, size_t next, uint8_t separator)
{
	return next == s.len || s.ptr[next] == CR || names_segment(s, next, separator, true);
}

/*
 * The header
 */

/* MSH-2 is four delimiters, or five with truncation, all different from each other and from MSH-1 (§2.5.4, v2.7 §2.5.5). */
static bool
read_delimiters(struct hl7_delimiters *d, uint8_t separator, struct span msh2)
{
	uint8_t all[6] = { separator };

	if (msh2.len < 4 || msh2.len > 5)
		return false;
	memcpy(all + 1, msh2.ptr, msh2.len);
	for (size_t i = 1; i <= msh2.len; i++) {
		if (!is_delimiter(all[i]))
			return false;
		for (size_t j = 0; j < i; j++)
			if (all[i] == all[j])
				return false;
	}
	*d = (struct hl7_delimiters){ all[0], all[1], all[2], all[3], all[4], all[5] };
	return true;
}

/* Cut MSH-1 to MSH-21 out of the segment, whose first ${count} separators stand at ${places}. */
static void
read_header_fields(struct hl7_header *h, const size_t *places, size_t count)
{
	h->field[0] = span_cut(h->segment, 0, NAME_LEN);
	h->field[1] = span_cut(h->segment, NAME_LEN, NAME_LEN + 1);
	for (size_t n = 2; n <= HL7_HEADER_FIELDS && n - 2 < count; n++) {
		size_t from = places[n - 2] + 1, to = n - 1 < count ? places[n - 1] : h->segment.len;

		h->field[n] = span_make(h->segment.ptr + from, to - from);
	}
}

/* The first ${count} components of the first repetition of MSH-${field}. */
static void
read_header_components(
    const struct hl7_header *h, unsigned field, struct span *const *components, size_t count)
{
	struct span rest = h->field[field], first = SPAN_EMPTY;

	(void)hl7_next(&rest, h->delimiters.repetition, &first);
	for (size_t i = 0; i < count && hl7_next(&first, h->delimiters.component, components[i]); i++)
		;
}

void
hl7_header_read(struct hl7_header *h, struct span bytes)
{
	size_t places[HL7_HEADER_FIELDS], count;
	uint8_t separator;

	*h = (struct hl7_header){ .delimiters = hl7_default_delimiters };
	if (bytes.len < NAME_LEN || memcmp(bytes.ptr, "MSH", NAME_LEN) != 0)
		return;
	h->is_msh = true;
	separator = bytes.len > NAME_LEN ? bytes.ptr[NAME_LEN] : 0;
	/* An LF in the MSH may be a fault; the fields before it can be read all the same. */
	h->segment =
	    span_cut(bytes, 0, scan_line(bytes.ptr, bytes.len, separator, places, HL7_HEADER_FIELDS, &count));
	if (!is_delimiter(separator))
		return;
	h->readable = true;
	read_header_fields(h, places, count);
	h->legal = read_delimiters(&h->delimiters, separator, h->field[2]);
	read_header_components(h, 9, (struct span *const[]){ &h->type, &h->event, &h->structure }, 3);
	read_header_components(h, 11, (struct span *const[]){ &h->processing }, 1);
	read_header_components(h, 12, (struct span *const[]){ &h->version }, 1);
}

enum hl7_verdict
hl7_header_judge(const struct hl7_header *h, struct span bytes, struct fault *f)
{
	if (!h->is_msh) {
		fault_set(
		    f, FAULT_SEGMENT_SEQUENCE, 0, "MSH", "The message does not begin with an MSH segment.");
		f->value = span_cut(bytes, 0, NAME_LEN);
		return HL7_REFUSED;
	}
	if (!h->readable) {
		fault_set(f, FAULT_DATA_TYPE, NAME_LEN, "MSH-1",
		    "The field separator is missing or is not a punctuation character.");
		f->value = span_cut(bytes, NAME_LEN, NAME_LEN + 1);
		return HL7_REFUSED;
	}
	if (!h->legal) {
		fault_set(f, FAULT_DATA_TYPE, NAME_LEN + 1, "MSH-2",
		    "The encoding characters must be four, or five with truncation, all punctuation and all "
		    "different.");
		f->value = h->field[2];
		return HL7_REFUSED;
	}
	return HL7_OK;
}

/*
 * The index
 */

struct walk {
	struct span bytes;
	size_t at;
	uint8_t separator;
	bool lf;
	bool no_final_end; /* the leniency */
	struct hl7_leniencies used;
	size_t looked;	     /* CR, and LF if that is one, are known up to here */
	size_t base;	     /* of the places in ${ends} */
	size_t next, count;  /* in ${ends}: the next one to look at, and how many there are */
	uint32_t ends[ENDS]; /* not cleared */
};

enum walk_result {
	WALK_SEGMENT,
	WALK_END,
	WALK_BAD_NAME,
	WALK_HEADER, /* MSH, FHS, BHS, BTS or FTS inside */
	WALK_LF_MSH, /* LF in the MSH */
	WALK_NOT_ENDED,
};

static bool
is_header_name(const uint8_t *name)
{
	if (name[2] == 'H')
		return name[0] == 'M' && name[1] == 'S';
	return name[2] == 'S' && (name[0] == 'F' || name[0] == 'B') && (name[1] == 'H' || name[1] == 'T');
}

static void
walk_begin(struct walk *w, struct span bytes, uint8_t separator, unsigned leniencies)
{
	w->bytes = bytes;
	w->at = 0;
	w->separator = separator;
	w->lf = leniencies & HL7_LENIENT_LF;
	w->no_final_end = leniencies & HL7_LENIENT_NO_FINAL_CR;
	w->used = (struct hl7_leniencies){ 0 };
	w->looked = w->base = w->next = w->count = 0;
}

/* Where the first CR, or LF if that is one, stands at or behind ${from}, which never goes back; the length if there is none. */
static size_t
walk_find_end(struct walk *w, size_t from)
{
	for (;;) {
		size_t seen;

		for (; w->next < w->count; w->next++)
			if (w->base + w->ends[w->next] >= from)
				return w->base + w->ends[w->next];
		if (w->looked == w->bytes.len)
			return w->bytes.len;
		w->base = w->looked;
		w->next = 0;
		w->count = scan_index(w->bytes.ptr + w->base, w->bytes.len - w->base, CR, w->lf ? LF : CR,
		    w->ends, ENDS, &seen);
		w->looked += seen;
	}
}

/* Where the segment in which ${from} lies ends: at its CR or LF, or at the end of the input. */
static size_t
walk_segment_end(struct walk *w, size_t from)
{
	struct span s = w->bytes;
	size_t at = walk_find_end(w, from), next;

	while (at < s.len && s.ptr[at] != CR) {
		for (next = at + 1; next < s.len && s.ptr[next] == LF;)
			next++;
		if (lf_ends_segment(s, next, w->separator))
			break;
		at = walk_find_end(w, next);
	}
	return at;
}

/* Step over the end of the segment that stops at ${end}. */
static void
walk_past_end(struct walk *w, size_t end)
{
	if (end == w->bytes.len) {
		w->used.no_final_end = 1;
		w->at = end;
	} else if (w->bytes.ptr[end] == LF) {
		w->used.lf_ends++;
		w->at = end + 1;
	} else if (w->lf && end + 1 < w->bytes.len && w->bytes.ptr[end + 1] == LF) {
		w->used.lf_ends++;
		w->at = end + 2;
	} else {
		w->at = end + 1;
	}
}

/* Leniency lf: step over blank lines; CR LF is one. */
static void
walk_past_empty(struct walk *w)
{
	const uint8_t *p = w->bytes.ptr;

	while (w->at < w->bytes.len && (p[w->at] == CR || p[w->at] == LF)) {
		w->at += p[w->at] == CR && w->at + 1 < w->bytes.len && p[w->at + 1] == LF ? 2 : 1;
		w->used.empty_segments++;
	}
}

/* The next segment into ${s}; after a fault ${s} is the segment at fault as far as it can be told. */
static enum walk_result
walk_next(struct walk *w, struct hl7_segment *s)
{
	const uint8_t *p;
	size_t start, end;

	if (w->lf)
		walk_past_empty(w);
	if (w->at == w->bytes.len)
		return WALK_END;
	start = w->at;
	p = w->bytes.ptr + start;
	*s = (struct hl7_segment){ .start = (uint32_t)start, .end = (uint32_t)start };
	if (!names_segment(w->bytes, start, w->separator, w->lf))
		return WALK_BAD_NAME;
	memcpy(s->name, p, NAME_LEN);
	if (start != 0 && is_header_name(p))
		return WALK_HEADER;
	end = walk_segment_end(w, start + NAME_LEN);
	s->end = (uint32_t)end;
	if (start == 0 && memchr(p, LF, end))
		return WALK_LF_MSH;
	if (end == w->bytes.len && !w->no_final_end)
		return WALK_NOT_ENDED;
	walk_past_end(w, end);
	return WALK_SEGMENT;
}

/* How many segments named ${name} begin before ${before}; the walk up to there is known to be without fault. */
static size_t
count_named(const struct walk *done, const char *name, size_t before)
{
	struct hl7_segment s;
	struct walk w;
	size_t n = 0;

	walk_begin(
	    &w, done->bytes, done->separator, HL7_LENIENT_NO_FINAL_CR | (done->lf ? HL7_LENIENT_LF : 0u));
	while (walk_next(&w, &s) == WALK_SEGMENT && s.start < before)
		n += memcmp(s.name, name, NAME_LEN) == 0;
	return n;
}

/* Say in ${f} what is wrong with segment ${s}, the ${ordinal}th of the message. */
static void
walk_fault(const struct walk *w, enum walk_result result, const struct hl7_segment *s, size_t ordinal,
    struct fault *f)
{
	char path[FAULT_PATH_MAX];
	size_t occurrence;

	if (result == WALK_BAD_NAME) {
		(void)snprintf(path, sizeof(path), "(%zu)", ordinal);
		fault_set(f, FAULT_SEGMENT_SEQUENCE, s->start, path,
		    "Segment %zu of the message does not begin with a segment name.", ordinal);
		f->value = span_cut(w->bytes, s->start, (size_t)s->start + NAME_LEN + 1);
		return;
	}
	occurrence = 1 + count_named(w, s->name, s->start);
	if (occurrence == 1)
		(void)snprintf(path, sizeof(path), "%s", s->name);
	else
		(void)snprintf(path, sizeof(path), "%s(%zu)", s->name, occurrence);
	if (result == WALK_HEADER)
		fault_set(f, FAULT_SEGMENT_SEQUENCE, s->start, path,
		    "A second message header or a batch segment stands inside the message.");
	else if (result == WALK_LF_MSH)
		fault_set(f, FAULT_SEGMENT_SEQUENCE, s->start, path,
		    "A line feed stands in the MSH segment: segments must end with a carriage return.");
	else
		fault_set(f, FAULT_SEGMENT_SEQUENCE, s->start, path,
		    "The last segment is not ended by a carriage return.");
	f->value = span_cut(w->bytes, s->start, (size_t)s->start + NAME_LEN);
}

/* ${count} segments in the arena, or NULL with the fault told. */
static struct hl7_segment *
index_room(struct arena *a, size_t count, struct fault *f)
{
	struct hl7_segment *room = arena_alloc(a, count * sizeof(*room));

	if (room)
		return room;
	if (count * sizeof(*room) > a->ceiling - a->used)
		fault_set(f, FAULT_MEMORY, 0, "", "The message has more segments than are taken.");
	else
		fault_set(f, FAULT_OVERLOAD, 0, "", "There is no memory to read the message now.");
	return NULL;
}

enum hl7_verdict
hl7_index(struct hl7_message *m, unsigned leniencies, struct arena *a, struct fault *f)
{
	struct hl7_segment first[FIRST_INDEXED], other, *all, *s = first;
	enum walk_result result;
	struct walk w;
	size_t count = 0;

	m->segments = NULL;
	m->count = 0;
	if (m->bytes.len > HL7_MESSAGE_MAX) {
		fault_set(f, FAULT_TOO_LARGE, 0, "", "The message is larger than any that is taken.");
		return HL7_REFUSED;
	}
	walk_begin(&w, m->bytes, m->delimiters.field, leniencies);
	while ((result = walk_next(&w, s)) == WALK_SEGMENT)
		s = ++count < FIRST_INDEXED ? first + count : &other;
	if (result != WALK_END) {
		walk_fault(&w, result, s, count + 1, f);
		return HL7_REFUSED;
	}
	all = index_room(a, count, f);
	if (!all)
		return HL7_REFUSED;
	m->used = w.used;
	if (count <= FIRST_INDEXED) {
		memcpy(all, first, count * sizeof(*all));
	} else {
		walk_begin(&w, m->bytes, m->delimiters.field, leniencies);
		for (size_t i = 0; i < count; i++)
			(void)walk_next(&w, &all[i]);
	}
	m->segments = all;
	m->count = count;
	return HL7_OK;
}

void
hl7_begin(struct hl7_message *m, struct span bytes)
{
	m->bytes = bytes;
	hl7_header_read(&m->header, bytes);
	m->delimiters = m->header.delimiters;
	m->segments = NULL;
	m->count = 0;
	m->used = (struct hl7_leniencies){ 0 };
}

enum hl7_verdict
hl7_parse(struct hl7_message *m, struct span bytes, unsigned leniencies, struct arena *a, struct fault *f)
{
	hl7_begin(m, bytes);
	if (hl7_header_judge(&m->header, bytes, f) != HL7_OK)
		return HL7_REFUSED;
	return hl7_index(m, leniencies, a, f);
}

/*
 * Segments and fields
 */

size_t
hl7_find_from(const struct hl7_message *m, const char *name, size_t from)
{
	if (strlen(name) != NAME_LEN)
		return HL7_NONE;
	for (size_t i = from; i < m->count; i++)
		if (memcmp(m->segments[i].name, name, NAME_LEN) == 0)
			return i;
	return HL7_NONE;
}

size_t
hl7_find(const struct hl7_message *m, const char *name, size_t occurrence)
{
	size_t at = occurrence ? hl7_find_from(m, name, 0) : HL7_NONE;

	while (at != HL7_NONE && --occurrence)
		at = hl7_find_from(m, name, at + 1);
	return at;
}

size_t
hl7_occurrence(const struct hl7_message *m, size_t segment)
{
	size_t n = 0;

	for (size_t i = 0; i <= segment && i < m->count; i++)
		n += memcmp(m->segments[i].name, m->segments[segment].name, NAME_LEN) == 0;
	return n;
}

struct span
hl7_segment_span(const struct hl7_message *m, size_t segment)
{
	if (segment >= m->count)
		return SPAN_EMPTY;
	return span_cut(m->bytes, m->segments[segment].start, m->segments[segment].end);
}

bool
hl7_next(struct span *rest, uint8_t delimiter, struct span *piece)
{
	const uint8_t *hit;

	if (!rest->ptr)
		return false;
	hit = rest->len ? memchr(rest->ptr, delimiter, rest->len) : NULL;
	if (!hit) {
		*piece = *rest;
		*rest = SPAN_EMPTY;
		return true;
	}
	*piece = span_make(rest->ptr, (size_t)(hit - rest->ptr));
	*rest = span_make(hit + 1, rest->len - piece->len - 1);
	return true;
}

/* Part ${n} (from 1) of ${s}; a NULL pointer when there are fewer. */
static struct span
part(struct span s, uint8_t delimiter, unsigned n)
{
	size_t from, to;

	if (n == 0 || !s.ptr || !scan_part(s.ptr, s.len, delimiter, n, &from, &to))
		return SPAN_EMPTY;
	return span_make(s.ptr + from, to - from);
}

static unsigned
count_parts(struct span s, uint8_t delimiter)
{
	return s.ptr ? (unsigned)scan_count(s.ptr, s.len, delimiter) + 1 : 0;
}

/* MSH-1 and MSH-2 are made of delimiters and are not split by them. */
static bool
is_delimiter_field(const struct hl7_message *m, size_t segment, unsigned field)
{
	return (field == 1 || field == 2) && segment < m->count &&
	       memcmp(m->segments[segment].name, "MSH", NAME_LEN) == 0;
}

struct span
hl7_field_all(const struct hl7_message *m, size_t segment, unsigned field)
{
	struct span s = hl7_segment_span(m, segment);

	if (!s.ptr || field == 0)
		return s.ptr ? span_cut(s, 0, NAME_LEN) : s;
	if (memcmp(m->segments[segment].name, "MSH", NAME_LEN) == 0) {
		if (field == 1)
			return span_cut(s, NAME_LEN, NAME_LEN + 1);
		field--;
	}
	if (s.len == NAME_LEN || field == UINT32_MAX)
		return SPAN_EMPTY;
	return part(span_cut(s, NAME_LEN + 1, s.len), m->delimiters.field, field);
}

struct span
hl7_field(const struct hl7_message *m, size_t segment, unsigned field, unsigned repetition)
{
	struct span all = hl7_field_all(m, segment, field);

	if (field == 0 || is_delimiter_field(m, segment, field))
		return repetition == 1 ? all : SPAN_EMPTY;
	return part(all, m->delimiters.repetition, repetition);
}

unsigned
hl7_field_count(const struct hl7_message *m, size_t segment)
{
	struct span s = hl7_segment_span(m, segment);
	unsigned n;

	if (s.len <= NAME_LEN)
		return 0;
	n = count_parts(span_cut(s, NAME_LEN + 1, s.len), m->delimiters.field);
	return memcmp(s.ptr, "MSH", NAME_LEN) == 0 ? n + 1 : n;
}

unsigned
hl7_repetition_count(const struct hl7_message *m, size_t segment, unsigned field)
{
	struct span all = hl7_field_all(m, segment, field);

	if (field == 0 || is_delimiter_field(m, segment, field))
		return all.ptr != NULL;
	return count_parts(all, m->delimiters.repetition);
}

struct span
hl7_component(const struct hl7_delimiters *d, struct span repetition, unsigned n)
{
	return part(repetition, d->component, n);
}

struct span
hl7_subcomponent(const struct hl7_delimiters *d, struct span component, unsigned n)
{
	return part(component, d->subcomponent, n);
}

bool
hl7_is_null(struct span value)
{
	return value.len == 2 && value.ptr[0] == '"' && value.ptr[1] == '"';
}

bool
hl7_is_absent(struct span value)
{
	return value.len == 0 || hl7_is_null(value);
}

bool
hl7_version_known(struct span version)
{
	const uint8_t *v = version.ptr;

	if (version.len < 3 || v[0] != '2' || v[1] != '.' || v[2] < '1' || v[2] > '9')
		return false;
	if (version.len == 3)
		return true;
	if (version.len != 5 || v[3] != '.')
		return false;
	return v[4] == '1' ? strchr("35789", v[2]) != NULL : v[4] == '2' && v[2] == '8';
}
