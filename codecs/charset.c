/* SPDX-License-Identifier: Apache-2.0 */
/* Character sets: see the header. */
#include "codecs/charset.h"

#include "codecs/utf8.h"

#define NAME_MAX_LEN 24 /* longer than any name of a set */

/* Spelled as in table 0211 (v2.5 to v2.9); the rest is compared folded: upper case, without blanks and -_/ */
static const struct {
	const char *name;
	enum charset charset;
} names[] = {
	{ "ASCII", CHARSET_ASCII },
	{ "8859/1", CHARSET_8859_1 },
	{ "8859/2", CHARSET_OTHER },
	{ "8859/3", CHARSET_OTHER },
	{ "8859/4", CHARSET_OTHER },
	{ "8859/5", CHARSET_OTHER },
	{ "8859/6", CHARSET_OTHER },
	{ "8859/7", CHARSET_OTHER },
	{ "8859/8", CHARSET_OTHER },
	{ "8859/9", CHARSET_OTHER },
	{ "8859/15", CHARSET_8859_15 },
	{ "ISO IR6", CHARSET_ASCII },
	{ "ISO IR14", CHARSET_OTHER },
	{ "ISO IR87", CHARSET_OTHER },
	{ "ISO IR159", CHARSET_OTHER },
	{ "GB 18030-2000", CHARSET_OTHER },
	{ "KS X 1001", CHARSET_OTHER },
	{ "CNS 11643-1992", CHARSET_OTHER },
	{ "BIG-5", CHARSET_OTHER },
	{ "UNICODE UTF-8", CHARSET_UTF_8 },
	{ "UNICODE UTF-16", CHARSET_OTHER },
	{ "UNICODE UTF-32", CHARSET_OTHER },
}, folded[] = {
	{ "UTF8", CHARSET_UTF_8 },
	{ "UNICODEUTF8", CHARSET_UTF_8 },
	{ "UNICODE", CHARSET_UTF_8 }, /* of 0211 until v2.5; UTF-16 could not carry the MSH that says it */
	{ "ISOIR192", CHARSET_UTF_8 },
	{ "USASCII", CHARSET_ASCII },
	{ "ISO88591", CHARSET_8859_1 },
	{ "ISO8859", CHARSET_8859_1 },
	{ "ISOIR100", CHARSET_8859_1 },
	{ "LATIN1", CHARSET_8859_1 },
	{ "ISO885915", CHARSET_8859_15 },
	{ "ISOIR203", CHARSET_8859_15 },
	{ "LATIN9", CHARSET_8859_15 },
	{ "WINDOWS1252", CHARSET_WINDOWS_1252 },
	{ "CP1252", CHARSET_WINDOWS_1252 },
	{ "1252", CHARSET_WINDOWS_1252 },
};

/* windows-1252 80-9F (WHATWG and Unicode's CP1252.TXT, whose five holes stay holes). */
static const uint16_t windows_1252[32] = {
	0x20ac,
	0,
	0x201a,
	0x0192,
	0x201e,
	0x2026,
	0x2020,
	0x2021,
	0x02c6,
	0x2030,
	0x0160,
	0x2039,
	0x0152,
	0,
	0x017d,
	0,
	0,
	0x2018,
	0x2019,
	0x201c,
	0x201d,
	0x2022,
	0x2013,
	0x2014,
	0x02dc,
	0x2122,
	0x0161,
	0x203a,
	0x0153,
	0,
	0x017e,
	0x0178,
};

/* Where ISO-8859-15 differs from ISO-8859-1. */
static const struct {
	uint8_t byte;
	uint16_t code;
} latin9[] = {
	{ 0xa4, 0x20ac },
	{ 0xa6, 0x0160 },
	{ 0xa8, 0x0161 },
	{ 0xb4, 0x017d },
	{ 0xb8, 0x017e },
	{ 0xbc, 0x0152 },
	{ 0xbd, 0x0153 },
	{ 0xbe, 0x0178 },
};

/* ${name} folded into ${out}; false when it is too long for any set's name. */
static bool
fold(struct span name, char out[NAME_MAX_LEN])
{
	size_t n = 0;

	for (size_t i = 0; i < name.len; i++) {
		uint8_t c = name.ptr[i];

		if (c == ' ' || c == '-' || c == '_' || c == '/')
			continue;
		if (n + 1 == NAME_MAX_LEN || c == 0)
			return false;
		out[n++] = (char)(c >= 'a' && c <= 'z' ? c - 0x20 : c);
	}
	out[n] = '\0';
	return true;
}

enum charset
charset_parse(struct span name, bool *sloppy)
{
	char given[NAME_MAX_LEN], known[NAME_MAX_LEN];

	*sloppy = false;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (span_eq_str(name, names[i].name))
			return names[i].charset;
	if (name.len == 0 || !fold(name, given))
		return CHARSET_NONE;
	*sloppy = true;
	for (size_t i = 0; i < sizeof(folded) / sizeof(folded[0]); i++)
		if (strcmp(given, folded[i].name) == 0)
			return folded[i].charset;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (fold(span_str(names[i].name), known) && strcmp(given, known) == 0)
			return names[i].charset;
	*sloppy = false;
	return CHARSET_NONE;
}

/* The first byte from 80 on, or the length. */
static size_t
ascii_len(struct span s)
{
	size_t n = 0;

	while (n < s.len && s.ptr[n] < 0x80)
		n++;
	return n;
}

static bool
has_c1(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] >= 0x80 && s.ptr[i] < 0xa0)
			return true;
	return false;
}

/* Hold what MSH-18 says against the bytes. */
static void
weigh(struct charset_decision *d, bool ascii, bool utf8, struct span bytes, size_t bad)
{
	switch (d->msh18) {
	case CHARSET_ASCII:
		d->msh18_lies = !ascii;
		d->bad_offset = ascii ? 0 : ascii_len(bytes);
		break;
	case CHARSET_UTF_8:
		d->msh18_lies = !utf8;
		d->bad_offset = utf8 ? 0 : bad;
		break;
	case CHARSET_8859_1:
	case CHARSET_8859_15:
	case CHARSET_WINDOWS_1252:
		d->msh18_doubtful = utf8 && !ascii;
		break;
	case CHARSET_NONE:
	case CHARSET_OTHER:
		break;
	}
}

struct charset_decision
charset_decide(enum charset peer, struct span msh18, struct span bytes, enum charset fallback)
{
	struct charset_decision d = { 0 };
	bool ascii = utf8_ascii(bytes), utf8;
	size_t bad = 0;

	utf8 = ascii || utf8_valid(bytes, &bad);
	d.msh18 = charset_parse(msh18, &d.msh18_sloppy);
	d.msh18_unknown = msh18.len > 0 && d.msh18 == CHARSET_NONE;
	weigh(&d, ascii, utf8, bytes, bad);
	if (peer != CHARSET_NONE) {
		d.charset = peer;
		d.reason = CHARSET_BY_PEER;
	} else if (d.msh18 != CHARSET_NONE && !d.msh18_lies) {
		d.charset = d.msh18;
		d.reason = CHARSET_BY_MSH18;
	} else if (utf8) {
		d.charset = ascii ? CHARSET_ASCII : CHARSET_UTF_8;
		d.reason = CHARSET_BY_BYTES;
	} else {
		d.charset = fallback == CHARSET_NONE ? CHARSET_8859_15 : fallback;
		if ((d.charset == CHARSET_8859_15 || d.charset == CHARSET_8859_1) && has_c1(bytes))
			d.charset = CHARSET_WINDOWS_1252;
		d.reason = CHARSET_BY_FALLBACK;
	}
	return d;
}

/* What ${byte}, 80 or above, means in a set of single bytes; 0: nothing. */
static uint32_t
meaning(enum charset charset, uint8_t byte)
{
	switch (charset) {
	case CHARSET_WINDOWS_1252:
		return byte < 0xa0 ? windows_1252[byte - 0x80] : byte;
	case CHARSET_8859_15:
		for (size_t i = 0; i < sizeof(latin9) / sizeof(latin9[0]); i++)
			if (latin9[i].byte == byte)
				return latin9[i].code;
		return byte;
	case CHARSET_8859_1:
		return byte;
	default:
		return 0;
	}
}

/* The character at the front of ${s} appended as UTF-8: the bytes it took, 0 for nothing. */
static size_t
put_next(enum charset charset, struct span s, struct buffer *out)
{
	uint8_t text[4];
	uint32_t code;
	size_t used = 1;

	if (charset == CHARSET_UTF_8)
		used = utf8_next(s, &code);
	else
		code = s.ptr[0] < 0x80 ? s.ptr[0] : meaning(charset, s.ptr[0]);
	if (used == 0 || (code == 0 && s.ptr[0] != 0))
		return 0;
	buffer_append(out, text, utf8_put(code, text));
	return used;
}

enum charset_outcome
charset_to_utf8(enum charset charset, struct span bytes, struct buffer *out, size_t *offset)
{
	size_t at = 0;

	if (charset == CHARSET_NONE || charset == CHARSET_OTHER)
		return CHARSET_UNREADABLE;
	while (at < bytes.len) {
		struct span rest = span_cut(bytes, at, bytes.len);
		size_t used = ascii_len(rest);

		if (used > 0)
			buffer_append(out, rest.ptr, used);
		else
			used = put_next(charset, rest, out);
		if (buffer_failed(out))
			return CHARSET_NO_ROOM;
		if (used == 0) {
			if (offset)
				*offset = at;
			return CHARSET_INVALID;
		}
		at += used;
	}
	return CHARSET_OK;
}

size_t
charset_show(enum charset charset, struct span bytes, struct buffer *out)
{
	size_t escaped = 0, at = 0;

	if (charset == CHARSET_NONE || charset == CHARSET_OTHER)
		charset = CHARSET_ASCII;
	while (at < bytes.len && !buffer_failed(out)) {
		struct span rest = span_cut(bytes, at, bytes.len);
		size_t bad = 0;

		if (charset_to_utf8(charset, rest, out, &bad) != CHARSET_INVALID)
			break;
		buffer_printf(out, "\\x%02X", rest.ptr[bad]);
		escaped++;
		at += bad + 1;
	}
	return escaped;
}

const char *
charset_name(enum charset charset)
{
	switch (charset) {
	case CHARSET_ASCII:
		return "US-ASCII";
	case CHARSET_UTF_8:
		return "UTF-8";
	case CHARSET_8859_1:
		return "ISO-8859-1";
	case CHARSET_8859_15:
		return "ISO-8859-15";
	case CHARSET_WINDOWS_1252:
		return "windows-1252";
	case CHARSET_NONE:
	case CHARSET_OTHER:
		break;
	}
	return "";
}

const char *
charset_reason_name(enum charset_reason reason)
{
	static const char *const reasons[] = { "peer", "msh18", "bytes", "fallback" };

	return (unsigned)reason < sizeof(reasons) / sizeof(reasons[0]) ? reasons[reason] : "unknown";
}
