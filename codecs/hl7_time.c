/* SPDX-License-Identifier: Apache-2.0 */
/* HL7 times: see the header. */
#include "codecs/hl7_time.h"

#include <stdio.h>

#include "codecs/calendar.h"

#define ZONE_WEST   (-12 * 60)
#define ZONE_EAST   (14 * 60)
#define DAY_US	    86400000000
#define MINUTE_US   60000000
#define FRACTIONS   10000 /* of a second */
#define FRACTION_US 100

/* What is left of the text. */
struct reader {
	struct span text;
	size_t at;
};

static size_t
digits_ahead(const struct reader *r)
{
	size_t n = 0;

	while (r->at + n < r->text.len && r->text.ptr[r->at + n] >= '0' && r->text.ptr[r->at + n] <= '9')
		n++;
	return n;
}

static unsigned
take_number(struct reader *r, size_t digits)
{
	unsigned n = 0;

	for (; digits > 0; digits--)
		n = n * 10 + (unsigned)(r->text.ptr[r->at++] - '0');
	return n;
}

/* ".S[S[S[S]]]" */
static enum hl7_time_outcome
take_fraction(struct reader *r, struct hl7_time *t)
{
	size_t digits;

	r->at++;
	digits = digits_ahead(r);
	if (t->precision != HL7_TIME_SECOND || digits < 1 || digits > 4)
		return HL7_TIME_BAD_FORM;
	t->fraction = take_number(r, digits);
	t->fraction_digits = (unsigned)digits;
	t->precision = HL7_TIME_FRACTION;
	for (; digits < 4; digits++)
		t->fraction *= 10;
	return HL7_TIME_OK;
}

static enum hl7_time_outcome
take_zone(struct reader *r, struct hl7_time *t)
{
	bool west = r->text.ptr[r->at] == '-';
	size_t from = r->at++;
	unsigned hours, minutes;

	if (digits_ahead(r) != 4)
		return HL7_TIME_BAD_FORM;
	hours = take_number(r, 2);
	minutes = take_number(r, 2);
	t->has_zone = true;
	t->zone_minutes = (int)(hours * 60 + minutes) * (west ? -1 : 1);
	if (minutes > 59 || t->zone_minutes < ZONE_WEST || t->zone_minutes > ZONE_EAST) {
		r->at = from;
		return HL7_TIME_BAD_VALUE;
	}
	return HL7_TIME_OK;
}

/* YYYY and up to five pairs. */
static enum hl7_time_outcome
take_digits(struct reader *r, struct hl7_time *t)
{
	unsigned *const parts[] = { &t->month, &t->day, &t->hour, &t->minute, &t->second };
	size_t digits = digits_ahead(r), pairs;

	if (digits < 4 || digits > 14 || digits % 2 != 0) {
		r->at += digits > 14 ? 14 : digits;
		return HL7_TIME_BAD_FORM;
	}
	t->year = (int)take_number(r, 4);
	pairs = (digits - 4) / 2;
	for (size_t i = 0; i < pairs; i++)
		*parts[i] = take_number(r, 2);
	t->precision = (enum hl7_time_precision)(HL7_TIME_YEAR + pairs);
	return HL7_TIME_OK;
}

/* The place of the first part that cannot be, or SIZE_MAX. */
static size_t
impossible(const struct hl7_time *t)
{
	if (t->year < 1)
		return 0;
	if (t->month < 1 || t->month > 12)
		return 4;
	if (!calendar_valid((struct calendar_date){ t->year, t->month, t->day }))
		return 6;
	if (t->hour > 23)
		return 8;
	if (t->minute > 59)
		return 10;
	return t->second > 59 ? 12 : SIZE_MAX;
}

static enum hl7_time_outcome
parse(struct reader *r, struct hl7_time *t)
{
	enum hl7_time_outcome outcome;
	size_t wrong;

	if (r->text.len == 0)
		return HL7_TIME_EMPTY;
	outcome = take_digits(r, t);
	if (outcome == HL7_TIME_OK && r->at < r->text.len && r->text.ptr[r->at] == '.')
		outcome = take_fraction(r, t);
	if (outcome == HL7_TIME_OK && r->at < r->text.len &&
	    (r->text.ptr[r->at] == '+' || r->text.ptr[r->at] == '-'))
		outcome = take_zone(r, t);
	if (outcome != HL7_TIME_OK)
		return outcome;
	if (r->at < r->text.len)
		return HL7_TIME_BAD_FORM;
	wrong = impossible(t);
	if (wrong == SIZE_MAX)
		return HL7_TIME_OK;
	r->at = wrong;
	return HL7_TIME_BAD_VALUE;
}

enum hl7_time_outcome
hl7_time_parse(struct span text, struct hl7_time *t, size_t *offset)
{
	struct reader r = { text, 0 };
	enum hl7_time_outcome outcome;

	*t = (struct hl7_time){ .month = 1, .day = 1 };
	outcome = parse(&r, t);
	if (offset)
		*offset = r.at;
	return outcome;
}

int64_t
hl7_time_unix_us(const struct hl7_time *t, int default_zone_minutes)
{
	int64_t day = calendar_days((struct calendar_date){ t->year, t->month, t->day });
	int64_t minutes =
	    (int64_t)t->hour * 60 + t->minute - (t->has_zone ? t->zone_minutes : default_zone_minutes);

	return day * DAY_US + minutes * MINUTE_US +
	       ((int64_t)t->second * FRACTIONS + t->fraction) * FRACTION_US;
}

size_t
hl7_time_format(int64_t unix_us, int zone_minutes, unsigned fraction_digits, char out[HL7_TIME_SIZE])
{
	const int64_t first = calendar_days((struct calendar_date){ 1, 1, 1 });
	const int64_t last = calendar_days((struct calendar_date){ 9999, 12, 31 });
	unsigned zone = (unsigned)(zone_minutes < 0 ? -zone_minutes : zone_minutes), second, fraction;
	struct calendar_date date;
	int64_t local, day;
	int n;

	out[0] = '\0';
	if (zone_minutes < ZONE_WEST || zone_minutes > ZONE_EAST || fraction_digits > 4 ||
	    __builtin_add_overflow(unix_us, zone_minutes * (int64_t)MINUTE_US, &local))
		return 0;
	day = local / DAY_US - (local % DAY_US < 0);
	if (day < first || day > last)
		return 0;
	date = calendar_date(day);
	second = (unsigned)((local - day * DAY_US) / 1000000);
	fraction = (unsigned)((local - day * DAY_US) % 1000000 / FRACTION_US);
	n = snprintf(out, HL7_TIME_SIZE, "%04u%02u%02u%02u%02u%02u", (unsigned)date.year % 10000,
	    date.month % 100, date.day % 100, second / 3600 % 100, second / 60 % 60, second % 60);
	if (fraction_digits > 0) {
		n += snprintf(out + n, HL7_TIME_SIZE - (size_t)n, ".%04u", fraction % FRACTIONS);
		n -= 4 - (int)fraction_digits;
	}
	n += snprintf(out + n, HL7_TIME_SIZE - (size_t)n, "%c%02u%02u", zone_minutes < 0 ? '-' : '+',
	    zone / 60 % 100, zone % 60);
	return (size_t)n;
}

const char *
hl7_time_outcome_text(enum hl7_time_outcome outcome)
{
	switch (outcome) {
	case HL7_TIME_OK:
		return "a time";
	case HL7_TIME_EMPTY:
		return "no time is given";
	case HL7_TIME_BAD_FORM:
		return "not written as YYYY[MM[DD[HH[MM[SS[.S[S[S[S]]]]]]]]][+/-ZZZZ]";
	case HL7_TIME_BAD_VALUE:
		return "no such day, time or zone";
	}
	return "unknown";
}
