/* SPDX-License-Identifier: Apache-2.0 */
/* Aligned columns: see table.h. */
#include "broker/cli/table.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
table_init(struct table *table, size_t columns, unsigned right)
{
	*table = (struct table){ .columns = columns, .right = right };
}

void
table_fini(struct table *table)
{
	for (size_t i = 0; i < table->count; i++)
		free(table->cells[i]);
	free(table->cells);
	*table = (struct table){ .columns = table->columns, .right = table->right };
}

/* Takes ${cell}. */
static void
take_cell(struct table *table, char *cell)
{
	if (cell && table->count == table->room) {
		size_t room = table->room ? table->room * 2 : 64;
		char **cells = realloc(table->cells, room * sizeof(*cells));

		if (!cells) {
			free(cell);
			cell = NULL;
		} else {
			table->cells = cells;
			table->room = room;
		}
	}
	if (cell)
		table->cells[table->count++] = cell;
	else
		table->failed = true;
}

void
table_add(struct table *table, const char *text)
{
	take_cell(table, strdup(text ? text : ""));
}

void
table_addf(struct table *table, const char *format, ...)
{
	char *cell = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&cell, format, args) < 0)
		cell = NULL;
	va_end(args);
	take_cell(table, cell);
}

void
table_add_cut(struct table *table, const char *text, size_t most)
{
	size_t at = 0, characters = 0;

	for (; text[at]; at++)
		if (((unsigned char)text[at] & 0xc0) != 0x80 && characters++ == most)
			break;
	table_addf(table, "%.*s%s", (int)at, text, text[at] ? "..." : "");
}

/* Characters, not bytes: what is shown is UTF-8. */
static size_t
width_of(const char *text)
{
	size_t width = 0;

	for (; *text; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

static void
print_cell(const struct table *table, size_t column, const char *cell, size_t width)
{
	size_t pad = width - width_of(cell);

	if (table->right & (1u << column))
		printf("%*s%s", (int)pad, "", cell);
	else if (column + 1 < table->columns)
		printf("%s%*s", cell, (int)pad, "");
	else
		printf("%s", cell);
}

void
table_print(struct table *table)
{
	size_t widths[TABLE_COLUMNS] = { 0 };

	if (table->failed)
		fputs("liaison: not enough memory for the whole table\n", stderr);
	for (size_t i = 0; i < table->count; i++) {
		size_t width = width_of(table->cells[i]);

		if (width > widths[i % table->columns])
			widths[i % table->columns] = width;
	}
	for (size_t i = 0; i < table->count; i++) {
		size_t column = i % table->columns;

		print_cell(table, column, table->cells[i], widths[column]);
		fputs(column + 1 < table->columns ? "  " : "\n", stdout);
	}
	table_fini(table);
}
