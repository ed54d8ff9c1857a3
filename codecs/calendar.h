/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The proleptic Gregorian calendar: dates and day numbers, without zones, leap seconds or locale.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct calendar_date {
	int year;	/* -9999 to 9999; 0 is a year */
	unsigned month; /* 1 to 12 */
	unsigned day;	/* 1 to 31 */
};

/* Whether such a day exists. */
bool calendar_valid(struct calendar_date date);

/* Days from 1970-01-01 to ${date}, which must be valid. */
int64_t calendar_days(struct calendar_date date);

/* The date ${days} after 1970-01-01; |${days}| below 4 million. */
struct calendar_date calendar_date(int64_t days);
