/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Aligned columns on standard output: cells are gathered, then printed with each column as wide as its widest cell, two blanks between,
 * the last column as it is.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define CONTROL_SHOWN 40 /* characters of a control id in a table; --json and `show` have all */
#define TABLE_COLUMNS 16

struct table {
	size_t columns; /* at most TABLE_COLUMNS */
	char **cells;	/* row after row */
	size_t count, room;
	unsigned right; /* bit n: column n is a number, aligned right */
	bool failed;
};

void table_init(struct table *table, size_t columns, unsigned right);
void table_fini(struct table *table);

/* The next cell, row after row; NULL is an empty one. */
void table_add(struct table *table, const char *text);
/* At most ${most} characters of ${text}, then "...": one long value must not push all others out of sight. */
void table_add_cut(struct table *table, const char *text, size_t most);
void table_addf(struct table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Print what was gathered and forget it. */
void table_print(struct table *table);
