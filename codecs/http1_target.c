/* SPDX-License-Identifier: Apache-2.0 */
/* Request targets: see the header. */
#include "codecs/http1_target.h"

#include <stdint.h>

#include "codecs/hex.h"
#include "codecs/http1.h"
#include "codecs/utf8.h"

/* The byte that "%XX" at the front of ${s} means, or -1. */
static int
triplet(struct span s)
{
	int high, low;

	if (s.len < 3 || s.ptr[0] != '%')
		return -1;
	high = hex_value(s.ptr[1]);
	low = hex_value(s.ptr[2]);
	return high < 0 || low < 0 ? -1 : high << 4 | low;
}

static bool
is_unreserved(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
	       c == '.' || c == '_' || c == '~';
}

/* RFC 3986 §3.3: pchar without the percent-encoded ones. */
static bool
is_pchar(uint8_t c)
{
	return is_unreserved(c) || (c != 0 && strchr("!$&'()*+,;=:@", c) != NULL);
}

/* Whether ${segment}, decoded, is "." or "..". */
static bool
is_dots(struct span segment)
{
	size_t dots = 0;

	while (segment.len > 0) {
		size_t n = segment.ptr[0] == '.' ? 1 : triplet(segment) == '.' ? 3 : 0;

		if (n == 0 || ++dots > 2)
			return false;
		segment = span_cut(segment, n, segment.len);
	}
	return dots > 0;
}

static const char *
check_path(struct span path)
{
	struct span rest = path, segment;

	for (size_t i = 0; i < path.len; i++) {
		int byte = triplet(span_cut(path, i, path.len));

		if (path.ptr[i] == '%') {
			if (byte < 0x20 || byte == 0x7f)
				return "the path holds a malformed or control percent-encoding";
			if (byte == '/' || byte == '\\')
				return "the path holds an encoded slash";
			i += 2;
		} else if (path.ptr[i] != '/' && !is_pchar(path.ptr[i])) {
			return "the path holds a character that must be percent-encoded";
		}
	}
	while (http1_path_next(&rest, &segment))
		if (is_dots(segment))
			return "the path holds a dot segment";
	return NULL;
}

static const char *
check_query(struct span query, unsigned flags, uint64_t *lenient)
{
	for (size_t i = 0; i < query.len; i++) {
		uint8_t c = query.ptr[i];

		if (c == '%') {
			if (triplet(span_cut(query, i, query.len)) <= 0)
				return "the query holds a malformed or NUL percent-encoding";
			i += 2;
		} else if (c == '/' || c == '?' || is_pchar(c)) {
			continue;
		} else if (flags & HTTP1_LENIENT_QUERY && c != 0 && strchr("|[]{}^`\\", c)) {
			++*lenient;
		} else {
			return "the query holds a character that must be percent-encoded";
		}
	}
	return NULL;
}

const char *
http1_target_check(struct span target, unsigned flags, uint64_t *lenient)
{
	const uint8_t *mark = target.len ? memchr(target.ptr, '?', target.len) : NULL;
	size_t path_len = mark ? (size_t)(mark - target.ptr) : target.len;
	struct span path = span_cut(target, 0, path_len);
	const char *wrong;

	if (path.len == 0 || path.ptr[0] != '/')
		return "the target is not a path";
	if (path.len > 1 && path.ptr[1] == '/')
		return "the target begins with two slashes";
	wrong = check_path(path);
	return wrong ? wrong : check_query(span_cut(target, path_len + 1, target.len), flags, lenient);
}

bool
http1_param_next(struct span *query, struct http1_param *param)
{
	while (query->len > 0) {
		const uint8_t *end = memchr(query->ptr, '&', query->len), *equal;
		struct span one = span_cut(*query, 0, end ? (size_t)(end - query->ptr) : query->len);

		*query = span_cut(*query, one.len + 1, query->len);
		if (one.len == 0)
			continue;
		equal = memchr(one.ptr, '=', one.len);
		param->has_value = equal != NULL;
		param->name = span_cut(one, 0, equal ? (size_t)(equal - one.ptr) : one.len);
		param->value = span_cut(one, param->name.len + 1, one.len);
		return true;
	}
	return false;
}

enum http1_param_outcome
http1_percent_decode(struct span in, bool plus, char *out, size_t size, size_t *len)
{
	size_t n = 0;

	if (size == 0)
		return HTTP1_PARAM_LONG;
	out[0] = '\0';
	for (size_t i = 0; i < in.len; i++) {
		int byte = in.ptr[i];

		if (byte == '%') {
			byte = triplet(span_cut(in, i, in.len));
			i += 2;
		} else if (byte == '+' && plus) {
			byte = ' ';
		}
		if (byte <= 0)
			return HTTP1_PARAM_BAD;
		if (n + 1 >= size)
			return HTTP1_PARAM_LONG;
		out[n++] = (char)byte;
	}
	out[n] = '\0';
	if (len)
		*len = n;
	return utf8_valid(span_make(out, n), NULL) ? HTTP1_PARAM_OK : HTTP1_PARAM_BAD;
}

/* Whether the encoded ${in} decodes to ${name}. */
static bool
decodes_to(struct span in, const char *name)
{
	for (size_t i = 0; i < in.len; i++, name++) {
		int byte = in.ptr[i];

		if (byte == '%') {
			byte = triplet(span_cut(in, i, in.len));
			i += 2;
		} else if (byte == '+') {
			byte = ' ';
		}
		if (byte <= 0 || (uint8_t)*name != byte)
			return false;
	}
	return *name == '\0';
}

enum http1_param_outcome
http1_query_get(struct span query, const char *name, char *out, size_t size, size_t *len)
{
	struct http1_param param;
	struct span value = SPAN_EMPTY;
	size_t found = 0;

	while (http1_param_next(&query, &param)) {
		if (!decodes_to(param.name, name))
			continue;
		value = param.value;
		found++;
	}
	if (found == 0)
		return HTTP1_PARAM_ABSENT;
	if (found > 1)
		return HTTP1_PARAM_TWICE;
	return http1_percent_decode(value, true, out, size, len);
}

void
http1_percent_encode(struct span in, struct buffer *out)
{
	static const char digits[] = "0123456789ABCDEF";

	for (size_t i = 0; i < in.len; i++) {
		uint8_t c = in.ptr[i];

		if (is_unreserved(c)) {
			buffer_append_byte(out, c);
		} else {
			const char encoded[3] = { '%', digits[c >> 4], digits[c & 15] };

			buffer_append(out, encoded, sizeof(encoded));
		}
	}
}

bool
http1_path_next(struct span *path, struct span *segment)
{
	const uint8_t *slash;
	size_t len;

	if (path->len == 0 || path->ptr[0] != '/')
		return false;
	slash = memchr(path->ptr + 1, '/', path->len - 1);
	len = slash ? (size_t)(slash - path->ptr) : path->len;
	*segment = span_cut(*path, 1, len);
	*path = span_cut(*path, len, path->len);
	return true;
}
