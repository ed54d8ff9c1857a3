/* SPDX-License-Identifier: Apache-2.0 */
/* The forms of values in the configuration: see the header. */
#include "broker/base/conf_text.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "codecs/digest.h"

#define HOST_MAX     253 /* of a name, RFC 1035 §2.3.4 */
#define LABEL_MAX    63
#define DISTANCE_MAX 64 /* longer words are not slips of each other */

/* The digits at ${*text}, which is moved behind them; false when there are none, or past 2^63. */
static bool
take_number(const char **text, uint64_t *number)
{
	const char *at = *text;
	uint64_t n = 0;

	if (*at < '0' || *at > '9')
		return false;
	for (; *at >= '0' && *at <= '9'; at++) {
		if (n > (INT64_MAX - 9) / 10)
			return false;
		n = n * 10 + (uint64_t)(*at - '0');
	}
	*text = at;
	*number = n;
	return true;
}

struct unit {
	const char *name;
	uint64_t factor;
};

/* A number with one of ${units} behind it, which end with a NULL name. */
static bool
take_with_unit(const char *text, const struct unit *units, uint64_t *value)
{
	uint64_t n;

	if (!take_number(&text, &n))
		return false;
	for (; units->name; units++) {
		if (strcmp(text, units->name) != 0)
			continue;
		if (n > INT64_MAX / units->factor)
			return false;
		*value = n * units->factor;
		return true;
	}
	return false;
}

bool
conf_text_size(const char *text, uint64_t *bytes)
{
	static const struct unit units[] = { { "", 1 }, { "K", 1 << 10 }, { "M", 1 << 20 }, { "G", 1 << 30 },
		{ NULL, 0 } };

	return take_with_unit(text, units, bytes);
}

bool
conf_text_time(const char *text, uint64_t *milliseconds)
{
	static const struct unit units[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60 * 1000 },
		{ "h", 3600 * 1000 }, { "d", 24 * 3600 * 1000 }, { NULL, 0 } };

	return take_with_unit(text, units, milliseconds);
}

bool
conf_text_percent(const char *text, unsigned *percent)
{
	static const struct unit units[] = { { "%", 1 }, { NULL, 0 } };
	uint64_t n;

	if (!take_with_unit(text, units, &n) || n < 1 || n > 100)
		return false;
	*percent = (unsigned)n;
	return true;
}

bool
conf_text_number(const char *text, uint64_t most, uint64_t *number)
{
	return take_number(&text, number) && *text == '\0' && *number <= most;
}

bool
conf_text_name(const char *text)
{
	size_t len = strlen(text);

	if (len == 0 || len > CONF_NAME_MAX || text[0] == '-' || text[len - 1] == '-')
		return false;
	return strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == len;
}

bool
conf_text_finess(const char *text)
{
	size_t len = strlen(text);

	if (len != 9)
		return false;
	for (size_t i = 0; i < len; i++) {
		bool digit = text[i] >= '0' && text[i] <= '9';

		if (!digit && !(i == 1 && (text[i] == 'A' || text[i] == 'B')))
			return false;
	}
	return true;
}

bool
conf_text_address(const char *text)
{
	struct in6_addr any;

	return inet_pton(AF_INET, text, &any) == 1 || inet_pton(AF_INET6, text, &any) == 1;
}

bool
conf_text_loopback(const char *text)
{
	struct in_addr four;
	struct in6_addr six;

	if (inet_pton(AF_INET, text, &four) == 1)
		return ntohl(four.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, text, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

bool
conf_text_host(const char *text)
{
	size_t label = 0, len = strlen(text);
	bool digits = true; /* the last label: then it was meant as an address */

	if (conf_text_address(text))
		return true;
	if (len == 0 || len > HOST_MAX)
		return false;
	for (const char *at = text; *at; at++) {
		bool digit = *at >= '0' && *at <= '9';
		bool letter = (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z');

		if (*at == '.') {
			if (label == 0 || at[-1] == '-')
				return false;
			label = 0;
			digits = true;
			continue;
		}
		if (!digit && !letter && (*at != '-' || label == 0))
			return false;
		digits &= digit;
		if (++label > LABEL_MAX)
			return false;
	}
	return label > 0 && text[len - 1] != '-' && !digits;
}

bool
conf_text_endpoint(const char *text, char *host, uint16_t *port)
{
	const char *colon = strrchr(text, ':');
	size_t len = colon ? (size_t)(colon - text) : 0;
	bool six = text[0] == '[';
	uint64_t number;

	if (!colon || !conf_text_number(colon + 1, UINT16_MAX, &number) || number == 0)
		return false;
	if (six && (len < 3 || colon[-1] != ']'))
		return false;
	memcpy(host, text + six, len - 2 * six);
	host[len - 2 * six] = '\0';
	*port = (uint16_t)number;
	/* an address with colons stands in brackets, and nothing else does */
	return conf_text_host(host) && six == (strchr(host, ':') != NULL);
}

/* Behind one "type=value" of a name, or NULL when there is none: a type without blanks, a value with escapes. */
static const char *
skip_attribute(const char *at)
{
	size_t type = strspn(at, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.");

	if (type == 0 || at[type] != '=' || at[type + 1] == ' ')
		return NULL;
	at += type + 1;
	while (*at && *at != ',' && *at != '+') {
		if (*at == '\\' && at[1] == '\0')
			return NULL;
		at += *at == '\\' ? 2 : 1;
	}
	return at;
}

enum conf_dn
conf_text_dn(const char *text, size_t *rdns)
{
	*rdns = 0;
	if (strncmp(text, "subject=", 8) == 0 || strncmp(text, "issuer=", 7) == 0)
		return CONF_DN_PASTED;
	for (;;) {
		text = skip_attribute(text);
		if (!text)
			return CONF_DN_FORM;
		if (*text != '+')
			++*rdns;
		if (*text == '\0')
			return CONF_DN_GOOD;
		text++;
	}
}

bool
conf_text_spki(const char *text, uint8_t digest[static 32])
{
	if (strncmp(text, "sha256:", 7) != 0)
		return false;
	return digest_unhex(span_str(text + 7), digest, 32);
}

static size_t
least(size_t a, size_t b, size_t c)
{
	size_t m = a < b ? a : b;

	return m < c ? m : c;
}

/* Letters to change, add or leave out to come from ${a} to ${b}. */
static size_t
distance(const char *a, const char *b)
{
	size_t row[DISTANCE_MAX + 1], n = strlen(b);

	if (n > DISTANCE_MAX || strlen(a) > DISTANCE_MAX)
		return SIZE_MAX;
	for (size_t j = 0; j <= n; j++)
		row[j] = j;
	for (size_t i = 0; a[i]; i++) {
		size_t diagonal = row[0];

		row[0] = i + 1;
		for (size_t j = 0; j < n; j++) {
			size_t above = row[j + 1];

			row[j + 1] = least(diagonal + (a[i] != b[j]), above + 1, row[j] + 1);
			diagonal = above;
		}
	}
	return row[n];
}

const char *
conf_text_nearest(const char *text, const char *const *words, size_t count)
{
	size_t best = 1 + strlen(text) / 3; /* one slip in a short word, more in a long one */
	const char *found = NULL;

	for (size_t i = 0; i < count; i++) {
		size_t d = words[i] ? distance(text, words[i]) : SIZE_MAX;

		if (d <= best && (d < best || !found)) {
			best = d;
			found = words[i];
		}
	}
	return found;
}
