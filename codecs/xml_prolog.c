/* SPDX-License-Identifier: Apache-2.0 */
#include "codecs/xml_prolog.h"

static const uint8_t mark[3] = { 0xef, 0xbb, 0xbf };

/* The first bytes of the encodings in which '<' is not one byte 3C, with and without a mark (XML 1.0 appendix F.1). */
static const struct {
	uint8_t bytes[4];
	size_t len;
	const char *why;
} foreign[] = {
	{ { 0xfe, 0xff }, 2, "It is in UTF-16: UTF-8 and the 8-bit sets of western Europe are read." },
	{ { 0xff, 0xfe }, 2,
	    "It is in UTF-16 or UTF-32: UTF-8 and the 8-bit sets of western Europe are read." },
	{ { 0x00, 0x3c, 0x00 }, 3, "It is in UTF-16: UTF-8 and the 8-bit sets of western Europe are read." },
	{ { 0x3c, 0x00 }, 2,
	    "It is in UTF-16 or UTF-32: UTF-8 and the 8-bit sets of western Europe are read." },
	{ { 0x00, 0x00 }, 2, "It is in UTF-32: UTF-8 and the 8-bit sets of western Europe are read." },
	{ { 0x4c, 0x6f, 0xa7, 0x94 }, 4,
	    "It is in EBCDIC: UTF-8 and the 8-bit sets of western Europe are read." },
};

static bool
starts(struct span s, const void *with, size_t len)
{
	return s.len >= len && memcmp(s.ptr, with, len) == 0;
}

static bool
is_blank(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* What stands in quotes behind "encoding =" in ${declaration}; empty: nothing does. */
static struct span
declared(struct span declaration)
{
	static const char word[] = "encoding";
	const uint8_t *at = memmem(declaration.ptr, declaration.len, word, sizeof(word) - 1), *end;
	struct span rest;
	size_t i = 0;

	if (!at)
		return SPAN_EMPTY;
	rest = span_cut(declaration, (size_t)(at - declaration.ptr) + sizeof(word) - 1, declaration.len);
	while (i < rest.len && (is_blank(rest.ptr[i]) || rest.ptr[i] == '='))
		i++;
	if (i == rest.len || (rest.ptr[i] != '"' && rest.ptr[i] != '\''))
		return SPAN_EMPTY;
	end = memchr(rest.ptr + i + 1, rest.ptr[i], rest.len - i - 1);
	return end ? span_cut(rest, i + 1, (size_t)(end - rest.ptr)) : SPAN_EMPTY;
}

/* The set of ${name}, of those that are read here; CHARSET_NONE for others. */
static enum charset
known(struct span name)
{
	bool sloppy;
	enum charset charset = charset_parse(name, &sloppy);

	return charset == CHARSET_OTHER ? CHARSET_NONE : charset;
}

enum xml_prolog_outcome
xml_prolog_read(struct span head, bool last, struct xml_prolog *prolog)
{
	struct span body, name;
	const uint8_t *end;

	*prolog = (struct xml_prolog){ .charset = CHARSET_UTF_8 };
	if (head.len < 4 && !last)
		return XML_PROLOG_MORE;
	if (!head.ptr)
		return XML_PROLOG_KNOWN;
	for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++)
		if (starts(head, foreign[i].bytes, foreign[i].len)) {
			prolog->why = foreign[i].why;
			return XML_PROLOG_REFUSED;
		}
	prolog->mark = starts(head, mark, sizeof(mark)) ? sizeof(mark) : 0;
	body = span_cut(head, prolog->mark, head.len);
	if (body.len < 6 && !last && memcmp(body.ptr, "<?xml ", body.len) == 0)
		return XML_PROLOG_MORE;
	if (!starts(body, "<?xml", 5) || body.len < 6 || !is_blank(body.ptr[5]))
		return XML_PROLOG_KNOWN;
	body = span_cut(body, 0, XML_DECLARATION_MAX);
	end = memmem(body.ptr, body.len, "?>", 2);
	if (!end)
		return last || body.len == XML_DECLARATION_MAX ? XML_PROLOG_KNOWN : XML_PROLOG_MORE;
	name = declared(span_make(body.ptr, (size_t)(end - body.ptr)));
	if (name.len == 0)
		return XML_PROLOG_KNOWN;
	prolog->charset = known(name);
	if (prolog->charset == CHARSET_NONE)
		prolog->why = "It declares a character set that is not read: UTF-8 and the 8-bit sets of "
			      "western Europe are.";
	else if (prolog->mark && prolog->charset != CHARSET_UTF_8)
		prolog->why = "Its byte order mark says UTF-8, its declaration another character set.";
	return prolog->why ? XML_PROLOG_REFUSED : XML_PROLOG_KNOWN;
}
