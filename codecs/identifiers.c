/* SPDX-License-Identifier: Apache-2.0 */
/* National identifiers: see the header; each rule carries its certainty. */
#include "codecs/identifiers.h"

#include <stdint.h>

#define INS_BODY 13
#define INS_LEN	 15
#define LA_POSTE "356000000"
#define MONACO	 "MONACO"

static struct identifier_check
found(enum identifier_outcome outcome, enum certainty certainty, const char *rule)
{
	return (struct identifier_check){ .outcome = outcome, .certainty = certainty, .rule = rule };
}

static bool
is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static bool
all_digits(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!is_digit(s.ptr[i]))
			return false;
	return s.len > 0;
}

bool
identifier_luhn(struct span s)
{
	unsigned sum = 0;

	for (size_t i = 0; i < s.len; i++) {
		unsigned digit = (unsigned)s.ptr[s.len - 1 - i] - '0';

		if (digit > 9)
			return false;
		if (i % 2 == 1)
			digit = digit > 4 ? digit * 2 - 9 : digit * 2;
		sum = (sum + digit) % 10;
	}
	return s.len > 0 && sum == 0;
}

unsigned
identifier_ins_key(struct span body)
{
	uint64_t n = 0;

	if (body.len != INS_BODY)
		return 0;
	for (size_t i = 0; i < INS_BODY; i++) {
		uint8_t c = body.ptr[i];

		/* the departments of Corsica count as 19 and 18 */
		if (i == 6 && body.ptr[5] == '2' && (c == 'A' || c == 'B')) {
			n = n / 10 * 100 + (c == 'A' ? 19 : 18);
			continue;
		}
		if (!is_digit(c))
			return 0;
		n = n * 10 + (uint64_t)(c - '0');
	}
	return 97 - (unsigned)(n % 97);
}

/* 30-42 and 50-99 stand for births whose month is not known, 20-29 for incomplete records. */
static bool
ins_unusual(struct span value)
{
	unsigned month = (unsigned)(value.ptr[3] - '0') * 10 + (unsigned)(value.ptr[4] - '0');

	return !memchr("123478", value.ptr[0], 6) || month < 1 || month > 12;
}

static struct identifier_check
check_ins(struct span value)
{
	struct identifier_check check;
	unsigned key;

	key = identifier_ins_key(span_cut(value, 0, INS_BODY));
	if (key == 0 || (value.len != INS_BODY && value.len != INS_LEN) ||
	    (value.len == INS_LEN && !all_digits(span_cut(value, INS_BODY, INS_LEN))))
		return found(IDENTIFIER_BAD_FORM, CERTAINTY_SOURCED,
		    "13 digits (2A or 2B in the department) and a key of 2 digits");
	if (value.len == INS_BODY)
		check = found(IDENTIFIER_UNCHECKED, CERTAINTY_SOURCED, "the key is not given");
	else if ((unsigned)(value.ptr[13] - '0') * 10 + (unsigned)(value.ptr[14] - '0') != key)
		check =
		    found(IDENTIFIER_BAD_KEY, CERTAINTY_SOURCED, "the key is 97 less the number modulo 97");
	else
		check = found(IDENTIFIER_OK, CERTAINTY_SOURCED, "the key is 97 less the number modulo 97");
	check.unusual = ins_unusual(value);
	return check;
}

static struct identifier_check
check_rpps(struct span value)
{
	if (value.len != 11 || !all_digits(value))
		return found(IDENTIFIER_BAD_FORM, CERTAINTY_SOURCED, "11 digits");
	return found(identifier_luhn(value) ? IDENTIFIER_OK : IDENTIFIER_BAD_KEY, CERTAINTY_BACKGROUND,
	    "the last digit is said to be a Luhn key");
}

static struct identifier_check
check_adeli(struct span value)
{
	bool corsica = value.len == 9 && value.ptr[0] == '2' && (value.ptr[1] == 'A' || value.ptr[1] == 'B');

	if (value.len != 9 || (!corsica && !all_digits(value)) || !all_digits(span_cut(value, 2, 9)))
		return found(
		    IDENTIFIER_BAD_FORM, CERTAINTY_BACKGROUND, "9 digits, the first two a department");
	if (corsica)
		return found(
		    IDENTIFIER_UNCHECKED, CERTAINTY_BACKGROUND, "the key over 2A and 2B is not known here");
	return found(identifier_luhn(value) ? IDENTIFIER_OK : IDENTIFIER_BAD_KEY, CERTAINTY_BACKGROUND,
	    "the last digit is said to be a Luhn key");
}

/*
 * The Luhn key fits well-known numbers of the mainland as they stand, those of Corsica with A as 1 and B as
 * 2.
 */
static struct identifier_check
check_finess(struct span value)
{
	static const char rule[] = "the last digit is a Luhn key, with A as 1 and B as 2 for Corsica";
	uint8_t digits[9];

	if (value.len != 9 || !is_digit(value.ptr[0]) || !all_digits(span_cut(value, 2, 9)) ||
	    !(is_digit(value.ptr[1]) || (value.ptr[1] >= 'A' && value.ptr[1] <= 'Z')))
		return found(
		    IDENTIFIER_BAD_FORM, CERTAINTY_BACKGROUND, "9 characters: a department, then digits");
	memcpy(digits, value.ptr, sizeof(digits));
	if (!is_digit(digits[1])) {
		if (digits[0] != '2' || digits[1] > 'B')
			return found(
			    IDENTIFIER_UNCHECKED, CERTAINTY_PUBLIC_CODE, "test numbers hold other letters");
		digits[1] = digits[1] == 'A' ? '1' : '2';
	}
	return found(identifier_luhn(span_make(digits, 9)) ? IDENTIFIER_OK : IDENTIFIER_BAD_KEY,
	    CERTAINTY_BACKGROUND, rule);
}

static struct identifier_check
check_siren(struct span value)
{
	if (value.len != 9 || !all_digits(value))
		return found(IDENTIFIER_BAD_FORM, CERTAINTY_SOURCED, "9 digits");
	return found(identifier_luhn(value) ? IDENTIFIER_OK : IDENTIFIER_BAD_KEY, CERTAINTY_SOURCED,
	    "the last digit is a Luhn key");
}

static bool
is_monaco(struct span value)
{
	for (size_t i = 0; i < value.len; i++)
		if (!is_digit(value.ptr[i]) && !(value.ptr[i] >= 'A' && value.ptr[i] <= 'Z'))
			return false;
	return value.len == 14 && span_eq_str(span_cut(value, 0, sizeof(MONACO) - 1), MONACO);
}

static struct identifier_check
check_siret(struct span value)
{
	unsigned sum = 0;

	if (is_monaco(value))
		return found(IDENTIFIER_UNCHECKED, CERTAINTY_SOURCED,
		    "numbers of Monaco hold letters and have no key");
	if (value.len != 14 || !all_digits(value))
		return found(IDENTIFIER_BAD_FORM, CERTAINTY_SOURCED, "14 digits");
	if (identifier_luhn(value))
		return found(IDENTIFIER_OK, CERTAINTY_SOURCED, "the last digit is a Luhn key");
	for (size_t i = 0; i < value.len; i++)
		sum += (unsigned)(value.ptr[i] - '0');
	if (span_eq_str(span_cut(value, 0, 9), LA_POSTE))
		return found(sum % 5 == 0 ? IDENTIFIER_OK : IDENTIFIER_BAD_KEY, CERTAINTY_SOURCED,
		    "La Poste: the digits sum to a multiple of 5");
	return found(IDENTIFIER_BAD_KEY, CERTAINTY_SOURCED, "the last digit is a Luhn key");
}

struct identifier_check
identifier_check(enum identifier_kind kind, struct span value)
{
	switch (kind) {
	case IDENTIFIER_INS:
		return check_ins(value);
	case IDENTIFIER_RPPS:
		return check_rpps(value);
	case IDENTIFIER_ADELI:
		return check_adeli(value);
	case IDENTIFIER_FINESS:
		return check_finess(value);
	case IDENTIFIER_SIREN:
		return check_siren(value);
	case IDENTIFIER_SIRET:
		return check_siret(value);
	case IDENTIFIER_KINDS:
		break;
	}
	return found(IDENTIFIER_UNCHECKED, CERTAINTY_BACKGROUND, "no such kind of identifier");
}

struct prefix {
	const char *text;
	bool has_kind;
	enum identifier_kind kind;
};

static bool
split(struct span value, const struct prefix *prefixes, size_t count, struct identifier_national *parts)
{
	for (size_t i = 0; i < count; i++) {
		struct span prefix = span_str(prefixes[i].text),
			    rest = span_cut(value, prefix.len, value.len);
		const uint8_t *slash;

		if (rest.len == 0 || !span_eq(span_cut(value, 0, prefix.len), prefix))
			continue;
		slash = memchr(rest.ptr, '/', rest.len);
		*parts = (struct identifier_national){
			.prefix = span_cut(value, 0, prefix.len),
			.has_kind = prefixes[i].has_kind,
			.kind = prefixes[i].kind,
			.value = span_cut(rest, 0, slash ? (size_t)(slash - rest.ptr) : rest.len),
		};
		parts->local = span_cut(rest, parts->value.len + 1, rest.len);
		return parts->value.len > 0;
	}
	return false;
}

bool
identifier_professional(struct span value, struct identifier_national *parts)
{
	static const struct prefix prefixes[] = {
		{ "0", true, IDENTIFIER_ADELI },
		{ "10", false, 0 }, /* an MSSanté address; before "1", which it begins with */
		{ "1", true, IDENTIFIER_ADELI },
		{ "3", true, IDENTIFIER_FINESS },
		{ "4", true, IDENTIFIER_SIREN },
		{ "5", true, IDENTIFIER_SIRET },
		{ "6", true, IDENTIFIER_RPPS },
		{ "8", true, IDENTIFIER_RPPS },
	};

	return split(value, prefixes, sizeof(prefixes) / sizeof(prefixes[0]), parts);
}

bool
identifier_structure(struct span value, struct identifier_national *parts)
{
	static const struct prefix prefixes[] = {
		{ "0", true, IDENTIFIER_ADELI },
		{ "1", true, IDENTIFIER_FINESS },
		{ "2", true, IDENTIFIER_SIREN },
		{ "3", true, IDENTIFIER_SIRET },
		{ "40", false, 0 },
		{ "41", false, 0 },
		{ "4", true, IDENTIFIER_RPPS },
	};

	return split(value, prefixes, sizeof(prefixes) / sizeof(prefixes[0]), parts);
}

const char *
identifier_kind_name(enum identifier_kind kind)
{
	static const char *const kinds[IDENTIFIER_KINDS] = { "INS", "RPPS", "ADELI", "FINESS", "SIREN",
		"SIRET" };

	return (unsigned)kind < IDENTIFIER_KINDS ? kinds[kind] : "unknown";
}

const char *
identifier_outcome_name(enum identifier_outcome outcome)
{
	static const char *const outcomes[] = { "ok", "bad-form", "bad-key", "unchecked" };

	return (unsigned)outcome < sizeof(outcomes) / sizeof(outcomes[0]) ? outcomes[outcome] : "unknown";
}
