/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values of a message as UTF-8.
 */
#include "broker/doors/pull_text.h"

#include "broker/doors/pull_document.h"
#include "codecs/hl7_escape.h"

#define RAW_TIMES    4u	 /* a character of up to this many bytes, or an escape, for each byte shown */
#define SHOWN_TIMES  4u	 /* "\xHH" for a byte */
#define ESCAPE_TIMES 33u /* codecs/hl7_escape.h */

void
pull_text_init(struct pull_text *how, const struct facts *facts)
{
	bool sloppy;

	pull_delimiters(facts->delimiters, &how->delimiters);
	how->charset = charset_parse(facts->charset_used, &sloppy);
}

/* The largest length up to ${max} that ends between characters of ${text}. */
static size_t
cut_length(struct span text, size_t max)
{
	if (text.len <= max)
		return text.len;
	while (max > 0 && (text.ptr[max] & 0xc0) == 0x80)
		max--;
	return max;
}

void
pull_text_decode(const struct pull_text *how, struct span value, size_t max, struct buffer *out)
{
	struct buffer plain, shown;

	value = span_cut(value, 0, max * RAW_TIMES);
	buffer_init(&plain, value.len * ESCAPE_TIMES + 1);
	buffer_init(&shown, value.len * ESCAPE_TIMES * SHOWN_TIMES + 1);
	hl7_escape_decode(&plain, value, &how->delimiters, NULL);
	(void)charset_show(how->charset, buffer_span(&plain), &shown);
	if (buffer_failed(&plain) || buffer_failed(&shown))
		out->failed = true;
	else
		buffer_append(out, shown.data, cut_length(buffer_span(&shown), max));
	buffer_fini(&plain);
	buffer_fini(&shown);
}

void
pull_text_name(const struct pull_text *how, struct span field, size_t max, struct buffer *out)
{
	struct span name = hl7_component(&how->delimiters, field, 1);

	if (hl7_is_absent(name))
		name = hl7_component(&how->delimiters, field, 2);
	pull_text_decode(how, name, max, out);
}
