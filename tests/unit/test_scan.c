/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Delimiter scans: every function against a look at one byte after the other, both twins, for every length and every place of a hit in
 * an input that ends where memory ends.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "codecs/cpu.h"
#include "codecs/scan.h"

#define ROOM 600u

/* Memory that no load may leave: the page behind it is not there. */
static uint8_t *page_end;

static int
set_up(void **state)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint8_t *pages = mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	if (pages == MAP_FAILED || mprotect(pages, page, PROT_NONE) ||
	    mprotect(pages + 2 * page, page, PROT_NONE))
		return -1;
	page_end = pages + 2 * page;
	return 0;
}

/* The ${len} bytes before the end of the page, copied from ${bytes}. */
static const uint8_t *
at_the_edge(const uint8_t *bytes, size_t len)
{
	return memcpy(page_end - len, bytes, len);
}

/*
 * What the functions promise, in the plainest words
 */

static size_t
plain_either(const uint8_t *p, size_t len, uint8_t a, uint8_t b)
{
	size_t i = 0;

	while (i < len && p[i] != a && p[i] != b)
		i++;
	return i;
}

static void
check_either(const uint8_t *p, size_t len, uint8_t a, uint8_t b)
{
	assert_int_equal(scan_either(p, len, a, b), plain_either(p, len, a, b));
}

static void
check_index(const uint8_t *p, size_t len, uint8_t a, uint8_t b, size_t room)
{
	uint32_t places[ROOM];
	size_t seen = 77, count = scan_index(p, len, a, b, places, room, &seen), n = 0;

	for (size_t i = 0; i < len && n < room; i++)
		if (p[i] == a || p[i] == b) {
			assert_true(n < count);
			assert_int_equal(places[n], i);
			n++;
		}
	assert_int_equal(count, n);
	if (count < room)
		assert_int_equal(seen, len);
	else
		assert_int_equal(seen, room ? places[room - 1] + 1u : 0);
}

static void
check_line(const uint8_t *p, size_t len, uint8_t delimiter, size_t room)
{
	size_t places[ROOM], count = 77, line = scan_line(p, len, delimiter, places, room, &count), n = 0;

	assert_int_equal(line, plain_either(p, len, '\r', '\n'));
	for (size_t i = 0; i < line && n < room; i++)
		if (p[i] == delimiter) {
			assert_true(n < count);
			assert_int_equal(places[n], i);
			n++;
		}
	assert_int_equal(count, n);
}

static void
check_parts(const uint8_t *p, size_t len, uint8_t delimiter)
{
	size_t from, to, begin = 0, n = 1;

	for (size_t i = 0; i <= len; i++) {
		if (i < len && p[i] != delimiter)
			continue;
		assert_true(scan_part(p, len, delimiter, n, &from, &to));
		assert_int_equal(from, begin);
		assert_int_equal(to, i);
		begin = i + 1;
		n++;
	}
	assert_false(scan_part(p, len, delimiter, n, &from, &to));
	assert_false(scan_part(p, len, delimiter, n + 1, &from, &to));
	assert_int_equal(scan_count(p, len, delimiter), n - 2);
}

static void
check_all(const uint8_t *p, size_t len)
{
	size_t ascii = 0;

	check_either(p, len, '|', '|');
	check_either(p, len, '\r', '|');
	for (size_t room = 0; room <= 40; room += room < 3 ? 1 : 37) {
		check_index(p, len, '\r', '|', room);
		check_line(p, len, '|', room);
	}
	check_index(p, len, '\r', '\n', ROOM);
	check_line(p, len, '|', ROOM);
	check_parts(p, len, '|');
	while (ascii < len && p[ascii] < 0x80)
		ascii++;
	assert_int_equal(scan_ascii(p, len), ascii);
}

/* Run ${check} with the portable twins and with the best. */
static void
with_both(void (*check)(void))
{
	unsigned before = cpu_allow(0);

	check();
	(void)cpu_allow(~0u);
	check();
	(void)cpu_allow(before);
}

/* One or two hits of each kind at every place of every length. */
static void
every_place(void)
{
	static const uint8_t kinds[] = { '|', '\r', '\n', 0x80 };
	uint8_t bytes[300];

	for (size_t len = 0; len <= 300; len += len < 140 ? 1 : 13)
		for (size_t at = 0; at <= len; at++) {
			memset(bytes, 'a', sizeof(bytes));
			if (at < len)
				bytes[at] = kinds[at % 4];
			check_all(at_the_edge(bytes, len), len);
			bytes[(at * 7 + 3) % sizeof(bytes)] = kinds[(at + 1) % 4];
			if (at < len)
				bytes[at] = '|';
			check_all(at_the_edge(bytes, len), len);
		}
}

static void
test_every_place(void **state)
{
	(void)state;
	with_both(every_place);
}

/* Few hits and many, by chance: the same inputs each time. */
static void
by_chance(void)
{
	static const uint8_t kinds[] = { '|', '|', '|', '\r', '\n', 0xff };
	uint8_t bytes[600];

	srand(7);
	for (int turn = 0; turn < 3000; turn++) {
		size_t len = (size_t)rand() % (sizeof(bytes) + 1);
		int rare = 1 << rand() % 9;

		for (size_t i = 0; i < len; i++)
			bytes[i] = rand() % rare ? 'x' : kinds[(size_t)rand() % sizeof(kinds)];
		check_all(at_the_edge(bytes, len), len);
	}
}

static void
test_by_chance(void **state)
{
	(void)state;
	with_both(by_chance);
}

/* A delimiter of 0, one of 0xff, and one that is itself a line end. */
static void
odd_delimiters(void)
{
	uint8_t bytes[80];
	size_t from, to, places[4], count;

	for (size_t len = 0; len <= sizeof(bytes); len++) {
		memset(bytes, 1, sizeof(bytes));
		check_parts(at_the_edge(bytes, len), len, 0);
		check_either(at_the_edge(bytes, len), len, 0, 0xff);
		memset(bytes, 0xff, sizeof(bytes));
		check_parts(at_the_edge(bytes, len), len, 0xff);
		assert_int_equal(scan_count(at_the_edge(bytes, len), len, 0xff), len);
		assert_true(scan_part(at_the_edge(bytes, len), len, 0xff, len + 1, &from, &to));
		assert_int_equal(from, len);
	}
	assert_int_equal(scan_line((const uint8_t *)"ab\rc\r", 5, '\r', places, 4, &count), 2);
	assert_int_equal(count, 0);
}

static void
test_odd_delimiters(void **state)
{
	(void)state;
	with_both(odd_delimiters);
}

/* What is not allowed is not used; what the machine has comes back. */
static void
test_choice(void **state)
{
	unsigned all;

	(void)state;
	(void)cpu_allow(~0u);
	all = cpu_allow(0);
	assert_false(cpu_has(CPU_AVX2));
	assert_false(cpu_has(CPU_CRC32C));
	assert_int_equal(cpu_allow(CPU_AVX2), 0);
	assert_int_equal(cpu_has(CPU_AVX2), (all & CPU_AVX2) != 0);
	assert_false(cpu_has(CPU_CRC32C));
	(void)cpu_allow(~0u);
	assert_int_equal(cpu_allow(~0u), all);
	cpu_features = 0; /* as at the start of a program */
	assert_int_equal(cpu_has(CPU_AVX2), (all & CPU_AVX2) != 0);
	assert_int_equal(cpu_allow(~0u), all);
#if CPU_X86
	print_message(
	    "AVX2: %s, CRC32C: %s\n", all & CPU_AVX2 ? "yes" : "no", all & CPU_CRC32C ? "yes" : "no");
#endif
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_place),
		cmocka_unit_test(test_by_chance),
		cmocka_unit_test(test_odd_delimiters),
		cmocka_unit_test(test_choice),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
