/* SPDX-License-Identifier: Apache-2.0 */
/* Days are counted in eras of 400 years that begin on 1 March, so that the leap day is a year's last. */
#include "codecs/calendar.h"

#define ERA_DAYS     146097 /* in 400 years */
#define EPOCH_TO_ERA 719468 /* days from 0000-03-01 to 1970-01-01 */

bool
calendar_valid(struct calendar_date date)
{
	static const unsigned lengths[12] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = date.year % 4 == 0 && (date.year % 100 != 0 || date.year % 400 == 0);

	if (date.month < 1 || date.month > 12 || date.day < 1)
		return false;
	return date.day <= lengths[date.month - 1] + (date.month == 2 && leap);
}

int64_t
calendar_days(struct calendar_date date)
{
	int64_t year = date.month > 2 ? date.year : date.year - 1; /* the year begins in March */
	int64_t era = (year >= 0 ? year : year - 399) / 400, of_era = year - era * 400;
	int64_t month = date.month > 2 ? date.month - 3 : date.month + 9;
	int64_t of_year = (153 * month + 2) / 5 + date.day - 1;

	return era * ERA_DAYS + of_era * 365 + of_era / 4 - of_era / 100 + of_year - EPOCH_TO_ERA;
}

struct calendar_date
calendar_date(int64_t days)
{
	int64_t shifted = days + EPOCH_TO_ERA,
		era = (shifted >= 0 ? shifted : shifted - (ERA_DAYS - 1)) / ERA_DAYS;
	int64_t of_era = shifted - era * ERA_DAYS;
	int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / (ERA_DAYS - 1)) / 365;
	int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
	int64_t month = (5 * of_year + 2) / 153; /* 0: March */

	return (struct calendar_date){
		.year = (int)(year + era * 400 + (month >= 10)),
		.month = (unsigned)(month < 10 ? month + 3 : month - 9),
		.day = (unsigned)(of_year - (153 * month + 2) / 5 + 1),
	};
}
