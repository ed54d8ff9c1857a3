/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/content/well_formed.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>

#include "codecs/base64.h"
#include "codecs/hl7.h"
#include "codecs/hl7_escape.h"
#include "codecs/xml.h"
#include "codecs/xml_budget.h"
#include "codecs/xml_fault.h"

#define TEXT_PIECE (XML_PIECE / 3 * 4) /* of base64, for one piece of the reader */
#define ESCAPE_MAX                                                                                           \
	((size_t)256) /* of one HL7 escape in base64 text, both backslashes counted; a longer one is none */
#define ESCAPED_GROWTH 15u /* codecs/hl7_escape.h */
#define LENIENT	       (BASE64_LENIENT_PADDING | BASE64_LENIENT_TRUNCATED | BASE64_LENIENT_WHITESPACE)

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key; /* of each thread's reader, for its end */
static bool keyed;
static _Thread_local struct xml_reader *kept;

static void
end_of_thread(void *reader)
{
	xml_reader_free(reader);
}

static void
prepare(void)
{
	xml_budget_install();
	keyed = pthread_key_create(&key, end_of_thread) == 0;
}

/* This thread's reader; NULL: there is no memory for one, now. */
static struct xml_reader *
of_thread(void)
{
	struct xml_reader *r;

	if (kept)
		return kept;
	(void)pthread_once(&once, prepare);
	r = keyed ? xml_reader_new() : NULL;
	if (r && pthread_setspecific(key, r) != 0) {
		xml_reader_free(r);
		return NULL;
	}
	kept = r;
	return r;
}

/* It met want of memory: nobody knows what it holds. */
static void
drop_reader(void)
{
	(void)pthread_setspecific(key, NULL);
	xml_reader_free(kept);
	kept = NULL;
}

static bool
ends_with(struct span s, const char *end)
{
	size_t len = strlen(end);

	return s.len >= len && memcmp(s.ptr + s.len - len, end, len) == 0;
}

/* Media types are lower case: broker/content/documents. */
static bool
is_read(const struct facts_document *document)
{
	return document->encoding == DOCUMENT_BASE64 &&
	       (ends_with(document->media, "/xml") || ends_with(document->media, "+xml"));
}

uint64_t
well_formed_size(const struct facts_document *documents, size_t count)
{
	uint64_t size = 0;

	for (size_t i = 0; i < count; i++)
		if (is_read(&documents[i]))
			size += documents[i].size;
	return size;
}

static struct hl7_delimiters
delimiters_of(struct span text)
{
	struct hl7_delimiters d = hl7_default_delimiters;

	if (text.len >= 5) {
		d.field = text.ptr[0];
		d.component = text.ptr[1];
		d.repetition = text.ptr[2];
		d.escape = text.ptr[3];
		d.subcomponent = text.ptr[4];
		d.truncation = text.len > 5 ? text.ptr[5] : 0;
	}
	return d;
}

/* One document on its way: base64 text in, verdict out. */
struct reading {
	struct xml_reader *reader;
	struct base64_decoder decoder;
	enum base64_outcome outcome;
	enum xml_verdict verdict;
};

static bool
goes_on(const struct reading *g)
{
	return g->outcome == BASE64_OK && g->verdict == XML_WELL_FORMED;
}

/* Decode ${text}, without escapes, into the reader. */
static void
feed(struct reading *g, struct span text)
{
	for (size_t at = 0; at < text.len && goes_on(g); at += TEXT_PIECE) {
		g->outcome = base64_decode_update(
		    &g->decoder, span_cut(text, at, at + TEXT_PIECE), xml_reader_room(g->reader));
		g->verdict = xml_reader_take(g->reader);
	}
}

/* Feed what the HL7 escape at the begin of ${text} stands for, such as a line end written \X0D0A\ or \.br\; the length of the escape. */
static size_t
feed_escape(struct reading *g, struct span text, const struct hl7_delimiters *d)
{
	const uint8_t *end =
	    memchr(text.ptr + 1, d->escape, (text.len < ESCAPE_MAX ? text.len : ESCAPE_MAX) - 1);
	size_t len = end ? (size_t)(end - text.ptr) + 1 : 1;
	struct buffer plain;

	buffer_init(&plain, ESCAPE_MAX * ESCAPED_GROWTH);
	hl7_escape_decode(&plain, span_cut(text, 0, len), d, NULL);
	if (buffer_failed(&plain))
		g->verdict = XML_NO_MEMORY;
	feed(g, buffer_span(&plain));
	buffer_fini(&plain);
	return len;
}

/* Read all of ${text}. False: it is no base64. */
static bool
read_text(struct reading *g, struct span text, const struct hl7_delimiters *d)
{
	base64_decoder_init(&g->decoder, LENIENT);
	while (text.len && goes_on(g)) {
		const uint8_t *escape = memchr(text.ptr, d->escape, text.len);
		size_t run = escape ? (size_t)(escape - text.ptr) : text.len;

		feed(g, span_cut(text, 0, run));
		text = span_cut(text, run, text.len);
		if (text.len && goes_on(g))
			text = span_cut(text, feed_escape(g, text, d), text.len);
	}
	if (goes_on(g))
		g->outcome = base64_decode_final(&g->decoder, xml_reader_room(g->reader));
	if (g->outcome == BASE64_NO_ROOM)
		g->verdict = XML_NO_MEMORY;
	else if (goes_on(g))
		g->verdict = xml_reader_end(g->reader);
	return g->outcome == BASE64_OK || g->outcome == BASE64_NO_ROOM;
}

/* What is wrong with a document that was read; ${why} is the reader's. */
static void
tell(struct fault *fault, const struct facts_document *document, bool decodes, const struct fault *why)
{
	char path[FAULT_PATH_MAX];

	(void)snprintf(path, sizeof(path), "OBX(%u)-5.5", document->segment);
	if (decodes)
		fault_set(fault, why->code, 0, path, "The XML document cannot be read. %s", why->message);
	else
		fault_set(fault, FAULT_DATA_TYPE, 0, path, "The document is not in base64, as OBX-5.4 says.");
}

/* Read ${document}: its form, and with a finding the fault. */
static int
read_one(
    struct span message, const struct hl7_delimiters *d, struct facts_document *document, struct fault *fault)
{
	struct reading g = { .reader = of_thread() };
	enum xml_budget_end budget;
	struct fault why;
	bool decodes;

	if (!g.reader)
		return -ENOMEM;
	xml_budget_begin(WELL_FORMED_BUDGET);
	xml_reader_begin(g.reader, NULL, NULL);
	decodes = read_text(&g, span_make(message.ptr + document->offset, (size_t)document->size), d);
	budget = xml_budget_end();
	why = *xml_reader_fault(g.reader);
	if (budget != XML_BUDGET_KEPT)
		drop_reader();
	if (budget == XML_BUDGET_SHORT || (budget == XML_BUDGET_KEPT && g.verdict == XML_NO_MEMORY))
		return -ENOMEM;
	if (budget == XML_BUDGET_PASSED) {
		g.verdict = XML_NO_MEMORY;
		xml_fault_set(&why, g.verdict, 0, 0, 0, NULL);
	}
	document->form = span_str(decodes ? xml_verdict_name(g.verdict) : "not-base64");
	if (decodes && g.verdict == XML_WELL_FORMED)
		return 0;
	tell(fault, document, decodes, &why);
	return WELL_FORMED_FINDING;
}

int
well_formed_read(struct span message, struct span delimiters, struct facts_document *documents, size_t count,
    struct fault *fault)
{
	const struct hl7_delimiters d = delimiters_of(delimiters);
	int result = 0;

	for (size_t i = 0; i < count; i++) {
		struct fault one;
		int r;

		if (!is_read(&documents[i]))
			continue;
		r = read_one(message, &d, &documents[i], result ? &one : fault);
		if (r < 0)
			return r;
		if (r)
			result = r;
	}
	return result;
}
