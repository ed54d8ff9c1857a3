/* SPDX-License-Identifier: Apache-2.0 */
/* HL7 times and the calendar below them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "codecs/calendar.h"
#include "codecs/hl7_time.h"

#define S 1000000LL

/* Every day from year 1 to 9999 follows the one before, and comes back. */
static void
test_calendar(void **state)
{
	struct calendar_date date = { 1, 1, 1 };
	int64_t day = calendar_days(date);

	(void)state;
	assert_int_equal(day, -719162);
	while (date.year < 10000) {
		struct calendar_date again = calendar_date(day);

		if (again.year != date.year || again.month != date.month || again.day != date.day ||
		    calendar_days(date) != day)
			fail_msg("day %lld", (long long)day);
		day++;
		date.day++;
		if (!calendar_valid(date)) {
			date.day = 1;
			date.month++;
		}
		if (date.month == 13) {
			date.month = 1;
			date.year++;
		}
	}
	assert_int_equal(day, 2932897); /* 10000-01-01 */
	assert_true(calendar_valid((struct calendar_date){ 2000, 2, 29 }));
	assert_true(calendar_valid((struct calendar_date){ 2024, 2, 29 }));
	assert_false(calendar_valid((struct calendar_date){ 1900, 2, 29 }));
	assert_false(calendar_valid((struct calendar_date){ 2023, 2, 29 }));
	assert_false(calendar_valid((struct calendar_date){ 2023, 4, 31 }));
	assert_false(calendar_valid((struct calendar_date){ 2023, 0, 1 }));
	assert_false(calendar_valid((struct calendar_date){ 2023, 13, 1 }));
	assert_false(calendar_valid((struct calendar_date){ 2023, 1, 0 }));
}

static const struct {
	const char *text;
	enum hl7_time_precision precision;
	unsigned fraction_digits;
	bool has_zone;
	int64_t us; /* with a default zone of +0100 */
} good[] = {
	{ "2026", HL7_TIME_YEAR, 0, false, 1767222000 * S },
	{ "202602", HL7_TIME_MONTH, 0, false, 1769900400 * S },
	{ "20260203", HL7_TIME_DAY, 0, false, 1770073200 * S },
	{ "2026020304", HL7_TIME_HOUR, 0, false, 1770087600 * S },
	{ "202602030405", HL7_TIME_MINUTE, 0, false, 1770087900 * S },
	{ "20260203040506", HL7_TIME_SECOND, 0, false, 1770087906 * S },
	{ "20260203040506.7", HL7_TIME_FRACTION, 1, false, 1770087906 * S + 700000 },
	{ "20260203040506.7890", HL7_TIME_FRACTION, 4, false, 1770087906 * S + 789000 },
	{ "20260203040506.0001+0000", HL7_TIME_FRACTION, 4, true, 1770091506 * S + 100 },
	{ "20260203040506-0000", HL7_TIME_SECOND, 0, true, 1770091506 * S },
	{ "20260203040506+0200", HL7_TIME_SECOND, 0, true, 1770084306 * S },
	{ "20260203040506-0330", HL7_TIME_SECOND, 0, true, 1770104106 * S },
	{ "20260203040506+1400", HL7_TIME_SECOND, 0, true, 1770041106 * S },
	{ "20260203040506-1200", HL7_TIME_SECOND, 0, true, 1770134706 * S },
	{ "202602030405+0545", HL7_TIME_MINUTE, 0, true, 1770070800 * S },
	{ "2026+0100", HL7_TIME_YEAR, 0, true, 1767222000 * S },
	{ "19700101010000", HL7_TIME_SECOND, 0, false, 0 },
	{ "19691231235959.9999+0000", HL7_TIME_FRACTION, 4, true, -100 },
	{ "00010101000000+0000", HL7_TIME_SECOND, 0, true, -62135596800 * S },
	{ "99991231235959+0000", HL7_TIME_SECOND, 0, true, 253402300799 * S },
	{ "20240229", HL7_TIME_DAY, 0, false, 1709161200 * S },
};

static const struct {
	const char *text;
	enum hl7_time_outcome outcome;
	size_t offset;
} bad[] = {
	{ "", HL7_TIME_EMPTY, 0 },
	{ "\"\"", HL7_TIME_BAD_FORM, 0 },
	{ "20", HL7_TIME_BAD_FORM, 2 },
	{ "20260", HL7_TIME_BAD_FORM, 5 },
	{ "2026020", HL7_TIME_BAD_FORM, 7 },
	{ "2026-02-03", HL7_TIME_BAD_FORM, 5 },
	{ "2026-02", HL7_TIME_BAD_FORM, 5 },
	{ "20260203T0405", HL7_TIME_BAD_FORM, 8 },
	{ "202602030405060", HL7_TIME_BAD_FORM, 14 },
	{ "20260203040506.", HL7_TIME_BAD_FORM, 15 },
	{ "20260203040506.12345", HL7_TIME_BAD_FORM, 15 },
	{ "202602030405.1", HL7_TIME_BAD_FORM, 13 },
	{ "20260203040506+01", HL7_TIME_BAD_FORM, 15 },
	{ "20260203040506+01:00", HL7_TIME_BAD_FORM, 15 },
	{ "20260203040506+01000", HL7_TIME_BAD_FORM, 15 },
	{ "20260203040506Z", HL7_TIME_BAD_FORM, 14 },
	{ "20260203040506+0100 ", HL7_TIME_BAD_FORM, 19 },
	{ " 20260203", HL7_TIME_BAD_FORM, 0 },
	{ "20260203040506+0100^S", HL7_TIME_BAD_FORM, 19 },
	{ "0000", HL7_TIME_BAD_VALUE, 0 },
	{ "202600", HL7_TIME_BAD_VALUE, 4 },
	{ "202613", HL7_TIME_BAD_VALUE, 4 },
	{ "20260200", HL7_TIME_BAD_VALUE, 6 },
	{ "20260229", HL7_TIME_BAD_VALUE, 6 },
	{ "19000229", HL7_TIME_BAD_VALUE, 6 },
	{ "2026020324", HL7_TIME_BAD_VALUE, 8 },
	{ "202602030460", HL7_TIME_BAD_VALUE, 10 },
	{ "20260203040560", HL7_TIME_BAD_VALUE, 12 },
	{ "20260203040506+1401", HL7_TIME_BAD_VALUE, 14 },
	{ "20260203040506-1201", HL7_TIME_BAD_VALUE, 14 },
	{ "20260203040506+0060", HL7_TIME_BAD_VALUE, 14 },
};

static void
test_parse(void **state)
{
	struct hl7_time t;
	size_t offset;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		if (hl7_time_parse(span_str(good[i].text), &t, &offset) != HL7_TIME_OK)
			fail_msg("%s at %zu", good[i].text, offset);
		assert_int_equal(t.precision, good[i].precision);
		assert_int_equal(t.fraction_digits, good[i].fraction_digits);
		assert_int_equal(t.has_zone, good[i].has_zone);
		if (hl7_time_unix_us(&t, 60) != good[i].us)
			fail_msg("%s: %lld", good[i].text, (long long)hl7_time_unix_us(&t, 60));
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		enum hl7_time_outcome outcome = hl7_time_parse(span_str(bad[i].text), &t, &offset);

		if (outcome != bad[i].outcome || offset != bad[i].offset)
			fail_msg("%s: %s at %zu", bad[i].text, hl7_time_outcome_text(outcome), offset);
	}
}

static void
test_format(void **state)
{
	static const struct {
		int64_t us;
		int zone;
		unsigned digits;
		const char *text;
	} forms[] = {
		{ 1770087906 * S + 789999, 60, 0, "20260203040506+0100" },
		{ 1770087906 * S + 789999, 60, 3, "20260203040506.789+0100" },
		{ 1770087906 * S + 789999, 60, 4, "20260203040506.7899+0100" },
		{ 1770087906 * S + 789999, -210, 1, "20260202233506.7-0330" },
		{ 0, 0, 4, "19700101000000.0000+0000" },
		{ -1, 0, 4, "19691231235959.9999+0000" },
		{ 0, 840, 0, "19700101140000+1400" },
		{ 0, 841, 0, "" },
		{ 0, -721, 0, "" },
		{ 0, 0, 5, "" },
		{ -62135596800 * S, 0, 0, "00010101000000+0000" },
		{ -62135596800 * S - 1, 0, 0, "" },
		{ 253402300799 * S + 999999, 0, 0, "99991231235959+0000" },
		{ 253402300800 * S, 0, 0, "" },
		{ INT64_MAX, 60, 0, "" },
		{ INT64_MIN, -60, 0, "" },
	};
	char text[HL7_TIME_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		assert_int_equal(hl7_time_format(forms[i].us, forms[i].zone, forms[i].digits, text),
		    strlen(forms[i].text));
		assert_string_equal(text, forms[i].text);
	}
	for (int zone = -720; zone <= 840; zone += 15) { /* there and back */
		struct hl7_time t;

		assert_true(hl7_time_format(1234567890123400, zone, 4, text) > 0);
		assert_int_equal(hl7_time_parse(span_str(text), &t, NULL), HL7_TIME_OK);
		assert_int_equal(hl7_time_unix_us(&t, 0), 1234567890123400);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_calendar),
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_format),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
